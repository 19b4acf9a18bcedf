"""Networks as methods of a study: their cells give what direct calls give, and name the weights that they used."""

import shutil

import numpy as np
import pytest

import pettutor as pt
from pettutor.networks.training.stored_weights import record_path, weights_path
from pettutor.study.cell import run_cell
from pettutor.study.config import read
from pettutor.study.network_methods import digest
from pettutor.study.plan import cells_of
from pettutor.study.scenario import scenario_of

METHODS = {
    "BCD-Net": {"algorithm": "trained_network", "network": "bcd_net", "fwhm": [0, 4]},
    "U-Net with T1": {"algorithm": "trained_network", "network": "low_count_mr"},
    "DIPRecon": {
        "algorithm": "diprecon", "filters": [2, 4], "start_iterations": 4, "start_fit": 3, "fit_iterations": 2,
        "kappa": 0.4, "network_seed": 1, "iterations": [1, 2], "average_from": 1, "mr_shift": 2,
    },
    "end to end": {
        "algorithm": "end_to_end_dip", "filters": [2, 4], "start_fit": 3, "iterations": 2, "mr": "none",
        "last_activation": "softplus", "margin": 4,
    },
    "U-Net as penalty": {"algorithm": "cnn_penalty", "network": "unet", "kappa": 0.2, "iterations": [1, 3]},
    "with T1 as penalty": {"algorithm": "cnn_penalty", "network": "low_count_mr", "iterations": 2, "mr_shift": 2},
    "its input": {"algorithm": "network_input", "network": "unet", "kappa": 0.2, "fit_iterations": 2, "iterations": 2},
}  # fmt: skip
STUDY = {"name": "networks", "counts": 4e5, "realisations": 1, "seed": 3, "images": "all", "methods": METHODS}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = pt.Study(STUDY, out=tmp_path_factory.mktemp("studies"))
    summary = study.run(workers=0, progress=False)
    assert (summary.cells, summary.failed) == (7, [])
    return study


@pytest.fixture(scope="module")
def scan():
    """The scenario and the counts of the study's only realisation."""
    scenario = scenario_of(cells_of(read(STUDY)[0])[0].scenario)
    return scenario, scenario.counts(0)


def test_cells_of_trained_networks_are_those_of_direct_calls(study, scan):
    scenario, y = scan
    A, mr = scenario.A, scenario.truth.t1 / pt.networks.T1_MAXIMUM
    bcd, guided = (pt.networks.pretrained(name) for name in ("bcd_net", "low_count_mr"))
    expected = bcd(pt.osem(y, A, subsets=6, iterations=4), prompts=y, A=A)
    assert study.image("BCD-Net", fwhm=0) == pytest.approx(expected, rel=1e-4, abs=1e-3)
    expected = guided(pt.mlem(y, A, iterations=60), mr=mr)
    assert study.image("U-Net with T1") == pytest.approx(expected, rel=1e-3, abs=1e-2)
    table = study.table.set_index(["method", "fwhm"])
    assert table.loc[("BCD-Net", 4.0), "nrmse_head"] != table.loc[("BCD-Net", 0.0), "nrmse_head"]


def test_cells_of_fitted_networks_are_those_of_direct_calls(study, scan):
    scenario, y = scan
    keras = pt.networks.load_keras()
    small = {"start_iterations": 4, "start_fit": 3, "fit_iterations": 2, "kappa": 0.4, "iterations": 2}
    keras.utils.set_random_seed(1)
    network = pt.networks.dip_unet((128, 128, 1), (2, 4))
    mr = scenario.truth.with_moved_mr((0, 0, 2)).t1
    expected = pt.networks.diprecon(y, scenario.A, mr, network=network, average_from=1, **small)
    assert study.image("DIPRecon", iteration=2) == pytest.approx(expected, rel=1e-2, abs=0.05)
    keras.utils.set_random_seed(0)
    rows, columns = (np.flatnonzero((scenario.truth.mu[0] > 0).any(axis)) for axis in (1, 0))
    box = slice(rows[0] - 4, rows[-1] + 5), slice(columns[0] - 4, columns[-1] + 5)
    mask = np.zeros((1, 128, 128), bool)
    mask[0][box] = True
    inner = pt.networks.dip_unet((*mask[0][box].shape, 1), (2, 4), last_activation="softplus")
    settings = {"network": pt.networks.in_box(lambda size: inner, (128, 128), box), "mask": mask, "start_fit": 3}
    expected = pt.networks.end_to_end_dip(y, scenario.A, iterations=2, **settings)
    assert not expected[~mask].any()
    assert study.image("end to end") == pytest.approx(expected, rel=1e-2, abs=0.05)


def test_cells_of_frozen_networks_are_those_of_direct_calls(study, scan):
    scenario, y = scan
    A, T1 = scenario.A, pt.networks.T1_MAXIMUM
    unet, guided = (pt.networks.pretrained(name) for name in ("unet", "low_count_mr"))
    scale, start = unet.recipe.scale, pt.mlem(y, A, iterations=60)
    asked = start / np.float32(scale)
    expected = pt.networks.cnn_penalty(y, A, unet.model, asked, scale=scale, kappa=0.2, iterations=3, start=start)
    assert study.image("U-Net as penalty", iteration=3) == pytest.approx(expected, rel=1e-3, abs=1e-2)
    assert np.abs(study.image("U-Net as penalty", iteration=1) - expected).max() > 1
    moved = scenario.truth.with_moved_mr((0, 0, 2)).t1 / T1
    settings = {"scale": scale, "kappa": 0.5, "iterations": 2, "start": start}
    expected = pt.networks.cnn_penalty(y, A, guided.model, (asked, moved), **settings)
    assert study.image("with T1 as penalty") == pytest.approx(expected, rel=1e-3, abs=1e-2)
    settings |= {"kappa": 0.2, "fit_iterations": 2}
    expected = pt.networks.network_input(y, A, unet.model, **settings)
    assert study.image("its input") == pytest.approx(expected, rel=1e-2, abs=0.05)


