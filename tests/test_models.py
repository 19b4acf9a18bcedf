"""What each system model makes of a line of response, against slow independent references and closed forms."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import (
    box_chords,
    distance_driven_weights,
    joseph_weights,
    multi_ray_weights,
    siddon_weights,
    tube_weights,
)
from registry import GEOMETRIES, MODELS, small_scanner

import pettutor as pt
from pettutor.operators import adjoint_mismatch


def projector(scanner, grid, model, rays=(2, 2)):
    return pt.Projector(scanner, grid, model=model, device="cpu", rays=rays)


def line(scanner, index):
    """End points (z, y, x) of one line of response."""
    starts, ends = scanner.lor_endpoints(*(slice(i, i + 1) for i in index))
    return starts[0, 0, 0], ends[0, 0, 0]


def faces(scanner, index):
    """Directions (y, x) along the two crystal faces, their width and height."""
    tangents = scanner.crystal_tangents[scanner.bin_crystals[index[1], index[2]]]
    return tangents, scanner.crystal_pitch, scanner.ring_pitch


def expected_weights(model, scanner, grid, index, rays=(2, 2)):
    """Weights (z, y, x) of one line of response by the reference of a model."""
    ends = line(scanner, index)
    found = {
        "siddon": lambda: siddon_weights(*ends, grid),
        "multi_ray": lambda: multi_ray_weights(*ends, *faces(scanner, index), rays, grid),
        "joseph": lambda: joseph_weights(*ends, grid),
        "distance_driven": lambda: distance_driven_weights(*ends, *faces(scanner, index), grid),
    }[model]()
    return dense(found, grid)


def dense(weights, grid):
    array = np.zeros(grid.shape)
    for voxel, weight in weights.items():
        array[voxel] = weight
    return array


def weights_of(X, index):
    """Weights (z, y, x) that an operator gives to one line of response."""
    one = np.zeros(X.out_shape, np.float32)
    one[index] = 1
    return X.T(one)


def some_lines(scanner, count, seed=1):
    """Indices (plane, view, bin) of live lines, drawn at random."""
    live = np.argwhere(np.broadcast_to(scanner.live_bins, scanner.sinogram_shape))
    chosen = np.random.default_rng(seed).choice(len(live), min(count, len(live)), replace=False)
    return [tuple(int(i) for i in live[c]) for c in chosen]


def assert_same_weights(got, expected):
    """1e-4 relative; a corner may be cut off by 50 nm (float32 positions)."""
    assert np.all(np.abs(got - expected) <= 1e-4 * expected + 5e-5)
    assert got.sum(dtype=float) == pytest.approx(expected.sum(), rel=1e-5, abs=1e-3)


# --- each model is what it says -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_equals_the_reference(geometry, model):
    scanner, grid = GEOMETRIES[geometry]
    X = projector(scanner, grid, model)
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    sinogram = X(image)
    met = 0
    for index in some_lines(scanner, 40):
        expected = expected_weights(model, scanner, grid, index)
        assert_same_weights(weights_of(X, index), expected)
        assert sinogram[index] == pytest.approx((expected * image).sum(), rel=1e-4, abs=1e-3)
        assert (sinogram[index] == 0) == (not expected.any())
        met += expected.any()
    assert met > 15


@pytest.mark.parametrize("rays", [(1, 1), (1, 3), (3, 1), (3, 2), (4, 5)])
def test_any_number_of_rays(rays):
    scanner, grid = GEOMETRIES["off centre"]
    X = projector(scanner, grid, "multi_ray", rays)
    for index in some_lines(scanner, 25):
        assert_same_weights(weights_of(X, index), expected_weights("multi_ray", scanner, grid, index, rays))
    if rays == (1, 1):
        x = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
        assert np.array_equal(X(x), projector(scanner, grid, "siddon")(x))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("span", "difference"), [(1, 2), (3, 1), (5, 2), (7, 3), (9, 4)])
def test_any_odd_span(span, difference, model):
    scanner = small_scanner(span=span, max_ring_difference=difference)
    grid = pt.ImageGrid((9, 11, 8), (2.5, 2.2, 3.9), (0.7, -2.0, 1.0))
    X = projector(scanner, grid, model)
    assert adjoint_mismatch(X)[0] < 1e-5
    for segment in scanner.segments:  # in every segment, its first and its last plane
        for plane in (segment.planes.start, segment.planes.stop - 1):
            for _, view, position in some_lines(scanner, 3, seed=plane):
                index = plane, view, position
                assert_same_weights(weights_of(X, index), expected_weights(model, scanner, grid, index))


def runs_along_a_face(scanner, grid, index, rays):
    """Whether a ray of this line runs along the face between two slices: how it is split has tests of its own."""
    middle, difference = scanner.plane_positions[index[0]]
    z = middle + ((np.arange(rays[1]) + 0.5) / rays[1] - 0.5) * scanner.ring_pitch
    at = (z - grid.origin[0]) / grid.voxel_size[0] + 0.5
    return difference == 0 and np.abs(at - np.rint(at)).min() < 1e-4


def hundredths(low, high):
    return st.integers(round(100 * low), round(100 * high)).map(lambda n: n / 100)


@given(
    model=st.sampled_from(MODELS),
    span=st.sampled_from((1, 3, 9)),
    pitch=hundredths(1, 9),
    rays=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 14), st.integers(1, 14)),
    size=st.tuples(hundredths(0.3, 9), hundredths(0.7, 9), hundredths(0.7, 9)),
    centre=st.tuples(hundredths(-9, 9), hundredths(-20, 20), hundredths(-20, 20)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=120, deadline=None)
def test_any_grid(model, span, pitch, rays, shape, size, centre, seed):
    scanner, grid = small_scanner(span=span, ring_pitch=pitch), pt.ImageGrid(shape, size, centre)
    try:
        X = projector(scanner, grid, model, rays)
    except ValueError as error:
        assert "expected a grid that lines of response" in str(error)
        return
    image = np.random.default_rng(seed).random(grid.shape, dtype=np.float32)
    sinogram = X(image)
    if sinogram.any():
        assert adjoint_mismatch(X, seed)[0] < 1e-5
    for index in some_lines(scanner, 4, seed):
        if model in ("siddon", "multi_ray") and runs_along_a_face(scanner, grid, index, X.rays):
            continue
        expected = expected_weights(model, scanner, grid, index, rays)
        assert_same_weights(weights_of(X, index), expected)
        assert sinogram[index] == pytest.approx((expected * image).sum(), rel=1e-4, abs=1e-3)


# --- lengths --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", ["span 1", "steep", "very thin slices", "grid beyond the ring"])
def test_siddon_sums_to_the_chord_of_the_grid(geometry):
    scanner, grid = GEOMETRIES[geometry]
    lengths = projector(scanner, grid, "siddon")(np.ones(grid.shape, np.float32))
    half = 0.5 * np.array(grid.size)
    chords = box_chords(*scanner.lor_endpoints(), grid.centre - half, grid.centre + half)
    live = np.broadcast_to(scanner.live_bins, lengths.shape)
    assert np.abs(lengths - chords)[live].max() < 1e-5 * chords.max()


@pytest.mark.parametrize("span", [1, 3])
def test_distance_driven_interior_planes_sum_to_their_thickness(span):
    """On planes where the whole tube lies inside the grid: Δx·L/|r_x|, the length of the line in the plane."""
    scanner = small_scanner(span=span)
    grid = pt.ImageGrid((20, 30, 27), (2.1, 1.9, 2.2), (1.3, -0.6, 0.4))
    X = projector(scanner, grid, "distance_driven")
    planes = 0
    for index in some_lines(scanner, 150):
        start, end = line(scanner, index)
        walk = 2 if abs(end[2] - start[2]) >= abs(end[1] - start[1]) else 1
        length = grid.voxel_size[walk] * np.linalg.norm(end - start) / abs(end[walk] - start[walk])
        weights = weights_of(X, index)
        rest = tuple(a for a in range(3) if a != walk)
        # no weight in the grid's outermost layers: the tube does not reach beyond them
        border = weights.copy()
        border[tuple(slice(1, -1) if a in rest else slice(None) for a in range(3))] = 0
        inside = (weights.sum(rest) > 0) & (border.sum(rest) == 0)
        assert weights.sum(rest, dtype=float)[inside] == pytest.approx(length, rel=1e-5)
        planes += inside.sum()
    assert planes > 500


def test_distance_driven_equals_brute_force():
    """Rays between all points of the two faces, counted on every plane, also where the faces are tilted."""
    scanner = pt.Scanner.preset("slab", rings=3, max_ring_difference=2, ring_pitch=9.0)
    grid = pt.ImageGrid((14, 9, 8), (1.7, 1.3, 2.1), (1.0, -9.0, 31.0))
    X = projector(scanner, grid, "distance_driven")
    lengths = X(np.ones(grid.shape, np.float32))
    lines = [i for i in some_lines(scanner, 2000, seed=3) if lengths[i] > 5]
    direct = [i for i in lines if scanner.plane_positions[i[0], 1] == 0][:3]
    oblique = [i for i in lines if scanner.plane_positions[i[0], 1] != 0][:3]
    assert len(direct) == len(oblique) == 3
    for index in direct + oblique:
        got = weights_of(X, index)
        brute = dense(tube_weights(*line(scanner, index), *faces(scanner, index), grid, 500), grid)
        # 500 rays across: 1.5 %. The recipe gives all of a tube's width the height of its middle; where a line is
        # oblique and the faces tilted, a side of the tube really runs a little higher and the other lower
        assert np.abs(got - brute).max() < (0.015 if index in direct else 0.03) * got.max()
        assert got.sum(dtype=float) == pytest.approx(brute.sum(), rel=3e-3)


def test_the_tube_sees_every_voxel_between_the_faces():
    scanner = pt.Scanner.preset("slab")
    grid = pt.ImageGrid((1, 60, 60), (4.0, 0.5, 0.5), (0.0, 3.0, -5.0))
    index = (0, 5, 70)
    assert scanner.live_bins[5, 70]
    tube = distance_driven_weights(*line(scanner, index), *faces(scanner, index), grid)
    seen = {m: np.count_nonzero(weights_of(projector(scanner, grid, m), index)) for m in MODELS}
    assert seen["distance_driven"] == len(tube) > 400
    assert seen["siddon"] < 0.3 * len(tube) and seen["siddon"] < seen["multi_ray"] < 0.6 * len(tube)


# --- lines along faces and at 45 degrees ----------------------------------------------------------------------------


def square_scanner():
    """Crystals on four sides, lying so that lines run along voxel faces and through corners of `square_grid`."""
    return small_scanner(
        blocks=4, crystals_per_block=8, gaps_per_block=0, crystal_pitch=4.0, inner_radius=20.0, bins=16,
        first_block_angle=np.pi / 2,
    )  # fmt: skip


def square_grid():
    return pt.ImageGrid((10, 9, 9), (2.5, 4.0, 4.0))


@pytest.mark.parametrize("model", MODELS)
def test_lines_along_faces_and_through_corners(model):
    scanner, grid = square_scanner(), square_grid()
    rays = (3, 1)  # the middle ray is the line itself
    X = projector(scanner, grid, model, rays)
    starts, ends = scanner.lor_endpoints()
    step = np.abs(ends - starts)
    straight = (step[..., 1:] < 1e-9).any(-1)
    diagonal = np.abs(step[..., 1] - step[..., 2]) < 1e-9
    # the layout is what it is meant to be: on faces along z, y or x, and from corner to corner
    onto_faces = np.abs((starts[..., 1:] / 4.0) % 1 - 0.5) < 1e-9
    assert straight.sum() >= 100 and diagonal.sum() >= 100 and onto_faces[straight].any(-1).all()
    assert onto_faces[diagonal].all()
    direct = scanner.segments[0].planes
    assert np.allclose(scanner.plane_positions[direct, 0] / 2.5, np.rint(scanner.plane_positions[direct, 0] / 2.5))
    for cases in (straight, diagonal):
        found = np.argwhere(cases)
        for index in map(tuple, found[np.random.default_rng(0).choice(len(found), 40, replace=False)]):
            got, expected = weights_of(X, index), expected_weights(model, scanner, grid, index, rays)
            # a length along a face in y or x is counted once, on whichever side: compare plane by plane along the line
            walk = 1 + int(np.argmax(step[index][1:]))
            assert got.sum((0, 3 - walk), dtype=float) == pytest.approx(expected.sum((0, 3 - walk)), rel=1e-4, abs=1e-4)
            if diagonal[index] and model in ("siddon", "multi_ray"):
                assert got.sum((0, walk), dtype=float) == pytest.approx(expected.sum((0, walk)), rel=1e-4, abs=1e-4)
            # along z, where it runs along a face, half to either side
            assert got.sum((1, 2), dtype=float) == pytest.approx(expected.sum((1, 2)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("rays", [(1, 1), (1, 2), (1, 6)])
@pytest.mark.parametrize("size", [2.5, 3.1, 0.7])
def test_lengths_along_faces_are_counted_once(size, rays):
    """In a box that is high enough every ray of a line has the same length."""
    scanner = square_scanner()
    # a face lies where the upper of two rays of the middle plane runs
    grid = pt.ImageGrid((2 * int(20 / size), 9, 9), (size, 4.0, 4.0), (0.25 * scanner.ring_pitch, 0.0, 0.0))
    lengths = projector(scanner, grid, "multi_ray", rays)(np.ones(grid.shape, np.float32))
    half = 0.5 * np.array(grid.size)
    chords = box_chords(*scanner.lor_endpoints(), grid.centre - half, grid.centre + half)
    assert np.abs(lengths - chords).max() < 1e-5 * chords.max()


# --- symmetries -----------------------------------------------------------------------------------------------------


def symmetric_scanner():
    return small_scanner(
        blocks=4, crystals_per_block=6, gaps_per_block=2, first_block_angle=np.pi / 2, inner_radius=26.0, bins=26
    )


# what is done to an image (z, y, x), and to a point (z, y, x)
MOVES = {
    "turned by a block": (lambda a: np.rot90(a, axes=(1, 2)), lambda p: p * [1, -1, 1], (0, 2, 1)),
    "turned by two blocks": (lambda a: a[:, ::-1, ::-1], lambda p: p * [1, -1, -1], (0, 1, 2)),
    "left to right": (lambda a: a[:, :, ::-1], lambda p: p * [1, 1, -1], (0, 1, 2)),
    "top to bottom": (lambda a: a[:, ::-1], lambda p: p * [1, -1, 1], (0, 1, 2)),
    "end to end": (lambda a: a[::-1], lambda p: p * [-1, 1, 1], (0, 1, 2)),
}


@functools.cache
def where_lines_go(move):
    """Flat indices (plane, view, bin) of live lines, and of the lines that a move makes of them.

    With an even number of bins a few outermost ones have no counterpart.
    """
    scanner = symmetric_scanner()
    _, signs, order = MOVES[move]
    starts, ends = (p.reshape(-1, 3) for p in scanner.lor_endpoints())
    live = np.flatnonzero(np.broadcast_to(scanner.live_bins, scanner.sinogram_shape))

    def names(one, other):
        return [tuple(row) for row in np.rint(1e4 * np.concatenate([one, other], axis=1)).astype(int) + 0]

    known = {}
    for i, forth, back in zip(live, names(starts[live], ends[live]), names(ends[live], starts[live]), strict=True):
        known[forth] = known[back] = i
    moved = [signs(p[live][:, order]) for p in (starts, ends)]
    target = np.array([known.get(name, -1) for name in names(*moved)])
    return live[target >= 0], target[target >= 0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("move", MOVES)
def test_symmetries_of_the_scanner(move, model):
    scanner = symmetric_scanner()
    grid = pt.ImageGrid((7, 15, 15), (2.5, 2.2, 2.2))  # no ray along a face in y or x: that could fall on either side
    X = projector(scanner, grid, model)
    image = np.random.default_rng(4).random(grid.shape, dtype=np.float32)
    live, target = where_lines_go(move)
    before, after = X(image).reshape(-1)[live], X(np.ascontiguousarray(MOVES[move][0](image))).reshape(-1)[target]
    clear = np.ones(len(live), bool)
    if model in ("joseph", "distance_driven"):
        # a line at 45 degrees walks along x, and along y after a quarter turn
        step = np.abs(np.subtract(*scanner.lor_endpoints())).reshape(-1, 3)[live]
        clear = np.abs(step[:, 1] - step[:, 2]) > 1e-6
    assert len(live) > 0.9 * scanner.live_bins.sum() * X.out_shape[0]
    assert len(np.unique(target)) == len(live) and clear.mean() > 0.9 and before.any()
    assert np.abs(before - after)[clear].max() < 1e-5 * before.max()
