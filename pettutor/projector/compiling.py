"""How the projector's numba kernels are compiled, and when what numba kept on disk is out of date."""

import functools
import hashlib
import time
from pathlib import Path

import numba

from pettutor.arrays import announce_once


def _room():
    """A fingerprint of this room's files that hold kernels, and of the one whose constants they use."""
    sources = {path.name: path.read_bytes() for path in Path(__file__).parent.glob("*.py")}
    of_kernels = [
        name.encode() + text
        for name, text in sorted(sources.items())
        if b"compiled" in text or b"import numba" in text or name == "footprints.py"
    ]
    return hashlib.sha256(b"".join(of_kernels)).hexdigest()


_ROOM = _room()


def compiled(function=None, *, fastmath=True):
    """numba.njit without the interpreter's lock, kept on disk until a file of the room that holds kernels changes.

    By itself numba keeps a kernel until the kernel's own file changes, though it contains what it calls: after an
    update a kernel would go on running functions of the version before.
    """
    if function is None:
        return functools.partial(compiled, fastmath=fastmath)
    kernel = numba.njit(nogil=True, fastmath=fastmath, cache=True, error_model="numpy")(function)
    index = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if index is not None:  # there is none where numba is told to interpret (NUMBA_DISABLE_JIT)
        index._source_stamp = (index._source_stamp, _ROOM)
    return kernel


def first_call_told(*kernels):
    """For a function that runs ``kernels``: tell how long numba compiled them, the first time it does."""

    def misses():
        return sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels)

    def decorate(function):
        @functools.wraps(function)
        def run(*args):
            before, begin = misses(), time.perf_counter()
            result = function(*args)
            if misses() > before:
                seconds = time.perf_counter() - begin
                announce_once(
                    f"compiled the projector's CPU kernels in {seconds:.0f} s; kept on disk for the next time"
                )
            return result

        return run

    return decorate
