"""BSREM: one pass against a slow loop, its limit against SciPy's maximum, its speed against MAP-EM, and its manners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from test_osem import MatrixWithViews, problem

import pettutor as pt
from pettutor.reconstruction.priors import Bowsher, Reference, RelativeDifference, Smoothness

VOXELS = (2, 3, 2)
SIZE = (3.0, 2.0, 1.5)
OTHER = np.random.default_rng(4).random(VOXELS)
PRIORS = {
    "smoothness": lambda: Smoothness(3.0, SIZE),
    "Bowsher": lambda: Bowsher(6.0, OTHER, similar=4, voxel_size=SIZE),
    "relative difference": lambda: RelativeDifference(1.0, 2.0, 1e-3, SIZE),
    "reference": lambda: Reference(OTHER, 5.0),
}


def slow_bsrem(y, A, r, prior, subsets, relaxation, passes, x):
    """Line by line, voxel by voxel."""
    matrix, views = A.matrix, np.broadcast_to(np.arange(A.out_shape[1])[None, :, None], A.out_shape).ravel()
    y, r, s = y.ravel(), r.ravel(), matrix.sum(axis=0)
    delta = 1e-3 * y.sum() / s.sum()
    x = np.where(s > 0, x, 0)
    for n in range(passes):
        c = np.broadcast_to(prior.curvature(x.reshape(A.in_shape)), A.in_shape).ravel()
        step = [(x[j] + delta) / (s[j] + (x[j] + delta) * c[j]) if s[j] > 0 else 0 for j in range(len(x))]
        for k in {3: [0, 2, 1], 1: [0]}[subsets]:
            lines = [i for i in range(len(y)) if views[i] % subsets == k]
            mean = {i: matrix[i] @ x + r[i] for i in lines}
            penalty = prior.gradient(x.reshape(A.in_shape)).ravel()
            new = x.copy()
            for j in range(len(x)):
                likelihood = sum(matrix[i, j] * (y[i] / mean[i] - 1) for i in lines)
                new[j] = max(0, x[j] + step[j] / (1 + relaxation * n) * (subsets * likelihood - penalty[j]))
            x = new
    return x


@pytest.mark.parametrize("subsets", [1, 3])
def test_equals_slow_reference(subsets):
    A, y, r = problem()
    prior = PRIORS["relative difference"]()
    start = np.random.default_rng(3).random(VOXELS) + 0.1
    got = pt.bsrem(y, A, prior, iterations=4, subsets=subsets, relaxation=0.3, background=r, start=start)
    # with a single part, the start lies in the first prior's gradient where nobody sees it
    start.ravel()[5] = 0
    if subsets == 1:
        got = pt.bsrem(y, A, prior, iterations=4, subsets=1, relaxation=0.3, background=r, start=start)
    assert got.ravel() == pytest.approx(slow_bsrem(y, A, r, prior, subsets, 0.3, 4, start.ravel()), rel=1e-10)
    assert got.ravel()[5] == 0 < got.ravel()[7]


def maximum(y, A, r, prior):
    """Image and objective of the maximum, by a general optimiser; voxels that nobody sees are held at 0."""
    seen = A.matrix.any(axis=0)

    def negative_objective(flat):
        x = flat.reshape(A.in_shape)
        expected = A(x) + r
        value = expected.sum() - (y * np.log(expected)).sum() + prior.value(x)
        return value, (A.T(1 - y / expected) + prior.gradient(x)).ravel()

    best = minimize(
        negative_objective, np.where(seen, 1.0, 0.0), jac=True, method="L-BFGS-B",
        bounds=[(0, None if s else 0) for s in seen],
        options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    return best.x.reshape(A.in_shape), lambda x: -negative_objective(x.ravel())[0]


@pytest.mark.parametrize("name", PRIORS)
def test_goes_to_the_maximum_that_a_general_optimiser_finds(name):
    A, y, r = problem()
    prior = PRIORS[name]()
    best, objective = maximum(y, A, r, prior)
    gain = objective(best) - objective(np.where(A.matrix.any(axis=0), 1.0, 0.0))
    images = []
    options = dict(subsets=7, background=r)
    pt.bsrem(y, A, prior, iterations=150, relaxation=1.0, callback=lambda i, x: images.append(x), **options)
    early, late = (objective(best) - objective(images[n - 1]) for n in (15, 150))
    assert abs(images[-1] - best).max() < 1e-2 * best.max()
    assert 0 <= late < 1e-5 * gain
    assert late < early / 30  # the step falls as 1/n, the distance with it, what is missing with its square
    cycling = pt.bsrem(y, A, prior, iterations=60, relaxation=0.0, **options)
    assert objective(best) - objective(cycling) > 20 * late


def test_a_single_subset_needs_no_relaxation():
    A, y, r = problem()
    prior = PRIORS["smoothness"]()
    best, _ = maximum(y, A, r, prior)
    record = pt.Record()
    x = pt.bsrem(y, A, prior, iterations=200, subsets=1, relaxation=0.0, background=r, record=record)
    assert x == pytest.approx(best, abs=1e-6 * best.max())
    assert (np.diff(record.objective[1:]) > -1e-9 * abs(record.objective[-1])).all()


def test_without_strength_a_step_is_that_of_em():
    A, y, r = problem()
    start = 20 + np.random.default_rng(1).random(VOXELS)
    got = pt.bsrem(y, A, Smoothness(0.0), iterations=1, subsets=1, background=r, start=start)
    assert got == pytest.approx(pt.mlem(y, A, iterations=1, background=r, start=start), rel=2e-3)


@pytest.fixture(scope="module")
def scan():
    scanner = pt.Scanner.preset("slab", crystals_per_block=2, gaps_per_block=0, crystal_pitch=15.0, bins=36)
    grid = scanner.image_grid((1, 24, 24), (4.0, 12.0, 12.0))
    X = pt.Projector(scanner, grid, device="cpu")
    data = pt.simulate(pt.load_subject("mni:0").on(grid), X, counts=2e5, seed=3)
    A = pt.AcquisitionModel(
        X, attenuation=data.attenuation, normalisation=data.normalisation, psf_fwhm=3.0, background=data.randoms
    )
    beta = pt.priors.strength(0.1, A.T(np.ones(A.out_shape, np.float32)), 50.0, order=1)
    return data.prompts, A, RelativeDifference(beta, 2.0, 0.1, grid.voxel_size)


def test_six_passes_do_what_forty_of_map_em_do(scan):
    y, A, prior = scan
    slow, record = pt.Record(), pt.Record()
    pt.map_em(y, A, prior, iterations=41, record=slow)
    start = pt.osem(y, A, iterations=1, subsets=8)
    x = pt.bsrem(y, A, prior, iterations=5, subsets=8, start=start)
    pt.map_em(y, A, prior, iterations=1, start=x, record=record)
    assert x.dtype == np.float32
    assert slow.objective[20] < slow.objective[40] < record.objective[0]


def test_resume_is_one_long_run_bit_for_bit(scan):
    y, A, prior = scan
    for order in ("interleaved", "random"):
        long_record, record, x = pt.Record(), pt.Record(), None
        options = dict(subsets=6, order=order, seed=3, relaxation=0.4)
        long = pt.bsrem(y, A, prior, iterations=4, record=long_record, **options)
        for _ in range(2):
            x = pt.bsrem(y, A, prior, iterations=2, start=x, record=record, **options)
        assert np.array_equal(x, long) and record.objective == long_record.objective
        assert not np.array_equal(pt.bsrem(y, A, prior, iterations=4, start=x, **options), long)


def test_mask_and_the_background_of_the_operator(scan):
    y, A, prior = scan
    mask = np.random.default_rng(2).random(A.in_shape) < 0.8
    x = pt.bsrem(y, A, prior, iterations=2, subsets=4, mask=mask)
    assert not x[~mask].any() and x[mask].any()
    given_ = pt.bsrem(y, A, prior, iterations=2, subsets=4, mask=mask, background=A.background)
    assert np.array_equal(x, given_)
    assert not np.array_equal(x, pt.bsrem(y, A, prior, iterations=2, subsets=4, mask=mask, background=0.1))


def test_interrupt_gives_the_image_after_the_last_finished_pass(capsys):
    A, y, r = problem()

    def callback(iteration, image):
        if iteration == 3:
            raise KeyboardInterrupt

    prior = PRIORS["smoothness"]()
    x = pt.bsrem(y, A, prior, iterations=50, subsets=3, background=r, callback=callback)
    assert "BSREM stopped after 3 iterations" in capsys.readouterr().out
    assert np.array_equal(x, pt.bsrem(y, A, prior, iterations=3, subsets=3, background=r))


def test_a_given_sensitivity_is_shared_among_the_subsets():
    """As in list mode; the subsets of equal rows that see the same need no other than the whole's share."""
    A, y, r = problem()
    B = MatrixWithViews(np.tile(A.matrix[:6], (4, 1)), VOXELS, (1, 4, 6))
    y, r = np.tile(y.ravel()[:6], 4).reshape(1, 4, 6), np.tile(r.ravel()[:6], 4).reshape(1, 4, 6)
    prior = PRIORS["relative difference"]()
    own = pt.bsrem(y, B, prior, iterations=3, subsets=4, background=r)
    s = B.T(np.ones(B.out_shape))
    assert pt.bsrem(y, B, prior, iterations=3, subsets=4, background=r, sensitivity=s) == pytest.approx(own, rel=1e-9)


