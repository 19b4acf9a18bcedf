"""Dark spots that only the MR image shows, drawn anew in every training step.

The counts know nothing of MR. So a training pair stays a true one when its MR image gets a spot that PET does not have,
and one simulated scan gives any number of pairs. A network with MR has to see that case often: else it takes what is
dark in MR, as csf is, for cold.
"""

import numpy as np

from pettutor.networks.training.scan_making import DIAMETERS, T1_MAXIMUM
from pettutor.phantoms.tissues import LESION_VALUES

DARK = np.float32(LESION_VALUES["t1"]["cold"] / T1_MAXIMUM)
BRAIN = 0.45  # T1 over its maximum: grey and white matter lie above


def with_dark_spots(mr, most, voxel_size, rng):
    """MR images with 0 to ``most`` dark balls each, of 5 to 16 mm, centred in grey or white matter.

    Parameters
    ----------
    mr : float32 array (n, y, x) or (n, z, y, x)
        T1 over `T1_MAXIMUM`.
    most : int
    voxel_size : (z, y, x) in mm
        Of slices the last two count.
    rng : numpy.random.Generator

    Returns
    -------
    float32 array
        A copy. An image without brain stays as it is.
    """
    mr = mr.copy()
    size = np.asarray(voxel_size, float)[-(mr.ndim - 1) :]
    for image in mr:
        brain = np.argwhere(image > BRAIN)
        for _ in range(rng.integers(0, most + 1) if len(brain) else 0):
            centre = (brain[rng.integers(len(brain))] + rng.uniform(-0.5, 0.5, image.ndim)) * size
            radius = 0.5 * rng.uniform(*DIAMETERS)
            axes = np.ogrid[tuple(slice(n) for n in image.shape)]
            distance = np.sqrt(sum((n * d - c) ** 2 for n, d, c in zip(axes, size, centre, strict=True)))
            # a voxel on the edge is filled in part
            cover = np.clip((radius - distance) / size[-1] + 0.5, 0, 1).astype(np.float32)
            image += cover * (DARK - image)
    return mr
