"""The projector of every system model: smooth objects, geometry's own laws, threads, bounds, refusals."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from references import ellipsoid_chords, ellipsoid_image, joseph_integral
from registry import GEOMETRIES, MODELS, OPERATORS, off_centre_grid, small_scanner
from scipy.ndimage import gaussian_filter

import pettutor as pt
from pettutor.geometry import ImageGrid
from pettutor.projector.flat import is_flat

every_model = pytest.mark.parametrize("model", MODELS)


def test_steep_lines_are_really_met():
    scanner, grid = GEOMETRIES["steep"]
    starts, ends = scanner.lor_endpoints()
    step = np.abs(ends - starts)
    steep = (step[..., 0] > step[..., 1:].max(-1)) & scanner.live_bins
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    sinogram = pt.Projector(scanner, grid, model="joseph", device="cpu")(image)
    assert (sinogram[steep] > 0).sum() > 20
    for index in map(tuple, np.argwhere(steep & (sinogram > 0))):
        expected = joseph_integral(image, starts[index], ends[index], grid)
        assert sinogram[index] == pytest.approx(expected, rel=2e-5, abs=2e-4)


@every_model
@pytest.mark.parametrize("name", ["span 3", "steep"])
def test_dead_bins_are_zero(name, model):
    scanner, grid = GEOMETRIES[name]
    X = pt.Projector(scanner, grid, model=model, device="cpu")
    sinogram = X(np.ones(grid.shape, np.float32))
    dead = np.broadcast_to(~scanner.live_bins, X.out_shape)
    assert dead.any() and not sinogram[dead].any()
    assert not X.T(dead.astype(np.float32)).any()


SMOOTH_OBJECTS = {
    "cylinder": ((0.0, 0.0, 0.0), (np.inf, 70.0, 70.0)),
    "off-centre ellipsoid": ((4.0, -21.0, 33.0), (22.0, 60.0, 41.0)),
}


@pytest.fixture(scope="module", params=SMOOTH_OBJECTS)
def smooth_object(request):
    """Its image, the exact chords of every seventh view, and the lines to compare."""
    scanner = pt.Scanner.preset("mini")
    centre, semi_axes = SMOOTH_OBJECTS[request.param]
    views = slice(0, 144, 7)
    starts, ends = scanner.lor_endpoints(views=views)
    chords = ellipsoid_chords(starts, ends, centre, semi_axes)
    inside = np.broadcast_to(scanner.live_bins[views], chords.shape)
    if request.param == "cylinder":
        # the object has no end of its own: lines, and all of the crystals' height, that stay inside the grid
        inside = inside & (np.abs(starts[..., 0]) <= 28) & (np.abs(ends[..., 0]) <= 28)
    return ellipsoid_image(scanner.image_grid(), centre, semi_axes), views, chords, inside


@every_model
def test_chords_of_smooth_objects(smooth_object, model):
    scanner = pt.Scanner.preset("mini")
    image, views, chords, inside = smooth_object
    sinogram = pt.Projector(scanner, scanner.image_grid(), model=model, device="cpu")(image)[:, views]
    got, want = sinogram[inside], chords[inside]
    assert len(want) > 20_000
    assert got.mean(dtype=float) == pytest.approx(want.mean(), rel=5e-3)
    for segment in (scanner.segments[0], scanner.segments[3], scanner.segments[4]):
        part = np.zeros(chords.shape, bool)
        part[segment.planes] = inside[segment.planes]
        if part.any():
            assert sinogram[part].mean(dtype=float) == pytest.approx(chords[part].mean(), rel=5e-3)
    long = want > 30
    assert np.sqrt(np.mean((got[long] / want[long] - 1) ** 2)) < 0.03


def test_fine_voxels_alias_less_the_more_of_the_crystal_is_used():
    """Back projection of a uniform cylinder's chords, voxels of an eighth of a crystal: ripple about the local mean.

    Single rays leave voxels between them unseen; the tube of the distance-driven model sees all.
    """
    scanner = pt.Scanner.preset("slab")
    grid = pt.ImageGrid((1, 280, 280), (4.0, 0.5, 0.5))
    starts, ends = scanner.lor_endpoints()
    chords = ellipsoid_chords(starts, ends, (0, 0, 0), (np.inf, 70, 70)) * scanner.live_bins
    _, y, x = grid.coordinates()
    inside = np.hypot(y[:, None], x) < 55

    def ripple(model, rays=(2, 2)):
        X = pt.Projector(scanner, grid, model=model, device="cpu", rays=rays)
        image = X.T(chords.astype(np.float32))[0].astype(float)
        return np.std((image / gaussian_filter(image, 8))[inside])

    one, four, sixteen = ripple("siddon"), ripple("multi_ray", (2, 2)), ripple("multi_ray", (8, 2))
    assert one > 0.1
    assert four < 0.95 * one and sixteen < 0.5 * one
    assert ripple("distance_driven") < 0.1 * one


@every_model
def test_point_source_is_seen_by_the_lines_through_it(model):
    """An asymmetric source settles every axis and sign: only lines that pass within reach of the voxel see it."""
    scanner = pt.Scanner.preset("mini")
    grid = scanner.image_grid()
    voxel = (24, 37, 80)
    image = np.zeros(grid.shape, np.float32)
    image[voxel] = 1
    views = slice(0, 144, 11)
    sinogram = pt.Projector(scanner, grid, model=model, device="cpu", rays=(3, 3))(image)[:, views]
    point = np.array([c[i] for c, i in zip(grid.coordinates(), voxel, strict=True)])
    starts, ends = scanner.lor_endpoints(views=views)
    direction = ends - starts
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    distance = np.linalg.norm(np.cross(point - starts, unit), axis=-1)
    seen = sinogram > 0
    live = np.broadcast_to(scanner.live_bins[views], seen.shape)
    # voxels of 2 mm; interpolation reaches over two of them, a tube or rays 2 mm further to every side
    half_voxel, half_crystal = np.array([1.0, 1.0, 1.0]), np.array([2.0, 2.0])
    reach = {"siddon": np.linalg.norm(half_voxel), "joseph": 2 * np.sqrt(2)}.get(
        model, np.linalg.norm(half_voxel) + np.linalg.norm(half_crystal)
    )
    assert distance[seen].max() < reach + 1e-6
    assert seen[live & (distance < 0.7)].all() and (live & (distance < 0.7)).sum() > 20
    # above the middle: the positive segment (second end higher) sees it in other planes than the negative one
    negative, positive = scanner.segments[3], scanner.segments[4]
    assert (negative.number, positive.number) == (-2, 2)
    assert (ends - starts)[positive.planes.start, 0, 0, 0] > 0 > (ends - starts)[negative.planes.start, 0, 0, 0]


@every_model
def test_moved_source_and_moved_grid_are_the_same(model):
    scanner = small_scanner()
    image = np.random.default_rng(2).random((3, 6, 7), dtype=np.float32)
    small = pt.ImageGrid((3, 6, 7), (2.5, 2.2, 1.9), (2.6, -4.4, 1.9))
    large = pt.ImageGrid((11, 26, 27), (2.5, 2.2, 1.9), (0.1, 0.0, 0.0))
    embedded = np.zeros(large.shape, np.float32)
    k, j, i = (round(v) for v in large.index_of(small.origin))
    embedded[k : k + 3, j : j + 6, i : i + 7] = image
    one, two = (pt.Projector(scanner, g, model=model, device="cpu")(x) for g, x in ((small, image), (large, embedded)))
    # where an interpolating model meets the small grid's border the large one has a zero beside it: the same
    assert one == pytest.approx(two, rel=1e-4, abs=1e-4 * float(two.max()))


@every_model
@pytest.mark.parametrize(("span", "voxels"), [(3, 1), (1, 2)])
def test_source_moved_by_a_plane_is_seen_one_plane_on(model, span, voxels):
    """Inside a segment all planes are equal up to a shift; the grid's faces lie half a voxel beside the planes."""
    scanner = small_scanner(span=span)
    X = pt.Projector(scanner, pt.ImageGrid((25, 12, 15), (2.5, 2.2, 1.9), (0.1, 1.0, 2.0)), model=model, device="cpu")
    image = np.zeros(X.in_shape, np.float32)
    image[10:13] = np.random.default_rng(2).random((3, 12, 15), dtype=np.float32)
    one, two = X(image), X(np.roll(image, voxels, axis=0))
    assert one.any()
    for segment in scanner.segments:
        before, after = one[segment.planes][:-1], two[segment.planes][1:]
        assert after == pytest.approx(before, rel=1e-4, abs=1e-5 * float(one.max()))


