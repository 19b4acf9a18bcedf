"""The Poisson likelihood, and what happens at zero: defined here and nowhere else.

- measured 0, expected 0: the ratio is 1 (the bin says nothing);
- measured > 0, expected 0: impossible under the model; the ratio is large, and so far from the largest number that its
  back projection is finite: what is 0 in the image stays 0 (an infinite one would make it 0 · ∞);
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
    largest = math.sqrt(limits.max)

    def divide(out, y, mean):
        with np.errstate(over="ignore"):
            xp.divide(y, xp.maximum(mean, limits.tiny), out=out)
        xp.minimum(out, largest, out=out)
        xp.copyto(out, out.dtype.type(1), where=(y == 0) & (mean == 0))

    _over(divide, result, measured, expected)
    return result


def ratio_slope(measured, expected):
    """``y / ȳ²``, which is -d(y/ȳ)/dȳ; 0 where ȳ = 0, since `ratio` is held there. Shape, dtype and layout of ȳ."""
    xp = array_module(expected)
    result = ratio(measured, expected)
    limits = xp.finfo(expected.dtype)

    def divide(out, mean):
        with np.errstate(over="ignore"):
            xp.divide(out, xp.maximum(mean, limits.tiny), out=out)
        xp.minimum(out, math.sqrt(limits.max), out=out)
        xp.copyto(out, out.dtype.type(0), where=mean == 0)

    _over(divide, result, expected)
    return result


def log_likelihood(measured, expected, total=None):
    """``Σ y log ȳ - ȳ`` in float64, leaving out the constant ``log y!``; y = 0 contributes -ȳ, also at ȳ = 0.

    ``total`` stands for ``Σ ȳ`` where ``expected`` does not hold every line that could have been seen (list mode).
    """
    xp = array_module(expected)
    tiny = xp.finfo(expected.dtype).tiny

    def piece(mean, y):
        terms = xp.log(xp.maximum(mean, tiny))
        terms *= y
        if total is None:
            terms -= mean
        return float(terms.sum(dtype="float64"))

    return math.fsum(_over(piece, expected, measured)) - (total or 0.0)


def em_update(image, backprojected_ratio, sensitivity, elsewhere=0):
    """``x / s · Aᵀ(y / ȳ)``; where the sensitivity is 0, ``elsewhere`` (0 or an image)."""
    xp = array_module(image)
    inside = sensitivity > 0
    update = image * backprojected_ratio / xp.where(inside, sensitivity, 1)
    return xp.where(inside, update, elsewhere).astype(image.dtype)


def map_update(em_image, sensitivity, rho, reference, elsewhere=0):
    """The maximum of ``s (x_EM log x - x) - ρ/2 (x - z)²``: positive root of ``ρ x² + (s - ρ z) x - s x_EM = 0``.

    Of its two forms the one that adds numbers of one sign is taken, so nothing is lost in float32: with
    ``b = s - ρ z`` and ``d = sqrt(b² + 4 ρ s x_EM)``, ``2 s x_EM / (d + b)`` for b > 0, else ``(d - b) / (2 ρ)``.
    Where the sensitivity is 0, ``elsewhere`` (0 or an image).
    """
    xp = array_module(em_image)
    b = sensitivity - rho * reference
    counts = sensitivity * em_image
    d = xp.sqrt(b * b + 4 * rho * counts)
    positive = b > 0
    # where b <= 0 with s > 0, rho cannot be 0
    upper = 2 * counts / xp.where(positive, d + b, 1)
    lower = (d - b) / xp.where(positive, 1, xp.where(sensitivity > 0, 2 * rho, 1))
    return xp.where(sensitivity > 0, xp.where(positive, upper, lower), elsewhere).astype(em_image.dtype)


def preconditioner(image, sensitivity, curvature, delta):
    """``(x + δ) / (s + (x + δ) c)``: one over the objective's curvature, s/x of the likelihood and c of the prior.

    delta > 0 lets an image leave 0. Where the sensitivity is 0 it is 0.
    """
    xp = array_module(image)
    inside = sensitivity > 0
    shifted = image + delta
    return xp.where(inside, shifted / xp.where(inside, sensitivity + shifted * curvature, 1), 0).astype(image.dtype)


def gradient_update(image, step, gradient):
    """``x + step · gradient``, and 0 where that is negative; 0 too where the step is (the sensitivity is 0)."""
    xp = array_module(image)
    return xp.where(step > 0, xp.maximum(image + step * gradient, 0), 0).astype(image.dtype)
