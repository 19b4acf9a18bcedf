"""U-Nets in two and three dimensions: one that corrects an image, and the one of the deep image prior."""

import math
from typing import NamedTuple

import numpy as np

from pettutor.networks.backend import load_keras


def unet(
    input_shape,
    filters=(16, 32, 64),
    *,
    outputs=1,
    residual=True,
    zero_last=True,
    batch_normalisation=False,
    last_activation=None,
    axial_levels=None,
    name="unet",
):
    """Build a U-Net that corrects an image: ``output = activation(image + correction(input))``.

    A level is twice a convolution of 3 × 3 (× 3) with ReLU. Down: the maximum of every 2 × 2 (× 2) voxels. Up: linear
    enlarging × 2, a convolution with ReLU to the filters of the level, concatenation with what the level held on the
    way down, and the level's two convolutions. At the end one convolution of a single voxel.

    Parameters
    ----------
    input_shape : (y, x, channels) or (z, y, x, channels)
        Of any size: the network pads with zeros to whole levels and crops its output. Channel 0 is the PET image.
    filters : tuple of int
        Of every level, the finest first.
    outputs : int
        Output channels.
    residual : bool
        Add channel 0 of the input to the output (which then has one channel).
    zero_last : bool
        Start the last convolution at zero: the untrained residual network passes the image on.
    batch_normalisation : bool
        Keras' ``BatchNormalization`` before every ReLU: statistics of the batch in training, moving averages else.
    last_activation : str or callable, optional
        On the output, after the image is added; ``"relu"`` keeps it >= 0.
    axial_levels : int, optional
        In 3-D, how many times the planes are halved; by default as often as (y, x), but never below one plane.
    name : str

    Returns
    -------
    keras.Model
        (batch, …, channels) to (batch, …, outputs), not compiled.

    Raises
    ------
    TypeError, ValueError
        Another input shape, filters or levels; several outputs with ``residual``; a ReLU on an output that starts at 0
        everywhere, where no gradient leads out.
    ImportError
        No Keras or no backend here.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, MICCAI 2015, LNCS 9351:234 (levels, concatenation). Padding, linear enlarging,
    the residual and its zero start are choices.
    """
    plan = _plan(input_shape, filters, axial_levels)
    outputs = _whole(outputs, "outputs")
    if residual and outputs != 1:
        raise ValueError(f"outputs: expected 1 with residual=True, got {outputs}")
    if zero_last and not residual and last_activation == "relu":
        raise ValueError(
            "last_activation: expected no ReLU on a network that starts at 0 everywhere (its gradient is 0), got "
            "'relu' with zero_last=True and residual=False"
        )
    layers = load_keras().layers

    def convolution(x, count, stage):
        x = plan.convolution(count, use_bias=not batch_normalisation, name=stage)(x)
        if batch_normalisation:
            x = layers.BatchNormalization(name=f"{stage}_normalised")(x)
        return layers.Activation("relu", name=f"{stage}_relu")(x)

    def level(x, number, way):
        for repeat in (1, 2):
            x = convolution(x, plan.filters[number], f"{way}_{number + 1}_{repeat}")
        return x

    image = layers.Input(plan.input_shape, name="image")
    x, maps = plan.pad(image), []
    for number, factors in enumerate(plan.factors):
        maps.append(level(x, number, "down"))
        x = plan.pooling(factors, name=f"halve_{number + 1}")(maps[-1])
    x = level(x, len(plan.factors), "bottom")
    for number in reversed(range(len(plan.factors))):
        x = plan.enlarge(x, number)
        x = convolution(x, plan.filters[number], f"enlarged_{number + 1}")
        x = layers.Concatenate(name=f"join_{number + 1}")([maps[number], x])
        x = level(x, number, "up")
    start = "zeros" if zero_last else "glorot_uniform"
    x = plan.crop(plan.convolution(outputs, size=1, kernel_initializer=start, name="last")(x))
    if residual:
        x = layers.Add(name="corrected")([image if plan.input_shape[-1] == 1 else image[..., :1], x])
    if last_activation is not None:
        x = layers.Activation(last_activation, name="output")(x)
    return load_keras().Model(image, x, name=name)


