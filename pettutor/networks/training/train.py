"""Training a network on simulated scans: post-processing networks and unrolled ones alike.

The learning rate falls as a cosine over what is granted, updates or minutes; the weights that do best on a subject that
is not trained on are kept; what was interrupted goes on where it was.
"""

import contextlib
import gc
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pettutor.networks.backend import load_keras
from pettutor.networks.training.data import batch_stream, check_apart, check_spots, examples_of, is_unrolled
from pettutor.networks.training.options import adam
from pettutor.networks.training.scan_files import grid_of
from pettutor.networks.training.state import TrainingState


@dataclass
class TrainingHistory:
    """What happened in training, an entry a round; losses are mean squared errors over ``scale²``.

    loss : mean over the round's updates.
    validation_loss : at the end of the round.
    seconds : since the beginning, validation and compilation included, summed over interrupted runs.
    updates : training steps since the beginning.
    learning_rate : in that round.
    best_round : the round (from 1) whose weights were kept.
    ended : "updates", "minutes" or "patience"; empty while it goes on.
    """

    loss: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    updates: list = field(default_factory=list)
    learning_rate: list = field(default_factory=list)
    best_round: int = 0
    ended: str = ""

    @property
    def rounds(self):
        return len(self.loss)

    def as_dict(self):
        """Plain data, for JSON."""
        return asdict(self)

    def write(self, path):
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")


def train(
    model,
    training,
    validation,
    *,
    scale,
    epochs=None,
    updates=None,
    minutes=None,
    batch_size=8,
    learning_rate=3e-3,
    multipliers=None,
    patience=None,
    round_updates=None,
    mirror=None,
    mr_spots=0,
    seed=0,
    folder=None,
    resume=True,
    callback=None,
    callbacks=(),
    progress=False,
):
    """Train a network, and keep the weights that do best on subjects that it is not trained on.

    Adam, mean squared error ``mean (f(x) - truth)² / scale²``, learning rate
    ``learning_rate · (1 + cos π t) / 2`` with t from 0 to 1 over the updates or the minutes, set at every round.

    Parameters
    ----------
    model : keras.Model
        As `examples_of` describes; its weights are changed. Seed Keras before building it.
    training, validation : list of SimulatedScan
        Of different subjects.
    scale : float
        Activity that the network sees as 1.
    epochs : float, optional
        Passes over the training examples (mirrored ones counted).
    updates : int, optional
        Training steps, instead of ``epochs``: to compare networks at equal updates.
    minutes : float, optional
        Wall-clock limit: to compare networks in equal time. At least one of the three has to be given.
    batch_size : int
    learning_rate : float
    multipliers : dict, optional
        Name of a weight (the end of its path, such as ``"kappa"``) -> factor on its learning rate. Scalars that mean
        something often need more than the weights of convolutions.
    patience : int, optional
        Stop after so many rounds without a better validation loss (default: run all).
    round_updates : int, optional
        Updates from one validation to the next (default: an epoch's).
    mirror : bool, optional
        Show every image mirrored left to right as well. Default: for post-processing networks. A mirrored image does
        not fit the counts of an unrolled network: there it is an error.
    mr_spots : int
        Dark spots, at most, that every MR image gets anew in every training step, and PET does not
        (`pettutor.networks.training.mr_spots`): so that the network learns not to invent them.
    seed : int
        Names the order of the examples, by ``keras.utils.set_random_seed`` everything else that is drawn.
    folder : path, optional
        Keep the state of the training there after every round (``state.npz``), and the history (``history.json``).
    resume : bool
        Go on with the training that is in ``folder``. The same numbers come out as without the interruption.
    callback : callable, optional
        ``callback(history)`` after every round.
    callbacks : sequence of keras.callbacks.Callback
        Keras's or your own, such as ``CSVLogger`` or ``TensorBoard``; an epoch of Keras is a round here. One that sets
        ``model.stop_training`` ends the round; the history then names no end, and the training can go on.
    progress : bool
        Show a progress bar.

    Returns
    -------
    TrainingHistory
        Ctrl-C raises KeyboardInterrupt; with ``folder`` the finished rounds can be resumed.

    Raises
    ------
    TypeError, ValueError
        Bad settings, scans that do not fit the network or each other, a subject in both sets, a state in ``folder``
        that belongs to another training.
    FloatingPointError
        A loss that is not finite.
    """
    keras = load_keras()
    for name, value, whole in (("updates", updates, True), ("batch_size", batch_size, True), ("epochs", epochs, False),
                               ("minutes", minutes, False), ("patience", patience, True),
                               ("round_updates", round_updates, True), ("learning_rate", learning_rate, False),
                               ("scale", scale, False)):  # fmt: skip
        _check_positive(name, value, whole)
    if epochs is None and updates is None and minutes is None:
        raise ValueError("epochs, updates, minutes: expected at least one of them, got none")
    if epochs is not None and updates is not None:
        raise ValueError(f"epochs, updates: expected one of them, got {epochs} and {updates}")
    wrong = [one for one in callbacks if not isinstance(one, keras.callbacks.Callback)]
    if wrong:
        raise TypeError(f"callbacks: expected objects of keras.callbacks.Callback, got {wrong[0]!r:.80}")
    check_apart(training, validation)
    unrolled = is_unrolled(model)
    if mirror and unrolled:
        raise ValueError("mirror: expected False for an unrolled network (a mirrored image does not fit its counts)")
    check_spots(mr_spots, model)
    numbers = iter(register(model, [*training, *validation])) if unrolled else None

    def examples(scans):
        return examples_of(model, scans, scale=scale, numbers=numbers and [next(numbers) for _ in scans])

    shown, held_out = examples(training), examples(validation)
    if mirror or (mirror is None and not unrolled):
        shown = shown.mirrored()
    an_epoch = math.ceil(len(shown) / batch_size)
    planned = updates or (math.ceil(epochs * len(shown) / batch_size) if epochs else None)
    steps = min(round_updates or an_epoch, planned or math.inf)

    keras.utils.set_random_seed(seed)
    model.compile(optimizer=adam(learning_rate, multipliers, model), loss="mse", jit_compile=False)
    described = {
        "seed": seed, "batch_size": batch_size, "learning_rate": learning_rate, "updates": planned, "minutes": minutes,
        "round_updates": steps, "scale": scale, "examples": len(shown), "multipliers": multipliers or {},
        "patience": patience, "scans": [scan.key for scan in [*training, *validation]],
        **({"mr_spots": mr_spots} if mr_spots else {}),
    }  # fmt: skip
    state = TrainingState(model, TrainingHistory(), described, folder)
    if resume:
        state.restore()
    history = state.history
    if not history.ended:
        voxel_size = grid_of(training[0].description["size"]).voxel_size
        stream = batch_stream(shown, batch_size, steps, seed, mr_spots, voxel_size)
        limits = {"planned": planned, "seconds": minutes and 60 * minutes, "steps": steps, "patience": patience}
        keeper = _keeper(keras, state, stream, limits, learning_rate, callback, progress)
        with contextlib.closing(keeper.bar):
            model.fit(
                stream, initial_epoch=history.rounds, epochs=math.ceil(planned / steps) if planned else 10**9,
                validation_data=held_out.all, validation_batch_size=batch_size, shuffle=False,
                callbacks=[keeper, *callbacks], verbose=0,
            )  # fmt: skip
        # TensorFlow ends an input pipeline when it is collected, which takes the longer the older it is: up to a minute
        gc.collect()
    model.set_weights(state.best)
    return history


