"""Scanner and grid against the published facts of the mMR, closed forms and properties of random scanners."""

import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import small_scanner

import pettutor as pt


@pytest.fixture(scope="module")
def mmr():
    return pt.Scanner.preset("mmr")


def test_mmr_sinogram_shapes(mmr):
    assert mmr.sinogram_shape == (837, 252, 344)
    assert [s.size for s in mmr.segments] == [127, 115, 115, 93, 93, 71, 71, 49, 49, 27, 27]
    assert [s.number for s in mmr.segments] == [0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5]
    assert pt.Scanner.preset("mmr", span=1).sinogram_shape == (4084, 252, 344)


def test_mmr_live_bins(mmr):
    assert mmr.live_crystals.sum() == 448
    assert np.flatnonzero(~mmr.live_crystals).tolist() == [c for c in range(504) if (c + 1) % 9 == 0]
    assert mmr.live_bins.sum() == 68_516 and mmr.live_bins.size == 86_688
    pairs = np.sort(mmr.bin_crystals[mmr.live_bins], axis=1)
    assert len(np.unique(pairs, axis=0)) == 68_516


def test_mmr_bin_formula(mmr):
    for view, w in ((0, 0), (0, 343), (17, 172), (251, 101)):
        c0 = math.floor(view + 0.5 * (504 - 2 + 172 - w)) % 504
        c1 = math.floor(view + 0.5 * (1008 - 2 - 172 + w)) % 504
        assert mmr.bin_crystals[view, w].tolist() == [c0, c1]


def test_mmr_crystals_lie_on_flat_blocks(mmr):
    y, x = mmr.crystal_centres[mmr.live_crystals].T
    for block in range(56):
        angle = math.pi / 2 - math.pi / 56 - 0.001 - block * 2 * math.pi / 56
        here = slice(8 * block, 8 * block + 8)
        # all eight at the same distance along the block's normal, 4.011 mm apart along its face (y is down)
        assert x[here] * math.cos(angle) - y[here] * math.sin(angle) == pytest.approx(334.7, abs=1e-9)
        assert np.hypot(np.diff(x[here]), np.diff(y[here])) == pytest.approx(32.09 / 8, abs=1e-9)
    gap = np.hypot(x[8] - x[7], y[8] - y[7]) - 32.09 / 8
    assert gap == pytest.approx(5.5, abs=0.05)
    # the first block is at the top of the picture (y up is negative), its first crystal left of its last
    assert y[:8].max() < -330 and x[0] < x[7]


def test_mmr_lor_endpoints_span_11(mmr):
    starts, ends = mmr.lor_endpoints(planes=slice(0, 837, 100), views=slice(3, 4), bins=slice(100, 102))
    assert starts.shape == ends.shape == (9, 1, 2, 3)
    assert starts[0, 0, 0, 0] == ends[0, 0, 0, 0] == pytest.approx(-31.5 * 4.0625)  # first direct plane: ring 0
    for plane in (127, 300, 836):
        starts, ends = mmr.lor_endpoints(planes=slice(plane, plane + 1), views=slice(0, 1), bins=slice(0, 1))
        segment = next(s for s in mmr.segments if s.planes.start <= plane < s.planes.stop)
        assert (ends - starts)[0, 0, 0, 0] == pytest.approx(segment.number * 11 * 4.0625)


def test_ring_pairs_of_a_plane_share_its_middle_and_differ_by_its_segment(mmr):
    ring0, ring1 = np.indices((64, 64))
    plane = mmr.plane_of_ring_pair
    used = plane >= 0
    assert used.sum() == 4084  # every ring pair up to difference 60, once
    assert np.abs(ring1 - ring0)[used].max() == 60
    z = (np.arange(64) - 31.5) * 4.0625
    middle = 0.5 * (z[ring0] + z[ring1])[used]
    assert middle == pytest.approx(mmr.plane_positions[plane[used], 0])
    off = (ring1 - ring0)[used] - mmr.plane_positions[plane[used], 1] / 4.0625
    assert np.abs(off).max() <= 5 + 1e-9


