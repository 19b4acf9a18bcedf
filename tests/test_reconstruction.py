"""MLEM on small dense matrices against a slow float64 reference, its invariants, and its manners."""

import numpy as np
import pytest
import references
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import MatrixOperator, off_centre_grid, small_scanner

import pettutor as pt
from pettutor.reconstruction import poisson


def problem(seed=0, dtype=np.float32, bins=(2, 3, 4), voxels=(2, 3, 3)):
    rng = np.random.default_rng(seed)
    matrix = rng.random((np.prod(bins), np.prod(voxels))) * (rng.random((np.prod(bins), np.prod(voxels))) < 0.6)
    matrix[:, 4] = 0  # a voxel that nothing sees
    matrix[5] = 0  # a bin that sees nothing
    A = MatrixOperator(matrix.astype(dtype), voxels, bins)
    y = rng.poisson(20 * matrix @ rng.random(matrix.shape[1])).astype(dtype).reshape(bins)
    return A, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_slow_reference(dtype):
    A, y = problem(dtype=dtype)
    background = np.random.default_rng(9).random(y.shape).astype(dtype)
    start = np.random.default_rng(8).random(A.in_shape).astype(dtype)
    image = pt.mlem(y, A, iterations=7, background=background, start=start)
    expected = references.mlem(y.ravel(), A.matrix.astype(float), background.ravel(), 7, start.ravel())
    assert image.dtype == dtype
    assert image.ravel() == pytest.approx(expected, rel=2e-5 if dtype == np.float32 else 1e-11)
    assert image.ravel()[4] == 0


@given(seed=st.integers(0, 10_000), background=st.sampled_from([0.0, 0.7]))
@settings(max_examples=40, deadline=None)
def test_likelihood_never_falls_and_counts_are_kept(seed, background):
    A, y = problem(seed, np.float64)
    y.flat[5] = 0 if background == 0 else y.flat[5]
    record, totals = pt.Record(), []
    pt.mlem(y, A, iterations=12, background=background, record=record, callback=lambda i, x: totals.append(A(x).sum()))
    assert len(record.log_likelihood) == record.iterations == 12
    assert (np.diff(record.log_likelihood) >= -1e-9 * np.abs(record.log_likelihood[1:])).all()
    if background == 0:
        # bins whose voxels are all unseen cannot be explained; here every other bin is
        assert totals == pytest.approx([y.sum()] * 12, rel=1e-9)


def test_record_holds_the_poisson_likelihood():
    A, y = problem(dtype=np.float64)
    record = pt.Record()
    pt.mlem(y, A, iterations=1, background=0.5, record=record)
    expected = A(np.ones(A.in_shape)) + 0.5
    by_hand = sum(m * np.log(e) - e for m, e in zip(y.ravel(), expected.ravel(), strict=True))
    assert record.log_likelihood == [pytest.approx(by_hand)]
    assert record.seconds[0] > 0
    assert pt.log_likelihood(y, A, np.ones(A.in_shape), background=0.5) == pytest.approx(by_hand)


def test_the_likelihood_of_an_image_is_the_one_that_a_record_holds():
    A, y = problem(dtype=np.float64)
    A.background = 0.2 + np.random.default_rng(2).random(A.out_shape)
    s = 2 * A.T(np.ones(A.out_shape))  # list mode: the scanner could have seen more than the lines that A holds
    image = np.random.default_rng(3).random(A.in_shape)
    for more in ({}, {"background": 0.7 + 0 * y}, {"sensitivity": s}):
        record = pt.Record()
        pt.mlem(y, A, iterations=1, start=image, record=record, **more)
        assert pt.log_likelihood(y, A, image, **more) == pytest.approx(record.log_likelihood[0], rel=1e-12)
    with pytest.raises(ValueError, match="image: expected values >= 0"):
        pt.log_likelihood(y, A, image - 1)
    with pytest.raises(ValueError, match="image: expected shape"):
        pt.log_likelihood(y, A, image[0])
    with pytest.raises(TypeError, match=r"the counts come first, then the operator"):
        pt.log_likelihood(A, y, image)


def test_resume_is_one_long_run_bit_for_bit():
    X = pt.Projector(small_scanner(), off_centre_grid(), device="cpu")
    truth = np.random.default_rng(1).random(X.in_shape, dtype=np.float32)
    data = pt.simulate(truth, X, counts=1e5)
    A = pt.AcquisitionModel(X, normalisation=data.normalisation, psf_fwhm=3.0, background=data.randoms)
    long_record, record, image = pt.Record(), pt.Record(), None
    long = pt.mlem(data.prompts, A, iterations=9, record=long_record)
    for _ in range(3):
        image = pt.mlem(data.prompts, A, iterations=3, start=image, record=record)
    assert np.array_equal(image, long) and record.log_likelihood == long_record.log_likelihood


def test_recovers_a_phantom():
    """Noise-free data of a disc with a hot spot: 200 iterations come close to the truth."""
    scanner = pt.Scanner.preset("slab", crystals_per_block=2, gaps_per_block=0, crystal_pitch=15.0, bins=36)
    grid = scanner.image_grid((1, 20, 24), (4.0, 11.0, 9.0))
    X = pt.Projector(scanner, grid, device="cpu")
    truth = references.ellipsoid_image(grid, (0, 9.0, -14.0), (np.inf, 70.0, 60.0))
    truth += 3 * references.ellipsoid_image(grid, (0, 40.0, 20.0), (np.inf, 21.0, 21.0))
    image = pt.mlem(X(truth), X, iterations=200)
    assert np.sqrt(np.mean((image - truth) ** 2)) < 0.05 * truth.max()


