"""What can be shown: arrays of any kind, arrays with their grid, NIfTI files and nibabel images."""

import os
from pathlib import Path

import numpy as np

from pettutor.arrays import describe, to_numpy
from pettutor.geometry import ImageGrid

MOST_VOXELS = 2**29  # 2 GB as float32; of more, a browser is shown every 2nd voxel, every 3rd ...


def is_grid(x):
    """True for an ImageGrid or what has its attributes."""
    return hasattr(x, "voxel_size") and hasattr(x, "origin")


def is_one_volume(x):
    """True for what is a single volume though it could be taken for a list: an array with its grid, or a path."""
    return isinstance(x, (str, os.PathLike)) or (isinstance(x, tuple) and len(x) == 2 and is_grid(x[1]))


def own_name(x):
    """The name of the file that a volume comes from; else none."""
    return Path(x).name if isinstance(x, (str, os.PathLike)) else ""


def read(x, name):
    """Return a volume as a NumPy array (frame, z, y, x), and the grid that it brought with it (or None).

    Raises
    ------
    TypeError
        Complex, text or object arrays.
    ValueError
        Another rank, no voxel at all, colours (r, g, b) as the last axis, or a file that is no NIfTI image.
    FileNotFoundError
        A path with no file.
    """
    grid = None
    if isinstance(x, (str, os.PathLike)):
        from pettutor.io import load_nifti

        x, grid = load_nifti(x)
    elif hasattr(x, "affine") and hasattr(x, "dataobj"):
        from pettutor.io import from_nibabel

        x, grid = from_nibabel(x, name)
    elif is_one_volume(x):
        x, grid = x
    return as_volume(x, name), grid


def as_volume(x, name):
    """Return anything like a real array of 2 to 4 dimensions as a NumPy array (frame, z, y, x).

    Raises
    ------
    TypeError
        Complex, text or object arrays.
    ValueError
        Another rank, no voxel at all, or colours (r, g, b) as the last axis.
    """
    try:
        array = to_numpy(x)
    except (ValueError, TypeError) as error:
        raise TypeError(f"{name}: expected an array of numbers, got {describe(x)}") from error
    if array.dtype.kind == "c":
        raise TypeError(f"{name}: expected real numbers, got {describe(array)} (show its abs() or real part)")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected an array of numbers, got {describe(array)}")
    if not 2 <= array.ndim <= 4:
        raise ValueError(f"{name}: expected (y, x), (z, y, x) or (frame, z, y, x), got {describe(array)}")
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one voxel, got {describe(array)}")
    if array.ndim == 4 and array.shape[-1] in (3, 4) and min(array.shape[1:3]) >= 16:
        raise ValueError(
            f"{name}: expected (frame, z, y, x), got {describe(array)}, whose last axis looks like colours (r, g, b); "
            "give the colour channels as volumes of their own"
        )
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def thinned(array, grid, name):
    """Return what a browser can hold: the array and its grid, or every k-th voxel of both and a note that says so.

    Raises
    ------
    ValueError
        So many frames that even single voxels of them are too many.
    """
    every = 1
    while _voxels(array.shape, every) > MOST_VOXELS:
        every += 1
        if every > max(array.shape[1:]):
            raise ValueError(f"{name}: expected at most {MOST_VOXELS:,} frames, got {describe(array)}")
    if every == 1:
        return array, grid, ""
    array = array[:, ::every, ::every, ::every]
    shape, size = array.shape[1:], tuple(every * d for d in grid.voxel_size)
    centre = tuple(o + 0.5 * (n - 1) * d for o, n, d in zip(grid.origin, shape, size, strict=True))
    last_digit = {1: "st", 2: "nd", 3: "rd"}.get(every if every < 20 else every % 10, "th")
    return array, ImageGrid(shape, size, centre), f"too large: every {every}{last_digit} voxel of each axis is shown"


def _voxels(shape, every):
    return shape[0] * int(np.prod([-(-n // every) for n in shape[1:]], dtype=float))
