"""Where volumes lie: one grid for each panel, from what the user gave and what the volumes brought with them."""

import math

import numpy as np

from pettutor.geometry import ImageGrid
from pettutor.view.inputs import is_grid

# plane -> axes across, down and along the picture, and whether the rows go upwards; as static/geometry.mjs has them
PLANES = {"axial": (0, 1, 2, False), "coronal": (1, 0, 2, True), "sagittal": (2, 0, 1, True)}
SINOGRAM_AXES = ("plane", "view", "bin")


def place_volumes(shapes, own, grid, voxel_size):
    """An ImageGrid for each volume, and whether lengths are in mm (else in voxels).

    ``own`` holds the grids that volumes brought with them (or None); they need no other.
    """
    if grid is not None and voxel_size is not None:
        raise ValueError("grid, voxel_size: expected one of the two, got both")
    name = "voxel_size" if grid is None else "grid"
    given = _grid_each(voxel_size if grid is None else grid, len(shapes), name) or [None]
    given = [brought or (given[i] if len(given) > 1 else given[0]) for i, brought in enumerate(own)]
    one_for_all = len({id(g) for g in given}) == 1
    if len(set(shapes)) > 1 and (one_for_all or any(g is None for g in given)):
        raise ValueError(
            f"vol: expected panels of one shape, got {sorted(set(shapes))}; panels of different shapes are linked in "
            "mm and need a list of ImageGrids (grid=[...]) or of voxel sizes (voxel_size=[...]), one each"
        )
    if any(g is None for g in given) and not all(g is None for g in given):
        raise ValueError("grid, voxel_size: expected one for every panel, got None for some")
    return [_fitting(g, shape) for g, shape in zip(given, shapes, strict=True)], given[0] is not None


def _fitting(grid, shape):
    if grid is None:
        grid = (1.0, 1.0, 1.0)
    if not is_grid(grid):
        return ImageGrid(shape, grid)
    if tuple(grid.shape) != shape and shape[0] == 1 and tuple(grid.shape)[1:] == shape[1:]:
        return ImageGrid(shape, grid.voxel_size, grid.centre)  # one slice of a volume on that grid
    if tuple(grid.shape) != shape:
        raise ValueError(f"grid: expected the shape of the volume, {shape}, got {grid!r}")
    return grid


def _grid_each(given, count, name):
    """A list of one or ``count`` ImageGrids or triples."""
    if given is None:
        return None
    if is_grid(given):
        return [given]
    if isinstance(given, (int, float, np.number)):
        return [(float(given),) * 3]
    given = list(given)
    if len(given) == 3 and all(isinstance(g, (int, float, np.number)) for g in given):
        return [tuple(float(g) for g in given)]
    if len(given) != count:
        raise ValueError(f"{name}: expected one for each of {count} panels or one for all, got {len(given)}")
    return given


def nearest_index(grid, axis, position):
    """Index of the voxel at a position (mm) along an axis, as the browser rounds it; may lie outside the grid."""
    return math.floor((position - grid.origin[axis]) / grid.voxel_size[axis] + 0.5)


def nearest_indices(grid, other):
    """For each axis: the indices of ``other``'s voxels at the places of ``grid``'s, -1 where it has none."""
    found = []
    for axis in range(3):
        places = grid.coordinates()[axis]
        index = np.floor((places - other.origin[axis]) / other.voxel_size[axis] + 0.5).astype(int)
        found.append(np.where((index >= 0) & (index < other.shape[axis]), index, -1))
    return found
