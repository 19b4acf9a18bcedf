"""One battery over every operator in the registry: the contract of `pettutor.operators`."""

import pickle

import numpy as np
import pytest
from registry import OPERATORS

from pettutor.operators import adjoint_mismatch


@pytest.fixture(params=OPERATORS, scope="module")
def operator(request):
    return OPERATORS[request.param]()


@pytest.fixture(params=[name for name in OPERATORS if name != "dense matrix"], scope="module")
def sinogram_operator(request):
    """Those whose output has views to take subsets of."""
    return OPERATORS[request.param]()


def random_pair(A, seed=3):
    rng = np.random.default_rng(seed)
    return rng.random(A.in_shape, dtype=np.float32), rng.random(A.out_shape, dtype=np.float32)


def test_shapes_and_dtype(operator):
    x, y = random_pair(operator)
    assert operator(x).shape == operator.out_shape and operator(x).dtype == np.float32
    assert operator.T(y).shape == operator.in_shape and operator.T(y).dtype == np.float32
    assert (operator.T.in_shape, operator.T.out_shape) == (operator.out_shape, operator.in_shape)
    assert operator.T.T is operator


def test_adjoint(operator):
    mismatch, scale = adjoint_mismatch(operator)
    assert mismatch < 1e-5
    assert scale == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", [2, 5])
def test_many_at_once_are_those_one_by_one(operator, count):
    pairs = [random_pair(operator, seed) for seed in range(count)]
    for A, arrays in zip((operator, operator.T), map(np.stack, zip(*pairs, strict=True)), strict=True):
        together = A.many(arrays)
        assert together.shape == (count, *A.out_shape) and together.dtype == np.float32
        for one, array in zip(together, arrays, strict=True):
            assert np.abs(one - A(array)).max() <= 3e-6 * np.abs(A(array)).max()
    with pytest.raises(ValueError, match=f"s: expected shape \\({count}, "):
        operator.many(np.ones((count, 3), np.float32))


def test_is_not_zero(operator):
    # an adjoint test on an operator that does nothing would pass too
    x, y = random_pair(operator)
    assert np.count_nonzero(operator(x)) > 0.2 * np.prod(operator.out_shape)
    assert np.count_nonzero(operator.T(y)) > 0.2 * np.prod(operator.in_shape)


def test_linear(operator):
    (x1, y1), (x2, y2) = random_pair(operator, 1), random_pair(operator, 2)
    for A, a, b in ((operator, x1, x2), (operator.T, y1, y2)):
        together = A(2 * a - np.float32(0.5) * b)
        apart = 2 * A(a) - np.float32(0.5) * A(b)
        assert np.abs(together - apart).max() <= 1e-5 * np.abs(A(a)).max()


def test_input_is_left_alone(operator):
    x, y = random_pair(operator)
    kept_x, kept_y = x.copy(), y.copy()
    operator(x), operator.T(y)
    assert np.array_equal(x, kept_x) and np.array_equal(y, kept_y)


def test_same_result_twice(operator):
    x, y = random_pair(operator)
    assert np.array_equal(operator(x), operator(x))
    assert np.array_equal(operator.T(y), operator.T(y))


def test_memory_layout_does_not_matter(operator):
    x, y = random_pair(operator)
    assert np.array_equal(operator(np.asfortranarray(x)), operator(x))
    assert np.array_equal(operator.T(np.asfortranarray(y)), operator.T(y))


def test_pickles(operator):
    x, _ = random_pair(operator)
    assert np.array_equal(pickle.loads(pickle.dumps(operator))(x), operator(x))


def test_bad_input_is_named(operator):
    x, y = random_pair(operator)
    for A, a in ((operator, x), (operator.T, y)):
        with pytest.raises(ValueError, match=r"expected shape .*, got a NumPy array of shape"):
            A(a[0])
        with pytest.raises(ValueError, match=r"expected shape .*, got a NumPy array of shape"):
            A(np.concatenate([a, a]))
        with pytest.raises(TypeError, match=r"expected dtype float32, got .*float64 .*astype\('float32'\)"):
            A(a.astype(np.float64))
        with pytest.raises(TypeError, match=r"expected dtype float32, got .*int32"):
            A(a.astype(np.int32))
        with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
            A(a.tolist())
        for bad in (np.nan, np.inf, -np.inf):
            broken = a.copy()
            broken.flat[a.size // 2] = bad
            with pytest.raises(ValueError, match=f"expected finite values, got 1 NaN or infinite of {a.size}"):
                A(broken)


def test_subsets_add_up(sinogram_operator):
    A = sinogram_operator
    x, y = random_pair(A)
    whole, total = A(x), np.zeros(A.in_shape, np.float32)
    for k in range(4):
        part = A.subset(k, 4)
        assert np.array_equal(part(x), whole[:, k::4])
        total += part.T(np.ascontiguousarray(y[:, k::4]))
    assert np.allclose(total, A.T(y), rtol=1e-5, atol=1e-5 * total.max())


@pytest.mark.parametrize(("k", "n"), [(-1, 4), (4, 4), (0, 0), (0, 10_000)])
def test_subset_out_of_range(sinogram_operator, k, n):
    with pytest.raises(ValueError, match=rf"subset: expected 0 <= k < n <= \d+ views, got k={k}, n={n}"):
        sinogram_operator.subset(k, n)


def test_no_subsets_without_views():
    with pytest.raises(NotImplementedError, match="MatrixOperator has no subsets"):
        OPERATORS["dense matrix"]().subset(0, 2)
