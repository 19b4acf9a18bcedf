"""Rows of voxels that one event meets, in numba: plain vector code over the walk planes of its line.

What a line meets on a walk plane has one of three forms:

- PAIRS: two rows of two neighbouring voxels. For Joseph's method the rows of the two pixels beside the line; for a
  chord the rows of the pixel in which it enters the plane and of the one in which it leaves;
- TUBES: the rows of a few pixels side by side, all with the same few voxels;
- CHORDS: any number of rows, by `trace` and `axial_taps` of the sinogram projector: for chords that may pass three
  pixels of one plane, or three voxels of one row.

PAIRS and TUBES are made for PLANES walk planes at a time. That is a constant, and all arrays of one type are pieces of
one array, so that the compiler knows without a test that they do not overlap, and makes vectors of the loops.
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.footprints import CHORD, TUBE, Footprint
from pettutor.projector.pairs import AHEAD, ONE, OTHER, PLANES
from pettutor.projector.timing import cumulative
from pettutor.projector.tracing import LEAST, axial_taps, new_rows, new_taps, trace
from pettutor.projector.vectors import FEW

PAIRS, TUBES, CHORDS = 0, 1, 2
# Pieces of the room, PLANES numbers each. Whole numbers: the first voxel of either row of a plane (ONE, OTHER).
# Weights of PAIRS (of the first and the next voxel of either row), or pixels and voxels of TUBES; then what they need.
SHARE, SECOND, LEFT, WIDTH, ABOVE, WEIGHTS = 0, PLANES, 2 * PLANES, 3 * PLANES, 4 * PLANES, 5 * PLANES
# Positions along the line: where it enters the plane, passes from pixel to pixel, leaves
NEAR, BORDER, FAR = 0, PLANES, 2 * PLANES


@compiled
def form_of(kind, line, axial):
    """How the rows of a line are made: PAIRS, TUBES or CHORDS."""
    if kind == TUBE:
        return TUBES
    # rounding may make a slope of 1 a little more
    if kind == CHORD and max(abs(line.fraction_step * axial.slope), abs(line.cross_step)) > 1 + LEAST:
        return CHORDS
    return PAIRS


@compiled
def new_room(footprint):
    """Arrays for PLANES walk planes: (positions, whole numbers, weights)."""
    # of a tube's axial weights there are whole vectors; what lies beyond footprint.taps stays 0
    pieces = WEIGHTS // PLANES + max(4, footprint.pixels + footprint.taps + FEW)
    return (
        np.zeros(3 * PLANES, np.float64),
        np.zeros(2 * PLANES + AHEAD, np.int32),
        np.zeros(pieces * PLANES, np.float32),
    )


@compiled
def _weigh_by_time(time, t, length, near, far, share):
    """share *= weight of every row in time-of-flight bin ``t``: cdf(upper edge - d) - cdf(lower edge - d).

    d: where the middle of the row lies on the line, mm from the line's own middle.
    """
    edges = time[0]
    for r in range(share.size):
        d = 0.5 * (near[r] + far[r]) * length
        share[r] *= np.float32(cumulative(edges[t + 1] - d, time) - cumulative(edges[t] - d, time))


@compiled
def steps(line, layout):
    """From a walk plane to the next, from a pixel to the one beside it, and the number of pixels side by side."""
    shape, strides, _ = layout
    if line.along_y:
        return strides[0], strides[1], shape[2]
    return strides[1], strides[0], shape[1]


@compiled
def points(line, axial, first, count, layout, time, t, room):
    """Joseph's method: the 2 x 2 voxels round the line on each of ``count`` planes from ``first`` on.

    With the line's length l per plane and the parts p, q of a voxel by which its position lies beyond pixel j and voxel
    k: weights (1 - p) (1 - q) l and (1 - p) q l in pixel j, p (1 - q) l and p q l in the next. Positions far outside
    are moved into the border.
    """
    positions, whole, weights = room
    walk, side, across = steps(line, layout)
    cross, cross_step, fraction, fraction_step = line.cross, line.cross_step, line.fraction, line.fraction_step
    middle, slope = axial.middle + (fraction - 0.5) * axial.slope, fraction_step * axial.slope
    length = math.hypot(line.length, axial.difference)
    per_plane = np.float32(length * abs(fraction_step))
    for r in range(count):
        weights[SHARE + r] = per_plane
    if time[0].size:
        for r in range(count):
            positions[NEAR + r] = fraction + (first + r) * fraction_step - 0.5
        _weigh_by_time(time, t, length, positions, positions, weights[:count])
    plane_step, pixel_step, beyond_j, beyond_k = float(walk), float(side), float(across), float(layout[0][0])
    for r in range(count):
        i = float(first + r)
        y, z = cross + i * cross_step, middle + i * slope
        j, k = np.floor(y), np.floor(z)
        p, q, share = np.float32(y - j), np.float32(z - k), weights[SHARE + r]
        right = p * share
        left = share - right
        left_above, right_above = left * q, right * q
        weights[WEIGHTS + r] = left - left_above
        weights[WEIGHTS + PLANES + r] = left_above
        weights[WEIGHTS + 2 * PLANES + r] = right - right_above
        weights[WEIGHTS + 3 * PLANES + r] = right_above
        j, k = max(-2.0, min(j, beyond_j)), max(-2.0, min(k, beyond_k))
        address = i * plane_step + j * pixel_step + k
        whole[ONE + r], whole[OTHER + r] = np.int32(address), np.int32(address + pixel_step)


@compiled
def chords(line, axial, first, count, layout, time, t, room):
    """Exact chords that pass at most two voxels of a row: before and after the border between pixels in each plane.

    ``first`` and ``count`` as for `points`. The chord of a pixel is the length between the places where the line enters
    and leaves it. The part of it below the first voxel's upper border belongs to that voxel, the rest to the next.
    """
    positions, whole, weights = room
    walk, side, across = steps(line, layout)
    cross, cross_step, fraction, fraction_step = line.cross, line.cross_step, line.fraction, line.fraction_step
    length = math.hypot(line.length, axial.difference)
    per_plane = length * abs(fraction_step)
    # walk positions of the line's two ends; a border of pixels is met at (j +- 1/2 - cross) / cross_step
    at_start, at_end = -fraction / fraction_step, (1 - fraction) / fraction_step
    begin = max(min(at_start, at_end), line.first - 0.5)
    end = min(max(at_start, at_end), line.last - 0.5)
    inverse = 1 / cross_step if cross_step != 0 else 0.0
    ahead, onward = (0.5, 1.0) if cross_step > 0 else (-0.5, -1.0)
    plane_step, pixel_step, beyond_j = float(walk), float(side), float(across)
    for r in range(count):
        i = float(first + r)
        enter = min(max(i - 0.5, begin), end)
        leave = max(min(i + 0.5, end), enter)
        j = np.floor(cross + enter * cross_step + 0.5)
        beyond = np.floor(cross + leave * cross_step + 0.5)
        border = max(enter, min(leave, (j + ahead - cross) * inverse))
        border = leave if j == beyond else border
        weights[SHARE + r] = np.float32(per_plane * (border - enter))
        weights[SECOND + r] = np.float32(per_plane * (leave - border))
        positions[NEAR + r] = fraction + enter * fraction_step - 0.5
        positions[BORDER + r] = fraction + border * fraction_step - 0.5
        positions[FAR + r] = fraction + leave * fraction_step - 0.5
        here, next_j = max(-2.0, min(j, beyond_j)), max(-2.0, min(j + onward, beyond_j))
        whole[ONE + r] = np.int32(i * plane_step + here * pixel_step)
        whole[OTHER + r] = np.int32(i * plane_step + next_j * pixel_step)
    if time[0].size:
        near, border, far = positions[NEAR:BORDER], positions[BORDER:FAR], positions[FAR:]
        _weigh_by_time(time, t, length, near, border, weights[SHARE : SHARE + count])
        _weigh_by_time(time, t, length, border, far, weights[SECOND : SECOND + count])
    middle, slope, beyond_k = axial.middle, axial.slope, float(layout[0][0])
    for r in range(count):
        near, border, far = positions[NEAR + r], positions[BORDER + r], positions[FAR + r]
        share = weights[SHARE + r]
        k, below = _first_voxel(middle, near * slope, border * slope)
        weights[WEIGHTS + r], weights[WEIGHTS + PLANES + r] = share * below, share - share * below
        whole[ONE + r] += np.int32(max(-2.0, min(k, beyond_k)))
        share = weights[SECOND + r]
        k, below = _first_voxel(middle, border * slope, far * slope)
        weights[WEIGHTS + 2 * PLANES + r], weights[WEIGHTS + 3 * PLANES + r] = share * below, share - share * below
        whole[OTHER + r] += np.int32(max(-2.0, min(k, beyond_k)))


@compiled
def _first_voxel(middle, one, other):
    """The lower of the two voxels that a chord passes between two heights, and the share of it that lies there."""
    start = middle + min(one, other) - 0.5 * LEAST  # a course of no height lies in one voxel exactly
    k = np.floor(start + 0.5)
    per_voxel = np.float32(1 / max(abs(other - one), LEAST))
    below = (np.float32(0.5) - np.float32(start - k)) * per_voxel
    return k, max(np.float32(0), min(np.float32(1), below))


@compiled
def tubes(line, axial, first, count, layout, footprint, time, t, room):
    """Overlaps of the tube between two crystal faces: with pixels side by side, and with voxels along z.

    ``first`` and ``count`` as for `points`. Weights of the pixels (with the length) come first, then those of the
    voxels; returns the number of pixels.
    """
    positions, whole, weights = room
    walk, side, across = steps(line, layout)
    fraction, fraction_step = line.fraction, line.fraction_step
    length = math.hypot(line.length, axial.difference)
    per_plane = np.float32(length * abs(fraction_step))
    low, low_step, high, high_step = line.low, line.low_step, line.high, line.high_step
    at_first, change = high - low + first * (high_step - low_step), (count - 1) * (high_step - low_step)
    widest = max(abs(at_first), abs(at_first + change))
    pixels = min(footprint.pixels, math.ceil(widest + LEAST) + 1)
    for r in range(count):
        weights[SHARE + r] = per_plane
        positions[NEAR + r] = fraction + (first + r) * fraction_step - 0.5
    if time[0].size:
        _weigh_by_time(time, t, length, positions, positions, weights[:count])
    plane_step, pixel_step, beyond_j, beyond_k = float(walk), float(side), float(across), float(layout[0][0])
    least_j, least_k = float(-footprint.pixels), float(-footprint.taps)
    bottom, slope = axial.middle - 0.5 * footprint.height - 0.5 * LEAST, axial.slope
    for r in range(count):
        i = float(first + r)
        edge, opposite = low + i * low_step, high + i * high_step
        start, stop = min(edge, opposite) - 0.5 * LEAST, max(edge, opposite) + 0.5 * LEAST
        z = bottom + positions[NEAR + r] * slope
        j, k = np.floor(start + 0.5), np.floor(z + 0.5)
        weights[LEFT + r] = np.float32(start - j)
        weights[WIDTH + r] = np.float32(stop - start)
        # in float64: processors estimate vectors of float32 quotients, but not single ones
        weights[SHARE + r] = np.float32(weights[SHARE + r] / (stop - start))
        weights[ABOVE + r] = np.float32(z - k)
        j, k = max(least_j, min(j, beyond_j)), max(least_k, min(k, beyond_k))
        whole[ONE + r] = np.int32(i * plane_step + j * pixel_step + k)
    zero, half, full = np.float32(0), np.float32(0.5), np.float32(1)
    for p in range(pixels):
        piece, pixel = weights[WEIGHTS + p * PLANES :], np.float32(p)
        for r in range(count):
            left, width = weights[LEFT + r], weights[WIDTH + r]
            overlap = min(left + width, pixel + half) - max(left, pixel - half)
            piece[r] = max(zero, overlap) * weights[SHARE + r]
    per_voxel = np.float32(1 / max(footprint.height, LEAST))
    for tap in range(footprint.taps):
        piece, voxel = weights[WEIGHTS + (pixels + tap) * PLANES :], np.float32(tap)
        for r in range(count):
            upper = min(full, max(zero, (voxel + half - weights[ABOVE + r]) * per_voxel))
            lower = min(full, max(zero, (voxel - half - weights[ABOVE + r]) * per_voxel))
            piece[r] = upper - lower
    for tap in range(footprint.taps, footprint.taps + FEW):
        weights[WEIGHTS + (pixels + tap) * PLANES : WEIGHTS + (pixels + tap + 1) * PLANES] = zero
    return pixels


@compiled
def new_steep_room(shape, footprint, axial):
    """Arrays for all rows of one line: (rows, taps, places, share, voxels)."""
    if footprint.kind != CHORD:
        shape = 0, 0  # nobody asks for them
    rows = new_rows(shape, footprint.pixels)
    capacity = rows[3].size
    taps = new_taps(axial[:1], footprint, capacity)
    return rows, taps, np.zeros(1, np.int64), np.zeros(capacity, np.float32), np.zeros(capacity, np.int32)


@compiled
def steep_chords(line, axial, first, last, layout, footprint, time, t, room):
    """Rows by `trace`, their axial weights by `axial_taps`, on the planes [first, last): returns how many rows."""
    shape, strides, _ = layout
    rows, taps, places, share, voxels = room
    count = trace(CHORD, line, first, last, shape[1:], strides, rows)
    own = Footprint(CHORD, footprint.shifts, footprint.height, footprint.pixels, footprint.taps, 1)
    axial_taps(axial, own, rows, count, (places, 0, 0, 1), taps)
    length = math.hypot(line.length, axial[0].difference)
    for r in range(count):
        share[r] = np.float32(length)
    if time[0].size:
        _weigh_by_time(time, t, length, rows[3], rows[4], share[:count])
    lowest = taps[0]
    for r in range(count):
        voxels[r] = max(-footprint.taps, min(lowest[r], shape[0]))
    return count
