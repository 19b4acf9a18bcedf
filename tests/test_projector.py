"""The projector against exact chords, an independent plane-by-plane interpolation, and geometry's own laws."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import ellipsoid_chords, ellipsoid_image, joseph_integral, joseph_weights
from registry import off_centre_grid, small_scanner

import pettutor as pt
from pettutor.operators import adjoint_mismatch

GEOMETRIES = {
    "span 3": (small_scanner(), small_scanner().image_grid()),
    "span 1": (small_scanner(span=1), small_scanner().image_grid()),
    "off centre": (small_scanner(), off_centre_grid()),
    "steep": (small_scanner(ring_pitch=19.0), off_centre_grid()),
    "beyond the ring": (small_scanner(), pt.ImageGrid((5, 40, 37), (6.0, 2.4, 2.6), (0.0, 3.0, 1.0))),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_equals_independent_joseph(name):
    scanner, grid = GEOMETRIES[name]
    X = pt.Projector(scanner, grid, device="cpu")
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    sinogram = X(image)
    starts, ends = scanner.lor_endpoints()
    rng = np.random.default_rng(1)
    live = np.argwhere(np.broadcast_to(scanner.live_bins, sinogram.shape))
    for index in map(tuple, live[rng.choice(len(live), 500, replace=False)]):
        expected = joseph_integral(image, starts[index], ends[index], grid)
        assert sinogram[index] == pytest.approx(expected, rel=2e-5, abs=2e-4)


def test_steep_lines_are_really_met():
    scanner, grid = GEOMETRIES["steep"]
    starts, ends = scanner.lor_endpoints()
    step = np.abs(ends - starts)
    steep = (step[..., 0] > step[..., 1:].max(-1)) & scanner.live_bins
    assert (pt.Projector(scanner, grid, device="cpu")(np.ones(grid.shape, np.float32))[steep] > 0).sum() > 20


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 14), st.integers(1, 14)),
    size=st.tuples(st.floats(0.7, 9), st.floats(0.7, 9), st.floats(0.7, 9)),
    centre=st.tuples(st.floats(-9, 9), st.floats(-20, 20), st.floats(-20, 20)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_grid(shape, size, centre, seed):
    scanner, grid = small_scanner(), pt.ImageGrid(shape, size, centre)
    try:
        X = pt.Projector(scanner, grid, device="cpu")
    except ValueError as error:
        assert "expected a grid that lines of response" in str(error)
        return
    assert adjoint_mismatch(X, seed)[0] < 1e-5
    rng = np.random.default_rng(seed)
    image = rng.random(grid.shape, dtype=np.float32)
    sinogram = X(image)
    starts, ends = scanner.lor_endpoints()
    live = np.argwhere(np.broadcast_to(scanner.live_bins, sinogram.shape))
    for index in map(tuple, live[rng.choice(len(live), 8, replace=False)]):
        expected = joseph_integral(image, starts[index], ends[index], grid)
        assert sinogram[index] == pytest.approx(expected, rel=5e-5, abs=1e-3)


def test_back_projection_of_one_bin_is_its_weights():
    scanner, grid = GEOMETRIES["off centre"]
    X = pt.Projector(scanner, grid, device="cpu")
    starts, ends = scanner.lor_endpoints()
    index = (3, 7, 10)
    assert scanner.live_bins[7, 10]
    sinogram = np.zeros(X.out_shape, np.float32)
    sinogram[index] = 2
    expected = np.zeros(grid.shape)
    for voxel, weight in joseph_weights(starts[index], ends[index], grid).items():
        expected[voxel] = 2 * weight
    assert expected.max() > 0
    assert X.T(sinogram) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["span 3", "steep"])
def test_dead_bins_are_zero(name):
    scanner, grid = GEOMETRIES[name]
    X = pt.Projector(scanner, grid, device="cpu")
    sinogram = X(np.ones(grid.shape, np.float32))
    dead = np.broadcast_to(~scanner.live_bins, X.out_shape)
    assert dead.any() and not sinogram[dead].any()
    assert not X.T(dead.astype(np.float32)).any()


@pytest.mark.parametrize(
    ("name", "centre", "semi_axes"),
    [
        ("cylinder", (0.0, 0.0, 0.0), (np.inf, 70.0, 70.0)),
        ("off-centre ellipsoid", (4.0, -21.0, 33.0), (22.0, 60.0, 41.0)),
    ],
)
def test_chords_of_smooth_objects(name, centre, semi_axes):
    scanner = pt.Scanner.preset("mini")
    grid = scanner.image_grid()
    X = pt.Projector(scanner, grid, device="cpu")
    sinogram = X(ellipsoid_image(grid, centre, semi_axes))
    views = slice(0, 144, 7)
    starts, ends = scanner.lor_endpoints(views=views)
    chords = ellipsoid_chords(starts, ends, centre, semi_axes)
    # lines that stay inside the grid axially where the object has no end of its own
    inside = np.broadcast_to(scanner.live_bins[views], chords.shape)
    if name == "cylinder":
        inside = inside & (np.abs(starts[..., 0]) <= 30) & (np.abs(ends[..., 0]) <= 30)
    got, want = sinogram[:, views][inside], chords[inside]
    assert len(want) > 20_000
    assert got.mean(dtype=float) == pytest.approx(want.mean(), rel=5e-3)
    for segment in (scanner.segments[0], scanner.segments[3], scanner.segments[4]):
        part = np.zeros(chords.shape, bool)
        part[segment.planes] = inside[segment.planes]
        if part.any():
            assert sinogram[:, views][part].mean(dtype=float) == pytest.approx(chords[part].mean(), rel=5e-3)
    long = want > 30
    assert np.sqrt(np.mean((got[long] / want[long] - 1) ** 2)) < 0.03


def test_point_source_is_seen_by_the_lines_through_it():
    """An asymmetric source settles every axis and sign: only lines that pass within a voxel's reach see it."""
    scanner = pt.Scanner.preset("mini")
    grid = scanner.image_grid()
    voxel = (24, 37, 80)
    image = np.zeros(grid.shape, np.float32)
    image[voxel] = 1
    views = slice(0, 144, 11)
    sinogram = pt.Projector(scanner, grid, device="cpu")(image)[:, views]
    point = np.array([c[i] for c, i in zip(grid.coordinates(), voxel, strict=True)])
    starts, ends = scanner.lor_endpoints(views=views)
    direction = ends - starts
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    distance = np.linalg.norm(np.cross(point - starts, unit), axis=-1)
    seen = sinogram > 0
    live = np.broadcast_to(scanner.live_bins[views], seen.shape)
    assert distance[seen].max() < 2.0 * np.sqrt(2) + 1e-6
    assert seen[live & (distance < 0.7)].all() and (live & (distance < 0.7)).sum() > 20
    # above the middle: the positive segment (second end higher) sees it in other planes than the negative one
    negative, positive = scanner.segments[3], scanner.segments[4]
    assert (negative.number, positive.number) == (-2, 2)
    assert (ends - starts)[positive.planes.start, 0, 0, 0] > 0 > (ends - starts)[negative.planes.start, 0, 0, 0]


