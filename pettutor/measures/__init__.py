"""Figures of merit: error, bias, contrast recovery and noise, each with its formula and nothing left to a default.

Images are float arrays (z, y, x), NumPy or CuPy; several noise realisations have one more axis in front. Masks are bool
arrays (z, y, x). Sums run in float64, results are Python floats or pandas tables.
"""

from pettutor.measures.curves import (
    at_equal_noise,
    compare_at_equal_noise,
    curve_table,
    image_measures,
    noise_contrast,
)
from pettutor.measures.error import NORMALISERS, bias, nrmse, psnr, ssim
from pettutor.measures.masks import Region, eroded, regions
from pettutor.measures.noise import background_std, spatial_variation
from pettutor.measures.plotting import plot_curves
from pettutor.measures.recovery import contrast, contrast_recovery, crc, region_mean

__all__ = [
    "NORMALISERS",
    "Region",
    "at_equal_noise",
    "background_std",
    "bias",
    "compare_at_equal_noise",
    "contrast",
    "contrast_recovery",
    "crc",
    "curve_table",
    "eroded",
    "image_measures",
    "noise_contrast",
    "nrmse",
    "plot_curves",
    "psnr",
    "region_mean",
    "regions",
    "spatial_variation",
    "ssim",
]
