"""The demo: from a brain to reconstructions with networks, and a report on them.

simulate → MLEM → the best Gaussian filter → MAP with Bowsher's prior from the subject's own MR → CED trained on other
subjects → MAPEM-Net, trained before → DIPRecon with the MR again → tables, figure, page.
"""

import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np

from pettutor import __version__
from pettutor.arrays import announce_once, resolve_device
from pettutor.demo.folder import staged, write_json
from pettutor.demo.settings import SETTINGS, DemoSettings, DIPSettings, image_grid, other_subjects
from pettutor.memory import peak_memory

__all__ = ["SETTINGS", "DIPSettings", "DemoResult", "DemoSettings", "run_demo"]

_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "torch",
    "cupy-cuda12x",
    "brainweb",
    "nilearn",
)


@dataclass(frozen=True, repr=False)
class DemoResult:
    """What the demo made.

    folder : where the files are.
    results : what results.json holds.
    images : name -> float32 (z, y, x): truth, mlem, gaussian, bowsher, t1, mu; where a Keras backend is installed ced,
        mapem_net and diprecon (bowsher and the last two not at size "mmr" on the CPU).
    """

    folder: Path
    results: dict
    images: dict = field(default_factory=dict)

    @property
    def report(self):
        """Path of the page to open."""
        return self.folder / "report.html"

    @property
    def verdict(self):
        """Whether the networks helped, in words."""
        return self.results["verdict"]["text"]

    def __repr__(self):
        return f"<DemoResult in {str(self.folder)!r}: {self.verdict}>"


def run_demo(
    *, size="mini", subject="mni:0", device="auto", seed=0, out=Path("pettutor-demo"), progress=True, settings=None
):
    """Simulate a scan, reconstruct it without and with networks, and write a report.

    The networks: a CED that is trained here, on scans of other subjects, and corrects the MLEM image; the MAPEM-Net
    that is stored in the package; DIPRecon, whose network is fitted to this very scan and the subject's own T1. What T1
    gives without a network, Bowsher's prior shows.

    Parameters
    ----------
    size : "slab", "mini" or "mmr"
    subject : str
        Whose brain is shown, see `pettutor.load_subject`. The CED is trained on other, embedded subjects; the stored
        MAPEM-Net was on mni:1 to mni:16, and the report says so where one of them is shown.
    device : "auto", "cpu" or "cuda"
        Where the projector runs; networks run where their Keras backend does.
    seed : int
        Of structure, lesions, noise and networks. On one machine the same seed gives the same scan and MLEM image bit
        for bit; the numbers of the networks agree to about 1e-3 (sums over threads may round in another order), and
        across machines or backends they are only similar.
    out : path
        report.html, figure.png, results.json, images.npz and a NIfTI file an image. A set that is there from an earlier
        run is replaced as a whole, and only at the end; other files are left alone.
    progress : bool
        Show progress bars, and what to expect.
    settings : DemoSettings, optional
        Instead of the size's own (``SETTINGS``).

    Returns
    -------
    DemoResult

    Raises
    ------
    ValueError
        An unknown size or subject, a seed that is none.
    OSError
        A folder that cannot be written to, too little disk space; a subject that cannot be downloaded.
    MemoryError
        Much less memory than the size needs.
    RuntimeError
        ``device="cuda"`` without a GPU.
    """
    if size not in SETTINGS:
        raise ValueError(f"size: expected one of {', '.join(map(repr, SETTINGS))}, got {size!r}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed: expected a whole number >= 0, got {seed!r}")
    settings = SETTINGS[size] if settings is None else settings
    _check_memory(size, settings)
    out = Path(out)
    with staged(out, megabytes=settings.disk_mb) as staging:
        results, images = _compute(size, subject, device, int(seed), settings, progress, staging)
    return DemoResult(out, results, images)


