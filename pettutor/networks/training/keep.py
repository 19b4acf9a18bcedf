"""Make all stored networks again: ``python -m pettutor.networks.training.keep FOLDER [NAME ...]`` (for authors).

Every recipe that is marked as stored is trained in FOLDER as ``pettutor train`` does it (going on where an earlier run
was stopped), and its weights and record are copied into the package.
"""

import shutil
import sys
from pathlib import Path

from pettutor.networks.training.command import run
from pettutor.networks.training.recipes import RECIPES
from pettutor.networks.training.stored_weights import FOLDER, pretrained, record_path, weights_path

LARGEST = 1_000_000  # bytes of one network's weights


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


def main(folder, names=()):
    """Train and keep networks; all that are stored, where no names are given."""
    for (name, size), recipe in RECIPES.items():
        if recipe.stored and (not names or name in names):
            run(name, size, out=folder, resume=True)
            print(f"kept in {keep(name, size, folder)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
