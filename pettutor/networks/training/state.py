"""The state of a training, in one file: weights, optimizer, best weights and history, so that it can be resumed.

Keras's BackupAndRestore keeps weights and optimizer, but not which weights were best, and it writes over the last good
copy: a process that is killed while it writes loses both.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from pettutor.files import whole_file
from pettutor.networks.backend import load_keras


class TrainingState:
    """Everything that a training needs to go on.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    history : TrainingHistory
    settings : dict
        Plain data; a state with other settings is refused.
    folder : path or None
        Nothing is written where it is None.

    Attributes
    ----------
    best : list of arrays, or None
        The weights that did best.
    """

    def __init__(self, model, history, settings, folder):
        self.model, self.history, self.best = model, history, None
        self.folder = None if folder is None else Path(folder)
        shapes = [list(weight.shape) for weight in model.weights]
        text = json.dumps([settings, shapes], sort_keys=True, default=float)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def path(self):
        return self.folder / "state.npz"

    def _variables(self):
        """Weights, seeds of layers that draw, and the optimizer's own."""
        metrics = {id(v) for v in self.model.metrics_variables}
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        return [v for v in self.model.variables if id(v) not in metrics] + list(optimizer.variables)

    def keep(self):
        """Write the state: whole or not at all."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        to_numpy = load_keras().ops.convert_to_numpy
        arrays = {f"variable_{k}": to_numpy(v.value) for k, v in enumerate(self._variables())}
        arrays |= {f"best_{k}": values for k, values in enumerate(self.best)}
        arrays["words"] = np.array(json.dumps({"key": self.key, "history": self.history.as_dict()}))
        with whole_file(self.path) as file:
            np.savez(file, **arrays)
        self.history.write(self.folder / "history.json")

    def restore(self):
        """Go back to the state on disk, where there is one; returns whether.

        Raises
        ------
        ValueError
            A state of another training, or one that is damaged.
        """
        if self.folder is None or not self.path.exists():
            return False
        try:
            with np.load(self.path) as file:
                words = json.loads(str(file["words"]))
                arrays = {name: file[name] for name in file.files}
        except Exception as error:  # zipfile, zlib and numpy each have their own
            raise ValueError(
                f"{self.path}: expected the state of a training, got a damaged file ({error}); remove it to begin again"
            ) from None
        if words["key"] != self.key:
            raise ValueError(
                f"{self.path}: expected the state of this training, got that of one with other scans, settings or "
                f"another network; choose another folder, or begin again with resume=False"
            )
        for k, variable in enumerate(self._variables()):
            variable.assign(arrays[f"variable_{k}"])
        self.best = [arrays[f"best_{k}"] for k in range(len(self.model.weights))]
        for name, value in words["history"].items():
            setattr(self.history, name, value)
        return True
