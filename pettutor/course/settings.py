"""Settings that all lessons share."""

import os

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