def test_rotation_by_a_block():
    """A quarter turn of image and ring is a shift of views: 32 blocks of 9 positions turn into each other."""
    scanner = pt.Scanner.preset("slab", first_block_angle=np.pi / 2)
    grid = scanner.image_grid((1, 64, 64), (4.0, 4.0, 4.0))
    X = pt.Projector(scanner, grid, device="cpu")
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    turned = np.ascontiguousarray(np.rot90(image, -1, axes=(1, 2)))  # clockwise, as the crystals count
    a, b = X(image), X(turned)
    shift = 72  # a quarter of 288 positions
    live = scanner.live_bins[shift:] & scanner.live_bins[: 144 - shift]
    diagonal = 1e-3 * a.max()  # lines at 45° may choose the other walk axis, so compare in sum as well
    close = np.abs(b[0, shift:] - a[0, : 144 - shift]) < diagonal
    assert close[live].mean() > 0.97
    assert b[0, shift:][live].sum() == pytest.approx(a[0, : 144 - shift][live].sum(), rel=1e-4)


def test_moved_source_and_moved_grid_are_the_same():
    scanner = small_scanner()
    image = np.random.default_rng(2).random((3, 6, 7), dtype=np.float32)
    small = pt.ImageGrid((3, 6, 7), (2.5, 2.2, 1.9), (2.5, -4.4, 1.9))
    large = pt.ImageGrid((11, 26, 27), (2.5, 2.2, 1.9))
    embedded = np.zeros(large.shape, np.float32)
    k, j, i = (round(v) for v in large.index_of(small.origin))
    embedded[k : k + 3, j : j + 6, i : i + 7] = image
    one, two = (pt.Projector(scanner, g, device="cpu")(x) for g, x in ((small, image), (large, embedded)))
    assert one == pytest.approx(two, rel=1e-4, abs=1e-4 * float(two.max()))


