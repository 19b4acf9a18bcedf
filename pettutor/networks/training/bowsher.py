"""What MAP with Bowsher's prior reaches on the test scans of the stored networks: the mark for whatever sees T1.

``python -m pettutor.networks.training.bowsher`` measures it and keeps it beside the weights (for authors).
"""

import json

import numpy as np

from pettutor.arrays import array_module, to_numpy
from pettutor.networks.training.recipes import SCALE, recipe
from pettutor.networks.training.scan_files import grid_of
from pettutor.networks.training.simulated_scans import simulate_scans
from pettutor.networks.training.stored_weights import FOLDER, versions
from pettutor.networks.training.trained_network import figures_of, summary
from pettutor.reconstruction import bsrem, priors

RECORD = FOLDER / "bowsher-slab.json"
KAPPAS = (0.005, 0.01, 0.02, 0.05, 0.1)
SIMILAR, SUBSETS, ITERATIONS = 3, 9, 25


def bowsher_map(scan, kappa):
    """MAP with Bowsher's prior from the scan's T1.

    Parameters
    ----------
    scan : SimulatedScan
    kappa : float
        Strength without unit, see `pettutor.priors.strength`; the typical activity is what networks see as 1.

    Returns
    -------
    float32 image (z, y, x), activity.
    """
    A, prompts = scan.acquisition_model(), scan.prompts_on()
    sensitivity = A.T(array_module(prompts).ones(A.out_shape, np.float32))
    voxel_size = grid_of(scan.description["size"]).voxel_size
    prior = priors.Bowsher(priors.strength(kappa, sensitivity, SCALE), scan.t1, similar=SIMILAR, voxel_size=voxel_size)
    return to_numpy(bsrem(prompts, A, prior, subsets=SUBSETS, iterations=ITERATIONS, seed=0))


def test_figures(scans, kappas=KAPPAS):
    """Figures of every scan, as those of a network.

    As with the Gaussian filter the strength is the best one for the test images themselves, one a dose.

    Parameters
    ----------
    scans : list of SimulatedScan
    kappas : sequence of float
        Strengths to try.

    Returns
    -------
    list of dict
        One a scan: ``subject``, ``height``, ``dose``, ``realisation``, ``key`` (of the scan), ``kappa`` and
        ``bowsher``, a dict: ``nrmse`` (%), ``grey`` and ``lesions`` (contrast recovery against white matter).
    """
    rows = []
    for dose in sorted({scan.dose for scan in scans}):
        group = [scan for scan in scans if scan.dose == dose]
        tried = {kappa: [figures_of(bowsher_map(scan, kappa), scan) for scan in group] for kappa in kappas}
        best = min(kappas, key=lambda kappa: sum(figures["nrmse"] for figures in tried[kappa]))
        for scan, figures in zip(group, tried[best], strict=True):
            where = {name: scan.description[name] for name in ("subject", "height", "dose", "realisation")}
            rows.append({**where, "key": scan.key, "kappa": best, "bowsher": figures})
    return rows


def main():
    """Measure and keep."""
    chosen = recipe("ced")
    scans = simulate_scans(chosen.subjects.test, chosen.test_scans())
    rows = test_figures(scans)
    test = {"rows": rows, "summary": summary(rows, ("bowsher",), "kappa")}
    record = {
        "name": "bowsher", "size": "slab", "similar": SIMILAR, "subsets": SUBSETS, "iterations": ITERATIONS,
        "kappas": KAPPAS, "test": test, "versions": versions(),
    }  # fmt: skip
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
