"""Where to measure: the regions of a phantom, each with the background that its contrast is taken against."""

from typing import NamedTuple

import numpy as np

from pettutor.arrays import check_array, ndimage_module


class Region(NamedTuple):
    """Two bool masks (z, y, x): ``measures.crc(images, truth.pet, *region)``."""

    region: np.ndarray
    background: np.ndarray


def regions(truth, erode=0, *, reach=None):
    """The regions of a phantom that have a contrast to recover: grey matter and the lesions that PET shows.

    Grey and white matter are the voxels that it fills to more than 80 %, lesions left out. The background is white
    matter everywhere, for lesions too (a choice: one background gives one noise axis for all regions; lesions are
    placed in white matter where there is room). Lesions that only MR shows have no contrast in PET: measure the `bias`
    in ``truth.regions``.

    Parameters
    ----------
    truth : pettutor.phantoms.Phantom
    erode : int
        Voxels to take off the rim of the white matter, where grey matter and lesions spill over. Grey matter is left as
        it is: the cortex is one or two voxels thick.
    reach : float, optional
        For lesions, only white matter within so many mm of the lesion's voxels: a local background, of fewer voxels.

    Returns
    -------
    dict
        Name ("grey matter", "lesion 1", "lesion 2 (pet only)" ...) -> `Region`.

    Raises
    ------
    TypeError, ValueError
        No phantom; a region or background without a voxel (the message says which), so nothing is left out silently.
    """
    if not isinstance(getattr(truth, "regions", None), dict):
        raise TypeError(f"truth: expected a phantom (subject.on(grid)), got {type(truth).__name__}")
    if reach is not None and not (np.isfinite(reach) and reach > 0):
        raise ValueError(f"reach: expected a distance > 0 in mm, got {reach!r}")
    masks = truth.regions
    white = eroded(masks["white matter"], erode, name="white matter")
    found = {"grey matter": Region(masks["grey matter"], white)}
    for name, mask in masks.items():
        if name.startswith("lesion") and "(mr only)" not in name:
            near = white if reach is None else _near(mask, white, reach, truth.grid.voxel_size, name)
            found[name] = Region(mask, near)
    for name, (mask, _) in found.items():
        if not mask.any():
            raise ValueError(f"truth: expected at least one voxel of {name} on this grid, got none")
    return found


def eroded(mask, voxels=1, *, name="mask"):
    """A mask without its rim: voxels with a neighbour (of the six that share a face) outside it go, ``voxels`` times.

    What lies beyond the image's edges counts as inside, so that a single slice is eroded in its plane.

    Raises
    ------
    TypeError, ValueError
        No bool mask, a number that is not whole or below 0, or nothing left (the message begins with ``name``).
    """
    check_array(mask, name, ndim=3, dtype=bool)
    if isinstance(voxels, bool) or not isinstance(voxels, (int, np.integer)) or voxels < 0:
        raise ValueError(f"{name}: expected a whole number >= 0 of voxels to erode, got {voxels!r}")
    smaller = mask
    if voxels:
        smaller = ndimage_module(mask).binary_erosion(mask, iterations=int(voxels), border_value=1)
    if not smaller.any():
        raise ValueError(
            f"{name}: expected at least one voxel after erosion by {voxels}, got none of {int(mask.sum())}"
        )
    return smaller


def _near(lesion, white, reach, voxel_size, name):
    from scipy.ndimage import distance_transform_edt

    near = white & (distance_transform_edt(~lesion, sampling=voxel_size) <= reach)
    if not near.any():
        raise ValueError(f"reach: expected white matter within {reach:g} mm of {name}, got none")
    return near
