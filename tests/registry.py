"""Operators that every generic test runs over: add a name here and the whole battery applies."""

import math

import numpy as np

from pettutor import AcquisitionModel, ImageGrid, Projector, Scanner
from pettutor.operators import LinearOperator


class MatrixOperator(LinearOperator):
    """A dense matrix with the contract, in the matrix's own dtype."""

    def __init__(self, matrix, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.matrix, self.dtype = matrix, matrix.dtype

    def _forward(self, x):
        return (self.matrix @ x.ravel()).reshape(self.out_shape)

    def _adjoint(self, y):
        return (self.matrix.T @ y.ravel()).reshape(self.in_shape)


def small_scanner(**changes):
    """Few bins, gaps, five rings, and nothing symmetric about its grid."""
    settings = dict(
        name="small", rings=5, ring_pitch=5.0, blocks=10, crystals_per_block=3, gaps_per_block=1, crystal_pitch=4.6,
        inner_radius=28.0, depth_of_interaction=2.0, first_block_angle=math.pi / 2 - 0.2, bins=18, span=3,
        max_ring_difference=4, image_shape=(7, 12, 15), image_voxel_size=(2.5, 2.2, 1.9),
    )  # fmt: skip
    return Scanner(**{**settings, **changes})


def off_centre_grid():
    """Unequal sizes and voxels, off centre on all axes."""
    return ImageGrid((7, 12, 15), (3.1, 2.2, 1.9), (1.3, -4.2, 5.7))


def _factors(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.random(shape, dtype=np.float32), 3 * rng.random(shape, dtype=np.float32)


def _acquisition():
    X = Projector(small_scanner(), off_centre_grid(), device="cpu")
    attenuation, normalisation = _factors(X.out_shape, 5)
    return AcquisitionModel(
        X, attenuation=attenuation, normalisation=normalisation, psf_fwhm=(4.0, 3.0, 5.0), background=2.0
    )


# name -> a function that builds the operator on the CPU
OPERATORS = {
    "dense matrix": lambda: MatrixOperator(
        np.random.default_rng(1).random((24, 30), dtype=np.float32), (2, 3, 5), (2, 3, 4)
    ),
    "joseph, span 3": lambda: Projector(small_scanner(), small_scanner().image_grid(), device="cpu"),
    "joseph, span 1": lambda: Projector(small_scanner(span=1), small_scanner().image_grid(), device="cpu"),
    "joseph, off centre": lambda: Projector(small_scanner(), off_centre_grid(), device="cpu"),
    "joseph, steep": lambda: Projector(small_scanner(ring_pitch=19.0), off_centre_grid(), device="cpu"),
    "joseph, one slice": lambda: Projector(
        Scanner.preset("slab"), Scanner.preset("slab").image_grid((1, 20, 30), (4.0, 9.0, 7.0)), device="cpu"
    ),
    "joseph, grid beyond the ring": lambda: Projector(
        small_scanner(), ImageGrid((5, 40, 37), (6.0, 2.4, 2.6), (0.0, 3.0, 1.0)), device="cpu"
    ),
    "joseph, subset": lambda: Projector(small_scanner(), off_centre_grid(), device="cpu").subset(1, 3),
    "acquisition model": _acquisition,
    "acquisition model, subset": lambda: _acquisition().subset(2, 3),
}
