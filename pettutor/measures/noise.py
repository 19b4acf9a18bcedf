"""Noise: over realisations, or the roughness of one image."""

import numpy as np

from pettutor.arrays import check_array
from pettutor.measures.checks import FLOATS, inside, positive


def background_std(images, background):
    """Noise, ``mean_k [ std_r(b_rk) / mean_r(b_rk) ]`` over the voxels k of the background; a fraction.

    The standard deviation over realisations r has one degree of freedom less (ddof = 1).

    Parameters
    ----------
    images : float array (realisation, z, y, x)
        At least two noise realisations of the same object.
    background : bool array (z, y, x)

    Raises
    ------
    TypeError, ValueError
        Fewer than two realisations, a mask that does not fit, voxels whose mean is not > 0.
    """
    check_array(images, "images", dtype=FLOATS)
    if images.ndim < 2 or len(images) < 2:
        raise ValueError(f"images: expected at least two realisations along the first axis, got shape {images.shape}")
    check_array(background, "background", shape=images.shape[1:], dtype=bool)
    voxels = images[:, background].astype(np.float64)
    if voxels.shape[1] == 0:
        raise ValueError("background: expected at least one voxel, got an empty mask")
    mean = voxels.mean(axis=0)
    positive(mean.min(), "images: expected a mean over realisations > 0 in every voxel of the background")
    return float((voxels.std(axis=0, ddof=1) / mean).mean())


def spatial_variation(image, region):
    """Standard deviation over the voxels of a region over its mean (ddof = 1), of a single image; a fraction.

    Says how rough one image looks. It holds structure and partial volume as well as noise: `background_std` is the
    noise alone, but needs realisations.
    """
    check_array(image, "image", dtype=FLOATS)
    voxels = inside(image, region, "region")
    if voxels.size < 2:
        raise ValueError(f"region: expected at least two voxels, got {voxels.size}")
    return float(voxels.std(ddof=1)) / positive(voxels.mean(), "image: expected a mean > 0 in the region")
