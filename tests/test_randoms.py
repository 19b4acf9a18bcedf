"""Randoms from the delayeds: the product model found again, and far less noise."""

import numpy as np
import pytest

import pettutor as pt
from pettutor.geometry.ring_pairs import ring_pair_sums

FIVE = {"rings": 5, "max_ring_difference": 3}
FINE = pt.Scanner.preset("mini", span=1, **FIVE)


@pytest.fixture(scope="module")
def singles():
    """Very unequal, and one dead crystal."""
    rng = np.random.default_rng(2)
    rates = np.exp(0.4 * rng.standard_normal((5, FINE.crystal_positions))) * FINE.live_crystals
    rates[3, 100] = 0
    return 0.8 * rates


def test_the_product_model_is_found_again(singles):
    """Also with another span, and for bins in which nothing was counted."""
    expected = ring_pair_sums(FINE, singles)
    fans = pt.fan_sums(expected, FINE)
    for scanner in (FINE, pt.Scanner.preset("mini", span=7, **FIVE)):
        found = pt.smooth_randoms(fans, scanner)
        right = ring_pair_sums(scanner, singles)
        np.testing.assert_allclose(found, right, rtol=2e-4, atol=1e-6 * right.max())
        assert found.dtype == np.float32 and not found[:, ~scanner.live_bins].any()


def test_fan_sums_against_a_loop():
    rng = np.random.default_rng(5)
    counts = np.zeros(FINE.sinogram_shape)
    right = np.zeros((5, FINE.crystal_positions))
    for _ in range(50):
        a, b = rng.integers(5, size=2)
        view, w = int(rng.integers(FINE.views)), int(rng.integers(FINE.bins))
        plane = FINE.plane_of_ring_pair[a, b]
        if plane >= 0:
            n = int(rng.integers(1, 9))
            counts[plane, view, w] += n
            c0, c1 = FINE.bin_crystals[view, w]
            right[a, c0] += n
            right[b, c1] += n
    np.testing.assert_array_equal(pt.fan_sums(counts, FINE), right)


def test_far_less_noise_than_the_delayeds_and_the_same_mean(singles):
    expected = ring_pair_sums(FINE, singles)
    rng = np.random.default_rng(7)
    found = np.stack([pt.smooth_randoms(pt.fan_sums(rng.poisson(expected), FINE), FINE) for _ in range(12)])
    live = expected > 0
    noise = found.var(axis=0, ddof=1)[live].mean()
    assert noise < 0.05 * expected[live].mean()  # the delayeds themselves: variance = mean
    assert found.mean(axis=0)[live].mean() == pytest.approx(expected[live].mean(), rel=2e-3)
    bias = (found.mean(axis=0)[live] - expected[live]) / np.sqrt(found.var(axis=0, ddof=1)[live] / 12 + 1e-12)
    assert abs(np.median(bias)) < 0.5


def test_the_fans_of_list_mode_serve_for_any_span(tmp_path):
    scanner = pt.Scanner.preset("mmr", rings=3, span=1, max_ring_difference=2)
    delayeds = np.random.default_rng(1).poisson(0.2, scanner.sinogram_shape) * scanner.live_bins
    path = pt.io.write_listmode(tmp_path / "a.bf", 0 * delayeds, delayeds, scanner, seconds=1, seed=0, first_ring=9)
    raw = pt.io.read_listmode(path, scanner, first_ring=9)
    np.testing.assert_array_equal(raw.delayed_fans, pt.fan_sums(delayeds, scanner))
    assert pt.smooth_randoms(raw.delayed_fans, scanner).sum() == pytest.approx(delayeds.sum(), rel=1e-5)


def test_nothing_counted_is_nothing_expected():
    assert not pt.smooth_randoms(np.zeros((5, FINE.crystal_positions)), FINE).any()


def test_errors(singles):
    fans = pt.fan_sums(ring_pair_sums(FINE, singles), FINE)
    with pytest.raises(ValueError, match=r"fans: expected shape \(5, 288\)"):
        pt.smooth_randoms(fans[:4], FINE)
    with pytest.raises(ValueError, match="fans: expected values >= 0, got a minimum of -1"):
        pt.smooth_randoms(np.where(fans == fans.max(), -1, fans), FINE)
    in_gap = fans.copy()
    in_gap[2, 8] = 4
    with pytest.raises(ValueError, match="fans: expected 0 where there is no crystal, got 4 counts in gaps"):
        pt.smooth_randoms(in_gap, FINE)
    with pytest.raises(RuntimeError, match="expected convergence within 2 iterations to 1e-07, got none"):
        pt.smooth_randoms(fans, FINE, iterations=2)
    with pytest.raises(TypeError, match=r"scanner: expected a pettutor\.Scanner, got 'mini'"):
        pt.smooth_randoms(fans, "mini")
    with pytest.raises(ValueError, match="scanner: expected span 1, got span 7; for a list-mode file take its delayed"):
        joined = pt.Scanner.preset("mini", span=7, **FIVE)
        pt.fan_sums(np.zeros(joined.sinogram_shape), joined)
    with pytest.raises(ValueError, match="counts: expected shape"):
        pt.fan_sums(np.zeros((2, 3)), FINE)
