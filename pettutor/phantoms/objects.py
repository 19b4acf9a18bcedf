"""Teaching objects: simple shapes whose projections and volumes are known in closed form.

Every function returns a float32 image (z, y, x) on the grid: ``value`` times the part of each voxel that the shape
fills. Lengths in mm, positions in world mm (z, y, x). ``supersample`` points along each edge of a voxel estimate that
part; 1 gives hard edges (a voxel belongs to the shape when its centre does).
"""

import numpy as np


def _length(value, name):
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value <= 0:
        raise ValueError(f"{name}: expected a length > 0 in mm, got {value!r}")
    return float(value)


def _value(value, name="value"):
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not np.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return float(value)


def _position(value, name="centre"):
    position = tuple(value) if np.iterable(value) and not isinstance(value, str) else (value,)
    if len(position) != 3:
        raise ValueError(f"{name}: expected three positions (z, y, x) in mm, got {value!r}")
    return tuple(_value(p, name) for p in position)


def _supersample(value):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= 16:
        raise ValueError(f"supersample: expected a whole number from 1 to 16, got {value!r}")
    return int(value)


def _box(grid, half, centre, margin=0.0):
    """Slices of the voxels that a box of half-size ``half`` mm round ``centre`` touches."""
    return tuple(
        slice(
            min(max(int(np.floor((c - h - margin - o) / d + 0.5)), 0), n),
            min(max(int(np.floor((c + h + margin - o) / d + 0.5)) + 1, 0), n),
        )
        for h, c, o, d, n in zip(half, centre, grid.origin, grid.voxel_size, grid.shape, strict=True)
    )


def _offsets(step, supersample):
    return step * ((np.arange(supersample) + 0.5) / supersample - 0.5)


def ball_cover(grid, radii, centre, supersample=4, margin=0.0):
    """Slices of the voxels near an ellipsoid (``margin`` mm more) and the part of each that it fills, float64."""
    box = _box(grid, radii, centre, margin)
    z, y, x = (
        ((c[s] - p) / r)[:, None] + _offsets(d, supersample)[None, :] / r
        for c, s, p, r, d in zip(grid.coordinates(), box, centre, radii, grid.voxel_size, strict=True)
    )
    cover = np.zeros(tuple(s.stop - s.start for s in box))
    for i, j, k in np.ndindex(supersample, supersample, supersample):
        cover += z[:, i, None, None] ** 2 + y[None, :, j, None] ** 2 + x[None, None, :, k] ** 2 <= 1.0
    return box, cover / supersample**3


def ellipsoid(grid, radii, centre=(0.0, 0.0, 0.0), value=1.0, supersample=4):
    """An ellipsoid with half-axes ``radii`` (z, y, x) along the world axes. Volume 4/3·π·product of the radii.

    Raises
    ------
    ValueError
        A radius, centre or value that is not a number, or out of range.
    """
    radii = tuple(radii) if np.iterable(radii) else (radii,)
    if len(radii) != 3:
        raise ValueError(f"radii: expected three lengths (z, y, x) in mm, got {radii!r}")
    radii = tuple(_length(r, "radii") for r in radii)
    box, cover = ball_cover(grid, radii, _position(centre), _supersample(supersample))
    image = np.zeros(grid.shape, np.float32)
    image[box] = _value(value) * cover
    return image


def sphere(grid, radius, centre=(0.0, 0.0, 0.0), value=1.0, supersample=4):
    """A ball. Volume 4/3·π·radius³."""
    return ellipsoid(grid, (_length(radius, "radius"),) * 3, centre, value, supersample)


def cylinder(grid, radius, height=None, centre=(0.0, 0.0, 0.0), value=1.0, supersample=4):
    """A circular cylinder along the scanner's axis (z). Volume π·radius²·height.

    Parameters
    ----------
    radius : float
        mm.
    height : float or None
        mm; None: through the whole grid. The ends are averaged exactly.
    centre : (float, float, float)
        World mm (z, y, x).
    value : float
    supersample : int
        Points along each in-plane edge of a voxel.
    """
    radius, centre, s = _length(radius, "radius"), _position(centre), _supersample(supersample)
    disc, along = _disc(grid, radius, centre, s), _along(grid, height, centre)
    return (_value(value) * along[:, None, None] * disc[None]).astype(np.float32)


