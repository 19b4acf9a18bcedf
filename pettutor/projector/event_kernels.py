"""The numba kernels of list mode, and how threads share them: each event by itself.

A line meets rows of voxels, one walk plane after the other, as in the sinogram projector; here each row belongs to one
event only, so an event is the sum over its rows of (pixels of the transaxial footprint) x (voxels of the axial one).
The adjoint adds to the same voxels with the same weights. The rows come from `trace` and `axial_taps`, which the
sinogram projector uses too, or several times as fast from plain vector code where a plane has a fixed form
(event_rows.py, pairs.py).

The image is laid out with the axial index contiguous, (y, x, z), so that the voxels of a row share a cache line; steep
lines get the layout (z, x, y). A border of zeros saves all tests at the edges of the grid.
"""

import numpy as np

from pettutor.projector.compiling import compiled, first_call_told
from pettutor.projector.event_rows import (
    CHORDS,
    TUBES,
    WEIGHTS,
    chords,
    form_of,
    new_room,
    new_steep_room,
    points,
    steep_chords,
    steps,
    tubes,
)
from pettutor.projector.events import FLAT_X, FLAT_Y, STEEP
from pettutor.projector.footprints import POINT
from pettutor.projector.pairs import AHEAD, ONE, PLANES, add_pairs, sum_pairs
from pettutor.projector.timing import time_table
from pettutor.projector.vectors import FEW, blend, deposit, prefetch_few
from pettutor.threads import parts, reorder, share_out, thread_count

BORDER = 2  # pixels of zeros round the image, at least
STRIPES = 1  # stripes a thread in the adjoint: a line is begun anew in each of them


@compiled
def _tubes_forward(image, base, count, pixels, side, taps, room):
    """Sum over ``count`` planes of the weights of pixels and voxels times the voxels."""
    _, whole, weights = room
    total = np.float32(0)
    for r in range(count):
        ahead, n = base + whole[ONE + r + AHEAD], base + whole[ONE + r]
        for p in range(pixels):
            prefetch_few(image, ahead + p * side)
        for tap in range(0, taps, FEW):
            total += blend(
                image, n + tap, side, pixels, weights, WEIGHTS + r, WEIGHTS + (pixels + tap) * PLANES + r, PLANES
            )
    return total


@compiled
def _tubes_adjoint(value, base, count, pixels, side, taps, room, image):
    """Add ``value`` times the weights of pixels and voxels to the voxels, plane by plane."""
    _, whole, weights = room
    for r in range(count):
        ahead, n = base + whole[ONE + r + AHEAD], base + whole[ONE + r]
        for p in range(pixels):
            prefetch_few(image, ahead + p * side)
        for tap in range(0, taps, FEW):
            deposit(
                value, image, n + tap, side, pixels, weights, WEIGHTS + r, WEIGHTS + (pixels + tap) * PLANES + r, PLANES
            )


@compiled
def forward_events(image, layout, footprint, time, lines, axial, times, chosen, places, values):
    """values[place] = line integral through ``image`` (flat) of the events ``chosen``; ``places``: (offset, step)."""
    room, steep_room = new_room(footprint), new_steep_room(layout[0][1:], footprint, axial)
    base, kind = layout[2], footprint.kind
    pixels, shares = steep_room[0][1:3]
    chord_weights = steep_room[1][2]
    for e in chosen:
        line, course, total = lines[e], axial[e], np.float32(0)
        form = form_of(kind, line, course)
        if form == CHORDS:
            count = steep_chords(
                line, axial[e : e + 1], line.first, line.last, layout, footprint, time, times[e], steep_room
            )
            capacity, share, voxels = steep_room[0][3].size, steep_room[3], steep_room[4]
            for r in range(count):
                n, row = base + voxels[r] + pixels[r], np.float32(0)
                for tap in range(footprint.taps):
                    row += image[n + tap] * chord_weights[tap * capacity + r]
                total += row * shares[r] * share[r]
        else:
            for first in range(line.first, line.last, PLANES):
                count = min(PLANES, line.last - first)
                if form == TUBES:
                    side = steps(line, layout)[1]
                    across = tubes(line, course, first, count, layout, footprint, time, times[e], room)
                    total += _tubes_forward(image, base, count, across, side, footprint.taps, room)
                else:
                    if kind == POINT:
                        points(line, course, first, count, layout, time, times[e], room)
                    else:
                        chords(line, course, first, count, layout, time, times[e], room)
                    total += sum_pairs(image, base, room[1], room[2], WEIGHTS, count)
        values[(course.start - places[0]) // places[1]] = total


@compiled
def adjoint_events(values, layout, footprint, time, lines, axial, times, chosen, places, stripe, image):
    """Add the events ``chosen``, all of one walk axis, to the planes [stripe[0], stripe[1]) of that axis of ``image``.

    Stripes share no voxel, and every voxel adds up in the order of the events: threads need no locks, and their number
    changes nothing.
    """
    room, steep_room = new_room(footprint), new_steep_room(layout[0][1:], footprint, axial)
    base, kind = layout[2], footprint.kind
    pixels, shares = steep_room[0][1:3]
    chord_weights = steep_room[1][2]
    for e in chosen:
        line, course = lines[e], axial[e]
        begin, end = max(line.first, stripe[0]), min(line.last, stripe[1])
        if end <= begin:
            continue
        value = values[(course.start - places[0]) // places[1]]
        form = form_of(kind, line, course)
        if form == CHORDS:
            count = steep_chords(line, axial[e : e + 1], begin, end, layout, footprint, time, times[e], steep_room)
            capacity, share, voxels = steep_room[0][3].size, steep_room[3], steep_room[4]
            for r in range(count):
                n, v = base + voxels[r] + pixels[r], value * share[r] * shares[r]
                for tap in range(footprint.taps):
                    image[n + tap] += v * chord_weights[tap * capacity + r]
            continue
        for first in range(begin, end, PLANES):
            count = min(PLANES, end - first)
            if form == TUBES:
                side = steps(line, layout)[1]
                across = tubes(line, course, first, count, layout, footprint, time, times[e], room)
                _tubes_adjoint(value, base, count, across, side, footprint.taps, room, image)
            else:
                if kind == POINT:
                    points(line, course, first, count, layout, time, times[e], room)
                else:
                    chords(line, course, first, count, layout, time, times[e], room)
                add_pairs(value, image, base, room[1], room[2], WEIGHTS, count)


def _layouts(grid, footprint):
    """For flat and for steep lines: shape in memory, and the kernels' (shape of the grid, strides, first voxel).

    The grid's axes: the axial one, then the two that lines walk along.
    """
    below, beside = max(BORDER, footprint.taps), max(BORDER, footprint.pixels)
    found = []
    for axial, first, second in (grid.shape, (grid.shape[1], grid.shape[0], grid.shape[2])):
        # rows lie an odd number of cache lines apart, or a line would meet the same few of the cache's lines again
        row = 16 * ((-(-(axial + below + footprint.taps + FEW) // 16)) | 1)
        memory = first + 2 * beside, (second + 2 * beside) | 1, row
        if np.prod(memory, dtype=float) >= 2**31:
            raise ValueError(f"grid: expected fewer than 2**31 voxels with a border, got {memory} for {grid.shape}")
        strides = memory[1] * row, row
        found.append((memory, ((axial, first, second), strides, beside * sum(strides) + below)))
    return found


def _inside(bordered, layout):
    """The part of the bordered image that is the image."""
    (axial, first, second), _, base = layout
    row = bordered.shape[2]
    below, beside = base % row, base // row % bordered.shape[1]
    return bordered[beside : beside + first, beside : beside + second, below : below + axial]


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