def _compute(size, subject, device, seed, settings, progress, staging):
    from pettutor.demo.physics import with_physics
    from pettutor.demo.stages import NORMALISER, Stopwatch, measure, reconstruct_bowsher, scan
    from pettutor.geometry import Scanner
    from pettutor.phantoms import load_subject
    from pettutor.projector import Projector
    from pettutor.reconstruction import best_gaussian
    from pettutor.report import verdict, write_report

    begin = time.perf_counter()
    no_network = _why_no_network()
    skipped = _why_not_every_method(resolve_device(device), settings)
    watch = Stopwatch(4 + (skipped is None) + (0 if no_network else 2 if skipped else 4), progress)
    if progress:
        announce_once(f"about {settings.minutes:g} min on two cores without a GPU, {settings.memory_gb:g} GB of memory")
    with watch.stage("phantom and scanner"):
        shown = load_subject(subject, progress=progress)
        scanner = Scanner.preset(size)
        grid = image_grid(scanner)
        projector = Projector(scanner, grid, device=device)
    with watch.stage("scan and MLEM", settings.iterations, "iteration") as bar:
        test = scan(shown, projector, settings, seed=(seed, 0), bar=bar, keep=True)
    del shown
    images = {"truth": test.truth.pet, "mlem": test.image}
    with watch.stage("best Gaussian filter", 20, "filter") as bar:
        fwhm, images["gaussian"] = best_gaussian(
            test.image,
            test.truth.pet,
            grid,
            mask=test.truth.regions["head"],
            normaliser=NORMALISER,
            callback=lambda width, error: bar.update(),
        )
    facts = dict.fromkeys(("bowsher", "ced", "mapem_net", "diprecon"))
    if skipped is None:
        with watch.stage("Bowsher MAP (sees T1)", settings.bowsher.iterations, "pass") as bar:
            images["bowsher"], facts["bowsher"] = reconstruct_bowsher(test, settings.bowsher, bar)
    if no_network is None:
        network, trained_on, no_network = _network(subject, projector, settings, seed, watch)
    if no_network is None:
        images["ced"] = network(test.image)
        facts["ced"] = _describe(network) | trained_on
        del network
        if skipped is None:
            more, told = with_physics(test, subject, settings, seed, watch)
            images, facts = images | more, facts | told
    rows = measure({name: image for name, image in images.items() if name != "truth"}, test.truth)
    images |= {"t1": test.truth.t1, "mu": test.truth.mu}
    results = {
        "title": f"pettutor demo: {subject} on {size}",
        "verdict": verdict(rows, no_network, skipped),
        "size": size,
        "subject": subject,
        "source": test.truth.source,
        "citation": test.truth.citation,
        "seed": seed,
        "measures": rows,
        "normaliser": "root mean square of the truth",
        "gaussian_fwhm_mm": fwhm,
        "counts": test.counts,
        "mlem": {"log_likelihood": test.record.log_likelihood, "seconds": test.record.seconds},
        **facts,
        "not_run": no_network or skipped,
        "settings": asdict(settings)
        | {"device": projector.device, "scanner": str(scanner), "lesions": _lesions(test.truth)},
        "grid": {"shape": list(grid.shape), "voxel_size_mm": list(grid.voxel_size), "centre_mm": list(grid.centre)},
        "versions": _versions(),
        "machine": {"system": platform.platform(terse=True), "cores": os.cpu_count(), "backend": _backend()},
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    with watch.stage("figure and report", 2) as bar:
        _save_images(staging, images, grid)
        bar.update()
        results["seconds"] = watch.seconds | {"total": time.perf_counter() - begin}
        results["peak_memory_mb"] = peak_memory() / 1e6
        write_report(staging, results, images, grid)
    results["seconds"] = watch.seconds | {"total": time.perf_counter() - begin}
    results["peak_memory_mb"] = peak_memory() / 1e6
    results["files"] = sorted([*(path.name for path in staging.iterdir()), "results.json"])
    write_json(staging / "results.json", results)
    return results, images


def _network(subject, projector, settings, seed, watch):
    """Scans of other subjects, and a CED trained on them: (network, on whom, None) or (None, None, why not)."""
    from pettutor.demo.stages import scan, train_ced
    from pettutor.phantoms import load_subject

    names = other_subjects(subject, settings.training_subjects + 1)
    total = settings.training_subjects * len(settings.heights) + len(settings.validation_heights)
    scans = {name: [] for name in names}
    with watch.stage(f"scans of {len(names)} other subjects", total * settings.iterations, "iteration") as bar:
        for k, name in enumerate(names, 1):
            other = load_subject(name, progress=False)
            for j, height in enumerate(settings.validation_heights if k == len(names) else settings.heights):
                one = scan(other, projector, settings, seed=(seed, k, j), height=float(height), bar=bar)
                scans[name].append(one)
            del other
    with watch.stage("training the CED", settings.epochs, "epoch") as bar:
        *training, validation = scans.values()
        try:
            network = train_ced([s for one in training for s in one], validation, settings, seed, bar)
        except ImportError as error:  # a backend that is there, but broken
            return None, None, str(error)
    return network, {"training_subjects": names[:-1], "validation_subject": names[-1]}, None


def _describe(network):
    record = network.record
    return {
        "parameters": network.model.count_params(),
        "scale": network.scale,
        "slices": record.slices,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "loss": record.loss,
        "validation_loss": record.validation_loss,
        "seconds": record.seconds,
    }


def _why_no_network():
    from pettutor.networks import choose_backend

    try:
        choose_backend()
    except ImportError as error:
        return str(error)
    return None


def _why_not_every_method(device, settings):
    """Why Bowsher MAP, MAPEM-Net and DIPRecon are left out, or None."""
    if device in settings.every_method_on:
        return None
    devices = " or ".join(settings.every_method_on)
    return f"on the {device.upper()} it would take too long at this size (--device {devices} does it)"


def _lesions(truth):
    return [
        {"kind": lesion.kind, "diameter_mm": lesion.diameter, "centre_mm": list(lesion.centre)}
        for lesion in truth.lesions
    ]


def _save_images(folder, images, grid):
    from pettutor.io import save_nifti

    geometry = {"voxel_size_mm": grid.voxel_size, "origin_mm": grid.origin}
    np.savez_compressed(folder / "images.npz", **images, **geometry)
    for name, image in images.items():
        save_nifti(folder / f"{name}.nii.gz", image, grid)


def _versions():
    versions = {"pettutor": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _backend():
    keras = sys.modules.get("keras")
    return keras.backend.backend() if hasattr(keras, "backend") else None


def _check_memory(size, settings):
    import psutil

    available = psutil.virtual_memory().available / 1e9
    if available < 0.8 * settings.memory_gb:
        raise MemoryError(f"--size {size} takes about {settings.memory_gb:g} GB, {available:.1f} GB are free")
