"""What every measure does first: check the images and masks, and take the voxels that count, in float64."""

import math

import numpy as np

from pettutor.arrays import check_array

FLOATS = (np.float32, np.float64)


def pair(image, truth, mask):
    """The voxels of both that count, float64."""
    check_array(truth, "truth", dtype=FLOATS)
    check_array(image, "image", shape=truth.shape, dtype=FLOATS)
    if mask is None:
        if not truth.size:
            raise ValueError("truth: expected at least one voxel, got none")
        return image.astype(np.float64), truth.astype(np.float64)
    return inside(image, mask, "mask"), inside(truth, mask, "mask")


def inside(image, mask, name):
    """The image's voxels in a mask, float64."""
    check_array(mask, name, shape=image.shape, dtype=bool)
    voxels = image[mask].astype(np.float64)
    if not voxels.size:
        raise ValueError(f"{name}: expected at least one voxel, got an empty mask")
    return voxels


def realisations(images, ndim, name="images"):
    """Images with the axis of realisations in front, which a single image lacks."""
    check_array(images, name, dtype=FLOATS)
    if images.ndim not in (ndim, ndim + 1):
        raise ValueError(
            f"{name}: expected {ndim} dimensions, or {ndim + 1} with realisations in front, got shape {images.shape}"
        )
    images = images[None] if images.ndim == ndim else images
    if not len(images):
        raise ValueError(f"{name}: expected at least one realisation, got shape {images.shape}")
    return images


def positive(value, expected):
    """The value as a float > 0, else a ValueError that begins with what was ``expected``."""
    value = float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{expected}, got {value:.6g}")
    return value
