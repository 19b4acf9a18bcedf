"""Cylindrical scanners made of flat blocks: crystals, sinogram bins, planes and segments."""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pettutor.arrays import check_number
from pettutor.geometry.checks import check_count, check_length, check_triple
from pettutor.geometry.grid import ImageGrid
from pettutor.geometry.presets import PRESETS


class Segment(NamedTuple):
    """Planes of one mean ring difference: inside a segment all planes are equal up to an axial shift.

    number : 0, -1, +1, -2 … ; its sign is that of (ring of the second crystal - ring of the first).
    planes : a slice of the sinogram's first axis.
    axial_difference : z of the second end point minus z of the first, mm.
    first_z : axial position of the LOR's middle in the segment's first plane, mm.
    spacing : axial distance between neighbouring planes, mm.
    """

    number: int
    planes: slice
    axial_difference: float
    first_z: float
    spacing: float

    @property
    def size(self):
        """Number of planes."""
        return self.planes.stop - self.planes.start


@dataclass(frozen=True, repr=False)
class Scanner:
    """A PET scanner: rings of flat detector blocks, and the sinogram it fills.

    Parameters
    ----------
    name : str
    rings : int
    ring_pitch : float
        Axial distance between rings, mm.
    blocks : int
        Flat blocks round the ring; the ring is a regular polygon of this many sides.
    crystals_per_block : int
        Live crystals across a block.
    gaps_per_block : int
        Empty crystal positions after each block; they count in the sinogram and never see an event.
    crystal_pitch : float
        Transaxial distance between crystals of a block, mm; also the width of a crystal's face.
    inner_radius : float
        Distance from the axis to the block faces, mm.
    depth_of_interaction : float
        Mean depth in the crystal at which a photon is detected, mm.
    first_block_angle : float
        Direction of the middle of block 0, radians; pi/2 is the top of the picture, blocks follow in decreasing angle.
    bins : int
        Bins of a sinogram row (even).
    span : int
        Odd number of ring differences joined in a segment (1 = every ring pair has a plane of its own).
    max_ring_difference : int
        Largest ring difference recorded.
    image_shape, image_voxel_size
        The grid that ``image_grid()`` returns by default: voxels and mm (z, y, x).

    Raises
    ------
    ValueError
        For parameters out of range, and combinations that do not fit, with the values that would.

    Notes
    -----
    Crystal position ``c`` lies at ``x = r cos φ, y = -r sin φ`` (y points down the rows of a picture). Bin ``w`` of
    view ``v`` joins positions ``c0 = v + (n - 2 + bins/2 - w)/2`` and ``c1 = v + (2n - 2 - bins/2 + w)/2``, floored and
    modulo the number of positions ``n``: the interleaved sinogram of the Siemens Biograph mMR.

    A plane of a segment with span > 1 sums several ring pairs; its LOR joins their mean axial position with the
    segment's mean ring difference, as STIR does. Segments come in the order 0, -1, +1, -2, +2 …; a positive segment has
    the second crystal (c1) at larger z.
    """

    name: str
    rings: int
    ring_pitch: float
    blocks: int
    crystals_per_block: int
    gaps_per_block: int
    crystal_pitch: float
    inner_radius: float
    depth_of_interaction: float
    first_block_angle: float
    bins: int
    span: int
    max_ring_difference: int
    image_shape: tuple
    image_voxel_size: tuple

    def __post_init__(self):
        for name in ("rings", "crystals_per_block", "bins", "span"):
            check_count(getattr(self, name), name)
        check_count(self.blocks, "blocks", 3)
        check_count(self.gaps_per_block, "gaps_per_block", 0)
        check_count(self.max_ring_difference, "max_ring_difference", 0)
        for name in ("ring_pitch", "crystal_pitch", "inner_radius"):
            check_length(getattr(self, name), name)
        check_number(self.depth_of_interaction, "depth_of_interaction: expected a length >= 0 mm")
        check_number(self.first_block_angle, "first_block_angle: expected finite radians", least=-math.inf)
        object.__setattr__(self, "image_shape", check_triple(self.image_shape, "image_shape", check_count, "counts"))
        object.__setattr__(
            self, "image_voxel_size", check_triple(self.image_voxel_size, "image_voxel_size", check_length, "mm")
        )
        if self.crystal_positions % 2:
            raise ValueError(
                f"blocks x positions: expected an even number of positions round the ring, got {self.crystal_positions}"
            )
        if self.bins % 2 or self.bins >= self.crystal_positions:
            raise ValueError(
                f"bins: expected an even number below the {self.crystal_positions} crystal positions, got {self.bins}"
            )
        if self.span % 2 == 0:
            raise ValueError(f"span: expected an odd number, got {self.span}")
        if self.max_ring_difference >= self.rings:
            raise ValueError(
                f"max_ring_difference: expected less than the {self.rings} rings, got {self.max_ring_difference}"
            )
        if (2 * self.max_ring_difference + 1) % self.span:
            half = (self.span - 1) // 2
            fits = [d for d in range(half, self.rings, self.span)]
            raise ValueError(
                f"max_ring_difference: span {self.span} with {self.rings} rings allows {fits}, "
                f"got {self.max_ring_difference}"
            )
        side = 2 * self.effective_radius * math.tan(math.pi / self.blocks)
        if self.crystals_per_block * self.crystal_pitch > side * (1 + 1e-6):
            raise ValueError(
                f"blocks: {self.blocks} blocks of {self.crystals_per_block} x {self.crystal_pitch} mm overlap; "
                f"at this radius a block has room for {side:.2f} mm"
            )

    @classmethod
    def preset(cls, name, **changes):
        """A ready scanner: ``"slab"`` (one ring, 2-D), ``"mini"`` (3-D, laptop) or ``"mmr"`` (Siemens Biograph mMR).

        ``changes`` replaces parameters, e.g. ``Scanner.preset("mmr", span=1)``.

        Raises
        ------
        ValueError
            An unknown preset, or changes that do not fit.
        TypeError
            An unknown parameter.
        """
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(map(repr, PRESETS))}, got {name!r}")
        known = {f.name for f in fields(cls)}
        unknown = set(changes) - known
        if unknown:
            raise TypeError(
                f"preset: unknown parameter {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}"
            )
        return replace(cls(**PRESETS[name]), **changes)

    # --- the ring -----------------------------------------------------------------------------------------------

    @property
    def effective_radius(self):
        """Distance from the axis to the plane of detection in a block, mm."""
        return self.inner_radius + self.depth_of_interaction

    @property
    def positions_per_block(self):
        """Live crystals and empty positions of a block."""
        return self.crystals_per_block + self.gaps_per_block

    @property
    def crystal_positions(self):
        """Positions round the ring, empty ones included."""
        return self.blocks * self.positions_per_block

    @cached_property
    def live_crystals(self):
        """bool (crystal_positions,): False at the empty positions."""
        return np.arange(self.crystal_positions) % self.positions_per_block < self.crystals_per_block

    @cached_property
    def crystal_centres(self):
        """float64 (crystal_positions, 2): (y, x) in mm; empty positions lie on the straight way to the next block."""
        block, place = np.divmod(np.arange(self.crystal_positions), self.positions_per_block)
        face = self._on_block(block, place)
        last = self._on_block(block, self.crystals_per_block - 1)
        following = self._on_block(block + 1, np.zeros_like(place))
        part = (place - self.crystals_per_block + 1) / (self.gaps_per_block + 1)
        between = last + part[:, None] * (following - last)
        return np.where(self.live_crystals[:, None], face, between)

    @cached_property
    def crystal_tangents(self):
        """float64 (crystal_positions, 2): unit vectors (y, x) along the crystals' faces, towards the next crystal."""
        block = np.arange(self.crystal_positions) // self.positions_per_block
        angle = self.first_block_angle - 2 * np.pi * block / self.blocks
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def _on_block(self, block, place):
        """(y, x) of the ``place``-th crystal of a flat block."""
        angle = self.first_block_angle - 2 * np.pi * block / self.blocks
        along = (place - 0.5 * (self.crystals_per_block - 1)) * self.crystal_pitch
        # the tangent points towards decreasing angle, as the crystals are counted
        x = self.effective_radius * np.cos(angle) + along * np.sin(angle)
        up = self.effective_radius * np.sin(angle) - along * np.cos(angle)
        return np.stack([-up, x], axis=-1)

    # --- the sinogram ---------------------------------------------------------------------------------------------

    @property
    def views(self):
        """Views (angles) of a sinogram over 180 degrees."""
        return self.crystal_positions // 2

    @property
    def sinogram_shape(self):
        """(plane, view, bin)."""
        return (self.segments[-1].planes.stop, self.views, self.bins)

    @cached_property
    def bin_crystals(self):
        """int (view, bin, 2): the crystal positions (c0, c1) that each bin joins."""
        n, half = self.crystal_positions, self.bins // 2
        view, w = np.arange(self.views)[:, None], np.arange(self.bins)[None, :]
        c0 = view + (n - 2 + half - w) // 2
        c1 = view + (2 * n - 2 - half + w) // 2
        return np.stack([c0 % n, c1 % n], axis=-1)

    @cached_property
    def live_bins(self):
        """bool (view, bin): False where a bin joins an empty crystal position."""
        return self.live_crystals[self.bin_crystals].all(axis=-1)

    @cached_property
    def segments(self):
        """The segments in the order 0, -1, +1, -2, +2 …, a tuple of `Segment`."""
        half = (self.span - 1) // 2
        highest = (self.max_ring_difference - half) // self.span
        segments, start = [], 0
        for number in [0] + [sign * s for s in range(1, highest + 1) for sign in (-1, 1)]:
            lowest = max(0, abs(number) * self.span - half)
            step = 2 if self.span == 1 else 1  # in units of half the ring pitch
            size = (2 * (self.rings - 1) - 2 * lowest) // step + 1
            segments.append(
                Segment(
                    number=number,
                    planes=slice(start, start + size),
                    axial_difference=number * self.span * self.ring_pitch,
                    first_z=0.5 * (lowest - (self.rings - 1)) * self.ring_pitch,
                    spacing=0.5 * step * self.ring_pitch,
                )
            )
            start += size
        return tuple(segments)

    @cached_property
    def ring_pairs_per_plane(self):
        """int (plane,): how many ring pairs are summed in each plane (all 1 with span 1)."""
        counts = np.zeros(self.sinogram_shape[0], dtype=int)
        planes = self.plane_of_ring_pair
        np.add.at(counts, planes[planes >= 0], 1)
        return counts

    @cached_property
    def plane_of_ring_pair(self):
        """int (ring of c0, ring of c1): the plane that a ring pair is counted in, -1 where it is not recorded."""
        ring0, ring1 = np.indices((self.rings, self.rings))
        difference = ring1 - ring0
        number = np.rint(difference / self.span).astype(int)
        table = np.full((self.rings, self.rings), -1)
        step = 2 if self.span == 1 else 1
        half = (self.span - 1) // 2
        for segment in self.segments:
            lowest = max(0, abs(segment.number) * self.span - half)
            here = (number == segment.number) & (np.abs(difference) <= self.max_ring_difference)
            table[here] = segment.planes.start + (ring0 + ring1 - lowest)[here] // step
        return table

    @cached_property
    def plane_positions(self):
        """float64 (plane, 2): z of the LOR's middle, and z of its second end minus z of its first, mm."""
        rows = np.empty((self.sinogram_shape[0], 2))
        for s in self.segments:
            rows[s.planes, 0] = s.first_z + s.spacing * np.arange(s.size)
            rows[s.planes, 1] = s.axial_difference
        return rows

    def lor_endpoints(self, planes=slice(None), views=slice(None), bins=slice(None)):
        """End points of the lines of response: two float64 arrays (plane, view, bin, 3), mm, (z, y, x).

        The arguments pick a part (slices): all of an mMR would be 1.7 GB an array.
        """
        for name, value in (("planes", planes), ("views", views), ("bins", bins)):
            if not isinstance(value, slice):
                raise TypeError(f"{name}: expected a slice, got {value!r}")
        middle, difference = self.plane_positions[planes].T
        ends = []
        for end, sign in ((0, -0.5), (1, 0.5)):
            transaxial = self.crystal_centres[self.bin_crystals[views, bins, end]]
            z = middle + sign * difference
            points = np.empty((len(z), *transaxial.shape[:2], 3))
            points[..., 0] = z[:, None, None]
            points[..., 1:] = transaxial
            ends.append(points)
        return tuple(ends)

    # --- the image ------------------------------------------------------------------------------------------------

    def image_grid(self, shape=None, voxel_size=None, centre=(0.0, 0.0, 0.0)):
        """The scanner's usual `ImageGrid`; another shape (voxels), voxel size or centre (mm) where given.

        Raises ValueError as `ImageGrid` does.
        """
        shape = self.image_shape if shape is None else shape
        return ImageGrid(shape, self.image_voxel_size if voxel_size is None else voxel_size, centre)

    @property
    def field_of_view_radius(self):
        """Radius of the transaxial field of view that every view covers, mm."""
        y, x = np.moveaxis(self.crystal_centres[self.bin_crystals[:, [0, -1]]], -1, 0)
        area = np.abs(x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0])
        length = np.hypot(x[..., 1] - x[..., 0], y[..., 1] - y[..., 0])
        return float((area / length).min())

    @property
    def axial_length(self):
        """Axial field of view, mm."""
        return self.rings * self.ring_pitch

    def __repr__(self):
        rows = ",\n".join(f"    {f.name}={getattr(self, f.name)!r}" for f in fields(self))
        return f"Scanner(\n{rows},\n)"

    def __str__(self):
        plane, view, bins = self.sinogram_shape
        return (
            f"{self.name}: {self.rings} rings x {self.crystal_positions} crystal positions "
            f"({int(self.live_crystals.sum())} live), radius {self.effective_radius:.1f} mm, "
            f"axial field of view {self.axial_length:.1f} mm; sinogram {plane} planes x {view} views x {bins} bins "
            f"(span {self.span}, {len(self.segments)} segments)"
        )