def _disc(grid, radius, centre, supersample):
    """Part of each (y, x) cell filled by a disc."""
    flat = _FlatGrid(grid)
    box = _box(flat, (radius, radius), centre[1:])
    y, x = (
        (c[s] - p)[:, None] + _offsets(d, supersample)[None, :]
        for c, s, p, d in zip(flat.coordinates, box, centre[1:], flat.voxel_size, strict=True)
    )
    part = np.zeros(tuple(s.stop - s.start for s in box))
    for i, j in np.ndindex(supersample, supersample):
        part += y[:, i, None] ** 2 + x[None, :, j] ** 2 <= radius**2
    cover = np.zeros(flat.shape)
    cover[box] = part / supersample**2
    return cover


class _FlatGrid:
    """The (y, x) half of a grid."""

    def __init__(self, grid):
        self.shape, self.voxel_size, self.origin = grid.shape[1:], grid.voxel_size[1:], grid.origin[1:]
        self.coordinates = grid.coordinates()[1:]


def _along(grid, height, centre):
    """Part of each plane's thickness between the ends of a cylinder."""
    z, d = grid.coordinates()[0], grid.voxel_size[0]
    if height is None:
        return np.ones(z.size)
    half = 0.5 * _length(height, "height")
    overlap = np.minimum(z + 0.5 * d, centre[0] + half) - np.maximum(z - 0.5 * d, centre[0] - half)
    return np.clip(overlap / d, 0.0, 1.0)


def spheres(grid, diameters, ring_radius, values=1.0, centre=(0.0, 0.0, 0.0), supersample=4):
    """Balls at equal angles on a circle in the plane z = centre[0], the first at the right, the second below it.

    Parameters
    ----------
    diameters : sequence of float
        mm.
    ring_radius : float
        mm from ``centre`` to the centres of the balls.
    values : float or sequence of float
        One for all or one each.
    """
    diameters = [_length(d, "diameters") for d in diameters]
    values = [values] * len(diameters) if not np.iterable(values) else list(values)
    if len(values) != len(diameters):
        raise ValueError(f"values: expected one or {len(diameters)} values, got {len(values)}")
    image = np.zeros(grid.shape, np.float32)
    for position, diameter, value in zip(
        ring_positions(len(diameters), ring_radius, centre), diameters, values, strict=True
    ):
        image += sphere(grid, 0.5 * diameter, position, value, supersample)
    return image


def ring_positions(count, ring_radius, centre=(0.0, 0.0, 0.0)):
    """World positions (z, y, x), mm, of ``count`` points at equal angles on a circle, the first at the right."""
    z, y, x = _position(centre)
    ring_radius = _length(ring_radius, "ring_radius")
    angles = 2 * np.pi * np.arange(count) / count
    return [(z, y + ring_radius * float(np.sin(a)), x + ring_radius * float(np.cos(a))) for a in angles]


NEMA_DIAMETERS = (10.0, 13.0, 17.0, 22.0, 28.0, 37.0)
NEMA_RING_RADIUS = 57.2


def image_quality(grid, contrast=4.0, background=1.0, scale=1.0, centre=(0.0, 0.0, 0.0), supersample=4):
    """A phantom like that of NEMA NU 2: six spheres and a cold lung insert in a warm body.

    The spheres' inner diameters are 10 to 37 mm on a circle of 114.4 mm, as in the standard; the 28 and 37 mm spheres
    are cold, the others hold ``contrast`` times the background. The body is simplified to an elliptic cylinder of
    300 × 230 mm and 180 mm length, the insert to a cold cylinder of 50 mm through its middle. ``scale`` shrinks
    everything for small scanners. Masks of the spheres follow from :func:`ring_positions`.
    """
    contrast, background, scale = (
        _value(contrast, "contrast"),
        _value(background, "background"),
        _length(scale, "scale"),
    )
    z, y, x = _position(centre)
    supersample = _supersample(supersample)
    half_y, half_x = 115.0 * scale, 150.0 * scale
    # an ellipse is a disc on a grid whose y is stretched
    stretched = _Stretched(grid, y, half_x / half_y)
    body = _disc(stretched, half_x, (z, y, x), supersample)
    lung = _disc(grid, 25.0 * scale, (z, y, x), supersample)
    along = _along(grid, 180.0 * scale, (z, y, x))
    image = (background * along[:, None, None] * np.clip(body - lung, 0, None)[None]).astype(np.float32)
    positions = ring_positions(6, NEMA_RING_RADIUS * scale, (z, y, x))
    for position, diameter in zip(positions, NEMA_DIAMETERS, strict=True):
        value = 0.0 if diameter > 25 else contrast * background
        box, cover = ball_cover(grid, (0.5 * diameter * scale,) * 3, position, supersample)
        image[box] += (cover * (value - image[box])).astype(np.float32)
    return image


