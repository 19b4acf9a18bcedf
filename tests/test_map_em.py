"""MAP-EM: its priors against finite differences, its update against the textbook's root, its result against SciPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import MatrixOperator, off_centre_grid, small_scanner
from scipy.optimize import minimize

import pettutor as pt
from pettutor.reconstruction import poisson
from pettutor.reconstruction.priors import Bowsher, Reference, Smoothness

SHAPE = (3, 4, 5)
SIZE = (3.0, 2.0, 1.5)


def image(seed, shape=SHAPE):
    return np.random.default_rng(seed).random(shape) + 0.1


PRIORS = {
    "reference": lambda: Reference(image(1), 0.7),
    "reference, weights": lambda: Reference(image(1), 2 * image(2)),
    "smoothness": lambda: Smoothness(0.8, SIZE),
    "Bowsher": lambda: Bowsher(0.8, image(3), similar=7, voxel_size=SIZE),
}


@pytest.fixture(params=PRIORS)
def prior(request):
    return PRIORS[request.param]()


def slow_penalty(x, beta, size, weight=lambda j, k: 1.0):
    """Every pair of neighbours once, voxel by voxel."""
    total = 0.0
    for j in np.ndindex(x.shape):
        for step in itertools.product((-1, 0, 1), repeat=3):
            k = tuple(a + b for a, b in zip(j, step, strict=True))
            if any(step) and k > j and all(0 <= a < n for a, n in zip(k, x.shape, strict=True)):
                distance = np.sqrt(sum((s * d) ** 2 for s, d in zip(step, size, strict=True)))
                total += 0.5 * beta * min(size) / distance * weight(j, k) * (x[j] - x[k]) ** 2
    return total


def test_smoothness_equals_slow_sum():
    x = image(4)
    assert Smoothness(0.8, SIZE).value(x) == pytest.approx(slow_penalty(x, 0.8, SIZE), rel=1e-12)
    flat = image(5, (1, 4, 5))
    assert Smoothness(0.8, SIZE).value(flat) == pytest.approx(slow_penalty(flat, 0.8, SIZE), rel=1e-12)


def test_bowsher_takes_the_most_similar_neighbours():
    x, other = image(4), image(3)
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


def test_gradient_is_that_of_the_value(prior):
    x, step = image(6), 1e-5
    gradient = prior.gradient(x)
    for j in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[j] += step
        down[j] -= step
        assert gradient[j] == pytest.approx((prior.value(up) - prior.value(down)) / (2 * step), rel=1e-6, abs=1e-8)


@given(seed=st.integers(0, 1000), far=st.floats(0.01, 5))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", PRIORS)
def test_surrogate_touches_and_lies_above(name, seed, far):
    prior, x = PRIORS[name](), image(seed)
    rho, z = prior.surrogate(x)
    assert rho * (x - z) == pytest.approx(prior.gradient(x), rel=1e-9, abs=1e-12)
    other = x + far * np.random.default_rng(seed + 1).standard_normal(x.shape)
    above = float((0.5 * rho * ((other - z) ** 2 - (x - z) ** 2)).sum()) + prior.value(x)
    assert prior.value(other) <= above * (1 + 1e-9)


@given(s=st.floats(1e-3, 1e4), em=st.floats(1e-4, 1e3), rho=st.floats(1e-6, 1e3), z=st.floats(-10, 1e3))
def test_update_is_the_positive_root(s, em, rho, z):
    x = float(poisson.map_update(np.array([em]), np.array([s]), rho, np.array([z]))[0])
    # the condition of the maximum: s x_EM / x - s - rho (x - z) = 0
    scale = s * em / x + s + rho * (x + abs(z))
    assert x > 0 and abs(s * em / x - s - rho * (x - z)) < 1e-9 * scale


def test_update_in_float32_where_the_textbook_form_fails():
    s, em, rho, z = (np.array([v], np.float32) for v in (1e4, 1e-3, 3e-3, 0.0))
    textbook = 0.5 * ((z - s / rho) + np.sqrt((z - s / rho) ** 2 + 4 * s * em / rho))
    assert textbook[0] == 0
    assert poisson.map_update(em, s, rho, z)[0] == pytest.approx(1e-3, rel=1e-6)


def problem(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    matrix = rng.random((90, 60)) * (rng.random((90, 60)) < 0.4)
    A = MatrixOperator(matrix.astype(dtype), SHAPE, (5, 6, 3))
    y = rng.poisson(6 * A(image(seed + 1).astype(dtype))).astype(dtype)
    return A, y, 0.5 + rng.random(A.out_shape).astype(dtype)


def test_result_is_the_maximum_that_a_general_optimiser_finds(prior):
    A, y, r = problem()

    def negative_objective(flat):
        x = flat.reshape(SHAPE)
        expected = A(x) + r
        value = expected.sum() - (y * np.log(expected)).sum() + prior.value(x)
        return value, (A.T(1 - y / expected) + prior.gradient(x)).ravel()

    best = minimize(
        negative_objective, np.ones(60), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 60,
        options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    record = pt.Record()
    x = pt.map_em(y, A, prior, iterations=4000, background=r, record=record)
    assert (np.diff(record.objective) > -1e-9 * abs(record.objective[-1])).all()
    assert record.objective[-1] == pytest.approx(-best.fun, rel=1e-7)
    assert x.ravel() == pytest.approx(best.x, abs=5e-3 * best.x.max())
    assert not np.allclose(x, pt.mlem(y, A, iterations=200, background=r), rtol=0.05)  # the prior does something


@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(PRIORS)))
@settings(max_examples=20, deadline=None)
def test_objective_never_falls(seed, name):
    A, y, r = problem(seed)
    record, images, prior = pt.Record(), [np.ones(SHAPE)], PRIORS[name]()
    pt.map_em(y, A, prior, iterations=12, background=r, record=record, callback=lambda i, x: images.append(x))
    penalties = [prior.value(x) for x in images[:-1]]  # of the images that enter an iteration, as the likelihood
    assert np.subtract(record.log_likelihood, record.objective) == pytest.approx(penalties, rel=1e-6, abs=1e-6)
    assert (np.diff(record.objective) > -1e-10 * abs(record.objective[-1])).all()
    assert record.objective[-1] < record.log_likelihood[-1]


def test_without_strength_it_is_mlem():
    A, y, r = problem(dtype=np.float32)
    x = pt.mlem(y, A, iterations=9, background=r)
    ones = np.ones(SHAPE, np.float32)
    for prior in (Smoothness(0.0), Reference(ones, 0.0), Bowsher(0.0, ones), Smoothness(1e-9)):
        assert pt.map_em(y, A, prior, iterations=9, background=r) == pytest.approx(x, rel=2e-5)


def test_strong_priors_win():
    A, y, r = problem()
    near = pt.map_em(y, A, Reference(image(8), 1e7), iterations=3, background=r)
    assert near == pytest.approx(image(8), rel=1e-4)
    smooth = pt.map_em(y, A, Smoothness(1e4), iterations=3000, background=r)
    assert smooth.std() < 0.02 * smooth.mean()


def test_with_the_projector_in_float32_and_resumed():
    X = pt.Projector(small_scanner(), off_centre_grid(), device="cpu")
    truth = np.random.default_rng(1).random(X.in_shape, dtype=np.float32)
    data = pt.simulate(truth, X, counts=1e5)
    A = pt.AcquisitionModel(X, normalisation=data.normalisation, background=data.randoms)
    prior = Smoothness(3.0, X.grid.voxel_size)
    long = pt.map_em(data.prompts, A, prior, iterations=6)
    first = pt.map_em(data.prompts, A, prior, iterations=2)
    assert np.array_equal(pt.map_em(data.prompts, A, prior, iterations=4, start=first), long)
    assert long.dtype == np.float32 and long.std() < pt.mlem(data.prompts, A, iterations=6).std()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Smoothness(-1.0), ValueError, "beta: expected a strength >= 0, got -1.0"),
        (lambda: Smoothness(1.0, (1, 2)), ValueError, r"voxel_size: expected three lengths > 0 .*, got \(1, 2\)"),
        (lambda: Reference(image(0), -1), ValueError, "rho: expected a weight >= 0, got -1"),
        (lambda: Reference(image(0), np.ones((2, 2))), ValueError, r"rho: expected shape \(3, 4, 5\)"),
        (lambda: Bowsher(1.0, image(0), similar=27), ValueError, r"similar: expected a whole number 1 … 26, got 27"),
        (lambda: run(Reference(np.ones((2, 3, 4)), 1.0)), ValueError, r"image: expected shape \(3, 4, 5\)"),
        (lambda: run(Bowsher(1.0, np.ones((2, 3, 4)))), ValueError, r"image: expected shape \(3, 4, 5\)"),
        (lambda: run("smooth"), TypeError, "prior: expected an object with value and surrogate, got 'smooth'"),
    ],
)
def test_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


def run(prior):
    A, y, r = problem()
    return pt.map_em(y, A, prior, iterations=1, background=r)