def test_other_weights_are_another_cell(monkeypatch):
    def keys():
        return [cell.key for cell in cells_of(read(STUDY)[0])]

    before = keys()
    monkeypatch.setattr("pettutor.study.network_methods.digest", lambda name, size, folder: f"other {name}")
    after = keys()
    own = [k for k, name in enumerate(METHODS) if "network" in METHODS[name]]
    assert len(own) == 5 and all((before[k] != after[k]) == (k in own) for k in range(len(before)))


def test_what_is_refused():
    def refused(words, **changes):
        methods = {"BCD-Net": METHODS["BCD-Net"] | changes}
        with pytest.raises(ValueError, match=words):
            read(STUDY | {"methods": methods})

    refused(r"methods.BCD-Net.network: expected one of ced, unet.*got 'nonet'", network="nonet")
    refused(rf"weights: expected {digest('bcd_net')} \(those stored for bcd_net at slab\), got 'abc'", weights="abc")
    refused(r"methods.BCD-Net.iterations", iterations=[1, 2])
    refused(r"network: expected one of ced, unet, low_count_mr, got 'bcd_net'", algorithm="cnn_penalty", iterations=5)
    refused(r"mr_shift: expected only with a network that sees MR \(low_count_mr\), got it with bcd_net", mr_shift=2)
    unrolled = {"steps": {"algorithm": "trained_network", "network": "mapem_net"}}
    for study_of, trained_at in (("mini", "slab"), ("slab", "mini")):
        words = rf"steps.trained_at: expected the size of the study, {study_of} \(mapem_net has .*\), got {trained_at}"
        with pytest.raises(ValueError, match=words):
            read(STUDY | {"size": study_of, "methods": {"steps": unrolled["steps"] | {"trained_at": trained_at}}})
    assert read(STUDY | {"methods": unrolled})[0].size == "slab"
    refused(r"methods.BCD-Net.trained_at: expected .*slab.*mini.*got 'mmr'", trained_at="mmr")
    with pytest.raises(ValueError, match="mr_shift: expected only with an MR image, got it with mr none"):
        read(STUDY | {"methods": {"end to end": METHODS["end to end"] | {"mr_shift": [0, 2]}}})


def test_weights_of_another_size_are_another_cell():
    """Where none is named, cells keep the key that they had before there was a choice."""
    unrolled = {"algorithm": "trained_network", "network": "mapem_net"}

    def tasks(size, **more):
        return [cell.task for cell in cells_of(read(STUDY | {"size": size, "methods": {"steps": unrolled | more}})[0])]

    slab, mini = tasks("slab"), tasks("mini", trained_at="mini")
    assert "trained_at" not in slab[0]["settings"] and mini[0]["settings"]["trained_at"] == "mini"
    assert [t["settings"]["weights"] for t in (slab[0], mini[0])] == [digest("mapem_net", s) for s in ("slab", "mini")]
    assert tasks("slab", trained_at="slab") == slab


def test_weights_that_are_not_there(monkeypatch):
    monkeypatch.setattr("pettutor.networks.training.stored_weights.stored_networks", lambda folder: [])
    with pytest.raises(ValueError, match="network: expected one with stored weights, got 'ced' at 'slab'"):
        digest("ced")


def test_weights_of_a_folder(scan, tmp_path, monkeypatch):
    """What the user trained is a method like what is in the package; which folder it lies in makes no other cell."""

    def tasks(**more):
        methods = {"BCD-Net": {"algorithm": "trained_network", "network": "bcd_net"} | more}
        return cells_of(read(STUDY | {"methods": methods})[0])

    for path in (weights_path("bcd_net", "slab"), record_path("bcd_net", "slab")):
        shutil.copy(path, tmp_path)
    (stored,), (same,) = tasks(), tasks(folder=str(tmp_path))
    assert same.key == stored.key and same.task["settings"]["folder"] == str(tmp_path)
    assert "folder" not in stored.task["settings"]
    monkeypatch.chdir(tmp_path.parent)
    assert tasks(folder=tmp_path.name)[0].task == same.task
    other = pt.networks.pretrained("bcd_net")
    other.model.weights = other.model.weights[:3]  # of ten layers
    other.model.save(weights_path("bcd_net", "slab", tmp_path))
    (changed,) = tasks(folder=str(tmp_path))
    assert changed.key != stored.key
    scenario, y = scan
    expected = other(pt.osem(y, scenario.A, subsets=6, iterations=4), prompts=y, A=scenario.A)
    result = run_cell(changed.task)
    assert result.error is None
    assert result.images[0] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    with pytest.raises(ValueError, match=r"folder: expected one that pettutor train --out wrote, got '.*/nowhere'"):
        tasks(folder=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected one with stored weights in .*/empty, got 'bcd_net' at 'slab'"):
        tasks(folder=str(tmp_path / "empty"))