def dip_unet(input_shape, filters=(16, 32, 64, 128), *, last_activation="relu", axial_levels=None, name="dip_unet"):
    """Build the U-Net of the deep image prior: from the patient's MR, or noise, to a PET image >= 0 of mean about 1.

    A level is twice a convolution of 3 × 3 (× 3), normalisation and leaky ReLU (slope 0.2). Down: the same with a
    convolution of stride 2. Up: linear enlarging × 2, a convolution to the filters of the level, and *addition* of what
    the level held on the way down. At the end a convolution, and a ReLU or softplus. With Lᵏ a level, Sᵏ the strided
    and Pᵏ, W the other convolutions,

        d¹ = L¹(z),  dᵏ⁺¹ = Lᵏ⁺¹(Sᵏ dᵏ);   uⁿ = dⁿ,  uᵏ = Lᵏ'(Pᵏ up(uᵏ⁺¹) + dᵏ);   f(θ | z) = relu(W u¹ + b).

    Parameters
    ----------
    input_shape, filters, axial_levels, name
        As for `unet`; what the channels hold does not matter.
    last_activation : "relu" or "softplus"
        What keeps the output >= 0. ReLU is the paper's; a voxel that it has set to 0 gives no gradient any more.
        Softplus, ``ln(1 + exp(v))``, is never 0 (choice).

    Returns
    -------
    keras.Model
        (batch, …, channels) to (batch, …, 1), not compiled.

    Raises
    ------
    TypeError, ValueError
        Another input shape, filters, levels or last activation.
    ImportError
        No Keras or no backend here.

    Notes
    -----
    Normalisation is that of batch normalisation with the statistics of the one sample that there is, each channel over
    its voxels, with scale and shift learnt (``GroupNormalization`` with a group a channel). It does the same whatever
    ``training`` says: what is fitted is what is predicted. Samples that come in one batch do not see each other.

    In 3-D the default ``filters`` make 2.04 million weights; the paper's network has about one million (a choice).

    The last convolution starts with a tenth of the usual weights and a bias at which the activation is 1 (choice), so
    the untrained output is about 1 everywhere, the mean of a target scaled to unit mean. A single ReLU could otherwise
    start as "all zero", where no gradient leads out.

    References
    ----------
    K. Gong, C. Catana, J. Qi, Q. Li, IEEE Trans. Med. Imaging 38(7):1655, 2019.
    """
    plan = _plan(input_shape, filters, axial_levels)
    one = {"relu": 1.0, "softplus": math.log(math.e - 1)}  # the inverse of each at 1
    if last_activation not in tuple(one):
        raise ValueError(f"last_activation: expected 'relu' or 'softplus', got {last_activation!r}")
    keras = load_keras()
    layers = keras.layers

    def convolution(x, number, stage, stride=1):
        # the normalisation takes the mean away, and a bias with it
        x = plan.convolution(plan.filters[number], strides=stride, use_bias=False, name=stage)(x)
        x = layers.GroupNormalization(groups=-1, name=f"{stage}_normalised")(x)
        return layers.LeakyReLU(negative_slope=0.2, name=f"{stage}_relu")(x)

    def level(x, number, way):
        for repeat in (1, 2):
            x = convolution(x, number, f"{way}_{number + 1}_{repeat}")
        return x

    image = layers.Input(plan.input_shape, name="image")
    x, maps = plan.pad(image), []
    for number, factors in enumerate(plan.factors):
        maps.append(level(x, number, "down"))
        x = convolution(maps[-1], number + 1, f"halve_{number + 1}", stride=factors)
    x = level(x, len(plan.factors), "bottom")
    for number in reversed(range(len(plan.factors))):
        x = plan.enlarge(x, number)
        x = convolution(x, number, f"enlarged_{number + 1}")
        x = layers.Add(name=f"add_{number + 1}")([maps[number], x])
        x = level(x, number, "up")
    tenth = keras.initializers.VarianceScaling(0.01, "fan_avg", "uniform")  # Glorot's has the variance 1 there
    bias = keras.initializers.Constant(one[last_activation])
    x = plan.convolution(1, kernel_initializer=tenth, bias_initializer=bias, name="last")(x)
    x = layers.Activation(last_activation, name="output")(plan.crop(x))
    return keras.Model(image, x, name=name)