def register(model, scans):
    """Give the data of these scans to an unrolled network; returns their numbers."""
    from pettutor.networks.physics.layers import attach
    from pettutor.networks.physics.scans import Scans

    collection = Scans()
    numbers = [collection.add(scan.prompts_on(), scan.acquisition_model()) for scan in scans]
    attach(model, collection)
    return numbers


def _check_positive(name, value, whole):
    kinds = (int, np.integer) if whole else (int, float, np.number)
    if value is None and name not in ("batch_size", "learning_rate", "scale"):
        return
    if isinstance(value, bool) or not isinstance(value, kinds) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a {'whole ' if whole else ''}number > 0, got {value!r}")


def _keeper(keras, state, stream, limits, learning_rate, callback, progress):
    """The Keras callback that keeps rates, limits, the best weights, the state on disk and the progress bar."""
    history = state.history
    planned, seconds, steps = limits["planned"], limits["seconds"], limits["steps"]
    earlier = history.seconds[-1] if history.rounds else 0.0
    done = history.updates[-1] if history.rounds else 0

    class Keeper(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.updates, self.out_of_time, self.words = done, False, ""
            self.bar = tqdm(total=planned, initial=done, desc="training", unit="update", disable=not progress)

        def elapsed(self):
            return earlier + time.perf_counter() - self.begin

        def on_train_begin(self, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_begin(self, epoch, logs=None):
            stream.first = epoch * steps
            through = max(self.updates / planned if planned else 0, self.elapsed() / seconds if seconds else 0)
            self.rate = 0.5 * learning_rate * (1 + math.cos(math.pi * min(through, 1.0)))
            self.model.optimizer.learning_rate = self.rate

        def show(self, elapsed):
            # tqdm, which draws when it likes, knows how long the updates take that are planned, but of no limit in time
            left = f"{tqdm.format_interval(max(0, seconds - elapsed))} left" if seconds else ""
            self.bar.set_postfix_str(", ".join(filter(None, (self.words, left))), refresh=False)

        def on_train_batch_end(self, batch, logs=None):
            self.updates += 1
            elapsed = self.elapsed()
            self.show(elapsed)
            self.bar.update()
            self.out_of_time = bool(seconds) and elapsed >= seconds
            if self.out_of_time or self.updates == planned:
                self.model.stop_training = True

        def on_epoch_end(self, epoch, logs=None):
            loss, held_out = float(logs["loss"]), float(logs["val_loss"])
            if not math.isfinite(loss + held_out):
                raise FloatingPointError(f"training: expected a finite loss, got {loss} in round {epoch + 1}")
            better = state.best is None or held_out < min(history.validation_loss)
            for name, value in (
                ("loss", loss), ("validation_loss", held_out), ("seconds", self.elapsed()),
                ("updates", self.updates), ("learning_rate", self.rate),
            ):  # fmt: skip
                getattr(history, name).append(value)
            if better:
                state.best, history.best_round = self.model.get_weights(), history.rounds
            patience = limits["patience"]
            if self.updates == planned:
                history.ended = "updates"
            elif self.out_of_time:
                history.ended = "minutes"
            elif patience is not None and history.rounds - history.best_round >= patience:
                history.ended = "patience"
            self.model.stop_training |= bool(history.ended)  # or a callback of the user's ends the training
            state.keep()
            best = math.sqrt(min(history.validation_loss))
            self.words = f"validation {math.sqrt(held_out):.4f}, best {best:.4f}"
            self.show(self.elapsed())
            if callback is not None:
                callback(history)

    return Keeper()
