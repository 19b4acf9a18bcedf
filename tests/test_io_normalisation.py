"""The mMR's normalisation: its file byte by byte, and the factor of a bin by a slow loop."""

import dataclasses

import numpy as np
import pytest

import pettutor as pt
from pettutor.geometry.ring_pairs import ring_pair_sums
from pettutor.io import Normalisation, example_normalisation, read_normalisation, write_normalisation
from pettutor.io.normalisation import SHAPES

RING = pt.Scanner.preset("mmr", rings=1, span=1, max_ring_difference=0)
# where each component begins, from the published description of the file
OFFSETS = dict(zip(SHAPES, (0, 174_752, 187_136, 316_160, 319_508, 319_764, 320_020, 320_056), strict=True))


@pytest.fixture(scope="module")
def components():
    """Numbers that are all different, gaps included."""
    rng = np.random.default_rng(8)
    return Normalisation(**{name: rng.uniform(0.5, 1.5, shape) for name, shape in SHAPES.items()})


def test_the_file_is_the_scanners_own(tmp_path, components):
    path = write_normalisation(tmp_path / "norm.n", components)
    assert path.stat().st_size == 323_404
    back = read_normalisation(path)
    for name, shape in SHAPES.items():
        count = int(np.prod(shape))
        in_file = np.frombuffer(path.read_bytes(), "<f4", count, OFFSETS[name]).reshape(shape)
        np.testing.assert_array_equal(in_file, getattr(components, name))
        np.testing.assert_array_equal(getattr(back, name), getattr(components, name))


def file_plane(ring0, ring1):
    """Plane with span 11 in the file's order, by counting: in each segment by the sum of the rings."""
    start = 0
    for sizes, differences in (
        (127, range(-5, 6)), (115, range(6, 17)), (115, range(-16, -5)), (93, range(17, 28)), (93, range(-27, -16)),
        (71, range(28, 39)), (71, range(-38, -27)), (49, range(39, 50)), (49, range(-49, -38)),
        (27, range(50, 61)), (27, range(-60, -49)),
    ):  # fmt: skip
        if ring1 - ring0 in differences:
            return start + ring0 + ring1 - min(map(abs, differences))
        start += sizes
    raise AssertionError


