"""Every reconstruction method with CuPy arrays against itself with NumPy's: the same source on a GPU."""

import numpy as np
import pytest
from registry import MatrixOperator

import pettutor as pt

pytestmark = pytest.mark.gpu
SHAPE, BINS = (3, 5, 6), (2, 12, 7)


class MatrixWithViews(MatrixOperator):
    def subset(self, k, n):
        rows = np.arange(len(self.matrix)).reshape(self.out_shape)[:, k::n]
        return MatrixWithViews(self.matrix[rows.ravel()], self.in_shape, rows.shape)


def problem(xp):
    rng = np.random.default_rng(0)
    matrix = rng.random((np.prod(BINS), np.prod(SHAPE))) * (rng.random((np.prod(BINS), np.prod(SHAPE))) < 0.4)
    matrix[:, 4] = 0  # a voxel that nothing sees
    y = rng.poisson(5 * (matrix @ rng.random(len(matrix.T)))).astype(float).reshape(BINS)
    other, background = rng.random(SHAPE), rng.random(BINS)
    y, background, other = map(xp.asarray, (y, background, other))
    return y, MatrixWithViews(xp.asarray(matrix), SHAPE, BINS), background, other


def quadratic(xp, other):
    return pt.priors.Smoothness(0.3, (3.0, 2.0, 2.0))


def bowsher(xp, other):
    return pt.priors.Bowsher(0.3, other, similar=5)


def relative_difference(xp, other):
    return pt.priors.RelativeDifference(0.3)


def reference(xp, other):
    return pt.priors.Reference(other, 0.7)


METHODS = {
    "mlem": lambda xp, y, A, r, o: pt.mlem(y, A, iterations=5, background=r),
    "osem": lambda xp, y, A, r, o: pt.osem(y, A, iterations=3, subsets=4, background=r),
    "kernel_em": lambda xp, y, A, r, o: pt.kernel_em(
        y, A, pt.mr_kernel(o if xp is np else o.get(), neighbours=9, window=3), iterations=5, background=r
    ),
    **{
        f"map_em, {prior.__name__}": lambda xp, y, A, r, o, p=prior: pt.map_em(
            y, A, p(xp, o), iterations=5, background=r
        )
        for prior in (quadratic, bowsher, relative_difference, reference)
    },
    **{
        f"bsrem, {prior.__name__}": lambda xp, y, A, r, o, p=prior: pt.bsrem(
            y, A, p(xp, o), iterations=3, subsets=4, background=r
        )
        for prior in (quadratic, bowsher, relative_difference)
    },
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_same_image_on_the_gpu(method):
    import cupy

    here, there = (method(xp, *problem(xp)) for xp in (np, cupy))
    assert isinstance(there, cupy.ndarray)
    assert there.get() == pytest.approx(here, rel=1e-9, abs=1e-12)
