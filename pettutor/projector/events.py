"""Geometry of list mode: one record a line, in an order that keeps neighbouring lines together.

Nothing is shared between arbitrary lines of response, so each event has a `LINE` (its course across the grid's planes)
and a `SEGMENT` of a single plane (its axial course); ``start`` is then the event's place in the caller's order.

The course walks along x or y and the axial coordinate is z ("flat"). A line that is more parallel to z than Joseph's
method allows is "steep": the axes z and y change places, it walks along z, and y is its axial coordinate. Everything
else stays as it is, and lines parallel to z are nothing special.

Lines are sorted by walk axis, direction and position: neighbours then meet the same voxels while these are in the
cache. On a random order a projection takes several times as long.
"""

from typing import NamedTuple

import numpy as np

from pettutor.geometry import ImageGrid
from pettutor.projector.footprints import (
    CHORD,
    LINE,
    MODELS,
    POINT,
    SEGMENT,
    TUBE,
    Footprint,
    interval,
    trace_lines,
    tube_width,
)
from pettutor.threads import share_out

CHUNK = 1 << 14  # lines traced at a time: their temporary arrays stay in the cache
FLAT_X, FLAT_Y, STEEP = 0, 1, 2  # the order of the lines: walking along x, along y, along z
# |dz| beyond which a line is steep, in units of its longer extent along x or y. For Joseph's method that is its
# definition. Chords are the same either way, but time of flight gives a pixel's whole chord one distance, so a chord
# should not run far along z. The tubes of distance_driven always walk along x or y.
STEEPEST = {"joseph": 1.0, "siddon": 4.0, "distance_driven": np.inf}
# Sectors a unit of cross_step (a quarter turn spans 2). Measured with a million events at mMR size: 2 to 8 are level,
# with 16 and 32 a projection takes a third and a half more time.
DIRECTIONS = 4


class CrystalFaces(NamedTuple):
    """The two crystal faces of every event, for the tubes of ``"distance_driven"``.

    ``start_tangents``, ``end_tangents``: (events, 2) unit vectors (y, x) along the faces, of either sign; ``width`` and
    ``height`` of a face along the tangent and along z, mm.
    """

    start_tangents: np.ndarray
    end_tangents: np.ndarray
    width: float
    height: float


class Events(NamedTuple):
    """Records of sorted events."""

    lines: np.ndarray  # LINE (events,)
    axial: np.ndarray  # SEGMENT (events,)
    times: np.ndarray  # int32 (events,): time-of-flight bins; 0 without
    bounds: tuple  # where FLAT_X, FLAT_Y and STEEP begin, and the number of events


def steep_grid(grid):
    """The grid with its axes z and y changed."""
    return ImageGrid(*((a[1], a[0], a[2]) for a in (grid.shape, grid.voxel_size, grid.centre)))


def sorted_events(starts, ends, grid, model, faces, tof, tof_bins):
    """`Events` and `Footprint` of lines from ``starts`` to ``ends``, float64 (events, 3), mm (z, y, x)."""
    count = len(starts)
    keys = np.empty(count, np.int64)

    def sort_key(a, b):
        keys[a:b] = _sort_keys(starts[a:b], ends[a:b], grid, model)

    share_out(sort_key, _chunks(0, count))
    order = np.argsort(keys, kind="stable")
    bounds = tuple(np.searchsorted(keys[order] >> 48, (FLAT_X, FLAT_Y, STEEP, STEEP + 1)).tolist())
    events = Events(np.empty(count, LINE), np.empty(count, SEGMENT), np.zeros(count, np.int32), bounds)
    height = faces.height if faces else 0.0

    def trace(a, b):
        chosen, steep = order[a:b], a >= bounds[STEEP]
        turned = steep_grid(grid) if steep else grid
        axes = [1, 0, 2] if steep else [0, 1, 2]
        start, end = starts[chosen][:, axes], ends[chosen][:, axes]
        edges = _sides(start[:, 1:], end[:, 1:], faces, chosen) if faces else None
        lines = trace_lines(start[:, 1:], end[:, 1:], turned, MODELS[model], edges)
        axial = events.axial[a:b]
        size, origin = turned.voxel_size[0], turned.origin[0]
        axial["middle"] = (0.5 * (start[:, 0] + end[:, 0]) - origin) / size
        axial["slope"] = (end[:, 0] - start[:, 0]) / size
        axial["difference"] = abs(end[:, 0] - start[:, 0])
        axial["start"], axial["size"], axial["step"] = chosen, 1, 1
        reach = 1.0 if MODELS[model] == POINT else 0.5 + 0.5 * height / size
        middle, slope = axial["middle"] - 0.5 * axial["slope"], axial["slope"]
        _narrow(lines, model, middle, slope, -reach, turned.shape[0] - 1 + reach)
        if tof:
            events.times[a:b] = t = tof_bins[chosen]
            length = np.hypot(lines["length"], axial["difference"])
            _narrow(lines, model, -0.5 * length, length, tof.edges[t] - tof.reach, tof.edges[t + 1] + tof.reach)
        events.lines[a:b] = lines

    share_out(trace, [piece for group in range(3) for piece in _chunks(bounds[group], bounds[group + 1])])
    return events, _footprint(events, grid, model, height)