@every_model
def test_lines_that_miss_give_exactly_zero(model):
    scanner = small_scanner()
    grid = pt.ImageGrid((2, 3, 3), (1.0, 1.0, 1.0), (0.0, 12.0, -9.0))
    sinogram = pt.Projector(scanner, grid, model=model, device="cpu")(np.ones(grid.shape, np.float32))
    starts, ends = scanner.lor_endpoints()
    unit = (ends - starts) / np.linalg.norm(ends - starts, axis=-1, keepdims=True)
    distance = np.linalg.norm(np.cross(np.array(grid.centre) - starts, unit), axis=-1)
    # half the grid's diagonal and a voxel; half a crystal's diagonal for what is as wide as a crystal
    reach = 4.5 if model in ("siddon", "joseph") else 4.5 + 0.5 * np.hypot(4.6, 5.0)
    assert (sinogram[distance > reach] == 0).all() and (distance > reach).sum() > 1000
    assert (sinogram > 0).sum() > 10


def test_threads_do_not_change_a_bit():
    code = (
        "import numpy as np, pettutor as pt, sys; s = pt.Scanner.preset('mini');"
        "g = s.image_grid((31, 30, 34), (2, 8, 7));"
        "x = np.random.default_rng(0).random(g.shape, dtype=np.float32)\n"
        f"for model in {MODELS}:\n"
        "    X = pt.Projector(s, g, model=model, device='cpu')\n"
        "    y = X(x); sys.stdout.buffer.write(y[::7].tobytes() + X.T(y).tobytes())"
    )
    results = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PETTUTOR_THREADS": n}, capture_output=True, check=True
        ).stdout
        for n in ("1", "2", "3")
    ]
    assert len(results[0]) > 1_000_000 and results[0] == results[1] == results[2]


