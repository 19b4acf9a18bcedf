"""One 2-D network on all slices of a volume, and unrolled networks of slices made ones of volumes."""

import numpy as np
import pytest
from registry import MatrixOperator
from scipy.linalg import block_diag
from test_network_layers import away_from_the_start, double_precision, keras, ops, slab  # noqa: F401

from pettutor import networks
from pettutor.networks.parts.slice_by_slice import as_volumes, slice_by_slice
from pettutor.networks.physics.unrolled import load, reconstruct
from pettutor.networks.unet import unet

BUILDERS = {"em_net": networks.EMNet, "mapem_net": networks.MAPEMNet, "fbsem_net": networks.FBSEMNet}


def small_cnn(shape, outputs=1):
    """A 2-D CNN with one non-linearity whose output is far from its input."""
    kernel = keras.initializers.RandomNormal(stddev=0.3, seed=3)
    image = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=kernel)(image)
    return keras.Model(image, keras.layers.Conv2D(outputs, 3, padding="same", kernel_initializer=kernel)(x), name="f")


def positive_cnn(shape):
    """Its output may be the reference of a MAP-EM step: about 1 and >= 0."""
    f = small_cnn(shape)
    return keras.Model(f.input, keras.layers.Activation("softplus")(f.output))


def build(name, shape=(13, 9, 1), scale=4.0, shared=True):
    keras.utils.set_random_seed(0)
    settings = {"cnn": positive_cnn, "unrolls": 2, "scale": scale, "shared": shared}
    return BUILDERS[name](shape, **settings)


# ---- slices of a volume ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2, 5, 8])
def test_every_slice_by_itself(at_once):
    f = small_cnn((7, 6, 2), outputs=3)
    volumes = np.random.default_rng(0).random((2, 5, 7, 6, 2), dtype=np.float32)
    model = slice_by_slice(f, 5, at_once=at_once)
    assert model.input_shape == (None, 5, 7, 6, 2) and model.output_shape == (None, 5, 7, 6, 3) and model.name == "f"
    out = ops.convert_to_numpy(model(volumes))
    for n, k in np.ndindex(2, 5):
        np.testing.assert_allclose(out[n, k], ops.convert_to_numpy(f(volumes[n, k, None]))[0], rtol=1e-5, atol=1e-6)


def test_it_is_a_cnn_for_unrolled_networks_on_volumes():
    model = networks.MAPEMNet((3, 13, 9, 1), cnn=lambda shape: slice_by_slice(unet(shape[1:], (2, 3)), shape[0]))
    assert model.output_shape == (None, 3, 13, 9, 1)
    assert model.get_layer("cnn").count_params() == unet((13, 9, 1), (2, 3)).count_params()


def test_wrong_networks_and_numbers_are_named():
    with pytest.raises(TypeError, match=r"network: expected a keras\.Model"):
        slice_by_slice(small_cnn, 3)
    with pytest.raises(ValueError, match=r"network: expected \(batch, y, x, channels\) in and out"):
        slice_by_slice(unet((2, 8, 8, 1), (2,)), 3)
    for planes in (0, 2.0, True):
        with pytest.raises(ValueError, match="planes: expected a whole number >= 1"):
            slice_by_slice(small_cnn((8, 8, 1)), planes)
    with pytest.raises(TypeError, match="model: expected an unrolled network"):
        as_volumes(small_cnn((8, 8, 1)), 3)
    with pytest.raises(ValueError, match=r"model: expected one on slices .* got one on \(2, 13, 9, 1\)"):
        as_volumes(as_volumes(build("mapem_net"), 2), 3)


# ---- unrolled networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_a_volume_of_one_plane_is_the_slice(name):
    _, kept = slab()
    y, A = kept[1]
    start = np.random.default_rng(5).random(A.in_shape, dtype=np.float32) + 0.5
    model = build(name)
    flat = reconstruct(model, y, A, start)
    assert np.abs(flat - start).max() > 0.1
    np.testing.assert_allclose(reconstruct(as_volumes(model, 1), y, A, start), flat, rtol=1e-5)


def stack_of_slices(planes, seed=0):
    """A scanner whose planes know nothing of each other: block-diagonal, all blocks the same, other counts in each."""
    rng = np.random.default_rng(seed)
    block = rng.random((20, 12), dtype=np.float32)
    whole = MatrixOperator(block_diag(*[block] * planes), (planes, 3, 4), (planes, 4, 5))
    alone = MatrixOperator(block, (1, 3, 4), (1, 4, 5))
    activity = rng.random((planes, 12)) * np.arange(1, planes + 1)[:, None]
    y = rng.poisson(5 * activity @ block.T + 0.5).astype(np.float32).reshape(planes, 4, 5)
    return whole, alone, y, rng.random((planes, 3, 4), dtype=np.float32) + 0.5


@pytest.mark.parametrize("name", BUILDERS)
def test_independent_planes_of_equal_sensitivity_are_the_slices_one_by_one(name):
    whole, alone, y, start = stack_of_slices(5)
    model = build(name, (3, 4, 1), shared=False)
    volume = reconstruct(as_volumes(model, 5), y, whole, start, background=0.5)
    for k in range(5):
        part = slice(k, k + 1)
        np.testing.assert_allclose(
            volume[part], reconstruct(model, y[part], alone, start[part], background=0.5), rtol=2e-5, atol=1e-6
        )


def test_weights_are_the_models_own():
    model = build("mapem_net")
    volumes = as_volumes(model, 3)
    assert volumes.count_params() == model.count_params()
    assert {id(weight) for weight in volumes.weights} == {id(weight) for weight in model.weights}


def test_the_mr_of_a_network_comes_in_volumes_too():
    whole, alone, y, start = stack_of_slices(2)
    mr = np.random.default_rng(8).random(start.shape, dtype=np.float32)
    model = build("mapem_net", (3, 4, 2))
    volume = reconstruct(as_volumes(model, 2), y, whole, start, mr=mr, background=0.5)
    second = reconstruct(model, y[1:], alone, start[1:], mr=mr[1:], background=0.5)
    np.testing.assert_allclose(volume[1:], second, rtol=2e-5, atol=1e-6)


def test_it_is_saved_and_read(tmp_path):
    whole, _, y, start = stack_of_slices(3)
    model = away_from_the_start(as_volumes(build("mapem_net", (3, 4, 1)), 3))
    expected = reconstruct(model, y, whole, start)
    fresh = reconstruct(as_volumes(build("mapem_net", (3, 4, 1)), 3), y, whole, start)
    assert np.abs(expected - fresh).max() > 1e-3 * expected.max() > 0
    model.save(tmp_path / "volumes.keras")
    np.testing.assert_array_equal(reconstruct(load(tmp_path / "volumes.keras"), y, whole, start), expected)


def test_the_gradient_reaches_the_cnn_and_kappa():
    whole, _, y, start = stack_of_slices(2)
    model = as_volumes(build("mapem_net", (3, 4, 1)), 2)
    scans = networks.Scans([(y, whole)], 1 << 20)
    networks.attach(model, scans)
    inputs = {"image": start[None, ..., None] / np.float32(4), "scan": np.zeros(1, np.int32)}
    before = [w.copy() for w in model.get_weights()]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    model.fit(inputs, np.ones((1, 2, 3, 4, 1), np.float32), verbose=0)
    assert all(np.abs(new - old).max() > 0 for new, old in zip(model.get_weights(), before, strict=True))
