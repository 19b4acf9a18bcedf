"""Make all stored networks again: ``python -m pettutor.networks.training.keep FOLDER [NAME ...]`` (for authors).

Every recipe that is marked as stored is trained in FOLDER as ``pettutor train`` does it (going on where an earlier run
was stopped), and its weights and record are copied into the package. Where the recipe has a limit in minutes, as many
updates are made as the weights in the package had; a recipe that is new or has changed is trained for its minutes. The
learning rate falls over the updates then and not over the minutes: such weights are alike, not equal to the bit.
"""

import filecmp
import json
import shutil
import sys
from pathlib import Path

from pettutor.networks.backend import choose_backend
from pettutor.networks.training.bcd_training import BCDRecord
from pettutor.networks.training.bowsher import stored_bowsher
from pettutor.networks.training.command import run
from pettutor.networks.training.recipes import BASELINE_ITERATIONS, RECIPES
from pettutor.networks.training.stored_weights import (
    FOLDER,
    pretrained,
    record_path,
    recorded_updates,
    stored_networks,
    weights_path,
)

LARGEST = 1_000_000  # bytes of one network's weights
SHOWN = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}


def keep(name, size, folder):
    """Copy what ``pettutor train --out FOLDER`` made into the package; returns the path of the weights.

    Raises
    ------
    ValueError
        A network that is not trained yet, or by another recipe than that of the package; weights that are too large.
    """
    network = pretrained(name, size, folder=folder)
    if network.recipe != RECIPES[name, size]:
        raise ValueError(f"{folder}: expected {name} trained by the package's recipe, got another")
    path = weights_path(name, size, folder)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: expected at most {LARGEST:,} bytes, got {path.stat().st_size:,}")
    FOLDER.mkdir(exist_ok=True)
    shutil.copyfile(record_path(name, size, folder), record_path(name, size))
    return Path(shutil.copyfile(path, weights_path(name, size)))


def as_markdown(size="slab"):
    """The test figures of the networks stored at a size as a table, a row a network (docs/networks.md holds both)."""

    def cells(figures):
        return f"{figures['nrmse']:.1f} / {figures['grey']:.2f} / {figures['lesions']:.2f}"

    records = [json.loads(record_path(*pair).read_text(encoding="utf-8")) for pair in stored_networks()]
    records = [record for record in records if record["size"] == size]
    lines = records[0]["test"]["summary"]
    rows = [["", "weights", "trained", *(f"dose {line['dose']:.2g}" for line in lines)], ["---"] * (3 + len(lines))]
    for name, key in ((f"MLEM, {BASELINE_ITERATIONS} iterations", "mlem"), ("best Gaussian after it", "gaussian")):
        rows.append([name, "", "", *(cells(line[key]) for line in lines)])
    mark = stored_bowsher(size)["test"]["summary"]
    rows.append(["best Bowsher MAP (T1)", "", "", *(cells(line["bowsher"]) for line in mark)])
    for record in records:
        seconds = record["history"]["seconds"]
        if record["name"] == "bcd_net":
            layers = max(BCDRecord(**record["history"]).best_layer, 1) if record["recipe"]["patience"] else len(seconds)
            trained = f"{layers} layers, {sum(seconds) / 60:.0f} min"
        else:
            trained = f"{record['history']['updates'][-1]} updates, {seconds[-1] / 60:.0f} min"
        trained += f", {backend_of(record)}"
        figures = (cells(line["network"]) for line in record["test"]["summary"])
        rows.append([f"`{record['name']}`", f"{record['weights']:,}", trained, *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def backend_of(record):
    """Name of the Keras backend that a network was trained on."""
    return next(shown for name, shown in SHOWN.items() if any(key.startswith(name) for key in record["versions"]))


def say_another_backend(name, size):
    """Print a line where the stored network was trained on another backend than the one that would train it now."""
    if (name, size) not in stored_networks():
        return
    before = backend_of(json.loads(record_path(name, size).read_text(encoding="utf-8")))
    now = SHOWN[choose_backend()]
    if before != now:
        variable = next(key for key, shown in SHOWN.items() if shown == before)
        print(f"{name} at {size}: stored from a training on {before}, which draws other first weights than {now} from "
              f"the same seed; KERAS_BACKEND={variable} draws those")  # fmt: skip


def is_kept(name, size, folder):
    """Whether what is in the package is what lies in FOLDER."""
    pairs = [(path(name, size, folder), path(name, size)) for path in (weights_path, record_path)]
    return all(a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def main(folder, names=()):
    """Train and keep networks; all that are stored, where no names are given."""
    for (name, size), recipe in RECIPES.items():
        if not recipe.stored or (names and name not in names):
            continue
        if not is_kept(name, size, folder):
            say_another_backend(name, size)
            run(name, size, out=folder, updates=recorded_updates(recipe), resume=True)
            keep(name, size, folder)
        print(f"kept in {weights_path(name, size)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