def test_nothing_is_written_outside_arrays(tmp_path):
    """The kernels once more with numba's bounds checker, for every model on the awkward geometries."""
    assert sum(name.startswith(MODELS) for name in OPERATORS) > 40
    code = (
        "import numpy as np; from registry import MODELS, OPERATORS\n"
        "for name, make in OPERATORS.items():\n"
        "    if name.startswith(MODELS):\n"
        "        A = make(); A.T(A(np.ones(A.in_shape, np.float32)))\n"
        "print('checked')"
    )
    env = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_OPT": "1",  # compiled sooner; the checks are the same
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "checked", done.stderr


@every_model
def test_subset_of_a_subset(model):
    scanner, grid = GEOMETRIES["off centre"]
    X = pt.Projector(scanner, grid, model=model, device="cpu")
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
    for model in ("nearest", None, ["joseph"]):
        known = f"model: expected one of 'siddon', 'multi_ray', 'joseph', 'distance_driven', got {model!r}"
        with pytest.raises(ValueError, match=re.escape(known)):
            pt.Projector(scanner, grid, model=model)
    for rays in (2, (2,), (2, 2, 2), (0, 2), (2, -1), (1.5, 2), "22", None, (np.nan, 1)):
        said = re.escape(f"rays: expected two whole numbers >= 1 (transaxial, axial), got {rays!r}")
        with pytest.raises(ValueError, match=said):
            pt.Projector(scanner, grid, model="multi_ray", rays=rays)
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


def test_a_slow_grid_says_so(capsys, monkeypatch):
    scanner = pt.Scanner.preset("mini")  # planes are 2 mm apart

    def said(size):
        monkeypatch.setattr("pettutor.arrays._announced", set())
        pt.Projector(scanner, pt.ImageGrid((20, 64, 64), (size, 4.0, 4.0)), device="cpu")
        return capsys.readouterr().err

    for quick in (1.0, 2.0, 4 / 3, 3.0, 4.0):
        assert "slowly" not in said(quick)
    for slow, words in ((2.5, "voxels 2.5 mm"), (2.1, "voxels 2.1 mm")):
        assert (
            "projecting slowly: planes lie 2 mm apart" in (err := said(slow))
            and words in err
            and "2 mm is quick" in err
        )


# ---- a single plane ------------------------------------------------------------------------------------------------


def flat(middle=0.0, height=4.0):
    """A ring of crystals 5 mm high, and an image of one plane: off centre, unequal sides."""
    scanner = small_scanner(rings=1, span=1, max_ring_difference=0)
    return scanner, ImageGrid((1, 12, 15), (height, 2.2, 1.9), (middle, -4.2, 5.7))


@every_model
@pytest.mark.parametrize(("middle", "height"), [(0.0, 4.0), (1.7, 4.0), (-0.6, 1.5), (4.4, 4.0)])
def test_a_single_plane_is_projected_as_the_middle_one_of_three(model, middle, height):
    """It has kernels of its own; those for many planes give the same, also where it is not the plane of the ring."""
    scanner, grid = flat(middle, height)
    rng = np.random.default_rng(3)
    x = rng.random(grid.shape, dtype=np.float32)
    X = pt.Projector(scanner, grid, model=model, device="cpu")
    Y = pt.Projector(scanner, ImageGrid((3, *grid.shape[1:]), grid.voxel_size, grid.centre), model=model, device="cpu")
    assert is_flat(X._geometry()) and not is_flat(Y._geometry())
    padded = np.zeros(Y.in_shape, np.float32)
    padded[1] = x[0]
    y = rng.random(X.out_shape, dtype=np.float32)
    scale = float(pt.Projector(scanner, flat()[1], model=model, device="cpu")(x).max())
    np.testing.assert_allclose(X(x), Y(padded), rtol=2e-6, atol=2e-6 * scale)
    np.testing.assert_allclose(X.T(y)[0], Y.T(y)[1], rtol=5e-6, atol=5e-6 * scale)
    # 4.4 mm off, only what is as high as the crystal still reaches the plane
    seen = middle < 4 or model == "distance_driven"
    assert (X(x).max() > 0) == (X.T(y).max() > 0) == seen
    np.testing.assert_array_equal(X.subset(1, 3)(x), X(x)[:, 1::3])


def test_what_is_a_single_plane():
    scanner, grid = flat()
    assert is_flat(pt.Projector(scanner, grid, device="cpu").subset(1, 2)._geometry())
    timed = pt.Projector(scanner, grid, device="cpu", tof=pt.TimeOfFlight(3, 29.0, 34.0))
    more = pt.Projector(small_scanner(), grid, device="cpu")
    assert not is_flat(timed._geometry()) and not is_flat(more._geometry())
