"""How far an image is from the truth: normalised root-mean-square error, bias, PSNR, SSIM."""

import math

import numpy as np

from pettutor.arrays import array_module, check_array, to_numpy
from pettutor.measures.checks import FLOATS, pair, positive, realisations

NORMALISERS = ("mean", "rms", "range")
SSIM_WINDOW = 11  # voxels: a Gaussian of 1.5 voxels, cut off at 3.5 of them on either side


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
    x, t = pair(image, truth, mask)
    xp = array_module(t)
    if normaliser == "mean":
        n = t.mean()
    elif normaliser == "rms":
        n = xp.sqrt((t**2).mean())
    elif normaliser == "range":
        n = t.max() - t.min()
    else:
        raise ValueError(f"normaliser: expected one of {', '.join(map(repr, NORMALISERS))}, got {normaliser!r}")
    n = positive(n, f"truth: expected a {normaliser} > 0 inside the mask")
    return float(xp.sqrt(((x - t) ** 2).mean())) / n


def bias(image, truth, *, mask=None):
    """Relative bias of the mean, ``(x̄ − t̄) / t̄`` over the mask; a fraction with a sign.

    Parameters
    ----------
    image : float array
        One image (z, y, x), or noise realisations (realisation, z, y, x): x̄ is then the mean over these too, so that
        the noise, which a single image's mean still holds some of, averages out.
    truth : float array (z, y, x)
    mask : bool array (z, y, x), optional

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, an empty mask, or a truth whose mean there is 0.
    """
    check_array(truth, "truth", dtype=FLOATS)
    if getattr(image, "ndim", 0) == truth.ndim + 1:
        image = realisations(image, truth.ndim, "image").mean(axis=0, dtype=np.float64)
    x, t = pair(image, truth, mask)
    mean = positive(t.mean(), "truth: expected a mean > 0 inside the mask")
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
    data_range = _checked_range(data_range)
    x, t = pair(image, truth, mask)
    rmse = math.sqrt(float(((x - t) ** 2).mean()))
    return 20 * math.log10(data_range / rmse) if rmse > 0 else math.inf


def ssim(image, truth, *, data_range, mask=None):
    """Mean structural similarity, by scikit-image; 1 is perfect.

    In a window round every voxel, with means μ, variances σ² and covariance σ_xt under its weights,
    ``SSIM = (2 μ_x μ_t + c₁)(2 σ_xt + c₂) / ((μ_x² + μ_t² + c₁)(σ_x² + σ_t² + c₂))``, ``c₁ = (0.01 data_range)²``,
    ``c₂ = (0.03 data_range)²``; then the mean over the voxels of the mask. The weights are a Gaussian of 1.5 voxels
    standard deviation, cut off at 5: 11 × 11 × 11 voxels; the image is mirrored at its edges. An image of fewer than
    11 slices is seen slice by slice, in windows of 11 × 11. As the window counts in voxels, only images on one grid
    can be compared.

    Parameters
    ----------
    image, truth : float arrays of one shape (z, y, x)
        CuPy arrays are copied to the host.
    data_range : float
        In the image's units: say which (the truth's maximum, the scale of the display …). No default: it decides how
        much a small difference counts.
    mask : bool array, optional
        Voxels that count (default: all). Air, which is easy, raises the mean: take the head.

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, slices below 11 × 11 voxels, an empty mask, a range that is not a number > 0.

    References
    ----------
    Z. Wang et al., IEEE Trans. Image Process. 13(4):600, 2004.
    """
    from skimage.metrics import structural_similarity

    data_range = _checked_range(data_range)
    pair(image, truth, mask)
    if truth.ndim != 3 or min(truth.shape[1:]) < SSIM_WINDOW:
        raise ValueError(
            f"truth: expected shape (z, y, x) with at least {SSIM_WINDOW} rows and columns, got {truth.shape}"
        )
    x, t = (to_numpy(array).astype(np.float64) for array in (image, truth))

    def similarity(one, other):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return structural_similarity(one, other, data_range=data_range, full=True, **settings)[1]

    whole = len(t) >= SSIM_WINDOW
    found = similarity(x, t) if whole else np.stack([similarity(a, b) for a, b in zip(x, t, strict=True)])
    return float((found if mask is None else found[to_numpy(mask)]).mean())


def _checked_range(data_range):
    if isinstance(data_range, bool) or not isinstance(data_range, (int, float, np.number)):
        raise TypeError(f"data_range: expected a number > 0, got {data_range!r}")
    return positive(data_range, "data_range: expected a number > 0")