class _Stretched:
    """A grid with y stretched about a position, as far as :func:`_disc` looks at it."""

    def __init__(self, grid, about, factor):
        z, y, x = grid.coordinates()
        self._coordinates = (z, about + (y - about) * factor, x)
        dz, dy, dx = grid.voxel_size
        oz, oy, ox = grid.origin
        self.shape, self.voxel_size = grid.shape, (dz, dy * factor, dx)
        self.origin = (oz, about + (oy - about) * factor, ox)

    def coordinates(self):
        return self._coordinates


def point_sources(grid, positions, values=1.0):
    """Point sources: each one's value is shared by the eight nearest voxels so that sum and centroid are exact.

    Parameters
    ----------
    positions : sequence of (float, float, float)
        World mm (z, y, x), inside the volume spanned by the outermost voxel centres.
    values : float or sequence of float
        The sum over the image of each source.

    Raises
    ------
    ValueError
        A source outside the grid.
    """
    positions = [_position(p, "positions") for p in positions]
    values = [values] * len(positions) if not np.iterable(values) else list(values)
    if len(values) != len(positions):
        raise ValueError(f"values: expected one or {len(positions)} values, got {len(values)}")
    image = np.zeros(grid.shape, np.float32)
    last = np.array(grid.shape) - 1
    for position, value in zip(positions, values, strict=True):
        index = (np.array(position) - np.array(grid.origin)) / np.array(grid.voxel_size)
        if (index < -1e-9).any() or (index > last + 1e-9).any():
            raise ValueError(f"positions: expected points inside the grid, got {position} mm (grid {grid!r})")
        index = np.clip(index, 0, last)
        first = np.minimum(np.floor(index).astype(int), np.maximum(last - 1, 0))
        for corner in np.ndindex(2, 2, 2):
            weight = float(np.prod(np.where(corner, index - first, 1 - (index - first))))
            if weight > 0:
                image[tuple(first + corner)] += _value(value, "values") * weight
    return image


def contrast_resolution(
    grid,
    diameters=(4.0, 6.0, 9.0, 13.0, 18.0),
    contrasts=(0.0, 2.0, 4.0, 8.0),
    pitch=26.0,
    background=1.0,
    radius=100.0,
    height=None,
    centre=(0.0, 0.0, 0.0),
    supersample=4,
):
    """A table of rods along z in a warm cylinder: diameter grows to the right, contrast grows downwards.

    Parameters
    ----------
    diameters : sequence of float
        Of the rods in each column, mm; below ``pitch``.
    contrasts : sequence of float
        Of each row: value inside / background (0: cold).
    pitch : float
        mm between neighbouring rods, both ways.
    background, radius, height
        Of the cylinder; ``height=None``: through the whole grid.

    Raises
    ------
    ValueError
        Rods that touch each other or stick out of the cylinder.
    """
    diameters = [_length(d, "diameters") for d in diameters]
    contrasts = [_value(c, "contrasts") for c in contrasts]
    pitch, radius, background = _length(pitch, "pitch"), _length(radius, "radius"), _value(background, "background")
    z, y, x = _position(centre)
    supersample = _supersample(supersample)
    if not diameters or not contrasts or max(diameters) >= pitch:
        raise ValueError(f"diameters: expected lengths below the pitch of {pitch:g} mm, got {diameters}")
    rows = pitch * (np.arange(len(contrasts)) - 0.5 * (len(contrasts) - 1))
    columns = pitch * (np.arange(len(diameters)) - 0.5 * (len(diameters) - 1))
    reach = max(np.hypot(abs(rows).max(), abs(c)) + 0.5 * d for c, d in zip(columns, diameters, strict=True))
    if reach > radius:
        raise ValueError(f"radius: expected at least {reach:.1f} mm to hold every rod, got {radius:g} mm")
    plane = background * _disc(grid, radius, (z, y, x), supersample)
    for row, contrast in zip(rows, contrasts, strict=True):
        for column, diameter in zip(columns, diameters, strict=True):
            rod = _disc(grid, 0.5 * diameter, (z, y + row, x + column), supersample)
            plane += rod * background * (contrast - 1.0)
    return (_along(grid, height, (z, y, x))[:, None, None] * plane[None]).astype(np.float32)
