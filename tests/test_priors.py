"""Priors: values against slow sums over pairs, gradients against finite differences, surrogates that lie above."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from registry import MatrixOperator

import pettutor as pt
from pettutor.reconstruction.priors import Bowsher, Reference, RelativeDifference, Smoothness, strength

SHAPE = (3, 4, 5)
SIZE = (3.0, 2.0, 1.5)


def image(seed, shape=SHAPE):
    return np.random.default_rng(seed).random(shape) + 0.1


PRIORS = {
    "reference": lambda: Reference(image(1), 0.7),
    "reference, weights": lambda: Reference(image(1), 2 * image(2)),
    "smoothness": lambda: Smoothness(0.8, SIZE),
    "Bowsher": lambda: Bowsher(0.8, image(3), similar=7, voxel_size=SIZE),
    "relative difference": lambda: RelativeDifference(0.8, 2.0, 0.02, SIZE),
    "relative difference, small gamma": lambda: RelativeDifference(0.8, 0.2, 0.02, SIZE),
}


@pytest.fixture(params=PRIORS)
def prior(request):
    return PRIORS[request.param]()


def slow_penalty(x, beta, size, weight=lambda j, k: 1.0, potential=lambda a, b: 0.5 * (a - b) ** 2):
    """Every pair of neighbours once, voxel by voxel."""
    total = 0.0
    for j in np.ndindex(x.shape):
        for step in itertools.product((-1, 0, 1), repeat=3):
            k = tuple(a + b for a, b in zip(j, step, strict=True))
            if any(step) and k > j and all(0 <= a < n for a, n in zip(k, x.shape, strict=True)):
                distance = np.sqrt(sum((s * d) ** 2 for s, d in zip(step, size, strict=True)))
                total += beta * min(size) / distance * weight(j, k) * potential(x[j], x[k])
    return total


def test_smoothness_equals_slow_sum():
    x = image(4)
    assert Smoothness(0.8, SIZE).value(x) == pytest.approx(slow_penalty(x, 0.8, SIZE), rel=1e-12)
    flat = image(5, (1, 4, 5))
    assert Smoothness(0.8, SIZE).value(flat) == pytest.approx(slow_penalty(flat, 0.8, SIZE), rel=1e-12)


@pytest.mark.parametrize("planes", [3, 10, 19])  # the others in several blocks of planes
def test_bowsher_takes_the_most_similar_neighbours(planes):
    x, other = image(4, (planes, 4, 5)), image(3, (planes, 4, 5))
    similar = {}
    for j in np.ndindex(x.shape):
        near = [
            tuple(a + b for a, b in zip(j, step, strict=True))
            for step in itertools.product((-1, 0, 1), repeat=3)
            if any(step)
        ]
        near = [k for k in near if all(0 <= a < n for a, n in zip(k, x.shape, strict=True))]
        similar[j] = set(sorted(near, key=lambda k: abs(np.float32(other[k] - other[j])))[:7])
    expected = slow_penalty(x, 0.8, SIZE, lambda j, k: 0.5 * ((k in similar[j]) + (j in similar[k])))
    assert Bowsher(0.8, other, similar=7, voxel_size=SIZE).value(x) == pytest.approx(expected, rel=1e-6)
    assert Bowsher(0.8, other, similar=26).value(x) == pytest.approx(Smoothness(0.8).value(x), rel=1e-6)


def test_bowsher_does_not_smooth_across_an_edge_of_the_other_image():
    other = np.zeros((3, 6, 6))
    other[:, :, 3:] = 9
    edge = np.where(other > 0, 4.0, 1.0)
    assert Bowsher(1.0, other, similar=5).value(edge) == 0 < Smoothness(1.0).value(edge)


@pytest.mark.parametrize("name", ["smoothness", "Bowsher"])
def test_quadratic_priors_in_several_blocks_of_planes(name):
    """Taller than a block: for a parabola differences by any step are exact, and half of rho is the Hessian's."""
    shape, step = (19, 2, 3), 0.5
    prior = {"smoothness": Smoothness(0.7, SIZE), "Bowsher": Bowsher(0.7, image(12, shape), 7, SIZE)}[name]
    x = image(11, shape)
    gradient, curvature, (rho, z) = prior.gradient(x), prior.curvature(x), prior.surrogate(x)
    here = prior.value(x)
    if name == "smoothness":
        assert here == pytest.approx(slow_penalty(x, 0.7, SIZE), rel=1e-12)
    for j in np.ndindex(shape):
        up, down = x.copy(), x.copy()
        up[j] += step
        down[j] -= step
        assert gradient[j] == pytest.approx((prior.value(up) - prior.value(down)) / (2 * step), rel=1e-9, abs=1e-11)
        assert curvature[j] == pytest.approx((prior.value(up) + prior.value(down) - 2 * here) / step**2, rel=1e-9)
    assert rho == pytest.approx(2 * curvature, rel=1e-12)
    assert rho * (x - z) == pytest.approx(gradient, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ask", ["value", "gradient", "surrogate", "curvature"])
def test_bowsher_refuses_an_image_of_another_shape(ask):
    prior = Bowsher(1.0, image(3, (19, 4, 5)), voxel_size=SIZE)
    for shape in ((18, 4, 5), (9, 4, 5), (19, 5, 4)):
        with pytest.raises(
            ValueError, match=r"image: expected shape .* \(that of the reconstruction\), got \(19, 4, 5\)"
        ):
            getattr(prior, ask)(image(4, shape))


def test_gradient_is_that_of_the_value(prior):
    x, step = image(6), 1e-5
    gradient = prior.gradient(x)
    for j in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[j] += step
        down[j] -= step
        assert gradient[j] == pytest.approx((prior.value(up) - prior.value(down)) / (2 * step), rel=1e-6, abs=1e-8)


def lies_above(prior, x, other):
    """The surrogate at x, at another image: not below the prior."""
    rho, z = prior.surrogate(x)
    above = float((0.5 * rho * ((other - z) ** 2 - (x - z) ** 2)).sum()) + prior.value(x)
    return prior.value(other) <= above + 1e-9 * (abs(above) + prior.value(x))


@given(seed=st.integers(0, 1000), far=st.floats(0.01, 5))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", PRIORS)
def test_surrogate_touches_and_lies_above(name, seed, far):
    prior, x = PRIORS[name](), image(seed)
    rho, z = prior.surrogate(x)
    assert rho * (x - z) == pytest.approx(prior.gradient(x), rel=1e-9, abs=1e-12)
    other = x + far * np.random.default_rng(seed + 1).standard_normal(x.shape)
    assert lies_above(prior, x, np.maximum(other, 0) if isinstance(prior, RelativeDifference) else other)


ACTIVITY = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))


