"""The files of a raw scan of the Siemens Biograph mMR: simulated by the course, or found in a folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pettutor.acquisition import AcquisitionModel
from pettutor.arrays import random_generator
from pettutor.geometry.ring_pairs import ring_pair_sums
from pettutor.io import example_normalisation, mmr, save_nifti, write_listmode, write_normalisation
from pettutor.io.normalisation import BYTES
from pettutor.phantoms import Phantom, load_subject
from pettutor.projector import Projector
from pettutor.simulation import attenuation_factors, poisson_counts

PSF = 4.5  # FWHM of the simulated blur, mm
SINGLES_OF_BUCKET = 90_000  # mean rate, counts per second: about that of a brain scan


@dataclass(frozen=True)
class RawScan:
    """Where the files of a scan are.

    Attributes
    ----------
    listmode, normalisation : pathlib.Path
    mu : pathlib.Path or None
        Map of the attenuation coefficients as NIfTI, 1/cm, on the grid that is reconstructed.
    truth : Phantom or None
        What was scanned; nobody knows it of a real scan.
    """

    listmode: Path
    normalisation: Path
    mu: Path | None = None
    truth: Phantom | None = None


def find_raw_scan(folder):
    """The files of a scan in a folder and those below it, told by their sizes: names differ from site to site.

    Parameters
    ----------
    folder : path
        Such as ``amyloidPET_FBP_TP0``, unpacked from what ``data_scripts/fetch_amyloid.py`` fetches.

    Returns
    -------
    RawScan
        The normalisation is the file of 323,404 bytes, the list mode the largest ``.bf`` or ``.l``, the attenuation map
        the NIfTI file below a folder ``umap``, if there is one.

    Raises
    ------
    FileNotFoundError
        No such folder, or a folder without a normalisation or list mode.
    ValueError
        Several files that could be the normalisation or the map.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder with the files of a scan, got none")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    binary = [path for path in files if path.suffix in (".bf", ".l", ".n")]
    normalisation = _only([path for path in binary if path.stat().st_size == BYTES], folder, "a normalisation file")
    longest = max(
        (path for path in binary if path != normalisation), key=lambda path: path.stat().st_size, default=None
    )
    if longest is None:
        raise FileNotFoundError(f"{folder}: expected a list-mode file (.bf or .l), got none")
    maps = [
        path for path in files if "umap" in path.relative_to(folder).parts and path.name.endswith((".nii", ".nii.gz"))
    ]
    return RawScan(longest, normalisation, _only(maps, folder, "an attenuation map below umap") if maps else None)


def _only(paths, folder, what):
    if not paths:
        raise FileNotFoundError(f"{folder}: expected {what}, got none")
    if len(paths) > 1:
        raise ValueError(f"{folder}: expected {what}, got {', '.join(path.name for path in paths)}")
    return paths[0]


def simulate_raw_scan(folder, scanner, *, counts, randoms_fraction=0.4, seconds=60, seed=0):
    """Scan the course's head and write what an mMR would leave behind: list mode, normalisation, attenuation map.

    The head takes up the tracer during the first seconds, and then stays as it is. Crystals, blocks, interference and
    dead time are those of `example_normalisation`; randoms are the products of the crystals' singles, which are higher
    on the side to which the head lies nearer, and go with the square of the activity. There is no scatter, and the
    singles that the buckets report are those of the whole scan's mean.

    Parameters
    ----------
    folder : path
        Must be there; gets ``LM/scan.bf``, ``norm/scan.n``, ``umap/mu.nii.gz``.
    scanner : Scanner
        Rings of the mMR, as for ``pt.io.read_listmode``; reconstructed on its ``image_grid()``.
    counts : float
        Expected trues.
    randoms_fraction : float
        Share of randoms in the expected prompts.
    seconds : float
    seed : int or numpy.random.Generator

    Returns
    -------
    RawScan

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    TypeError, ValueError
        A scanner of another make; counts, share or time out of range.
    """
    folder, rng = Path(folder), random_generator(seed)
    first_ring = mmr.check_scanner(scanner)
    if not (np.isfinite(counts) and counts > 0):
        raise ValueError(f"counts: expected a number of trues > 0, got {counts!r}")
    if not 0 <= randoms_fraction < 1:
        raise ValueError(f"randoms_fraction: expected a share in 0 … 1 (1 excluded), got {randoms_fraction!r}")
    scan = RawScan(
        *(folder / place / name for place, name in (("LM", "scan.bf"), ("norm", "scan.n"), ("umap", "mu.nii.gz"))),
        truth=load_subject("mni:0").on(scanner.image_grid()),
    )
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder to write the scan into, got none")
    for path in (scan.listmode, scan.normalisation, scan.mu):
        path.parent.mkdir(exist_ok=True)
    components = example_normalisation(rng)
    write_normalisation(scan.normalisation, components)
    save_nifti(scan.mu, scan.truth.mu, scan.truth.grid)

    singles = _crystal_singles(components)
    bucket_singles = np.bincount(mmr.buckets_of_crystals().ravel(), singles.ravel())
    trues = _trues(scan.truth, scanner, components.factors(scanner, bucket_singles))
    trues *= np.float32(counts / trues.sum(dtype=np.float64))
    randoms = ring_pair_sums(scanner, singles[first_ring : first_ring + scanner.rings])
    wanted = randoms_fraction / (1 - randoms_fraction) * counts
    randoms *= np.float32(wanted / randoms.sum(dtype=np.float64))
    activity = _uptake(seconds)
    of_trues, of_randoms = activity / activity.sum(), activity**2 / (activity**2).sum()  # two decays make a random
    prompts, delayeds = poisson_counts(trues + randoms, rng), poisson_counts(randoms, rng)
    write_listmode(
        scan.listmode, prompts, delayeds, scanner, seconds=seconds, seed=rng,
        time_course=counts * of_trues + wanted * of_randoms, delayed_time_course=of_randoms,
        bucket_singles=bucket_singles,
    )  # fmt: skip
    return scan


def _trues(truth, scanner, factors):
    X = Projector(scanner, truth.grid, device="cpu")
    model = AcquisitionModel(X, attenuation=attenuation_factors(truth.mu, X), normalisation=factors, psf_fwhm=PSF)
    return model(truth.pet)


def _crystal_singles(components):
    """Counts per second of every crystal of the whole scanner: more where the head is nearer, and in its middle."""
    ring, crystal = np.indices(components.crystal_efficiencies.shape)
    towards = np.cos(2 * np.pi * (crystal - 60) / mmr.CRYSTALS)  # the head lies a little off the middle
    along = np.sin(np.pi * (ring + 0.5) / mmr.RINGS)
    singles = components.crystal_efficiencies.astype(float) * (1 + 0.25 * towards) * (0.6 + 0.4 * along)
    return singles * (SINGLES_OF_BUCKET * mmr.BUCKETS / singles.sum())


def _uptake(seconds):
    """Relative activity in each second."""
    time = np.arange(int(np.ceil(seconds))) + 0.5
    return 0.02 + 0.98 * (1 - np.exp(-np.maximum(time - seconds / 12, 0) / (seconds / 10)))
