"""An image written as a network: ``x = scale · f(θ | z)``, with the patient's MR, or noise, as the fixed input z."""

import numpy as np

from pettutor.arrays import bounding_box, check_array, to_numpy
from pettutor.networks.backend import load_keras
from pettutor.networks.fitting.gradients import NetworkFunction
from pettutor.networks.fitting.optimisers import OPTIMISERS, check_count, fit_adam, minimise


class DeepImagePrior:
    """Images (z, y, x) that a network can make from one fixed input, as a function of its weights.

    A single slice goes through a 2-D network, a volume through a 3-D one (or through a given 2-D one, slice by slice).

    Parameters
    ----------
    shape : (int, int, int)
        Of the image.
    mr : float array (z, y, x), or a tuple of several, optional
        The patient's own MR, a channel each, in any units: each is scaled to [0, 1]. None for random noise
        (uniform in [0, 1], drawn from ``seed``, as many channels as the network has).
    network : keras.Model, optional
        From (batch, y, x, channel) or (batch, z, y, x, channel) to one channel; its weights are the start. Default:
        `dip_unet`, drawn from ``seed`` by ``keras.utils.set_random_seed`` (which seeds Python and NumPy too).
    filters : sequence of int, optional
        Of the default network: 8, 16, 32 for a slice and 16, 32, 64, 128 for a volume (choice: about as many weights
        as there are voxels).
    seed : int
    mask : bool array (z, y, x), optional
        Where there may be activity: the default network covers the smallest box around it, and 0 is all beyond.

    Raises
    ------
    TypeError, ValueError
        An MR that is not on the image's grid or is the same everywhere, a network of another shape, a mask of another
        shape or of no voxel.
    """

    def __init__(self, shape, mr=None, *, network=None, filters=None, seed=0, mask=None):
        self.shape, self.scale = tuple(shape), 1.0
        if len(self.shape) != 3:
            raise ValueError(f"image: expected (z, y, x), got {len(self.shape)} dimensions: {self.shape}")
        channels = None if mr is None else [unit_range(m, self.shape) for m in (mr if _several(mr) else (mr,))]
        check_count(seed, "seed", 0)
        if network is None:
            network = _default_network(self.shape, 1 if channels is None else len(channels), filters, seed, mask)
        self.function = NetworkFunction(network)
        count = network.input_shape[-1]
        if channels is None:
            rng = np.random.default_rng(seed)
            channels = [rng.random(self.shape, dtype=np.float32) for _ in range(count or 1)]
        self.inputs = as_batch(channels, network)
        output = network.compute_output_shape(self.inputs.shape)
        if tuple(output)[1:] != (*self.inputs.shape[1:-1], 1):
            raise ValueError(f"network: expected an output {(*self.inputs.shape[:-1], 1)}, got {tuple(output)}")

    @property
    def start(self):
        """The weights that the network has now, flat."""
        return self.function.weights

    def keep(self, weights):
        """Set the network's weights."""
        self.function.weights = weights

    def image(self, weights, output=None):
        """``scale · f(θ | z)``: NumPy array (z, y, x); ``output`` is f(θ | z) where it is known already."""
        output = (self.function(self.inputs, weights) if output is None else output).reshape(self.shape)
        return output * output.dtype.type(self.scale)

    def fit(self, weights, target, voxels, iterations, *, optimiser="lbfgs", learning_rate=1e-2, moments=None):
        """Weights with ``Σ (scale · f(θ | z) - target)²`` over ``voxels`` made smaller: `Fit`.

        The target is divided by ``scale``, so the network works near 1.
        """
        target = self.batch(target / target.dtype.type(self.scale))
        inside = self.batch(voxels)
        if optimiser == "lbfgs":
            error = self.function.error_by_weights(self.inputs, target, inside)
            return minimise(error, weights, iterations)
        return fit_adam(
            self.function, self.inputs, target, iterations=iterations, voxel_weights=inside, start=weights,
            learning_rate=learning_rate, moments=moments,
        )  # fmt: skip

    def pull_back(self, weights, upstream):
        """``scale · J_θᵀ g``: from a gradient by the image to the one by the weights."""
        return self.scale * self.function.pull_back(self.inputs, self.batch(upstream), weights)

    def batch(self, image):
        """An image (z, y, x) in the layout of the network's output."""
        return np.asarray(image).reshape((*self.inputs.shape[:-1], 1))


def as_batch(channels, network):
    """Volumes (z, y, x), a channel each, as the network wants them: (1, z, y, x, c), or (z, y, x, c) in 2-D.

    Raises
    ------
    ValueError
        Another number of volumes, or another size.
    """
    stacked = np.stack([to_numpy(c) for c in channels], axis=-1)
    expected = network.input_shape
    if len(expected) == 5:
        stacked = stacked[None]
    elif len(expected) != 4:
        raise ValueError(f"network: expected an input (batch, y, x, c) or (batch, z, y, x, c), got {expected}")
    if any(n is not None and n != size for n, size in zip(expected[1:], stacked.shape[1:], strict=True)):
        raise ValueError(f"network: expected an input {stacked.shape[1:]} (size and channels), got {expected[1:]}")
    return stacked


def unit_range(image, shape):
    """The image scaled to [0, 1], float32."""
    image = to_numpy(check_array(image, "mr", shape=shape, dtype=(np.float32, np.float64)))
    low, high = float(image.min()), float(image.max())
    if not high > low:
        raise ValueError(f"mr: expected an image with some contrast, got {low:g} everywhere")
    return ((image - low) / (high - low)).astype(np.float32)


def check_optimiser(optimiser):
    if optimiser not in OPTIMISERS:
        raise ValueError(f"optimiser: expected one of {', '.join(map(repr, OPTIMISERS))}, got {optimiser!r}")
    return optimiser


def _several(mr):
    return isinstance(mr, (tuple, list))


def _default_network(shape, channels, filters, seed, mask):
    from pettutor.networks.parts.box import in_box
    from pettutor.networks.unet import dip_unet

    if mask is None:
        box = tuple(slice(0, n) for n in shape)
    else:
        box = bounding_box(check_array(mask, "mask", shape=shape, dtype=bool))
    if filters is None:
        filters = (8, 16, 32) if shape[0] == 1 else (16, 32, 64, 128)
    if shape[0] == 1:
        shape, box = shape[1:], box[1:]
    load_keras().utils.set_random_seed(int(seed))
    return in_box(lambda size: dip_unet((*size, channels), filters), shape, box)
