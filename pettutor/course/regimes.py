"""The map of regimes: where physics inside a network pays, and where it does not (for authors).

``python -m pettutor.course.regimes FOLDER [--workers N]`` trains five networks on 1, 4 and 16 subjects with three seeds
each, at equal updates and in equal time, tests every one on twenty realisations of each kind of scan, and keeps the
table in the package. A network is a file in FOLDER, written when it is done: a run that was stopped goes on.

All networks are smaller than the stored ones, and trained for two minutes on one core, so that there can be many.
"""

import json
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from pettutor import measures
from pettutor.acquisition import gaussian_filter
from pettutor.arrays import to_numpy
from pettutor.course.stored import FOLDER
from pettutor.files import whole_file
from pettutor.networks.training.bowsher import bowsher_map
from pettutor.networks.training.recipes import SLAB_HEIGHTS, UNROLLED, recipe
from pettutor.networks.training.scan_files import grid_of
from pettutor.networks.training.trained_network import NORMALISER

NETWORKS = ("ced", "unet", "em_net", "mapem_net", "bcd_net")
SUBJECTS = (1, 4, 16)
SEEDS = (0, 1, 2)
BUDGETS = ("updates", "time")
UPDATES = 100  # of the unrolled networks, with four slices each; under two minutes on one core
UNROLLS = 4
# So many updates of a post-processing network take the time of one of an unrolled network (measured on one core).
UPDATES_IN_EQUAL_TIME = {"ced": 24, "unet": 6}
PATIENCE = 10  # rounds (a twentieth of the time budget each) without a better validation loss
BCD_LAYERS, BCD_UPDATES = 6, 160  # updates of each layer, which cost next to nothing; no gradient crosses the projector
REALISATIONS = 20
WIDTHS = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0)  # mm, of the Gaussian filter
KAPPAS = (0.002, 0.006, 0.02, 0.06, 0.2, 0.6)  # of Bowsher's prior
DOSES = {"dose 1/3": 1 / 3, "dose 1": 1.0, "dose 3": 3.0}
MISMATCHES = {
    "PSF 6.5 mm": {"simulated_fwhm": 6.5},
    "attenuation 0.9": {"attenuation_scale": 0.9},
    "amyloid tracer": {"tracer": "amyloid"},
}
"""What differs from the training scans (PSF 4.5 mm, the true attenuation, FDG; all of dose 1)."""
TESTS = {dose: {"doses": (value,)} for dose, value in DOSES.items()} | {
    f"{mismatch}, {dose}": settings | {"doses": (value,)}
    for mismatch, settings in MISMATCHES.items()
    for dose, value in DOSES.items()
}
"""Scans of the test subject: every dose as trained, and with every mismatch."""


@dataclass(frozen=True)
class Job:
    """A network to train and to test."""

    network: str
    subjects: int
    seed: int
    budget: str

    @property
    def path(self):
        return f"{self.network}-{self.subjects}-{self.seed}-{self.budget}.json"


def jobs():
    """All networks, those that end first first. The unrolled ones and BCD-Net define the budget and have only one."""
    all_of_them = [
        Job(network, subjects, seed, budget)
        for seed in SEEDS
        for subjects in SUBJECTS
        for network in NETWORKS
        for budget in BUDGETS
    ]
    return [job for job in all_of_them if job.budget == "updates" or job.network in UPDATES_IN_EQUAL_TIME]


def recipe_of(job):
    """The recipe that a job follows: that of the stored network, but smaller."""
    chosen = recipe(job.network)
    split = chosen.subjects
    options = dict(chosen.options)
    if chosen.is_unrolled:
        options |= {"unrolls": UNROLLS}
    if chosen.is_greedy:
        options |= {"layers": BCD_LAYERS}
    return replace(
        chosen, options=options, seed=job.seed, subjects=replace(split, training=split.training[: job.subjects]),
        batch_size=8 if chosen.is_greedy else 4, learning_rate=chosen.learning_rate, minutes=None, patience=None,
        stored=False,
    )  # fmt: skip