@given(ACTIVITY, ACTIVITY, ACTIVITY, ACTIVITY, st.floats(0, 20), st.floats(1e-6, 10))
@example(1.0, 0.0, 0.0, 1.0, 0.0, 1e-6)  # from an edge to its mirror image
@example(1.0, 1.0, 1.001, 0.999, 2.0, 1e-6)  # between equal voxels, where it is tight
@example(1000.0, 0.0, 0.0, 577.0, 0.25, 1e-6)
@settings(max_examples=150, deadline=None)
def test_surrogate_of_the_relative_difference_holds_for_any_pair(p, q, a, b, gamma, epsilon):
    prior = RelativeDifference(0.7, gamma, epsilon)
    assert lies_above(prior, np.array([[[p, q]]]), np.array([[[a, b]]]))


def test_surrogate_of_the_relative_difference_is_no_wider_than_needed():
    """A hundredth less curvature, and there are images below the prior: at equal voxels, and without gamma at edges."""
    for gamma, x, other in ((2.0, (1.0, 1.0), (1.0001, 0.9999)), (0.0, (1.0, 1e-4), (1.0, 0.0))):
        prior = RelativeDifference(1.0, gamma, 0.0)
        x, other = np.array(x).reshape(1, 1, 2), np.array(other).reshape(1, 1, 2)
        rho = 0.99 * prior.surrogate(x)[0]
        z = x - prior.gradient(x) / rho
        assert prior.value(other) > prior.value(x) + (0.5 * rho * ((other - z) ** 2 - (x - z) ** 2)).sum()


@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(PRIORS)))
@settings(max_examples=30, deadline=None)
def test_curvature_is_half_of_the_hessian_or_more(seed, name):
    prior, x = PRIORS[name](), image(seed)
    direction, step = np.random.default_rng(seed).standard_normal(x.shape), 1e-5
    hessian = (prior.gradient(x + step * direction) - prior.gradient(x - step * direction)) / (2 * step)
    assert (direction * hessian).sum() <= 2 * (prior.curvature(x) * direction**2).sum() * (1 + 1e-6)
    assert np.all(prior.curvature(x) <= prior.surrogate(x)[0])


