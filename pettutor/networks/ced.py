"""CED, the convolutional encoder-decoder: the course's first network."""

import numpy as np

from pettutor.networks.backend import load_keras

ENCODER = (2, 4, 8, 16)
DECODER = (8, 4, 2, 1)
DIVISOR = 2 ** len(ENCODER)


def ced(input_shape=(128, 128, 1), name="ced"):
    """Build the 2-D convolutional encoder-decoder, 3,870 parameters for one input channel.

    Four 3×3 convolutions with stride 2, same padding and ReLU (2, 4, 8, 16 filters); then four times bilinear
    upsampling × 2, concatenation with the encoder's map of that size (the last with the input) and a 3×3 convolution
    with ReLU (8, 4, 2, 1 filters). With d⁰ = x, the way down and the way up are

        dᵏ = relu(Wᵏ ∗ dᵏ⁻¹ + b),  k = 1 … 4;   u⁴ = d⁴,  uᵏ⁻¹ = relu(Vᵏ ∗ [up(uᵏ), dᵏ⁻¹] + c);   f(x) = u⁰.

    Parameters
    ----------
    input_shape : (int, int, int)
        Rows, columns (both divisible by 16) and channels. Channel 0 is the PET image.
    name : str

    Returns
    -------
    keras.Model
        (slice, rows, columns, channels) to (slice, rows, columns, 1), not compiled.

    Raises
    ------
    ValueError, TypeError
        Another input shape.
    ImportError
        No Keras or no backend here.

    Notes
    -----
    The weights start at random (Glorot) but for the last convolution, which starts as 1 on the image's own voxel and 0
    elsewhere (choice): the untrained network passes the image on. Ending in a single ReLU, it could otherwise start as
    "all zero", where no gradient leads out. ``keras.utils.set_random_seed`` before the call makes the start repeatable.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, MICCAI 2015, LNCS 9351:234, for the way down, up and across; this one is the
    course's own, small enough to be counted by hand.
    """
    rows, columns, channels = check_input_shape(input_shape)
    layers = load_keras().layers

    def convolution(filters, stage, stride=1):
        return layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu", name=stage)

    image = layers.Input((rows, columns, channels), name="image")
    maps = [image]
    for level, filters in enumerate(ENCODER, 1):
        maps.append(convolution(filters, f"encode_{level}", stride=2)(maps[-1]))
    x = maps.pop()
    for level, filters in zip(range(len(DECODER), 0, -1), DECODER, strict=True):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"enlarge_{level}")(x)
        x = layers.Concatenate(name=f"join_{level}")([x, maps.pop()])
        x = convolution(filters, f"decode_{level}")(x)
    model = load_keras().Model(image, x, name=name)
    _pass_image_on(model.layers[-1], channel=-channels)
    return model


def _pass_image_on(convolution, channel):
    """Set the middle tap on ``channel`` of the convolution's input to 1 and all others to 0."""
    kernel, bias = convolution.get_weights()
    kernel[:] = 0
    kernel[1, 1, channel, 0] = 1
    convolution.set_weights([kernel, bias])


def check_input_shape(input_shape):
    """Return (rows, columns, channels) as int, else raise."""
    words = f"input_shape: expected (rows, columns, channels), rows and columns divisible by {DIVISOR}"
    try:
        values = tuple(input_shape)
    except TypeError:
        raise TypeError(f"{words}, got {input_shape!r}") from None
    if len(values) != 3:
        raise ValueError(f"{words}, got {len(values)} numbers: {input_shape!r}")
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in values):
        raise TypeError(f"{words}, got {input_shape!r}")
    rows, columns, channels = map(int, values)
    if min(rows, columns) < DIVISOR or rows % DIVISOR or columns % DIVISOR:
        raise ValueError(f"{words}, got {rows} × {columns}")
    if channels < 1:
        raise ValueError(f"input_shape: expected at least one channel, got {channels}")
    return rows, columns, channels