def train_job(job, scan_folder=None):
    """Train a network; returns a `TrainedNetwork`, its updates and its seconds."""
    from pettutor.networks.training.command import fit_greedily
    from pettutor.networks.training.simulated_scans import simulate_scans
    from pettutor.networks.training.train import train
    from pettutor.networks.training.trained_network import TrainedNetwork

    chosen = recipe_of(job)
    options = {"folder": scan_folder, "workers": 1}
    training = simulate_scans(chosen.subjects.training, chosen.scans, **options)
    validation = simulate_scans(chosen.subjects.validation, chosen.validation_scans(), **options)
    model = chosen.build()
    if chosen.is_greedy:
        # as many updates a layer for one subject as for sixteen
        chosen = replace(chosen, epochs=BCD_UPDATES * chosen.batch_size // (job.subjects * len(SLAB_HEIGHTS)))
        with tempfile.TemporaryDirectory() as state:
            history, _ = fit_greedily(chosen, model, training, validation, {}, Path(state), False, False)
        return TrainedNetwork(model, chosen, {}), BCD_UPDATES * BCD_LAYERS, float(sum(history["seconds"]))
    factor = UPDATES_IN_EQUAL_TIME[job.network] if job.budget == "time" else 1
    history = train(
        model, training, validation, scale=chosen.scale, updates=factor * UPDATES, batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate, multipliers=chosen.multipliers, round_updates=max(20, 5 * factor),
        seed=job.seed, patience=PATIENCE if factor > 1 else None,
    )  # fmt: skip
    return TrainedNetwork(model, chosen, {}), history.updates[-1], history.seconds[-1]


def test_scans(test, settings, scan_folder=None, workers=1):
    """Twenty realisations of one slice of the test subject, with the standard lesions in PET and MR."""
    from pettutor.networks.training.simulated_scans import simulate_scans

    settings = replace(
        settings, heights=(0.0,), realisations=REALISATIONS, lesions="standard", lesions_in="both", **TESTS[test]
    )
    return simulate_scans(recipe("ced").subjects.test, settings, folder=scan_folder, workers=workers)


def figures(images, scans):
    """Of the realisations of one slice: NRMSE over the head (%), contrast recovery of grey matter and of hot and cold
    lesions against white matter, noise and bias of the white matter (%)."""
    images = np.stack([to_numpy(image) for image in images])
    one = scans[0]
    white = one.regions["white matter"]
    hot, cold = (
        [one.regions[lesion["region"]] for lesion in one.lesions if lesion["kind"] == kind] for kind in ("hot", "cold")
    )
    settings = {"normaliser": NORMALISER, "mask": one.regions["head"]}
    true = float(one.truth[white].mean(dtype=float))
    return {
        "nrmse": float(np.mean([100 * measures.nrmse(image, one.truth, **settings) for image in images])),
        "grey": measures.crc(images, one.truth, one.regions["grey matter"], white),
        "hot": float(np.mean([measures.crc(images, one.truth, mask, white) for mask in hot])),
        "cold": float(np.mean([measures.crc(images, one.truth, mask, white) for mask in cold])),
        "std": measures.background_std(images, white),
        "white_bias": 100 * (float(images[:, white].mean(dtype=float)) / true - 1),
    }


def baseline_path(test):
    """File of the figures of what is not trained, on one kind of scan."""
    return f"baselines-{'-'.join(re.findall('[a-z0-9]+', test.lower()))}.json"


def baseline_rows(test, scan_folder=None):
    """MLEM with every Gaussian filter, and Bowsher's MAP, on one kind of scan: a list of dict."""
    scans = test_scans(test, recipe("ced").scans, scan_folder)
    grid = grid_of("slab")
    rows = []
    for width in WIDTHS:
        images = [gaussian_filter(scan.start, width, grid) if width else scan.start for scan in scans]
        rows.append({"network": "Gaussian", "setting": width, "test": test} | figures(images, scans))
    for kappa in KAPPAS:
        images = [bowsher_map(scan, kappa) for scan in scans]
        rows.append({"network": "Bowsher", "setting": kappa, "test": test} | figures(images, scans))
    return rows


def test_network(network, test, scan_folder=None):
    """Figures of a trained network on one kind of scan."""
    scans = test_scans(test, network.recipe.scans, scan_folder)
    if not network.recipe.is_unrolled:
        return figures([network.of_scan(scan) for scan in scans], scans)
    from pettutor.networks.training.data import examples_of
    from pettutor.networks.training.train import register

    numbers = register(network.model, scans)
    inputs, _ = examples_of(network.model, scans, scale=network.scale, numbers=numbers).all
    out = network.model.predict(inputs, batch_size=10, verbose=0)
    return figures(np.moveaxis(out, -1, 1) * np.float32(network.scale), scans)


def run_job(job, folder, scan_folder=None):
    """Train and test a network, and write its rows; nothing where they are there."""
    path = Path(folder) / job.path
    if path.exists():
        return
    network, updates, seconds = train_job(job, scan_folder)
    common = asdict(job) | {"updates": updates, "seconds": seconds}
    write(path, [common | {"test": test} | test_network(network, test, scan_folder) for test in TESTS])


def run_baselines(test, folder, scan_folder=None):
    """Write what the methods that are not trained reach on one kind of scan; nothing where it is there."""
    path = Path(folder) / baseline_path(test)
    if not path.exists():
        write(path, baseline_rows(test, scan_folder))


def write(path, rows):
    """Write rows as JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(rows, indent=1, allow_nan=False).encode())


def collect(folder):
    """The table of all that is in a folder: one row a network and kind of scan, and those of the baselines."""
    import pandas as pd

    paths = [Path(folder) / name for name in (*map(baseline_path, TESTS), *(job.path for job in jobs()))]
    rows = [row for path in paths if path.exists() for row in json.loads(path.read_text(encoding="utf-8"))]
    table = pd.DataFrame(rows)
    table["dose"] = [TESTS[test]["doses"][0] for test in table["test"]]
    table["mismatch"] = [test.rpartition(", ")[0] or "none" for test in table["test"]]
    numbers = table.select_dtypes("float64").columns
    return table.astype(dict.fromkeys(numbers, "float32"))


def keep(folder):
    """Keep the table of a finished run in the package."""
    wanted = [*(job.path for job in jobs()), *map(baseline_path, TESTS)]
    missing = [name for name in wanted if not (Path(folder) / name).exists()]
    if missing:
        raise ValueError(f"{folder}: expected {len(wanted)} files, {len(missing)} are missing: {missing[0]} …")
    path = FOLDER / "regimes.parquet"
    collect(folder).to_parquet(path, index=False, compression="zstd")
    return path


def main(folder, workers=1):
    """Do what is missing, and keep the table."""
    from joblib import Parallel, delayed

    from pettutor.networks.training.simulated_scans import simulate_scans

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    most = max(jobs(), key=lambda job: job.subjects)
    for settings in (recipe("ced").scans, UNROLLED):  # made by all processes together, read by every job
        chosen = replace(recipe_of(most), scans=settings)
        simulate_scans(chosen.subjects.training, chosen.scans, workers=workers)
        simulate_scans(chosen.subjects.validation, chosen.validation_scans(), workers=workers)
        for test in TESTS:
            test_scans(test, settings, workers=workers)
    work = [delayed(run_job)(job, folder) for job in jobs()]
    work += [delayed(run_baselines)(test, folder) for test in TESTS]
    Parallel(n_jobs=workers, verbose=10)(work)
    print(f"kept in {keep(folder)}")


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--workers", type=int, default=1)
    main(**vars(parser.parse_args()))
