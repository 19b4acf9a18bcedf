"""How much memory may be taken, and a refusal with the number where something would take more."""

import ctypes
import math
import numbers
import os
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

FREE_SHARE = 0.9  # of the free memory may be taken: images and sinograms need some too
# A container's own limit and use of memory, which the machine's free memory does not tell (Linux, cgroups 2 and 1).
CONTAINER = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file",
    ),
)  # fmt: skip

# of mallopt, <malloc.h>
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
LARGE = 1 << 20  # bytes


def return_freed_memory():
    """Have the C library give blocks of a megabyte and more back as soon as they are freed, in the whole process.

    By itself glibc raises that limit up to 32 MB with every block that is freed, and keeps a heap for every thread:
    images and layers of a few MB stay where they were, and the peak of a long run of different steps grows by a fifth.

    Returns
    -------
    bool
        Whether it took effect; other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return all([mallopt(M_MMAP_THRESHOLD, LARGE), mallopt(M_ARENA_MAX, 2)])


def peak_memory():
    """Most memory that this process has held so far (resident), bytes."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    with suppress(OSError, KeyError):  # getrusage also counts what the parent held when it started this process
        return recorded_peak()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def recorded_peak():
    """Most memory (resident) since this process began, or since its record was set back, bytes: on Linux.

    Raises
    ------
    OSError, KeyError
        The system keeps no such record.
    """
    with open("/proc/self/status") as file:
        return 1024 * int(dict(line.split(":", 1) for line in file)["VmHWM"].split()[0])


@contextmanager
def sampled_memory(every, process=None):
    """Look at a process's memory while a block runs.

    Parameters
    ----------
    every : float
        Seconds between two looks.
    process : psutil.Process, optional
        By default this one.

    Yields
    ------
    list of int
        Resident memory, bytes; its first entry is that of the beginning, its last, once the block has ended, that of
        the end. A process that ends meanwhile is looked at no more.
    """
    import psutil

    process = process or psutil.Process()
    with sampled(lambda: process.memory_info().rss, every, psutil.NoSuchProcess) as samples:
        yield samples


@contextmanager
def sampled(read, every, over=()):
    """The same with any number, which ``read()`` gives; an exception of the kind ``over`` ends the looking."""
    samples, finished = [read()], threading.Event()

    def look():
        with suppress(over):
            while not finished.wait(every):
                samples.append(read())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        finished.set()
        thread.join()
        with suppress(over):
            samples.append(read())


def size_in_words(size):
    """Bytes in words: "11.6 GB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 1000 * factor else f"{size / factor:,.0f} {unit}"
    return f"{size:.0f} bytes"


def free_memory():
    """Bytes that this process may still take, in its container too; None where the system does not say."""
    try:
        import psutil

        free = [psutil.virtual_memory().available]
    except ImportError:  # the projector does without it
        names = getattr(os, "sysconf_names", {})
        free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if "SC_AVPHYS_PAGES" in names else []
    for limit, use, details, reclaimable in CONTAINER:
        try:
            limit, use = (int(Path(path).read_text()) for path in (limit, use))
            counts = dict(line.split() for line in Path(details).read_text().splitlines())
            free.append(max(0, limit - use + int(counts[reclaimable])))
        except (OSError, ValueError, KeyError):  # no such container, or "max": no limit
            continue
    return min(free, default=None)


def check_memory(needed, memory_limit, what, *, details="", remedy=None, uncertain=False):
    """Raise MemoryError where ``needed`` bytes are more than ``memory_limit`` (None: most of the free memory).

    Parameters
    ----------
    needed : number
        Bytes.
    memory_limit : number or None
    what, details : str
        What needs them, and more about it: the message is "<what> needs 3.2 GB<details>, ...".
    remedy : callable, optional
        Gets by how many times the limit is too small; what to do instead, in words, or "".
    uncertain : bool
        ``needed`` is an estimate, and what may just fit passes.
    """
    if memory_limit is None:
        free = free_memory()
        if free is None:
            return
        limit, words = FREE_SHARE * free, f"{size_in_words(free)} are free (nine tenths may be taken)"
    else:
        if isinstance(memory_limit, bool) or not isinstance(memory_limit, numbers.Real) or not memory_limit > 0:
            raise ValueError(f"memory_limit: expected a number of bytes > 0, got {memory_limit!r}")
        limit, words = float(memory_limit), f"memory_limit is {size_in_words(memory_limit)}"
    if needed <= (1.2 if uncertain else 1) * limit:
        return
    instead = remedy(needed / limit if limit else math.inf) if remedy else ""
    text = f"{what} needs {'about ' if uncertain else ''}{size_in_words(needed)}{details}, {words}"
    raise MemoryError(f"{text}; {instead}" if instead else text)
