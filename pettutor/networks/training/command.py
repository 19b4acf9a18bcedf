"""What ``pettutor train`` does: scans, training, test, weights."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pettutor.networks.training.options import precision, use_all_devices, use_one_device
from pettutor.networks.training.recipes import BUILDERS, RECIPES, recipe
from pettutor.networks.training.simulated_scans import scan_cache, simulate_scans
from pettutor.networks.training.stored_weights import pretrained, record_path, store, versions
from pettutor.networks.training.train import train
from pettutor.networks.training.trained_network import TrainedNetwork, as_text, summary, test_figures

STATE = "training"  # folder of the state, beside the weights


def run(name, size="slab", *, out, seed=None, minutes=None, updates=None, subjects=None, resume=False, smoke=False,
        policy=None, scan_folder=None, workers=None, progress=True, say=print):  # fmt: skip
    """Train a network by its recipe, measure it on the test subject, and keep weights and record.

    Parameters
    ----------
    name, size : str
        See `pettutor.networks.recipe`.
    out : path
        Folder for the weights, the record and the state of the training.
    seed : int, optional
        Instead of the recipe's.
    minutes : float, optional
        Wall-clock limit of the training; the learning rate falls within it.
    updates : int, optional
        Training steps, instead of the recipe's epochs or minutes.
    subjects : int, optional
        How many to train on, instead of the recipe's.
    resume : bool
        Go on with the training in ``out``.
    smoke : bool
        `Recipe.smoke`.
    policy : str, optional
        Keras's dtype policy, such as "mixed_float16".
    scan_folder, workers : as of `simulate_scans`.
    progress : bool
    say : callable

    Returns
    -------
    TrainedNetwork

    Raises
    ------
    ValueError
        Both ``minutes`` and ``updates``; either of them for BCD-Net, each layer of which needs its epochs.
    """
    if minutes is not None and updates is not None:
        raise ValueError(f"minutes, updates: expected one of them, got {minutes:g} and {updates}")
    chosen = changed(recipe(name, size), seed, subjects, smoke)
    name = chosen.name
    minutes = chosen.minutes if minutes is None and updates is None else minutes
    out = Path(out)
    state = out / STATE / f"{name}-{size}"
    say(description(chosen, minutes, updates, scan_folder))
    split = chosen.subjects
    options = {"folder": scan_folder, "workers": workers, "progress": progress}
    training = split.check(simulate_scans(split.training, chosen.scans, **options), "training")
    validation = split.check(simulate_scans(split.validation, chosen.validation_scans(), **options), "validation")
    if chosen.is_unrolled or chosen.is_greedy:  # with a projector inside, which is on one device
        use_one_device()
    else:
        use_all_devices(chosen.batch_size)
    with precision(policy):
        model = chosen.build()
    if chosen.starts_from:
        model.set_weights(pretrained(name, chosen.starts_from).model.get_weights())
    follow = fit_greedily if chosen.is_greedy else fit
    limits = {"minutes": minutes, "updates": updates}
    history, words = follow(chosen, model, training, validation, limits, state, resume, progress)
    say(words)
    test = split.check(simulate_scans(split.test, chosen.test_scans(), **options), "test")
    network = TrainedNetwork(model, chosen, {})
    with tqdm(total=len(test), desc="testing", unit="scan", disable=not progress) as bar:
        rows = test_figures(network, test, bar.update)
    network.record = {
        "name": name, "size": size, "recipe": chosen.as_dict(), "minutes": minutes, "policy": policy or "float32",
        "weights": count_weights(model), "history": history, "test": {"rows": rows,
        "summary": summary(rows)}, "versions": versions(),
    }  # fmt: skip
    path = store(network, out)
    say(f"{', '.join(split.test)}, never trained on:\n{as_text(network.record['test']['summary'], start_of(chosen))}")
    say(f"{path}, {path.stat().st_size / 1000:.0f} kB, and {record_path(name, size, out).name}")
    return network


def fit(chosen, model, training, validation, limits, state, resume, progress):
    """Train a model by its recipe; returns its history (plain data) and a line about it."""
    if all(limit is None for limit in limits.values()):
        limits = {"epochs": chosen.epochs}
    history = train(
        model, training, validation, scale=chosen.scale, batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate, multipliers=chosen.multipliers, patience=chosen.patience,
        round_updates=chosen.round_updates, mr_spots=chosen.mr_spots, seed=chosen.seed, folder=state, resume=resume,
        progress=progress, **limits,
    )  # fmt: skip
    return history.as_dict(), (
        f"trained: {history.updates[-1]} updates in {history.seconds[-1]:.0f} s, ended by {history.ended}; best on the "
        f"validation subject after round {history.best_round} of {history.rounds}"
    )


def fit_greedily(chosen, network, training, validation, limits, state, resume, progress):
    """Train a `BCDNet` layer by layer; returns its history (plain data) and a line about it."""
    for name, limit in limits.items():
        if limit is not None:
            raise ValueError(f"{name}: expected none for {chosen.name} (every layer needs its epochs), got {limit:g}")
    checkpoint = state / "layers.npz"
    state.mkdir(parents=True, exist_ok=True)
    if not resume:
        checkpoint.unlink(missing_ok=True)

    def data(scans):
        pairs = [(scan.prompts_on(), scan.acquisition_model()) for scan in scans]
        return pairs, [scan.start for scan in scans], [scan.truth for scan in scans]

    network.fit(
        *data(training), validation=data(validation), epochs=int(chosen.epochs), batch_size=chosen.batch_size,
        seed=chosen.seed, patience=chosen.patience, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    record, layers = network.record, len(network.weights)
    return asdict(record), (
        f"trained: {layers} layers in {sum(record.seconds):.0f} s; root mean square error on the "
        f"validation subject {record.validation[0]:.2f} before, {record.validation[layers]:.2f} after"
    )


def count_weights(model):
    """Number of weights of a keras.Model or a `BCDNet`."""
    if hasattr(model, "count_params"):
        return int(model.count_params())
    return int(sum(np.size(values) for layer in model.weights for values in layer))


def changed(chosen, seed=None, subjects=None, smoke=False):
    """A recipe with what the command line changes."""
    if smoke:
        chosen = chosen.smoke()
    if seed is not None:
        chosen = replace(chosen, seed=seed)
    if subjects is not None:
        known = chosen.subjects.training
        if not 1 <= subjects <= len(known):
            raise ValueError(f"subjects: expected 1 to {len(known)}, got {subjects}")
        chosen = replace(chosen, subjects=replace(chosen.subjects, training=known[:subjects]))
    return chosen


def start_of(chosen):
    s = chosen.scans
    return f"{s.start.upper()}, {s.iterations}" + (f" × {s.subsets}" if s.start == "osem" else "")


def description(chosen, minutes, updates, scan_folder):
    """What is about to be done: text."""
    s, split = chosen.scans, chosen.subjects
    count = len(split.training) * len(s.heights) * len(s.doses) * s.realisations
    limit = f"{minutes:g} minutes" if minutes is not None else f"at most {chosen.epochs:g} epochs"
    limit = limit if updates is None else f"{updates} updates"
    who = f"{len(split.training)} subject{'s' if len(split.training) > 1 else ''}"
    return (
        f"{chosen.name} at {chosen.size}, seed {chosen.seed}: {count} scans of {who}, {limit}; scans "
        f"are kept in {scan_cache(scan_folder)}"
    )


def list_recipes():
    """The recipes, as text."""
    lines = []
    for name in BUILDERS:
        sizes = " ".join(size for other, size in RECIPES if other == name)
        first = recipe(name)
        sees = " and ".join(first.channels) + (", counts" if first.is_unrolled or first.is_greedy else "")
        limit = f"{first.minutes:g} minutes" if first.minutes is not None else f"at most {first.epochs:g} epochs"
        lines.append(f"{name:<14} {sizes:<10} sees {sees}; {limit} at {first.size}")
    return "\n".join(lines)
