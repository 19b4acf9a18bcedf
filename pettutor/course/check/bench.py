"""The checks' own small data: one slice, a few views, nothing symmetric, nothing centred, gaps and a dead corner.

A matrix stands for the projector, so that it takes no time to prepare. All of it obeys the contract of an operator.
"""

import functools
from types import SimpleNamespace

import numpy as np

from pettutor.geometry import ImageGrid
from pettutor.operators import LinearOperator, check_subset


class MatrixProjector(LinearOperator):
    """A dense matrix as a projector: an image (z, y, x) to a sinogram (plane, view, bin).

    Parameters
    ----------
    matrix : array (view, bin, z, y, x)
    grid : ImageGrid
    """

    def __init__(self, matrix, grid):
        super().__init__(matrix.shape[2:], (1, *matrix.shape[:2]))
        self.matrix, self.grid = matrix, grid

    def subset(self, k, n):
        check_subset(k, n, self.out_shape[1])
        return MatrixProjector(self.matrix[k::n], self.grid)

    def _forward(self, x):
        return np.tensordot(self.matrix, x, axes=3)[None].astype(self.dtype)

    def _adjoint(self, y):
        return np.tensordot(y[0], self.matrix, axes=2).astype(self.dtype)


class MatrixKernel(LinearOperator):
    """A dense matrix between images: each voxel a mean of others. Rows sum to 1, columns do not."""

    output_name = "image"

    def __init__(self, matrix, shape):
        super().__init__(shape, shape)
        self.matrix = matrix

    def _forward(self, x):
        return (self.matrix @ x.ravel()).reshape(self.out_shape).astype(self.dtype)

    def _adjoint(self, y):
        return (self.matrix.T @ y.ravel()).reshape(self.in_shape).astype(self.dtype)


@functools.cache
def projector():
    """Twelve views of an off-centre slice; a corner is crossed by no line."""
    grid = ImageGrid((1, 12, 14), (4.0, 3.0, 2.5), (0.0, 3.0, -2.0))
    _, y, x = grid.coordinates()
    angles = np.pi * np.arange(12) / 12
    bins = 3.2 * (np.arange(17) - 8.3)  # mm, off centre too
    place = x[None, None] * np.cos(angles)[:, None, None] + y[None, :, None] * np.sin(angles)[:, None, None]
    weights = np.clip(1 - np.abs(place[:, None] - bins[None, :, None, None]) / 3.2, 0, None)
    weights[:, :, :6, :7] = 0
    return MatrixProjector((weights * 2.5)[:, :, None], grid)


@functools.cache
def scan(randoms=True):
    """A scan with attenuation, uneven detectors, gaps, blur and (mostly) randoms.

    Returns
    -------
    namespace
        ``y, A, truth, grid, data``: counts, acquisition model, true activity, and the factors, named as in a
        `pettutor.Simulation`.
    """
    from pettutor.acquisition import AcquisitionModel, gaussian_filter

    X, rng = projector(), np.random.default_rng(7)
    truth = np.full(X.in_shape, 2.0, np.float32)
    truth[0, 3:10, 7:12] = 9.0
    truth[0, 6:8, 8:10] = 25.0
    truth[0, 9:11, 2:4] = 0.0
    mu = np.where(np.arange(14) > 5, 0.012, 0.005).astype(np.float32) * np.ones(X.in_shape, np.float32)
    attenuation = np.exp(-X(mu))
    normalisation = rng.uniform(0.05, 0.15, X.out_shape).astype(np.float32)
    gaps = (np.arange(12)[:, None] + np.arange(17)) % 7 == 0
    normalisation[:, gaps] = 0
    trues = normalisation * attenuation * X(gaussian_filter(truth, 4.5, X.grid))
    background = (0.35 * trues.mean() * rng.uniform(0.5, 1.5, X.out_shape)).astype(np.float32) * randoms
    background[:, gaps] = 0
    y = rng.poisson(trues + background).astype(np.float32)
    data = SimpleNamespace(
        attenuation=attenuation, normalisation=normalisation, randoms=background, trues=trues, prompts=y,
        background=background, psf_fwhm=(4.5, 4.5, 4.5),
    )  # fmt: skip
    A = AcquisitionModel(
        X, attenuation=attenuation, normalisation=normalisation, psf_fwhm=4.5, background=background if randoms else 0.0
    )
    return SimpleNamespace(y=y, A=A, truth=truth, grid=X.grid, data=data)


@functools.cache
def kernel():
    """A kernel whose voxels take from some neighbours that do not take from them."""
    shape, rng = projector().in_shape, np.random.default_rng(3)
    n = int(np.prod(shape))
    index = np.arange(n)
    near = np.abs(index[:, None] - index) < 4
    matrix = np.where(near, rng.uniform(0, 1, (n, n)) ** 3, 0) + 0.2 * np.eye(n)
    matrix[:, ::5] *= 3  # voxels that everybody likes to take from
    return MatrixKernel(matrix / matrix.sum(axis=1, keepdims=True), shape)


# ---- float64, straight from the formulas ----


def divided(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape, np.result_type(a, b)), where=np.asarray(b) > 0)


def sensitivity(A):
    """Aᵀ1."""
    return A.T(np.ones(A.out_shape, np.float32))


def dense(A):
    """The matrix of an operator in float64: (bins, voxels)."""
    units = np.eye(int(np.prod(A.in_shape)), dtype=np.float32)
    return np.stack([A(unit.reshape(A.in_shape)).ravel() for unit in units], axis=1).astype(np.float64)


def log_likelihood(y, matrix, background, x):
    """Σ y log ȳ - ȳ of an image in float64; gaps say nothing."""
    expected = (matrix @ np.asarray(x, float).ravel()) + np.ravel(background)
    return float((y.ravel() * np.log(np.where(expected > 0, expected, 1)) - expected).sum())


def em_step(y, A, x):
    """One MLEM update."""
    return x * divided(A.T(divided(y, A.expected(x))), sensitivity(A))


def em_steps(y, A, x, count):
    """Several MLEM updates, float32."""
    for _ in range(count):
        x = em_step(y, A, x).astype(np.float32)
    return x


def strength(weight):
    """ρ of the scan here from one without a unit: weight · mean(s) / mean activity."""
    return weight * float(sensitivity(scan().A).mean() / scan().truth.mean())


class Denoiser:
    """Stands for a network: mixes an image with its neighbours along an axis, and counts how often it is asked.

    Parameters
    ----------
    axis : int
    share : float
        Of the neighbours, 0 to 1.
    offset : float
        Is added, in units of the image.
    """

    def __init__(self, axis, share, offset):
        self.axis, self.share, self.offset, self.calls = axis, share, offset, 0

    def __call__(self, image):
        self.calls += 1
        neighbours = np.roll(image, 1, axis=self.axis)
        return ((1 - self.share) * np.asarray(image) + self.share * neighbours + self.offset).astype(np.float32)


def map_step(y, A, x, z, rho):
    """One MAP-EM update towards z: in every voxel the positive root of rho x² + (s - rho z) x - s x_em = 0."""
    s = sensitivity(A).astype(float)
    c, b = s * em_step(y, A, x), s - rho * z
    d = np.sqrt(b * b + 4 * rho * c)
    root = np.where(b > 0, divided(2 * c, d + b), (d - b) / (2 * rho))
    return np.where(s > 0, root, 0).astype(np.float32)


def slope(function, x, voxel, step):
    """Derivative of a function of an image by one voxel, by central differences in float64."""
    up, down = np.array(x, float), np.array(x, float)
    up[voxel] += step
    down[voxel] -= step
    return (function(up) - function(down)) / (2 * step)
