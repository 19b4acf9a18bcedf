"""The projector on a GPU: kernels.cu compiled and launched by CuPy.

The geometry's float64 records (footprints.py) become the kernels' records once, here. Where a float32 would lose too
much, a position is split: across the walk axis into fixed point, along z into a whole number and a remainder.
"""

import math
from importlib.resources import files

import numpy as np

from pettutor.projector.footprints import CHORD, POINT, TUBE

LEAST = 2.0**-20  # voxels, as in tracing.cu

# roots and quotients to the last bits but two, as they are taken for every row of a line
OPTIONS = ("--std=c++14", "--prec-sqrt=false", "--prec-div=false")

# as the structures of tracing.cu
LINE_RECORD = np.dtype(
    [
        ("cross", "i8"),
        ("cross_step", "i8"),
        *((name, "f4") for name in ("along", "along_step", "reach", "length", "width", "width_step", "enter", "leave")),
        *((name, "i4") for name in ("first", "last", "along_y", "live")),
    ]
)
SEGMENT_RECORD = np.dtype(
    [
        ("whole", "i4"),
        *((name, "f4") for name in ("part", "slope", "difference", "inverse")),
        *((name, "i4") for name in ("start", "size", "step")),
    ]
)


@np.errstate(invalid="ignore", over="ignore")  # a line parallel to z has no course across the grid, and no planes
def line_records(lines, kind):
    """The kernels' records, in the shape of ``lines`` (LINE)."""
    records = np.zeros(lines.shape, LINE_RECORD)
    for name in ("reach", "length", "first", "last", "along_y", "live"):
        records[name] = lines[name]
    begin = lines["first"] - (0.5 if kind == CHORD else 0.0)
    cross, cross_step = lines["cross"], lines["cross_step"]
    if kind == TUBE:
        cross, cross_step = 0.5 * (lines["low"] + lines["high"]), 0.5 * (lines["low_step"] + lines["high_step"])
        step = lines["high_step"] - lines["low_step"]
        records["width"], records["width_step"] = lines["high"] - lines["low"] + begin * step, step
    records["cross"] = _fixed_point(cross + begin * cross_step + (0.5 if kind == CHORD else 0.0))
    records["cross_step"] = _fixed_point(cross_step)
    records["along"] = lines["fraction"] + begin * lines["fraction_step"] - 0.5
    records["along_step"] = lines["fraction_step"]
    if kind == CHORD:
        ends = [(part - lines["fraction"]) / lines["fraction_step"] for part in (0.0, 1.0)]
        records["enter"] = np.clip(np.minimum(*ends) - begin, 0, 1)
        records["leave"] = np.clip(np.maximum(*ends) - (lines["last"] - 1.5), 0, 1)
    return records


def _fixed_point(position):
    """64-bit whole numbers with 32 bits after the point; what is out of range lies outside every grid."""
    bounded = np.clip(np.nan_to_num(position), -(2.0**30), 2.0**30)
    return np.round(bounded * 2.0**32).astype(np.int64)


def segment_records(middle, slope, difference, footprint):
    """The kernels' records of segments, planes or events: arrays of one shape, positions in voxels."""
    records = np.zeros(np.shape(middle), SEGMENT_RECORD)
    whole = np.round(middle)
    records["whole"], records["part"] = whole, middle - whole
    records["slope"], records["difference"], records["size"], records["step"] = slope, difference, 1, 1
    if footprint.kind == TUBE:
        records["inverse"] = 1 / max(footprint.height, LEAST)
    else:
        slope = np.asarray(slope, dtype=float)
        one = slope if footprint.kind == POINT else abs(slope) * len(footprint.shifts)
        records["inverse"] = np.divide(1, one, out=np.full(slope.shape, 1e30), where=abs(one) > 1e-30)
    return records


def model_arguments(grid, footprint, most_difference, tof):
    """What all kernels want to know, as NumPy scalars in their order."""
    shifts = footprint.shifts
    shift_step = (shifts[-1] - shifts[0]) / max(1, len(shifts) - 1)
    half_height = 0.5 * max(footprint.height, LEAST)
    bins, width, sigma = (tof.bins, tof.width, tof.sigma) if tof else (1, 1.0, 1.0)
    lengths = (grid.voxel_size[0], half_height, shifts[0], shift_step, most_difference)
    return [
        *(np.int32(n) for n in grid.shape),
        *(np.float32(d) for d in lengths),
        np.int32(bins),
        np.float32(width),
        np.float32(1 / (math.sqrt(2) * sigma)),
    ]


