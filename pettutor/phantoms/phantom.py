"""The images of a subject on a grid, and lesions in them."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Phantom:
    """Ground truth on a grid. Images are float32 (z, y, x).

    Attributes
    ----------
    pet : numpy.ndarray
        Activity, arbitrary units.
    mu : numpy.ndarray
        Linear attenuation coefficient at 511 keV, 1/cm.
    t1, t2 : numpy.ndarray
        T1- and T2-weighted MR, arbitrary units.
    labels : numpy.ndarray
        uint8, the tissue that fills most of each voxel (``pettutor.phantoms.LABELS``); lesions are not drawn in it.
    regions : dict
        Name -> bool mask. "grey matter", "white matter", "csf": more than 80 % of the voxel, lesions left out;
        "brain", "head": more than half; with lesions also "lesion 1", "lesion 2 (pet only)" ...: exact spheres.
    grid : ImageGrid
    subject : Subject
    tracer : str
    lesions : tuple of Lesion
        As placed, so each has its centre.
    """

    pet: np.ndarray
    mu: np.ndarray
    t1: np.ndarray
    t2: np.ndarray
    labels: np.ndarray
    regions: dict
    grid: object
    subject: object
    tracer: str = "fdg"
    lesions: tuple = ()

    def __repr__(self):
        z, y, x = self.pet.shape
        lesions = f", {len(self.lesions)} lesions" if self.lesions else ""
        return f"Phantom({self.subject.name!r}, {self.tracer}, {z}×{y}×{x} voxels{lesions}, {self.source})"

    @property
    def source(self):
        """Where the anatomy comes from."""
        return self.subject.source

    @property
    def citation(self):
        """What to cite when a picture of it is shown."""
        return self.subject.citation

    def with_lesions(self, seed=0, lesions=None, where="both"):
        """Return a new phantom with lesions.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            Places the lesions that have no centre of their own: on the grid's middle slice, one per quadrant in turn,
            inside the brain and as far as possible in white matter.
        lesions : list of Lesion, optional
            Default the standard four (``pettutor.phantoms.STANDARD_LESIONS``).
        where : "both", "pet" or "mr"
            Which images show the lesions that do not say so themselves.

        Raises
        ------
        ValueError
            A bad setting, or no room for a lesion (the message says which).
        """
        from pettutor.phantoms import lesions as room

        placed = room.place_lesions(self, room.STANDARD_LESIONS if lesions is None else lesions, where, seed)
        images = {name: getattr(self, name).copy() for name in ("pet", "t1", "t2")}
        regions = {name: mask.copy() for name, mask in self.regions.items()}
        for number, lesion in enumerate(placed, start=len(self.lesions) + 1):
            mask, box, cover = room.lesion_mask(self.grid, lesion)
            for name, image in images.items():
                if lesion.shown_in(name):
                    part = image[box]
                    part += cover * (np.float32(lesion.value_in(name, self.tracer)) - part)
            for name in ("grey matter", "white matter", "csf"):
                regions[name][box] &= cover < 0.01
            regions[lesion.region_name(number)] = mask
        return replace(self, **images, regions=regions, lesions=(*self.lesions, *placed))

    def with_moved_mr(self, shift):
        """Return a new phantom whose MR images are displaced: a mis-registration of MR to PET.

        Parameters
        ----------
        shift : (float, float, float)
            mm along (z, y, x) by which ``t1`` and ``t2`` move; what comes in from beyond the edge repeats the edge.
            Values between voxels are interpolated linearly, so fractions of a voxel blur a little.

        Raises
        ------
        ValueError
            Not three finite lengths, or a displacement along z of a single slice.
        """
        from scipy.ndimage import shift as displaced

        values = np.asarray(shift, float)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise ValueError(f"shift: expected three lengths in mm (z, y, x), got {shift!r}")
        if values[0] and self.grid.shape[0] == 1:
            raise ValueError(f"shift: expected none along z of a single slice, got {values[0]:g} mm")
        voxels = values / self.grid.voxel_size
        moved = {name: displaced(getattr(self, name), voxels, order=1, mode="nearest") for name in ("t1", "t2")}
        return replace(self, **moved)