def test_curvature_is_half_of_the_hessian_where_two_equal_voxels_part():
    """φ = (2h)²/2 for `Smoothness`, (2h)²/(2·3 + 4h) for the relative difference of 3 + h and 3 - h, to order h²."""
    x, apart = np.full((1, 1, 2), 3.0), np.array([[[1e-4, -1e-4]]])
    for prior in (Smoothness(0.7), RelativeDifference(0.7, 2.0, 0.0)):
        by_curvature = 0.5 * float((2 * prior.curvature(x) * apart**2).sum())
        assert prior.value(x + apart) == pytest.approx(by_curvature, rel=1e-3)


# ---- relative difference ---------------------------------------------------------------------------------------------


def test_relative_difference_in_several_blocks_of_planes():
    """Taller than a block: its gradient by finite differences, the curvature by a slow sum over neighbours."""
    prior, x, step = RelativeDifference(0.7, 2.0, 0.05, SIZE), image(11, (19, 2, 3)), 1e-5
    gradient, curvature = prior.gradient(x), prior.curvature(x)
    relative = {"potential": lambda a, b: (a - b) ** 2 / (a + b + 2 * abs(a - b) + 0.05)}
    assert prior.value(x) == pytest.approx(slow_penalty(x, 0.7, SIZE, **relative), rel=1e-12)
    for j in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[j] += step
        down[j] -= step
        slope = (prior.value(up) - prior.value(down)) / (2 * step)
        assert gradient[j] == pytest.approx(slope, rel=1e-5, abs=1e-7)
        total = 0.0
        for away in itertools.product((-1, 0, 1), repeat=3):
            k = tuple(a + b for a, b in zip(j, away, strict=True))
            if any(away) and all(0 <= a < n for a, n in zip(k, x.shape, strict=True)):
                distance = np.sqrt(sum((s * d) ** 2 for s, d in zip(away, SIZE, strict=True)))
                t = x[j] + x[k] + 2 * abs(x[j] - x[k]) + 0.05
                total += 0.7 * min(SIZE) / distance * 4 / t  # 8 / (τ² t) with τ² = 2
        assert curvature[j] == pytest.approx(total / 2, rel=1e-10)


@pytest.mark.parametrize(("gamma", "epsilon"), [(0.0, 0.3), (0.5, 0.0), (2.0, 1e-3), (7.0, 1.0)])
def test_relative_difference_equals_slow_sum(gamma, epsilon):
    x = image(4)
    x[1, 2, 3] = x[1, 2, 4] = 0
    expected = slow_penalty(
        x, 0.8, SIZE, potential=lambda a, b: (a - b) ** 2 / (a + b + gamma * abs(a - b) + epsilon) if a + b > 0 else 0
    )
    assert RelativeDifference(0.8, gamma, epsilon, SIZE).value(x) == pytest.approx(expected, rel=1e-12)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), gamma=st.floats(0, 10))
@settings(max_examples=30, deadline=None)
def test_relative_difference_grows_with_the_scale(seed, scale, gamma):
    prior, x = RelativeDifference(0.8, gamma, 0.0, SIZE), image(seed)
    assert prior.value(scale * x) == pytest.approx(scale * prior.value(x), rel=1e-9)
    assert prior.gradient(scale * x) == pytest.approx(prior.gradient(x), rel=1e-9, abs=1e-12)
    assert (prior.gradient(x) * x).sum() == pytest.approx(prior.value(x), rel=1e-9)  # Euler, order 1
    assert prior.value(x + 3) < prior.value(x)  # the same differences between higher activities


