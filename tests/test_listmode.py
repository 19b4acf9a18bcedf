"""List mode: arbitrary lines of response against slow references, closed forms, and the sinogram projector."""

import math
import os
import pickle
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from references import box_chords, distance_driven_weights, joseph_weights, siddon_weights
from registry import off_centre_grid, small_scanner

import pettutor as pt
from pettutor.operators import adjoint_mismatch
from pettutor.projector import event_kernels
from pettutor.projector.events import Events
from pettutor.projector.footprints import SEGMENT
from pettutor.projector.listmode import LISTMODE_MODELS, CrystalFaces, ListmodeProjector, lines_of_bins
from pettutor.projector.pairs import AHEAD, ONE, OTHER, PLANES, add_pairs, sum_pairs
from pettutor.projector.tracing import LEAST

GRIDS = {
    "off centre": off_centre_grid(),
    "flat voxels": pt.ImageGrid((9, 8, 11), (0.9, 4.4, 3.8), (-2.0, 3.0, 1.0)),
    "one voxel": pt.ImageGrid((1, 1, 1), (5.0, 8.0, 6.0), (1.0, -2.0, 3.0)),
}
SCANNERS = {"span 3": {}, "span 1": {"span": 1}, "steep": {"ring_pitch": 19.0}}


def random_lines(grid, count, seed):
    """Lines of any direction that pass near the grid, some of which end in it."""
    rng = np.random.default_rng(seed)
    through = np.array(grid.centre) + (rng.random((count, 3)) - 0.5) * 1.3 * np.array(grid.size)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    before, after = rng.uniform(0.1, 2.0, (2, count, 1)) * max(grid.size)
    return through - before * direction, through + after * direction


def random_faces(starts, ends, seed, width=4.1, height=5.3):
    """Faces within 40 degrees of standing across the lines, some turned the other way round."""
    rng = np.random.default_rng(seed)
    across = np.arctan2(*(ends - starts)[:, 1:].T) + np.pi / 2
    angles = across + rng.uniform(-0.7, 0.7, (2, len(starts))) + np.pi * rng.integers(0, 2, (2, len(starts)))
    return CrystalFaces(*np.stack([np.sin(angles), np.cos(angles)], axis=-1), width, height)


def case(model, grid, count, seed):
    """Starts, ends, faces (or None)."""
    starts, ends = random_lines(grid, count, seed)
    if model != "distance_driven":
        return starts, ends, None
    # crystals lie apart: lines longer than a face, mostly transaxial
    long = np.abs(ends - starts)[:, 1:].max(axis=1) > 8
    starts, ends = starts[long], ends[long]
    return starts, ends, random_faces(starts, ends, seed)


def projector(starts, ends, grid, model, faces=None, **options):
    return ListmodeProjector(starts, ends, grid, model, device="cpu", faces=faces, **options)


def reference(model, start, end, grid, faces, event):
    """One line's weights as a dense image."""
    if model == "distance_driven":
        tangents = faces.start_tangents[event], faces.end_tangents[event]
        weights = distance_driven_weights(start, end, tangents, faces.width, faces.height, grid)
    else:
        weights = {"joseph": joseph_weights, "siddon": siddon_weights}[model](start, end, grid)
    dense = np.zeros(grid.shape)
    for voxel, weight in weights.items():
        dense[voxel] = weight
    return dense


def close_to(expected, relative=1e-5):
    """Equal to within a part of each number, or of the greatest one."""
    return pytest.approx(expected, rel=relative, abs=relative * float(np.max(expected)))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_any_line_against_slow_references(model, grid):
    starts, ends, faces = case(model, grid, 300, 1)
    Z = projector(starts, ends, grid, model, faces)
    image = np.random.default_rng(2).random(grid.shape, dtype=np.float32)
    weights = np.array(
        [reference(model, *lines, grid, faces, n) for n, lines in enumerate(zip(starts, ends, strict=True))]
    )
    expected = (weights * image).sum(axis=(1, 2, 3))
    assert (expected > 0.3 * expected.max()).sum() > 20
    assert Z(image) == close_to(expected, 2e-5)
    values = np.random.default_rng(3).random(len(starts), dtype=np.float32)
    back = np.tensordot(values, weights, 1)
    assert Z.T(values) == close_to(back, 2e-5)


