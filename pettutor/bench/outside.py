"""The share of a projection's time outside the kernels: changes of memory layout, checks of the input."""

import time

import numpy as np

from pettutor.arrays import check_array, find_cupy
from pettutor.bench.measuring import seconds_of, summary, synchroniser


def outside_kernels(device):
    """A watch for the projections that follow: ``begin(given, image)``, ``note(seconds)`` after each, ``found()``."""
    return OutsideCudaKernels() if device == "cuda" else OutsideCpuKernels()


class KernelTime:
    """Wall time that the CPU path spends in its numba kernels, from the first one's begin to the last one's end.

    The rest of a projection are changes of memory layout and checks of the input. From now on every kernel that
    ``module`` calls looks at the clock.
    """

    def __init__(self, module):
        self._spans = []
        for name, kernel in list(vars(module).items()):
            if hasattr(kernel, "stats") and hasattr(kernel, "py_func"):
                setattr(module, name, self._watched(kernel))

    def _watched(self, kernel):
        def run(*arguments):
            begin = time.perf_counter()
            result = kernel(*arguments)
            if any(isinstance(a, np.ndarray) for a in arguments):  # not the small functions of whole numbers
                self._spans.append((begin, time.perf_counter()))
            return result

        run.stats, run.py_func = kernel.stats, kernel.py_func
        return run

    def taken(self):
        """Seconds since the last time of asking (0 where no kernel ran)."""
        spans, self._spans = self._spans, []
        return max(end for _, end in spans) - min(begin for begin, _ in spans) if spans else 0.0


class OutsideCpuKernels:
    """The share of projections' time outside the kernels, by a watch that follows the calls."""

    def __init__(self):
        from pettutor.projector import cpu

        self._watch, self._shares = KernelTime(cpu), []

    def begin(self, given, image):
        """Forget what was; now come calls that are given this array, with an image going in or coming out."""
        self._watch.taken()
        self._shares = []

    def note(self, seconds):
        """After each call."""
        inside = self._watch.taken()
        if inside > 0:
            self._shares.append(1 - inside / seconds)

    def found(self):
        """An entry of the record."""
        return {"outside_kernels": round(float(np.median(self._shares)), 4)} if self._shares else {}


class OutsideCudaKernels:
    """The same on a GPU, where calls do not wait: checks and changes of layout are timed by themselves."""

    def __init__(self):
        self._seconds, self._all, self._wait = 0.0, [], synchroniser("cuda")

    def begin(self, given, image):
        xp = find_cupy()

        def alone():
            check_array(given, "given")
            if given.shape != image.shape:
                xp.ascontiguousarray(xp.moveaxis(given, 0, -1))  # no copy where it is laid out like that
            xp.ascontiguousarray(xp.moveaxis(image, 0, -1))

        self._seconds, self._all = summary(seconds_of(alone, 6, self._wait)[1:])["median"], []

    def note(self, seconds):
        self._all.append(seconds)

    def found(self):
        return {"outside_kernels": round(self._seconds / float(np.median(self._all)), 4)} if self._all else {}
