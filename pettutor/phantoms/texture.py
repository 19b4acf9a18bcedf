"""Structure variation: a smooth random modulation that makes tissues look less like cardboard.

``im · (1 + n·(2r − 1))`` with r uniform noise smoothed by a Gaussian, as in the ``brainweb`` package; but seeded, and
drawn on a lattice fixed to the subject, so that a seed gives the same texture on every grid.
"""

import numpy as np

from pettutor.arrays import random_generator

LATTICE_STEP = 2.0863  # mm; voxel of the mMR, where the package draws its noise
LATTICE_HALF = (48, 64, 50)  # voxels each side of the origin (z, y, x): covers a head, and repeats beyond
STRENGTH = {"pet": 1.0, "t1": 0.75, "t2": 0.75}  # the package's own n of each image


def check_structure(structure):
    """Return ``structure`` as a float in [0, 1], else raise ValueError."""
    if isinstance(structure, bool) or not isinstance(structure, (int, float, np.number)) or not 0 <= structure <= 1:
        raise ValueError(f"structure: expected a number from 0 (none) to 1, got {structure!r}")
    return float(structure)


def draw_lattices(seed):
    """Return image name -> smoothed uniform noise on the lattice: float32, mean 0.5."""
    from scipy.ndimage import gaussian_filter

    rng = random_generator(seed)
    shape = tuple(2 * h + 1 for h in LATTICE_HALF)
    # wrapped round: no darker rim, unlike a filter that sees zeros outside
    return {name: gaussian_filter(rng.random(shape, dtype=np.float32), 1.0, mode="wrap") for name in STRENGTH}


def modulate(image, box, lattice, coordinates, strength):
    """Multiply ``image[box]`` in place by 1 + strength·(2r − 1), r interpolated (cubic) at the voxel centres."""
    from scipy.ndimage import affine_transform

    part = image[box]
    if not part.size or strength == 0:
        return
    axes = [c[s] for c, s in zip(coordinates, box, strict=True)]
    step = [(a[1] - a[0] if a.size > 1 else 1.0) / LATTICE_STEP for a in axes]
    offset = [a[0] / LATTICE_STEP + h for a, h in zip(axes, LATTICE_HALF, strict=True)]
    r = affine_transform(
        lattice, np.array(step), offset, output_shape=part.shape, output=np.float32, order=3, mode="grid-wrap"
    )
    part *= 1.0 + strength * (2.0 * np.clip(r, 0.0, 1.0) - 1.0)
