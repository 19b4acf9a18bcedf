"""Operators that every generic test runs over: add a name here and the whole battery applies."""

import functools
import math

import numpy as np

from pettutor import AcquisitionModel, ImageGrid, Projector, Scanner, TimeOfFlight
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


# name -> scanner and grid: every system model has to be right on all of them
GEOMETRIES = {
    "span 3": (small_scanner(), small_scanner().image_grid()),
    "span 1": (small_scanner(span=1), small_scanner().image_grid()),
    "off centre": (small_scanner(), ImageGrid((7, 12, 15), (2.5, 2.2, 1.9), (1.3, -4.2, 5.7))),
    "steep": (small_scanner(ring_pitch=19.0), off_centre_grid()),
    "one slice": (small_scanner(rings=1, span=1, max_ring_difference=0), ImageGrid((1, 13, 9), (4.0, 2.9, 3.7))),
    "grid beyond the ring": (small_scanner(), ImageGrid((5, 40, 37), (6.0, 2.4, 2.6), (0.0, 3.0, 1.0))),
    "plane spacing no whole number of voxels": (small_scanner(), off_centre_grid()),
    "two planes in three voxels": (small_scanner(), ImageGrid((11, 9, 8), (5 / 3, 3.2, 3.7), (-2.1, 4.0, 1.0))),
    "two planes in one voxel": (small_scanner(), ImageGrid((5, 9, 8), (5.0, 3.2, 3.7), (1.1, 4.0, 1.0))),
    "planes three voxels apart": (small_scanner(span=1), ImageGrid((17, 9, 8), (5 / 3, 3.2, 3.7), (-2.1, 4.0, 1.0))),
    "planes seven voxels apart": (small_scanner(span=1), ImageGrid((42, 9, 8), (5 / 7, 3.2, 3.7), (0.7, 4.0, 1.0))),
    "very thin slices": (small_scanner(), ImageGrid((70, 7, 8), (0.23, 4.1, 3.7), (0.77, 4.0, 1.0))),
    "long lines through thin slices": (small_scanner(), ImageGrid((61, 31, 28), (0.43, 1.7, 1.9), (0.5, 1.0, -2.0))),
    "very unequal pixels": (small_scanner(), ImageGrid((5, 6, 50), (2.5, 6.0, 0.7), (0.3, 3.0, 1.0))),
}
MODELS = ("siddon", "multi_ray", "joseph", "distance_driven")


def _projector(geometry, model, **options):
    scanner, grid = GEOMETRIES[geometry]
    return Projector(scanner, grid, model=model, device="cpu", **options)


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
    "acquisition model": _acquisition,
    "acquisition model, subset": lambda: _acquisition().subset(2, 3),
    "multi_ray 3 x 1, span 1": lambda: _projector("span 1", "multi_ray", rays=(3, 1)),
    **{f"{m}, {g}": functools.partial(_projector, g, m) for m in MODELS for g in GEOMETRIES},
    **{
        f"{m}, time of flight": functools.partial(_projector, "span 1", m, tof=TimeOfFlight(5, 9.0, 14.0))
        for m in MODELS
    },
    "joseph, time of flight, steep": lambda: _projector("steep", "joseph", tof=TimeOfFlight(3, 29.0, 34.0)),
    "stored matrix": lambda: _projector("off centre", "distance_driven").to_matrix(),
    "stored matrix, subset": lambda: _projector("span 1", "multi_ray", rays=(3, 1)).to_matrix().subset(1, 3),
    **{f"{m}, subset": lambda m=m: _projector("off centre", m).subset(1, 3) for m in MODELS},
}
