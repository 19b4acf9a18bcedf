"""Training one layer of BCD-Net: a convolutional denoiser, three learning rates."""

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np

from pettutor.arrays import array_module, check_array, to_numpy
from pettutor.networks.backend import load_keras

# Published; Adam's other numbers are the usual ones.
ENCODER_RATE, DECODER_RATE, THRESHOLD_RATE = 1e-2, 1e-3, 1e-1
PERCENTILE = 90  # of the codes: where the thresholds start
BLOCKS = 16  # that the percentile is taken of


@dataclass
class BCDRecord:
    """What happened in training. RMSE = root mean square error over all voxels of all scans, in activity.

    After a training with ``patience`` it may tell of more layers than the network has kept.

    training, validation : RMSE against layers; entry 0 belongs to the start images. ``validation`` may be empty.
    loss : mean square error over ``scale²`` of every layer's denoiser in its last epoch.
    seconds : of every layer.
    """

    training: list = field(default_factory=list)
    validation: list = field(default_factory=list)
    loss: list = field(default_factory=list)
    seconds: list = field(default_factory=list)

    @property
    def best_layer(self):
        """The first layer with the least validation error, 0 for the start images; one that is no number is not least.

        Raises
        ------
        ValueError
            No validation scans were given.
        """
        if not self.validation:
            raise ValueError("best_layer: expected a record with validation errors, got one without")
        return int(np.argmin(np.nan_to_num(self.validation, nan=np.inf)))


class LayerTraining:
    """Trains the layers one after the other, with one Keras model that begins anew for each.

    See `BCDNet.fit` for the arguments.
    """

    def __init__(self, dimensions, filters, size, batch_size, planes):
        from pettutor.networks.parts.convolutional_coding import ConvolutionalCoding

        keras = load_keras()
        self.dimensions, self.batch_size, self.planes = dimensions, batch_size, planes
        self.coding = ConvolutionalCoding(dimensions, filters, size, name="coding")
        image = keras.Input((*[None] * dimensions, 1), name="image")
        x = self.coding(image)
        if dimensions == 3:  # the planes beside a block are seen, and are not its own
            margin = self.coding.reach
            x = keras.layers.Cropping3D(((margin, margin), (0, 0), (0, 0)), name="own_planes")(x)
        self.model = keras.Model(image, x)
        self.model.compile(optimizer=_adam(keras), loss="mse", jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)
        self._fresh = [_numpy(v) for v in self.model.optimizer.variables]
        self._identity = self.coding.get_weights()

    def train(self, images, truths, *, weights, epochs, seed):
        """Train one layer.

        Parameters
        ----------
        images, truths : lists of float32 (z, y, x), over the scale
        weights : (encoder, decoder, log_threshold), or None
            Where it starts; None: as an identity, with the thresholds at a percentile of the codes.
        epochs : int
        seed : sequence of int

        Returns
        -------
        weights : tuple of arrays
        loss : float
            Mean square error over the last epoch.
        """
        blocks = _Blocks(images, truths, self.dimensions, self.planes, self.coding.reach)
        self.coding.set_weights(self._first(blocks) if weights is None else weights)
        for variable, value in zip(self.model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        rng = np.random.default_rng(seed)
        loss = np.nan
        for _ in range(epochs):
            self.model.reset_metrics()
            order = rng.permutation(len(blocks))
            for begin in range(0, len(order), self.batch_size):
                loss = self.model.train_on_batch(*blocks[order[begin : begin + self.batch_size]])
        if not np.isfinite(loss):
            raise FloatingPointError(f"training: expected a finite loss, got {loss}")
        return tuple(self.coding.get_weights()), float(loss)

    def _first(self, blocks):
        """Identity filters, and one threshold for all: a percentile of the codes, all but those of the constant filter.

        The basis filters see noise alike, so that one threshold suits all; the constant one mostly sees the image.
        """
        encoder, decoder, alpha = self._identity
        basis = slice(1, self.coding.size**self.dimensions)
        some = np.unique(np.linspace(0, len(blocks) - 1, BLOCKS).astype(int))
        codes = [np.abs(_numpy(self.coding.codes(blocks[[k]][0]))[..., basis]).ravel() for k in some]
        threshold = max(np.percentile(np.concatenate(codes), PERCENTILE), 1e-6)
        return encoder, decoder, np.full_like(alpha, np.log(threshold))


class _Blocks:
    """Network inputs and targets: the slices of all volumes, or blocks of some planes with those beside them."""

    def __init__(self, images, truths, dimensions, planes, margin):
        self.dimensions, count = dimensions, len(images[0])
        self.planes = min(planes, count) if dimensions == 3 else 1
        self.margin = margin if dimensions == 3 else 0
        self.images = [np.pad(x, [(self.margin,) * 2, (0, 0), (0, 0)]) for x in images]
        self.truths = truths
        # the last block may overlap the one before: all are of one size
        begins = [min(b, count - self.planes) for b in range(0, count, self.planes)]
        self.places = [(number, begin) for number in range(len(images)) for begin in begins]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, chosen):
        x, y = [], []
        for number, begin in (self.places[k] for k in chosen):
            end = begin + self.planes
            x.append(self.images[number][begin : end + 2 * self.margin])
            y.append(self.truths[number][begin:end])
        x, y = np.stack(x)[..., None], np.stack(y)[..., None]
        return (x, y) if self.dimensions == 3 else (x[:, 0], y[:, 0])


