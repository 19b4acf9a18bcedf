"""Where each line of response runs through the grid, in voxel units: shared by the CPU and the CUDA path.

In a cylindrical scanner the transaxial course of a line depends on (view, bin) alone, and inside one segment the axial
course is the same up to a shift. So geometry needs one record a bin and one a segment, not one a line:

- a line walks along x or along y, whichever it is more parallel to ("walk axis"), one voxel plane ``i`` at a time;
- at plane i its other transaxial coordinate is ``cross + i * cross_step`` voxels;
- and it has gone the fraction ``fraction + i * fraction_step`` of the way from its first end to its second;
- so its axial coordinate in plane m of a segment is
  ``middle + m * spacing + (fraction - 1/2) * slope`` voxels.

The system models are what is made of that course: a transaxial footprint times an axial one.

==================  ==========================================  =====================================================
model               transaxial                                  axial
==================  ==========================================  =====================================================
joseph              linear interpolation on each walk plane     linear interpolation
siddon              exact chord in each pixel                   share of that chord in each voxel
multi_ray           the same, n rays between the two faces      the same, mean of m rays
distance_driven     overlap with the tube between the faces     overlap with the height of the tube
==================  ==========================================  =====================================================
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# transaxial footprints: linear interpolation between two pixels, exact chords of pixels, overlap with a tube
POINT, CHORD, TUBE = 0, 1, 2
MODELS = {"siddon": CHORD, "multi_ray": CHORD, "joseph": POINT, "distance_driven": TUBE}

# One record a (ray, view, bin).
LINE = np.dtype(
    [
        ("cross", "f8"),  # voxels, at walk plane 0
        ("cross_step", "f8"),  # voxels a plane
        ("low", "f8"),  # the same for the two edges of the tube (for other models: the line itself)
        ("low_step", "f8"),
        ("high", "f8"),
        ("high_step", "f8"),
        ("fraction", "f8"),
        ("fraction_step", "f8"),  # a plane
        ("reach", "f8"),  # extent of the line along its walk axis, mm
        ("length", "f8"),  # transaxial length of the line, mm
        ("first", "i4"),  # first and one past the last voxel plane that it meets; equal where it meets none
        ("last", "i4"),
        ("along_y", "i4"),  # 1 where the line walks along y, 0 along x
        ("live", "i4"),  # 0 where a bin joins an empty crystal position: it sees nothing
    ],
    align=True,
)

# One record a segment, or a part of one, by increasing axial difference.
SEGMENT = np.dtype(
    [
        ("middle", "f8"),  # axial position of the middle of the LOR in its first plane, voxels
        ("slope", "f8"),  # second end minus first end, voxels
        ("difference", "f8"),  # the same in mm, without its sign
        ("start", "i4"),  # its planes in the sinogram: the first one,
        ("size", "i4"),  # how many,
        ("step", "i4"),  # and how far apart
    ],
    align=True,
)


class Footprint(NamedTuple):
    """What a system model makes of a line."""

    kind: int  # POINT, CHORD or TUBE
    shifts: np.ndarray  # float64: axial positions of the rays of one LOR, voxels from its middle, increasing
    height: float  # axial width of the tube, voxels; 0 for a ray
    pixels: int  # a row mixes at most this many pixels
    taps: int  # a row gives at most this many voxels (of one phase) to a plane
    phases: int  # planes of a segment are this many voxels apart


def trace_lines(start, end, grid, kind, edges=None):
    """Records of lines from ``start`` to ``end`` (…, 2), mm, (y, x), through the (y, x) planes of ``grid``.

    ``edges``: for a tube, the (start, end) of the two lines along its sides.
    """
    step = end - start
    along_y = np.abs(step[..., 0]) > np.abs(step[..., 1])
    walk = np.where(along_y, 0, 1)  # index into (y, x)
    shape, size, origin = (np.asarray(a[1:], dtype=float) for a in (grid.shape, grid.voxel_size, grid.origin))
    lines = np.zeros(along_y.shape, LINE)

    def course(start, end):
        step = end - start
        reach = _pick(step, walk)
        fraction_step = size[walk] / reach
        fraction = (origin[walk] - _pick(start, walk)) / reach
        slope = _pick(step, 1 - walk)
        cross = (_pick(start, 1 - walk) + fraction * slope - origin[1 - walk]) / size[1 - walk]
        return cross, fraction_step * slope / size[1 - walk], fraction, fraction_step, np.abs(reach)

    lines["cross"], lines["cross_step"], lines["fraction"], lines["fraction_step"], lines["reach"] = course(start, end)
    sides = [course(*edge) for edge in edges] if edges else [(lines["cross"], lines["cross_step"])] * 2
    for name, side in zip(("low", "high"), sides, strict=True):
        lines[name], lines[f"{name}_step"] = side[:2]
    lines["length"] = np.hypot(step[..., 0], step[..., 1])
    lines["along_y"], lines["live"] = along_y, 1

    # planes between the detectors (0 <= fraction <= 1) where the line touches a pixel
    half = 0.5 if kind == CHORD else 0.0  # a chord uses the whole thickness of a plane, the others its middle
    beside = {POINT: 1.0, CHORD: 0.5, TUBE: 0.5 + tube_width(lines)}[kind]
    low, high = interval(lines["fraction"], lines["fraction_step"], 0.0, 1.0)
    low2, high2 = interval(lines["cross"], lines["cross_step"], -beside, shape[1 - walk] - 1 + beside)
    first = np.ceil(np.maximum(np.maximum(low, low2) - half, 0))
    last = np.floor(np.minimum(np.minimum(high, high2) + half, shape[walk] - 1)) + 1
    empty = ~(last > first)
    lines["first"], lines["last"] = np.where(empty, 0, first), np.where(empty, 0, last)
    return lines


def tube_width(lines):
    """The greatest width of each tube along the axis across its walk axis, voxels (0 for a ray)."""
    at_ends = [(part - lines["fraction"]) / lines["fraction_step"] for part in (0.0, 1.0)]
    return np.max(
        [abs(lines["high"] - lines["low"] + i * (lines["high_step"] - lines["low_step"])) for i in at_ends], axis=0
    )


def _pick(a, axis):
    return np.take_along_axis(a, axis[..., None], axis=-1)[..., 0]


def interval(value, step, low, high):
    """Range of real i in which ``low <= value + i * step <= high``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - value) / step, (high - value) / step
    flat = step == 0
    inside = (value >= low) & (value <= high)
    a = np.where(flat, np.where(inside, -np.inf, np.inf), a)
    b = np.where(flat, np.where(inside, np.inf, -np.inf), b)
    return np.where(flat, a, np.minimum(a, b)), np.where(flat, b, np.maximum(a, b))


