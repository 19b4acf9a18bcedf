"""The projector's numba kernels: each works on one line of response after the other, for all planes at once.

`tracing` says which rows of voxels a line touches and with which weights a row's voxels belong to a segment's first
plane. Inside a segment the next plane takes the next voxels with the same weights. So all that remains is the sum of
shifted rows, `vectors.combine`.

Memory is laid out with the axial index contiguous. Where neighbouring planes are q voxels apart (span 1: q = 2 on the
scanner's usual grid), voxels are stored in q interleaved phases, z = q * a + phase, so that neighbouring planes still
take neighbours: image (y, x, phase, a), sinogram (view, bin, time-of-flight bin, plane).
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.footprints import POINT
from pettutor.projector.timing import time_bins, weigh_by_time
from pettutor.projector.tracing import BATCH, axial_taps, new_rows, new_taps, padded, row_pitch, trace
from pettutor.projector.vectors import LANES, combine, prefetch, spread

REACH = 16  # rows of a batch are treated together if their first voxels lie no further apart
NEIGHBOURS = 8


@compiled
def _new_planes(segments, margin):
    """A line's planes, ``margin`` zeros before each segment and at the end, and where each segment begins."""
    places = np.zeros(segments.size + 1, np.int64)
    places[0] = margin
    for s in range(segments.size):
        places[s + 1] = places[s] + segments[s].size + margin
    return np.zeros(places[-1], np.float32), places


@compiled
def _margin(footprint):
    """Zeros that a run of LANES numbers may reach into, beside any row or segment that it touches."""
    return LANES + REACH + footprint.taps + 1


@compiled
def _lowest_and_highest(lowest, first, last, footprint):
    """The voxels (in units of phases) that a batch of rows reaches: along a line they only rise or only fall."""
    one, other = lowest[first], lowest[last - 1]
    return min(one, other), max(one, other) + footprint.taps - 1 + (footprint.phases > 1)


@compiled
def _together(bottom, top, footprint):
    return top - bottom <= REACH + footprint.taps


@compiled
def _add_to_planes(mixed, planes, places, segments, voxels, first, last, footprint, lowest, addresses, weights, reach):
    """Add the mixed rows [first, last) to every plane of every segment."""
    capacity = lowest.size // segments.size
    each = footprint.phases * footprint.taps
    for s in range(segments.size):
        if segments[s].difference > reach:
            continue  # dominated by z: traced line by line instead
        bottom, top = _lowest_and_highest(lowest, s * capacity + first, s * capacity + last, footprint)
        step = last - first if _together(bottom, top, footprint) else 1
        for r in range(first, last, step):
            if step == 1:
                bottom, top = _lowest_and_highest(lowest, s * capacity + r, s * capacity + r + 1, footprint)
            for m in range(max(0, -top), min(segments[s].size, voxels - bottom), LANES):
                entry = s * each * capacity + r
                combine(planes, places[s] + m, mixed, m, addresses, weights, entry, each, capacity, step, 1)


@compiled
def _reach(footprint, line):
    """Axial difference (mm) above which Joseph's method walks along z; the other models never do."""
    return line.reach if footprint.kind == POINT else np.inf


@compiled
def forward_views(image, voxels, shape, footprint, time, lines, segments, views, sinogram):
    """Project ``image`` (flat; y, x, phase, a; ``voxels`` of each phase) into the views [views[0], views[1])."""
    phases, deep, margin = footprint.phases, padded(voxels), _margin(footprint)
    width = deep + margin
    strides = (row_pitch(shape[1]) * phases * deep, phases * deep)
    rows = new_rows(shape, footprint.pixels)
    begin, pixels, shares, near, _ = rows
    taps = new_taps(segments, footprint, near.size)
    timed = taps[2].copy() if time[0].size else taps[2]
    mixed = np.zeros(BATCH * phases * width + margin, np.float32)
    layout = (np.full(segments.size, margin), phases * width, width, 1)
    planes, places = _new_planes(segments, margin)
    for block in range(views[0], views[1], NEIGHBOURS):
        for b in range(lines.shape[2]):
            for v in range(block, min(block + NEIGHBOURS, views[1])):
                sinogram[v, b] = 0
                for ray in range(lines.shape[0]):
                    line = lines[ray, v, b]
                    count = trace(footprint.kind, line, line.first, line.last, shape, strides, rows)
                    if count == 0:
                        continue
                    axial_taps(segments, footprint, rows, count, layout, taps)
                    for t in range(time_bins(time)):
                        begin_row, end_row = 0, count
                        if time[0].size:
                            begin_row, end_row = weigh_by_time(
                                time, t, line, segments, rows, count, phases * footprint.taps, taps, timed
                            )
                        planes[:] = 0
                        for first in range(begin_row, end_row, BATCH):
                            last = min(first + BATCH, end_row)
                            for r in range(first, last):
                                for phase in range(phases):
                                    place = margin + ((r - first) * phases + phase) * width
                                    mixed[place : place + deep] = 0
                                    entries = begin[r + 1] - begin[r]
                                    for a in range(0, deep, LANES):
                                        at = phase * deep + a
                                        combine(mixed, place + a, image, at, pixels, shares, begin[r], 1, 0, entries, 1)
                            for r in range(last, min(last + BATCH, end_row)):
                                for e in range(begin[r], begin[r + 1]):
                                    for a in range(0, phases * deep, LANES):
                                        prefetch(image, pixels[e] + a)
                            _add_to_planes(
                                mixed, planes, places, segments, voxels, first, last, footprint,
                                taps[0], taps[1], timed, _reach(footprint, line),
                            )  # fmt: skip
                        for s in range(segments.size):
                            scale = np.float32(math.hypot(line.length, segments[s].difference) / lines.shape[0])
                            start, step = segments[s].start, segments[s].step
                            for m in range(segments[s].size):
                                sinogram[v, b, t, start + m * step] += scale * planes[places[s] + m]


