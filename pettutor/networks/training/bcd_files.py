"""The file of a BCD-Net: weights of all layers, settings and record; a checkpoint holds images besides."""

import json
import zipfile
from pathlib import Path

import numpy as np

from pettutor.files import existing_file, whole_file

FORMAT = "pettutor BCD-Net, version 1"
NAMES = ("encoder", "decoder", "log_threshold")


def write_network(path, words, weights, **arrays):
    """Write to one ``.npz`` file, whole or not at all.

    words : plain data; weights : list of (encoder, decoder, log_threshold); arrays : anything else.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: expected a folder to write {path.name} into, got none")
    layers = {name: np.stack(values) for name, values in zip(NAMES, zip(*weights, strict=True), strict=False)}
    with whole_file(path) as file:
        np.savez_compressed(file, words=np.array(json.dumps(words | {"format": FORMAT})), **layers, **arrays)
    return path


def read_network(path):
    """Return (words, weights, other arrays) of a file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        No such file, a folder, or another or a damaged file.
    """
    path = existing_file(path, "the file of a BCD-Net")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        words = json.loads(str(arrays.pop("words")))
        if words["format"] != FORMAT:
            raise ValueError(f"its format is {words['format']!r}")
        layers = [arrays.pop(name) for name in NAMES if name in arrays]
        weights = [tuple(values) for values in zip(*layers, strict=True)]
    # NumPy and zipfile tell about a wrong or damaged file in many ways
    except (OSError, EOFError, KeyError, TypeError, AttributeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected the file of a BCD-Net, got another or a damaged one ({error})") from error
    return words, weights, arrays


def read_checkpoint(path, key, layers):
    """As `read_network`, of a checkpoint that belongs to the training ``key`` and has no more than ``layers``.

    Raises
    ------
    ValueError
        It is that of another training, or has more layers; and as in `read_network`.
    """
    words, weights, arrays = read_network(path)
    if words.get("key") != key:
        raise ValueError(
            f"checkpoint: expected one of this training, got that of another (other scans, settings or seed): {path}"
        )
    if len(weights) > layers:
        raise ValueError(f"checkpoint: expected at most {layers} layers, got {len(weights)}: {path}")
    return words, weights, arrays