@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_lines_that_meet_many_planes(model):
    """The kernels deal with 128 planes at a time: lines along x meet three such blocks, along y two."""
    grid = pt.ImageGrid((3, 150, 290), (9.0, 2.1, 1.7), (1.3, -4.2, 5.7))
    rng = np.random.default_rng(21)
    half, side = 0.7 * np.array(grid.size), np.where(np.arange(40) < 25, 2, 1)  # along x, along y
    starts, ends = (np.array(grid.centre) + (rng.random((40, 3)) - 0.5) * 0.6 * np.array(grid.size) for _ in "ab")
    starts[np.arange(40), side], ends[np.arange(40), side] = -half[side], half[side]
    faces = random_faces(starts, ends, 3) if model == "distance_driven" else None
    Z = projector(starts, ends, grid, model, faces)
    met = Z._events.lines["last"] - Z._events.lines["first"]
    assert met.max() > 256 and ((met > 128) & (met < 256)).any()
    image = rng.random(grid.shape, dtype=np.float32)
    weights = np.array(
        [reference(model, *lines, grid, faces, n) for n, lines in enumerate(zip(starts, ends, strict=True))]
    )
    assert Z(image) == close_to((weights * image).sum(axis=(1, 2, 3)), 2e-5)
    assert adjoint_mismatch(Z)[0] < 1e-5


def test_all_walk_axes_are_met():
    """The random lines above really run along each of the three axes, and along z beyond Siddon's own limit."""
    starts, ends = random_lines(GRIDS["off centre"], 300, 1)
    step = np.abs(ends - starts)
    assert all((step.argmax(axis=1) == axis).sum() > 50 for axis in range(3))
    assert (step[:, 0] > 4 * step[:, 1:].max(axis=1)).sum() > 5


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 14), st.integers(1, 14)),
    size=st.tuples(st.floats(0.7, 9), st.floats(0.7, 9), st.floats(0.7, 9)),
    centre=st.tuples(st.floats(-9, 9), st.floats(-20, 20), st.floats(-20, 20)),
    seed=st.integers(0, 1000),
    model=st.sampled_from(LISTMODE_MODELS),
)
@example(shape=(1, 2, 2), size=(1.0, 2.0, 3.0), centre=(0.0, 0.0, 0.0), seed=9, model="siddon")  # a grazing line
@settings(max_examples=60, deadline=None)
def test_any_grid_and_any_lines(shape, size, centre, seed, model):
    grid = pt.ImageGrid(shape, size, centre)
    starts, ends, faces = case(model, grid, 40, seed)
    if len(starts) == 0:
        return
    Z = projector(starts, ends, grid, model, faces)
    assert adjoint_mismatch(Z, seed)[0] < 1e-5
    if model == "siddon":
        # to settle ties a line counts as up to LEAST voxels beside where it is: much, where it grazes a face
        half, least = 0.5 * np.array(grid.size), LEAST * np.array(size)
        chords, tolerance = Z(np.ones(shape, np.float32)), 1e-5 * half.max()
        for sign in (-1, 1):
            room = half + sign * least
            inside = box_chords(starts, ends, np.array(centre) - room, np.array(centre) + room)
            assert (sign * (inside - chords) > -1e-5 * inside - tolerance).all()


@pytest.mark.parametrize("tof", [None, pt.TimeOfFlight(5, 11.0, 14.0)], ids=["plain", "tof"])
@pytest.mark.parametrize("name", SCANNERS)
@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_agrees_with_the_sinogram_projector(model, name, tof):
    scanner, grid = small_scanner(**SCANNERS[name]), off_centre_grid()
    X = pt.Projector(scanner, grid, model=model, device="cpu", tof=tof)
    rng = np.random.default_rng(4)
    live = np.argwhere(np.broadcast_to(scanner.live_bins, scanner.sinogram_shape))
    index = tuple(live[rng.permutation(len(live))].T)
    starts, ends = (points[index] for points in scanner.lor_endpoints())
    faces, times = None, {}
    if model == "distance_driven":
        tangents = scanner.crystal_tangents[scanner.bin_crystals[index[1:]]]
        faces = CrystalFaces(tangents[:, 0], tangents[:, 1], scanner.crystal_pitch, scanner.ring_pitch)
    if tof:
        times = {"tof": tof, "tof_bins": rng.integers(0, tof.bins, len(starts))}
        index = (*index, times["tof_bins"])
    Z = projector(starts, ends, grid, model, faces, **times)
    image = rng.random(grid.shape, dtype=np.float32)
    expected = X(image)[index]
    assert np.count_nonzero(expected) > 500
    assert Z(image) == close_to(expected, 3e-6)
    values, sinogram = rng.random(len(starts), dtype=np.float32), np.zeros(X.out_shape, np.float32)
    sinogram[index] = values
    back = X.T(sinogram)
    assert Z.T(values) == close_to(back, 3e-6)


