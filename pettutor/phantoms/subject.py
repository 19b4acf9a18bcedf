"""A subject: a head made of labels, and its images on any grid."""

from dataclasses import dataclass

import numpy as np

from pettutor.phantoms import tissues
from pettutor.phantoms.phantom import Phantom
from pettutor.phantoms.resample import fraction_planes, segments_to_grid
from pettutor.phantoms.texture import STRENGTH, check_structure, draw_lattices, modulate

# Middle of the BrainWeb volumes in stereotaxic (MNI) mm along (z, y, x): the origin of the subjects' world frame.
STEREOTAXIC_CENTRE = (18.0, -18.0, 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """A head as a volume of tissue labels, in the scanner's world frame.

    World origin: the stereotaxic point (x, y, z) = (0, −18, 18) mm, within 9 mm of the brain's centre of mass, in the
    bodies of the lateral ventricles. Made by :func:`load_subject`.

    Attributes
    ----------
    name : str
        As given to :func:`load_subject`.
    source, citation : str
        Where the anatomy comes from, and what to cite.
    labels : numpy.ndarray
        uint8 (z, y, x); y from anterior to posterior. Names in ``pettutor.phantoms.LABELS``.
    voxel_size, origin : (float, float, float)
        mm (z, y, x); ``origin`` is the centre of voxel [0, 0, 0].
    t1_map : numpy.ndarray or None
        A measured T1-weighted volume where there is one (uint8, scaled to the T1 values of the tissues).
    legacy : bool
        Images as the ``brainweb`` package makes them, faults included.
    """

    name: str
    source: str
    citation: str
    labels: np.ndarray
    voxel_size: tuple
    origin: tuple
    t1_map: np.ndarray | None = None
    legacy: bool = False

    def __repr__(self):
        extra = ", legacy=True" if self.legacy else ""
        return f"Subject({self.name!r}{extra}, source={self.source!r})"

    def on(self, grid, tracer="fdg", structure=0.0, seed=0):
        """Images of the subject on a grid.

        Every voxel holds the mean over its volume (partial volume included), 0 outside the head.

        Parameters
        ----------
        grid : ImageGrid
        tracer : "fdg" or "amyloid"
        structure : float
            Variation inside the tissues, 0 (none) to 1; T1 and T2 get three quarters of what PET gets.
        seed : int or numpy.random.Generator
            Draws the variation; the same seed gives the same variation on every grid.

        Returns
        -------
        Phantom

        Raises
        ------
        ValueError, TypeError
            A bad setting, or a grid that does not touch the head.
        """
        for name in ("shape", "voxel_size", "origin", "coordinates"):
            if not hasattr(grid, name):
                raise TypeError(f"grid: expected a pettutor.ImageGrid, got {type(grid).__name__}")
        values = tissues.tracer_values(tracer)
        structure = check_structure(structure)
        if self.legacy:
            from pettutor.phantoms import legacy

            axes = legacy.package_segments(self, grid)
        else:
            axes = segments_to_grid(self.labels.shape, self.voxel_size, self.origin, grid)
        images, labels, regions = self._paint(grid, axes, values)
        if not regions["head"].any():
            raise ValueError(
                f"grid: expected a grid that touches the head of {self.name!r} (centred at (0, 0, 0) mm), "
                f"got centre {tuple(grid.centre)} and size {tuple(grid.size)} mm"
            )
        if self.legacy:
            images = legacy.package_images(self, grid, values, structure, seed)
        elif structure > 0:
            lattices = draw_lattices(seed)
            box = tuple(a.box for a in axes)
            for name, strength in STRENGTH.items():
                modulate(images[name], box, lattices[name], grid.coordinates(), structure * strength)
        return Phantom(**images, labels=labels, regions=regions, grid=grid, subject=self, tracer=tracer)

    def _paint(self, grid, axes, values):
        images = {name: np.zeros(grid.shape, np.float32) for name in ("pet", "mu", "t1", "t2")}
        labels = np.zeros(grid.shape, np.uint8)
        regions = {name: np.zeros(grid.shape, bool) for name in ("grey matter", "white matter", "csf", "brain", "head")}
        tables = {"pet": values, "mu": tissues.MU, "t1": tissues.T1, "t2": tissues.T2}
        if self.t1_map is not None:
            del tables["t1"]
        names = list(tables)
        matrix = np.stack([tissues.lookup_table(tables[name]) for name in names]).astype(np.float32)
        box = axes[1].box, axes[2].box
        for plane, fractions, t1 in fraction_planes(self.labels, axes, len(tissues.LABELS), self.t1_map):
            here = (plane, *box)
            painted = np.einsum("il,lyx->iyx", matrix, fractions)
            for name, image in zip(names, painted, strict=True):
                images[name][here] = image
            if t1 is not None:
                images["t1"][here] = t1
            labels[here] = fractions.argmax(axis=0)
            grey, white, csf = fractions[tissues.GREY], fractions[tissues.WHITE], fractions[tissues.CSF]
            regions["grey matter"][here] = grey > 0.8
            regions["white matter"][here] = white > 0.8
            regions["csf"][here] = csf > 0.8
            regions["brain"][here] = grey + white + csf > 0.5
            regions["head"][here] = fractions[0] < 0.5
        return images, labels, regions


def load_subject(name="mni:0", *, cache=None, legacy=False, download=True, base_url=None, progress=True):
    """Load a head to image.

    Parameters
    ----------
    name : str
        ``"mni:N"``: the embedded ICBM MNI152 atlas, without network; N = 0 is the atlas itself, any other N a seeded
        smooth deformation of it. ``"brainweb:NN"``: a BrainWeb subject (04 05 06 18 20 38 41 to 54), downloaded once.
    cache : path, optional
        Folder of the BrainWeb files; default the environment's ``PETTUTOR_BRAINWEB_CACHE``, else ``~/.brainweb``.
    legacy : bool
        BrainWeb only: the maps of the ``brainweb`` package, faults included, for comparison.
    download : bool
        BrainWeb only: whether a missing file may be fetched.
    base_url : str, optional
        BrainWeb only: a mirror that serves ``subject_NN.bin.gz``.
    progress : bool
        BrainWeb only: a progress bar while downloading.

    Returns
    -------
    Subject

    Raises
    ------
    ValueError
        An unknown name, or a damaged file in the cache (the message says how to mend it).
    OSError
        The file is not there and cannot be fetched.
    """
    family, colon, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not (colon and number.isascii() and number.isdigit()) or family not in ("mni", "brainweb"):
        raise ValueError(
            f"subject: expected 'mni:N' (N = 0, 1, 2 ...) or 'brainweb:NN' (NN = 04, 05 ...), got {name!r}"
        )
    if family == "mni":
        if legacy:
            raise ValueError("legacy: expected a 'brainweb:NN' subject, got 'mni' (the package knows only BrainWeb)")
        from pettutor.phantoms.mni import load_mni

        return load_mni(int(number))
    from pettutor.phantoms.brainweb import load_brainweb

    return load_brainweb(number, cache=cache, legacy=legacy, download=download, base_url=base_url, progress=progress)
