"""Seconds and bytes: how a call is timed, and how its peak memory is found."""

import ctypes
import gc
import statistics
import time
from contextlib import suppress

import numpy as np

from pettutor.arrays import find_cupy
from pettutor.memory import recorded_peak, sampled, sampled_memory
from pettutor.threads import reorder

SAMPLING = 0.002  # seconds between two looks at the memory, where the system keeps no peak that can be reset
COPIED = 1 << 27  # bytes of the array that is copied to measure the bandwidth: larger than any cache


def synchroniser(device):
    """A function that waits until the device has finished (at once on the CPU)."""
    return find_cupy().cuda.Device().synchronize if device == "cuda" else lambda: None


def seconds_of(function, repeats, synchronise=lambda: None, after=lambda seconds: None):
    """Wall seconds of each of ``repeats`` calls; what a call returns is freed between them, outside the time.

    ``after(seconds)`` is called after each.
    """
    times = []
    for _ in range(repeats):
        synchronise()
        begin = time.perf_counter()
        result = function()
        synchronise()
        times.append(time.perf_counter() - begin)
        del result
        after(times[-1])
    return times


def summary(times):
    """Median, extremes and all of the seconds, as a record keeps them."""
    times = [round(t, 6) for t in times]
    return {"median": round(statistics.median(times), 6), "min": min(times), "max": max(times), "all": times}


class HostMemory:
    """Memory of this process beyond what it holds now.

    On Linux the kernel keeps the peak of the resident memory, and lets it be reset (``/proc/self/clear_refs``).
    Elsewhere a thread looks every two milliseconds.
    """

    def __init__(self, resettable=None):
        if resettable is None:
            resettable = self._reset()
        self.method = "peak resident memory, reset before each call" if resettable else "resident memory, sampled"
        self._resettable = resettable
        _tidy()
        self.base = _resident()

    def peak_of(self, function):
        """Call the function: its result, and the most memory beyond the base while it ran, bytes."""
        _tidy()
        if self._resettable:
            self._reset()
            result = function()
            return result, max(0, recorded_peak() - self.base)
        with sampled_memory(SAMPLING) as samples:
            result = function()
        return result, max(0, max(samples) - self.base)

    @staticmethod
    def _reset():
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
            recorded_peak()
        except (OSError, KeyError):
            return False
        return True


def _tidy():
    """Give back to the system what is free: the C library may keep large freed blocks, which nobody uses."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # other systems' libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


def _resident():
    import psutil

    return psutil.Process().memory_info().rss


class DeviceMemory:
    """The same for a GPU: what CuPy's memory pool takes from it beyond what is in use now."""

    method = "CuPy's memory pool, emptied before each call"

    def __init__(self):
        self._pool = find_cupy().get_default_memory_pool()
        gc.collect()
        self.base = self._pool.used_bytes()

    def peak_of(self, function):
        """Call the function: its result, and the most memory beyond the base while it ran, bytes."""
        gc.collect()
        self._pool.free_all_blocks()
        result = function()
        return result, max(0, self._pool.total_bytes() - self.base)


class WholeDeviceMemory:
    """The same for a GPU that CuPy shares with a network's library: looked at every two milliseconds, all of it.

    What a library keeps for later counts; another program on the same GPU does, too.
    """

    method = "the GPU's memory, sampled"

    def __init__(self):
        self.base = self._used()

    @staticmethod
    def _used():
        free, total = find_cupy().cuda.runtime.memGetInfo()
        return total - free

    def peak_of(self, function):
        """Call the function: its result, and the most memory beyond the base while it ran, bytes."""
        gc.collect()
        with sampled(self._used, SAMPLING) as samples:
            result = function()
        return result, max(0, max(samples) - self.base)


def memory_of(device):
    """`HostMemory` or `DeviceMemory`."""
    return DeviceMemory() if device == "cuda" else HostMemory()


def copy_bandwidth(device, repeats=10):
    """Bytes a second that a copy of 128 MiB moves, read and written both counted: the best of ``repeats``.

    On a GPU a copy from device to device between two CUDA events; on the CPU a copy on all threads.
    """
    if device == "cuda":
        cupy = find_cupy()
        source, target = cupy.zeros(COPIED, cupy.uint8), cupy.zeros(COPIED, cupy.uint8)
        times = []
        for _ in range(repeats + 1):
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            cupy.copyto(target, source)
            end.record()
            end.synchronize()
            times.append(1e-3 * cupy.cuda.get_elapsed_time(begin, end))
    else:
        source, target = np.zeros((256, COPIED // 1024), np.float32), np.empty((256, COPIED // 1024), np.float32)
        source += 1  # pages of zeros are not there until they are written
        times = seconds_of(lambda: reorder(source, target), repeats + 1)
    return 2 * COPIED / min(times[1:])