@compiled
def _runs(bottoms, tops, segments, voxels, reach, runs):
    """For every run of LANES voxels, which neighbouring segments reach it: counts per run, then (first, last) pairs."""
    for run in range(runs.shape[0]):
        a, found = run * LANES, 0
        for s in range(segments.size):
            if segments[s].difference > reach or a + LANES <= bottoms[s] or a >= tops[s] + segments[s].size:
                continue
            if found and runs[run, 2 * found] == s:
                runs[run, 2 * found] = s + 1
            else:
                runs[run, 1 + 2 * found], runs[run, 2 + 2 * found] = s, s + 1
                found += 1
        runs[run, 0] = found


@compiled
def _batch_of_rows(first, end, lowest, segments, footprint, bottoms, tops):
    """The last row of the batch that begins at ``first``, and the voxels that it reaches in each segment."""
    capacity = lowest.size // segments.size
    last = min(first + BATCH, end)
    for attempt in range(2):
        together = True
        for s in range(segments.size):
            bottoms[s], tops[s] = _lowest_and_highest(lowest, s * capacity + first, s * capacity + last, footprint)
            together = together and _together(bottoms[s], tops[s], footprint)
        if together or attempt:
            break
        last = first + 1
    return last


@compiled
def adjoint_stripe(sinogram, voxels, shape, footprint, time, lines, segments, along_y, stripe, image):
    """Back project every line that walks along y (or x) into the planes [stripe[0], stripe[1]) of that axis of
    ``image``. Stripes of one axis share no voxel: threads need no copies and no locks.
    """
    phases, deep, margin = footprint.phases, padded(voxels), _margin(footprint)
    each = phases * footprint.taps
    strides = (row_pitch(shape[1]) * phases * deep, phases * deep)
    rows = new_rows(shape, footprint.pixels)
    begin, pixels, shares, near, _ = rows
    capacity = near.size
    taps = new_taps(segments, footprint, capacity)
    lowest, addresses, weights, _ = taps
    timed = weights.copy() if time[0].size else weights
    planes, places = _new_planes(segments, margin)
    layout = (places, 0, 0, -1)
    row = np.zeros(deep, np.float32)
    runs = np.zeros((deep // LANES, 2 * segments.size + 3), np.int64)
    bottoms, tops = np.zeros(segments.size, np.int64), np.zeros(segments.size, np.int64)
    for v in range(lines.shape[1]):
        for b in range(lines.shape[2]):
            for ray in range(lines.shape[0]):
                line = lines[ray, v, b]
                low, high = max(line.first, stripe[0]), min(line.last, stripe[1])
                if high <= low or line.along_y != along_y:
                    continue
                count = trace(footprint.kind, line, low, high, shape, strides, rows)
                if count == 0:
                    continue
                axial_taps(segments, footprint, rows, count, layout, taps)
                for t in range(time_bins(time)):
                    first, end = 0, count
                    if time[0].size:
                        first, end = weigh_by_time(time, t, line, segments, rows, count, each, taps, timed)
                        if end == 0:
                            continue
                    for s in range(segments.size):
                        scale = np.float32(math.hypot(line.length, segments[s].difference) / lines.shape[0])
                        for m in range(segments[s].size):
                            planes[places[s] + m] = scale * sinogram[v, b, t, segments[s].start + m * segments[s].step]
                    while first < end:
                        last = _batch_of_rows(first, end, lowest, segments, footprint, bottoms, tops)
                        _runs(bottoms, tops, segments, voxels, _reach(footprint, line), runs)
                        for r in range(first, last):
                            for e in range(begin[r], begin[r + 1]):
                                for a in range(0, phases * deep, LANES):
                                    prefetch(image, pixels[e] + a)
                            for phase in range(phases):
                                row[:] = 0
                                for run in range(runs.shape[0]):
                                    a = run * LANES
                                    for n in range(runs[run, 0]):
                                        s, beyond = runs[run, 1 + 2 * n], runs[run, 2 + 2 * n]
                                        entry = (s * each + phase * footprint.taps) * capacity + r
                                        combine(
                                            row, a, planes, a, addresses, timed, entry,
                                            footprint.taps, capacity, beyond - s, each * capacity,
                                        )  # fmt: skip
                                for e in range(begin[r], begin[r + 1]):
                                    for a in range(0, deep, LANES):
                                        spread(image, pixels[e] + phase * deep + a, row, a, shares[e])
                        first = last
