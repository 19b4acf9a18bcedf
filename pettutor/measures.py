"""Figures of merit: error, bias, contrast recovery and noise, each with its formula and nothing left to a default.

Images are float arrays (z, y, x), NumPy or CuPy; several noise realisations have one more axis in front. Masks are bool
arrays (z, y, x). Sums run in float64, results are Python floats.
"""

import math

import numpy as np

from pettutor.arrays import array_module, check_array

NORMALISERS = ("mean", "rms", "range")


def nrmse(image, truth, *, normaliser, mask=None):
    """Normalised root-mean-square error, ``√(mean (x − t)²) / n`` over the mask; a fraction, 0 is perfect.

    Parameters
    ----------
    image, truth : float arrays of one shape
    normaliser : "mean", "rms" or "range"
        What n is, of the truth inside the mask: its mean, its root mean square, or its maximum minus its minimum.
        There is no default because papers differ: for one image the three can be a factor of two apart.
    mask : bool array, optional
        Voxels that count (default: all).

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, an empty mask, another normaliser, or one that is 0.
    """
    x, t = _pair(image, truth, mask)
    xp = array_module(t)
    if normaliser == "mean":
        n = t.mean()
    elif normaliser == "rms":
        n = xp.sqrt((t**2).mean())
    elif normaliser == "range":
        n = t.max() - t.min()
    else:
        raise ValueError(f"normaliser: expected one of {', '.join(map(repr, NORMALISERS))}, got {normaliser!r}")
    n = _positive(n, f"truth: expected a {normaliser} > 0 inside the mask")
    return float(xp.sqrt(((x - t) ** 2).mean())) / n


def bias(image, truth, *, mask=None):
    """Relative bias of the mean, ``(x̄ − t̄) / t̄`` over the mask; a fraction with a sign.

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, an empty mask, or a truth whose mean there is 0.
    """
    x, t = _pair(image, truth, mask)
    mean = _positive(t.mean(), "truth: expected a mean > 0 inside the mask")
    return float(x.mean()) / mean - 1


def psnr(image, truth, *, data_range, mask=None):
    """Peak signal-to-noise ratio, ``20 log10(data_range / √(mean (x − t)²))`` in dB; infinite without an error.

    Parameters
    ----------
    image, truth : float arrays of one shape
    data_range : float
        The peak, in the image's units: say which (the truth's maximum, the scale of the display …). No default.
    mask : bool array, optional

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, an empty mask, a range that is not a number > 0.
    """
    if isinstance(data_range, bool) or not isinstance(data_range, (int, float, np.number)):
        raise TypeError(f"data_range: expected a number > 0, got {data_range!r}")
    data_range = _positive(data_range, "data_range: expected a number > 0")
    x, t = _pair(image, truth, mask)
    rmse = math.sqrt(float(((x - t) ** 2).mean()))
    return 20 * math.log10(data_range / rmse) if rmse > 0 else math.inf


def region_mean(image, region):
    """Mean over a region, in the image's units."""
    check_array(image, "image", dtype=(np.float32, np.float64))
    return float(_inside(image, region, "region").mean())


def contrast(image, region, background):
    """Ratio of two regions' means, ``ā / b̄``: grey to white matter, lesion to surroundings.

    Raises
    ------
    TypeError, ValueError
        Masks that do not fit or are empty, a background whose mean is not > 0.
    """
    b = _positive(region_mean(image, background), "image: expected a mean > 0 in the background")
    return region_mean(image, region) / b


def crc(images, truth, region, background):
    """Contrast recovery coefficient, ``mean_r [ (ā_r / b̄_r − 1) / (a / b − 1) ]``; 1 is perfect, 0 is no contrast.

    Parameters
    ----------
    images : float array
        One image (z, y, x) or noise realisations r (realisation, z, y, x).
    truth : float array (z, y, x)
        Gives a and b.
    region, background : bool arrays (z, y, x)

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, empty masks, or a truth without contrast.
    """
    true = contrast(truth, region, background) - 1
    if abs(true) < 1e-6:
        raise ValueError("truth: expected a contrast between region and background, got none")
    values = [contrast(image, region, background) - 1 for image in _realisations(images, truth.ndim)]
    return float(np.mean(values)) / true


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
    check_array(images, "images", dtype=(np.float32, np.float64))
    if images.ndim < 2 or len(images) < 2:
        raise ValueError(f"images: expected at least two realisations along the first axis, got shape {images.shape}")
    check_array(background, "background", shape=images.shape[1:], dtype=bool)
    voxels = images[:, background].astype(np.float64)
    if voxels.shape[1] == 0:
        raise ValueError("background: expected at least one voxel, got an empty mask")
    mean = voxels.mean(axis=0)
    _positive(mean.min(), "images: expected a mean over realisations > 0 in every voxel of the background")
    return float((voxels.std(axis=0, ddof=1) / mean).mean())


def spatial_variation(image, region):
    """Standard deviation over the voxels of a region over its mean (ddof = 1), of a single image; a fraction.

    Says how rough one image looks. It holds structure and partial volume as well as noise: `background_std` is the
    noise alone, but needs realisations.
    """
    check_array(image, "image", dtype=(np.float32, np.float64))
    voxels = _inside(image, region, "region")
    if voxels.size < 2:
        raise ValueError(f"region: expected at least two voxels, got {voxels.size}")
    return float(voxels.std(ddof=1)) / _positive(voxels.mean(), "image: expected a mean > 0 in the region")


def _pair(image, truth, mask):
    """The voxels of both that count, float64."""
    check_array(truth, "truth", dtype=(np.float32, np.float64))
    check_array(image, "image", shape=truth.shape, dtype=(np.float32, np.float64))
    if mask is None:
        if not truth.size:
            raise ValueError("truth: expected at least one voxel, got none")
        return image.astype(np.float64), truth.astype(np.float64)
    return _inside(image, mask, "mask"), _inside(truth, mask, "mask")


def _inside(image, mask, name):
    check_array(mask, name, shape=image.shape, dtype=bool)
    voxels = image[mask].astype(np.float64)
    if not voxels.size:
        raise ValueError(f"{name}: expected at least one voxel, got an empty mask")
    return voxels


def _realisations(images, ndim):
    check_array(images, "images", dtype=(np.float32, np.float64))
    if images.ndim not in (ndim, ndim + 1):
        raise ValueError(
            f"images: expected {ndim} dimensions, or {ndim + 1} with realisations in front, got shape {images.shape}"
        )
    return images[None] if images.ndim == ndim else images


def _positive(value, expected):
    value = float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{expected}, got {value:.6g}")
    return value
