"""Simulated scans, training on them, and the networks that the package brings along."""

import gc
import itertools
import json
import math
import os
import re
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from backends import needs_keras
from processes import QUICK_COMPILATION, run_python

from pettutor import networks
from pettutor.networks.training import bowsher, command, keep, scan_files, simulated_scans
from pettutor.networks.training import data as training_data
from pettutor.networks.training.data import SubjectSplit, split_subjects
from pettutor.networks.training.recipes import BUILDERS, RECIPES, SIZES, Recipe, recipe
from pettutor.networks.training.scan_files import SimulatedScan
from pettutor.networks.training.scan_making import phantom_of
from pettutor.networks.training.simulated_scans import ScanSettings, simulate_scans
from pettutor.networks.training.stored_weights import FOLDER, pretrained, record_path, stored_networks, weights_path
from pettutor.networks.training.train import train
from pettutor.networks.training.trained_network import TrainedNetwork, as_text, figures_of, summary
from pettutor.networks.unet import unet

SHORT = ScanSettings(iterations=4, heights=(0.0,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scans")


@pytest.fixture(scope="module")
def scans(folder):
    """Two subjects, two heights, two doses."""
    return simulate_scans(
        ["mni:0", "mni:2"], SHORT, heights=(0.0, 20.0), doses=(0.5, 2.0), folder=folder, workers=0
    )  # fmt: skip


# ---- subjects are kept apart -------------------------------------------------------------------------------------


def test_no_subject_is_in_two_sets():
    with pytest.raises(ValueError, match="test: expected every subject in one set alone, got 'mni:3', which is in tra"):
        SubjectSplit(("mni:1", "mni:3"), ("mni:9",), ("mni:3",))
    with pytest.raises(ValueError, match="validation: expected every subject in one set alone, got 'mni:1'"):
        SubjectSplit(("mni:1",), ("mni:1",))
    with pytest.raises(ValueError, match=r"training: .* got 'mni:1', which is in training"):
        SubjectSplit(("mni:1", "mni:1"))
    with pytest.raises(ValueError, match="training: expected at least one subject"):
        SubjectSplit(())


def test_more_subjects_are_the_same_and_some_more():
    small, large = split_subjects(4), split_subjects(16)
    assert small.training == large.training[:4] == ("mni:1", "mni:2", "mni:3", "mni:4")
    assert len(large.training) == 16 and small.validation == large.validation and small.test == ("mni:0",)
    assert split_subjects(2, test=("mni:1",)).training == ("mni:2", "mni:3")


def test_scans_of_another_set_are_refused(scans):
    split = SubjectSplit(("mni:2",), ("mni:7",), ("mni:0",))
    with pytest.raises(ValueError, match="training: expected scans of mni:2, got 'mni:0'"):
        split.check(scans, "training")
    assert split.check(scans[4:], "training") == scans[4:]


# ---- simulated scans ---------------------------------------------------------------------------------------------


def same(one, other):
    for name in ("truth", "t1", "start", "prompts", "factors", "background"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.description == other.description and one.lesions == other.lesions
    assert list(one.regions) == list(other.regions)
    assert all((one.regions[name] == other.regions[name]).all() for name in one.regions)


def test_scans_come_in_order_and_hold_what_they_say(scans):
    assert [(s.subject, s.description["height"], s.dose) for s in scans] == [
        (who, height, dose) for who in ("mni:0", "mni:2") for height in (0.0, 20.0) for dose in (0.5, 2.0)
    ]
    for scan in scans:
        assert scan.truth.shape == scan.t1.shape == scan.start.shape == (1, 128, 128)
        assert scan.prompts.shape == scan.factors.shape == scan.background.shape == (1, 144, 144)
        assert {scan.truth.dtype, scan.start.dtype, scan.prompts.dtype} == {np.dtype(np.float32)}
        assert scan.t1.min() >= 0 and 0.8 < scan.t1.max() < 1.2
        assert {"grey matter", "white matter", "head"} <= set(scan.regions)
    with_lesions = [scan for scan in scans if scan.lesions]
    assert with_lesions
    for scan in with_lesions:
        for lesion in scan.lesions:  # a disc of the lesion's diameter in voxels of 2 mm
            area = math.pi * lesion["diameter"] ** 2 / 4 / 4
            assert scan.regions[lesion["region"]].sum() == pytest.approx(area, abs=5 + 0.2 * area)


def test_the_counts_are_those_of_the_dose(scans):
    for scan in scans:
        expected = scan.dose * 0.5e6 / (1 - 0.3)  # trues, and 30 % of randoms among the prompts
        total = scan.prompts.sum(dtype=np.float64)
        assert abs(total - expected) < 5 * math.sqrt(expected)
        assert scan.background.sum(dtype=np.float64) == pytest.approx(0.3 * expected, rel=1e-3)


def test_a_scan_becomes_an_acquisition_model_in_activity_units(scans):
    scan = scans[2]
    A = scan.acquisition_model()
    assert A.psf_fwhm == (2.5, 2.5, 2.5)
    # the blur of the simulation is another one, but it hardly changes the sum
    assert A.expected(scan.truth).sum() == pytest.approx(scan.prompts.sum(dtype=np.float64), rel=0.01)
    assert scan.start.sum() == pytest.approx(scan.truth.sum(), rel=0.15)


def test_further_subjects_doses_and_realisations_change_nothing(scans, tmp_path):
    (more,) = [
        scan
        for scan in simulate_scans(
            ["mni:2"], SHORT, heights=(20.0,), doses=(2.0, 0.1), realisations=2, folder=tmp_path, workers=0
        )
        if (scan.dose, scan.description["realisation"]) == (2.0, 0)
    ]
    same(more, scans[-1])
    (other,) = simulate_scans(["mni:2"], SHORT, heights=(20.0,), doses=(2.0,), seed=1, folder=tmp_path, workers=0)
    assert (other.prompts != more.prompts).any() and (other.truth != more.truth).any()


def test_realisations_differ_in_their_noise_alone(tmp_path):
    one, other = simulate_scans(["mni:0"], SHORT, realisations=2, folder=tmp_path, workers=0)
    np.testing.assert_array_equal(one.truth, other.truth)
    np.testing.assert_array_equal(one.factors, other.factors)
    difference = (one.prompts - other.prompts).astype(np.float64)
    total = (one.prompts + other.prompts).sum(dtype=np.float64)
    assert (difference**2).sum() == pytest.approx(total, rel=0.05)  # Poisson: the variance is the mean


def test_processes_make_the_same_scans(scans, folder, tmp_path, monkeypatch):
    def here(*anything):
        raise AssertionError("simulated in this process")

    monkeypatch.setattr(simulated_scans, "_simulate_group", here)  # the others import it anew
    made = simulate_scans(["mni:0", "mni:2"], SHORT, heights=(20.0,), doses=(2.0,), folder=tmp_path, workers=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(s.path.name for s in made)
    same(made[0], scans[3])
    same(made[1], scans[7])


def test_a_wrong_attenuation_map_is_believed(tmp_path):
    factors = {
        scale: simulate_scans(["mni:0"], SHORT, attenuation_scale=scale, folder=tmp_path, workers=0)[0]
        for scale in (0.0, 0.8, 1.0)
    }
    none, less, right = (factors[scale].factors.astype(np.float64) for scale in (0.0, 0.8, 1.0))
    live = none > 0
    # exp(-0.8 ∫mu) against exp(-∫mu)
    np.testing.assert_allclose(np.log(less[live] / none[live]), 0.8 * np.log(right[live] / none[live]), atol=1e-5)
    assert (right[live] / none[live]).min() < 0.3
    np.testing.assert_array_equal(factors[0.8].prompts, factors[1.0].prompts)  # nature does not care


def test_lesions_show_where_they_should(tmp_path):
    def scan(**changes):
        return simulate_scans(["mni:0"], SHORT, folder=tmp_path, workers=0, **changes)[0]

    none, mr, pet = scan(lesions="none"), scan(lesions_in="mr"), scan(lesions_in="pet")
    assert not none.lesions and mr.lesions and pet.lesions
    assert [lesion["centre"] for lesion in mr.lesions] == [lesion["centre"] for lesion in pet.lesions]
    np.testing.assert_array_equal(mr.truth, none.truth)
    np.testing.assert_array_equal(pet.t1, none.t1)
    mask = pet.regions[pet.lesions[0]["region"]]
    assert (pet.truth[mask] != none.truth[mask]).any() and (mr.t1[mask] != none.t1[mask]).any()
    assert len(scan(lesions="standard").lesions) == 4


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch):
    simulate_scans(["mni:0"], SHORT, folder=tmp_path, workers=0)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    (tmp_path / f".{path.stem}.1.tmp").write_bytes(path.read_bytes()[:1000])  # what a killed run leaves behind
    made = []
    simulate = simulated_scans.simulate_scan
    monkeypatch.setattr(simulated_scans, "simulate_scan", lambda d, *a: made.append(d["dose"]) or simulate(d, *a))
    simulate_scans(["mni:0"], SHORT, folder=tmp_path, workers=0, doses=(1.0, 0.2))
    assert made == [0.2] and path.stat().st_mtime_ns == before


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    simulate = simulated_scans.simulate_scan
    made = []

    def until_killed(description, *others):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(description["dose"])
        return simulate(description, *others)

    monkeypatch.setattr(simulated_scans, "simulate_scan", until_killed)
    with pytest.raises(KeyboardInterrupt):
        simulate_scans(["mni:0"], SHORT, doses=(1, 2, 3), folder=tmp_path, workers=0)
    assert len(list(tmp_path.iterdir())) == 2
    made.clear()
    simulate_scans(["mni:0"], SHORT, doses=(1, 2, 3), folder=tmp_path, workers=0)
    assert made == [3.0]


@pytest.mark.parametrize("how", ["cut", "changed", "another"])
def test_a_damaged_file_is_found_said_and_made_again(how, scans, tmp_path):
    first = simulate_scans(["mni:0"], SHORT, folder=tmp_path, workers=0)[0]
    first = replace(first, sinograms={name: getattr(first, name) for name in scan_files.SINOGRAMS})
    content = bytearray(first.path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "changed":
        content[len(content) // 3] ^= 0x10
    else:
        content = scans[1].path.read_bytes()
    first.path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"expected .* simulated scan.*, got .*; it is simulated anew"):
        again = simulate_scans(["mni:0"], SHORT, folder=tmp_path, workers=0)[0]
    same(again, first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate_scans(["mni:0"], SHORT, folder=tmp_path, workers=0)


def test_random_lesions_are_as_many_and_as_hot_as_asked():
    def kinds(**settings):
        (description,) = ScanSettings(**settings).scans_of("mni:1")
        return [lesion.kind for lesion in phantom_of(description).lesions]

    assert set(kinds(hot_share=0.0)) == {"cold"} and set(kinds(hot_share=1.0)) == {"hot"}
    many = [len(kinds(most_lesions=12, seed=seed)) for seed in range(4)]
    assert max(many) > 4 and len(kinds(most_lesions=1)) == 1


def test_every_setting_is_in_the_key():
    others = {
        "size": "mini", "lesions": "none", "lesions_in": "pet", "structure": 0.2, "tracer": "amyloid", "seed": 5,
        "randoms_fraction": 0.1, "scatter_fraction": 0.1, "simulated_fwhm": 4.0, "modelled_fwhm": 3.0,
        "attenuation_scale": 0.9, "most_lesions": 5, "hot_share": 0.5,
        "start": "osem", "iterations": 9, "heights": (1.0,), "doses": (0.7,),
    }  # fmt: skip
    fields = set(ScanSettings.__dataclass_fields__) - {"realisations", "subsets"}
    assert fields == set(others)
    keys = {scan_files.scan_key(ScanSettings(**{name: value}).scans_of("mni:1")[0]) for name, value in others.items()}
    keys |= {scan_files.scan_key(d) for d in ScanSettings(realisations=2).scans_of("mni:1")}
    keys.add(scan_files.scan_key(ScanSettings(start="osem", subsets=3).scans_of("mni:1")[0]))
    assert len(keys) == len(others) + 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "small"}, "size: expected one of 'slab', 'mini', 'mmr', got 'small'"),
        ({"doses": ()}, "doses: expected at least one number > 0"),
        ({"doses": (1.0, 1.0)}, "doses: expected each once"),
        ({"doses": (0.0,)}, "doses: expected at least one number > 0"),
        ({"lesions": True}, "lesions: expected one of 'none', 'standard', 'random', got True"),
        ({"iterations": 0}, "iterations: expected a whole number >= 1, got 0"),
        ({"attenuation_scale": -1.0}, "attenuation_scale: expected a number >= 0"),
        ({"most_lesions": 0}, "most_lesions: expected a whole number >= 1, got 0"),
        ({"hot_share": 1.5}, "hot_share: expected a number from 0 to 1, got 1.5"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        ScanSettings(**change)


def test_bad_subjects(tmp_path):
    with pytest.raises(TypeError, match="subjects: expected a list of names, got the text 'mni:1'"):
        simulate_scans("mni:1", folder=tmp_path)
    with pytest.raises(ValueError, match="subjects: expected at least one, and each once"):
        simulate_scans(["mni:1", "mni:1"], folder=tmp_path)
    with pytest.raises(ValueError, match="subject: expected 'mni:N'"):
        simulate_scans(["mni"], SHORT, folder=tmp_path, workers=0)


def test_the_cache_is_where_it_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("PETTUTOR_SCAN_CACHE", raising=False)
    assert simulated_scans.scan_cache() == simulated_scans.Path.home() / ".cache" / "pettutor" / "scans"
    monkeypatch.setenv("PETTUTOR_SCAN_CACHE", str(tmp_path))
    assert simulated_scans.scan_cache() == tmp_path
    assert simulated_scans.scan_cache(tmp_path / "a") == tmp_path / "a"


# ---- batches -----------------------------------------------------------------------------------------------------


def test_every_example_is_seen_as_often_as_any_other():
    seen = np.concatenate([training_data.batch_indices(7, 3, 5, update) for update in range(14)])
    assert len(seen) == 42 and (np.bincount(seen) == 6).all()
    for turn in range(6):  # a shuffle after the other
        assert sorted(seen[7 * turn : 7 * turn + 7]) == list(range(7))
    assert (seen[:7] != seen[7:14]).any()
    assert (training_data.batch_indices(7, 3, 6, 0) != seen[:3]).any()
    assert len(training_data.batch_indices(2, 5, 0, 3)) == 5


def made_scan(subject="mni:1", seed=0, shape=(2, 8, 12), factor=0.5):
    """A scan that was never simulated: start, and a truth that is a multiple of it."""
    rng = np.random.default_rng(seed)
    start = rng.random(shape, np.float32)
    description = {"subject": subject, "height": 0.0, "dose": 1.0, "realisation": seed, "size": "slab"}
    return SimulatedScan(description, truth=factor * start, t1=rng.random(shape, np.float32), start=start, regions={})


@needs_keras
def test_what_networks_see():
    layers = networks.load_keras().layers
    scan, other = made_scan(), made_scan(seed=1)
    flat = networks.load_keras().Sequential([layers.Input((8, 12, 2)), layers.Conv2D(1, 1)])
    x, y = training_data.examples_of(flat, [scan, other], scale=4.0).all
    assert x.shape == (4, 8, 12, 2) and y.shape == (4, 8, 12, 1)
    np.testing.assert_array_equal(x[2, ..., 0], other.start[0] / 4)
    np.testing.assert_array_equal(x[1, ..., 1], scan.t1[1])
    np.testing.assert_array_equal(y[3, ..., 0], other.truth[1] / 4)
    volumes = networks.load_keras().Sequential([layers.Input((2, 8, 12, 1)), layers.Conv3D(1, 1)])
    examples = training_data.examples_of(volumes, [scan, other], scale=4.0)
    assert examples.all[0].shape == (2, 2, 8, 12, 1)
    mirrored = examples.mirrored()
    assert len(mirrored) == 4
    np.testing.assert_array_equal(mirrored.all[0][3, ..., 0], other.start[:, :, ::-1] / 4)
    np.testing.assert_array_equal(mirrored.all[1][3, ..., 0], other.truth[:, :, ::-1] / 4)
    with pytest.raises(ValueError, match=r"scans: expected images of \(8, 12\) .* got \(8, 11\)"):
        training_data.examples_of(flat, [made_scan(shape=(2, 8, 11))], scale=1.0)


# ---- training ----------------------------------------------------------------------------------------------------


def small_network(seed=0, filters=3):
    keras = networks.load_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    hidden = layers.Conv2D(filters, 3, padding="same", activation="relu", name="first")
    return keras.Sequential([layers.Input((None, None, 1)), hidden, layers.Conv2D(1, 1, name="last")])


TRAINING = [made_scan("mni:1", seed) for seed in range(5)]
VALIDATION = [made_scan("mni:2", 9)]


def run(model=None, **changes):
    model = model or small_network()
    settings = {"scale": 1.0, "updates": 24, "batch_size": 4, "round_updates": 4, "learning_rate": 1e-2} | changes
    training, validation = settings.pop("training", TRAINING), settings.pop("validation", VALIDATION)
    return model, train(model, training, validation, **settings)


@needs_keras
def test_training_finds_the_answer():
    keras = networks.load_keras()
    model = keras.Sequential([keras.layers.Input((8, 12, 1)), keras.layers.Conv2D(1, 1)])
    _, history = run(model, updates=400, round_updates=100, learning_rate=0.1, scale=3.0)
    kernel, offset = model.get_weights()
    assert kernel.item() == pytest.approx(0.5, abs=0.01) and offset.item() == pytest.approx(0, abs=0.01)
    assert history.updates == [100, 200, 300, 400] and history.ended == "updates"
    assert history.validation_loss[-1] < 1e-3 * history.validation_loss[0] or history.validation_loss[-1] < 1e-5


@needs_keras
def test_training_leaves_no_input_pipelines():
    """Collected by chance later, they would stop the process for as long as they are old, up to a minute."""
    if networks.load_keras().backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow has such pipelines")
    import tensorflow as tf

    pipeline = type(iter(tf.data.Dataset.range(1)))
    gc.collect()
    gc.disable()
    try:
        run(updates=8)
        left = sum(issubclass(type(thing), pipeline) for thing in gc.get_objects())  # a dead weak proxy has no class
    finally:
        gc.enable()
    assert left == 0


@needs_keras
def test_the_learning_rate_falls_as_a_cosine():
    _, history = run(updates=None, epochs=4.8)  # of 20 mirrored slices, 4 at a time
    assert history.updates == [4, 8, 12, 16, 20, 24]
    expected = [0.5e-2 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]
    assert history.learning_rate == pytest.approx(expected)


@needs_keras
def test_the_first_step_of_adam_is_the_learning_rate_times_the_multiplier():
    model = small_network()
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    run(model, updates=1, multipliers={"last/kernel": 7.0})
    for weight in model.trainable_weights:
        step = np.abs(weight.numpy() - before[weight.path]).max()
        assert step == pytest.approx(7e-2 if weight.path.endswith("last/kernel") else 1e-2, rel=1e-3)
    with pytest.raises(ValueError, match=r"multipliers: expected the names of weights \(.*last/bias\), got 'kappa'"):
        run(multipliers={"kappa": 2.0})


@needs_keras
def test_the_best_weights_are_kept(monkeypatch):
    model = small_network()

    def spoil(history):
        if history.rounds == 3:
            model.set_weights([weight + 3 for weight in model.get_weights()])

    _, history = run(model, callback=spoil, learning_rate=1e-3)
    assert history.best_round == 3 < history.rounds == 6
    x, y = training_data.examples_of(model, VALIDATION, scale=1.0).all
    loss = float(np.mean((np.array(model(x)) - y) ** 2))
    assert loss == pytest.approx(min(history.validation_loss), rel=1e-4)


@needs_keras
def test_patience_and_time_end_the_training(monkeypatch):
    _, history = run(updates=400, learning_rate=5.0, patience=2)
    assert history.ended == "patience" and history.rounds == history.best_round + 2 < 100
    clock = itertools.count(100)  # a second passes whenever it is asked for
    monkeypatch.setattr(train_module().time, "perf_counter", lambda: next(clock))
    _, history = run(updates=None, minutes=0.2, round_updates=8)
    assert history.ended == "minutes" and history.rounds == 2
    assert history.seconds[0] < 12 <= history.seconds[-1] < 15 and 8 < history.updates[-1] < 12


@needs_keras
def test_the_time_that_is_left_is_shown_after_every_update(monkeypatch):
    """Of a training that ends by its minutes: tqdm knows none, and a round may take a quarter of an hour."""
    shown, closed, clock = [], [], itertools.count(100, 7)  # in steps of which the limit is no multiple

    class Bar(train_module().tqdm):
        def update(self, n=1):
            shown.append(getattr(self, "postfix", ""))

        def close(self):
            closed.append(self.postfix)
            super().close()

    monkeypatch.setattr(train_module(), "tqdm", Bar)
    run(updates=4)
    assert len(shown) == 4 and not any("left" in words for words in shown)
    shown.clear()
    monkeypatch.setattr(train_module().time, "perf_counter", lambda: next(clock))
    _, history = run(updates=None, minutes=15, round_updates=70)
    left = [re.search(r"(\d\d):(\d\d) left$", words) for words in shown]
    assert len(left) == history.updates[-1] > 70
    seconds = [60 * int(one[1]) + int(one[2]) for one in left]
    assert 900 - 5 * 7 <= seconds[0] < 900 and seconds[-1] == 0 and (np.diff(seconds) < 0).all()
    assert not shown[69].startswith("validation") and shown[70].startswith("validation")
    last, best = (math.sqrt(loss) for loss in (history.validation_loss[-1], min(history.validation_loss)))
    assert f"validation {last:.4f}, best {best:.4f}, 00:00 left" in closed


@needs_keras
@pytest.mark.parametrize(("stop_at", "kept_updates"), [(12, [4, 8]), (14, [4, 8, 12])])  # in the middle of a round
def test_interrupted_training_ends_as_if_it_had_not_been(tmp_path, monkeypatch, stop_at, kept_updates):
    whole, history = run()

    with monkeypatch.context() as context:
        context.setattr(train_module(), "tqdm", bar_that_stops(stop_at))
        with pytest.raises(KeyboardInterrupt):
            run(folder=tmp_path)
    kept = json.loads((tmp_path / "history.json").read_text())
    assert kept["updates"] == kept_updates and kept["ended"] == ""
    resumed, later = run(small_network(seed=77), folder=tmp_path)  # its own start does not matter
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert later.loss == pytest.approx(history.loss, rel=1e-5) and later.updates == history.updates
    assert later.validation_loss == pytest.approx(history.validation_loss, rel=1e-5)
    # what is finished stays as it is
    again, last = run(small_network(seed=78), folder=tmp_path)
    assert last == later
    np.testing.assert_array_equal(again.get_weights()[0], resumed.get_weights()[0])


@needs_keras
def test_callbacks_of_keras_see_every_round_and_may_end_the_training(tmp_path):
    keras = networks.load_keras()
    whole, history = run()

    class Second(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    _, first = run(folder=tmp_path, callbacks=[log, Second()])
    assert first.rounds == 2 and first.ended == ""
    lines = (tmp_path / "log.csv").read_text().splitlines()
    column = lines[0].split(",").index("val_loss")
    assert [float(line.split(",")[column]) for line in lines[1:]] == pytest.approx(first.validation_loss, rel=1e-6)
    # what was ended so goes on, and ends as if nothing had been
    later, all_of_it = run(folder=tmp_path)
    assert all_of_it.updates == history.updates and all_of_it.ended == "updates"
    np.testing.assert_allclose(later.get_weights()[0], whole.get_weights()[0], rtol=1e-5, atol=1e-7)

    class InTheMiddle(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    assert run(callbacks=[InTheMiddle()])[1].updates == [2]
    with pytest.raises(TypeError, match=r"callbacks: expected objects of keras\.callbacks\.Callback, got "):
        run(callbacks=[print])


def bar_that_stops(stop_at):
    class Bar(train_module().tqdm):
        seen = 0

        def update(self, n=1):
            Bar.seen += n
            if Bar.seen == stop_at:
                raise KeyboardInterrupt

    return Bar


def train_module():
    return sys.modules[train.__module__]


@needs_keras
def test_the_state_of_another_training_is_refused(tmp_path):
    run(folder=tmp_path)
    for changes in ({"seed": 1}, {"learning_rate": 0.5}, {"training": TRAINING[:3]}):
        with pytest.raises(ValueError, match=r"state.npz: expected the state of this training, got that of one with"):
            run(folder=tmp_path, **changes)
    with pytest.raises(ValueError, match="expected the state of this training"):
        run(small_network(filters=4), folder=tmp_path)
    assert run(folder=tmp_path, seed=1, resume=False)[1].rounds == 6
    content = (tmp_path / "state.npz").read_bytes()
    (tmp_path / "state.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="expected the state of a training, got a damaged file"):
        run(folder=tmp_path, seed=1)


@needs_keras
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation": TRAINING[:1]}, "validation: expected subjects that are not trained on, got mni:1 in both sets"),
        ({"training": []}, "training: expected at least one scan"),
        ({"updates": None}, "epochs, updates, minutes: expected at least one of them"),
        ({"epochs": 3}, "epochs, updates: expected one of them, got 3 and 24"),
        ({"scale": 0.0}, "scale: expected a number > 0, got 0.0"),
        ({"batch_size": 1.5}, "batch_size: expected a whole number > 0, got 1.5"),
        ({"minutes": -1}, "minutes: expected a number > 0, got -1"),
    ],
)
def test_bad_training_settings(change, message):
    with pytest.raises(ValueError, match=message):
        run(**change)


@needs_keras
def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(FloatingPointError, match="training: expected a finite loss"):
        run(training=[made_scan(factor=np.float32(np.nan))])


@needs_keras
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_for_what_is_built_inside_and_resumes(tmp_path, policy):
    """In float16 the loss is scaled, by a factor that changes as it goes: it belongs to the state as well."""
    from pettutor.networks.training.options import precision

    keras = networks.load_keras()

    def network(seed=0):
        with precision(policy):
            return small_network(seed)

    whole, history = run(network())
    assert whole.layers[0].compute_dtype == policy.removeprefix("mixed_")
    assert keras.config.dtype_policy().name == "float32"
    assert isinstance(whole.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert history.loss[-1] < history.loss[0] and history.learning_rate[-1] < 0.5 * history.learning_rate[0]

    def stop(history):
        if history.rounds == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(network(), folder=tmp_path, callback=stop)
    resumed, later = run(network(seed=77), folder=tmp_path)
    assert later.loss == pytest.approx(history.loss, rel=1e-5) and later.updates == history.updates
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert len(resumed.optimizer.variables) == len(whole.optimizer.variables)
    for one, other in zip(resumed.optimizer.variables, whole.optimizer.variables, strict=True):
        np.testing.assert_allclose(*(keras.ops.convert_to_numpy(v) for v in (one, other)), rtol=1e-4, atol=1e-7)


# ---- unrolled networks, and JAX ----------------------------------------------------------------------------------


@needs_keras
def test_an_unrolled_network_trains_on_the_counts(scans):
    """Without the counts it could not know the dose: what it gets is registered under the right numbers."""
    networks.load_keras().utils.set_random_seed(0)
    model = networks.EMNet((128, 128, 1), unrolls=1, scale=50.0, cnn=lambda shape: unet(shape, (2, 2), residual=False))
    shown, held_out = scans[4:6], scans[:1]
    with pytest.raises(ValueError, match="mirror: expected False for an unrolled network"):
        train(model, shown, held_out, scale=50.0, updates=1, mirror=True)
    calls = []
    history = train(
        model, shown, held_out, scale=50.0, updates=2, batch_size=2, round_updates=1, learning_rate=1e-9,
        callback=calls.append,
    )  # fmt: skip
    assert len(calls) == 2
    # untrained, one unroll is one more iteration of MLEM
    from pettutor import mlem

    def error(scan):
        x = mlem(scan.prompts, scan.acquisition_model(), iterations=5)
        return float(np.mean((x - scan.truth) ** 2)) / 50**2

    assert history.loss[0] == pytest.approx(np.mean([error(scan) for scan in shown]), rel=1e-3)
    assert history.validation_loss[0] == pytest.approx(error(held_out[0]), rel=1e-3)
    network = TrainedNetwork(model, recipe("em_net"), {})
    image = network.of_scan(scans[1])
    expected = mlem(scans[1].prompts, scans[1].acquisition_model(), iterations=5)
    np.testing.assert_allclose(image, expected, rtol=1e-3, atol=1e-2)
    with pytest.raises(ValueError, match="prompts, A: expected counts and a model"):
        network(scans[1].start)


@needs_keras
def test_an_unrolled_network_that_was_interrupted_ends_as_if_it_had_not_been(scans, tmp_path, monkeypatch):
    def trained(seed, **more):
        networks.load_keras().utils.set_random_seed(seed)
        cnn = {"cnn": lambda shape: unet(shape, (2, 2), residual=False)}
        model = networks.EMNet((128, 128, 1), unrolls=1, scale=50.0, **cnn)
        settings = {"updates": 4, "batch_size": 1, "round_updates": 2, "learning_rate": 1e-2}
        return model, train(
            model, scans[4:6], scans[:1], scale=50.0, multipliers={"raw_alpha": 3.0}, **settings, **more
        )

    whole, history = trained(0)
    with monkeypatch.context() as context:
        context.setattr(train_module(), "tqdm", bar_that_stops(3))
        with pytest.raises(KeyboardInterrupt):
            trained(0, folder=tmp_path)
    resumed, later = trained(77, folder=tmp_path)
    assert later.updates == history.updates == [2, 4]
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert later.loss == pytest.approx(history.loss, rel=1e-5)


KILLED = """
import sys; sys.path.insert(0, {tests!r})
import os, numpy as np, pettutor.networks as n, test_training as t
keras = n.load_keras()
assert keras.backend.backend() == "jax" and not __import__("jax").config.jax_enable_x64
scans = t.simulate_scans(["mni:0", "mni:2"], t.SHORT, heights=(0.0,), doses=(0.5,), folder={scans!r}, workers=0)

def trained(seed, **more):
    keras.utils.set_random_seed(seed)
    cnn = lambda shape: t.unet(shape, (2, 2), residual=True)
    model = n.MAPEMNet((128, 128, 1), cnn=cnn, unrolls=1, steps=1, scale=50.0)
    settings = {{"updates": 4, "batch_size": 1, "round_updates": 2, "learning_rate": 1e-2}}
    return model, t.train(model, scans[:1], scans[1:], scale=50.0, multipliers={{"raw_kappa": 3.0}}, **settings, **more)

class Dying(t.train_module().tqdm):
    seen = 0
    def update(self, n=1):
        Dying.seen += n
        if Dying.seen == 3:
            os._exit(9)

if {dies}:
    t.train_module().tqdm = Dying
    trained(0, folder={folder!r})
resumed, later = trained(77, folder={folder!r})
print(later.updates, len(later.loss))
whole, history = trained(0)
assert later.updates == history.updates == [2, 4], (later.updates, history.updates)
before = whole.get_weights()
for one, other in zip(resumed.get_weights(), before, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
np.testing.assert_allclose(later.loss, history.loss, rtol=1e-5)
"""


@needs_keras
@pytest.mark.skipif(not networks.backend._is_installed("jax"), reason="JAX is not installed")
def test_an_unrolled_network_whose_process_was_killed_goes_on_to_the_same_numbers(tmp_path, folder):
    """MAPEM-Net on JAX, with its 32 bits: killed in its third update, after the state of the first two was kept."""
    settings = {"tests": os.path.dirname(__file__), "scans": str(folder), "folder": str(tmp_path)}
    run_python(KILLED.format(dies=True, **settings), status=9, timeout=300, KERAS_BACKEND="jax")
    assert any(tmp_path.iterdir())
    said = run_python(KILLED.format(dies=False, **settings), timeout=300, KERAS_BACKEND="jax")
    assert said.split("\n")[-1] == "[2, 4] 2"


JAX = """
import sys; sys.path.insert(0, {tests!r})
import numpy as np, pettutor.networks as n, test_training as t
keras = n.load_keras()
assert keras.backend.backend() == "jax"
t.VALIDATION = [t.made_scan("mni:2", 9, (3, 8, 12))]  # three slices cannot be halved
whole, history = t.run()
plain, t.train_module().tqdm = t.train_module().tqdm, t.bar_that_stops(14)
try:
    t.run(folder={folder!r})
except KeyboardInterrupt:
    print("stopped")
t.train_module().tqdm = plain
resumed, later = t.run(t.small_network(seed=77), folder={folder!r})
for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
assert later.updates == history.updates
t.test_the_first_step_of_adam_is_the_learning_rate_times_the_multiplier()
from pettutor.networks.training.options import use_all_devices, use_one_device
print(use_all_devices(4), "devices")
_, shared = t.run()
np.testing.assert_allclose(shared.loss, history.loss, rtol=1e-4)
np.testing.assert_allclose(shared.validation_loss, history.validation_loss, rtol=1e-4)
use_one_device()
print(keras.distribution.distribution())
print(use_all_devices(3), "device for batches of 3", keras.distribution.distribution())
"""


@pytest.mark.skipif(not networks.backend._is_installed("jax"), reason="JAX is not installed")
def test_jax_resumes_and_shares_out_to_two_devices(tmp_path):
    code = JAX.format(tests=os.path.dirname(__file__), folder=str(tmp_path))
    flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": f"{QUICK_COMPILATION} --xla_force_host_platform_device_count=2"}
    said = run_python(code, **flags).split("\n")
    assert said == ["stopped", "2 devices", "None", "1 device for batches of 3 None"]


DEVICES = """
import contextlib, io
{before}
with contextlib.redirect_stderr(io.StringIO()) as said:
    from pettutor.networks.training.options import use_all_devices
    devices = use_all_devices(8)
print(devices, *[line for line in said.getvalue().split("\\n") if "training" in line])
from keras.distribution import distribution
print(distribution())
"""
TWO_TENSORFLOW = """
import tensorflow as tf
(processor,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, 2 * [tf.config.LogicalDeviceConfiguration()])
"""
TORCH = """
import torch
torch.cuda.device_count = lambda: {gpus}
"""


@pytest.mark.parametrize(
    ("backend", "several"),
    [("tensorflow", TWO_TENSORFLOW), ("torch", TORCH.format(gpus=2))],
    ids=["tensorflow", "torch"],
)
def test_one_of_several_devices_is_used_and_said_where_keras_shares_nothing_out(backend, several):
    """Keras takes a distribution on TensorFlow, too, and does nothing with it."""
    if not networks.backend._is_installed(backend):
        pytest.skip(f"{backend} is not installed")
    said, distribution = run_python(DEVICES.format(before=several), KERAS_BACKEND=backend).split("\n")
    assert said.startswith("1 pettutor: training on one of 2 devices:") and "KERAS_BACKEND=jax" in said
    assert distribution == "None"


@pytest.mark.parametrize(
    ("backend", "before"),
    [("torch", TORCH.format(gpus=0)), ("torch", TORCH.format(gpus=1)), ("jax", "")],
    ids=["torch, CPU", "torch, GPU", "jax, CPU"],
)
def test_one_device_is_nothing_to_speak_of(backend, before):
    if not networks.backend._is_installed(backend):
        pytest.skip(f"{backend} is not installed")
    code = DEVICES.format(before=before)
    assert run_python(code, KERAS_BACKEND=backend, CUDA_VISIBLE_DEVICES="") == "1\nNone"


def test_no_batch_is_shared_out():
    with pytest.raises(ValueError, match="batch_size: expected a whole number >= 1, got 0"):
        networks.use_all_devices(0)


@pytest.mark.parametrize(("name", "used"), [("unet", "all, 8"), ("em_net", "one"), ("bcd_net", "one")])
def test_a_network_with_a_projector_inside_is_trained_on_one_device(name, used, tmp_path, monkeypatch):
    class Chosen(Exception):
        pass

    def choose(*batch_size):
        raise Chosen(", ".join(("all", *map(str, batch_size))) if batch_size else "one")

    monkeypatch.setattr(command, "simulate_scans", lambda *subjects, **options: [])
    monkeypatch.setattr(command, "use_all_devices", choose)
    monkeypatch.setattr(command, "use_one_device", choose)
    with pytest.raises(Chosen, match=f"^{used}$"):
        command.run(name, out=tmp_path, say=lambda text: None)


# ---- recipes and stored networks ---------------------------------------------------------------------------------


def test_recipes_survive_json_and_never_train_on_the_test_subject():
    for (name, size), one in RECIPES.items():
        assert (one.name, one.size) == (name, size) == (one.name, one.scans.size)
        assert Recipe.from_dict(json.loads(json.dumps(one.as_dict()))) == one
        assert "mni:0" in one.subjects.test and "mni:0" not in (*one.subjects.training, *one.subjects.validation)
        assert one.test_scans().lesions == "standard"
        smoke = one.smoke()
        assert len(smoke.subjects.training) == 1 and smoke.subjects.test == one.subjects.test
    assert {name for name, size in RECIPES if size == "slab"} == set(BUILDERS)
    with pytest.raises(ValueError, match=r"network: expected one of ced \(slab mini\), .*got 'cde' at size 'slab'"):
        recipe("cde")


@needs_keras
def test_a_recipe_builds_the_same_network_every_time():
    one, other = recipe("ced").build(), recipe("ced").build()
    assert one.count_params() == 3870
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@needs_keras
def test_a_network_on_volumes_by_slices_has_the_weights_of_that_on_slices():
    volumes, slices = recipe("mapem_net", "mini").build(), recipe("mapem_net", "slab").build()
    assert tuple(volumes.inputs[0].shape) == (None, 31, 128, 128, 1)
    trained = pretrained("mapem_net", "slab").model.get_weights()
    volumes.set_weights(trained)
    for one, other, before in zip(volumes.get_weights(), trained, slices.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == before.shape


@needs_keras
@pytest.mark.parametrize("name", ["ced", "em_net"])  # on slices, and one with a CNN by slices in volumes
def test_a_network_for_volumes_starts_from_the_weights_of_slices(name, tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    begun = []

    def stop(chosen, model, *others):
        begun.append(model.get_weights())
        raise Enough

    monkeypatch.setattr(command, "simulate_scans", lambda *anything, **settings: [])
    monkeypatch.setattr(command, "fit", stop)
    with pytest.raises(Enough):
        command.run(name, "mini", out=tmp_path, say=lambda words: None)
    of_slices, untrained = pretrained(name, "slab").model.get_weights(), recipe(name, "mini").build().get_weights()
    for one, other in zip(begun[0], of_slices, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.any(one != other) for one, other in zip(untrained, of_slices, strict=True))


@needs_keras
def test_the_command_trains_tests_and_writes(tmp_path, folder, monkeypatch):
    from typer.testing import CliRunner

    from pettutor import cli

    monkeypatch.setenv("PETTUTOR_SCAN_CACHE", str(folder))
    command = ["train", "ced", "--smoke", "--workers", "0", "--seed", "3", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    assert "1 scans of 1 subject" in done.output and "mni:0, never trained on" in done.output
    record = json.loads(record_path("ced", "slab", tmp_path).read_text())
    assert record["recipe"]["seed"] == 3 and record["weights"] == 3870 and record["history"]["ended"] == "updates"
    assert {"pettutor", "numpy", "keras"} <= set(record["versions"])
    (row,) = record["test"]["rows"]
    assert (row["subject"], row["dose"]) == ("mni:0", 1.0)
    network = pretrained("ced", folder=tmp_path)
    assert check_figures(network, folder) == 1
    resumed = CliRunner().invoke(cli.app, [*command, "--resume"])
    assert resumed.exit_code == 0 and "trained: 4 updates" in resumed.output
    listed = CliRunner().invoke(cli.app, ["train"])
    assert all(name in listed.output for name in BUILDERS)
    assert re.search(r"^ced .*; at most 100 epochs at slab$", listed.output, re.M)
    assert re.search(r"^mapem_net .* sees pet, counts; 20 minutes at slab$", listed.output, re.M)
    assert pretrained("CED", folder=tmp_path).recipe == network.recipe
    assert recipe("MAPEM-Net") is recipe("mapemnet") is recipe("mapem_net")
    wrong = CliRunner().invoke(cli.app, ["train", "mednet"])
    assert wrong.exit_code == 1 and "expected one of ced" in wrong.output


def check_figures(network, folder, tolerance=0.005):
    """Compare the first test scan of dose 1 (a slab: also of a lower one) with what the record says; how many."""
    first = {}
    for row in network.record["test"]["rows"]:
        first.setdefault(row["dose"], row)
    rows = [row for row in first.values() if row["dose"] == 1 or (row["dose"] < 1 and network.recipe.size == "slab")]
    for row in rows:
        settings = network.recipe.test_scans()
        (scan,) = simulate_scans(
            [row["subject"]], settings, heights=(row["height"],), doses=(row["dose"],), realisations=1,
            folder=folder, workers=0,
        )  # fmt: skip
        assert scan.key == row["key"]
        found = figures_of(network.of_scan(scan), scan)
        for name, value in row["network"].items():
            assert found[name] == pytest.approx(value, rel=tolerance, abs=tolerance), (network.recipe.name, name)
    return len(rows)


def pretrained_record(name, size="slab"):
    return json.loads(record_path(name, size).read_text(encoding="utf-8"))


def networks_of_the_same_scans():
    """The stored networks; at mini those together that are tested on the same scans: a volume takes half a minute."""
    together = {}
    for name, size in stored_networks():
        together.setdefault(
            (size, name if size == "slab" else pretrained_record(name, size)["test"]["rows"][0]["key"]), []
        ).append(name)
    return [pytest.param(names, size, id=f"{size}-{'-'.join(names)}") for (size, _), names in together.items()]


@needs_keras
@pytest.mark.parametrize(("names", "size"), networks_of_the_same_scans())
def test_stored_networks_reach_their_figures(names, size, folder):
    for name in names:
        assert weights_path(name, size).stat().st_size < 1_000_000
        network = pretrained(name, size)
        assert network.recipe == recipe(name, size), f"{name}: the recipe has changed since the network was trained"
        assert check_figures(network, folder) >= 1


@pytest.mark.parametrize(("name", "size"), stored_networks())
def test_the_figures_shown_are_means_of_those_of_the_scans(name, size):
    """What the docs print of every network, at every dose, is made of the rows that its record keeps."""
    test = pretrained_record(name, size)["test"]
    assert len(test["rows"]) == {"slab": 12, "mini": 3}[size]
    assert summary(test["rows"]) == test["summary"]


@pytest.mark.parametrize("size", SIZES)
def test_bowsher_was_measured_on_the_scans_of_the_networks(size):
    record, network = pretrained_record("bowsher", size), pretrained_record("ced", size)
    rows = record["test"]["rows"]
    assert [row["key"] for row in rows] == [row["key"] for row in network["test"]["rows"]]
    assert summary(rows, ("bowsher",), "kappa") == record["test"]["summary"]
    for line in record["test"]["summary"]:
        assert min(record["kappas"]) < line["kappa"] < max(record["kappas"]), "the best is at the end of what was tried"


def test_the_text_of_the_figures_shows_bowsher_in_each_dose():
    lines, marks = (pretrained_record(name)["test"]["summary"] for name in ("em_net", "bowsher"))
    plain, marked = as_text(lines).splitlines(), as_text(lines, bowsher=marks).splitlines()
    found = [row for row in marked if "Bowsher MAP, sees T1" in row]
    assert [row for row in marked if row not in found] == plain
    assert [row.split("T1")[1].split()[:2] for row in found] == [[f"{m['bowsher']['nrmse']:.2f}", "%"] for m in marks]
    assert [marked[k - 1].split()[0] for k, row in enumerate(marked) if row in found] == ["network"] * len(lines)
    with pytest.raises(ValueError, match=r"bowsher: expected lines for the doses and scans .*, got "):
        as_text(lines, bowsher=marks[1:])


def test_bowsher_reaches_its_figures(folder):
    """The mark beside the stored networks, on one of their test scans."""
    record = pretrained_record("bowsher")
    row = next(row for row in record["test"]["rows"] if row["dose"] == 1)
    (scan,) = simulate_scans(
        [row["subject"]], recipe("ced").test_scans(), heights=(row["height"],), doses=(1.0,), realisations=1,
        folder=folder, workers=0,
    )  # fmt: skip
    image = bowsher.bowsher_map(scan, row["kappa"])
    assert figures_of(image, scan) == pytest.approx(row["bowsher"], rel=0.005, abs=0.005)
    np.testing.assert_array_equal(bowsher.bowsher_map(scan), image)  # the strength stored for this dose
    with pytest.raises(ValueError, match="size: expected one of 'slab', 'mini', got 'mmr'"):
        networks.stored_bowsher("mmr")


@needs_keras
def test_the_counts_correct_a_frozen_network_where_they_are_many(folder):
    """What lesson 12 says of `cnn_penalty`: lesions come back at every dose, without more error at three times it."""
    unet = pretrained("unet")
    scale = unet.scale
    for dose, no_more_error in ((1 / 3, False), (3.0, True)):
        (scan,) = simulate_scans(
            ["mni:0"], unet.recipe.test_scans(), heights=(0.0,), doses=(dose,), realisations=1, folder=folder, workers=0
        )
        x = networks.cnn_penalty(
            scan.prompts_on(), scan.acquisition_model(), unet.model, scan.start / np.float32(scale), scale=scale,
            kappa=0.03, iterations=40, start=scan.start,
        )  # fmt: skip
        corrected, answer = figures_of(x, scan), figures_of(unet.of_scan(scan), scan)
        assert corrected["lesions"] > answer["lesions"] + 0.03
        assert (corrected["nrmse"] < answer["nrmse"]) == no_more_error


def test_all_stored_weights_are_small_and_belong_to_recipes():
    assert sum(path.stat().st_size for path in FOLDER.glob("*")) < 3_000_000
    assert set(stored_networks()) == {(name, size) for name in BUILDERS for size in SIZES}
    assert all(recipe(name, size).stored for name, size in stored_networks())
    with pytest.raises(ValueError, match=r"expected one with stored weights \(.*; this trains it: pettutor train ced"):
        pretrained("ced", "mmr")


def test_stored_networks_are_made_again_in_as_many_updates(tmp_path, monkeypatch):
    """A limit in minutes would make other weights on another machine; another recipe begins with its minutes."""
    asked, other = {}, replace(RECIPES["em_net", "slab"], seed=5)
    monkeypatch.setattr(keep, "run", lambda *which, **options: asked.update({which: options}))
    monkeypatch.setattr(keep, "keep", lambda *which: FOLDER)
    monkeypatch.setattr(keep, "RECIPES", {**RECIPES, ("em_net", "slab"): other})
    keep.main(tmp_path)
    assert set(asked) == set(stored_networks())
    for (name, size), options in asked.items():
        repeated = recipe(name, size).minutes is not None and (name, size) != ("em_net", "slab")
        updates = pretrained_record(name, size)["history"]["updates"][-1] if repeated else None
        assert options == {"out": tmp_path, "updates": updates, "resume": True}, name
    assert (
        sum(options["updates"] is None for options in asked.values()) == 4
    )  # EM-Net; CED at slab and BCD-Net end by epochs


def test_what_is_kept_already_is_not_trained_again(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(keep, "run", lambda name, size, **options: asked.append(name))
    monkeypatch.setattr(keep, "keep", lambda *which: FOLDER)
    for name in ("unet", "em_net", "fbsem_net"):
        for path in (weights_path, record_path):
            shutil.copy(path(name, "slab"), tmp_path)
    weights_path("em_net", "slab", tmp_path).write_bytes(b"other weights")
    record_path("fbsem_net", "slab", tmp_path).write_bytes(b"another record")
    monkeypatch.setattr(keep, "RECIPES", {pair: one for pair, one in RECIPES.items() if pair[1] == "slab"})
    keep.main(tmp_path, ["unet", "em_net", "mapem_net", "fbsem_net"])
    assert asked == ["em_net", "mapem_net", "fbsem_net"]


@pytest.mark.parametrize("size", SIZES)
def test_the_page_on_networks_has_the_figures_of_the_stored_ones(size):
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    table = page.partition(f"<!-- stored-networks {size} -->")[2].partition("<!-- end of stored-networks -->")[0]
    assert table.strip() == keep.as_markdown(size)
