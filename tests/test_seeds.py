"""Stored networks trained again with another seed: as long as the first time, on the same scans."""

import json

import pytest
from backends import needs_keras

from pettutor.networks.training import keep, seeds
from pettutor.networks.training.command import run
from pettutor.networks.training.recipes import BUILDERS, recipe
from pettutor.networks.training.stored_weights import FOLDER, record_path


@pytest.fixture
def asked(monkeypatch):
    """What trainings are asked for, instead of training."""
    calls = []
    monkeypatch.setattr(seeds, "run", lambda name, size, **options: calls.append((name, size, options)))
    return calls


def test_each_is_trained_for_as_many_updates_as_the_stored_one(asked, tmp_path):
    seeds.main(tmp_path, "2")
    assert {name for name, _, _ in asked} == set(BUILDERS) and {size for _, size, _ in asked} == {"slab"}
    for name, _, options in asked:
        recorded = json.loads(record_path(name, "slab", FOLDER).read_text(encoding="utf-8"))["history"]
        updates = None if recipe(name).minutes is None else recorded["updates"][-1]
        assert options == {"out": tmp_path / "seed-2", "seed": 2, "updates": updates, "resume": True}
    assert sum(options["updates"] is None for _, _, options in asked) == 2  # CED and BCD-Net end by their epochs


def test_those_that_are_named(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(keep, "choose_backend", lambda: "tensorflow")
    seeds.main(tmp_path, "1", ["MAPEM-Net", "unet"])
    assert [name for name, _, _ in asked] == ["mapem_net", "unet"]
    (said,) = capsys.readouterr().out.strip().split("\n")  # the U-Net was trained on TensorFlow
    assert said.startswith("mapem_net at slab: stored from a training on PyTorch, ") and "KERAS_BACKEND=torch" in said
    with pytest.raises(ValueError, match="seed: expected another than that of the stored ced, got 0"):
        seeds.main(tmp_path, "0", ["ced"])


@needs_keras
def test_a_network_is_trained_again(tmp_path):
    """For so many updates, where a number is given: two, and not the six of a smoke test."""
    quiet = {
        "smoke": True,
        "workers": 0,
        "progress": False,
        "say": lambda text: None,
        "scan_folder": tmp_path / "scans",
    }
    network = seeds.train_again("ced", 3, tmp_path, **quiet)
    assert network.recipe.seed == 3 and (tmp_path / "seed-3" / "ced-slab.weights.h5").is_file()
    short = run("ced", out=tmp_path, seed=3, updates=2, **quiet)
    assert short.record["history"]["updates"][-1] == 2 < network.record["history"]["updates"][-1]
    assert short.record["minutes"] is None
    with pytest.raises(ValueError, match="minutes, updates: expected one of them, got 1 and 2"):
        run("ced", out=tmp_path, minutes=1, updates=2)
    with pytest.raises(ValueError, match=r"updates: expected none for bcd_net \(every layer needs its epochs\), got 2"):
        run("bcd_net", out=tmp_path, updates=2, **quiet)
