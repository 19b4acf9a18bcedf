"""From a label volume to tissue fractions on any grid, exactly: the volume of every overlap of two boxes is counted.

Both lattices are axis-aligned, so the overlap of a label voxel with a grid voxel is a product of three 1-D overlaps.
Cutting each axis at the edges of *both* lattices gives segments that belong to one label voxel and one grid voxel
each; a weighted count of labels over the segments is the exact tissue fraction. Totals are conserved for any grid, and
one plane at a time is in memory.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AxisSegments:
    """Overlaps of two lattices along one axis."""

    source: np.ndarray  # int: index of the label voxel
    target: np.ndarray  # int: index of the grid voxel
    weight: np.ndarray  # float: length of the segment / length of the grid voxel

    @property
    def box(self):
        """The slice of grid voxels that are touched."""
        return slice(int(self.target[0]), int(self.target[-1]) + 1) if self.target.size else slice(0, 0)


def axis_segments(source_start, source_step, source_count, target_start, target_step, target_count):
    """Cut one axis at the edges of two lattices; ``start`` is the first *edge* (not centre), mm."""
    source_edges = source_start + source_step * np.arange(source_count + 1)
    target_edges = target_start + target_step * np.arange(target_count + 1)
    low, high = max(source_edges[0], target_edges[0]), min(source_edges[-1], target_edges[-1])
    if high <= low:
        nothing = np.zeros(0, int)
        return AxisSegments(nothing, nothing, np.zeros(0))
    edges = np.unique(np.clip(np.concatenate([source_edges, target_edges]), low, high))
    middle, length = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    real = length > 1e-9 * min(source_step, target_step)  # edges that coincide but for rounding
    middle, length = middle[real], length[real]
    return AxisSegments(
        np.clip(((middle - source_start) // source_step).astype(int), 0, source_count - 1),
        np.clip(((middle - target_start) // target_step).astype(int), 0, target_count - 1),
        length / target_step,
    )


def segments_to_grid(shape, voxel_size, origin, grid):
    """Segments along (z, y, x) between a volume (``origin``: centre of its first voxel, mm) and an image grid."""
    return tuple(
        axis_segments(o - 0.5 * d, d, n, go - 0.5 * gd, gd, gn)
        for n, d, o, gn, gd, go in zip(shape, voxel_size, origin, grid.shape, grid.voxel_size, grid.origin, strict=True)
    )


def fraction_planes(labels, axes, label_count, scalar=None):
    """Yield, for each touched grid plane, the fraction of every label in each voxel of the touched box.

    Parameters
    ----------
    labels : numpy.ndarray
        uint8 (z, y, x), values below ``label_count``.
    axes : three AxisSegments
    label_count : int
    scalar : numpy.ndarray, optional
        A second volume of the labels' shape whose mean over each grid voxel is wanted too (0 outside the volume).

    Yields
    ------
    plane : int
        Index of the grid plane.
    fractions : numpy.ndarray
        float32 (label_count, y, x) over ``axes[1].box`` and ``axes[2].box``. Label 0 takes what the volume does not
        cover, so the fractions add up to 1.
    mean : numpy.ndarray or None
        float32 (y, x), mean of ``scalar``.
    """
    az, ay, ax = axes
    if not (az.target.size and ay.target.size and ax.target.size):
        return
    ny, nx = (a.box.stop - a.box.start for a in (ay, ax))
    cell = ((ay.target - ay.box.start)[:, None] * nx + (ax.target - ax.box.start)[None, :]).ravel()
    weight = (ay.weight[:, None] * ax.weight[None, :]).ravel()
    rows, columns = ay.source[:, None], ax.source[None, :]
    for plane in range(az.box.start, az.box.stop):
        counts = np.zeros(label_count * ny * nx)
        mean = None if scalar is None else np.zeros(ny * nx)
        for k in np.flatnonzero(az.target == plane):
            slab = labels[az.source[k]][rows, columns].ravel()
            counts += az.weight[k] * np.bincount(slab * np.intp(ny * nx) + cell, weight, label_count * ny * nx)
            if mean is not None:
                values = scalar[az.source[k]][rows, columns].ravel()
                mean += az.weight[k] * np.bincount(cell, weight * values, ny * nx)
        fractions = counts.reshape(label_count, ny, nx)
        fractions[0] = 1.0 - fractions[1:].sum(axis=0)
        yield (
            plane,
            fractions.astype(np.float32),
            None if mean is None else mean.reshape(ny, nx).astype(np.float32),
        )
