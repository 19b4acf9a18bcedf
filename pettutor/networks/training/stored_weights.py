"""Trained weights and the record of how they came about; those in the package belong to the recipes.

``<name>-<size>.weights.h5`` holds the weights (Keras's own format; BCD-Net has a ``.npz``), ``<name>-<size>.json`` the
recipe, the history of the training, the test figures and the versions.
``python -m pettutor.networks.training.keep FOLDER`` makes all of them again.
"""

import json
import os
import platform
from importlib import metadata
from pathlib import Path

from pettutor.networks.backend import describe_backend
from pettutor.networks.training.recipes import Recipe, plain_name
from pettutor.networks.training.trained_network import TrainedNetwork

FOLDER = Path(__file__).parent / "weights"


def weights_path(name, size, folder=FOLDER):
    ending = "npz" if name == "bcd_net" else "weights.h5"
    return Path(folder) / f"{name}-{size}.{ending}"


def record_path(name, size, folder=FOLDER):
    return Path(folder) / f"{name}-{size}.json"


def stored_networks(folder=FOLDER):
    """Names and sizes of the networks whose weights are stored: list of (name, size)."""
    found = [tuple(path.stem.rsplit("-", 1)) for path in sorted(Path(folder).glob("*-*.json"))]
    return [pair for pair in found if weights_path(*pair, folder).is_file()]


def recorded_updates(recipe):
    """Training steps to train a network again for as long as the one in the package, on whatever machine.

    A limit in minutes would give a slower machine less of a network: it becomes the updates that it was enough for.

    Parameters
    ----------
    recipe : Recipe

    Returns
    -------
    int or None
        None where the recipe has no such limit (epochs or patience end it), or the package has no weights made by it.
    """
    path = record_path(recipe.name, recipe.size)
    if recipe.minutes is None or not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return record["history"]["updates"][-1] if Recipe.from_dict(record["recipe"]) == recipe else None


def pretrained(name, size="slab", *, scans=None, folder=None):
    """A trained network, made anew by its recipe, with its stored weights.

    Parameters
    ----------
    name : str
        "ced", "unet", "low_count_mr", "em_net", "mapem_net", "fbsem_net", "bcd_net".
    size : "slab" or "mini"
    scans : Scans, optional
        Of an unrolled network, to train it further; to reconstruct it needs none.
    folder : path, optional
        What ``pettutor train --out`` wrote; default: what is in the package.

    Returns
    -------
    TrainedNetwork
        ``network(start, mr=t1, prompts=y, A=A)``; its ``record`` has the figures that it reached on the test subject.

    Raises
    ------
    ValueError
        No weights are stored under this name; the message names those that there are, and how to train it.
    """
    folder = FOLDER if folder is None else Path(folder)
    name = plain_name(name)
    path = weights_path(name, size, folder)
    if not path.is_file():
        known = ", ".join(f"{n!r} at {s!r}" for n, s in stored_networks(folder)) or "none"
        raise ValueError(
            f"network: expected one with stored weights ({known}), got {name!r} at {size!r}; "
            f"this trains it: pettutor train {name} --size {size}"
        )
    record = json.loads(record_path(name, size, folder).read_text(encoding="utf-8"))
    recipe = Recipe.from_dict(record["recipe"])
    if recipe.is_greedy:
        from pettutor.networks.bcd_net import BCDNet

        return TrainedNetwork(BCDNet.load(path), recipe, record)
    model = recipe.build()
    model.load_weights(path)
    if scans is not None and recipe.is_unrolled:
        from pettutor.networks.physics.layers import attach

        attach(model, scans)
    return TrainedNetwork(model, recipe, record)


def store(network, folder):
    """Write weights and record; returns the path of the weights."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = network.recipe
    path = weights_path(recipe.name, recipe.size, folder)
    if recipe.is_greedy:
        network.model.save(path)
    else:
        _save_weights(network, path)
    text = json.dumps(network.record, indent=1, allow_nan=False) + "\n"
    record_path(recipe.name, recipe.size, folder).write_text(text, encoding="utf-8")
    return path


def _save_weights(network, path):
    # a model of its own: the trained one would bring its optimizer along
    plain = network.recipe.build()
    plain.set_weights(network.model.get_weights())
    # the name decides the format, so it has to end like this aside, too
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        plain.save_weights(aside, overwrite=True)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def versions():
    """Of what the numbers depend on."""
    from pettutor import __version__

    others = {name: metadata.version(name) for name in ("numpy", "scipy", "numba")}
    return {"pettutor": __version__, "python": platform.python_version(), **others, **describe_backend()}
