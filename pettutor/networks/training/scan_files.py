"""A simulated scan and its file."""

import functools
import hashlib
import json
import zipfile
from dataclasses import dataclass, field

import numpy as np

from pettutor.acquisition import AcquisitionModel
from pettutor.arrays import find_cupy
from pettutor.files import whole_file
from pettutor.geometry import Scanner
from pettutor.projector import Projector

# Raised when the meaning of a scan's numbers changes: those of an earlier meaning are then simulated anew.
MEANING = 1
SINOGRAMS = ("prompts", "factors", "background")
IMAGES = ("truth", "t1", "start")


class DamagedScan(ValueError):
    """A file that is not the whole scan that it should be."""


def scan_key(description):
    """Name of everything that a scan depends on, and of nothing else: 16 hexadecimal digits."""
    text = json.dumps([MEANING, description], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def scan_path(folder, description):
    """Path of a scan's file: readable, and ending in its key."""
    d = description
    who = d["subject"].replace(":", "-")
    name = f"{d['size']}_{who}_{d['height']:+g}mm_dose{d['dose']:.3g}_{d['realisation']}_{scan_key(d)}.npz"
    return folder / name


@functools.lru_cache
def grid_of(size):
    """The image grid: 128 × 128 voxels a slice at every size, on the mMR the middle 267 mm, room for a head."""
    scanner = Scanner.preset(size)
    return scanner.image_grid(shape=(scanner.image_shape[0], 128, 128))


@functools.lru_cache(maxsize=4)
def projector_of(size, device="auto", stored=None):
    """The projector of a scanner; as a stored matrix where ``stored``, by default at size slab on the CPU."""
    X = Projector(Scanner.preset(size), grid_of(size), device=device)
    if stored is None:
        stored = size == "slab" and X.device == "cpu"
    return X.to_matrix() if stored else X


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedScan:
    """A simulated scan with its truth. Images are float32 (z, y, x), sinograms float32 (plane, view, bin).

    truth : activity.
    t1 : MR, scaled to about 0 … 1.
    start : the image that networks start from, activity.
    regions : name -> bool mask, as of `pettutor.phantoms.Phantom`.
    lesions : tuple of dict: "region" (its name in ``regions``), "kind", "diameter", "where", "centre" …
    description : dict, all settings; ``subject``, ``height``, ``dose`` and ``realisation`` are there by name.
    prompts, factors, background : measured counts, attenuation times normalisation, expected randoms and scatter; read
        from the file when they are asked for.
    """

    description: dict
    truth: np.ndarray
    t1: np.ndarray
    start: np.ndarray
    regions: dict
    lesions: tuple = ()
    sinograms: dict = field(default_factory=dict)
    path: object = None

    def __repr__(self):
        d = self.description
        return (
            f"<SimulatedScan of {self.subject} at {d['height']:g} mm, {d['size']}, dose {self.dose:g}, "
            f"realisation {d['realisation']}, {len(self.lesions)} lesions>"
        )

    @property
    def key(self):
        return scan_key(self.description)

    @property
    def subject(self):
        return self.description["subject"]

    @property
    def dose(self):
        return self.description["dose"]

    @property
    def prompts(self):
        return self._sinogram("prompts")

    @property
    def factors(self):
        return self._sinogram("factors")

    @property
    def background(self):
        return self._sinogram("background")

    def _sinogram(self, name):
        if name in self.sinograms:
            return self.sinograms[name]
        with np.load(self.path) as file:
            # planes are the fastest axis in memory, as the projectors want it
            return np.moveaxis(file[name].astype(np.float32, copy=False), -1, 0)

    def acquisition_model(self, device="auto"):
        """The model that reconstructs this scan: an `AcquisitionModel` with its background."""
        d = self.description
        X = projector_of(d["size"], device)
        factors, background = self._there("factors", X), self._there("background", X)
        return AcquisitionModel(X, normalisation=factors, psf_fwhm=d["modelled_fwhm"], background=background)

    def prompts_on(self, device="auto"):
        """The prompts where the projector runs."""
        return self._there("prompts", projector_of(self.description["size"], device))

    def _there(self, name, X):
        values = self._sinogram(name)
        return find_cupy().asarray(values) if X.device == "cuda" else values

    # ---- the file

    def write(self, path):
        """Write the scan whole or not at all."""
        arrays = {name: getattr(self, name) for name in IMAGES}
        for name in SINOGRAMS:
            values = np.moveaxis(self._sinogram(name), 0, -1)
            if name == "prompts" and values.max(initial=0) < 2**16:
                values = values.astype(np.uint16)  # counts are whole numbers
            arrays[name] = np.ascontiguousarray(values)
        arrays["masks"] = np.packbits(np.stack([self.regions[name] for name in self.regions]).reshape(-1))
        words = {"key": self.key, "description": self.description, "regions": list(self.regions)}
        arrays["words"] = np.array(json.dumps(words | {"lesions": self.lesions}))
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def check(cls, path, key):
        """Read the whole file once.

        Raises
        ------
        DamagedScan
            A file that is cut, changed, or another scan's.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()  # compares every member with its CRC
            if bad is None:
                with np.load(path) as file:
                    found = json.loads(str(file["words"]))["key"]
                    lacking = [name for name in (*IMAGES, *SINOGRAMS, "masks") if name not in file.files]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zipfile.zlib.error, EOFError) as error:
            raise DamagedScan(f"{path}: expected a whole simulated scan, got a damaged file ({error})") from None
        if bad is not None:
            raise DamagedScan(f"{path}: expected a whole simulated scan, got a damaged file ({bad})")
        if found != key or lacking:
            raise DamagedScan(f"{path}: expected the simulated scan {key}, got {found}, without {lacking}")

    @classmethod
    def read(cls, path, key=None):
        """Read a scan; its sinograms are read when they are asked for.

        Raises
        ------
        DamagedScan
            A file that is cut, changed, or another scan's.
        """
        try:
            with np.load(path) as file:
                words = json.loads(str(file["words"]))
                images = {name: file[name] for name in IMAGES}
                names, shape = words["regions"], images["truth"].shape
                count = len(names) * images["truth"].size
                masks = np.unpackbits(file["masks"], count=count).reshape(len(names), *shape).astype(bool)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zipfile.zlib.error, EOFError) as error:
            raise DamagedScan(f"{path}: expected a whole simulated scan, got a damaged file ({error})") from None
        if key not in (None, words["key"]):
            raise DamagedScan(f"{path}: expected the simulated scan {key}, got {words['key']}")
        regions = dict(zip(names, masks, strict=True))
        return cls(
            description=words["description"], regions=regions, lesions=tuple(words["lesions"]), path=path, **images
        )
