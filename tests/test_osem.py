"""OSEM and list mode on small problems: a slow float64 reference, MLEM as a special case, and their manners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import MatrixOperator, off_centre_grid, small_scanner

import pettutor as pt
from pettutor.reconstruction.passes import interleaved_order


class MatrixWithViews(MatrixOperator):
    """A dense matrix whose out_shape is (plane, view, bin)."""

    def subset(self, k, n):
        rows = np.arange(len(self.matrix)).reshape(self.out_shape)[:, k::n]
        return MatrixWithViews(self.matrix[rows.ravel()], self.in_shape, rows.shape)


def problem(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    bins, voxels = (2, 7, 3), (2, 3, 2)
    matrix = rng.random((42, 12)) * (rng.random((42, 12)) < 0.5)
    matrix[:, 5] = 0  # a voxel that nothing sees
    matrix[:, 7] = 0
    matrix[4, 7] = 0.8  # and one that a single view sees
    A = MatrixWithViews(matrix.astype(dtype), voxels, bins)
    y = rng.poisson(30 * matrix @ rng.random(12)).astype(dtype).reshape(bins)
    return A, y, rng.random(bins).astype(dtype)


def slow_osem(y, matrix, r, orders, subsets, views, start):
    """Voxel by voxel and line by line; ``views``: each line's view. A voxel that a subset does not see stays."""
    x = start.copy()
    x[matrix.sum(axis=0) == 0] = 0
    for order in orders:
        for k in order:
            lines = [i for i in range(len(y)) if views[i] % subsets == k]
            expected = {i: matrix[i] @ x + r[i] for i in lines}
            new = x.copy()
            for j in range(len(x)):
                seen = sum(matrix[i, j] for i in lines)
                if seen > 0:
                    new[j] = x[j] / seen * sum(matrix[i, j] * y[i] / expected[i] for i in lines)
            x = new
    return x


@pytest.mark.parametrize("subsets", [1, 2, 3, 7])
def test_equals_slow_reference(subsets):
    A, y, r = problem()
    views = np.broadcast_to(np.arange(7)[None, :, None], A.out_shape).ravel()
    start = np.random.default_rng(3).random(12) + 0.1
    image = pt.osem(y, A, iterations=4, subsets=subsets, background=r, start=start.reshape(A.in_shape))
    orders = [interleaved_order(subsets)] * 4
    expected = slow_osem(y.ravel(), A.matrix, r.ravel(), orders, subsets, views, start)
    assert image.ravel() == pytest.approx(expected, rel=1e-11)
    assert image.ravel()[5] == 0 and image.ravel()[7] > 0


