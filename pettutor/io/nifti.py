"""NIfTI images by nibabel, with the grid in the affine (mm, right–anterior–superior)."""

import os
import tempfile
from pathlib import Path

import numpy as np

from pettutor.arrays import check_array
from pettutor.files import existing_file
from pettutor.geometry import ImageGrid

_SUFFIXES = (".nii", ".nii.gz")


def _check_path(path):
    path = Path(path).expanduser()
    suffix = next((s for s in sorted(_SUFFIXES, key=len, reverse=True) if path.name.endswith(s)), None)
    if suffix is None:
        raise ValueError(f"path: expected a name that ends in .nii or .nii.gz, got {path.name!r}")
    return path, suffix


def save_nifti(path, image, grid):
    """Write an image, all at once: a file of that name is replaced only by a whole new one.

    Parameters
    ----------
    path : path
        Ends in ``.nii`` or ``.nii.gz``.
    image : numpy.ndarray
        float32, bool or unsigned 8-bit (z, y, x), or frames first (frame, z, y, x); frames become NIfTI's fourth axis.
        bool is written as 8-bit.
    grid : ImageGrid

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError, TypeError
        A shape that is not the grid's, another dtype, another suffix.
    OSError
        The folder does not exist or cannot be written.
    """
    import nibabel

    path, suffix = _check_path(path)
    check_array(image, "image", dtype=(np.float32, np.bool_, np.uint8), finite=False)
    if image.ndim not in (3, 4) or image.shape[-3:] != tuple(grid.shape):
        raise ValueError(
            f"image: expected shape {tuple(grid.shape)} of the grid, or frames of it, got {tuple(image.shape)}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: expected a folder to write {path.name} into, got none")
    data = image.astype(np.uint8) if image.dtype == bool else image
    volume = nibabel.Nifti1Image(data.T, grid.affine)  # transposed: x first, frames last
    volume.header.set_xyzt_units("mm")
    volume.set_sform(grid.affine, code=1)  # 1: scanner coordinates
    volume.set_qform(grid.affine, code=1)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent)
    os.close(handle)
    try:
        nibabel.save(volume, part)
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return path


def load_nifti(path):
    """Read an image and its grid.

    Any order and direction of the file's axes is turned into (z, y, x) with y to the back of the head; frames come
    first. Sizes and positions, 32-bit in the file, are rounded to 7 digits and to 0.0001 mm.

    Returns
    -------
    image : numpy.ndarray
        float32 (z, y, x) or (frame, z, y, x).
    grid : ImageGrid

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Not a NIfTI image, neither 3-D nor 4-D, or voxel axes that are oblique to the world's.
    """
    import nibabel

    path, _ = _check_path(path)
    existing_file(path, "a NIfTI image")
    try:
        return from_nibabel(nibabel.load(path), str(path))
    except (nibabel.filebasedimages.ImageFileError, EOFError, OSError) as error:
        raise ValueError(f"{path}: expected a NIfTI image, got a file that cannot be read ({error})") from error


def from_nibabel(volume, name="volume"):
    """Turn a nibabel image into an array and its grid, as :func:`load_nifti` does with a file.

    Parameters
    ----------
    volume : nibabel.spatialimages.SpatialImage
    name : str
        How the user knows it; begins the message of an error.

    Returns
    -------
    image : numpy.ndarray
        float32 (z, y, x) or (frame, z, y, x).
    grid : ImageGrid

    Raises
    ------
    ValueError
        Neither 3-D nor 4-D, not real numbers, voxel axes that are oblique to the world's, or data that cannot be read.
    """
    import nibabel

    if len(volume.shape) not in (3, 4):
        raise ValueError(f"{name}: expected a 3-D or 4-D image, got {len(volume.shape)} dimensions")
    if volume.get_data_dtype().kind not in "biuf":
        raise ValueError(f"{name}: expected real numbers, got a NIfTI image of {volume.get_data_dtype()}")
    volume = nibabel.as_closest_canonical(volume)
    try:
        data = np.asarray(volume.dataobj, dtype=np.float32)
    except ValueError as error:
        raise ValueError(f"{name}: expected a NIfTI image, got a file that cannot be read ({error})") from error
    matrix = volume.affine[:3, :3]
    steps = np.diag(matrix)
    if np.abs(matrix - np.diag(steps)).max() > 1e-4 * np.abs(steps).min():
        raise ValueError(f"{name}: expected voxel axes along the world's, got an oblique affine {matrix.tolist()}")
    shape = data.shape[2::-1]
    voxel_size = tuple(float(str(np.float32(s))) for s in steps[::-1])
    x, y, z = (volume.affine[a, 3] + 0.5 * (data.shape[a] - 1) * steps[a] for a in range(3))
    centre = tuple(round(float(c), 4) + 0.0 for c in (z, -y, x))  # + 0.0: no negative zero
    image = data.T[..., ::-1, :]  # (frame,) z, y, x with y turned to the back
    return np.ascontiguousarray(image), ImageGrid(shape, voxel_size, centre)
