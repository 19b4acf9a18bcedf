"""Training a 2-D network on the slices of volumes, and applying it slice by slice.

Images enter the network in calibrated activity over one fixed scale, which is kept with the model: a network that is
fed counts, or images that are each normalised by themselves, forgets how bright a brain should be.
"""

import math
import time
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from pettutor.arrays import check_array
from pettutor.networks.backend import load_keras


@dataclass
class TrainingRecord:
    """What happened in training, an entry an epoch; losses are mean squared errors over ``scale²``.

    best_epoch : the epoch (from 1) whose weights were kept.
    slices : training slices an epoch, mirrored ones included.
    """

    loss: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    best_epoch: int = 0
    slices: int = 0

    @property
    def epochs(self):
        return len(self.loss)


@dataclass
class SliceNetwork:
    """A 2-D network with the scale of its images: ``network(volume)`` works slice by slice.

    model : keras.Model from (slice, rows, columns, channels) to (slice, rows, columns, 1).
    scale : float
        Activity that the network sees as 1.
    record : TrainingRecord or None
    """

    model: object
    scale: float = 1.0
    record: TrainingRecord | None = None

    def __post_init__(self):
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale: expected a number > 0, got {self.scale!r}")

    def __call__(self, *volumes, batch_size=16):
        """Apply the network to every slice.

        Parameters
        ----------
        *volumes : float32 arrays (z, rows, columns)
            One for each of the network's channels; PET first, in activity. Further channels (MR) are taken as they are.

        Returns
        -------
        float32 array (z, rows, columns), activity.

        Raises
        ------
        TypeError, ValueError
            Another number of volumes, or shapes that are not the network's.
        """
        rows, columns, channels = self.model.input_shape[1:]
        if len(volumes) != channels:
            raise ValueError(f"volumes: expected {channels} (the network's channels), got {len(volumes)}")
        slices = stack_channels(volumes, self.scale)
        if slices.shape[1:3] != (rows, columns):
            raise ValueError(
                f"volumes: expected slices of {rows} × {columns}, got {slices.shape[1]} × {slices.shape[2]}"
            )
        keras = load_keras()
        out = [
            keras.ops.convert_to_numpy(self.model(slices[k : k + batch_size], training=False))
            for k in range(0, len(slices), batch_size)
        ]
        return np.concatenate(out)[..., 0].astype(np.float32) * np.float32(self.scale)


def stack_channels(volumes, scale):
    """(z, rows, columns) volumes as network input (z, rows, columns, channel), the first divided by ``scale``."""
    first = check_array(volumes[0], "volume", ndim=3)
    rest = [check_array(v, f"volume {k}", shape=first.shape) for k, v in enumerate(volumes[1:], 2)]
    return np.stack([first / np.float32(scale), *rest], axis=-1)


def train_slicewise(
    model,
    training,
    validation,
    *,
    scale,
    epochs=100,
    learning_rate=3e-3,
    batch_size=8,
    patience=None,
    mirror=True,
    seed=0,
    callback=None,
    progress=False,
):
    """Train a 2-D network on slices, and keep the weights that do best on a subject it was not trained on.

    Adam with a learning rate that falls to zero as a cosine over the epochs, mean squared error.

    Parameters
    ----------
    model : keras.Model
        From (slice, rows, columns, channels) to (slice, rows, columns, 1); its weights are changed.
    training, validation : list of (inputs, truth)
        Volumes float32 (z, rows, columns) in activity; ``inputs`` is one volume, or a tuple of one a channel.
    scale : float
        Activity that the network sees as 1, e.g. the mean of the training truths over the head.
    epochs, batch_size : int
    learning_rate : float
    patience : int, optional
        Stop after so many epochs without a better validation loss (default: run all).
    mirror : bool
        Show every slice mirrored left to right as well.
    seed : int
        Draws the order of the slices, by ``keras.utils.set_random_seed`` (which seeds Python and NumPy too). The same
        seed on the same machine and backend gives the same network to about 1e-4 of the loss or better: sums over
        threads may round in another order. Seed before building the model, too.
    callback : callable, optional
        ``callback(epoch, loss, validation_loss, seconds)`` after every epoch.
    progress : bool
        Show a progress bar.

    Returns
    -------
    SliceNetwork
        Stopping by the keyboard raises KeyboardInterrupt: a half-trained network is no result.

    Raises
    ------
    TypeError, ValueError
        Volumes that do not fit the model or each other, nothing to train on or to validate with.
    """
    keras = load_keras()
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected a whole number >= 1, got {value!r}")
    network = SliceNetwork(model, float(scale), TrainingRecord())
    x, y = _slices(training, "training", network)
    held_out = _slices(validation, "validation", network)
    if mirror:
        x, y = np.concatenate([x, x[:, :, ::-1]]), np.concatenate([y, y[:, :, ::-1]])
    network.record.slices = len(x)
    keras.utils.set_random_seed(seed)
    steps = epochs * math.ceil(len(x) / batch_size)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="mse", jit_compile=False)
    keeper = _keeper(keras, network.record, epochs, patience, callback, progress)
    try:
        model.fit(x, y, batch_size=batch_size, epochs=epochs, validation_data=held_out, callbacks=[keeper], verbose=0)
    finally:
        keeper.bar.close()
    model.set_weights(keeper.best)
    return network


def _slices(pairs, name, network):
    """Network inputs and targets of all volumes."""
    if not pairs:
        raise ValueError(f"{name}: expected at least one pair (inputs, truth), got none")
    expected = tuple(network.model.input_shape[1:])
    x, y = [], []
    for inputs, truth in pairs:
        inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        stacked = stack_channels(inputs, network.scale)
        if stacked.shape[1:] != expected:
            raise ValueError(
                f"{name}: expected slices of {expected}, got {stacked.shape[1:]} (rows, columns, channels)"
            )
        check_array(truth, f"{name} truth", shape=stacked.shape[:3])
        x.append(stacked)
        y.append(stack_channels((truth,), network.scale))
    return np.concatenate(x), np.concatenate(y)


def _keeper(keras, record, epochs, patience, callback, progress):
    """A Keras callback that keeps the best weights, the record and the progress bar."""

    class Keeper(keras.callbacks.Callback):
        best = None

        def __init__(self):
            super().__init__()
            self.bar = tqdm(total=epochs, desc="training", unit="epoch", disable=not progress)

        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            loss, held_out = float(logs["loss"]), float(logs["val_loss"])
            if not math.isfinite(loss + held_out):
                raise FloatingPointError(f"training: expected a finite loss, got {loss} in epoch {epoch + 1}")
            if self.best is None or held_out < min(record.validation_loss):
                self.best, record.best_epoch = self.model.get_weights(), epoch + 1
            record.loss.append(loss)
            record.validation_loss.append(held_out)
            record.seconds.append(time.perf_counter() - self.begin)
            self.bar.set_postfix_str(f"error on the validation subject {math.sqrt(held_out):.3f}", refresh=False)
            self.bar.update()
            if callback is not None:
                callback(epoch + 1, loss, held_out, record.seconds[-1])
            if patience is not None and epoch + 1 - record.best_epoch >= patience:
                self.model.stop_training = True

    return Keeper()
