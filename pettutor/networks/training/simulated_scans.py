"""Simulated scans to train and test networks on: many subjects, bed heights, count levels and lesions, kept on disk.

A scan is one file. What is drawn for it depends on the seed and on its own subject, height, dose and number alone, so
that further subjects change nothing in those that are there. A run that was killed goes on where it was.
"""

import contextlib
import io
import itertools
import os
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pettutor.arrays import resolve_device
from pettutor.geometry.presets import PRESETS
from pettutor.networks.training.scan_files import DamagedScan, SimulatedScan, scan_key, scan_path
from pettutor.networks.training.scan_making import DRAWN_LESIONS, phantom_of, simulate_scan
from pettutor.phantoms.lesions import WHERE
from pettutor.threads import thread_count

CACHE_VARIABLE = "PETTUTOR_SCAN_CACHE"
LESIONS = ("none", "standard", "random")
STARTS = ("mlem", "osem")


@dataclass(frozen=True)
class ScanSettings:
    """Everything that simulated scans depend on, beside their subjects.

    Parameters
    ----------
    size : "slab", "mini" or "mmr"
        The scanner.
    heights : tuple of float
        mm along z of the head that lie in the middle of the scanner: the bed moves. A scan for each.
    doses : tuple of float
        Expected trues as a share of the scanner's reference scan (`pettutor.simulation.DEFAULT_COUNTS`).
    realisations : int
        Scans with other noise, of everything else the same.
    lesions : "none", "standard" or "random"
        None, the standard four, or one to ``most_lesions`` of 5 to 16 mm with edges blurred by up to 2.5 mm, hot
        or cold (choice). A lesion for which the slice has no room is left out.
    lesions_in : "both", "pet", "mr" or "any"
        Images that show them; "any" draws it for each.
    most_lesions : int
        Random ones in a scan, at most.
    hot_share : float
        Of the random lesions that are hot, the others are cold.
    structure, tracer
        As of ``Subject.on``.
    randoms_fraction, scatter_fraction : float
        As of `simulate`.
    simulated_fwhm, modelled_fwhm : float
        mm: blur of the scanner, and the blur that reconstruction believes in.
    attenuation_scale : float
        Reconstruction believes in the true mu times this; 1 is right.
    start : "mlem" or "osem"
        What makes the image that networks start from, with ``iterations`` and (for OSEM) ``subsets``.
    seed : int

    Raises
    ------
    ValueError
        A setting out of its range.
    """

    size: str = "slab"
    heights: tuple = (0.0,)
    doses: tuple = (1.0,)
    realisations: int = 1
    lesions: str = "random"
    lesions_in: str = "both"
    most_lesions: int = 4
    hot_share: float = 0.7
    structure: float = 0.5
    tracer: str = "fdg"
    randoms_fraction: float = 0.3
    scatter_fraction: float = 0.0
    simulated_fwhm: float = 4.5
    modelled_fwhm: float = 2.5
    attenuation_scale: float = 1.0
    start: str = "mlem"
    iterations: int = 16
    subsets: int = 6
    seed: int = 0

    def __post_init__(self):
        for name, among in (
            ("size", tuple(PRESETS)),
            ("lesions", LESIONS),
            ("lesions_in", (*WHERE, "any")),
            ("start", STARTS),
        ):
            if getattr(self, name) not in among:
                raise ValueError(f"{name}: expected one of {', '.join(map(repr, among))}, got {getattr(self, name)!r}")
        for name, least in (("heights", -np.inf), ("doses", 0)):
            values = np.atleast_1d(getattr(self, name)).astype(float)
            if not values.size or not np.isfinite(values).all() or (values <= least).any():
                raise ValueError(f"{name}: expected at least one number{' > 0' if least == 0 else ''}, got {values}")
            if len(set(values.tolist())) < len(values):
                raise ValueError(f"{name}: expected each once, got {values.tolist()}")
            object.__setattr__(self, name, tuple(values.tolist()))
        for name, least in (("realisations", 1), ("iterations", 1), ("subsets", 1), ("most_lesions", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
        if not (np.isfinite(self.attenuation_scale) and self.attenuation_scale >= 0):
            raise ValueError(f"attenuation_scale: expected a number >= 0, got {self.attenuation_scale!r}")
        if not 0 <= self.hot_share <= 1:
            raise ValueError(f"hot_share: expected a number from 0 to 1, got {self.hot_share!r}")

    def scans_of(self, subject):
        """Descriptions (plain data) of all scans of a subject."""
        common = {n: v for n, v in asdict(self).items() if n not in ("heights", "doses", "realisations")}
        if self.start == "mlem":
            del common["subsets"]
        for name, usual in DRAWN_LESIONS.items():  # named only where they say something: a scan's name is made of this
            if self.lesions != "random" or common[name] == usual:
                del common[name]
        return [
            {"subject": subject, "height": height, "dose": dose, "realisation": number, **common}
            for height, dose, number in itertools.product(self.heights, self.doses, range(self.realisations))
        ]


def scan_cache(folder=None):
    """The folder of simulated scans: the argument, else ``PETTUTOR_SCAN_CACHE``, else ``~/.cache/pettutor/scans``."""
    return Path(folder or os.environ.get(CACHE_VARIABLE) or "~/.cache/pettutor/scans").expanduser()


def simulate_scans(subjects, settings=None, *, folder=None, workers=None, device="auto", progress=False, **changes):
    """Simulate scans of many subjects, or read those that are there.

    Parameters
    ----------
    subjects : list of str
        As of `pettutor.load_subject`: ``"mni:1"``, ``"brainweb:04"``.
    settings : ScanSettings, optional
    **changes
        Settings by name: ``size="slab", heights=(-20, 0, 20), doses=(0.3, 1)`` …; see `ScanSettings`.
    folder : path, optional
        Where the files are; see `scan_cache`.
    workers : int, optional
        Processes; 0 or 1: none but this. Default: one a core on the CPU, none on a GPU.
    device : "auto", "cpu" or "cuda"
    progress : bool

    Returns
    -------
    list of SimulatedScan
        By subject, height, dose and realisation, in this order.

    Raises
    ------
    TypeError, ValueError, OSError
        Bad settings, unknown subjects, no room on the disk. Scans that are finished stay.

    Notes
    -----
    A file that is damaged is made anew, with a warning.
    """
    settings = replace(settings or ScanSettings(), **changes)
    if isinstance(subjects, str):
        raise TypeError(f"subjects: expected a list of names, got the text {subjects!r}")
    subjects = list(subjects)
    if not subjects or len(set(subjects)) < len(subjects):
        raise ValueError(f"subjects: expected at least one, and each once, got {subjects}")
    folder = scan_cache(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [description for subject in subjects for description in settings.scans_of(subject)]
    missing = [description for description in wanted if not _is_there(folder, description)]
    if missing:
        _simulate_missing(missing, folder, workers, device, progress)
    return [SimulatedScan.read(scan_path(folder, description), scan_key(description)) for description in wanted]


def _is_there(folder, description):
    path = scan_path(folder, description)
    if not path.exists():
        return False
    try:
        SimulatedScan.check(path, scan_key(description))
    except DamagedScan as error:
        warnings.warn(f"{error}; it is simulated anew", stacklevel=3)
        return False
    return True


def _simulate_missing(missing, folder, workers, device, progress):
    """Make scans in groups that share a phantom, or a subject where there are many of them."""
    if workers is None:
        workers = 1 if resolve_device(device) == "cuda" else thread_count()
    phantoms = _grouped(missing, ("subject", "height"))
    groups = _grouped(missing, ("subject",))
    if len(groups) < workers:
        groups = phantoms
    workers = min(workers, len(groups))
    with tqdm(total=len(missing), desc="simulating scans", unit="scan", disable=not progress) as bar:
        if workers <= 1:
            for group in phantoms:
                bar.update(_simulate_group(group, folder, device))
            return
        from joblib import Parallel, delayed, parallel_config

        # loky's processes do not run the program's main file again, and need nothing of it
        with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
            jobs = (delayed(_in_worker)(group, folder, device) for group in groups)
            for count in Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")(jobs):
                bar.update(count)


def _grouped(descriptions, names):
    groups = {}
    for description in descriptions:
        groups.setdefault(tuple(description[name] for name in names), []).append(description)
    return list(groups.values())


def _in_worker(group, folder, device):
    os.environ["PETTUTOR_THREADS"] = "1"
    with contextlib.redirect_stderr(io.StringIO()):  # what runs where is said by the process in front
        return _simulate_group(group, folder, device)


def _simulate_group(group, folder, device):
    """Simulate, reconstruct and keep scans; returns how many."""
    for descriptions in _grouped(group, ("subject", "height")):
        truth = None
        for description in descriptions:
            path = scan_path(folder, description)
            if truth is None:
                truth = phantom_of(description)
            simulate_scan(description, truth, device).write(path)
    return len(group)
