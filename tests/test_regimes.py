"""The map of regimes: its table is whole and hangs together, and the program that makes it does what it says."""

import json
from dataclasses import replace

import numpy as np
import pytest

import pettutor as pt
from pettutor.course import regimes
from pettutor.networks.training.recipes import recipe


def test_stored_table_is_whole():
    table = pt.course.stored_regimes()
    trained = table[~table["network"].isin(["Gaussian", "Bowsher"])]
    keys = ["network", "subjects", "seed", "budget", "test"]
    expected = {(j.network, j.subjects, j.seed, j.budget, test) for j in regimes.jobs() for test in regimes.TESTS}
    assert set(trained[keys].itertuples(index=False, name=None)) == expected and len(trained) == len(expected)
    assert np.isfinite(table[["nrmse", "grey", "hot", "cold", "std", "white_bias"]].to_numpy()).all()
    gaussian = table[table["network"] == "Gaussian"].set_index(["test", "setting"])
    assert len(gaussian) == len(regimes.TESTS) * len(regimes.WIDTHS)
    for test in regimes.TESTS:  # a wider filter has less noise and less contrast
        path = gaussian.loc[test].sort_index()
        assert (np.diff(path["std"]) < 0).all() and (np.diff(path["grey"]) < 0).all()
    noise = gaussian.xs(0.0, level="setting")["std"]
    assert noise["dose 1/3"] > noise["dose 1"] > noise["dose 3"]


def test_equal_updates_and_equal_time():
    trained = pt.course.stored_regimes().query("network not in ['Gaussian', 'Bowsher']")
    equal = trained.query("budget == 'updates' and network != 'bcd_net'")
    assert (equal["updates"] == regimes.UPDATES).all()
    longer = trained.query("budget == 'time'")
    assert (longer["updates"] <= longer["network"].map(regimes.UPDATES_IN_EQUAL_TIME) * regimes.UPDATES).all()
    assert (longer["updates"] > regimes.UPDATES).all()
    unrolled = equal[equal["network"].isin(["em_net", "mapem_net"])]["seconds"].median()
    seconds = longer.groupby("network")["seconds"].median()
    assert 0.85 < seconds["unet"] / unrolled < 1.15 and 0.55 < seconds["ced"] / unrolled < 0.8


def test_jobs_differ_in_what_they_say_only():
    for job in regimes.jobs():
        recipe = regimes.recipe_of(job)
        stored = pt.networks.recipe(job.network)
        assert recipe.patience is None  # all layers and updates, as many as the table says
        assert recipe.seed == job.seed and recipe.subjects.training == stored.subjects.training[: job.subjects]
        assert recipe.scans == stored.scans and recipe.subjects.test == stored.subjects.test
        changed = {"options", "seed", "subjects", "batch_size", "minutes", "patience", "stored"}
        same = {name: getattr(stored, name) for name in changed}
        assert replace(recipe, **same) == stored


def test_figures_are_those_of_the_measures():
    rng = np.random.default_rng(5)
    truth = np.full((1, 6, 5), 2.0, np.float32)
    white, hot, cold = (np.zeros(truth.shape, bool) for _ in range(3))
    white[0, :3], hot[0, 4, :2], cold[0, 5, 2:] = True, True, True
    truth[hot], truth[cold] = 6.0, 1.0
    regions = {"head": np.ones(truth.shape, bool), "white matter": white, "grey matter": hot, "a": hot, "b": cold}

    class Scan:
        lesions = ({"region": "a", "kind": "hot"}, {"region": "b", "kind": "cold"})

    Scan.truth, Scan.regions = truth, regions
    images = [truth + rng.normal(0, 0.1, truth.shape).astype(np.float32) for _ in range(3)]
    found = regimes.figures(images, [Scan] * 3)
    x = np.stack(images).astype(float)
    errors = [np.sqrt(np.mean((one - truth) ** 2) / np.mean(truth.astype(float) ** 2)) for one in x]
    assert found["nrmse"] == pytest.approx(100 * np.mean(errors), rel=1e-5)
    ratios = [one[hot].mean() / one[white].mean() for one in x]
    assert found["hot"] == found["grey"] == pytest.approx(np.mean([(r - 1) / (3 - 1) for r in ratios]), rel=1e-5)
    ratios = [one[cold].mean() / one[white].mean() for one in x]
    assert found["cold"] == pytest.approx(np.mean([(r - 1) / (0.5 - 1) for r in ratios]), rel=1e-5)
    assert found["std"] == pytest.approx(np.mean(x[:, white].std(0, ddof=1) / x[:, white].mean(0)), rel=1e-5)
    assert found["white_bias"] == pytest.approx(100 * (x[:, white].mean() / 2 - 1), rel=1e-4)


@pytest.fixture
def short(monkeypatch):
    """Two realisations, two updates."""
    for name, value in {"REALISATIONS": 2, "UPDATES": 2, "BCD_LAYERS": 2, "BCD_UPDATES": 8, "KAPPAS": (0.06,)}.items():
        monkeypatch.setattr(regimes, name, value)
    one = "attenuation 0.9, dose 3"
    monkeypatch.setattr(regimes, "TESTS", {one: regimes.TESTS[one]})


@pytest.fixture
def low(monkeypatch):
    """One slice of the training subject and one of the validation subject."""

    def one_slice(name):
        stored = recipe(name)
        return replace(stored, scans=replace(stored.scans, heights=(-2.0,)), validation_heights=(13.0,))

    monkeypatch.setattr(regimes, "recipe", one_slice)
    monkeypatch.setattr(regimes, "SLAB_HEIGHTS", (-2.0,))


def test_stored_baselines_can_be_made_again(short):
    """Two of the twenty realisations: their means are near those of the table."""
    stored = pt.course.stored_regimes().set_index(["network", "setting", "test"])
    for row in regimes.baseline_rows(*regimes.TESTS):
        expected = stored.loc[(row["network"], np.float32(row["setting"]), row["test"])]
        assert row["nrmse"] == pytest.approx(expected["nrmse"], rel=0.03)
        assert row["grey"] == pytest.approx(expected["grey"], abs=0.06)


def test_a_job_is_trained_tested_and_kept(short, low, tmp_path):
    jobs = [regimes.Job("unet", 1, 1, "updates"), regimes.Job("bcd_net", 1, 0, "updates")]
    for job in jobs:
        regimes.run_job(job, tmp_path)
    (row,) = json.loads((tmp_path / jobs[0].path).read_text())
    assert (row["network"], row["seed"], row["updates"], row["test"]) == ("unet", 1, 2, "attenuation 0.9, dose 3")
    assert 20 < row["nrmse"] < 60
    (tmp_path / jobs[0].path).write_text("[]")
    regimes.run_job(jobs[0], tmp_path)  # it is there: nothing is done
    assert (tmp_path / jobs[0].path).read_text() == "[]"
    with pytest.raises(ValueError, match=r"expected 64 files, 62 are missing: ced-1-0-updates.json"):
        regimes.keep(tmp_path)
