"""Train stored networks again with another seed: ``python -m pettutor.networks.training.seeds FOLDER SEED [NAME ...]``.

One training is one draw: how far a network's figures depend on the start of its weights and on the order of its
examples, only several can say. These make as many updates as the network in the package did (a limit in minutes would
give a busy machine less of a network), on the same scans; ``FOLDER/seed-SEED`` holds their weights and records. The
study ``network_seeds`` of the course reconstructs with them.
"""

import sys
from pathlib import Path

from pettutor.networks.training.command import run
from pettutor.networks.training.keep import say_another_backend
from pettutor.networks.training.recipes import plain_name
from pettutor.networks.training.stored_weights import pretrained, recorded_updates, stored_networks


def folder_of(folder, seed):
    """Where the networks of a seed are."""
    return Path(folder) / f"seed-{seed}"


def train_again(name, seed, folder, size="slab", **options):
    """Train a stored network by its recipe with another seed, going on where an earlier run was stopped.

    Parameters
    ----------
    name, size : as of `pettutor.networks.pretrained`
    seed : int
        Other than that of the recipe.
    folder : path
        Its weights and record are written into a folder ``seed-SEED`` in it.
    **options : of `pettutor.networks.training.command.run`

    Returns
    -------
    TrainedNetwork

    Raises
    ------
    ValueError
        No such network is stored; the seed that it was trained with.
    """
    recipe = pretrained(name, size).recipe
    if seed == recipe.seed:
        raise ValueError(f"seed: expected another than that of the stored {recipe.name}, got {seed}")
    updates = recorded_updates(recipe)
    return run(recipe.name, size, out=folder_of(folder, seed), seed=seed, updates=updates, resume=True, **options)


def main(folder, seed, names=()):
    """Train networks again with a seed; all that are stored at slab, where no names are given."""
    for name in map(plain_name, names or [name for name, size in stored_networks() if size == "slab"]):
        say_another_backend(name, "slab")
        train_again(name, int(seed), folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
