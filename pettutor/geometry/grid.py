"""The image grid: shape in voxels, voxel size and centre in mm."""

from dataclasses import dataclass, replace

import numpy as np

from pettutor.geometry.checks import check_count, check_length, check_position, check_triple


@dataclass(frozen=True)
class ImageGrid:
    """A regular grid of voxels in the scanner's world frame.

    Parameters
    ----------
    shape : (int, int, int)
        Voxels along (z, y, x).
    voxel_size : (float, float, float)
        mm along (z, y, x).
    centre : (float, float, float)
        World position of the middle of the grid, mm (z, y, x).

    World directions: x runs from left to right of an axial picture, y from anterior to posterior (down the rows of
    the picture, so the nose is up), z from inferior to superior.

    Raises
    ------
    ValueError
        A shape that is not three whole numbers >= 1, a voxel size that is not positive, a centre that is not finite.

    Examples
    --------
    >>> grid = ImageGrid((31, 128, 128), (2.0, 2.0, 2.0))
    >>> grid.origin
    (-30.0, -127.0, -127.0)
    """

    shape: tuple
    voxel_size: tuple
    centre: tuple = (0.0, 0.0, 0.0)

    def __post_init__(self):
        object.__setattr__(self, "shape", check_triple(self.shape, "shape", check_count, "voxel counts"))
        object.__setattr__(
            self, "voxel_size", check_triple(self.voxel_size, "voxel_size", check_length, "lengths in mm")
        )
        object.__setattr__(self, "centre", check_triple(self.centre, "centre", check_position, "positions in mm"))

    @property
    def size(self):
        """Edge lengths of the whole grid, mm (z, y, x)."""
        return tuple(n * d for n, d in zip(self.shape, self.voxel_size, strict=True))

    @property
    def origin(self):
        """World position of the centre of voxel [0, 0, 0], mm (z, y, x)."""
        return tuple(c - 0.5 * (n - 1) * d for c, n, d in zip(self.centre, self.shape, self.voxel_size, strict=True))

    @property
    def voxel_volume(self):
        """Volume of one voxel, mm³."""
        return float(np.prod(self.voxel_size))

    @property
    def affine(self):
        """4 × 4 matrix from voxel indices (k, j, i) along (x, y, z) to NIfTI world mm (right, anterior, superior)."""
        (oz, oy, ox), (dz, dy, dx) = self.origin, self.voxel_size
        # our y runs to the back of the head, NIfTI's to the front
        return np.array([[dx, 0, 0, ox], [0, -dy, 0, -oy], [0, 0, dz, oz], [0, 0, 0, 1]], dtype=float)

    @property
    def extent(self):
        """Outer edges of an axial picture in mm, as ``imshow(extent=...)`` takes them: left, right, bottom, top."""
        (_, y, x), (_, dy, dx), (_, ny, nx) = self.origin, self.voxel_size, self.shape
        return (x - dx / 2, x + (nx - 0.5) * dx, y + (ny - 0.5) * dy, y - dy / 2)

    def coordinates(self):
        """Voxel centres along each axis: three 1-D float64 arrays (z, y, x), mm."""
        return tuple(o + d * np.arange(n) for o, d, n in zip(self.origin, self.voxel_size, self.shape, strict=True))

    def index_of(self, position):
        """Fractional voxel index (z, y, x) of a world position in mm."""
        return tuple(
            (p - o) / d
            for p, o, d in zip(
                check_triple(position, "position", check_position, "positions in mm"),
                self.origin,
                self.voxel_size,
                strict=True,
            )
        )

    def moved(self, centre):
        """The same grid at another centre (mm, z, y, x)."""
        return replace(self, centre=centre)

    def cylinder_mask(self, radius):
        """Voxels whose centre lies within ``radius`` mm of the scanner's axis: bool (z, y, x), read-only."""
        radius = check_length(radius, "radius")
        _, y, x = self.coordinates()
        return np.broadcast_to(y[:, None] ** 2 + x[None, :] ** 2 <= radius**2, self.shape)
