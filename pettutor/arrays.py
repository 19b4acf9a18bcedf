"""Arrays and devices: the only place that looks for CuPy, and the checks that every room shares.

NumPy in, NumPy out; CuPy in, CuPy out. Nothing here converts between the two unless its name says so.
"""

import functools
import math
import sys

import numpy as np

DEVICES = ("auto", "cpu", "cuda")


@functools.cache
def find_cupy():
    """Return the ``cupy`` module where it is installed *and* sees a GPU, else None."""
    try:
        import cupy
    except Exception:  # an installed CuPy without its CUDA libraries raises more than ImportError
        return None
    try:
        return cupy if cupy.cuda.runtime.getDeviceCount() > 0 else None
    except Exception:
        return None


def resolve_device(device):
    """Turn ``"auto" | "cpu" | "cuda"`` into ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    ValueError
        For any other word.
    RuntimeError
        When ``"cuda"`` is asked for and CuPy finds no GPU: never a quiet fall-back.
    """
    if device not in DEVICES:
        raise ValueError(f"device: expected one of {', '.join(map(repr, DEVICES))}, got {device!r}")
    if device == "cpu":
        return "cpu"
    if find_cupy() is not None:
        return "cuda"
    if device == "cuda":
        raise RuntimeError(
            "device='cuda': expected CuPy and a CUDA GPU, found none here; use device='cpu' or run 'pettutor doctor'"
        )
    return "cpu"


def bounding_box(mask, margin=0):
    """The smallest box that holds all of a bool array: a slice for each axis.

    Parameters
    ----------
    mask : bool array of any shape
    margin : int
        Elements by which the box is wider at each side, as far as the array goes.

    Raises
    ------
    ValueError
        Nothing is True.
    """
    mask = to_numpy(mask)
    where = np.nonzero(mask)
    if not where[0].size:
        raise ValueError("mask: expected some voxels, got none")
    ends = [
        (max(int(w.min()) - margin, 0), min(int(w.max()) + 1 + margin, n))
        for w, n in zip(where, mask.shape, strict=True)
    ]
    return tuple(slice(start, stop) for start, stop in ends)


_announced = set()


def announce_once(text):
    """Print a line about the path that runs, once per process: to stderr, so that output stays clean.

    Notebooks show what goes to stderr as if it were an error; there it goes to stdout.
    """
    if text not in _announced:
        _announced.add(text)
        in_notebook = type(sys.stderr).__module__.startswith("ipykernel")
        # tqdm's own way takes an open progress bar away, writes the line, and draws the bar again
        write = sys.modules["tqdm"].tqdm.write if "tqdm" in sys.modules else print
        write(f"pettutor: {text}", file=sys.stdout if in_notebook else sys.stderr)


def is_cupy(x):
    """True for a CuPy array, without importing CuPy."""
    return type(x).__module__.partition(".")[0] == "cupy"


def array_module(x):
    """Return the module (NumPy or CuPy) that ``x`` belongs to."""
    return sys.modules["cupy"] if is_cupy(x) else np


def ndimage_module(x):
    """Return ``scipy.ndimage`` or its CuPy counterpart, to match ``x``."""
    if is_cupy(x):
        from cupyx.scipy import ndimage
    else:
        from scipy import ndimage
    return ndimage


def to_numpy(x):
    """Return ``x`` as a NumPy array (a CuPy array is copied to the host)."""
    return x.get() if is_cupy(x) else np.asarray(x)


