"""EM-Net, MAPEM-Net and FBSEM-Net: the algorithms they are when untrained, gradients through unrolls, training, files.

`test_network_backends.py` runs some of it once more on JAX and PyTorch.
"""

import contextlib
import textwrap
from pathlib import Path

import numpy as np
import pytest
from processes import run_python
from registry import MatrixOperator
from test_network_layers import (
    SHAPE,
    away_from_the_start,
    check_gradients,
    dense_scans,
    double_precision,  # noqa: F401
    em_reference,
    images,
    keras,
    map_reference,
    matrix,
    ops,
    slab,
    tensor,
)

import pettutor as pt
from pettutor import networks

BUILDERS = {"em_net": networks.EMNet, "mapem_net": networks.MAPEMNet, "fbsem_net": networks.FBSEMNet}


def convolution(shape, start="zeros", residual=False, seed=0):
    """A CNN of one convolution; with "zeros" it gives 0, or where residual the first channel unchanged."""
    image = keras.Input(shape)
    kernel = keras.initializers.RandomNormal(stddev=0.1, seed=seed) if start == "random" else start
    layer = keras.layers.Conv2D if len(shape) == 3 else keras.layers.Conv3D
    x = layer(1, 3, padding="same", kernel_initializer=kernel)(image)
    return keras.Model(image, x + image[..., :1] if residual else x)


def start_images(count, shape=(13, 9), seed=5):
    return np.random.default_rng(seed).random((count, *shape, 1), dtype=np.float32) + 0.5