def test_random_order_is_drawn_for_every_pass():
    A, y, r = problem()
    views = np.broadcast_to(np.arange(7)[None, :, None], A.out_shape).ravel()
    image = pt.osem(y, A, iterations=3, subsets=5, order="random", seed=11, background=r)
    orders = [np.random.default_rng((11, n)).permutation(5) for n in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert image.ravel() == pytest.approx(
        slow_osem(y.ravel(), A.matrix, r.ravel(), orders, 5, views, np.ones(12)), rel=1e-11
    )
    drawn = np.random.default_rng(5)
    one = pt.osem(y, A, iterations=2, subsets=5, order="random", seed=drawn, background=r)
    assert not np.array_equal(one, pt.osem(y, A, iterations=2, subsets=5, order="random", seed=drawn, background=r))


def test_one_subset_is_mlem_bit_for_bit():
    A, y, r = problem(dtype=np.float32)
    for order in ("interleaved", "random"):
        assert np.array_equal(
            pt.osem(y, A, iterations=5, subsets=1, order=order, background=r), pt.mlem(y, A, iterations=5, background=r)
        )


def test_interleaved_order():
    assert interleaved_order(8) == [0, 4, 2, 6, 1, 5, 3, 7]
    for subsets in range(1, 30):
        assert sorted(interleaved_order(subsets)) == list(range(subsets))


@pytest.fixture(scope="module")
def scan():
    scanner = pt.Scanner.preset("slab")
    grid = scanner.image_grid((1, 40, 40), (4.0, 8.0, 8.0))
    X = pt.Projector(scanner, grid, device="cpu")
    data = pt.simulate(pt.load_subject("mni:0").on(grid), X, counts=5e5, seed=3)
    A = pt.AcquisitionModel(
        X, attenuation=data.attenuation, normalisation=data.normalisation, psf_fwhm=3.0, background=data.randoms
    )
    return data.prompts, A


def test_reaches_the_likelihood_of_mlem_in_a_fraction_of_the_passes(scan):
    y, A = scan

    def likelihood(image):
        record = pt.Record()
        pt.mlem(y, A, iterations=1, start=image, record=record)
        return record.log_likelihood[0]

    begin = likelihood(np.ones(A.in_shape, np.float32))
    mlem = likelihood(pt.mlem(y, A, iterations=24)) - begin
    passes = {order: pt.osem(y, A, iterations=3, subsets=8, order=order) for order in ("interleaved", "random")}
    for image in passes.values():
        assert likelihood(image) - begin == pytest.approx(mlem, rel=2e-3)
    assert likelihood(pt.mlem(y, A, iterations=3)) - begin < 0.95 * mlem


def test_resume_is_one_long_run_bit_for_bit(scan):
    y, A = scan
    for order in ("interleaved", "random"):
        long_record, record, image = pt.Record(), pt.Record(), None
        long = pt.osem(y, A, iterations=4, subsets=6, order=order, record=long_record)
        for _ in range(2):
            image = pt.osem(y, A, iterations=2, subsets=6, order=order, start=image, record=record)
        assert np.array_equal(image, long) and record.log_likelihood == long_record.log_likelihood


def test_stored_matrix_takes_the_place_of_the_projector(scan):
    y, A = scan
    M = pt.AcquisitionModel(A.projector.to_matrix(), normalisation=A.factors, psf_fwhm=3.0, background=A.background)
    one, two = (pt.osem(y, operator, iterations=2, subsets=4) for operator in (A, M))
    assert one == pytest.approx(two, rel=1e-3, abs=1e-4 * float(one.max()))


def test_interrupt_gives_the_image_after_the_last_finished_pass(capsys):
    A, y, r = problem()
    calls = []

    class Interrupting(MatrixWithViews):
        def _forward(self, x):
            calls.append(1)
            if len(calls) == 9:
                raise KeyboardInterrupt
            return super()._forward(x)

        def subset(self, k, n):
            part = super().subset(k, n)
            part.__class__ = Interrupting
            return part

    B = Interrupting(A.matrix, A.in_shape, A.out_shape)
    image = pt.osem(y, B, iterations=50, subsets=3, background=r)
    assert "OSEM stopped after 2 iterations" in capsys.readouterr().out
    assert np.array_equal(image, pt.osem(y, A, iterations=2, subsets=3, background=r))


@pytest.fixture(scope="module")
def events():
    """A small scan, binned, and the same counts as a list of single events in random order."""
    X = pt.Projector(small_scanner(), off_centre_grid(), device="cpu")
    rng = np.random.default_rng(0)
    truth = rng.random(X.in_shape, dtype=np.float32)
    r = np.where(X.scanner.live_bins, np.float32(1.5), 0) + np.zeros(X.out_shape, np.float32)
    y = rng.poisson(X(truth) / 5 + r).astype(np.float32)
    starts, ends = X.scanner.lor_endpoints()
    bins = rng.permutation(np.repeat(np.arange(y.size), y.ravel().astype(int)))
    Z = pt.ListmodeProjector(starts.reshape(-1, 3)[bins], ends.reshape(-1, 3)[bins], X.grid, device="cpu")
    return X, y, r, Z, r.ravel()[bins]


def test_a_dead_voxel_stays_dead_where_the_counts_say_that_it_cannot_be():
    """In float32 the ratio of such a bin must not be so large that its back projection is infinite: 0 · ∞."""
    matrix = np.array([[3.0, 0.0], [40.0, 2.0], [50.0, 0.0], [0.0, 5.0]], np.float32)
    A = MatrixWithViews(matrix, (1, 1, 2), (1, 4, 1))
    y = np.array([0, 7, 900, 4], np.float32).reshape(1, 4, 1)  # the first view kills the first voxel
    image = pt.osem(y, A, iterations=3, subsets=4, background=0.0)
    assert image[0, 0, 0] == 0 and 0.5 < image[0, 0, 1] < 4


def test_list_mode_is_the_same_as_binned(events):
    """Σ over bins of y/ȳ is Σ over events of 1/ȳ: with the scanner's sensitivity the images are equal."""
    X, y, r, Z, r_events = events
    sensitivity = X.T(np.ones(X.out_shape, np.float32))
    binned, listed = pt.Record(), pt.Record()
    ones = np.ones(Z.out_shape, np.float32)
    one = pt.mlem(y, X, iterations=6, background=r, record=binned)
    two = pt.mlem(ones, Z, iterations=6, background=r_events, sensitivity=sensitivity, record=listed)
    assert two == pytest.approx(one, rel=1e-3, abs=1e-4 * float(one.max()))
    # the likelihoods differ by a constant (the background's total), so their gains are the same
    assert np.diff(listed.log_likelihood) == pytest.approx(np.diff(binned.log_likelihood), rel=1e-2)
    assert not np.allclose(one, pt.mlem(ones, Z, iterations=6, background=r_events), rtol=0.05)


def test_list_mode_osem_gains_like_mlem(events):
    X, _, _, Z, r_events = events
    sensitivity = X.T(np.ones(X.out_shape, np.float32))
    ones = np.ones(Z.out_shape, np.float32)

    def likelihood(image):
        record = pt.Record()
        pt.mlem(ones, Z, iterations=1, start=image, background=r_events, sensitivity=sensitivity, record=record)
        return record.log_likelihood[0]

    runs = [
        pt.mlem(ones, Z, iterations=2, background=r_events, sensitivity=sensitivity),
        pt.osem(ones, Z, iterations=2, subsets=4, background=r_events, sensitivity=sensitivity),
        pt.mlem(ones, Z, iterations=8, background=r_events, sensitivity=sensitivity),
    ]
    few, ordered, many = (likelihood(image) for image in runs)
    assert few < ordered and ordered - few > 0.8 * (many - few)


@given(seed=st.integers(0, 1000), subsets=st.integers(1, 7), order=st.sampled_from(["interleaved", "random"]))
@settings(max_examples=30, deadline=None)
def test_images_stay_finite_and_positive(seed, subsets, order):
    A, y, r = problem(seed, np.float32)
    image = pt.osem(y, A, iterations=3, subsets=subsets, order=order, seed=seed, background=r)
    assert np.isfinite(image).all() and (image >= 0).all() and image.ravel()[5] == 0 and image.max() > 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(subsets=0), ValueError, "subsets: expected a whole number >= 1, got 0"),
        (dict(subsets=2.0), ValueError, "subsets: expected a whole number >= 1, got 2.0"),
        (dict(order="sorted"), ValueError, "order: expected one of 'interleaved', 'random', got 'sorted'"),
        (dict(sensitivity=np.ones((2, 3))), ValueError, r"sensitivity: expected shape \(2, 3, 2\)"),
        (dict(sensitivity=-np.ones((2, 3, 2))), ValueError, "sensitivity: expected values >= 0"),
    ],
)
def test_refuses(change, error, message):
    A, y, _ = problem()
    with pytest.raises(error, match=message):
        pt.osem(**{"y": y, "A": A, **change})


def test_an_operator_without_subsets_is_named():
    A = MatrixOperator(np.eye(6), (1, 2, 3), (1, 2, 3))
    with pytest.raises(NotImplementedError, match="MatrixOperator has no subsets"):
        pt.osem(np.ones((1, 2, 3)), A, subsets=2)
