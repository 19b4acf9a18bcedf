"""The Poisson likelihood, and what happens at zero: defined here and nowhere else.

- measured 0, expected 0: the ratio is 1 (the bin says nothing);
- measured > 0, expected 0: impossible under the model; the ratio is taken with the smallest normal number instead of 0,
  so that it is large and finite;
- sensitivity 0 (outside the field of view): the image is 0.
"""

import math

import numpy as np

from pettutor.arrays import array_module, is_cupy
from pettutor.threads import by_chunks


def _over(function, *arrays):
    """A list of ``function``'s results over pieces of the arrays: on a GPU everything is one piece."""
    return [function(*arrays)] if is_cupy(arrays[0]) else by_chunks(function, *arrays)


def ratio(measured, expected):
    """``measured / expected`` with the zero cases above; same shape and dtype, layout of ``expected``."""
    xp = array_module(expected)
    result = xp.empty_like(expected)
    limits = xp.finfo(expected.dtype)

    def divide(out, y, mean):
        with np.errstate(over="ignore"):  # measured / tiny may overflow: the largest number stands for it
            xp.divide(y, xp.maximum(mean, limits.tiny), out=out)
        xp.minimum(out, limits.max, out=out)
        xp.copyto(out, out.dtype.type(1), where=(y == 0) & (mean == 0))

    _over(divide, result, measured, expected)
    return result


def log_likelihood(measured, expected):
    """``Σ y log ȳ - ȳ`` in float64, leaving out the constant ``log y!``; y = 0 contributes -ȳ, also at ȳ = 0."""
    xp = array_module(expected)
    tiny = xp.finfo(expected.dtype).tiny

    def total(mean, y):
        terms = xp.log(xp.maximum(mean, tiny))
        terms *= y
        terms -= mean
        return float(terms.sum(dtype="float64"))

    return math.fsum(_over(total, expected, measured))


def em_update(image, backprojected_ratio, sensitivity):
    """``x / s · Aᵀ(y / ȳ)``, 0 where the sensitivity is 0."""
    xp = array_module(image)
    inside = sensitivity > 0
    return xp.where(inside, image * backprojected_ratio / xp.where(inside, sensitivity, 1), 0).astype(image.dtype)
