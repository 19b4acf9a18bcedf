"""What MAP with Bowsher's prior reaches on the test scans of the stored networks: the mark for whatever sees T1.

``python -m pettutor.networks.training.bowsher [SIZE ...]`` measures it and keeps it beside the weights (for authors).
"""

import json
import sys

import numpy as np

from pettutor.arrays import array_module, to_numpy
from pettutor.networks.training.recipes import SCALE, SIZES, recipe
from pettutor.networks.training.scan_files import grid_of
from pettutor.networks.training.simulated_scans import simulate_scans
from pettutor.networks.training.stored_weights import record_path, versions
from pettutor.networks.training.trained_network import figures_of, summary
from pettutor.reconstruction import bsrem, priors

KAPPAS = {"slab": (0.005, 0.01, 0.02, 0.05, 0.1), "mini": (0.001, 0.003, 0.01, 0.03)}
SIMILAR = {"slab": 3, "mini": 9}  # of 8 neighbours, of 26
SUBSETS, ITERATIONS = 9, 25


def bowsher_map(scan, kappa=None):
    """MAP with Bowsher's prior from the scan's T1.

    Parameters
    ----------
    scan : SimulatedScan
    kappa : float, optional
        Strength without unit, see `pettutor.priors.strength`; the typical activity is what networks see as 1. Default:
        the best one for the test scans of the package's networks at the nearest dose (`stored_bowsher`).

    Returns
    -------
    float32 image (z, y, x), activity.

    Raises
    ------
    ValueError
        No strength is given, and none is stored for the size of the scan.

    References
    ----------
    J. E. Bowsher et al., IEEE Nucl. Sci. Symp. Conf. Rec. 2004, 4:2488; the algorithm is `pettutor.bsrem`.
    """
    if kappa is None:
        lines = stored_bowsher(scan.description["size"])["test"]["summary"]
        kappa = min(lines, key=lambda line: abs(np.log(line["dose"] / scan.dose)))["kappa"]
    A, prompts = scan.acquisition_model(), scan.prompts_on()
    xp = array_module(prompts)
    sensitivity = A.T(xp.ones(A.out_shape, np.float32))
    size = scan.description["size"]
    prior = priors.Bowsher(
        priors.strength(kappa, sensitivity, SCALE), xp.asarray(scan.t1), similar=SIMILAR[size],
        voxel_size=grid_of(size).voxel_size,
    )  # fmt: skip
    return to_numpy(bsrem(prompts, A, prior, subsets=SUBSETS, iterations=ITERATIONS, seed=0))


def stored_bowsher(size="slab"):
    """What Bowsher MAP reached on the test scans of the package's networks, by the same measures.

    Returns
    -------
    dict
        A record such as theirs: settings, ``kappas`` (those tried, without unit), ``versions`` and ``test``, whose
        ``rows`` (one a scan) and ``summary`` (one a dose) have ``kappa`` and ``bowsher``: ``nrmse`` (% over the head),
        ``grey`` and ``lesions`` (contrast recovery, a share).

    Raises
    ------
    ValueError
        Nothing is stored for this size.
    """
    if size not in SIZES:
        raise ValueError(f"size: expected one of {', '.join(map(repr, SIZES))}, got {size!r}")
    return json.loads(record_path("bowsher", size).read_text(encoding="utf-8"))


def test_figures(scans, kappas):
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


def main(sizes=SIZES):
    """Measure and keep."""
    for size in sizes:
        chosen = recipe("ced", size)
        scans = simulate_scans(chosen.subjects.test, chosen.test_scans())
        rows = test_figures(scans, KAPPAS[size])
        test = {"rows": rows, "summary": summary(rows, ("bowsher",), "kappa")}
        record = {
            "name": "bowsher", "size": size, "similar": SIMILAR[size], "subsets": SUBSETS, "iterations": ITERATIONS,
            "kappas": KAPPAS[size], "test": test, "versions": versions(),
        }  # fmt: skip
        record_path("bowsher", size).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] or SIZES)
