"""Where a stored system matrix lies: the memory that it may take, and its file."""

import json
import math
import os
import tempfile
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pettutor.files import existing_file
from pettutor.geometry import ImageGrid, Scanner, TimeOfFlight
from pettutor.memory import check_memory
from pettutor.projector.footprints import MODELS

FORMAT, VERSION = "pettutor stored system matrix", 1
ARRAYS = ("weights", "columns", "pointers")
LARGEST = np.iinfo(np.int32).max  # what a 32-bit index can say


def index_dtype(largest):
    """The smaller of int32 and int64 that holds ``largest``."""
    return np.dtype(np.int32 if largest <= LARGEST else np.int64)


def _check_path(path):
    path = Path(path).expanduser()
    if path.suffix != ".npz":
        raise ValueError(f"path: expected a name that ends in .npz, got {path.name!r}")
    return path


def write_archive(path, operator, arrays, compressed):
    """Write (weights, columns, pointers) and what is needed to make ``operator`` again; returns the path."""
    path = _check_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: expected a folder to write {path.name} into, got none")
    about = {
        "format": FORMAT,
        "version": VERSION,
        "scanner": asdict(operator.scanner),
        "grid": asdict(operator.grid),
        "model": operator.model,
        "rays": operator.rays,
        "tof": asdict(operator.tof) if operator.tof else None,
        "views": [operator.view_selection.start, operator.view_selection.step],
    }
    text = json.dumps(about, default=lambda number: number.item())  # NumPy's numbers
    contents = dict(zip(ARRAYS, arrays, strict=True), about=np.array(text))
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **contents)
        os.chmod(part, 0o644)  # a temporary file is private, this one need not be
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return path


def read_archive(path, memory_limit):
    """(weights, columns, pointers) and the geometry (a dict) in a file that `write_archive` wrote, checked."""
    path = _check_path(path)
    existing_file(path, "a stored system matrix")
    try:
        with zipfile.ZipFile(path) as file:
            needed = sum(info.file_size for info in file.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise _no_archive(path, error) from error
    check_memory(needed, memory_limit, f"{path}: the stored system matrix")
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if (about.pop("format"), about.pop("version")) != (FORMAT, VERSION):
                raise ValueError("it is of another format or version")
            geometry = _geometry(**about)
            arrays = [file[name] for name in ARRAYS]
        _check_arrays(*arrays, math.prod(matrix_shape(**geometry)), math.prod(geometry["grid"].shape))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, LookupError, TypeError, ValueError) as error:
        raise _no_archive(path, error) from error
    return arrays, geometry


def _no_archive(path, error):
    return ValueError(
        f"{path}: expected a stored system matrix (version {VERSION}), got another file or a damaged one ({error})"
    )


def _geometry(scanner, grid, model, rays, tof, views):
    if model not in MODELS:
        raise ValueError(f"unknown model {model!r}")
    scanner = Scanner(**scanner)
    start, step = views
    if not 0 <= start < min(step, scanner.views):
        raise ValueError(f"views {start}::{step} of {scanner.views}")
    return {
        "scanner": scanner,
        "grid": ImageGrid(**grid),
        "model": model,
        "rays": tuple(rays),
        "tof": TimeOfFlight(**tof) if tof else None,
        "view_selection": slice(start, scanner.views, step),
    }


def matrix_shape(scanner, tof, view_selection, **_):
    """Shape of the sinogram of some views: (plane, view, bin[, tof])."""
    planes, views, bins = scanner.sinogram_shape
    return (planes, len(range(*view_selection.indices(views))), bins, *((tof.bins,) if tof else ()))


def _check_arrays(weights, columns, pointers, rows, voxels):
    """Raise ValueError unless they can be such a matrix: the products do not look where they reach."""
    kinds = (weights.dtype, columns.dtype, pointers.dtype)
    if kinds[0] != np.float32 or not all(kind in (np.int32, np.int64) for kind in kinds[1:]):
        raise ValueError(f"weights, columns and rows are of {', '.join(map(str, kinds))}")
    if weights.ndim != 1 or columns.shape != weights.shape or pointers.shape != (rows + 1,):
        raise ValueError(f"weights {weights.shape}, columns {columns.shape} and rows {pointers.shape} do not fit")
    if pointers[0] != 0 or pointers[-1] != weights.size or (np.diff(pointers) < 0).any():
        raise ValueError(f"the rows do not share out {weights.size} weights")
    if weights.size and not 0 <= columns.min() <= columns.max() < voxels:
        raise ValueError(f"columns outside an image of {voxels} voxels")
    if not np.isfinite(weights.sum()):  # then every one of them is
        raise ValueError("weights that are not finite")
