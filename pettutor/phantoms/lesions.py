"""Lesions: spheres in mm, placed by chance or by hand, shown in PET, in MR or in both.

The standard four are those of the ``brainweb`` package: diameters 15, 7, 8, 5 mm; hot, cold, hot, hot; blurred by 0,
2, 2.5, 0 mm FWHM. Unlike there, each comes with its mask, and the draw has a seed.
"""

from dataclasses import dataclass, replace

import numpy as np

from pettutor.arrays import random_generator
from pettutor.phantoms import tissues
from pettutor.phantoms.objects import ball_cover

WHERE = ("both", "pet", "mr")
GAP = 2.0  # mm between two lesions, at least


def _is_number(x):
    return isinstance(x, (int, float, np.number)) and not isinstance(x, bool) and bool(np.isfinite(x))


@dataclass(frozen=True)
class Lesion:
    """One spherical lesion.

    Parameters
    ----------
    diameter : float
        mm.
    kind : "hot" or "cold"
        Chooses the values (``pettutor.phantoms.tissues.LESION_VALUES``).
    blur : float
        FWHM in mm of a Gaussian that softens the edge; the mask stays the sphere.
    where : "both", "pet", "mr" or None
        Which images show it; None: as ``with_lesions`` says.
    centre : (float, float, float) or None
        World position, mm (z, y, x); None: placed by chance.
    value : float or None
        Activity inside, instead of the kind's.
    """

    diameter: float
    kind: str = "hot"
    blur: float = 0.0
    where: str | None = None
    centre: tuple | None = None
    value: float | None = None

    def __post_init__(self):
        if not _is_number(self.diameter) or self.diameter <= 0:
            raise ValueError(f"diameter: expected a length > 0 in mm, got {self.diameter!r}")
        if not _is_number(self.blur) or self.blur < 0:
            raise ValueError(f"blur: expected a FWHM >= 0 in mm, got {self.blur!r}")
        if self.kind not in ("hot", "cold"):
            raise ValueError(f"kind: expected 'hot' or 'cold', got {self.kind!r}")
        if self.where is not None:
            check_where(self.where)
        if self.value is not None and (not _is_number(self.value) or self.value < 0):
            raise ValueError(f"value: expected an activity >= 0, got {self.value!r}")
        if self.centre is not None:
            centre = tuple(self.centre) if np.iterable(self.centre) else (self.centre,)
            if len(centre) != 3 or not all(_is_number(c) for c in centre):
                raise ValueError(f"centre: expected three positions (z, y, x) in mm, got {self.centre!r}")
            object.__setattr__(self, "centre", tuple(float(c) for c in centre))

    def shown_in(self, image):
        """Whether the lesion is seen in ``"pet"``, ``"t1"`` or ``"t2"``."""
        return self.where == "both" or (self.where == "pet") == (image == "pet")

    def value_in(self, image, tracer):
        """Value inside the lesion in ``"pet"``, ``"t1"`` or ``"t2"``."""
        if image == "pet" and self.value is not None:
            return self.value
        return tissues.LESION_VALUES[tracer if image == "pet" else image][self.kind]

    def region_name(self, number):
        """Key of the mask: "lesion 1", "lesion 1 (pet only)" or "lesion 1 (mr only)"."""
        return f"lesion {number}" + ("" if self.where == "both" else f" ({self.where} only)")


STANDARD_LESIONS = (
    Lesion(15.0, "hot"),
    Lesion(7.0, "cold", blur=2.0),
    Lesion(8.0, "hot", blur=2.5),
    Lesion(5.0, "hot"),
)


def check_where(where):
    """Return ``where``, else raise ValueError."""
    if where not in WHERE:
        raise ValueError(f"where: expected one of {', '.join(map(repr, WHERE))}, got {where!r}")
    return where


def lesion_mask(grid, lesion):
    """Return the sphere's mask, the slices of the voxels it touches and how much of each it fills (blurred)."""
    radius = 0.5 * lesion.diameter
    sigma = lesion.blur / np.sqrt(8 * np.log(2))
    box, cover = ball_cover(grid, (radius,) * 3, lesion.centre, supersample=5, margin=4 * sigma)
    z, y, x = (c[b] - p for c, b, p in zip(grid.coordinates(), box, lesion.centre, strict=True))
    mask = np.zeros(grid.shape, bool)
    mask[box] = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2 <= radius**2
    if sigma > 0:
        from scipy.ndimage import gaussian_filter

        cover = gaussian_filter(cover, [sigma / d for d in grid.voxel_size], mode="nearest")
    return mask, box, cover.astype(np.float32)


