"""U-Nets, the linear enlarging inside them, the network for PET and MR, and networks of equal size."""

import functools
import importlib.util
import math

import numpy as np
import pytest
from processes import run_python
from scipy import ndimage, signal
from test_networks import needs_keras

from pettutor import networks
from pettutor.networks.low_count_mr import low_count_mr
from pettutor.networks.parts.parameter_matching import count_trainable, parameters_like
from pettutor.networks.unet import dip_unet, unet

pytestmark = needs_keras


def random_weights(model, seed=0):
    """Every weight drawn anew, none left at its special start."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0.1, 0.3, w.shape) for w in model.get_weights()])
    return model


def output(model, image, **settings):
    return networks.load_keras().ops.convert_to_numpy(model(image, **settings))


# ---- slow references in float64 ----------------------------------------------------------------------------------


def enlarged(image, factors):
    """Linear interpolation at the centres of the smaller voxels, by SciPy."""
    points = [(np.arange(n * f) + 0.5) / f - 0.5 for n, f in zip(image.shape[:-1], factors, strict=True)]
    places = np.meshgrid(*points, indexing="ij")
    return np.stack(
        [ndimage.map_coordinates(image[..., c], places, order=1, mode="nearest") for c in range(image.shape[-1])], -1
    )


def convolved(image, kernel, bias=0.0, stride=None):
    """A layer's convolution, as large as the image over the stride, with zeros round the image (more at the end)."""
    stride = stride or (1,) * (image.ndim - 1)
    widths = []
    for n, k, s in zip(image.shape, kernel.shape, stride, strict=False):
        missing = max((math.ceil(n / s) - 1) * s + k - n, 0)
        widths.append((missing // 2, missing - missing // 2))
    padded = np.pad(image, [*widths, (0, 0)])
    result = [
        sum(signal.correlate(padded[..., i], kernel[..., i, o], mode="valid") for i in range(image.shape[-1]))
        for o in range(kernel.shape[-1])
    ]
    return np.stack(result, -1)[tuple(slice(None, None, s) for s in stride)] + bias


def pooled(image, factors):
    for axis, f in enumerate(factors):
        image = np.moveaxis(image, axis, 0)
        image = np.moveaxis(image.reshape(-1, f, *image.shape[1:]).max(axis=1), 0, axis)
    return image


def normalised(image, gamma, beta):
    axes = tuple(range(image.ndim - 1))
    return gamma * (image - image.mean(axes)) / np.sqrt(image.var(axes) + 1e-3) + beta


def slow_network(model, image, factors, *, dip, residual=True):
    """What a U-Net gives for one image (…, channel), written down once more; ``factors`` of every halving."""

    def layer(x, stage, stride=None):
        x = convolved(x, *model.get_layer(stage).get_weights(), stride=stride)
        if not dip:
            return np.maximum(x, 0)
        x = normalised(x, *model.get_layer(f"{stage}_normalised").get_weights())
        return np.where(x > 0, x, 0.2 * x)

    x, maps = image.astype(float), []
    for n, f in enumerate(factors, 1):
        maps.append(layer(layer(x, f"down_{n}_1"), f"down_{n}_2"))
        x = layer(maps[-1], f"halve_{n}", f) if dip else pooled(maps[-1], f)
    n = len(factors) + 1
    x = layer(layer(x, f"bottom_{n}_1"), f"bottom_{n}_2")
    for n in range(len(factors), 0, -1):
        x = layer(enlarged(x, factors[n - 1]), f"enlarged_{n}")
        x = maps[n - 1] + x if dip else np.concatenate([maps[n - 1], x], -1)
        x = layer(layer(x, f"up_{n}_1"), f"up_{n}_2")
    x = convolved(x, *model.get_layer("last").get_weights())
    return np.maximum(x, 0) if dip else x + image[..., :1] if residual else x


# ---- enlarging ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, accuracy", [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2), (2, 1, 1), (2, 2), (1, 2)])
def test_enlarging_is_linear_interpolation(factors, dtype, accuracy):
    from pettutor.networks.parts.resampling import LinearUpsampling

    image = np.random.default_rng(0).normal(size=(2, *(3, 5, 4)[: len(factors)], 2))
    layer = LinearUpsampling(factors, dtype=dtype)
    result = output(layer, image.astype(dtype))
    for k in range(2):
        np.testing.assert_allclose(result[k], enlarged(image[k], factors), atol=accuracy)
    assert result.shape == layer.compute_output_shape(image.shape)
    assert LinearUpsampling.from_config(layer.get_config()).factors == factors


def test_bad_enlarging():
    from pettutor.networks.parts.resampling import LinearUpsampling

    with pytest.raises(ValueError, match=r"expected 1 or 2 for each of two or three axes, got \(3, 2\)"):
        LinearUpsampling((3, 2))
    with pytest.raises(ValueError, match=r"expected 4 axes .*, got shape \(1, 2, 2, 2, 1\)"):
        LinearUpsampling((2, 2))(np.ones((1, 2, 2, 2, 1), np.float32))


# ---- the networks against the slow ones --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axial_levels", "factors"),
    [
        ((8, 4, 2), None, ((2, 2), (2, 2))),
        ((2, 8, 4, 1), None, ((2, 2, 2), (1, 2, 2))),  # two planes are halved once
        ((1, 4, 8, 2), None, ((1, 2, 2), (1, 2, 2))),
        ((4, 4, 8, 1), 1, ((2, 2, 2), (1, 2, 2))),
        ((3, 4, 4, 1), 0, ((1, 2, 2), (1, 2, 2))),
    ],
)
@pytest.mark.parametrize("build", [unet, dip_unet])
def test_the_network_is_the_one_that_is_written_down(build, shape, axial_levels, factors):
    model = random_weights(build(shape, (2, 3, 4), axial_levels=axial_levels))
    image = np.random.default_rng(2).random(shape, dtype=np.float32)
    expected = slow_network(model, image, factors, dip=build is dip_unet)
    assert expected.std() > 0.01
    np.testing.assert_allclose(output(model, image[None])[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "shape", "count"),
    [
        # convolutions of 9 (27) taps, each with its bias
        (unet, (128, 128, 1), 9 * (16 * (1 + 16 + 32 + 32 + 16) + 32 * (16 + 32 + 64 + 64 + 32) + 64 * (32 + 64))
         + 5 * 16 + 5 * 32 + 2 * 64 + 16 + 1),
        # no bias but the last; two numbers of normalisation a filter
        (dip_unet, (5, 32, 32, 1), 27 * (16 * (1 + 16 + 32 + 16 + 16 + 1) + 32 * (16 + 32 + 32 + 64 + 32 + 32)
         + 64 * (32 + 64 + 64 + 128 + 64 + 64) + 128 * (64 + 128 + 128))
         + 2 * (5 * 16 + 6 * 32 + 6 * 64 + 3 * 128) + 1),
    ],
)  # fmt: skip
def test_the_number_of_parameters(build, shape, count):
    assert build(shape).count_params() == count


@pytest.mark.parametrize("shape", [(13, 10, 1), (5, 9, 6, 2)])
def test_any_size_is_padded_with_zeros_and_cropped(shape):
    """13 × 10 is what 16 × 12 gives with a frame of zeros; 5 planes (halved twice) count 8."""
    whole = (16, 12, 1) if len(shape) == 3 else (8, 12, 8, 2)
    small = random_weights(unet(shape, (2, 3, 4), residual=False))
    large = unet(whole, (2, 3, 4), residual=False)
    large.set_weights(small.get_weights())
    image = np.random.default_rng(3).random(shape, dtype=np.float32)
    before = [(n - m) // 2 for m, n in zip(shape, whole, strict=True)]
    frame = tuple(slice(b, b + n) for b, n in zip(before[:-1], shape[:-1], strict=True))
    padded = np.zeros(whole, np.float32)
    padded[frame] = image
    np.testing.assert_allclose(output(small, image[None])[0], output(large, padded[None])[0][frame], atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_tensorflow_keeps_the_zeros_of_a_convolution_after_a_padding():
    """With oneDNN a graph fused the two and lost a frame of voxels."""
    code = """
import numpy as np
from pettutor.networks import load_keras
from pettutor.networks.unet import dip_unet, unet
load_keras().utils.set_random_seed(1)
for build in unet, dip_unet:
    for shape in ((5, 7, 6, 2), (7, 6, 2)):
        model = build(shape, (2, 3))
        model.set_weights([np.random.default_rng(2).normal(0.1, 0.3, w.shape) for w in model.get_weights()])
        image = np.random.default_rng(3).random((2, *shape), dtype=np.float32)
        found, eager = model.predict(image, verbose=0), model(image).numpy()
        assert found.shape == eager.shape and abs(found - eager).max() < 1e-4 * abs(eager).max()
        print(shape, np.ptp(found) > 0.1)
"""
    printed = run_python(code, KERAS_BACKEND="tensorflow", TF_ENABLE_ONEDNN_OPTS="1")
    assert printed.splitlines() == ["(5, 7, 6, 2) True", "(7, 6, 2) True"] * 2


# ---- how they start ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(13, 10, 1), (3, 6, 5, 2)])
@pytest.mark.parametrize("build", [unet, low_count_mr])
def test_the_untrained_network_passes_the_pet_image_on(build, shape):
    if build is low_count_mr:
        shape = (*shape[:-1], 3)
    image = np.random.default_rng(4).normal(size=(2, *shape)).astype(np.float32)
    model = build(shape, (2, 4))
    np.testing.assert_array_equal(output(model, image), image[..., :1])
    # and it is no dead end: the last convolution learns at once
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(image, 0 * image[..., :1])
    assert np.abs(model.get_layer("last").get_weights()[0]).max() > 0


def test_the_last_activation_sees_the_corrected_image():
    image = np.random.default_rng(5).normal(size=(1, 4, 6, 1)).astype(np.float32)
    model = unet((4, 6, 1), (2, 3), last_activation="relu")
    np.testing.assert_array_equal(output(model, image), np.maximum(image, 0))


def test_batch_normalisation_on_request():
    model = unet((8, 8, 1), (2, 3), batch_normalisation=True)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("BatchNormalization") == 7 and "BatchNormalization" not in [
        type(layer).__name__ for layer in unet((8, 8, 1), (2, 3)).layers
    ]
    image = np.random.default_rng(6).random((2, 8, 8, 1), dtype=np.float32)
    np.testing.assert_array_equal(output(model, image, training=True), image)


def test_the_deep_image_prior_starts_alive():
    """About 1 everywhere with every seed, and a step moves the first convolution."""
    keras = networks.load_keras()
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        model = dip_unet((16, 12, 1), (4, 8))
        noise = np.random.default_rng(seed).random((1, 16, 12, 1), dtype=np.float32)
        image = output(model, noise)
        assert image.min() > 0.2 and image.max() < 1.8 and 0.7 < image.mean() < 1.3
    before = model.get_layer("down_1_1").get_weights()[0]
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(noise, 0 * noise)
    assert (model.get_layer("down_1_1").get_weights()[0] != before).all()


def test_the_last_activation_of_the_deep_image_prior():
    """Softplus of what ReLU is of; both begin at about 1; below zero only softplus lets a gradient out."""
    build = functools.partial(dip_unet, (16, 12, 1), (2, 4))
    noise = np.random.default_rng(8).random((1, 16, 12, 1), dtype=np.float32)
    soft = build(last_activation="softplus")
    assert 0.7 < output(soft, noise).mean() < 1.3
    relu = build()
    for sign in (1, -1):
        kernel, bias = relu.get_layer("last").get_weights()
        relu.get_layer("last").set_weights([kernel, sign * abs(bias)])
        soft.set_weights(relu.get_weights())
        soft.compile("sgd", "mse", jit_compile=False)
        relu.compile("sgd", "mse", jit_compile=False)
        before = output(relu, noise), output(soft, noise)
        if sign > 0:
            np.testing.assert_allclose(before[1], np.log1p(np.exp(before[0])), rtol=1e-5)
        for model, image in zip((relu, soft), before, strict=True):
            model.train_on_batch(noise, image + 1)
        moves = [abs(output(model, noise) - image).max() for model, image in zip((relu, soft), before, strict=True)]
        assert moves[1] > 1e-3 and (moves[0] > 1e-3 if sign > 0 else moves[0] == before[0].max() == 0)
    with pytest.raises(ValueError, match="last_activation: expected 'relu' or 'softplus', got 'tanh'"):
        build(last_activation="tanh")


# ---- the deep image prior's normalisation ------------------------------------------------------------------------


def test_normalisation_is_batch_normalisation_of_one_sample():
    keras = networks.load_keras()
    shape = (1, 3, 4, 6, 2)
    x = np.random.default_rng(7).normal(3, 2, shape).astype(np.float32)
    ours = next(layer for layer in dip_unet((3, 4, 6, 1), (2, 3)).layers if "normalised" in layer.name)
    theirs = keras.layers.BatchNormalization()
    theirs.build(shape)
    gamma, beta = np.array([[2.0, 0.5], [-1.0, 3.0]], np.float32)
    ours.set_weights([gamma, beta])
    theirs.set_weights([gamma, beta, *theirs.get_weights()[2:]])
    np.testing.assert_allclose(output(ours, x), output(theirs, x, training=True), rtol=1e-4, atol=1e-5)


def test_what_is_fitted_is_what_is_predicted_and_samples_do_not_mix():
    model = random_weights(dip_unet((8, 6, 1), (2, 3)))
    image = np.random.default_rng(8).random((3, 8, 6, 1), dtype=np.float32) * np.float32([1, 5, 9])[:, None, None, None]
    fitted = output(model, image, training=True)
    np.testing.assert_array_equal(fitted, output(model, image, training=False))
    np.testing.assert_allclose(fitted[1:2], output(model, image[1:2]), rtol=1e-4, atol=1e-5)
    assert len(model.weights) == len(model.trainable_weights)  # no moving averages


# ---- low count and MR --------------------------------------------------------------------------------------------


def test_the_correction_sees_the_mr_and_needs_it():
    model = random_weights(low_count_mr((8, 8, 2), (2, 3)))
    image = np.random.default_rng(9).random((1, 8, 8, 2), dtype=np.float32)
    other = image * np.float32([1, 0])
    assert np.abs(output(model, image) - output(model, other)).max() > 1e-3
    with pytest.raises(ValueError, match=r"at least two channels \(PET, MR\), got 1"):
        low_count_mr((8, 8, 1))


# ---- as many parameters ------------------------------------------------------------------------------------------


class Chain:
    """As many weights as a chain of 3 × 3 convolutions with these filters, and no Keras."""

    name = "chain"

    def __init__(self, filters):
        self.filters = filters
        self.trainable_weights = [np.empty((9, a, b)) for a, b in zip((1, *filters), (*filters, 1), strict=True)]


@pytest.mark.parametrize("count", [300, 1000, 26_000, 128_700])
def test_parameters_like_is_near(count):
    model = parameters_like(Chain, count, filters=(4, 8, 16))
    reached = count_trainable(model)
    assert reached == sum(w.size for w in model.trainable_weights)
    assert abs(reached / count - 1) < (0.05 if count < 1000 else 0.02)
    a, b, c = model.filters
    for other in [(a + 1, b, c), (a - 1, b, c), (a, b + 1, c), (a, b - 1, c), (a, b, c + 1), (a, b, c - 1)]:
        assert abs(count_trainable(Chain(other)) - count) >= abs(reached - count)


def test_parameters_like_another_model_says_what_it_reached(capsys):
    like = unet((8, 8, 1), (3, 5))
    model = parameters_like(lambda filters: dip_unet((8, 8, 1), filters, name="equal"), like, filters=(2, 3))
    reached = count_trainable(model)
    assert abs(reached / count_trainable(like) - 1) <= 0.05
    assert f"equal: {reached:,} parameters with filters" in capsys.readouterr().err


def test_parameters_like_gives_up_honestly():
    with pytest.raises(ValueError, match=r"expected filters within 5 % of the count, got at best 36 parameters"):
        parameters_like(Chain, 20, filters=(1, 1, 1))
    with pytest.raises(ValueError, match="expected more parameters with more filters, got 9 at most"):
        parameters_like(lambda filters: Chain(()), 20)
    with pytest.raises(TypeError, match="expected a number of parameters or a Keras model, got 'many'"):
        parameters_like(Chain, "many")
    with pytest.raises(ValueError, match="at least one trainable parameter, got 0"):
        parameters_like(Chain, 0)


# ---- wrong input, files, other backends --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "settings", "kind", "message"),
    [
        ((128,), {}, TypeError, "got 128"),
        (((128, 128),), {}, ValueError, "got 2 numbers"),
        (((128, 0, 1),), {}, ValueError, r"whole numbers >= 1, got \(128, 0, 1\)"),
        (((128, 8.0, 1),), {}, TypeError, r"whole numbers >= 1, got \(128, 8.0, 1\)"),
        (((None, 8, 1),), {}, TypeError, r"got \(None, 8, 1\)"),
        (((8, 8, 1), ()), {}, TypeError, r"for every level, got \(\)"),
        (((8, 8, 1), (4, 0)), {}, ValueError, r"for every level, got \(4, 0\)"),
        (((8, 8, 1),), {"axial_levels": 1}, ValueError, "expected None in 2-D"),
        (((8, 8, 8, 1),), {"axial_levels": 3}, ValueError, "expected 0 … 2"),
        (((8, 8, 1),), {"outputs": 2}, ValueError, "expected 1 with residual=True, got 2"),
        (((8, 8, 1),), {"residual": False, "last_activation": "relu"}, ValueError, "expected no ReLU"),
    ],
)
def test_bad_settings(arguments, settings, kind, message):
    with pytest.raises(kind, match=message):
        unet(*arguments, **settings)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Networks with random weights, written to files with an image and what they make of it."""
    folder = tmp_path_factory.mktemp("unets")
    for name, build, shape in (
        ("unet", unet, (5, 6, 9, 2)),
        ("dip", dip_unet, (6, 9, 1)),
    ):
        model = random_weights(build(shape, (2, 2)))
        image = np.random.default_rng(10).random((1, *shape), dtype=np.float32)
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", image=image, result=output(model, image))
    return folder


def test_saved_networks_are_the_same_when_read(saved):
    for path in saved.glob("*.keras"):
        model = networks.load_keras().saving.load_model(path)
        with np.load(path.with_suffix(".npz")) as data:
            np.testing.assert_allclose(output(model, data["image"]), data["result"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_reads_them_and_agrees(saved, backend):
    pytest.importorskip(backend)
    code = f"""
import numpy as np
from pathlib import Path
from pettutor import networks
import pettutor.networks.parts.resampling
keras = networks.load_keras()
assert keras.backend.backend() == {backend!r}
for path in Path({str(saved)!r}).glob("*.keras"):
    model = keras.saving.load_model(path)
    with np.load(path.with_suffix(".npz")) as data:
        result = model.predict(data["image"], verbose=0)
        np.testing.assert_allclose(result, data["result"], rtol=1e-4, atol=1e-4)
print("agreed")
"""
    assert run_python(code, KERAS_BACKEND=backend).splitlines()[-1] == "agreed"
