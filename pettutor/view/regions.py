"""Circles and lines on the panels, and what they measure: on the arrays themselves, not their codes."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pettutor.view.grids import PLANES, nearest_index


@dataclass(frozen=True)
class Roi:
    """A circular region of interest in one slice.

    Parameters
    ----------
    plane : str
        "axial", "coronal" or "sagittal": the plane that the circle lies in.
    centre : (float, float, float)
        (z, y, x), mm (voxels from the centre where the viewer has no grid). In a panel it lies in the slice nearest to
        it.
    radius : float
        mm. A voxel belongs to it where its centre is no further than this from the circle's.

    Raises
    ------
    ValueError
        Another plane, a centre that is not three finite numbers, a radius that is not positive.
    """

    plane: str
    centre: tuple
    radius: float

    def __post_init__(self):
        if self.plane not in PLANES:
            raise ValueError(f"plane: expected one of {', '.join(map(repr, PLANES))}, got {self.plane!r}")
        object.__setattr__(self, "centre", check_point(self.centre, "centre"))
        radius = float(self.radius)
        if not (math.isfinite(radius) and radius > 0):
            raise ValueError(f"radius: expected a positive length, got {self.radius!r}")
        object.__setattr__(self, "radius", radius)

    def mask_on(self, grid):
        """The voxels of a grid that it holds: bool (z, y, x); none where its slice lies outside."""
        axis, row, column, _ = PLANES[self.plane]
        mask = np.zeros(grid.shape, bool)
        index = nearest_index(grid, axis, self.centre[axis])
        if 0 <= index < grid.shape[axis]:
            places = grid.coordinates()
            down, across = places[row] - self.centre[row], places[column] - self.centre[column]
            np.moveaxis(mask, axis, 0)[index] = down[:, None] ** 2 + across**2 <= self.radius**2
        return mask

    def to_json(self):
        """As the browser has it."""
        return {"plane": self.plane, "centre": list(self.centre), "radius": self.radius}


@dataclass(frozen=True)
class MeasuredRoi(Roi):
    """A region of interest on the panels of a viewer.

    Attributes
    ----------
    masks : dict of bool arrays
        Name of the panel -> (z, y, x), of the panel's shape.
    mean, sd, max : dict of float
        Name of the panel -> value; for a panel of several frames an array (frame,). NaN where the circle holds no
        voxel; ``sd`` has ddof = 1.
    """

    panels: tuple = field(default=(), repr=False, compare=False)

    @property
    def masks(self):
        return {panel.name: self.mask_on(panel.grid) for panel in self.panels}

    @property
    def mean(self):
        return self._measured(lambda voxels: voxels.mean() if voxels.size else math.nan)

    @property
    def sd(self):
        return self._measured(lambda voxels: voxels.std(ddof=1) if voxels.size > 1 else math.nan)

    @property
    def max(self):
        return self._measured(lambda voxels: voxels.max() if voxels.size else math.nan)

    def _measured(self, measure):
        found = {}
        with np.errstate(invalid="ignore"):  # infinities have no mean; that is what is said then
            for name, mask in self.masks.items():
                frames = next(panel for panel in self.panels if panel.name == name).frames
                values = [float(measure(frame[mask].astype(np.float64))) for frame in frames]
                found[name] = np.array(values) if len(values) > 1 else values[0]
        return found


def contrasts(rois):
    """Ratio of the means of the first and the second of two regions in each panel, less 1."""
    if len(rois) < 2:
        raise ValueError(f"rois: expected two, the region and its background, got {len(rois)}")
    region, background = rois[0].mean, rois[1].mean
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: np.divide(region[name], background[name]) - 1 for name in region}


class Profile(NamedTuple):
    """Values along a line: ``distance`` from its start, mm (point,), and ``values`` by the panel's name.

    These are (point,), or (frame, point) of a panel with several frames; interpolated linearly between voxel centres,
    NaN outside the volume.
    """

    distance: np.ndarray
    values: dict


def profile(panels, start, end):
    """The :class:`Profile` of each panel from ``start`` to ``end``, mm (z, y, x), in steps of half a voxel."""
    length = math.dist(start, end)
    count = math.floor(2 * length / min(panels[0].grid.voxel_size[1:])) + 2
    part = np.linspace(0, 1, count)
    points = np.array(start) + part[:, None] * (np.array(end) - np.array(start))
    values = {}
    for panel in panels:
        sampled = [_sampled(frame, panel.grid, points) for frame in panel.frames]
        values[panel.name] = np.stack(sampled) if len(sampled) > 1 else sampled[0]
    return Profile(part * length, values)


def _sampled(image, grid, points):
    """Linear interpolation at points (n, 3), mm."""
    index = (points - grid.origin) / grid.voxel_size
    last = np.array(grid.shape) - 1
    outside = ((index < -0.5) | (index > last + 0.5)).any(axis=1)
    index = index.clip(0, last)
    below = np.minimum(index.astype(int), np.maximum(last - 1, 0))
    part = index - below
    value = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        at = np.minimum(below + corner, last)
        used = weight > 0  # a NaN next to the line is not on it
        value[used] += weight[used] * image[tuple(at[used].T)]
    value[outside] = np.nan
    return value


def check_point(point, name):
    """Three finite numbers (z, y, x) as a tuple of float."""
    try:
        values = tuple(float(v) for v in point)
    except (TypeError, ValueError):
        values = ()
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"{name}: expected three finite numbers (z, y, x), got {point!r}")
    return values