def test_background_of_the_operator_is_used():
    X = pt.Projector(small_scanner(), off_centre_grid(), device="cpu")
    y = np.random.default_rng(0).poisson(9, X.out_shape).astype(np.float32)
    own = pt.mlem(y, pt.AcquisitionModel(X, background=4.0), iterations=3)
    given_ = pt.mlem(y, X, iterations=3, background=4.0)
    assert np.array_equal(own, given_) and not np.array_equal(own, pt.mlem(y, X, iterations=3))


def test_mask_and_start():
    A, y = problem()
    mask = np.random.default_rng(2).random(A.in_shape) < 0.5
    image = pt.mlem(y, A, iterations=4, mask=mask)
    assert not image[~mask].any() and image[mask].any()
    start = np.ones(A.in_shape, np.float32)
    pt.mlem(y, A, iterations=2, start=start, mask=mask)
    assert (start == 1).all()


def test_interrupt_gives_the_last_finished_image(capsys):
    A, y = problem()
    seen = []

    def callback(iteration, image):
        seen.append(image)
        if iteration == 3:
            raise KeyboardInterrupt

    image = pt.mlem(y, A, iterations=50, callback=callback)
    assert len(seen) == 3 and image is seen[-1]
    assert "stopped after 3 iterations" in capsys.readouterr().out
    assert np.array_equal(image, pt.mlem(y, A, iterations=3))


def test_zero_cases():
    y = np.array([0, 0, 3, 2], np.float32)
    expected = np.array([0, 4, 0, 4], np.float32)
    ratio = poisson.ratio(y, expected)
    assert ratio[[0, 1, 3]].tolist() == [1, 0, 0.5]
    assert 1e18 < ratio[2] < 1e20  # large, and its square is still a number
    assert poisson.log_likelihood(y[:2], expected[:2]) == -4
    update = poisson.em_update(np.ones(3), np.array([2.0, 5.0, 0.0]), np.array([4.0, 0.0, 1.0]))
    assert update.tolist() == [0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(y=np.ones((2, 3, 5), np.float32)), ValueError, r"y: expected shape \(2, 3, 4\), got .*\(2, 3, 5\)"),
        (dict(y=-np.ones((2, 3, 4), np.float32)), ValueError, "y: expected values >= 0, got a minimum of -1"),
        (dict(y=np.full((2, 3, 4), np.nan, np.float32)), ValueError, "y: expected finite values, got 24 NaN"),
        (dict(y=np.ones((2, 3, 4))), TypeError, "y: expected dtype float32, got .*float64"),
        (dict(iterations=0), ValueError, "iterations: expected a whole number >= 1, got 0"),
        (dict(iterations=2.0), ValueError, "iterations: expected a whole number >= 1, got 2.0"),
        (dict(background=-1), ValueError, "background: expected counts >= 0, got -1"),
        (dict(background=np.ones(4, np.float32)), ValueError, r"background: expected shape \(2, 3, 4\)"),
        (dict(start=np.ones((2, 3), np.float32)), ValueError, r"start: expected shape \(2, 3, 3\)"),
        (dict(start=-np.ones((2, 3, 3), np.float32)), ValueError, "start: expected values >= 0"),
        (dict(mask=np.ones((2, 3, 3))), TypeError, "mask: expected dtype bool, got .*float64"),
    ],
)
def test_refuses(change, error, message):
    A, y = problem()
    with pytest.raises(error, match=message):
        pt.mlem(**{"y": y, "A": A, "iterations": 2, **change})


NO_OPERATOR = (
    r"A: expected an operator \(A\(x\), A.T, in_shape, out_shape, dtype\), got {} "
    r"\(the counts come first, then the operator\)"
)
QUADRATIC = pt.priors.Smoothness(1.0)


@pytest.mark.parametrize(
    "algorithm",
    [
        pt.mlem,
        pt.osem,
        lambda y, A: pt.map_em(y, A, QUADRATIC),
        lambda y, A: pt.bsrem(y, A, QUADRATIC),
        lambda y, A: pt.kernel_em(y, A, problem()[0]),
    ],
    ids=["mlem", "osem", "map_em", "bsrem", "kernel_em"],
)
def test_refuses_what_is_no_operator(algorithm):
    A, y = problem()
    with pytest.raises(TypeError, match=NO_OPERATOR.format(r"a NumPy array of shape \(2, 3, 4\), dtype float32")):
        algorithm(A, y)
    with pytest.raises(TypeError, match=NO_OPERATOR.format("NoneType None")):
        algorithm(y, None)


def test_an_operator_is_what_keeps_the_contract():
    """It need not be a LinearOperator of ours."""

    class Own:
        in_shape, out_shape, dtype = (2,), (3,), np.dtype(np.float32)
        matrix = np.ones((3, 2), np.float32)

        def __call__(self, x):
            return self.matrix @ x

        @property
        def T(self):
            return lambda y: self.matrix.T @ y

    assert pt.mlem(np.ones(3, np.float32), Own(), iterations=1).tolist() == [0.5, 0.5]


def test_slope_of_the_ratio_against_differences_and_at_zero():
    from pettutor.reconstruction.poisson import ratio, ratio_slope

    rng = np.random.default_rng(0)
    y, mean = rng.poisson(2.0, 50).astype(float), 0.1 + rng.random(50)
    assert (y == 0).any()
    step = 1e-6
    differences = (ratio(y, mean + step) - ratio(y, mean - step)) / (2 * step)
    np.testing.assert_allclose(-ratio_slope(y, mean), differences, rtol=1e-7, atol=1e-9)
    zero = np.zeros(2, np.float32)
    assert (ratio_slope(np.array([0, 3], np.float32), zero) == 0).all()