@pytest.mark.parametrize("model", ["siddon", "joseph"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lines_parallel_to_an_axis(model, axis):
    """Through a row of voxel centres, either way round: the row's sum times the voxel's length, nothing beside it."""
    grid = off_centre_grid()
    voxel = [3, 7, 9]
    point = np.array([c[n] for c, n in zip(grid.coordinates(), voxel, strict=True)])
    ends = np.array([point, point])
    ends[0, axis], ends[1, axis] = -200.0, 200.0
    Z = projector(ends[:1].repeat(2, 0), ends[1:].repeat(2, 0), grid, model)
    Z_back = projector(ends[1:], ends[:1], grid, model)
    image = np.random.default_rng(5).random(grid.shape, dtype=np.float32)
    row = tuple(slice(None) if a == axis else n for a, n in enumerate(voxel))
    expected = image[row].sum(dtype=float) * grid.voxel_size[axis]
    assert Z(image) == pytest.approx([expected] * 2, rel=1e-6)
    assert Z_back(image) == pytest.approx([expected], rel=1e-6)
    weights = Z_back.T(np.ones(1, np.float32))
    assert weights[row] == pytest.approx(grid.voxel_size[axis], rel=1e-6)
    assert weights.sum(dtype=float) == pytest.approx(grid.size[axis], rel=1e-6)


@pytest.mark.parametrize("tilt", [1e-13, 1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("model", ["siddon", "joseph"])
def test_lines_almost_parallel_to_z(model, tilt):
    """Off the voxels' centres, a hair beside z: as the line that is parallel to z, to within the tilt."""
    grid = off_centre_grid()
    point = np.array([0.0, -4.9, 6.2])
    image = np.random.default_rng(6).random(grid.shape, dtype=np.float32)
    step = np.array([[90.0, 0.7 * tilt, -tilt]])
    one, other = (projector(point - s, point + s, grid, model)(image) for s in (step, step * [1, 0, 0]))
    assert one == pytest.approx(other, rel=1e-5 + tilt)


def test_ties_of_the_walk_axis():
    """At 45 degrees between z and x, y and x, and in space: defined, as the reference (x before y before z)."""
    grid = pt.ImageGrid((6, 8, 9), (2.0, 2.0, 2.0), (0.5, 1.0, -0.7))
    step = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [-1, 1, 1], [1, 1, -1]]) * 30.0
    image = np.random.default_rng(7).random(grid.shape, dtype=np.float32)
    middle = np.array([0.3, 0.4, -0.2])
    for model in ("joseph", "siddon"):
        expected = [(reference(model, middle - s, middle + s, grid, None, 0) * image).sum() for s in step]
        assert projector(middle - step, middle + step, grid, model)(image) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_lines_that_miss_give_exactly_zero(model):
    grid = pt.ImageGrid((3, 4, 5), (2.0, 3.0, 2.5), (4.0, 12.0, -9.0))
    starts, ends = random_lines(pt.ImageGrid((1, 1, 1), (90.0, 90.0, 90.0), grid.centre), 3000, 8)
    long = np.abs(ends - starts)[:, 1:].max(axis=1) > 30
    starts, ends = starts[long], ends[long]
    # nothing of the tube or of the interpolation reaches further than this beside the grid
    half = 0.5 * np.array(grid.size) + 6
    miss = box_chords(starts, ends, grid.centre - half, grid.centre + half) == 0
    faces = random_faces(starts, ends, 8, 3.0, 3.0) if model == "distance_driven" else None
    Z = projector(starts, ends, grid, model, faces)
    values = Z(np.ones(grid.shape, np.float32))
    assert miss.sum() > 500 and (values[~miss] > 0).sum() > 30
    assert not values[miss].any()
    assert not Z.T(miss.astype(np.float32)).any()


def test_the_callers_order_is_kept():
    grid = off_centre_grid()
    starts, ends = random_lines(grid, 500, 9)
    order = np.random.default_rng(0).permutation(500)
    image = np.random.default_rng(1).random(grid.shape, dtype=np.float32)
    values = projector(starts, ends, grid, "joseph")(image)
    assert len(np.unique(values)) > 300
    assert np.array_equal(projector(starts[order], ends[order], grid, "joseph")(image), values[order])


@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_subsets(model):
    grid = off_centre_grid()
    starts, ends, faces = case(model, grid, 400, 10)
    tof = pt.TimeOfFlight(3, 30.0, 20.0)
    times = np.random.default_rng(0).integers(0, 3, len(starts))
    Z = projector(starts, ends, grid, model, faces, tof=tof, tof_bins=times)
    rng = np.random.default_rng(1)
    image, values = rng.random(grid.shape, dtype=np.float32), rng.random(len(starts), dtype=np.float32)
    whole = Z(image)
    parts = [Z.subset(k, 7) for k in range(7)]
    assert all(np.array_equal(part(image), whole[k::7]) for k, part in enumerate(parts))
    back = sum(part.T(values[k::7]).astype(float) for k, part in enumerate(parts))
    assert back == close_to(Z.T(values))
    part = Z.subset(1, 3).subset(2, 5)
    assert np.array_equal(part(image), whole[1::3][2::5])
    assert np.shares_memory(part._events.lines, Z._events.lines) and "events 7::15" in repr(part)
    assert np.array_equal(pickle.loads(pickle.dumps(part))(image), part(image))
    with pytest.raises(ValueError, match=f"expected 0 <= k < n <= {part.out_shape[0]}"):
        part.subset(0, 4000)


def test_no_event_at_all():
    grid = off_centre_grid()
    Z = projector(np.zeros((0, 3)), np.zeros((0, 3)), grid, "joseph")
    assert Z(np.ones(grid.shape, np.float32)).shape == (0,)
    assert not Z.T(np.zeros(0, np.float32)).any()


@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_time_of_flight_adds_up(model):
    grid = off_centre_grid()
    starts, ends, faces = case(model, grid, 200, 11)
    tof = pt.TimeOfFlight(21, 9.0, 17.0)
    length = np.linalg.norm(ends - starts, axis=1)
    kept = length < 2 * (tof.edges[-1] - tof.reach)  # wholly inside the bins
    assert kept.sum() > 100
    starts, ends = starts[kept], ends[kept]
    faces = faces and faces._replace(start_tangents=faces[0][kept], end_tangents=faces[1][kept])
    image = np.random.default_rng(12).random(grid.shape, dtype=np.float32)
    bins = [np.full(len(starts), t) for t in range(tof.bins)]
    each = [projector(starts, ends, grid, model, faces, tof=tof, tof_bins=t) for t in bins]
    plain = projector(starts, ends, grid, model, faces)(image)
    assert sum(Z(image) for Z in each) == close_to(plain)
    assert max(adjoint_mismatch(Z)[0] for Z in each[7:14]) < 1e-5


@pytest.mark.parametrize("direction", [(0, 0, 1), (0, -1, 0), (1, 0, 0), (0.3, 0.7, -0.6)])
def test_time_of_flight_of_a_hot_voxel(direction):
    """A line through a voxel's centre: its chord there times the Gaussian's share of each bin."""
    grid = off_centre_grid()
    voxel = (4, 3, 11)
    point = np.array([c[n] for c, n in zip(grid.coordinates(), voxel, strict=True)])
    unit = np.array(direction) / np.linalg.norm(direction)
    start, end = point - 61 * unit, point + 103 * unit  # the voxel lies 21 mm before the middle
    image = np.zeros(grid.shape, np.float32)
    image[voxel] = 1
    tof = pt.TimeOfFlight(7, 15.0, 24.0)
    sigma = 24.0 / (2 * math.sqrt(2 * math.log(2)))

    def below(edge):
        x = min(max((edge + 21) / sigma, -3), 3)
        return 0.5 + 0.5 * math.erf(x / math.sqrt(2)) / math.erf(3 / math.sqrt(2))

    chord = min(d / abs(u) for d, u in zip(grid.voxel_size, unit, strict=True) if u)
    expected = [chord * (below((t - 2.5) * 15.0) - below((t - 3.5) * 15.0)) for t in range(7)]
    points = (np.tile(p, (7, 1)) for p in (start, end))
    Z = projector(*points, grid, "siddon", tof=tof, tof_bins=np.arange(7))
    assert max(expected) > 0.3 * chord
    assert Z(image) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_lines_of_bins():
    scanner = small_scanner()
    live = np.argwhere(np.broadcast_to(scanner.live_bins, scanner.sinogram_shape))[::17]
    starts, ends, faces = lines_of_bins(scanner, *live.T)
    expected = [points[tuple(live.T)] for points in scanner.lor_endpoints()]
    assert np.array_equal(starts, expected[0]) and np.array_equal(ends, expected[1])
    assert (faces.width, faces.height) == (scanner.crystal_pitch, scanner.ring_pitch)
    # a face lies along its block: at right angles to the direction of the block's middle
    block = scanner.bin_crystals[live[:, 1], live[:, 2], 1] // scanner.positions_per_block
    angle = scanner.first_block_angle - 2 * np.pi * block / scanner.blocks
    middle = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    assert (faces.end_tangents * middle).sum(axis=1) == pytest.approx(0, abs=1e-12)
    one = np.array([0])
    with pytest.raises(ValueError, match="views: expected 0 to 19, got 20 to 20"):
        lines_of_bins(scanner, one, one + 20, one)
    with pytest.raises(TypeError, match="bins: expected whole numbers, got dtype float64"):
        lines_of_bins(scanner, one, one, one + 0.5)
    with pytest.raises(ValueError, match="views: expected one for each of 1 events, got 2"):
        lines_of_bins(scanner, one, np.array([1, 2]), one)
    dead = np.argwhere(~scanner.live_bins)[0]
    with pytest.raises(ValueError, match="expected bins that join two crystals, got 1"):
        lines_of_bins(scanner, one, dead[:1], dead[1:])
    with pytest.raises(TypeError, match=r"scanner: expected a pettutor\.Scanner, got 'mini'"):
        lines_of_bins("mini", one, one, one)


THREADS = """
import sys, numpy as np, pettutor as pt
from test_listmode import case, projector
grid = pt.ImageGrid((31, 30, 34), (2, 8, 7))
for model in ("joseph", "siddon", "distance_driven"):
    starts, ends, faces = case(model, grid, 3000, 3)
    Z = projector(starts, ends, grid, model, faces)
    rng = np.random.default_rng(0)
    x, y = rng.random(Z.in_shape, dtype=np.float32), rng.random(Z.out_shape, dtype=np.float32)
    sys.stdout.buffer.write(Z(x).tobytes() + Z.T(y).tobytes())
"""


def run(code, **environment):
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment | {"PYTHONPATH": path}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_threads_do_not_change_a_bit():
    results = [run(THREADS, PETTUTOR_THREADS=n) for n in ("1", "2", "5")]
    assert len(results[0]) > 300_000 and results[0] == results[1] == results[2]


def test_nothing_is_written_outside_arrays(tmp_path):
    """The kernels once more with numba's bounds checker: grids of one voxel, tubes far wider than a voxel, all axes."""
    code = (
        "import numpy as np, pettutor as pt\n"
        "from test_listmode import GRIDS, case, projector\n"
        "tof = pt.TimeOfFlight(3, 30.0, 20.0)\n"
        "for model in ('joseph', 'siddon', 'distance_driven'):\n"
        "    for grid in (*GRIDS.values(), pt.ImageGrid((40, 3, 2), (0.4, 0.5, 0.6))):\n"
        "        starts, ends, faces = case(model, grid, 300, 5)\n"
        "        for more in ({}, {'tof': tof, 'tof_bins': np.arange(len(starts)) % 3}):\n"
        "            Z = projector(starts, ends, grid, model, faces, **more)\n"
        "            Z.T(Z(np.ones(grid.shape, np.float32)))\n"
        "print('checked')"
    )
    assert run(code, NUMBA_BOUNDSCHECK="1", NUMBA_OPT="1", NUMBA_CACHE_DIR=str(tmp_path)).strip() == b"checked"


class CpuInsteadOfCuda:
    """Stands in for CudaEventKernels, which knows flat lines only: the CPU's kernels on what it is given."""

    def __init__(self, grid, lines, middles, slopes, differences, footprint, tof, tof_bins):
        count = len(lines)
        axial = np.ones(count, SEGMENT)
        axial["middle"], axial["slope"], axial["difference"], axial["start"] = (
            middles,
            slopes,
            differences,
            range(count),
        )
        times = np.zeros(count, np.int32) if tof is None else tof_bins
        along_y = int(np.argmax(lines["along_y"])) if lines["along_y"].any() else count
        events = Events(lines, axial, times, (0, along_y, count, count))
        self._geometry = events, np.arange(count), (0, 1), grid, footprint, tof

    def forward(self, image):
        return event_kernels.forward(image, *self._geometry)

    def adjoint(self, values):
        return event_kernels.adjoint(values, *self._geometry)


@pytest.mark.parametrize("tof", [None, pt.TimeOfFlight(3, 30.0, 20.0)], ids=["plain", "tof"])
@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_what_the_gpu_is_given(model, tof, monkeypatch):
    """Steep lines on the turned grid, each value in its place: with NumPy in CuPy's role."""
    from pettutor.projector import cuda

    monkeypatch.setattr(cuda, "CudaEventKernels", CpuInsteadOfCuda, raising=False)
    grid = off_centre_grid()
    starts, ends, faces = case(model, grid, 300, 13)
    times = {"tof": tof, "tof_bins": np.arange(len(starts)) % 3} if tof else {}
    Z = projector(starts, ends, grid, model, faces, **times)
    assert model == "distance_driven" or 5 < Z._events.bounds[2] < len(starts) - 5
    rng = np.random.default_rng(0)
    image, values = rng.random(Z.in_shape, dtype=np.float32), rng.random(Z.out_shape, dtype=np.float32)
    for operator, data in ((Z, values), (Z.subset(2, 3), values[2::3])):
        assert operator._cuda_forward(np, image) == close_to(operator(image), 1e-6)
        assert operator._cuda_adjoint(np, data) == close_to(operator.T(data), 1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("tof", [None, pt.TimeOfFlight(3, 30.0, 20.0)], ids=["plain", "tof"])
@pytest.mark.parametrize("model", LISTMODE_MODELS)
def test_gpu_equals_cpu(model, tof):
    grid = off_centre_grid()
    starts, ends, faces = case(model, grid, 300, 13)
    times = {"tof": tof, "tof_bins": np.arange(len(starts)) % 3} if tof else {}
    one, two = (ListmodeProjector(starts, ends, grid, model, device, faces, **times) for device in ("cpu", "cuda"))
    rng = np.random.default_rng(0)
    image, values = rng.random(one.in_shape, dtype=np.float32), rng.random(one.out_shape, dtype=np.float32)
    for a, b, data in (
        (one, two, image),
        (one.T, two.T, values),
        (one.subset(1, 3).T, two.subset(1, 3).T, values[1::3]),
    ):
        expected = a(data)
        assert b(data) == close_to(expected)


def test_refusals():
    grid = off_centre_grid()
    starts, ends = np.zeros((4, 3)), np.ones((4, 3)) * [1.0, 40.0, 50.0]

    def refused(error, match, start=starts, end=ends, on=grid, **options):
        with pytest.raises(error, match=match):
            ListmodeProjector(start, end, on, **{"device": "cpu", **options})

    bad = ends.copy()
    bad[2, 1] = np.nan
    refused(ValueError, "ends: expected finite values, got 1 NaN or infinite of 12", end=bad)
    bad[2] = 0
    refused(
        ValueError, r"expected lines with a length, got 1 whose two ends are the same point, first event 2", end=bad
    )
    refused(
        ValueError, r"starts: expected points \(z, y, x\), shape \(events, 3\), got shape \(4, 2\)", start=starts[:, :2]
    )
    refused(ValueError, r"ends: expected as many events as starts has \(4\), got 3", end=ends[:3])
    refused(TypeError, "starts: expected a NumPy or CuPy array, got list", start=[[0.0, 0.0, 0.0]])
    refused(TypeError, "starts: expected dtype float64 or float32", start=starts.astype(int))
    refused(TypeError, "grid: expected a pettutor.ImageGrid, got None", on=None)
    refused(
        ValueError, "model: expected one of 'joseph', 'siddon', 'distance_driven', got 'multi_ray'", model="multi_ray"
    )
    refused(ValueError, "device: expected one of 'auto', 'cpu', 'cuda', got 'tpu'", device="tpu")

    driven = {"model": "distance_driven"}
    tangents = np.tile([0.6, 0.8], (4, 1))
    faces = CrystalFaces(tangents, tangents, 4.0, 4.0)
    refused(TypeError, "faces: expected pettutor.CrystalFaces .'distance_driven' needs them., got None", **driven)
    refused(
        ValueError,
        "faces: expected None .only 'distance_driven' takes crystal faces., got 'siddon'",
        model="siddon",
        faces=faces,
    )
    refused(
        ValueError,
        r"faces.end_tangents: expected shape \(4, 2\)",
        faces=faces._replace(end_tangents=tangents[1:]),
        **driven,
    )
    refused(
        ValueError,
        "faces.start_tangents: expected unit vectors",
        faces=faces._replace(start_tangents=2 * tangents),
        **driven,
    )
    refused(
        ValueError, "faces.height: expected a positive length in mm, got -1", faces=faces._replace(height=-1), **driven
    )
    upright = starts + np.array([50.0, 3.0, 3.0])
    refused(
        ValueError,
        "expected lines longer than a face's width .4 mm. along x or y, got 4",
        end=upright,
        faces=faces,
        **driven,
    )

    tof, bins = pt.TimeOfFlight(3, 30.0, 20.0), np.array([0, 1, 2, 2])
    refused(ValueError, "tof_bins: expected together with tof, got None", tof=tof)
    refused(ValueError, "tof: expected together with tof_bins, got None", tof_bins=bins)
    refused(TypeError, "tof: expected a pettutor.TimeOfFlight or None, got 3", tof=3, tof_bins=bins)
    refused(ValueError, "tof_bins: expected 0 to 2, got 0 to 3", tof=tof, tof_bins=np.array([0, 3, 1, 1]))
    refused(ValueError, "tof_bins: expected one for each of 4 events, got 3", tof=tof, tof_bins=bins[:3])
    refused(TypeError, "tof_bins: expected whole numbers, got dtype float64", tof=tof, tof_bins=bins + 0.0)

    Z = ListmodeProjector(starts, ends, grid, device="cpu")
    with pytest.raises(ValueError, match=r"values: expected shape \(4,\)"):
        Z.T(np.ones(5, np.float32))


def test_cuda_without_a_gpu_is_an_error():
    from pettutor.arrays import find_cupy

    if find_cupy() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match="device='cuda': expected CuPy and a CUDA GPU, found none here"):
        ListmodeProjector(np.zeros((1, 3)), np.ones((1, 3)), off_centre_grid(), device="cuda")


# ---- the inner loops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11, PLANES])
def test_two_rows_of_two_voxels_a_plane(count):
    """Both loops against NumPy; rows of different planes overlap, and in plane 2 both rows are the same."""
    rng = np.random.default_rng(count)
    image = rng.random(90, dtype=np.float32)
    places = rng.integers(-20, 60, 2 * PLANES + AHEAD).astype(np.int32)
    places[OTHER + 2] = places[ONE + 2]
    weights = rng.random(7 + 4 * PLANES, dtype=np.float32)
    own = weights[7:].reshape(4, PLANES)[:, :count].astype(float)
    base = 25
    voxels = base + places[[ONE, ONE, OTHER, OTHER] + np.arange(count)[:, None]].T + np.array([[0], [1], [0], [1]])
    found = numba.njit(lambda a, b, c, d, e, f: sum_pairs(a, b, c, d, e, f))(image, base, places, weights, 7, count)
    assert found == pytest.approx((own * image[voxels]).sum(), rel=1e-5)
    expected = image.astype(float)
    np.add.at(expected, voxels, 0.3 * own)
    run = numba.njit(lambda v, a, b, c, d, e, f: add_pairs(v, a, b, c, d, e, f))
    run(np.float32(0.3), image, base, places, weights, 7, count)
    np.testing.assert_allclose(image, expected, rtol=1e-5)
