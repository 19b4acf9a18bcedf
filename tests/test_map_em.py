"""MAP-EM: its update against the textbook's root, its result against SciPy, its subsets against a slow loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import MatrixOperator, off_centre_grid, small_scanner
from scipy.optimize import minimize
from test_osem import problem as problem_with_views
from test_priors import PRIORS, SHAPE, SIZE, image

import pettutor as pt
from pettutor.reconstruction import poisson
from pettutor.reconstruction.priors import Bowsher, Reference, RelativeDifference, Smoothness


@pytest.fixture(params=[name for name in PRIORS if "small" not in name])
def prior(request):
    return PRIORS[request.param]()


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
    x = pt.map_em(y, A, prior, iterations=1200, background=r, record=record)
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
    smooth = pt.map_em(y, A, Smoothness(1e4), iterations=1000, background=r)
    assert smooth.std() < 0.02 * smooth.mean()


def slow_map_em(y, A, r, prior, orders, x):
    """Line by line and with the textbook's root; every subset takes its share of the prior. 0: a voxel nobody sees."""
    matrix, views = A.matrix, np.broadcast_to(np.arange(A.out_shape[1])[None, :, None], A.out_shape).ravel()
    y, r = y.ravel(), r.ravel()
    x = np.where(matrix.any(axis=0), x, 0)
    for order in orders:
        for k in order:
            rho, z = (np.broadcast_to(a, A.in_shape).ravel() for a in prior.surrogate(x.reshape(A.in_shape)))
            lines = [i for i in range(len(y)) if views[i] % len(order) == k]
            mean = {i: matrix[i] @ x + r[i] for i in lines}
            new = x.copy()
            for j in range(len(x)):
                s = sum(matrix[i, j] for i in lines)
                if s > 0:
                    c, counts = rho[j] / len(order), x[j] * sum(matrix[i, j] * y[i] / mean[i] for i in lines)
                    new[j] = 0.5 * (z[j] - s / c + np.sqrt((z[j] - s / c) ** 2 + 4 * counts / c))
            x = new
    return x


@pytest.mark.parametrize(("subsets", "order"), [(1, "random"), (3, "interleaved"), (7, "random")])
def test_subsets_equal_slow_reference(subsets, order):
    A, y, r = problem_with_views()
    prior = RelativeDifference(0.8, 2.0, 0.02, SIZE)
    orders = [np.random.default_rng((5, n)).permutation(subsets) for n in range(3)]
    orders = orders if order == "random" else [[0, 2, 1]] * 3
    start = image(3, A.in_shape)
    got = pt.map_em(y, A, prior, iterations=3, subsets=subsets, order=order, seed=5, background=r, start=start)
    # one part alone keeps its start, where nobody sees it, in the neighbours' first surrogate
    start.ravel()[5] = 0
    if subsets == 1:
        got = pt.map_em(y, A, prior, iterations=3, background=r, start=start)
    assert got.ravel() == pytest.approx(slow_map_em(y, A, r, prior, orders, start.ravel()), rel=1e-9)
    assert got.ravel()[5] == 0 < got.ravel()[7]


def test_without_strength_subsets_are_osem():
    A, y, r = problem_with_views()
    for order in ("interleaved", "random"):
        x = pt.osem(y, A, iterations=3, subsets=5, order=order, seed=2, background=r)
        got = pt.map_em(y, A, Smoothness(0.0), iterations=3, subsets=5, order=order, seed=2, background=r)
        assert got == pytest.approx(x, rel=1e-12)


def objective_of(y, A, prior, x):
    record = pt.Record()
    pt.map_em(y, A, prior, iterations=1, start=x, record=record)
    return record.objective[0]


def test_with_the_projector_in_float32_and_resumed():
    X = pt.Projector(small_scanner(), off_centre_grid(), device="cpu")
    truth = np.random.default_rng(1).random(X.in_shape, dtype=np.float32)
    data = pt.simulate(truth, X, counts=1e5)
    A = pt.AcquisitionModel(X, normalisation=data.normalisation, background=data.randoms)
    prior = Smoothness(3.0, X.grid.voxel_size)
    long = pt.map_em(data.prompts, A, prior, iterations=6)
    first = pt.map_em(data.prompts, A, prior, iterations=2)
    assert np.array_equal(pt.map_em(data.prompts, A, prior, iterations=4, start=first), long)
    long_record, record, part = pt.Record(), pt.Record(), None
    whole = pt.map_em(data.prompts, A, prior, iterations=4, subsets=3, order="random", record=long_record)
    for _ in range(2):
        part = pt.map_em(data.prompts, A, prior, iterations=2, subsets=3, order="random", start=part, record=record)
    assert np.array_equal(part, whole) and record.objective == long_record.objective
    assert record.objective[2] > objective_of(data.prompts, A, prior, first)
    assert long.dtype == np.float32 and long.std() < pt.mlem(data.prompts, A, iterations=6).std()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: run(Reference(np.ones((2, 3, 4)), 1.0)), ValueError, r"image: expected shape \(3, 4, 5\)"),
        (lambda: run(Bowsher(1.0, np.ones((2, 3, 4)))), ValueError, r"image: expected shape \(3, 4, 5\)"),
        (lambda: run("smooth"), TypeError, "prior: expected an object with value and surrogate, got 'smooth'"),
        (lambda: run(Smoothness(1.0), subsets=0), ValueError, "subsets: expected a whole number >= 1, got 0"),
        (lambda: run(Smoothness(1.0), subsets=2, order="sorted"), ValueError, "order: expected one of 'interleaved'"),
        (lambda: run(Smoothness(1.0), subsets=2), NotImplementedError, "MatrixOperator has no subsets"),
    ],
)
def test_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


def run(prior, **options):
    A, y, r = problem()
    return pt.map_em(y, A, prior, iterations=1, background=r, **options)
