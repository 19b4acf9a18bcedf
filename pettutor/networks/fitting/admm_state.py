"""Where a run of a constrained reconstruction stands, and the one file from which it goes on."""

import json
import zlib
from dataclasses import dataclass

import numpy as np

from pettutor.arrays import to_numpy
from pettutor.files import whole_file


@dataclass(frozen=True)
class State:
    """Where a run stands; every iteration makes a new one.

    x : the image of the first half step. mu : the scaled multiplier. f : the network's image.
    variables : what the network's image is a function of (weights, or an input image), a flat vector.
    moments : of Adam, or None. total, averaged : the sum of the images f that are averaged, and their number.
    """

    x: np.ndarray
    mu: np.ndarray
    f: np.ndarray
    variables: np.ndarray
    scale: float
    rho: float
    moments: tuple | None = None
    total: np.ndarray | None = None
    averaged: int = 0

    @property
    def image(self):
        """The reconstruction: f, or the mean of the last ones."""
        return self.f if not self.averaged else (self.total / self.averaged).astype(self.f.dtype)


def state_arrays(state):
    """A `State` as a dict of NumPy arrays."""
    arrays = {n: to_numpy(getattr(state, n)) for n in ("x", "mu", "f", "variables", "scale", "rho", "averaged")}
    if state.total is not None:
        arrays["total"] = to_numpy(state.total)
    return arrays | {f"moment_{number}": moment for number, moment in enumerate(state.moments or ())}


def state_from(arrays, xp):
    """The `State` of which `state_arrays` made these, its images in NumPy or CuPy (``xp``)."""
    images = {name: xp.asarray(arrays[name]) for name in ("x", "mu", "f", "total") if name in arrays}
    count = sum(name.startswith("moment_") for name in arrays)
    moments = tuple(arrays[f"moment_{number}"] for number in range(count))
    return State(
        **images, variables=arrays["variables"], scale=float(arrays["scale"]), rho=float(arrays["rho"]),
        moments=moments or None, averaged=int(arrays["averaged"]),
    )  # fmt: skip


def write_checkpoint(path, arrays, settings):
    """One ``.npz`` file, which gets its name only when it is whole."""
    with whole_file(path) as file:
        np.savez(file, settings=np.array(json.dumps(settings)), **arrays)


def read_checkpoint(path, settings):
    """The arrays of a file by `write_checkpoint`, of a run with the same settings.

    Raises
    ------
    FileNotFoundError
    ValueError
        Not such a file, or other settings; the message names them.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        theirs = json.loads(str(arrays.pop("settings")))
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, numpy and json each have their own
        raise ValueError(
            f"{path}: expected a checkpoint of {settings['method']}, got another or broken file"
        ) from error
    ours = json.loads(json.dumps(settings))
    differing = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    if differing:
        words = "; ".join(f"{name} {theirs.get(name)!r} there and {ours.get(name)!r} here" for name in differing)
        raise ValueError(f"{path}: expected a checkpoint of the same data and settings, got {words}")
    return arrays


def fingerprint(array):
    """A checksum that tells two arrays apart; None and numbers stay as they are."""
    return zlib.crc32(np.ascontiguousarray(to_numpy(array)).tobytes()) if np.ndim(array) else array
