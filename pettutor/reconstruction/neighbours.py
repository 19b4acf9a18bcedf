"""Pairs of neighbouring voxels: what all priors on such pairs share, and how they go through a volume."""

import itertools

import numpy as np

from pettutor.arrays import is_cupy
from pettutor.reconstruction.inputs import check_number
from pettutor.threads import parts, share_out

PLANES = 8  # of a volume, dealt with at a time


class Neighbours:
    """Strength, the neighbours of a voxel, and their weights."""

    def __init__(self, beta, voxel_size):
        size = np.asarray(voxel_size, dtype=float)
        if size.shape != (3,) or not (np.isfinite(size).all() and (size > 0).all()):
            raise ValueError(f"voxel_size: expected three lengths > 0 (z, y, x) in mm, got {voxel_size!r}")
        self.beta = check_number(beta, "beta: expected a strength >= 0")
        # one of every two opposite neighbours: (step, weight)
        steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
        self.neighbours = [(step, float(size.min() / np.linalg.norm(size * step))) for step in steps]

    def check(self, x):
        """Raise a ValueError for an image that the weights are not made for."""

    def weights(self, number, like):
        """w_jk for neighbour ``number`` and every voxel j of the image ``like`` that has it: a number, or an array."""
        self.check(like)
        return self._weights(number, 0, len(like), like.dtype)

    def _weights(self, number, first, planes, dtype):
        """w_jk for neighbour ``number`` and every voxel j that has it in so many planes: a number, or an array."""
        return self.neighbours[number][1]

    def _pairs(self, x, first, planes=None):
        """For every kind of neighbour: where the voxels j lie, where their neighbours k, and the weights.

        ``x`` is the image from plane ``first`` on, or some planes of it; j is in the first ``planes`` of these.
        """
        for number, (step, _) in enumerate(self.neighbours):
            here, there = shifted(step, x.shape)
            if planes is not None and here[0].stop > planes:
                here, there = (slice(0, planes), *here[1:]), (slice(step[0], step[0] + planes), *there[1:])
            if x[here].size:
                yield here, there, self._weights(number, first, here[0].stop, x.dtype)

    def value(self, x):
        """The penalty of an image (`RelativeDifference`: of an image >= 0), a float."""
        self.check(x)
        if is_cupy(x):
            return self._value(x, 0, len(x))
        blocks = _blocks(x)
        values = [0.0] * len(blocks)

        def run(number, begin, end):
            values[number] = self._value(x[begin : end + 1], begin, end - begin)

        share_out(run, [(number, *block) for number, block in enumerate(blocks)])
        return sum(values)

    def curvature(self, x):
        """Half of the surrogate's: where the image is flat, the diagonal of the Hessian."""
        return 0.5 * self.surrogate(x)[0]

    def _by_planes(self, function, x, results=1):
        """``function(x, 0)``, an array or a tuple of so many, made from some planes at a time on the threads.

        ``function(planes, first)`` gets each block with the planes beside it: no neighbour is further. Whole volumes
        would go through memory once for every operation on every pair.
        """
        self.check(x)
        if is_cupy(x) or len(x) <= PLANES:
            return function(x, 0)
        wholes = tuple(np.empty_like(x) for _ in range(results))

        def run(begin, end):
            low, high = max(begin - 1, 0), min(end + 1, len(x))
            made = function(x[low:high], low)
            for whole, part in zip(wholes, (made,) if results == 1 else made, strict=True):
                whole[begin:end] = part[begin - low : end - low]

        share_out(run, _blocks(x))
        return wholes[0] if results == 1 else wholes


def shifted(step, shape):
    """Slices of the voxels that have a neighbour at ``step``, and of these neighbours."""
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape, strict=True))
    there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, shape, strict=True))
    return here, there


def _blocks(x):
    """Planes (begin, end) that are dealt with at a time; the same for any number of threads."""
    return parts(len(x), -(-len(x) // PLANES))
