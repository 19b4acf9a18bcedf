"""What every algorithm does before its loop: check the data and the start image, and bring memory layouts in line."""

import numpy as np

from pettutor.arrays import array_module, check_array, check_counts
from pettutor.arrays import check_number as check_number  # the algorithms take their checks from here
from pettutor.operators import check_operator


def check_data(y, A):
    """Measured counts of ``A.out_shape``, finite and >= 0; and ``A`` is an operator."""
    check_operator(A, hint=" (the counts come first, then the operator)")
    return check_array(y, "y", shape=A.out_shape, dtype=A.dtype, nonnegative=True)


def check_iterations(iterations):
    """A whole number >= 1."""
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or iterations < 1:
        raise ValueError(f"iterations: expected a whole number >= 1, got {iterations!r}")
    return int(iterations)


def check_prior(prior, *names):
    """An object with the methods that an algorithm calls."""
    missing = [name for name in names if not callable(getattr(prior, name, None))]
    if missing:
        raise TypeError(f"prior: expected an object with {' and '.join(missing)}, got {prior!r:.80}")


def check_background(background, A, y):
    """The background to use: the argument, or the operator's own, or 0."""
    if background is None:
        return getattr(A, "background", 0.0)
    return check_counts(background, "background", shape=y.shape, dtype=A.dtype)


def start_image(start, mask, A, y):
    """A fresh start image: ``start`` (copied) or all 1, and 0 outside the mask."""
    xp = array_module(y)
    if start is None:
        image = xp.ones(A.in_shape, A.dtype)
    else:
        image = check_array(start, "start", shape=A.in_shape, dtype=A.dtype, nonnegative=True).copy()
    if mask is not None:
        image *= check_array(mask, "mask", shape=A.in_shape, dtype=bool)
    return image


def same_layout(y, like):
    """``y`` with the memory order of ``like`` (a copy only where it differs): elementwise work is then one sweep."""
    if y.strides == like.strides:
        return y
    copy = array_module(like).empty_like(like)
    copy[...] = y
    return copy