class _Plan(NamedTuple):
    """What the levels of a U-Net need to know of its input."""

    input_shape: tuple
    filters: tuple
    factors: tuple  # of every halving, one a spatial axis: 1 or 2
    padding: tuple  # (before, after) of every spatial axis

    def _layer(self, kind):
        return getattr(load_keras().layers, f"{kind}{len(self.padding)}D")

    def convolution(self, filters, size=3, **settings):
        return self._layer("Conv")(filters, size, padding="same", **settings)

    def pooling(self, factors, **settings):
        return self._layer("MaxPooling")(factors, **settings)

    def enlarge(self, x, number):
        from pettutor.networks.parts.resampling import LinearUpsampling

        return LinearUpsampling(self.factors[number], name=f"enlarge_{number + 1}")(x)

    def pad(self, x):
        if not np.any(self.padding):
            return x
        # On processors with AVX-512 or AVX-VNNI TensorFlow (2.21) makes one step of a padding and the 3-D convolution
        # after it, and forgets the zeros that padding="same" adds of its own. What is cut off again keeps them apart.
        more = (1,) + (0,) * (len(self.padding) - 1)
        widths = tuple((before + n, after) for (before, after), n in zip(self.padding, more, strict=True))
        x = self._layer("ZeroPadding")(widths, name="pad_with_one_more")(x)
        return self._layer("Cropping")(tuple((n, 0) for n in more), name="pad")(x)

    def crop(self, x):
        return self._layer("Cropping")(self.padding, name="crop")(x) if np.any(self.padding) else x


def _plan(input_shape, filters, axial_levels):
    """Check the arguments and lay out the levels."""
    shape = check_input_shape(input_shape)
    sizes, halvings = shape[:-1], len(check_filters(filters)) - 1
    times = [halvings] * len(sizes)  # how often each axis is halved
    if len(sizes) == 3:
        if axial_levels is None:
            times[0] = min(halvings, int(math.log2(sizes[0])))
        else:
            times[0] = _whole(axial_levels, "axial_levels", least=0)
            if times[0] > halvings:
                raise ValueError(f"axial_levels: expected 0 … {halvings} (one less than filters), got {axial_levels}")
    elif axial_levels is not None:
        raise ValueError(f"axial_levels: expected None in 2-D, where there are no planes, got {axial_levels!r}")
    missing = [-n % 2**t for n, t in zip(sizes, times, strict=True)]
    padding = tuple((m // 2, m - m // 2) for m in missing)
    factors = tuple(tuple(2 if number < t else 1 for t in times) for number in range(halvings))
    return _Plan(shape, check_filters(filters), factors, padding)


def check_input_shape(input_shape):
    """Return (y, x, channels) or (z, y, x, channels) as int, else raise."""
    words = "input_shape: expected (y, x, channels) or (z, y, x, channels), whole numbers >= 1"
    try:
        values = tuple(input_shape)
    except TypeError:
        raise TypeError(f"{words}, got {input_shape!r}") from None
    if len(values) not in (3, 4):
        raise ValueError(f"{words}, got {len(values)} numbers: {input_shape!r}")
    return tuple(_whole(n, words, say=input_shape) for n in values)


def check_filters(filters):
    """Return the filters of every level as a tuple of int, else raise."""
    words = "filters: expected a whole number >= 1 for every level"
    if isinstance(filters, str) or not np.iterable(filters) or not tuple(filters):
        raise TypeError(f"{words}, got {filters!r}")
    return tuple(_whole(n, words, say=filters) for n in filters)


def _whole(value, words, *, least=1, say=None):
    """A whole number >= least; ``words`` is the argument's name, or the beginning of the message."""
    say = value if say is None else say
    words = words if ":" in words else f"{words}: expected a whole number >= {least}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{words}, got {say!r}")
    if value < least:
        raise ValueError(f"{words}, got {say!r}")
    return int(value)