@given(seed=st.integers(0, 1000), subsets=st.integers(1, 7), name=st.sampled_from(sorted(PRIORS)))
@settings(max_examples=20, deadline=None)
def test_images_stay_finite_and_positive(seed, subsets, name):
    A, y, r = problem(seed)
    x = pt.bsrem(y, A, PRIORS[name](), iterations=5, subsets=subsets, background=r)
    assert np.isfinite(x).all() and (x >= 0).all() and x.ravel()[5] == 0 and x.max() > 0
    assert not pt.bsrem(0 * y, A, PRIORS["smoothness"](), iterations=40, subsets=subsets, background=r).max() > 0.1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            dict(prior="smooth"),
            TypeError,
            "prior: expected an object with value and gradient and curvature, got 'smooth'",
        ),
        (dict(relaxation=-1), ValueError, "relaxation: expected a number >= 0, got -1"),
        (dict(subsets=0), ValueError, "subsets: expected a whole number >= 1, got 0"),
        (dict(order="sorted"), ValueError, "order: expected one of 'interleaved', 'random', got 'sorted'"),
        (dict(y=-np.ones((2, 7, 3))), ValueError, "y: expected values >= 0"),
    ],
)
def test_refuses(change, error, message):
    A, y, _ = problem()
    with pytest.raises(error, match=message):
        pt.bsrem(**{"y": y, "A": A, "prior": PRIORS["smoothness"](), "subsets": 2, **change})
