"""Kernel EM: the kernel matrix against a search voxel by voxel, the algorithm against a slow reference, its manners."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import MatrixOperator
from scipy import sparse
from test_osem import MatrixWithViews

import pettutor as pt
from pettutor.operators import adjoint_mismatch

SHAPE = (3, 4, 5)


def slow_kernel(images, neighbours, sigma, patch, window, mask):
    """Voxel by voxel, patch by patch: the dense matrix."""
    shape = mask.shape
    half = [patch // 2 if n > 1 else 0 for n in shape]

    def features(j):
        around = itertools.product(*(range(-h, h + 1) for h in half))
        places = tuple(np.array([np.clip(np.add(j, step), 0, np.subtract(shape, 1)) for step in around]).T)
        return np.concatenate([image[places] / image[mask].std() for image in images])

    K = np.zeros((mask.size, mask.size))
    feature = {j: features(j) for j in np.ndindex(shape)}
    for row, i in enumerate(np.ndindex(shape)):
        if not mask[i]:
            K[row, row] = 1
            continue
        near = [
            (np.sum((feature[i] - feature[j]) ** 2), np.sum(np.subtract(i, j) ** 2), column)
            for column, j in enumerate(np.ndindex(shape))
            if mask[j] and max(abs(np.subtract(i, j))) <= window // 2
        ]
        for distance, _, column in sorted(near)[:neighbours]:
            K[row, column] = np.exp(-distance / (2 * sigma**2))
        K[row] /= K[row].sum()
    return K


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "number", "options"),
    [
        ((3, 4, 5), 1, dict(neighbours=9, sigma=2.5, patch=3, window=5)),
        ((3, 5, 4), 2, dict(neighbours=6, sigma=4.0, patch=3, window=3)),
        ((3, 4, 5), 1, dict(neighbours=400, sigma=3.0, patch=1, window=9)),
        ((1, 9, 8), 1, dict(neighbours=7, sigma=3.0, patch=5, window=7)),
    ],
)
def test_kernel_equals_a_search_voxel_by_voxel(dtype, shape, number, options, monkeypatch):
    monkeypatch.setattr("pettutor.reconstruction.kernel_matrix.BLOCK", 16)  # so that there are several
    rng = np.random.default_rng(1)
    images = [(10 * rng.random(shape)).astype(dtype) for _ in range(number)]
    for mask in (None, rng.random(shape) < 0.6):
        K = pt.mr_kernel(images if number > 1 else images[0], mask=mask, **options)
        everywhere = np.ones(shape, bool) if mask is None else mask
        expected = slow_kernel([i.astype(np.float64) for i in images], mask=everywhere, **options)
        assert K.dtype == dtype and K.matrix.has_sorted_indices
        assert K.matrix.toarray() == pytest.approx(expected, rel=1e-4 if dtype == np.float32 else 1e-10, abs=1e-30)
        assert K.matrix.nnz == (expected > 0).sum()


def test_equally_similar_voxels_nearest_first():
    image = np.zeros((5, 6, 7), np.float32)
    image[4, 5, 6] = 1
    row = pt.mr_kernel(image, neighbours=7, patch=1, window=5).matrix[[(2 * 6 + 3) * 7 + 2]].toarray().reshape(5, 6, 7)
    assert row[2, 3, 2] == row[1, 3, 2] == row[2, 4, 2] == row[2, 3, 3] == pytest.approx(1 / 7)


def test_kernel_is_an_operator():
    rng = np.random.default_rng(2)
    K = pt.mr_kernel(rng.random((4, 6, 5), dtype=np.float32), neighbours=10, mask=rng.random((4, 6, 5)) < 0.8)
    assert K.in_shape == K.out_shape == (4, 6, 5) and K.T.T is K
    assert adjoint_mismatch(K)[0] < 1e-6
    dense = K.matrix.toarray()
    assert not np.allclose(dense, dense.T)
    x = rng.random(K.in_shape, dtype=np.float32)
    assert K(x).ravel() == pytest.approx(dense @ x.ravel(), rel=1e-5)
    assert K.T(x).ravel() == pytest.approx(dense.T @ x.ravel(), rel=1e-5)
    assert K(np.ones(K.in_shape, np.float32)) == pytest.approx(np.ones(K.in_shape), rel=1e-6)
    again = pickle.loads(pickle.dumps(K))
    assert np.array_equal(again(x), K(x)) and repr(again) == repr(K) and "weights a voxel" in repr(K)
    assert K.nbytes == K.matrix.nnz * 8 + 4 * (K.matrix.shape[0] + 1)


def test_threads_do_not_change_the_bits(monkeypatch):
    monkeypatch.setattr("pettutor.reconstruction.kernel_matrix.SHARED_OUT", 0)
    monkeypatch.setattr("pettutor.reconstruction.kernel_matrix.BLOCK", 64)
    image = np.random.default_rng(3).random((6, 13, 11), dtype=np.float32)
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("PETTUTOR_THREADS", threads)
        K = pt.mr_kernel(image, neighbours=20, window=5)
        results.append((K(image), K.T(image)))
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


def test_kernel_of_the_atlas_keeps_tissues_apart():
    grid = pt.Scanner.preset("slab").image_grid((1, 96, 96))
    brain = pt.load_subject("mni:0").on(grid)
    K = pt.mr_kernel(brain.t1, mask=brain.regions["head"])
    grey, white = brain.regions["grey matter"], brain.regions["white matter"]
    weight_on_white = K(white.astype(np.float32))
    assert weight_on_white[white].mean() > 0.75 and weight_on_white[grey].mean() < 0.02
    spread = 1 / K.matrix.power(2).sum(axis=1)  # how many voxels a mean is taken over, in effect
    assert spread[white.ravel()].mean() > 15


def problem(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    matrix = rng.random((90, 60)) * (rng.random((90, 60)) < 0.4)
    A = MatrixWithViews(matrix.astype(dtype), SHAPE, (5, 6, 3))
    K = rng.random((60, 60)) * (rng.random((60, 60)) < 0.15) + np.diag(rng.random(60))
    K[:, 11] = 0  # a coefficient that nothing uses
    K[11, 12] = 1
    K /= K.sum(axis=1, keepdims=True)
    y = rng.poisson(6 * A(rng.random(SHAPE).astype(dtype))).astype(dtype)
    return A, y, 0.5 + rng.random(A.out_shape).astype(dtype), pt.KernelMatrix(sparse.csr_array(K.astype(dtype)), SHAPE)


def slow_kernel_em(y, A, K, r, iterations, start, mask):
    """Coefficient by coefficient."""
    alpha, M = start.copy(), np.diag(mask.ravel().astype(float)) @ K
    for _ in range(iterations):
        ratio = y / (A @ (M @ alpha) + r)
        new = np.zeros_like(alpha)
        for j in range(len(alpha)):
            seen = sum(M[i, j] * A[:, i].sum() for i in range(len(M)))
            if seen > 0:
                new[j] = alpha[j] / seen * sum(M[i, j] * (A[:, i] @ ratio) for i in range(len(M)))
        alpha = new
    return alpha, M @ alpha


@pytest.mark.parametrize("masked", [False, True])
def test_equals_slow_reference(masked):
    A, y, r, K = problem()
    rng = np.random.default_rng(4)
    start, mask = rng.random(SHAPE) + 0.1, rng.random(SHAPE) < (0.7 if masked else 2)
    record, images = pt.Record(), []
    image = pt.kernel_em(
        y, A, K, iterations=5, background=r, start=start, mask=mask if masked else None, record=record,
        callback=lambda i, x: images.append((i, x)),
    )  # fmt: skip
    alpha, expected = slow_kernel_em(y.ravel(), A.matrix, K.matrix.toarray(), r.ravel(), 5, start.ravel(), mask)
    assert image.ravel() == pytest.approx(expected, rel=1e-11)
    assert record.coefficients.ravel() == pytest.approx(alpha, rel=1e-11)
    assert not image[~mask].any() and image[mask].all() and record.coefficients.ravel()[11] == 0
    assert [i for i, _ in images] == [1, 2, 3, 4, 5] and np.array_equal(images[-1][1], image)
    by_hand = y * np.log(A(images[3][1]) + r) - A(images[3][1]) - r
    assert record.log_likelihood[-1] == pytest.approx(by_hand.sum(), rel=1e-12)


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_likelihood_never_falls(seed):
    A, y, r, K = problem(seed)
    record = pt.Record()
    pt.kernel_em(y, A, K, iterations=15, background=r, record=record)
    assert (np.diff(record.log_likelihood) >= -1e-11 * abs(record.log_likelihood[0])).all()


def test_with_k_in_place_of_its_transpose_the_likelihood_falls():
    class Wrong(pt.KernelMatrix):
        def _adjoint(self, y):
            return self._forward(y)

    A, y, r, K = problem()
    record = pt.Record()
    pt.kernel_em(y, A, Wrong(K.matrix, SHAPE), iterations=15, background=r, record=record)
    assert np.diff(record.log_likelihood).min() < -1e-3


def test_identity_kernel_is_mlem_and_osem_bit_for_bit():
    A, y, r, _ = problem(dtype=np.float32)
    mask = np.random.default_rng(5).random(SHAPE) < 0.7
    identity = pt.KernelMatrix(sparse.eye_array(60, dtype=np.float32, format="csr"), SHAPE)
    for options in ({}, {"mask": mask}):
        same, records = dict(iterations=6, background=r, **options), [pt.Record(), pt.Record()]
        one = pt.kernel_em(y, A, identity, record=records[0], **same)
        assert np.array_equal(one, pt.mlem(y, A, record=records[1], **same))
        assert records[0].log_likelihood == pytest.approx(records[1].log_likelihood, rel=1e-7)
        subsets = dict(subsets=3, order="random", seed=4, **same)
        assert np.array_equal(pt.kernel_em(y, A, identity, **subsets), pt.osem(y, A, **subsets))


def test_resume_is_one_long_run_bit_for_bit():
    A, y, r, K = problem(dtype=np.float32)
    long_record, record, image = pt.Record(), pt.Record(), None
    long = pt.kernel_em(y, A, K, iterations=6, subsets=3, order="random", background=r, record=long_record)
    for _ in range(3):
        image = pt.kernel_em(
            y, A, K, iterations=2, subsets=3, order="random", background=r, start=record.coefficients, record=record
        )
    assert np.array_equal(image, long) and record.log_likelihood == long_record.log_likelihood
    assert np.array_equal(record.coefficients, long_record.coefficients)


def test_list_mode_is_the_same_as_binned():
    A, y, r, K = problem()
    lines = np.repeat(np.arange(y.size), y.ravel().astype(int))
    events = MatrixOperator(A.matrix[lines], SHAPE, (len(lines),))
    sensitivity = A.T(np.ones(A.out_shape))
    mask = np.random.default_rng(6).random(SHAPE) < 0.7
    listed = pt.kernel_em(
        np.ones(len(lines)), events, K, iterations=5, background=r.ravel()[lines], sensitivity=sensitivity, mask=mask
    )
    assert listed == pytest.approx(pt.kernel_em(y, A, K, iterations=5, background=r, mask=mask), rel=1e-9)


def test_interrupt_gives_the_image_of_the_last_finished_iteration(capsys):
    A, y, r, K = problem()
    record = pt.Record()

    def callback(iteration, image):
        if iteration == 3:
            raise KeyboardInterrupt

    image = pt.kernel_em(y, A, K, iterations=50, background=r, callback=callback, record=record)
    assert "Kernel EM stopped after 3 iterations" in capsys.readouterr().out
    assert np.array_equal(image, pt.kernel_em(y, A, K, iterations=3, background=r))
    assert np.array_equal(image, K(record.coefficients))


SLICE = np.arange(30, dtype=np.float32).reshape(1, 5, 6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pt.mr_kernel(SLICE[0]), ValueError, "images: expected 3 dimensions"),
        (lambda: pt.mr_kernel([SLICE, SLICE[:, 1:]]), ValueError, r"images: expected shape \(1, 5, 6\)"),
        (lambda: pt.mr_kernel([]), ValueError, "images: expected at least one image, got none"),
        (lambda: pt.mr_kernel(SLICE, neighbours=0), ValueError, "neighbours: expected a whole number >= 1, got 0"),
        (lambda: pt.mr_kernel(SLICE, patch=2), ValueError, "patch: expected an odd number >= 1, got 2"),
        (lambda: pt.mr_kernel(SLICE, window=4), ValueError, "window: expected an odd number >= 1, got 4"),
        (lambda: pt.mr_kernel(SLICE, sigma=0), ValueError, "sigma: expected a width > 0, got 0"),
        (lambda: pt.mr_kernel(np.ones_like(SLICE)), ValueError, "images: expected some contrast inside the mask"),
        (lambda: pt.mr_kernel(SLICE, mask=SLICE < 0), ValueError, "mask: expected at least one voxel"),
        (
            lambda: pt.mr_kernel(SLICE, memory_limit=900),
            MemoryError,
            "needs 7.32 kB for its 900 weights, memory_limit is 900 bytes; give a mask",
        ),
        (lambda: pt.KernelMatrix(np.eye(6), (1, 2, 3)), TypeError, "matrix: expected a scipy.sparse matrix, got nd"),
        (lambda: pt.KernelMatrix(sparse.eye_array(5), (1, 2, 3)), ValueError, r"matrix: expected 6 x 6 for images"),
        (lambda: pt.KernelMatrix(-sparse.eye_array(6), (1, 2, 3)), ValueError, "matrix: expected values >= 0"),
        (lambda: run(kernel="near"), TypeError, "kernel: expected an operator such as mr_kernel makes, got 'near'"),
        (lambda: run(kernel=pt.mr_kernel(SLICE)), ValueError, r"kernel: expected one that gives images of shape \(3"),
        (lambda: run(kernel=problem(dtype=np.float32)[3]), TypeError, "kernel: expected dtype float64"),
        (lambda: run(start=np.ones((2, 3))), ValueError, r"start: expected shape \(3, 4, 5\)"),
        (lambda: run(sensitivity=-np.ones(SHAPE)), ValueError, "sensitivity: expected values >= 0"),
        (lambda: run(mask=np.ones(SHAPE)), TypeError, "mask: expected dtype bool"),
    ],
)
def test_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


def run(**changes):
    A, y, _, K = problem()
    return pt.kernel_em(**{"y": y, "A": A, "kernel": K, "iterations": 1, **changes})
