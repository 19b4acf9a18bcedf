"""Contrast between two regions, and how much of the true one an image has."""

import numpy as np

from pettutor.arrays import check_array
from pettutor.measures.checks import FLOATS, inside, positive, realisations


def region_mean(image, region):
    """Mean over a region, in the image's units."""
    check_array(image, "image", dtype=FLOATS)
    return float(inside(image, region, "region").mean())


def contrast(image, region, background):
    """Ratio of two regions' means, ``ā / b̄``: grey to white matter, lesion to surroundings.

    Raises
    ------
    TypeError, ValueError
        Masks that do not fit or are empty, a background whose mean is not > 0.
    """
    b = positive(region_mean(image, background), "image: expected a mean > 0 in the background")
    return region_mean(image, region) / b


def contrast_recovery(images, truth, region, background):
    """Contrast recovery of each noise realisation r, ``(ā_r / b̄_r − 1) / (a / b − 1)``; 1 is perfect, 0 no contrast.

    Parameters
    ----------
    images : float array
        One image (z, y, x) or noise realisations (realisation, z, y, x).
    truth : float array (z, y, x)
        Gives a and b.
    region, background : bool arrays (z, y, x)

    Returns
    -------
    float64 NumPy array (realisation,)
        Its spread is what the noise does to the contrast; its mean is `crc`.

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, empty masks, or a truth without contrast.
    """
    true = contrast(truth, region, background) - 1
    if abs(true) < 1e-6:
        raise ValueError("truth: expected a contrast between region and background, got none")
    found = [contrast(image, region, background) - 1 for image in realisations(images, truth.ndim)]
    return np.array(found) / true


def crc(images, truth, region, background):
    """Contrast recovery coefficient, ``mean_r [ (ā_r / b̄_r − 1) / (a / b − 1) ]``; 1 is perfect, 0 is no contrast.

    Parameters, errors
        As for `contrast_recovery`, whose mean over the realisations r it is.
    """
    return float(contrast_recovery(images, truth, region, background).mean())