def test_lines_that_miss_give_exactly_zero():
    scanner = small_scanner()
    grid = pt.ImageGrid((2, 3, 3), (1.0, 1.0, 1.0), (0.0, 12.0, -9.0))
    sinogram = pt.Projector(scanner, grid, device="cpu")(np.ones(grid.shape, np.float32))
    starts, ends = scanner.lor_endpoints()
    unit = (ends - starts) / np.linalg.norm(ends - starts, axis=-1, keepdims=True)
    distance = np.linalg.norm(np.cross(np.array(grid.centre) - starts, unit), axis=-1)
    assert (sinogram[distance > 4.5] == 0).all() and (distance > 4.5).sum() > 1000


def test_threads_do_not_change_a_bit():
    code = (
        "import numpy as np, pettutor as pt, sys; s = pt.Scanner.preset('mini');"
        "g = s.image_grid((31, 30, 34), (2, 8, 7));"
        "X = pt.Projector(s, g, device='cpu'); x = np.random.default_rng(0).random(g.shape, dtype=np.float32);"
        "y = X(x); sys.stdout.buffer.write(y.tobytes()[:4000] + X.T(y).tobytes())"
    )
    results = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PETTUTOR_THREADS": n}, capture_output=True, check=True
        ).stdout
        for n in ("1", "2", "3")
    ]
    assert len(results[0]) > 4000 and results[0] == results[1] == results[2]


def test_nothing_is_written_outside_arrays(tmp_path):
    """The kernels once more with numba's bounds checker, on the awkward geometries."""
    code = (
        "import numpy as np; from registry import OPERATORS\n"
        "for name, make in OPERATORS.items():\n"
        "    if 'joseph' in name:\n"
        "        A = make(); A.T(A(np.ones(A.in_shape, np.float32)))\n"
        "print('checked')"
    )
    env = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "checked", done.stderr


def test_subset_of_a_subset():
    scanner, grid = GEOMETRIES["off centre"]
    X = pt.Projector(scanner, grid, device="cpu")
    x = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    assert np.array_equal(X.subset(1, 2).subset(2, 3)(x), X(x)[:, 5::6])
    assert "views 5::6" in repr(X.subset(1, 2).subset(2, 3))


def test_refusals():
    scanner = small_scanner()
    grid = scanner.image_grid()
    with pytest.raises(TypeError, match=r"scanner: expected a pettutor.Scanner, got 'mini'"):
        pt.Projector("mini", grid)
    with pytest.raises(TypeError, match=r"grid: expected a pettutor.ImageGrid, got \(1, 2, 3\)"):
        pt.Projector(scanner, (1, 2, 3))
    with pytest.raises(ValueError, match="model: expected one of 'joseph', got 'nearest'"):
        pt.Projector(scanner, grid, model="nearest")
    with pytest.raises(ValueError, match="device: expected one of 'auto', 'cpu', 'cuda', got 'tpu'"):
        pt.Projector(scanner, grid, device="tpu")
    for centre in ((500.0, 0, 0), (0, 500.0, 0)):
        with pytest.raises(ValueError, match=re.escape("expected a grid that lines of response of 'small' meet")):
            pt.Projector(scanner, grid.moved(centre))


def test_cuda_without_a_gpu_is_an_error():
    from pettutor.arrays import find_cupy

    if find_cupy() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match="device='cuda': expected CuPy and a CUDA GPU, found none here"):
        pt.Projector(small_scanner(), off_centre_grid(), device="cuda")