@st.composite
def scanners(draw):
    rings = draw(st.integers(1, 9))
    span = draw(st.sampled_from([1, 3, 5]))
    fits = [d for d in range((span - 1) // 2, rings, span)]
    if not fits:
        span, fits = 1, list(range(rings))
    live, gaps, blocks = draw(st.integers(1, 4)), draw(st.integers(0, 2)), draw(st.integers(4, 12))
    if blocks * (live + gaps) % 2:
        blocks += 1
    positions = blocks * (live + gaps)
    return small_scanner(
        rings=rings, span=span, max_ring_difference=draw(st.sampled_from(fits)), blocks=blocks,
        crystals_per_block=live, gaps_per_block=gaps, crystal_pitch=draw(st.floats(1.0, 3.0)), inner_radius=40.0,
        bins=2 * draw(st.integers(1, (positions - 1) // 2)),
    )  # fmt: skip


@given(scanners())
@settings(max_examples=60, deadline=None)
def test_any_scanner_is_consistent(scanner):
    pairs = np.sort(scanner.bin_crystals.reshape(-1, 2), axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs)  # no pair of crystals is counted in two bins
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert scanner.segments[0].planes.start == 0
    for before, after in zip(scanner.segments, scanner.segments[1:], strict=False):
        assert before.planes.stop == after.planes.start
    counts = scanner.ring_pairs_per_plane
    assert (counts >= 1).all()
    differences = np.abs(np.subtract.outer(np.arange(scanner.rings), np.arange(scanner.rings)))
    assert counts.sum() == (differences <= scanner.max_ring_difference).sum()
    used = scanner.plane_of_ring_pair >= 0
    ring0, ring1 = np.nonzero(used)
    middle = (0.5 * (ring0 + ring1) - 0.5 * (scanner.rings - 1)) * scanner.ring_pitch
    assert middle == pytest.approx(scanner.plane_positions[scanner.plane_of_ring_pair[used], 0])
    distance = np.hypot(*scanner.crystal_centres[scanner.live_crystals].T)
    assert (distance >= scanner.effective_radius - 1e-9).all()


@pytest.mark.parametrize("name", ["slab", "mini", "mmr"])
def test_presets_print_pickle_and_rebuild(name):
    scanner = pt.Scanner.preset(name)
    assert eval(repr(scanner), {"Scanner": pt.Scanner}) == scanner
    assert pickle.loads(pickle.dumps(scanner)) == scanner and hash(scanner) == hash(pt.Scanner.preset(name))
    assert name in str(scanner)
    assert scanner.field_of_view_radius > 0.95 * 0.5 * min(scanner.image_grid().size[1:]) or name == "mmr"
    with pytest.raises(AttributeError):
        scanner.rings = 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(rings=0), "rings: expected a whole number >= 1, got 0"),
        (dict(rings=2.5), "rings: expected a whole number >= 1, got 2.5"),
        (dict(rings=True), "rings: expected a whole number >= 1, got True"),
        (dict(ring_pitch=-1), "ring_pitch: expected a positive length in mm, got -1"),
        (dict(crystal_pitch=float("nan")), "crystal_pitch: expected a positive length in mm, got nan"),
        (dict(crystal_pitch=10.0), "blocks: 10 blocks of 3 x 10.0 mm overlap"),
        (dict(bins=17), "bins: expected an even number below the 40 crystal positions, got 17"),
        (dict(bins=40), "bins: expected an even number below the 40 crystal positions, got 40"),
        (dict(span=2), "span: expected an odd number, got 2"),
        (dict(max_ring_difference=5), "max_ring_difference: expected less than the 5 rings, got 5"),
        (dict(max_ring_difference=3), "max_ring_difference: span 3 with 5 rings allows [1, 4], got 3"),
        (dict(depth_of_interaction=-1.0), "depth_of_interaction: expected a length >= 0 mm, got -1.0"),
        (dict(depth_of_interaction=None), "depth_of_interaction: expected a length >= 0 mm, got None"),
        (dict(depth_of_interaction="2.0"), "depth_of_interaction: expected a length >= 0 mm, got '2.0'"),
        (dict(depth_of_interaction=True), "depth_of_interaction: expected a length >= 0 mm, got True"),
        (dict(first_block_angle=None), "first_block_angle: expected finite radians, got None"),
        (dict(first_block_angle=-math.inf), "first_block_angle: expected finite radians, got -inf"),
        (dict(image_shape=(1, 2)), "image_shape: expected three counts (z, y, x), got (1, 2)"),
        (dict(blocks=9, gaps_per_block=0), "expected an even number of positions round the ring, got 27"),
    ],
)
def test_scanner_refuses(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        small_scanner(**changes)


def test_unknown_preset_and_parameter():
    with pytest.raises(ValueError, match="preset: expected one of 'slab', 'mini', 'mmr', got 'hrrt'"):
        pt.Scanner.preset("hrrt")
    with pytest.raises(TypeError, match="unknown parameter ringz"):
        pt.Scanner.preset("mini", ringz=3)
    with pytest.raises(ValueError, match=r"preset: expected one of 'slab', 'mini', 'mmr', got \['mini'\]"):
        pt.Scanner.preset(["mini"])


def test_numbers_of_a_scanner_may_be_numpys():
    scanner = small_scanner(depth_of_interaction=np.float32(2), first_block_angle=np.array(-0.5))
    assert scanner.effective_radius == 30 and scanner.crystal_tangents[0, 0] == pytest.approx(math.cos(0.5))


def test_grid_positions():
    grid = pt.ImageGrid((3, 4, 5), (2.0, 3.0, 4.0), centre=(10.0, 20.0, -30.0))
    assert grid.origin == (8.0, 15.5, -38.0)
    z, y, x = grid.coordinates()
    assert z.tolist() == [8, 10, 12] and y.mean() == 20 and x.mean() == -30 and np.diff(x).tolist() == [4.0] * 4
    assert grid.index_of((12.0, 15.5, -34.0)) == (2.0, 0.0, 1.0)
    assert grid.size == (6.0, 12.0, 20.0) and grid.voxel_volume == 24.0
    assert grid.extent == (-40.0, -20.0, 26.0, 14.0)  # rows of a picture go down: y grows to the bottom
    # NIfTI: right, anterior, superior; our y runs to the back
    assert (grid.affine @ [1, 2, 0, 1]).tolist() == [-34.0, -21.5, 8.0, 1.0]
    assert eval(repr(grid), {"ImageGrid": pt.ImageGrid}) == grid


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1, 2), (1, 1, 1)), "shape: expected three voxel counts (z, y, x), got (1, 2)"),
        (((1, 2, 0), (1, 1, 1)), "shape[2]: expected a whole number >= 1, got 0"),
        ((5, (1, 1, 1)), "shape: expected three voxel counts (z, y, x), got (5,)"),
        (((1, 2, 3), (1, 0, 1)), "voxel_size[1]: expected a positive length in mm, got 0"),
        (((1, 2, 3), (1, -2.0, 1)), "voxel_size[1]: expected a positive length in mm, got -2.0"),
        (((1, 2, 3), (1, 2, 1), (0, math.inf, 0)), "centre[1]: expected a finite position in mm, got inf"),
    ],
)
def test_grid_refuses(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pt.ImageGrid(*arguments)


def test_a_scanners_grid_of_another_shape_or_voxel_size():
    scanner = small_scanner()
    assert scanner.image_grid() == pt.ImageGrid(scanner.image_shape, scanner.image_voxel_size)
    grid = scanner.image_grid(np.array([3, 4, 5]), np.array([2.0, 3.0, 4.0]))
    assert grid == pt.ImageGrid((3, 4, 5), (2.0, 3.0, 4.0))
    assert scanner.image_grid(voxel_size=[2, 3, 4]).shape == scanner.image_shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(shape=0), "shape: expected three voxel counts (z, y, x), got (0,)"),
        (dict(shape=()), "shape: expected three voxel counts (z, y, x), got ()"),
        (dict(shape=False), "shape: expected three voxel counts (z, y, x), got (False,)"),
        (dict(voxel_size=0), "voxel_size: expected three lengths in mm (z, y, x), got (0,)"),
        (dict(voxel_size=0.0), "voxel_size: expected three lengths in mm (z, y, x), got (0.0,)"),
        (dict(voxel_size=[]), "voxel_size: expected three lengths in mm (z, y, x), got ()"),
    ],
)
def test_a_scanners_grid_refuses(changes, message):
    """What is false in Python is not the same as not given."""
    with pytest.raises(ValueError, match=re.escape(message)):
        small_scanner().image_grid(**changes)


def test_cylinder_mask():
    grid = pt.ImageGrid((2, 40, 60), (1.0, 1.0, 1.0), centre=(0, 3.0, 0))
    mask = grid.cylinder_mask(10.0)
    assert mask.shape == grid.shape and mask[0].sum() == pytest.approx(math.pi * 100, rel=0.03)
    rows = np.flatnonzero(mask[0].any(axis=1))
    assert grid.coordinates()[1][rows].mean() == pytest.approx(0, abs=0.51)  # round the axis, not the grid's middle
