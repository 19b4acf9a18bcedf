"""BCD-Net: learnt convolutional denoisers and MAP-EM in turn, trained one layer after the other."""

import contextlib
import io
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pettutor.arrays import array_module, check_array, find_cupy, is_cupy, to_numpy
from pettutor.networks.backend import load_keras
from pettutor.networks.training.bcd_files import read_checkpoint, read_network, write_network
from pettutor.networks.training.bcd_training import (
    BCDRecord,
    LayerTraining,
    ScanInTraining,
    check_group,
    check_whole,
    key_of_training,
)
from pettutor.reconstruction import Record, map_em
from pettutor.reconstruction.inputs import check_number
from pettutor.reconstruction.priors import Reference, strength

PLANES = 8  # of a volume, or slices, denoised at a time


class BCDNet:
    """An iterative reconstruction with a denoiser of its own for every iteration ("layer").

    Layer n denoises the image, ``u = sum_k d_k * T(c_k * x, exp(alpha_k))`` with the soft threshold T. Then the data
    have their say: ``x ← argmin -L(x) + beta ‖x - u‖²``, one MAP-EM step from the present x with rho = 2 beta.

    Parameters
    ----------
    dimensions : 3 or 2
        In 2-D every slice is denoised by itself.
    filters : int, optional
        K, at least ``size^dimensions``; by default 78 in 3-D, as published, and 27 in 2-D.
    size : int
        Width of the filters, an odd number of voxels.
    layers : int
        How many `fit` trains.
    kappa : float
        Strength of the denoised image without unit: ``rho = kappa mean(s) / scale``, s = Aᵀ1 (`priors.strength`), so
        that it goes with the counts. Near convergence data and denoised image weigh as 1 to kappa.
    scale : float
        Activity that the denoisers see as 1, e.g. the mean of the training truths over the head.

    Attributes
    ----------
    weights : list of (encoder, decoder, log_threshold)
        NumPy arrays of every trained layer; ``K (2 size^dimensions + 1)`` numbers (4,290 with 78 filters of 3 × 3 × 3).
    record : BCDRecord

    Raises
    ------
    TypeError, ValueError
        Numbers out of range.

    Notes
    -----
    Choices: filters start as an orthonormal basis whose decoder makes the denoiser an identity (random ones start worse
    than their input), and every later layer starts as the one before it; kappa; one MAP-EM step.

    References
    ----------
    H. Lim, I. Y. Chun, Y. K. Dewaraja, J. A. Fessler, IEEE Trans. Med. Imaging 39(11):3512, 2020.
    """

    def __init__(self, dimensions=3, filters=None, size=3, layers=30, *, kappa=3.0, scale=1.0):
        if dimensions not in (2, 3):
            raise ValueError(f"dimensions: expected 2 or 3, got {dimensions!r}")
        self.dimensions = dimensions
        self.filters = check_whole(filters if filters is not None else {2: 27, 3: 78}[dimensions], "filters")
        self.size = check_whole(size, "size")
        self.layers = check_whole(layers, "layers")
        self.kappa = check_number(kappa, "kappa: expected a number >= 0")
        self.scale = check_number(scale, "scale: expected an activity > 0", zero=False)
        self.weights = []
        self.record = BCDRecord()
        self._coding = None
        if self.size % 2 == 0 or self.filters < self.size**dimensions:
            raise ValueError(
                f"filters: expected an odd size and at least size^{dimensions} filters (an identity needs them), got "
                f"{self.filters} filters of size {self.size}"
            )

    # ---- reconstruction ------------------------------------------------------------------------------------------

    def denoise(self, image, layer):
        """u of one layer (the first is 1): float32 image (z, y, x), activity."""
        check_array(image, "image", ndim=3)
        coding = self._denoiser()
        coding.set_weights(self.weights[layer - 1])
        scaled = to_numpy(image) / np.float32(self.scale)
        result = np.empty_like(scaled)
        margin = coding.reach if self.dimensions == 3 else 0  # planes that a plane sees on each side
        for begin in range(0, len(scaled), PLANES):
            end = min(begin + PLANES, len(scaled))
            low, high = max(begin - margin, 0), min(end + margin, len(scaled))
            block = scaled[low:high, ..., None]
            u = load_keras().ops.convert_to_numpy(coding(block[None] if self.dimensions == 3 else block))
            result[begin:end] = u.reshape(scaled[low:high].shape)[begin - low : end - low]
        result *= np.float32(self.scale)
        return find_cupy().asarray(result) if is_cupy(image) else result

    def reconstruct(self, prompts, A, start, *, layers=None, record=None, callback=None, progress=False):
        """Reconstruct a scan.

        Parameters
        ----------
        prompts : array of ``A.out_shape``
        A : operator
            Its ``background`` is added to the expected counts.
        start : float32 image (z, y, x)
            The kind of image that the network was trained to start from, > 0 where there may be activity.
        layers : int, optional
            Only so many (default: all that are trained).
        record : pettutor.reconstruction.Record, optional
            Grows with the log-likelihood and seconds of each layer.
        callback : callable, optional
            ``callback(layer, image)`` after every layer, counted from 1.
        progress : bool

        Returns
        -------
        float32 image (z, y, x), activity.
            Stopping by the keyboard gives back the last finished image and says so.

        Raises
        ------
        RuntimeError
            Nothing is trained yet.
        TypeError, ValueError
            Data that do not fit the operator; more layers than there are.
        """
        if not self.weights:
            raise RuntimeError("reconstruct: expected a trained network, got one without layers; call fit or load")
        count = len(self.weights) if layers is None else check_whole(layers, "layers")
        if count > len(self.weights):
            raise ValueError(f"layers: expected at most {len(self.weights)} (those trained), got {count}")
        scan = ScanInTraining(prompts, A)
        image = check_array(start, "start", shape=A.in_shape, nonnegative=True)
        finished = 0
        try:
            for layer in tqdm(range(1, count + 1), desc="BCD-Net", disable=not progress, unit="layer"):
                finish = record.timed() if record is not None else None
                image, likelihood = self._update(image, layer, scan)
                finished = layer
                if record is not None:
                    record.log_likelihood.append(likelihood)
                    finish()
                if callback is not None:
                    callback(layer, image)
        except KeyboardInterrupt:
            print(f"BCD-Net stopped after {finished} layers; this is the last finished image")
        return image

    def _update(self, image, layer, scan):
        """One layer: the image after it, and the log-likelihood of the image that enters it."""
        u = self.denoise(image, layer)
        # argmin -L + beta ‖x - u‖²: rho/2 = beta. From x, not from u: a step from x never lets the objective rise, and
        # EM's factor could not bring back what is 0 in u.
        prior = Reference(u, strength(self.kappa, scan.sensitivity, self.scale))
        told = Record()
        s = scan.sensitivity
        with contextlib.redirect_stdout(io.StringIO()):  # `map_em` tells about the keyboard, and gives back its start
            image = map_em(scan.prompts, scan.A, prior, iterations=1, start=image, sensitivity=s, record=told)
        if not told.iterations:
            raise KeyboardInterrupt
        return image, told.log_likelihood[0] - scan.background

    # ---- training ------------------------------------------------------------------------------------------------

    def fit(
        self,
        scans,
        starts,
        truths,
        *,
        validation=None,
        epochs=50,
        batch_size=None,
        planes=8,
        seed=0,
        patience=None,
        checkpoint=None,
        callback=None,
        progress=False,
    ):
        """Train layer by layer: each denoiser to give the truth from the reconstructions after the layer before it.

        ``min ‖truth - u(x)‖²`` by Adam with the learning rates 1e-2 (encoder), 1e-3 (decoder) and 1e-1 (threshold);
        then the layer is applied to all scans. No gradient crosses the projector. All thresholds start at the
        90th percentile of the start images' codes ``|c_k * x|`` with the basis filters but the constant one (choice).

        Parameters
        ----------
        scans : list of (prompts, A)
        starts, truths : lists of float32 (z, y, x), activity
            A start image, such as a short MLEM, and the truth of every scan. All of one shape.
        validation : (scans, starts, truths), optional
            Scans of other subjects, for the record and for ``patience``.
        epochs : int
            For every layer.
        batch_size : int, optional
            Slices (2-D; default 8) or blocks of planes (3-D; default 1) of a step.
        planes : int
            Of a block, in 3-D. A block sees the planes beside it: how volumes are cut only changes the order of steps.
        seed : int
            Draws the order of the slices or blocks.
        patience : int, optional
            Training ends after so many layers without a lower validation error, and the layers after the best one are
            dropped; the record keeps their numbers. Default: all layers are trained and kept.
        checkpoint : path, optional
            Written after every layer. Where it is there already, training goes on after its layers, and ends with the
            same numbers as a training that was never interrupted.
        callback : callable, optional
            ``callback(layer, record)`` after every layer.
        progress : bool

        Returns
        -------
        BCDNet
            Itself. Layers that it had are forgotten. Stopping by the keyboard raises KeyboardInterrupt.

        Raises
        ------
        TypeError, ValueError
            Data that do not fit each other; patience without validation; a checkpoint of another training, or another
            file.
        """
        epochs = check_whole(epochs, "epochs")
        batch_size = {2: 8, 3: 1}[self.dimensions] if batch_size is None else check_whole(batch_size, "batch_size")
        planes = check_whole(planes, "planes")
        groups = {"training": check_group("training", scans, starts, truths)}
        if validation is not None:
            groups["validation"] = check_group("validation", *validation)
        elif patience is not None:
            raise ValueError(f"patience: expected validation scans with it, got patience={patience!r} without")
        patience = None if patience is None else check_whole(patience, "patience")
        key = key_of_training(self._config() | {"layers": None}, groups, epochs, batch_size, planes, seed)
        images = {name: [s.start for s in group] for name, group in groups.items()}
        self.weights, self.record = [], BCDRecord()
        if checkpoint is None or not Path(checkpoint).exists():
            self._note(groups, images)
        else:
            images = self._resume(checkpoint, key, images)
        training = LayerTraining(self.dimensions, self.filters, self.size, batch_size, planes)
        todo = range(len(self.weights) + 1, self.layers + 1)
        for layer in tqdm(
            todo, desc="BCD-Net", disable=not progress, unit="layer", initial=todo.start - 1, total=self.layers
        ):
            if patience is not None and len(self.weights) - self.record.best_layer >= patience:
                break
            begin = time.perf_counter()
            weights, loss = training.train(
                [to_numpy(x) / np.float32(self.scale) for x in images["training"]],
                [s.truth / np.float32(self.scale) for s in groups["training"]],
                weights=self.weights[-1] if self.weights else None,
                epochs=epochs,
                seed=(seed, layer),
            )
            self.weights.append(weights)
            for name, group in groups.items():
                images[name] = [self._update(x, layer, s)[0] for x, s in zip(images[name], group, strict=True)]
            self._note(groups, images)
            self.record.loss.append(loss)
            self.record.seconds.append(time.perf_counter() - begin)
            if checkpoint is not None:
                kept = {f"image_{name}": np.stack([to_numpy(x) for x in group]) for name, group in images.items()}
                write_network(checkpoint, self._words() | {"key": key}, self.weights, **kept)
            if callback is not None:
                callback(layer, self.record)
        if patience is not None:
            del self.weights[max(self.record.best_layer, 1) :]
        return self

    def _note(self, groups, images):
        for name, group in groups.items():
            pairs = zip(images[name], group, strict=True)
            squares = [np.mean((to_numpy(x) - s.truth) ** 2, dtype="float64") for x, s in pairs]
            getattr(self.record, name).append(float(np.sqrt(np.mean(squares))))

    # ---- files ---------------------------------------------------------------------------------------------------

    def save(self, path):
        """Write weights, settings and record to one ``.npz`` file, whole or not at all; returns its path.

        Raises
        ------
        OSError
            The folder does not exist or cannot be written.
        """
        return write_network(path, self._words(), self.weights)

    @classmethod
    def load(cls, path):
        """Read a network that `save` wrote.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            Another file, or a damaged one.
        """
        words, weights, _ = read_network(path)
        return cls._from(words, weights)

    @classmethod
    def _from(cls, words, weights):
        network = cls(**words["config"])
        network.record = BCDRecord(**words["record"])
        network.weights = weights
        return network

    def _config(self):
        return {name: getattr(self, name) for name in ("dimensions", "filters", "size", "layers", "kappa", "scale")}

    def _words(self):
        return {"config": self._config(), "record": asdict(self.record)}

    def _resume(self, path, key, images):
        """Take layers and record over from a checkpoint; returns the images after its layers."""
        words, weights, arrays = read_checkpoint(path, key, self.layers)
        self.weights, self.record = weights, BCDRecord(**words["record"])
        return {
            name: [array_module(old).asarray(new) for old, new in zip(group, arrays[f"image_{name}"], strict=True)]
            for name, group in images.items()
        }

    def _denoiser(self):
        """The Keras layer that the weights of every layer are put into in turn."""
        if self._coding is None:
            from pettutor.networks.parts.convolutional_coding import ConvolutionalCoding

            self._coding = ConvolutionalCoding(self.dimensions, self.filters, self.size)
            self._coding.build((None,) * (self.dimensions + 1) + (1,))
        return self._coding

    def __repr__(self):
        return (
            f"<BCDNet {self.dimensions}-D, {self.filters} filters of size {self.size}, {len(self.weights)} of "
            f"{self.layers} layers trained>"
        )