@given(seed=st.integers(0, 1000), gamma=st.floats(0, 10), share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_relative_difference_is_convex(seed, gamma, share):
    prior, x, other = RelativeDifference(0.8, gamma, 0.01, SIZE), image(seed), image(seed + 1)
    other[0] = 0
    between = prior.value(share * x + (1 - share) * other)
    assert between <= share * prior.value(x) + (1 - share) * prior.value(other) + 1e-9


def test_relative_difference_is_smoothness_between_nearly_equal_voxels():
    rough = 50 + 0.01 * image(4)
    relative, smooth = RelativeDifference(0.8, 2.0, 0.0, SIZE), Smoothness(0.8 / 50, SIZE)
    assert relative.value(rough) == pytest.approx(smooth.value(rough), rel=1e-3)
    edges = np.where(rough > 50.006, 95.0, 5.0)  # 90²/280 instead of 90²/100
    assert relative.value(edges) == pytest.approx(smooth.value(edges) / 2.8, rel=1e-9)


def test_relative_difference_of_empty_images_is_finite():
    zeros = np.zeros(SHAPE, np.float32)
    for epsilon in (0.0, 0.1):
        prior = RelativeDifference(0.8, 2.0, epsilon)
        rho, z = prior.surrogate(zeros)
        assert prior.value(zeros) == 0 and not prior.gradient(zeros).any() and not z.any()
        assert np.isfinite(rho).all() and rho.dtype == z.dtype == prior.gradient(zeros).dtype == np.float32


# ---- strength --------------------------------------------------------------------------------------------------------


def test_strength_by_hand():
    s = np.array([[[0.0, 2.0, 4.0]]])
    assert strength(0.5, s, 10.0) == pytest.approx(0.5 * 3 / 10)
    assert strength(0.5, s, 10.0, order=1) == pytest.approx(0.5 * 3)


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (lambda beta, unit: Smoothness(beta, SIZE), 2),
        (lambda beta, unit: RelativeDifference(beta, 2.0, 0.05 * unit, SIZE), 1),
        (lambda beta, unit: Reference(unit * image(3), beta), 2),
    ],
)
def test_strength_keeps_its_meaning_when_units_change(make, order):
    """The same scan in another unit of activity: with one kappa the image only changes its unit."""
    rng = np.random.default_rng(0)
    matrix = rng.random((90, 60))
    y = rng.poisson(6 * matrix @ image(1).ravel()).astype(float)
    results = []
    for unit in (1.0, 40.0):
        A = MatrixOperator(matrix / unit, SHAPE, (90,))
        s = A.T(np.ones(90))
        prior = make(strength(0.3, s, 6 * unit, order), unit)
        results.append(pt.map_em(y, A, prior, iterations=30, start=np.full(SHAPE, unit)) / unit)
    assert results[1] == pytest.approx(results[0], rel=1e-9)
    assert results[0].std() < 0.9 * pt.mlem(y, MatrixOperator(matrix, SHAPE, (90,)), iterations=30).std()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Smoothness(-1.0), "beta: expected a strength >= 0, got -1.0"),
        (lambda: Smoothness("strong"), "beta: expected a strength >= 0, got 'strong'"),
        (lambda: Smoothness(1.0, (1, 2)), r"voxel_size: expected three lengths > 0 .*, got \(1, 2\)"),
        (lambda: RelativeDifference(1.0, gamma=-2), "gamma: expected a number >= 0, got -2"),
        (lambda: RelativeDifference(1.0, epsilon=math.nan), "epsilon: expected an activity >= 0, got nan"),
        (lambda: Reference(image(0), -1), "rho: expected a weight >= 0, got -1"),
        (lambda: Reference(image(0), np.ones((2, 2))), r"rho: expected shape \(3, 4, 5\)"),
        (lambda: Bowsher(1.0, image(0), similar=27), "similar: expected a whole number 1 … 26, got 27"),
        (lambda: strength(-1, image(0), 1.0), "kappa: expected a number >= 0, got -1"),
        (lambda: strength(1, image(0), 0.0), "activity: expected a number > 0, got 0.0"),
        (lambda: strength(1, np.zeros(SHAPE), 1.0), "sensitivity: expected a voxel with a sensitivity > 0, got none"),
        (lambda: strength(1, image(0), 1.0, order=3), "order: expected 1 or 2, got 3"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_of_a_whole_image_are_those_of_its_planes():
    rng = np.random.default_rng(3)
    mr, x = rng.random((19, 5, 6)), rng.random((19, 5, 6))
    prior = Bowsher(1.0, mr, similar=3)
    for number, (step, weight) in enumerate(prior.neighbours):
        whole = prior.weights(number, x)
        assert len(whole) == 19 - step[0]
        np.testing.assert_array_equal(whole[4:9], prior._weights(number, 4, 5, x.dtype))
        assert Smoothness(1.0).weights(number, x) == weight
    with pytest.raises(ValueError, match=r"image: expected shape \(18, 5, 6\)"):
        prior.weights(0, x[1:])