def projector_arguments(grid, lines, segments, footprint, tof=None):
    """The arguments of ``forward`` and of ``adjoint`` after image and sinogram: NumPy scalars and arrays of records.

    CuPy and the tests' host build launch with the same lists.
    """

    def axial(segments, middle):
        return segment_records(middle, segments["slope"], segments["difference"], footprint)

    size = segments["size"]
    each = np.repeat(segments, size)
    place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)  # number of a plane in its segment
    planes = np.zeros(size.sum(), SEGMENT_RECORD)
    planes[each["start"] + place * each["step"]] = axial(each, each["middle"] + place * footprint.phases)
    whole = axial(segments, segments["middle"])
    for name in ("start", "size", "step"):
        whole[name] = segments[name]
    records = line_records(lines, footprint.kind).reshape(len(lines), -1)
    model = model_arguments(grid, footprint, segments["difference"].max(), tof)
    return {
        name: [records, of, *(np.int32(n) for n in (*records.shape, len(of), len(planes))), *model]
        for name, of in (("forward", planes), ("adjoint", whole))
    }


def event_arguments(grid, lines, middles, slopes, differences, footprint, tof=None, tof_bins=None):
    """The arguments of ``forward_events`` and ``adjoint_events`` after image and values, likewise."""
    if tof is not None and np.shape(tof_bins) != lines.shape:
        raise ValueError(f"tof_bins: expected one bin for each of {lines.size} events, got shape {np.shape(tof_bins)}")
    arguments = [
        line_records(lines, footprint.kind),
        segment_records(middles, slopes, differences, footprint),
        np.zeros(1, np.int32) if tof is None else np.ascontiguousarray(tof_bins, dtype=np.int32),
        np.int32(lines.size),
        *model_arguments(grid, footprint, np.max(differences, initial=0.0), tof),
    ]
    return {"forward_events": arguments, "adjoint_events": arguments}


def loop_sizes(footprint, planes=1, tof=None, events=False):
    """What is fixed when the kernels are compiled: the model, and how often small loops run. Keys as in tracing.cu."""
    kind = footprint.kind
    pixels = {POINT: 2, CHORD: 1, TUBE: footprint.pixels}[kind]
    voxels = footprint.taps * footprint.phases
    if kind == POINT or events:  # a thread with one event finds the number for itself
        voxels = 2
    elif kind == TUBE:
        voxels = max(2, math.ceil(footprint.height - LEAST) + 1)
    return {
        "KIND": kind,
        "PIXELS": pixels,
        "VOXELS": voxels,
        "SHIFTS": len(footprint.shifts),
        "PHASES": footprint.phases,
        # forward, a thread takes several planes where there are many, and finds a row's pixels for all of them once
        "PLANES": 4 if planes >= 128 and pixels * voxels <= 16 else 1,
        "ROWS": 4 if pixels <= 2 else 2,
        "TOF": int(tof is not None),
    }


