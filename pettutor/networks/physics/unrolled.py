"""What the unrolled networks share: their inputs, their small CNNs, and how one reconstructs a scan with them.

An unrolled network is an iterative algorithm with a fixed number of iterations and a CNN in each. Its inputs are

- ``image``: start image over ``scale``, (batch, y, x, 1) or (batch, z, y, x, 1);
- ``scan``: (batch,) numbers of the scans in `Scans`;
- ``mr``, for a network with MR channels: (batch, …, channels), about 0 … 1;

and its output is the last image over ``scale``.
"""

import numpy as np

from pettutor.arrays import check_array
from pettutor.networks.backend import load_keras
from pettutor.networks.physics.scans import Scans


def check_unrolled(input_shape, unrolls, name="unrolls"):
    """Return the shape as ints, else raise."""
    words = "input_shape: expected (y, x, channels) or (z, y, x, channels), whole numbers >= 1"
    try:
        shape = tuple(input_shape)
    except TypeError:
        raise TypeError(f"{words}, got {input_shape!r}") from None
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in shape)
    if len(shape) not in (3, 4) or not whole:
        raise ValueError(f"{words}, got {input_shape!r}")
    if isinstance(unrolls, bool) or not isinstance(unrolls, (int, np.integer)) or unrolls < 1:
        raise ValueError(f"{name}: expected a whole number >= 1, got {unrolls!r}")
    return tuple(map(int, shape))


def make_inputs(shape):
    """Keras inputs by name; the channels after the first are MR."""
    keras = load_keras()
    inputs = {
        "image": keras.Input((*shape[:-1], 1), name="image"),
        "scan": keras.Input((), dtype="int32", name="scan"),
    }
    if shape[-1] > 1:
        inputs["mr"] = keras.Input((*shape[:-1], shape[-1] - 1), name="mr")
    return inputs


def make_networks(build, shape, count, default):
    """``count`` CNNs by ``build(shape)``; where count is 1 it is the one that all unrolls share.

    Raises
    ------
    TypeError, ValueError
        ``build`` is no function, or makes something else than a network from ``shape`` to one channel.
    """
    keras = load_keras()
    build = default if build is None else build
    if not callable(build) or isinstance(build, keras.Model):
        raise TypeError(f"cnn: expected a function of the input shape that builds a keras.Model, got {build!r:.80}")
    networks = [build(shape) for _ in range(count)]
    for k, network in enumerate(networks):
        expected = (None, *shape[:-1], 1)
        if not isinstance(network, keras.Model) or tuple(network.output_shape) != expected:
            got = getattr(network, "output_shape", None) or network
            raise ValueError(f"cnn: expected a network from {shape} to {expected[1:]}, got {got!r:.80}")
        network.name = "cnn" if count == 1 else f"cnn_{k + 1}"
    return networks


def small_unet(residual):
    """The default CNN: a U-Net of 32 thousand weights (3-D: 97 thousand) whose last convolution starts at zero."""

    def build(shape):
        from pettutor.networks.unet import unet

        return unet(shape, (8, 16, 32), residual=residual, zero_last=True)

    return build


def with_mr(image, inputs):
    """The image with the MR channels, where the network has any."""
    return image if "mr" not in inputs else load_keras().ops.concatenate([image, inputs["mr"]], axis=-1)


def scale_of(model):
    """Activity that an unrolled network sees as 1.

    Raises
    ------
    ValueError
        A model without physics inside.
    """
    scales = {layer.scale for layer in model._flatten_layers() if hasattr(layer, "scans")}
    if len(scales) != 1:
        raise ValueError(f"model: expected an unrolled network with one scale, got {sorted(scales) or 'no such layer'}")
    return scales.pop()


def reconstruct(model, prompts, A, start, *, mr=None, background=None):
    """Reconstruct a scan with an unrolled network.

    Parameters
    ----------
    model : keras.Model
        From `EMNet`, `MAPEMNet` or `FBSEMNet`, trained; it keeps the scans that it had.
    prompts, A, background
        As for `mlem`.
    start : float32 image (z, y, x)
        The kind of image that the network was trained to start from (a short MLEM or OSEM), activity.
    mr : image (z, y, x), or a tuple of one a channel, optional
        For a network with MR channels; about 0 … 1.

    Returns
    -------
    float32 image (z, y, x), activity.

    Raises
    ------
    TypeError, ValueError
        Data that do not fit the operator or the network.
    """
    from pettutor.networks.physics.layers import ScanLayer, attach

    keras = load_keras()
    check_array(start, "start", shape=A.in_shape, nonnegative=True)
    scale = scale_of(model)
    shape = tuple(model.inputs[0].shape[1:-1])
    volume = shape if len(shape) == 3 else (1, *shape)
    if tuple(A.in_shape) != volume:
        raise ValueError(f"A: expected images of {volume} (the network's), got {A.in_shape}")
    inputs = {
        "image": (start / np.float32(scale)).reshape(1, *shape, 1),
        "scan": np.zeros(1, np.int32),
    }
    names = [tensor.name for tensor in model.inputs]
    if ("mr" in names) != (mr is not None):
        raise ValueError(f"mr: expected {'an image' if 'mr' in names else 'none'} for this network")
    if mr is not None:
        channels = mr if isinstance(mr, tuple | list) else (mr,)
        expected = model.inputs[names.index("mr")].shape[-1]
        if len(channels) != expected:
            raise ValueError(f"mr: expected {expected} images for this network, got {len(channels)}")
        stacked = [check_array(m, "mr", shape=A.in_shape).reshape(1, *shape) for m in channels]
        inputs["mr"] = np.stack(stacked, axis=-1)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, ScanLayer)]
    before = [layer.scans for layer in layers]
    one = Scans(keep_bytes=0)  # nothing goes back through it
    one.add(prompts, A, background)
    attach(model, one)
    try:
        image = keras.ops.convert_to_numpy(model(inputs, training=False))
    finally:
        for layer, scans in zip(layers, before, strict=True):
            layer.scans = scans
    return image.reshape(A.in_shape).astype(np.float32) * np.float32(scale)


def load(path, scans=None, operator=None):
    """Read a model with physics inside from a ``.keras`` file, and give it what a file does not hold.

    Parameters
    ----------
    path : str or pathlib.Path
    scans : Scans, optional
        For training on; `reconstruct` needs none.
    operator : operator, optional
        For a model with forward or back projections.

    Returns
    -------
    keras.Model

    Raises
    ------
    TypeError
        Scans of another kind.
    ValueError
        No such file, or scans or an operator for a model that has no layer for them.
    """
    from pettutor.networks.parts import convolutional_coding, resampling  # noqa: F401 - Keras knows their layers by then
    from pettutor.networks.physics.layers import attach

    model = load_keras().models.load_model(path)
    return model if scans is None and operator is None else attach(model, scans, operator)
