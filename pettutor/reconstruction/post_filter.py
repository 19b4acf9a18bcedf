"""Gaussian filters after the reconstruction: the opponent of every method, at its best or at equal noise."""

import numpy as np

from pettutor import measures
from pettutor.acquisition import gaussian_filter
from pettutor.arrays import array_module, check_array
from pettutor.reconstruction.inputs import check_number

# mm: how closely the width of the best filter is searched, and that of a given noise
TOLERANCE_BEST, TOLERANCE_NOISE = 0.05, 0.01


def best_gaussian(image, truth, grid, *, mask=None, normaliser="rms", widest=15.0, callback=None):
    """The Gaussian filter of the least error, and what it makes of the image.

    It is searched on the truth, which nobody has for a patient: the most favourable filter there is.

    Parameters
    ----------
    image : float array (z, y, x), or several
        A list, or an array with one more axis in front. Several images share one filter: that of the least mean error.
    truth : float array (z, y, x), or several
        One for all images, or a list of one for each.
    grid : ImageGrid
        Of all images.
    mask : bool array (z, y, x), or several, optional
        Voxels that count (default: all); one for all images, or a list of one for each.
    normaliser : "mean", "rms" or "range"
        As of `pettutor.measures.nrmse`: the error is its mean over the images.
    widest : float
        mm, the end of the search.
    callback : callable, optional
        ``callback(fwhm, error)`` after every width that was tried.

    Returns
    -------
    fwhm : float
        mm, to 0.05; 0 where no filter is better than none.
    filtered : array or list of arrays, as ``image``

    Raises
    ------
    TypeError, ValueError
        Images that are not on the grid, another number of truths or masks, a width that is none.
    """
    from scipy.optimize import minimize_scalar

    widest = check_number(widest, "widest: expected a width > 0 mm", zero=False)
    images = _several(image)
    if not images:
        raise ValueError("image: expected at least one, got none")
    cases = list(zip(images, _for_each(truth, "truth", images), _for_each(mask, "mask", images), strict=True))

    def error(fwhm):
        errors = [
            measures.nrmse(gaussian_filter(x, fwhm, grid), t, normaliser=normaliser, mask=where)
            for x, t, where in cases
        ]
        value = sum(errors) / len(errors)
        if callback is not None:
            callback(float(fwhm), value)
        return value

    found = minimize_scalar(error, bounds=(0.0, widest), method="bounded", options={"xatol": TOLERANCE_BEST})
    fwhm = float(found.x) if found.fun < error(0.0) else 0.0  # the search never tries its end points
    return fwhm, _filtered(image, fwhm, grid)


def gaussian_at_noise(images, noise, background, grid, *, widest=30.0):
    """The Gaussian filter that brings realisations of a scan to a given noise, and the filtered images.

    Comparing a method with this filter at its own noise is fair: what it recovers beyond the filter is its merit.

    Parameters
    ----------
    images : float array (realisation, z, y, x)
        At least two noise realisations of the same object.
    noise : float
        What `pettutor.measures.background_std` of the filtered images shall be; a fraction.
    background : bool array (z, y, x)
        Where it is measured.
    grid : ImageGrid
    widest : float
        mm, the end of the search.

    Returns
    -------
    fwhm : float
        mm, to 0.01.
    filtered : array (realisation, z, y, x)

    Raises
    ------
    TypeError, ValueError
        Images, mask or grid that do not fit; images whose noise is below ``noise`` already, or above it even after the
        widest filter.
    """
    from scipy.optimize import brentq

    noise = check_number(noise, "noise: expected a fraction > 0", zero=False)
    widest = check_number(widest, "widest: expected a width > 0 mm", zero=False)
    check_array(images, "images", ndim=4, dtype=(np.float32, np.float64))

    def noise_after(fwhm):
        return measures.background_std(_filtered(images, fwhm, grid), background)

    most, least = noise_after(0.0), noise_after(widest)
    if most < noise:
        raise ValueError(f"noise: expected at most {most:.4g}, which the images have without a filter, got {noise:.4g}")
    if least > noise:
        raise ValueError(f"noise: expected at least {least:.4g}, that of a filter of {widest:g} mm, got {noise:.4g}")
    fwhm = float(brentq(lambda width: noise_after(width) - noise, 0.0, widest, xtol=TOLERANCE_NOISE))
    return fwhm, _filtered(images, fwhm, grid)


def _several(image):
    """A list of images; one alone is a list of one."""
    many = isinstance(image, (list, tuple)) or np.ndim(image) == 4
    return list(image) if many else [image]


def _for_each(value, name, images):
    """A list with one for each image; one alone holds for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(images)
    if len(value) != len(images):
        raise ValueError(f"{name}: expected one for each of {len(images)} images, got {len(value)}")
    return list(value)


def _filtered(image, fwhm, grid):
    """What the filter makes of one image, or of each of several; list or array as they came."""
    if isinstance(image, (list, tuple)):
        return [gaussian_filter(x, fwhm, grid) for x in image]
    if image.ndim == 4:
        return array_module(image).stack([gaussian_filter(x, fwhm, grid) for x in image])
    return gaussian_filter(image, fwhm, grid)