def _adam(keras):
    """Adam with a learning rate for each of encoder, decoder and threshold."""
    factors = {"encoder": ENCODER_RATE / DECODER_RATE, "log_threshold": THRESHOLD_RATE / DECODER_RATE}

    class Adam(keras.optimizers.Adam):
        # Adam's step does not depend on the size of the gradient, so the factor has to be on the step

        def update_step(self, gradient, variable, learning_rate):
            name = variable.name.partition(":")[0].rpartition("/")[2]
            return super().update_step(gradient, variable, learning_rate * factors.get(name, 1.0))

    return Adam(DECODER_RATE)


def _numpy(tensor):
    return load_keras().ops.convert_to_numpy(tensor)


class ScanInTraining:
    """Measured data, with what every layer needs of them; checked."""

    def __init__(self, prompts, A, start=None, truth=None):
        self.prompts, self.A, self.start, self.truth = prompts, A, start, truth
        check_array(prompts, "prompts", shape=A.out_shape, dtype=A.dtype, nonnegative=True)
        self.sensitivity = A.T(array_module(prompts).ones(A.out_shape, A.dtype))
        r = getattr(A, "background", 0.0)
        # what `map_em` leaves out of Σ ȳ where it is given the sensitivity
        self.background = float(r.sum(dtype="float64")) if np.ndim(r) else float(r) * prompts.size


def check_group(name, scans, starts, truths):
    """Scans with their start images and truths, else raise."""
    if not len(scans) == len(starts) == len(truths) or not len(scans):
        raise ValueError(
            f"{name}: expected as many scans as start images and truths, at least one, got {len(scans)}, {len(starts)} "
            f"and {len(truths)}"
        )
    group = []
    for number, ((prompts, A), start, truth) in enumerate(zip(scans, starts, truths, strict=True), 1):
        shape = scans[0][1].in_shape
        if A.in_shape != shape:
            raise ValueError(f"{name}: expected images of one shape, got {shape} and {A.in_shape}")
        check_array(start, f"{name}, start {number}", shape=shape, nonnegative=True)
        check_array(truth, f"{name}, truth {number}", shape=shape)
        group.append(ScanInTraining(prompts, A, start, truth))
    return group


def key_of_training(config, groups, *settings):
    """What a training consists of, in one short word: a checkpoint of another one is refused."""
    digest = hashlib.sha256(json.dumps([config, settings], default=str).encode())
    for group in groups.values():
        for scan in group:
            for array in (scan.prompts, scan.start, scan.truth, scan.sensitivity):
                digest.update(np.ascontiguousarray(to_numpy(array)).tobytes())
    return digest.hexdigest()[:16]


def check_whole(value, name):
    """A whole number >= 1, else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected a whole number >= 1, got {value!r}")
    return int(value)
