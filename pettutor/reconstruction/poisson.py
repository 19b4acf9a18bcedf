"""The Poisson likelihood, and what happens at zero: defined here and nowhere else.

- measured 0, expected 0: the ratio is 1 (the bin says nothing);
- measured > 0, expected 0: impossible under the model; the ratio is taken with the smallest normal number instead of 0,
  so that it is large and finite;
- sensitivity 0 (outside the field of view): the image is 0.
"""

import numpy as np

from pettutor.arrays import array_module


def ratio(measured, expected):
    """``measured / expected`` with the zero cases above; same shape and dtype, layout of ``expected``."""
    xp = array_module(expected)
    tiny = xp.finfo(expected.dtype).tiny
    with np.errstate(over="ignore"):  # measured / tiny may overflow: the largest number stands for it
        result = measured / xp.maximum(expected, tiny)
    xp.copyto(result, result.dtype.type(1), where=(measured == 0) & (expected == 0))
    return xp.minimum(result, xp.finfo(expected.dtype).max, out=result)


def log_likelihood(measured, expected):
    """``Σ y log ȳ - ȳ`` in float64, leaving out the constant ``log y!``; y = 0 contributes -ȳ, also at ȳ = 0."""
    xp = array_module(expected)
    tiny = xp.finfo(expected.dtype).tiny
    terms = xp.log(xp.maximum(expected, tiny))
    terms *= measured
    terms -= expected
    return float(terms.sum(dtype="float64"))


def em_update(image, backprojected_ratio, sensitivity):
    """``x / s · Aᵀ(y / ȳ)``, 0 where the sensitivity is 0."""
    xp = array_module(image)
    inside = sensitivity > 0
    return xp.where(inside, image * backprojected_ratio / xp.where(inside, sensitivity, 1), 0).astype(image.dtype)
