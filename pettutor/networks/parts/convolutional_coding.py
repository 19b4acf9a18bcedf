"""One denoiser of BCD-Net: convolutional coding, the soft threshold, and decoding."""

import numpy as np
from scipy.fft import dct

from pettutor.networks.backend import load_keras

keras = load_keras()


@keras.saving.register_keras_serializable(package="pettutor")
class ConvolutionalCoding(keras.layers.Layer):
    """``u = sum_k d_k * T(c_k * x, exp(alpha_k))``, with the soft threshold ``T(a, t) = sign(a) max(|a| - t, 0)``.

    Filters without bias; encoder c and decoder d are not tied. The image is 0 outside, and the codes ``c_k * x`` are
    taken there as well, so that all voxels are treated alike, at the borders too.

    Parameters
    ----------
    dimensions : 2 or 3
    filters : int
        K.
    size : int
        Odd width of a filter, voxels along each axis.

    (batch, …, 1) to (batch, …, 1). Weights: ``encoder`` (size, …, 1, K), ``decoder`` (size, …, K, 1) and
    ``log_threshold`` (K,), together ``K (2 size^dimensions + 1)``. They start as `identity_filters`, with thresholds of
    about 0.
    """

    def __init__(self, dimensions=3, filters=78, size=3, **kwargs):
        super().__init__(**kwargs)
        if dimensions not in (2, 3):
            raise ValueError(f"dimensions: expected 2 or 3, got {dimensions!r}")
        self.dimensions, self.filters, self.size = dimensions, filters, size
        self.reach = 2 * (size // 2)  # voxels that a voxel sees on each side
        self._start = identity_filters(dimensions, filters, size)

    def build(self, input_shape):
        if len(input_shape) != self.dimensions + 2 or input_shape[-1] != 1:
            raise ValueError(
                f"input: expected {self.dimensions + 2} axes (batch, {self.dimensions} of the image, 1), got shape "
                f"{tuple(input_shape)}"
            )
        encoder, decoder = self._start
        self.encoder = self.add_weight(shape=encoder.shape, initializer=_constant(encoder), name="encoder")
        self.decoder = self.add_weight(shape=decoder.shape, initializer=_constant(decoder), name="decoder")
        nearly_zero = keras.initializers.Constant(-20.0)
        self.log_threshold = self.add_weight(shape=(self.filters,), initializer=nearly_zero, name="log_threshold")
        super().build(input_shape)

    def codes(self, image):
        """``c_k * x`` on the image and round it: (batch, …, channel 1) to (batch, … + size - 1, K)."""
        widths = [(0, 0), *[(self.reach, self.reach)] * self.dimensions, (0, 0)]
        return keras.ops.conv(keras.ops.pad(image, widths), self.encoder, padding="valid")

    def call(self, image):
        ops = keras.ops
        codes = self.codes(image)
        kept = ops.sign(codes) * ops.relu(ops.abs(codes) - ops.exp(self.log_threshold))
        return ops.conv(kept, self.decoder, padding="valid")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return super().get_config() | {"dimensions": self.dimensions, "filters": self.filters, "size": self.size}


def identity_filters(dimensions, filters, size):
    """Filters that code and decode without loss while nothing is thresholded: float32 (encoder, decoder).

    The first ``n = size^dimensions`` filters are an orthonormal basis, that of the discrete cosine transform. With d_k,
    the mirror image of c_k over n, ``sum_k d_k * c_k`` is 1 in the middle and 0 elsewhere. Further filters are random
    (always the same), of the same size, and start with a decoder of 0.

    Raises
    ------
    TypeError, ValueError
        An even size; too few filters for an identity.
    """
    for name, value in (("filters", filters), ("size", size)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size: expected an odd number of voxels, got {size}")
    count = size**dimensions
    if filters < count:
        raise ValueError(f"filters: expected at least {count} (the voxels of a filter), got {filters}")
    one = dct(np.eye(size), norm="ortho", axis=0)  # a row a frequency
    basis = one
    for _ in range(dimensions - 1):
        basis = np.kron(basis, one)
    further = np.random.default_rng(0).normal(size=(filters - count, count))
    further /= np.linalg.norm(further, axis=1, keepdims=True)
    c = np.concatenate([basis, further])
    d = np.concatenate([basis[:, ::-1] / count, 0 * further])
    shape = (size,) * dimensions
    encoder = c.T.reshape(*shape, 1, filters)
    decoder = d.T.reshape(*shape, filters, 1)
    return encoder.astype(np.float32), decoder.astype(np.float32)


def _constant(values):
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(values, dtype)
