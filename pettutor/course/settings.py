"""Settings that all lessons share."""

import os
import re
from pathlib import Path

SIZES = ("slab", "mini", "mmr")


def size(default="mini"):
    """Size at which a lesson runs: the name of a scanner preset.

    Parameters
    ----------
    default : {"slab", "mini", "mmr"}
        What the lesson asks for.

    Returns
    -------
    str
        `default`, unless the environment variable ``PETTUTOR_SIZE`` names another size: a class room without time sets
        ``slab``, a machine with a GPU ``mmr``, and every lesson follows.

    Raises
    ------
    ValueError
        If either of them is not one of the sizes.
    """
    if default not in SIZES:
        raise ValueError(f"size: expected one of {', '.join(SIZES)}, got {default!r}")
    chosen = os.environ.get("PETTUTOR_SIZE", "").strip()
    if chosen and chosen not in SIZES:
        raise ValueError(f"environment variable PETTUTOR_SIZE: expected one of {', '.join(SIZES)}, got {chosen!r}")
    return chosen or default


def training_folder(name, **settings):
    """Folder in which a lesson keeps its training, so that it goes on where it was after Ctrl-C or a dead kernel.

    Parameters
    ----------
    name : str
        Of the lesson, such as ``11_em_net``.
    **settings : numbers, str or bool
        A training with other settings is another one, in a folder of its own.

    Returns
    -------
    pathlib.Path
        ``pettutor-training/NAME-SETTING-VALUE …`` in the present folder, made where it is missing. Removing it makes
        the training begin again.

    Raises
    ------
    ValueError
        A name that cannot be that of a folder.
    """
    words = "-".join([name, *(f"{key}-{value}" for key, value in settings.items())])
    if not re.fullmatch(r"[\w.,=-]+", words) or words.startswith("."):
        raise ValueError(
            f"training folder: expected letters, digits, '-', '_', '.' in name and settings, got {words!r}"
        )
    folder = Path("pettutor-training") / words
    folder.mkdir(parents=True, exist_ok=True)
    return folder
