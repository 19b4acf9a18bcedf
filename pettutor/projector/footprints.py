"""Where each line of response runs through the grid, in voxel units: shared by the CPU and the CUDA path.

In a cylindrical scanner the transaxial course of a line depends on (view, bin) alone, and inside one segment the axial
course is the same up to a shift. So geometry needs one record a bin and one a segment, not one a line:

- a line walks along x or along y, whichever it is more parallel to ("walk axis"), one voxel plane ``i`` at a time;
- at plane i its other transaxial coordinate is ``cross + i * cross_step`` voxels;
- and it has gone the fraction ``fraction + i * fraction_step`` of the way from its first end to its second;
- so its axial coordinate in a plane of the segment is ``middle + (fraction - 1/2) * slope`` voxels.
"""

from typing import NamedTuple

import numpy as np


class TransaxialLines(NamedTuple):
    """One record a (view, bin), each array of that shape."""

    live: np.ndarray  # uint8: 0 where a bin joins an empty crystal position: it sees nothing
    along_y: np.ndarray  # uint8: 1 where the line walks along y, 0 along x
    first: np.ndarray  # int32: first and one past the last voxel plane that it meets; equal where it meets none
    last: np.ndarray
    cross: np.ndarray  # float64, voxels
    cross_step: np.ndarray  # float64, voxels a plane
    fraction: np.ndarray  # float64
    fraction_step: np.ndarray  # float64 a plane
    reach: np.ndarray  # float64: extent of the line along its walk axis, mm
    length: np.ndarray  # float64: transaxial length of the line, mm

    def views(self, selection):
        """The records of some views (a slice): no copy."""
        return TransaxialLines(*(a[selection] for a in self))


class AxialLines(NamedTuple):
    """One record a segment, and the same for every plane."""

    start: np.ndarray  # int32 (segment + 1): where its planes begin in the sinogram
    middle: np.ndarray  # float64: axial position of its first plane's middle, voxels
    spacing: np.ndarray  # float64: from plane to plane, voxels
    slope: np.ndarray  # float64: second end minus first end, voxels
    difference: np.ndarray  # float64: the same in mm


def transaxial_lines(scanner, grid):
    """Trace every (view, bin) of ``scanner`` through the (y, x) planes of ``grid``.

    Bins that join an empty crystal position get no voxel planes (first == last == 0).
    """
    crystals = scanner.crystal_centres[scanner.bin_crystals]  # (view, bin, end, (y, x))
    start, end = crystals[:, :, 0], crystals[:, :, 1]
    step = end - start
    along_y = np.abs(step[..., 0]) > np.abs(step[..., 1])
    walk = np.where(along_y, 0, 1)  # index into (y, x)

    def pick(a, axis):
        return np.take_along_axis(a, axis[..., None], axis=-1)[..., 0]

    shape, size, origin = (np.asarray(a[1:], dtype=float) for a in (grid.shape, grid.voxel_size, grid.origin))
    reach = pick(step, walk)
    fraction_step = size[walk] / reach
    fraction = (origin[walk] - pick(start, walk)) / reach
    slope = pick(step, 1 - walk)
    cross = (pick(start, 1 - walk) + fraction * slope - origin[1 - walk]) / size[1 - walk]
    cross_step = fraction_step * slope / size[1 - walk]

    # planes i with 0 <= fraction <= 1 (between the detectors) and -1 < cross < n (touching the grid)
    low, high = _interval(fraction, fraction_step, 0.0, 1.0)
    low2, high2 = _interval(cross, cross_step, -1.0, shape[1 - walk])
    first = np.ceil(np.maximum(np.maximum(low, low2), 0))
    last = np.floor(np.minimum(np.minimum(high, high2), shape[walk] - 1)) + 1
    empty = (last <= first) | ~scanner.live_bins
    first, last = np.where(empty, 0, first), np.where(empty, 0, last)
    return TransaxialLines(
        scanner.live_bins.astype(np.uint8),
        along_y.astype(np.uint8),
        first.astype(np.int32),
        last.astype(np.int32),
        cross,
        cross_step,
        fraction,
        fraction_step,
        np.abs(reach),
        np.hypot(step[..., 0], step[..., 1]),
    )


def _interval(value, step, low, high):
    """Range of real i in which ``low <= value + i * step <= high``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - value) / step, (high - value) / step
    flat = step == 0
    inside = (value >= low) & (value <= high)
    a = np.where(flat, np.where(inside, -np.inf, np.inf), a)
    b = np.where(flat, np.where(inside, np.inf, -np.inf), b)
    return np.where(flat, a, np.minimum(a, b)), np.where(flat, b, np.maximum(a, b))


def axial_lines(scanner, grid):
    """The axial course of each segment's planes in the grid's voxel units."""
    size, origin = grid.voxel_size[0], grid.origin[0]
    segments = scanner.segments
    return AxialLines(
        start=np.array([s.planes.start for s in segments] + [segments[-1].planes.stop], dtype=np.int32),
        middle=np.array([(s.first_z - origin) / size for s in segments]),
        spacing=np.array([s.spacing / size for s in segments]),
        slope=np.array([s.axial_difference / size for s in segments]),
        difference=np.array([abs(s.axial_difference) for s in segments]),
    )