def transaxial_lines(scanner, grid, model, rays):
    """Records (ray, view, bin) of a scanner's lines; bins that join an empty crystal position meet no plane."""
    kind = MODELS[model]
    crystals = scanner.bin_crystals  # (view, bin, end)
    start, end = (scanner.crystal_centres[crystals[..., k]] for k in (0, 1))  # (view, bin, (y, x))
    # along the two faces, towards the same side of the line
    tangents = [scanner.crystal_tangents[crystals[..., k]] for k in (0, 1)]
    step = end - start
    same = np.sign(_cross(step, tangents[0]) * _cross(step, tangents[1]))
    tangents[1] = tangents[1] * np.where(same == 0, 1, same)[..., None]

    def beside(part):
        shift = part * scanner.crystal_pitch
        return start + shift * tangents[0], end + shift * tangents[1]

    if kind == CHORD:
        traced = [trace_lines(*beside(part), grid, kind) for part in face_positions(rays[0])]
    else:
        traced = [trace_lines(start, end, grid, kind, [beside(-0.5), beside(0.5)] if kind == TUBE else None)]
    lines = np.stack(traced)
    lines["live"] = scanner.live_bins
    for name in ("first", "last"):
        lines[name] *= scanner.live_bins
    return lines


def face_positions(count):
    """Where ``count`` rays meet a face, in units of its width, from its middle: evenly spread."""
    return (np.arange(count) + 0.5) / count - 0.5


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def axial_segments(scanner, grid):
    """Records of the segments by increasing axial difference, and how many voxels their planes are apart (phases).

    Where neighbouring planes are p/q voxels apart, every q-th plane of a segment makes a part of its own, so that its
    planes are p voxels apart. Where there are no such small numbers, every plane does: correct, but slow.
    """
    size, origin = grid.voxel_size[0], grid.origin[0]
    spacing = scanner.segments[0].spacing / size
    ratio = Fraction(spacing).limit_denominator(8)
    commensurate = abs(float(ratio) - spacing) < 1e-9 and 1 <= ratio.numerator <= 8
    rows = []
    for segment in sorted(scanner.segments, key=lambda s: s.number):
        step = ratio.denominator if commensurate else segment.size
        for first in range(min(step, segment.size)):
            rows.append(
                (
                    (segment.first_z - origin) / size + first * spacing,
                    segment.axial_difference / size,
                    abs(segment.axial_difference),
                    segment.planes.start + first,
                    len(range(first, segment.size, step)),
                    step,
                )
            )
    return np.array(rows, SEGMENT), ratio.numerator if commensurate else 1


def footprint(scanner, grid, model, rays, lines, segments, phases):
    """The `Footprint` of a model for these lines."""
    kind = MODELS[model]
    height = scanner.ring_pitch / grid.voxel_size[0]
    met = lines[lines["last"] > lines["first"]]
    shifts = face_positions(rays[1]) * height if kind == CHORD else np.zeros(1)
    height = height if kind == TUBE else 0.0
    # voxels that the longest axial course inside one row can meet
    course = float(abs(met["fraction_step"]).max() * abs(segments["slope"]).max()) if kind == CHORD else 0.0
    extent = 1.0 if kind == POINT else course + float(np.ptp(shifts)) + height
    voxels = max(2, math.ceil(extent - 1e-6) + 1)
    pixels = math.ceil(float(tube_width(met).max())) + 1 if kind == TUBE else 2
    return Footprint(kind, shifts, height, pixels, -(-voxels // phases), phases)
