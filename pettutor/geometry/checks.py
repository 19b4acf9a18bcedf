"""Checks shared by the geometry's dataclasses."""

import math
import numbers


def check_length(value, name):
    """A positive finite length in mm, as float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name}: expected a positive length in mm, got {value!r}")
    return float(value)


def check_count(value, name, minimum=1):
    """A whole number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"{name}: expected a whole number >= {minimum}, got {value!r}")
    return int(value)


def check_triple(values, name, check, what):
    """Three numbers (z, y, x), each passed through ``check(value, name)``."""
    try:
        values = tuple(values)
    except TypeError:
        values = (values,)
    if len(values) != 3:
        raise ValueError(f"{name}: expected three {what} (z, y, x), got {values!r}")
    return tuple(check(v, f"{name}[{i}]") for i, v in enumerate(values))


def check_position(value, name):
    """A finite coordinate in mm, as float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite position in mm, got {value!r}")
    return float(value)