def place_lesions(phantom, lesions, where, seed):
    """Give every lesion its centre and its ``where``; see ``Phantom.with_lesions``."""
    check_where(where)
    rng = random_generator(seed)
    lesions = list(lesions)
    for lesion in lesions:
        if not isinstance(lesion, Lesion):
            raise TypeError(f"lesions: expected a list of pettutor.Lesion, got {lesion!r}")
    lesions = [replace(lesion, where=lesion.where or where) for lesion in lesions]
    fixed = [lesion for lesion in lesions if lesion.centre is not None]
    for lesion in fixed:
        _check_inside(phantom.grid, lesion)
    taken = [*phantom.lesions, *fixed]
    quadrants = rng.permutation(4)  # which lesion goes to which quadrant
    free = 0
    rooms = None
    placed = []
    for lesion in lesions:
        if lesion.centre is None:
            rooms = rooms or _Rooms(phantom)
            centre = rooms.draw(lesion, int(quadrants[free % 4]), taken, rng)
            lesion = replace(lesion, centre=centre)
            taken.append(lesion)
            free += 1
        placed.append(lesion)
    return tuple(placed)


def _check_inside(grid, lesion):
    mask = lesion_mask(grid, lesion)[0]
    if not mask.any():
        raise ValueError(
            f"lesion of {lesion.diameter:g} mm at {lesion.centre}: expected a sphere that holds the centre of at least "
            f"one voxel, got none (grid centre {tuple(grid.centre)}, size {tuple(grid.size)} mm)"
        )


class _Rooms:
    """Where there is room for a sphere on the middle slice."""

    def __init__(self, phantom):
        from scipy.ndimage import distance_transform_edt

        self.grid = phantom.grid
        self.plane = self.grid.shape[0] // 2
        inside = (phantom.labels == tissues.GREY) | (phantom.labels == tissues.WHITE)
        if not inside[self.plane].any():
            raise ValueError(f"lesions: expected brain on the grid's middle slice (plane {self.plane}), got none")
        # crop to the brain, one voxel around: the rest of the grid can be large
        rows = [np.flatnonzero(inside.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        self.box = tuple(
            slice(max(int(r[0]) - 1, 0), min(int(r[-1]) + 2, n)) for r, n in zip(rows, inside.shape, strict=True)
        )
        self.white = (phantom.labels[self.box] == tissues.WHITE).astype(np.float32)
        depth = distance_transform_edt(inside[self.box], sampling=self.grid.voxel_size)
        self.depth = depth[self.plane - self.box[0].start]
        _, y, x = self.grid.coordinates()
        self.y, self.x = y[self.box[1]][:, None], x[self.box[2]][None, :]

    def draw(self, lesion, quadrant, taken, rng):
        from scipy.ndimage import gaussian_filter

        radius = 0.5 * lesion.diameter
        z = self.grid.coordinates()[0][self.plane]
        # blurred to the lesion's size: how white its surroundings are
        sigma = [min(0.5 * radius / d, n) for d, n in zip(self.grid.voxel_size, self.white.shape, strict=True)]
        white = gaussian_filter(self.white, sigma, mode="nearest")[self.plane - self.box[0].start]
        below, right = divmod(quadrant, 2)
        fits = ((self.y >= 0) == bool(below)) & ((self.x >= 0) == bool(right)) & (self.depth >= radius)
        for other in taken:
            oz, oy, ox = other.centre
            far = radius + 0.5 * other.diameter + GAP
            fits &= (z - oz) ** 2 + (self.y - oy) ** 2 + (self.x - ox) ** 2 >= far**2
        if not fits.any():
            name = f"{'posterior' if below else 'anterior'} {'right' if right else 'left'}"
            raise ValueError(
                f"lesions: expected room in the brain for a sphere of {lesion.diameter:g} mm in the {name} quadrant "
                f"of plane {self.plane}, got none; give it a centre of its own, or choose another seed or grid"
            )
        best = np.argwhere(fits & (white >= 0.9 * white[fits].max()))
        i, j = best[rng.integers(len(best))]
        return (float(z), float(self.y[i, 0]), float(self.x[0, j]))