def _chunks(begin, end):
    return [(a, min(a + CHUNK, end)) for a in range(begin, end, CHUNK)]


def _sort_keys(starts, ends, grid, model):
    """Whole numbers to sort by: group (in the bits from 48), direction, position across and along z, in voxels."""
    step, middle = ends - starts, np.asarray(grid.centre)
    extent = np.abs(step)
    group = np.where(extent[:, 1] > extent[:, 2], FLAT_Y, FLAT_X)
    group[extent[:, 0] > STEEPEST[model] * extent[:, 1:].max(axis=1)] = STEEP
    walk, cross, axial = (np.array(axes)[group] for axes in ((2, 1, 0), (1, 2, 2), (0, 0, 1)))
    row = np.arange(len(step))
    part = (middle[walk] - starts[row, walk]) / step[row, walk]  # where the line passes the middle of the grid

    def voxels(axis):
        from_middle = starts[row, axis] + part * step[row, axis] - middle[axis]
        return np.clip(from_middle / np.asarray(grid.voxel_size)[axis], -30000, 30000).astype(np.int64) + (1 << 15)

    direction = (DIRECTIONS * (1 + step[row, cross] / extent[row, walk])).astype(np.int64)
    return (group.astype(np.int64) << 48) | (direction << 32) | (voxels(cross) << 16) | voxels(axial)


def _sides(start, end, faces, chosen):
    """(start, end) of the two lines along the sides of each tube: they join the edges on the same side of the line."""
    step = end - start
    tangents = [np.asarray(t, dtype=float)[chosen] for t in (faces.start_tangents, faces.end_tangents)]
    turn = [step[:, 0] * t[:, 1] - step[:, 1] * t[:, 0] for t in tangents]
    tangents[1] = np.where((turn[0] * turn[1] < 0)[:, None], -tangents[1], tangents[1])
    shifts = [0.5 * faces.width * t for t in tangents]
    return [(start + sign * shifts[0], end + sign * shifts[1]) for sign in (-1, 1)]


def _narrow(lines, model, at_start, change, low, high):
    """Leave out the planes where ``at_start + fraction * change`` lies outside [low, high]."""
    fraction, step = at_start + lines["fraction"] * change, lines["fraction_step"] * change
    begin, end = interval(fraction, step, low, high)
    half = 0.5 if MODELS[model] == CHORD else 0.0  # as in trace_lines
    first = np.maximum(lines["first"], np.ceil(begin - half))
    last = np.minimum(lines["last"], np.floor(end + half) + 1)
    empty = ~(last > first)
    lines["first"], lines["last"] = np.where(empty, 0, first), np.where(empty, 0, last)


def _footprint(events, grid, model, height):
    """The `Footprint` that has room for every event."""
    kind = MODELS[model]
    met = events.lines["last"] > events.lines["first"]
    lines, slopes = events.lines[met], events.axial["slope"][met]
    height = height / grid.voxel_size[0] if kind == TUBE else 0.0
    course = float(np.max(abs(lines["fraction_step"] * slopes), initial=0.0)) if kind == CHORD else 0.0
    extent = 1.0 if kind == POINT else course + height
    pixels = int(np.ceil(np.max(tube_width(lines), initial=0.0))) + 1 if kind == TUBE else 2
    return Footprint(kind, np.zeros(1), height, pixels, max(2, int(np.ceil(extent - 1e-6)) + 1), 1)
