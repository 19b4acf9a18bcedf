"""What a line of response touches: the transaxial and the axial footprint of every system model, in numba.

A line touches voxels one walk plane after the other. What it touches there are *rows*: weighted sums of image rows
``row[z] = sum_j w_j image[j, z]`` (the transaxial footprint, `trace`). A few neighbouring voxels of a row, weighted
(the axial footprint, `axial_taps`), belong to one plane of the sinogram.
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.footprints import CHORD, POINT
from pettutor.projector.vectors import LANES

BATCH = 16  # rows that stay in the fastest cache while they are added to every plane; a power of two
LEAST = 2.0**-20  # voxels: a line that runs inside a layer of voxels takes the layer that it is in


@compiled
def padded(size):
    """The next multiple of LANES."""
    return (size + LANES - 1) // LANES * LANES


@compiled
def row_pitch(nx):
    """Pixels from one y to the next: odd, or all rows of a line along y would share a few cache lines."""
    return nx | 1


@compiled
def trace(kind, line, first, last, shape, strides, rows):
    """The rows that a line touches on the walk planes [first, last) of a (y, x) grid: returns their number.

    ``rows``: begin (row r's pixels are begin[r]:begin[r + 1]), pixels (their addresses, by the ``strides`` of y and
    x), shares (their weights: fractions of the line's length), near and far (where the line enters and leaves, as a
    fraction of its length from its middle; equal for what is sampled in a point).
    """
    begin, pixels, shares, near, far = rows
    ny, nx = shape
    walk, side, count = (strides[0], strides[1], nx) if line.along_y else (strides[1], strides[0], ny)
    row, entry = 0, 0
    begin[0] = 0
    cross, cross_step, fraction, fraction_step = line.cross, line.cross_step, line.fraction, line.fraction_step
    length = abs(fraction_step)
    if kind == CHORD:
        # walk positions of the line's two ends; a border of pixels is met at (j +- 1/2 - cross) / cross_step
        one, other = -fraction / fraction_step, (1 - fraction) / fraction_step
        position, end = max(min(one, other), first - 0.5), min(max(one, other), last - 0.5)
        inverse = 1 / cross_step if cross_step != 0 else 0.0
        towards = 1 if cross_step > 0 else -1
        for i in range(first, last):
            until = min(i + 0.5, end)
            if until <= position:
                continue
            j = math.floor(cross + position * cross_step + 0.5)
            final = math.floor(cross + until * cross_step + 0.5)
            for _ in range(abs(final - j) + 1):
                border = until
                if j != final:
                    border = max(position, min(until, (j + 0.5 * towards - cross) * inverse))
                if 0 <= j < count and border > position:
                    pixels[row] = i * walk + j * side
                    shares[row] = length * (border - position)
                    near[row] = fraction + position * fraction_step - 0.5
                    far[row] = fraction + border * fraction_step - 0.5
                    row += 1
                    begin[row] = row
                position = border
                j += towards
        return row
    for i in range(first, last):
        if kind == POINT:
            at = cross + i * cross_step
            j = math.floor(at)
            part = at - j
            if 0 <= j < count:
                pixels[entry], shares[entry] = i * walk + j * side, length * (1 - part)
                entry += 1
            if -1 <= j < count - 1:
                pixels[entry], shares[entry] = i * walk + (j + 1) * side, length * part
                entry += 1
        else:
            # the share of the tube, from edge to edge, that lies in each pixel
            one, other = line.low + i * line.low_step, line.high + i * line.high_step
            left, right = min(one, other) - 0.5 * LEAST, max(one, other) + 0.5 * LEAST
            per_voxel = length / (right - left)
            for j in range(max(0, math.floor(left + 0.5)), min(count, math.floor(right + 0.5) + 1)):
                overlap = min(right, j + 0.5) - max(left, j - 0.5)
                if overlap > 0:
                    pixels[entry], shares[entry] = i * walk + j * side, per_voxel * overlap
                    entry += 1
        if entry > begin[row]:
            near[row] = fraction + i * fraction_step - 0.5
            far[row] = near[row]
            row += 1
            begin[row] = entry
    return row


@compiled
def new_rows(shape, most):
    """Room for the rows of one line: see `trace`. A chord crosses at most ny + nx borders of pixels."""
    capacity = shape[0] + shape[1] + 4
    return (
        np.zeros(capacity + 1, np.int64),
        np.zeros(capacity * most, np.int64),
        np.zeros(capacity * most, np.float32),
        np.zeros(capacity, np.float64),
        np.zeros(capacity, np.float64),
    )


@compiled
def axial_taps(segments, footprint, rows, count, layout, taps):
    """Weights of the voxels of every row that belong to plane 0 of each segment, and where the sums find them.

    Entry ((segment * phases + phase) * footprint.taps + tap) * capacity + row of ``addresses`` and ``weights``;
    ``lowest`` (segment * capacity + row): the first voxel, in units of phases. An address is
    ``places[segment] + slot * (row % BATCH) + width * phase + sign * a``.

    Loops over rows are plain vector code: floor as a float, no test for negative indices (slices), and after the
    position's whole part is split off, float32.
    """
    near, far = rows[3][:count], rows[4][:count]
    places, slot, width, sign = layout
    lowest, addresses, weights, courses = taps
    first, part, per_voxel, slots = courses[0, :count], courses[1, :count], courses[2, :count], courses[3, :count]
    capacity, phases, shifts = rows[3].size, footprint.phases, footprint.shifts
    step, zero, half, one = np.float32(1.0 / phases), np.float32(0), np.float32(0.5), np.float32(1)
    point, below = footprint.kind == POINT, 0.5 * footprint.height + 0.5 * LEAST - shifts[0]
    for r in range(count):
        slots[r] = np.float32(slot * (r & (BATCH - 1)))
    for s in range(segments.size):
        middle, slope = segments[s].middle, segments[s].slope
        least = lowest[s * capacity : s * capacity + count]
        if point:
            for r in range(count):
                at = middle + near[r] * slope
                whole = np.floor(at)
                first[r], part[r] = np.float32(whole), np.float32(at - whole)
        else:
            for r in range(count):
                left = middle + min(near[r] * slope, far[r] * slope) - below
                whole = np.floor(left + 0.5)
                first[r], part[r] = np.float32(whole), np.float32(left - whole)
                per_voxel[r] = np.float32(1 / max(abs((far[r] - near[r]) * slope) + footprint.height, LEAST))
        for r in range(count):
            least[r] = np.int32(np.floor((first[r] + half) * step))
        for phase in range(phases):
            for tap in range(footprint.taps):
                entry = ((s * phases + phase) * footprint.taps + tap) * capacity
                address, weight = addresses[entry : entry + count], weights[entry : entry + count]
                place = np.float32(places[s] + width * phase)
                from_phase, at_tap, direction = np.float32(phase), np.float32(tap), np.float32(sign)
                # ceil((first - phase) / phases) of whole numbers, safe against the rounding of 1 / phases
                above = np.float32(phases - 0.5 - phase)
                for r in range(count):
                    a = np.floor((first[r] + above) * step) + at_tap
                    address[r] = np.int32(place + slots[r] + direction * a)
                if point:
                    # linear interpolation between the two voxels
                    for r in range(count):
                        a = np.floor((first[r] + above) * step) + at_tap
                        z = a * np.float32(phases) + from_phase - first[r]
                        weight[r] = max(zero, one - abs(z - part[r]))
                    continue
                # share of the course, begun at `left`, that lies below the voxel's upper border but not below its lower
                # one; in shares of the course's height, so that a course of no height lies in one voxel exactly
                for n in range(shifts.size):
                    shift, share = np.float32(shifts[n] - shifts[0]), np.float32(1.0 / shifts.size)
                    for r in range(count):
                        a = np.floor((first[r] + above) * step) + at_tap
                        z = a * np.float32(phases) + from_phase - first[r]
                        left = part[r] + shift
                        upper = min(one, max(zero, (z + half - left) * per_voxel[r]))
                        lower = min(one, max(zero, (z - half - left) * per_voxel[r]))
                        overlap = share * (upper - lower)
                        weight[r] = overlap if n == 0 else weight[r] + overlap


@compiled
def new_taps(segments, footprint, capacity):
    entries = segments.size * footprint.phases * footprint.taps * capacity
    return (
        np.zeros(segments.size * capacity, np.int32),
        np.zeros(entries, np.int32),
        np.zeros(entries, np.float32),
        np.zeros((4, capacity), np.float32),
    )
