"""Sharing work out to threads: numba kernels and NumPy's loops release the interpreter while they run."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

_pool = None
_pool_lock = threading.Lock()


def thread_count():
    """Threads that the CPU path uses: ``PETTUTOR_THREADS`` where it is set, else the cores this process may run on."""
    text = os.environ.get("PETTUTOR_THREADS")
    if text is not None:
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"PETTUTOR_THREADS: expected a whole number >= 1, got {text!r}")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(task, jobs):
    """Run ``task(*job)`` for every job on the threads; the first error is raised."""
    global _pool
    count = thread_count()
    jobs = list(jobs)
    if count == 1 or len(jobs) == 1:
        for job in jobs:
            task(*job)
        return
    with _pool_lock:
        if _pool is None or _pool[0] != (os.getpid(), count):
            _pool = (os.getpid(), count), ThreadPoolExecutor(count, thread_name_prefix="pettutor")
    futures = [_pool[1].submit(task, *job) for job in jobs]
    try:
        for future in futures:
            future.result()
    finally:
        for future in futures:
            future.cancel()  # after an error or Ctrl-C: what has not begun need not


@lru_cache(maxsize=256)  # a small projection takes a hundredth of a second, and its pieces are always the same
def parts(size, count):
    """Split range(size) into at most ``count`` even pieces (begin, end)."""
    edges = np.linspace(0, size, min(size, count) + 1).round().astype(int)
    return tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def reorder(source, target):
    """target[...] = source, on the threads along the target's first axis (a change of memory layout)."""
    share_out(lambda a, b: np.copyto(target[a:b], source[a:b]), parts(len(target), 4 * thread_count()))


# A chunk of this many numbers stays in a core's cache through several elementwise steps.
CHUNK = 1 << 17


def by_chunks(function, *arrays):
    """Run ``function(*pieces)`` over matching pieces of NumPy arrays of one shape; returns the results in order.

    The arrays are cut along their slowest axis in memory (that of the first one), so the pieces, and with them any sum
    of the results, do not depend on the number of threads. Scalars are handed on as they are.
    """
    first = arrays[0]
    axis = int(np.argmax(first.strides)) if first.ndim else 0
    count = -(-first.size // CHUNK)
    results = [None] * len(pieces := parts(first.shape[axis], count))

    def run(number, begin, end):
        cut = (slice(None),) * axis + (slice(begin, end),)
        results[number] = function(*(a[cut] if np.ndim(a) else a for a in arrays))

    share_out(run, [(number, *piece) for number, piece in enumerate(pieces)])
    return results