@contextlib.contextmanager
def float64():
    """Inputs and layers of models that are built in here are float64."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


# ---- what they are when untrained --------------------------------------------------------------------------------


def test_em_net_with_a_cnn_of_zero_is_mlem():
    scans, kept = slab()
    model = networks.EMNet((13, 9, 1), cnn=convolution, unrolls=5, scans=scans, scale=4.0)
    start = start_images(2)
    out = ops.convert_to_numpy(model({"image": start, "scan": np.array([1, 0], np.int32)}))
    for k, number in enumerate([1, 0]):
        y, A = kept[number]
        expected = pt.mlem(y, A, iterations=5, start=4 * start[k, None, :, :, 0])
        np.testing.assert_allclose(4 * out[k, None, :, :, 0], expected, rtol=3e-5)


def test_em_net_is_mlem_with_its_own_cnn_too_before_training():
    scans, kept = slab()
    model = networks.EMNet((13, 9, 1), unrolls=1, scans=scans, scale=4.0)
    y, A = kept[1]
    start = 4 * start_images(1)[..., 0]
    expected = pt.mlem(y, A, iterations=1, start=start)
    np.testing.assert_allclose(networks.reconstruct(model, y, A, start), expected, rtol=3e-5)


@pytest.mark.parametrize("kappa", [0.2, 3.0])
def test_mapem_net_with_a_given_cnn_is_the_alternating_direction_method(kappa):
    """Against plain float64 loops, with z = 0.875 (x + μ) in the place of the CNN."""
    scans, data, r = dense_scans()

    def scaled(shape):
        image = keras.Input(shape, dtype="float64")
        return keras.Model(image, keras.layers.Rescaling(0.875, dtype="float64")(image))

    with float64():
        model = networks.MAPEMNet(
            (*SHAPE, 1), cnn=scaled, unrolls=3, steps=2, kappa=kappa, learn_kappa=False, scans=scans, scale=2.5
        )
        start = images(1)
        out = ops.convert_to_numpy(model({"image": tensor(start), "scan": tensor(np.array([2], np.int32))}))
    M, y = data[2]
    s = M.sum(0)
    rho = kappa * s[s > 0].mean() / 2.5
    x = z = start.ravel()
    dual = 0
    for _ in range(3):
        for _ in range(2):
            x_em = em_reference(2.5 * x, M, y, r) / 2.5
            x = map_reference(x_em, s / 2.5, z - dual, rho)
        z = 0.875 * (x + dual)
        dual = dual + x - z
    np.testing.assert_allclose(out.ravel(), z, rtol=1e-9, atol=1e-12)


def test_fbsem_net_with_an_identity_is_map_em_towards_its_own_image():
    scans, kept = slab()
    model = networks.FBSEMNet(
        (13, 9, 1), cnn=lambda shape: convolution(shape, residual=True), unrolls=3, kappa=0.4, scans=scans, scale=4.0
    )
    y, A = kept[0]
    x = start = 4 * start_images(1)[..., 0]
    rho = 0.4 * scans[0].mean_sensitivity / 4.0
    for _ in range(3):
        x = pt.map_em(y, A, pt.priors.Reference(x, rho), iterations=1, start=x)
    np.testing.assert_allclose(networks.reconstruct(model, y, A, start), x, rtol=5e-5)


# ---- gradients ---------------------------------------------------------------------------------------------------


def slices_of_dense_scans():
    """As `dense_scans` with a second kind of grid: one slice, which networks see without the axis z."""
    rng = np.random.default_rng(1)
    scans = networks.Scans()
    for k in range(3):
        M = matrix(seed=k)
        y = rng.poisson(10 * M @ rng.random(30)).astype(np.float64).reshape(2, 3, 4)
        scans.add(y, MatrixOperator(M, (1, 6, 5), (2, 3, 4)), 0.5)
    return scans


@pytest.mark.parametrize("kind", ["one network", "a network each", "slices", "with MR"])
@pytest.mark.parametrize("name", BUILDERS)
def test_gradient_through_two_unrolls_against_finite_differences(name, kind):
    shape = (6, 5) if kind == "slices" else SHAPE
    scans = slices_of_dense_scans() if kind == "slices" else dense_scans()[0]
    rng = np.random.default_rng(7)
    with float64():
        model = BUILDERS[name](
            (*shape, 3 if kind == "with MR" else 1),
            cnn=lambda shape: convolution(shape, "random", seed=None if kind == "a network each" else 0),
            shared=kind != "a network each",
            unrolls=2,
            scans=scans,
            scale=2.5,
        )
        given = {"scan": tensor(np.array([2, 1], np.int32))}
        if kind == "with MR":
            given["mr"] = tensor(rng.random((2, *shape, 2)))
        weights = tensor(rng.random((2, *shape, 1)))
        inputs = [v for v in model.trainable_variables if "kernel" in v.path or "raw" in v.path]
        several = kind == "a network each"
        assert len(inputs) == (4 if several and name == "em_net" else 3 if several else 2)

        def loss(image, *values):
            values = dict(zip([v.path for v in inputs], values, strict=True))
            pairs = [(v, values.get(v.path, v.value)) for v in model.trainable_variables]
            with keras.StatelessScope(state_mapping=pairs):
                out = model({"image": image, **given}, training=True)
            return ops.sum(weights * out**2)

        start = 0.2 + rng.random((2, *shape, 1))
        check_gradients(loss, start, *(ops.convert_to_numpy(v.value).astype(np.float64) for v in inputs))


# ---- MR inside ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_mr_channels_come_after_the_image_in_the_order_given(name):
    """Against plain loops, with a CNN that weighs its channels: 0.5 image + 0.3 first MR - 0.7 second MR."""
    scans, kept = slab()
    y, A = kept[1]
    scale, kappa = 4.0, 0.4

    def weighing(shape):
        image = keras.Input(shape)
        layer = keras.layers.Conv2D(1, 1, use_bias=False)
        model = keras.Model(image, layer(image))
        layer.kernel.assign(np.array([0.5, 0.3, -0.7], np.float32).reshape(1, 1, 3, 1))
        return model

    start, *mr = np.random.default_rng(6).random((3, 1, 13, 9), dtype=np.float32)
    settings = {} if name == "em_net" else {"kappa": kappa}
    model = BUILDERS[name]((13, 9, 3), cnn=weighing, unrolls=2, scale=scale, **settings)
    found = networks.reconstruct(model, y, A, start, mr=tuple(mr)) / scale

    def em(x):
        return pt.mlem(y, A, iterations=1, start=(scale * x).astype(np.float32)) / scale

    s = scans[1].sensitivity
    rho = kappa * scans[1].mean_sensitivity / scale
    of_mr = 0.3 * mr[0] - 0.7 * mr[1]
    x = z = start / scale
    dual = 0
    for _ in range(2):
        if name == "em_net":
            size = x / np.maximum(s / scans[1].mean_sensitivity, 0.3)
            x = np.maximum(em(x) - size * (0.5 * x + of_mr), 0)
        elif name == "fbsem_net":
            x = map_reference(em(x), s / scale, 0.5 * x + of_mr, rho)
        else:
            for _ in range(2):
                x = map_reference(em(x), s / scale, z - dual, rho)
            z = 0.5 * (x + dual) + of_mr
            dual = x + dual - z
    np.testing.assert_allclose(found, z if name == "mapem_net" else x, rtol=1e-4)


def test_mr_of_another_number_of_channels_is_named():
    scans, kept = slab()
    y, A = kept[0]
    model = networks.EMNet((13, 9, 3), cnn=convolution, unrolls=1, scans=scans)
    start = np.ones((1, 13, 9), np.float32)
    with pytest.raises(ValueError, match="mr: expected 2 images for this network, got 1"):
        networks.reconstruct(model, y, A, start, mr=start)
    with pytest.raises(ValueError, match="mr: expected 2 images for this network, got 3"):
        networks.reconstruct(model, y, A, start, mr=(start, start, start))


# ---- training, files, inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_training_in_graph_mode_beats_the_untrained_network(name):
    scans, _ = slab()
    keras.utils.set_random_seed(0)
    residual = name != "em_net"
    model = BUILDERS[name](
        (13, 9, 1), cnn=lambda shape: convolution(shape, residual=residual), unrolls=2, scans=scans, scale=30.0
    )
    inputs = {"image": start_images(4), "scan": np.arange(4, dtype=np.int32) % 2}
    truth = 0.5 * ops.convert_to_numpy(model(inputs))
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    losses = model.fit(inputs, truth, batch_size=2, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", BUILDERS)
def test_mixed_precision_trains_a_network_that_is_nearly_the_same(name, policy):
    """CNNs in 16 bits, the physics and its learnt numbers in 32."""
    scans, _ = slab()
    inputs = {"image": start_images(2), "scan": np.arange(2, dtype=np.int32)}

    def build():
        keras.utils.set_random_seed(0)
        return away_from_the_start(BUILDERS[name]((13, 9, 1), unrolls=2, scans=scans, scale=30.0))

    full = ops.convert_to_numpy(build()(inputs))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build()
        mixed = ops.convert_to_numpy(ops.cast(model(inputs), "float32"))
        weights = model.get_weights()
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse", jit_compile=False)
        # in float16 the first steps overflow, are left out, and lower the factor on the loss until one is made
        loss = model.fit(inputs, 0.5 * full, batch_size=2, epochs=12, verbose=0).history["loss"]
    finally:
        keras.config.set_dtype_policy(before)
    assert np.abs(mixed - full).max() < 0.03 * np.abs(full).max()
    assert np.isfinite(loss).all() and {w.dtype for w in weights} == {np.dtype("float32")}
    raw = [k for k, v in enumerate(model.weights) if "raw" in v.name]
    assert loss[-1] < loss[0] and len(raw) == 1 and model.get_weights()[raw[0]] != weights[raw[0]]


def test_separate_networks_have_weights_of_their_own():
    shared = networks.MAPEMNet((13, 9, 1), cnn=convolution, unrolls=3)
    separate = networks.MAPEMNet((13, 9, 1), cnn=convolution, unrolls=3, shared=False)
    assert shared.count_params() == 10 + 1
    assert separate.count_params() == 3 * 10 + 1
    assert networks.EMNet((13, 9, 1), cnn=convolution, unrolls=3, shared=False).count_params() == 3 * 11
    assert networks.FBSEMNet((13, 9, 1), cnn=convolution, unrolls=3, shared=False).count_params() == 3 * 10 + 1


@pytest.mark.parametrize("name", BUILDERS)
def test_save_load_and_reconstruct(name, tmp_path):
    scans, kept = slab()
    model = away_from_the_start(BUILDERS[name]((13, 9, 2), unrolls=2, scans=scans, scale=4.0))
    y, A = kept[1]
    start, mr = (rng_image for rng_image in np.random.default_rng(8).random((2, 1, 13, 9), dtype=np.float32))
    expected = networks.reconstruct(model, y, A, start, mr=mr)
    fresh = networks.reconstruct(BUILDERS[name]((13, 9, 2), unrolls=2, scans=scans, scale=4.0), y, A, start, mr=mr)
    assert np.abs(expected - fresh).max() > 1e-3 * expected.max() > 0  # what a file might lose would be seen
    assert next(layer.scans for layer in model.layers if hasattr(layer, "scans")) is scans  # given back afterwards
    model.save(tmp_path / "model.keras")
    loaded = networks.load(tmp_path / "model.keras")
    assert networks.scale_of(loaded) == 4.0
    np.testing.assert_allclose(networks.reconstruct(loaded, y, A, start, mr=mr), expected, rtol=1e-6)


def test_a_file_is_read_in_a_process_that_never_built_a_network(tmp_path):
    scans, kept = slab()
    model = away_from_the_start(networks.MAPEMNet((13, 9, 1), unrolls=2, scans=scans, scale=4.0))
    model.save(tmp_path / "model.keras")
    y, A = kept[0]
    start = start_images(1)[..., 0]
    np.save(tmp_path / "expected.npy", networks.reconstruct(model, y, A, start))
    here = str(Path(__file__).parent)
    code = f"""
        import sys; sys.path.insert(0, {here!r})
        from pettutor import networks
        loaded = networks.load({str(tmp_path / "model.keras")!r})
        keras = networks.load_keras()
        assert keras.saving.get_registered_object("pettutor>ConvolutionalCoding") is not None
        import numpy as np
        from test_unrolled import slab, start_images
        _, kept = slab()
        y, A = kept[0]
        found = networks.reconstruct(loaded, y, A, start_images(1)[..., 0])
        np.testing.assert_allclose(found, np.load({str(tmp_path / "expected.npy")!r}), rtol=1e-5)
        print("read")
    """
    assert run_python(textwrap.dedent(code)).strip().endswith("read")


def test_volumes_go_through_as_volumes():
    scans, *_ = dense_scans(np.float32)
    model = networks.EMNet((*SHAPE, 1), cnn=convolution, unrolls=1, scans=scans)
    out = model({"image": images(2, dtype=np.float32), "scan": np.array([0, 1], np.int32)})
    assert tuple(out.shape) == (2, *SHAPE, 1)


def test_wrong_inputs_are_named():
    scans, kept = slab()
    y, A = kept[0]
    with pytest.raises(ValueError, match=r"expected \(y, x, channels\) or \(z, y, x, channels\).* got \(13, 9\)"):
        networks.EMNet((13, 9))
    with pytest.raises(ValueError, match="unrolls: expected a whole number >= 1, got 0"):
        networks.MAPEMNet((13, 9, 1), unrolls=0)
    with pytest.raises(ValueError, match="steps: expected a whole number >= 1, got 0"):
        networks.MAPEMNet((13, 9, 1), steps=0)
    with pytest.raises(TypeError, match="cnn: expected a function"):
        networks.EMNet((13, 9, 1), cnn=convolution((13, 9, 1)))
    with pytest.raises(ValueError, match=r"cnn: expected a network from \(13, 9, 1\) to \(13, 9, 1\)"):
        networks.EMNet((13, 9, 1), cnn=lambda shape: convolution((8, 8, 1)))
    model = networks.EMNet((13, 9, 1), cnn=convolution, unrolls=1, scans=scans)
    start = np.ones((1, 13, 9), np.float32)
    with pytest.raises(ValueError, match="mr: expected none for this network"):
        networks.reconstruct(model, y, A, start, mr=start)
    with pytest.raises(ValueError, match=r"start: expected shape \(1, 13, 9\)"):
        networks.reconstruct(model, y, A, start[0])
    with pytest.raises(ValueError, match=r"nowhere\.keras"):
        networks.load("nowhere.keras")
    with pytest.raises(ValueError, match="expected an unrolled network with one scale, got no such layer"):
        networks.scale_of(convolution((13, 9, 1)))
