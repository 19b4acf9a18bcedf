"""The numba kernels of list mode, and how threads share them: each event by itself.

A line meets rows of voxels, one walk plane after the other, as in the sinogram projector; here each row belongs to one
event only, so an event is the sum over its rows of (pixels of the transaxial footprint) x (voxels of the axial one).
The adjoint adds to the same voxels with the same weights. The rows come from `trace` and `axial_taps`, which the
sinogram projector uses too; for Joseph's method, where a row has two pixels of two voxels, plain vector code makes them
several times as fast (`_points`).

The image is laid out with the axial index contiguous, (y, x, z), so that the voxels of a row share a cache line; steep
lines get the layout (z, x, y). A border of zeros saves all tests at the edges of the grid.
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled, first_call_told
from pettutor.projector.events import FLAT_X, FLAT_Y, STEEP
from pettutor.projector.footprints import CHORD, POINT, Footprint
from pettutor.projector.timing import cumulative, time_table
from pettutor.projector.tracing import axial_taps, new_rows, new_taps, trace
from pettutor.projector.vectors import prefetch
from pettutor.threads import parts, reorder, share_out, thread_count

BORDER = 2  # pixels of zeros round the image
TAPS = 4  # voxels of a row that are read at once, as one vector
AHEAD = 16  # rows between asking for their voxels and using them
ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)  # unsigned: no test for negative indices
STRIPES = 1  # stripes a thread in the adjoint: a line is begun anew in each of them


@compiled
def _time_shares(time, t, length, rows, count, share):
    """share *= weight of every row in time-of-flight bin ``t``: cdf(upper edge - d) - cdf(lower edge - d).

    d: where the middle of the row lies on the line, mm from the line's own middle.
    """
    edges, near, far = time[0], rows[3], rows[4]
    for r in range(count):
        d = 0.5 * (near[r] + far[r]) * length
        share[r] *= np.float32(cumulative(edges[t + 1] - d, time) - cumulative(edges[t] - d, time))


@compiled
def _points(line, axial, first, last, layout, time, t, room):
    """Joseph's method: for every plane the first of its 2 x 2 voxels, the weights of the two pixels, and the part of
    either that belongs to the upper voxel: left (1 - q | q) and right (1 - q | q). Returns the number of planes.

    left = (1 - p) l, right = p l, with the line's length l per plane and the parts p, q of a voxel by which its
    position lies beyond pixel j and voxel k. Positions far outside are moved into the border.
    """
    shape, strides, _ = layout
    rows, _, _, share, voxels, left, right, upper = room
    count = last - first
    walk, side, across = (strides[0], strides[1], shape[2]) if line.along_y else (strides[1], strides[0], shape[1])
    cross, cross_step, fraction, fraction_step = line.cross, line.cross_step, line.fraction, line.fraction_step
    middle, slope = axial.middle + (fraction - 0.5) * axial.slope, fraction_step * axial.slope
    length = math.hypot(line.length, axial.difference)
    per_plane = np.float32(length * abs(fraction_step))
    for r in range(count):
        share[r] = per_plane
    if time[0].size:
        near, far = rows[3], rows[4]
        for r in range(count):
            near[r] = fraction + (first + r) * fraction_step - 0.5
            far[r] = near[r]
        _time_shares(time, t, length, rows, count, share)
    plane_step, cross_voxel, beyond_j, beyond_k = float(walk), float(side), float(across), float(shape[0])
    for r in range(count):
        i = float(first + r)
        y, z = cross + i * cross_step, middle + i * slope
        j, k = np.floor(y), np.floor(z)
        right[r] = np.float32(y - j) * share[r]
        left[r] = share[r] - right[r]
        upper[r] = np.float32(z - k)
        j, k = max(-2.0, min(j, beyond_j)), max(-2.0, min(k, beyond_k))
        voxels[r] = np.int32(i * plane_step + j * cross_voxel + k)
    return count, side


@compiled
def _rows(line, axial, first, last, layout, footprint, time, t, room):
    """Exact chords and tubes: rows by `trace`, their axial weights by `axial_taps`. Returns how many rows and taps."""
    shape, strides, _ = layout
    rows, taps, places, share, voxels = room[:5]
    count = trace(footprint.kind, line, first, last, shape[1:], strides, rows)
    most = footprint.taps
    if footprint.kind == CHORD:  # few lines need as many as the steepest: an even number, for they are read in pairs
        course = abs(line.fraction_step * axial[0].slope)
        most = min(most, 2 * math.ceil((math.ceil(course - 1e-6) + 1) / 2))
    own = Footprint(footprint.kind, footprint.shifts, footprint.height, footprint.pixels, most, 1)
    axial_taps(axial, own, rows, count, (places, 0, 0, 1), taps)
    length = math.hypot(line.length, axial[0].difference)
    for r in range(count):
        share[r] = np.float32(length)
    if time[0].size:
        _time_shares(time, t, length, rows, count, share)
    lowest = taps[1]
    for r in range(count):
        voxels[r] = max(-footprint.taps, min(lowest[r], shape[0]))
    return count, most


@compiled
def _new_room(shape, footprint, axial):
    """Arrays for the rows of one line."""
    rows = new_rows(shape[1:], footprint.pixels)
    capacity = rows[3].size
    # room for whole vectors of taps; what lies beyond footprint.taps stays 0
    whole = Footprint(footprint.kind, footprint.shifts, footprint.height, footprint.pixels, footprint.taps + TAPS, 1)
    taps = new_taps(axial[:1], whole, capacity)
    few = np.zeros((4, capacity + AHEAD), np.float32)
    return rows, taps, np.zeros(1, np.int64), few[0], np.zeros(capacity + AHEAD, np.int32), few[1], few[2], few[3]


@compiled
def _meet(line, axial, first, last, layout, footprint, time, t, room):
    """Fill ``room`` with the rows on the walk planes [first, last): returns (rows, taps, from pixel to pixel)."""
    if last <= first:
        return 0, 0, 0
    if footprint.kind == POINT:
        count, side = _points(line, axial[0], first, last, layout, time, t, room)
        return count, 2, side
    count, most = _rows(line, axial, first, last, layout, footprint, time, t, room)
    return count, most, 0


@compiled
def _ask_for(image, base, voxels, begin, pixels, r):
    """Ask for the voxels of row r to be in the cache soon."""
    for p in range(begin[r], begin[r + 1]):
        prefetch(image, base + voxels[r] + pixels[p])


@compiled
def forward_events(image, layout, footprint, time, lines, axial, times, chosen, places, values):
    """values[place] = line integral through ``image`` (flat) of the events ``chosen``; ``places``: (offset, step)."""
    room = _new_room(layout[0], footprint, axial)
    base, capacity, kind = layout[2], room[0][3].size, footprint.kind
    begin, pixels, shares = room[0][:3]
    weights = room[1][2]
    share, voxels, left, right, upper = room[3:]
    for e in chosen:
        line, total = lines[e], np.float32(0)
        count, most, side = _meet(
            line, axial[e : e + 1], line.first, line.last, layout, footprint, time, times[e], room
        )
        for r in range(count):
            if kind == POINT:
                ahead = base + voxels[r + AHEAD]
                prefetch(image, ahead)
                prefetch(image, ahead + side)
                n, m, q = np.uint64(base + voxels[r]), np.uint64(base + voxels[r] + side), upper[r]
                one, other = image[n], image[m]
                one, other = one + q * (image[n + ONE] - one), other + q * (image[m + ONE] - other)
                total += left[r] * one + right[r] * other
            elif kind == CHORD:
                ahead = min(r + AHEAD, count - 1)
                prefetch(image, base + voxels[ahead] + pixels[ahead])
                row, n = np.float32(0), np.uint64(base + voxels[r] + pixels[r])
                for tap in range(0, most, 2):
                    w = tap * capacity + r
                    row += image[n] * weights[w] + image[n + ONE] * weights[w + capacity]
                    n += TWO
                total += row * shares[r] * share[r]
            else:
                _ask_for(image, base, voxels, begin, pixels, min(r + AHEAD, count - 1))
                row = np.float32(0)
                for tap in range(0, most, TAPS):
                    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for p in range(begin[r], begin[r + 1]):
                        n, s = np.uint64(base + voxels[r] + tap + pixels[p]), shares[p]
                        a += s * image[n]
                        b += s * image[n + ONE]
                        c += s * image[n + TWO]
                        d += s * image[n + THREE]
                    w = tap * capacity + r
                    row += a * weights[w] + b * weights[w + capacity]
                    row += c * weights[w + 2 * capacity] + d * weights[w + 3 * capacity]
                total += row * share[r]
        values[(axial[e].start - places[0]) // places[1]] = total


@compiled
def adjoint_events(values, layout, footprint, time, lines, axial, times, chosen, places, stripe, image):
    """Add the events ``chosen``, all of one walk axis, to the planes [stripe[0], stripe[1]) of that axis of ``image``.

    Stripes share no voxel, and every voxel adds up in the order of the events: threads need no locks, and their number
    changes nothing.
    """
    room = _new_room(layout[0], footprint, axial)
    base, capacity, kind = layout[2], room[0][3].size, footprint.kind
    begin, pixels, shares = room[0][:3]
    weights = room[1][2]
    share, voxels, left, right, upper = room[3:]
    for e in chosen:
        line = lines[e]
        first, last = max(line.first, stripe[0]), min(line.last, stripe[1])
        if last <= first:
            continue
        value = values[(axial[e].start - places[0]) // places[1]]
        count, most, side = _meet(line, axial[e : e + 1], first, last, layout, footprint, time, times[e], room)
        for r in range(count):
            if kind == POINT:
                ahead = base + voxels[r + AHEAD]
                prefetch(image, ahead)
                prefetch(image, ahead + side)
                n, m = np.uint64(base + voxels[r]), np.uint64(base + voxels[r] + side)
                one, other = value * left[r], value * right[r]
                one_up, other_up = one * upper[r], other * upper[r]
                image[n] += one - one_up
                image[n + ONE] += one_up
                image[m] += other - other_up
                image[m + ONE] += other_up
            elif kind == CHORD:
                ahead = min(r + AHEAD, count - 1)
                prefetch(image, base + voxels[ahead] + pixels[ahead])
                v, n = value * share[r] * shares[r], np.uint64(base + voxels[r] + pixels[r])
                for tap in range(0, most, 2):
                    w = tap * capacity + r
                    image[n] += v * weights[w]
                    image[n + ONE] += v * weights[w + capacity]
                    n += TWO
            else:
                _ask_for(image, base, voxels, begin, pixels, min(r + AHEAD, count - 1))
                v = value * share[r]
                for tap in range(0, most, TAPS):
                    w = tap * capacity + r
                    a, b = v * weights[w], v * weights[w + capacity]
                    c, d = v * weights[w + 2 * capacity], v * weights[w + 3 * capacity]
                    for p in range(begin[r], begin[r + 1]):
                        n, s = np.uint64(base + voxels[r] + tap + pixels[p]), shares[p]
                        image[n] += s * a
                        image[n + ONE] += s * b
                        image[n + TWO] += s * c
                        image[n + THREE] += s * d


def _layouts(grid, footprint):
    """For flat and for steep lines: shape in memory, and the kernels' (shape of the grid, strides, first voxel).

    The grid's axes: the axial one, then the two that lines walk along.
    """
    below = max(BORDER, footprint.taps)
    found = []
    for axial, first, second in (grid.shape, (grid.shape[1], grid.shape[0], grid.shape[2])):
        # rows lie an odd number of cache lines apart, or a line would meet the same few of the cache's lines again
        row = 16 * ((-(-(axial + below + footprint.taps + TAPS) // 16)) | 1)
        memory = first + 2 * BORDER, (second + 2 * BORDER) | 1, row
        if np.prod(memory, dtype=float) >= 2**31:
            raise ValueError(f"grid: expected fewer than 2**31 voxels with a border, got {memory} for {grid.shape}")
        strides = memory[1] * row, row
        found.append((memory, ((axial, first, second), strides, BORDER * sum(strides) + below)))
    return found


def _inside(bordered, layout):
    """The part of the bordered image that is the image."""
    (axial, first, second), _, base = layout
    below = base % bordered.shape[2]
    return bordered[BORDER : BORDER + first, BORDER : BORDER + second, below : below + axial]


def _groups(events, chosen):
    """The chosen events of each walk axis."""
    cuts = np.searchsorted(chosen, events.bounds)
    return [chosen[cuts[group] : cuts[group + 1]] for group in range(3)]


@first_call_told(forward_events)
def forward(image, events, chosen, places, grid, footprint, tof):
    """Line integrals (float32, mm) of the events ``chosen`` through a float32 image (z, y, x)."""
    values, time = np.empty(len(chosen), np.float32), time_table(tof)
    cut = np.searchsorted(chosen, events.bounds[STEEP])
    for (memory, layout), part, axes in zip(
        _layouts(grid, footprint), (chosen[:cut], chosen[cut:]), ((1, 2, 0), (0, 2, 1)), strict=True
    ):
        if len(part):
            bordered = np.zeros(memory, np.float32)
            reorder(image.transpose(axes), _inside(bordered, layout))
            common = bordered.ravel(), layout, footprint, time, *events[:3]
            share_out(
                lambda a, b, common=common, part=part: forward_events(*common, part[a:b], places, values),
                parts(len(part), 16 * thread_count()),
            )
    return values


@first_call_told(adjoint_events)
def adjoint(values, events, chosen, places, grid, footprint, tof):
    """Back project float32 values of the events ``chosen`` to an image (z, y, x)."""
    values, time = np.ascontiguousarray(values), time_table(tof)
    image = np.zeros(grid.shape, np.float32)
    groups = _groups(events, chosen)
    for (memory, layout), walks, axes in zip(
        _layouts(grid, footprint), ((FLAT_X, FLAT_Y), (STEEP,)), ((2, 0, 1), (0, 2, 1)), strict=True
    ):
        if not any(len(groups[walk]) for walk in walks):
            continue
        bordered = np.zeros(memory, np.float32)
        for walk in walks:
            common = values, layout, footprint, time, *events[:3], groups[walk], places
            planes = layout[0][2 if walk == FLAT_X else 1]
            share_out(
                lambda a, b, common=common, target=bordered: adjoint_events(*common, (a, b), target.ravel()),
                _even_stripes(events.lines, groups[walk], planes, STRIPES * thread_count()),
            )
        part = _inside(bordered, layout).transpose(axes)
        share_out(
            lambda a, b, part=part: np.add(image[:, a:b], part[:, a:b], out=image[:, a:b]),
            parts(grid.shape[1], 4 * thread_count()),
        )
    return image


def _even_stripes(lines, chosen, planes, count):
    """Cut the walk planes into at most ``count`` stripes that about the same number of lines cross."""
    change = np.bincount(lines["first"][chosen], minlength=planes + 1).astype(float)
    change -= np.bincount(lines["last"][chosen], minlength=planes + 1)
    crossed = np.cumsum(np.cumsum(change)[:planes])
    edges = np.searchsorted(crossed, np.arange(1, count) * (crossed[-1] / count)) + 1
    edges = np.unique([0, *edges.clip(0, planes).tolist(), planes])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