def slow_factor(n, ring0, ring1, view, w, singles):
    """The factor of one pair of crystals, component by component."""
    c0 = int((view + 0.5 * (504 - 2 + 172 - w)) % 504)
    c1 = int((view + 0.5 * (1008 - 2 - 172 + w)) % 504)
    if c0 % 9 == 8 or c1 % 9 == 8:
        return 0.0
    factor = float(n.geometric[ring0 + ring1, w]) * float(n.crystal_interference[w, view % 9])
    for ring, c in ((ring0, c0), (ring1, c1)):
        factor *= float(n.crystal_efficiencies[ring, c])
        b = singles[c // 18 + 28 * (ring // 8)]
        slow = 1 + 0.5 * b * float(n.non_paralysing_dead_time[ring])
        factor *= np.exp(0.5 * b * float(n.paralysing_dead_time[ring]) / slow) / slow
    return factor / float(n.axial_effects[file_plane(ring0, ring1)])


@pytest.mark.parametrize(
    "scanner, first_ring",
    [
        (RING, 41),
        (pt.Scanner.preset("mmr", rings=24, span=11, max_ring_difference=16), 13),
        (pt.Scanner.preset("mmr", rings=9, span=3, max_ring_difference=7), None),
    ],
    ids=lambda value: getattr(value, "span", value),
)
def test_factors_of_bins_against_a_slow_sum_over_ring_pairs(components, scanner, first_ring):
    rng = np.random.default_rng(4)
    singles = rng.uniform(0.2, 2, 224)  # dead times here are about 1
    table = components.factors(scanner, singles, first_ring=first_ring)
    assert table.shape == scanner.sinogram_shape and table.dtype == np.float32
    assert np.array_equal(table != 0, np.broadcast_to(scanner.live_bins, table.shape))
    first = (64 - scanner.rings) // 2 if first_ring is None else first_ring
    for plane in rng.choice(len(table), min(30, len(table)), replace=False):
        view, w = int(rng.integers(252)), int(rng.integers(344))
        pairs = np.argwhere(scanner.plane_of_ring_pair == plane) + first
        right = sum(slow_factor(components, int(a), int(b), view, w, singles) for a, b in pairs)
        assert table[plane, view, w] == pytest.approx(right, rel=1e-5)


def test_without_singles_there_is_no_dead_time(components):
    plain = components.factors(RING)
    np.testing.assert_allclose(components.factors(RING, np.zeros(224)), plain, rtol=1e-6)
    slow = components.factors(RING, np.full(224, 0.5))
    assert not np.allclose(slow, plain)


def test_a_bucket_slows_its_own_crystals_only(components):
    singles = np.zeros(224)
    singles[28 * 3 + 5] = 2.0
    changed = components.live_times(singles) != 1
    rings, crystals = np.nonzero(changed)
    assert set(rings) == set(range(24, 32)) and set(crystals) == set(range(90, 108)) and changed.sum() == 8 * 18


def test_the_factors_are_what_an_acquisition_model_multiplies_with(components):
    """An image of ones, projected: a plane of span 11 counts as often as it has ring pairs."""
    rings = {"rings": 9, "image_shape": (17, 24, 24), "image_voxel_size": (2.03125, 8.0, 8.0)}
    joined = pt.Scanner.preset("mmr", span=11, max_ring_difference=5, **rings)
    single = pt.Scanner.preset("mmr", span=1, max_ring_difference=5, **rings)
    flat = dataclasses.replace(components, **{name: np.ones(SHAPES[name]) for name in ("geometric", "axial_effects")})
    ones = np.ones(joined.image_shape, np.float32)
    counts = {}
    for scanner in (joined, single):
        model = pt.AcquisitionModel(pt.Projector(scanner, scanner.image_grid(), device="cpu"),
                                    normalisation=flat.factors(scanner))  # fmt: skip
        counts[scanner.span] = float(model(ones).sum(dtype=float))
    assert counts[11] == pytest.approx(counts[1], rel=0.01)


def test_the_example_has_the_size_of_a_real_one():
    n = example_normalisation(3)
    seen = n.crystal_efficiencies[:, np.arange(504) % 9 != 8]
    assert (n.crystal_efficiencies[:, 8::9] == 0).all() and seen.min() > 0
    assert 0.08 < seen.std() / seen.mean() < 0.16
    live = n.live_times(np.full(224, 100_000.0))
    np.testing.assert_allclose(live, 0.95, atol=0.01)
    assert not np.array_equal(example_normalisation(4).crystal_efficiencies, n.crystal_efficiencies)
    assert "28672 crystals with an efficiency" in repr(n)


# ---- errors ----


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a normalisation file, got no such file"):
        read_normalisation(tmp_path / "a.n")
    with pytest.raises(IsADirectoryError, match="expected a normalisation file, got a folder"):
        read_normalisation(tmp_path)
    (tmp_path / "a.n").write_bytes(b"1234")
    with pytest.raises(ValueError, match="expected the 323404 bytes of an mMR's normalisation, got 4"):
        read_normalisation(tmp_path / "a.n")
    (tmp_path / "a.n").write_bytes(b"\0" * 323_404)
    with pytest.raises(ValueError, match="axial_effects: expected values above 0, got 0"):
        read_normalisation(tmp_path / "a.n")
    with pytest.raises(TypeError, match=r"normalisation: expected a pettutor\.io\.Normalisation, got 3"):
        write_normalisation(tmp_path / "b.n", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.n"]


def test_components_that_cannot_be(components):
    with pytest.raises(ValueError, match=r"geometric: expected shape \(127, 344\), got \(344, 127\)"):
        dataclasses.replace(components, geometric=components.geometric.T)
    wrong = components.crystal_efficiencies.copy()
    wrong[3, 7] = np.nan
    with pytest.raises(ValueError, match="crystal_efficiencies: expected finite values, got 1 that are not"):
        dataclasses.replace(components, crystal_efficiencies=wrong)
    wrong[3, 7] = -0.5
    with pytest.raises(ValueError, match=r"crystal_efficiencies: expected values >= 0, got -0\.5"):
        dataclasses.replace(components, crystal_efficiencies=wrong)


def test_singles_that_cannot_be(components):
    with pytest.raises(ValueError, match=r"bucket_singles: expected 224 rates, got shape \(3,\)"):
        components.factors(RING, [1, 2, 3])
    singles = np.zeros(224)
    singles[:2] = np.nan, -1
    with pytest.raises(ValueError, match="bucket_singles: expected rates >= 0, got 2 that are not"):
        components.factors(RING, singles)
    with pytest.raises(ValueError, match="scanner: expected rings of the mMR"):
        components.factors(pt.Scanner.preset("mini"))


# ---- the sum over ring pairs ----


def test_sums_over_ring_pairs_against_a_loop():
    scanner = pt.Scanner.preset("mini", rings=6, max_ring_difference=4)
    rng = np.random.default_rng(1)
    crystals, weights = rng.uniform(0.5, 2, (6, scanner.crystal_positions)), rng.uniform(0.5, 2, (6, 6))
    sums = ring_pair_sums(scanner, crystals, weights)
    for _ in range(60):
        plane, view, w = (int(rng.integers(n)) for n in sums.shape)
        c0, c1 = scanner.bin_crystals[view, w]
        right = 0.0
        for a in range(6):
            for b in range(6):
                if scanner.plane_of_ring_pair[a, b] == plane and scanner.live_bins[view, w]:
                    right += weights[a, b] * crystals[a, c0] * crystals[b, c1]
        assert sums[plane, view, w] == pytest.approx(right, rel=1e-6)
    assert np.array_equal(
        ring_pair_sums(scanner, np.ones_like(crystals))[:, 3, 70],
        scanner.live_bins[3, 70] * scanner.ring_pairs_per_plane,
    )
    with pytest.raises(ValueError, match=r"crystals: expected shape \(6, 288\)"):
        ring_pair_sums(scanner, crystals.T.copy())
    with pytest.raises(ValueError, match=r"ring_weights: expected shape \(6, 6\)"):
        ring_pair_sums(scanner, crystals, weights[:5])