def launch_shape(lors, neighbours, tof_bins=1):
    """((blocks x, y, z), (threads x, y)): threads are (neighbours along planes or voxels, lines of response).

    The number of blocks is limited along y and z (65535), hence the lines along x.
    """
    along = min(256, -(-neighbours // 32) * 32) if neighbours > 16 else 1 << (int(neighbours) - 1).bit_length()
    beside = max(1, 128 // along)
    return (-(-int(lors) // beside), -(-int(neighbours) // along), int(tof_bins)), (along, beside)


def event_launch_shape(events):
    """The same for one thread an event: at least one block, or CUDA refuses."""
    return (max(1, -(-int(events) // 128)), 1, 1), (128, 1)


def _source():
    """kernels.cu with what it includes: CuPy would not notice a change in a file beside."""
    folder = files("pettutor.projector")
    kernels, tracing = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("kernels.cu", "tracing.cu"))
    return kernels.replace('#include "tracing.cu"', tracing)


class _Kernels:
    """Compiled kernels of one model, and one geometry's records in device memory."""

    def __init__(self, grid, sizes, arguments):
        import cupy

        self._cupy, self._grid, self._sizes = cupy, grid, sizes
        self._module = cupy.RawModule(code=_source(), options=(*OPTIONS, *(f"-D{k}={v}" for k, v in sizes.items())))
        on_device = {}  # what both directions need travels once
        self._arguments = {
            name: [self._to_device(a, on_device) if isinstance(a, np.ndarray) else a for a in one]
            for name, one in arguments.items()
        }

    def _to_device(self, records, on_device):
        """Records as bytes, for CuPy knows no structures."""
        if id(records) not in on_device:
            on_device[id(records)] = self._cupy.asarray(records.reshape(-1).view(np.uint8))
        return on_device[id(records)]

    def _launch(self, name, shape, source, target):
        self._module.get_function(name)(*shape, (source, target, *self._arguments[name]))
        return target

    def _rows(self, image):
        return self._cupy.ascontiguousarray(image.transpose(1, 2, 0))

    def _empty_rows(self):
        nz, ny, nx = self._grid.shape
        return self._cupy.zeros((ny, nx, nz), self._cupy.float32)

    def _image(self, rows):
        return self._cupy.ascontiguousarray(rows.transpose(2, 0, 1))


class CudaKernels(_Kernels):
    """The sinogram projector for one geometry (see `Projector._geometry`)."""

    def __init__(self, grid, lines, segments, footprint, tof=None):
        planes = int(segments["size"].sum())
        arguments = projector_arguments(grid, lines, segments, footprint, tof)
        super().__init__(grid, loop_sizes(footprint, planes, tof), arguments)
        self._sinogram = (*lines.shape[1:], *((tof.bins,) if tof else ()), planes)  # (view, bin[, tof], plane)
        self._lors, self._tof_bins = lines[0].size, tof.bins if tof else 1

    def forward(self, image):
        """CuPy image (z, y, x) to sinogram (plane, view, bin[, tof]), a view of memory (view, bin[, tof], plane)."""
        shape = launch_shape(self._lors, -(-self._sinogram[-1] // self._sizes["PLANES"]), self._tof_bins)
        sinogram = self._cupy.empty(self._sinogram, self._cupy.float32)
        return self._cupy.moveaxis(self._launch("forward", shape, self._rows(image), sinogram), -1, 0)

    def adjoint(self, sinogram):
        """CuPy sinogram (plane, view, bin[, tof]) to image (z, y, x); sums by atomics: the last bits may differ."""
        shape = launch_shape(self._lors, self._grid.shape[0], self._tof_bins)
        by_view = self._cupy.ascontiguousarray(self._cupy.moveaxis(sinogram, 0, -1))
        return self._image(self._launch("adjoint", shape, by_view, self._empty_rows()))


class CudaEventKernels(_Kernels):
    """Lists of events on one grid.

    Parameters
    ----------
    grid : ImageGrid
    lines : structured array (events,)
        LINE, from `trace_lines`.
    middles, slopes : float64 (events,)
        Axial position of the line's middle; second end minus first end. Voxels.
    differences : float64 (events,)
        The latter in mm, without its sign.
    footprint : Footprint
        One ray, ``phases`` 1; for a tube its height in voxels.
    tof, tof_bins : TimeOfFlight and int (events,), optional

    Raises
    ------
    ValueError
        ``tof`` without one bin for each event.
    """

    def __init__(self, grid, lines, middles, slopes, differences, footprint, tof=None, tof_bins=None):
        arguments = event_arguments(grid, lines, middles, slopes, differences, footprint, tof, tof_bins)
        super().__init__(grid, loop_sizes(footprint, tof=tof, events=True), arguments)
        self._events = lines.size

    def forward(self, image):
        """CuPy image (z, y, x) to values (events,)."""
        values = self._cupy.empty(self._events, self._cupy.float32)
        return self._launch("forward_events", event_launch_shape(self._events), self._rows(image), values)

    def adjoint(self, values):
        """CuPy values (events,) to image (z, y, x); sums by atomics: the last bits may differ."""
        values = self._cupy.ascontiguousarray(values)
        rows = self._launch("adjoint_events", event_launch_shape(self._events), values, self._empty_rows())
        return self._image(rows)