def describe(x):
    """A few words on what came, for error messages: type, shape and dtype."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        kind = "CuPy" if is_cupy(x) else "NumPy" if isinstance(x, np.ndarray) else type(x).__name__
        return f"a {kind} array of shape {tuple(x.shape)}, dtype {x.dtype}"
    in_a_line = " ".join(f"{x!r:.60}".split())  # some, such as a scanner's, have many
    return f"{type(x).__name__} {in_a_line}"


def check_array(x, name, *, shape=None, ndim=None, dtype=np.float32, nonnegative=False, finite=True):
    """Return ``x`` unchanged when it is what it should be, else say what was expected and what came.

    Parameters
    ----------
    x : numpy.ndarray or cupy.ndarray
    name : str
        How the user knows it; begins the message.
    shape, ndim
        Exact shape, or only the rank.
    dtype
        Exact dtype, a tuple of dtypes, or None for any.
    nonnegative, finite : bool
        Whether to look at the values.

    Raises
    ------
    TypeError
        Not an array, or not of that dtype.
    ValueError
        Wrong rank or shape, NaN, infinite or negative values.
    """
    if not (isinstance(x, np.ndarray) or is_cupy(x)):
        raise TypeError(f"{name}: expected a NumPy or CuPy array, got {describe(x)}")
    if shape is not None and tuple(x.shape) != tuple(shape):
        raise ValueError(f"{name}: expected shape {tuple(shape)}, got {describe(x)}")
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimensions, got {describe(x)}")
    if dtype is not None:
        allowed = dtype if isinstance(dtype, tuple) else (dtype,)
        if not any(x.dtype == d for d in allowed):
            words = " or ".join(np.dtype(d).name for d in allowed)
            hint = f" (use .astype('{np.dtype(allowed[0]).name}'))"
            raise TypeError(f"{name}: expected dtype {words}, got {describe(x)}{hint}")
    if finite and not _all_finite(x):
        count = int((~array_module(x).isfinite(x)).sum())
        raise ValueError(f"{name}: expected finite values, got {count} NaN or infinite of {x.size}")
    if nonnegative and x.size and float(x.min()) < 0:
        raise ValueError(f"{name}: expected values >= 0, got a minimum of {float(x.min()):.6g}")
    return x


def _all_finite(x):
    """One pass without a temporary in the usual case: a finite sum means finite terms."""
    if x.dtype.kind not in "fc":
        return True
    xp = array_module(x)
    with np.errstate(over="ignore", invalid="ignore"):
        total = x.sum()
    # a float32 sum can overflow although every term is finite: only then look at each value
    return bool(xp.isfinite(total)) or bool(xp.isfinite(x).all())


def check_number(value, expected, zero=True, *, least=0.0, below=math.inf):
    """Return a number as a finite float, else say what was expected and what came.

    Parameters
    ----------
    value : number
        Python's, NumPy's or CuPy's, an array of rank 0 too. A bool or a text is none.
    expected : str
        Begins the message: its name and what it should be.
    zero : bool
        Whether it may be 0.
    least, below : float
        The smallest that is allowed, and the one that all allowed are below.

    Raises
    ------
    ValueError
        No number, or one out of range.
    """
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    try:
        # float() alone would read texts and bools, and would drop the imaginary part of NumPy's complex numbers
        is_number = not isinstance(value, (bool, str, bytes)) and kind not in "bcSU" and np.ndim(value) == 0
        number = float(value) if is_number else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and least <= number < below and (zero or number != 0)):
        raise ValueError(f"{expected}, got {value!r:.80}")
    return number


def check_counts(counts, name, *, shape, dtype):
    """Return counts >= 0 as they are where they are an array, and as a float where one number stands for every bin.

    Raises
    ------
    TypeError, ValueError
        As `check_array` and `check_number`.
    """
    if isinstance(counts, (list, tuple)) or np.ndim(counts):  # NumPy knows no rank of lists of unequal length
        return check_array(counts, name, shape=shape, dtype=dtype, nonnegative=True)
    return check_number(counts, f"{name}: expected counts >= 0")


def random_generator(seed):
    """Return a ``numpy.random.Generator``: a new one from an int, or the one that was given.

    Raises
    ------
    TypeError
        For anything else (None too: an unseeded draw cannot be repeated).
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        if seed < 0:
            raise ValueError(f"seed: expected an int >= 0 or a numpy.random.Generator, got {seed}")
        return np.random.default_rng(int(seed))
    raise TypeError(f"seed: expected an int >= 0 or a numpy.random.Generator, got {seed!r}")
