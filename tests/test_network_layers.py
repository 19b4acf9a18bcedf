"""The bridge and the layers on it: shapes, gradients, save and load, training, on the Keras backend that runs.

`test_network_backends.py` runs this file once more on JAX and PyTorch.
"""

import functools
import os

import numpy as np
import pytest
from registry import MatrixOperator, small_scanner

import pettutor as pt
from pettutor import networks
from pettutor.networks.backend import load_keras
from pettutor.networks.physics import bridge

try:
    keras = load_keras()
except ImportError:
    pytest.skip("no Keras backend is installed", allow_module_level=True)
ops = keras.ops
BACKEND = keras.backend.backend()
SHAPE = (2, 3, 5)


@pytest.fixture(autouse=True)
def double_precision():
    """JAX has float64 only where it is asked for."""
    if BACKEND != "jax":
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def matrix(dtype=np.float64, seed=0):
    """A dense system of 24 lines and 30 voxels, one of which no line sees and one bin that sees nothing."""
    M = np.random.default_rng(seed).random((24, 30))
    M[:, 4] = 0
    M[7] = 0
    return M.astype(dtype)


def dense_scans(dtype=np.float64, count=3, background=0.5):
    rng = np.random.default_rng(1)
    scans, data = networks.Scans(), []
    for k in range(count):
        M = matrix(dtype, seed=k)
        A = MatrixOperator(M, SHAPE, (2, 3, 4))
        y = rng.poisson(10 * M @ rng.random(30)).astype(dtype).reshape(2, 3, 4)
        y.flat[3] = 0
        scans.add(y, A, background)
        data.append((M.astype(np.float64), y.ravel().astype(np.float64)))
    return scans, data, background


def em_reference(x, M, y, r):
    """Plain EM in float64, with the ratio 1 where 0 is measured and 0 expected."""
    expected = M @ x + r
    ratio = np.where((y == 0) & (expected == 0), 1, y / np.where(expected == 0, 1, expected))
    s = M.sum(0)
    return np.where(s > 0, x * (M.T @ ratio) / np.where(s > 0, s, 1), 0)


def map_reference(x_em, s, z, rho):
    """The textbook root, in float64."""
    b = z - s / rho
    return np.where(s > 0, 0.5 * (b + np.sqrt(b * b + 4 * s * x_em / rho)), 0)


def tensor(x):
    return ops.convert_to_tensor(x, dtype="float64" if np.asarray(x).dtype == np.float64 else None)


def value_and_gradients(function, *arrays):
    """A scalar function of float64 arrays and its gradients, in a compiled graph where the backend has one."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        variables = [tf.Variable(a) for a in arrays]

        @tf.function
        def run():
            with tf.GradientTape() as tape:
                value = function(*variables)
            return value, tape.gradient(value, variables)

        value, gradients = run()
    elif BACKEND == "jax":
        import jax

        run = jax.jit(jax.value_and_grad(function, argnums=tuple(range(len(arrays)))))
        value, gradients = run(*map(jax.numpy.asarray, arrays))
    else:
        import torch

        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        value = function(*leaves)
        value.backward()
        gradients = [leaf.grad for leaf in leaves]
    return float(ops.convert_to_numpy(value)), [ops.convert_to_numpy(g) for g in gradients]


def check_gradients(function, *arrays):
    """Against central differences along random directions, in float64."""
    rng = np.random.default_rng(9)
    value, gradients = value_and_gradients(function, *arrays)
    assert np.isfinite(value)
    for k, gradient in enumerate(gradients):
        assert gradient.shape == arrays[k].shape and np.any(gradient)
        direction, step = rng.standard_normal(arrays[k].shape), 1e-6
        moved = [[a + sign * step * direction if n == k else a for n, a in enumerate(arrays)] for sign in (1, -1)]
        up, down = (float(ops.convert_to_numpy(function(*map(tensor, m)))) for m in moved)
        np.testing.assert_allclose((gradient * direction).sum(), (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def images(count, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).random((count, *SHAPE, 1)).astype(dtype)


def test_the_backend_is_the_one_that_was_asked_for():
    assert os.environ.get("KERAS_BACKEND", BACKEND) == BACKEND


# ---- values ------------------------------------------------------------------------------------------------------


def test_em_step_is_plain_em_for_a_batch_of_different_scans():
    scans, data, r = dense_scans()
    layer = networks.EMStep(scans, scale=2.5, dtype="float64")
    x = images(4)
    out = ops.convert_to_numpy(layer(tensor(x), np.array([2, 0, 1, 2], np.int32)))
    for k, number in enumerate([2, 0, 1, 2]):
        expected = em_reference(2.5 * x[k].ravel(), *data[number], r) / 2.5
        np.testing.assert_allclose(out[k].ravel(), expected, rtol=1e-12)
    assert (out[:, 0, 0, 4] == 0).all()  # voxel 4, which no line sees


def test_map_em_step_is_the_textbook_root():
    scans, data, r = dense_scans()
    layer = networks.MAPEMStep(scans, scale=2.5, kappa=0.7, dtype="float64")
    x, z = images(2), 2 * images(2, 1) - 0.5  # the reference may be negative
    out = ops.convert_to_numpy(layer(tensor(x), tensor(z), np.array([1, 0], np.int32)))
    for k, number in enumerate([1, 0]):
        M, y = data[number]
        s = M.sum(0)
        rho = 0.7 * s[s > 0].mean() / 2.5  # κ times the mean sensitivity over the scale, of images in scaled units
        x_em = em_reference(2.5 * x[k].ravel(), M, y, r) / 2.5
        expected = map_reference(x_em, s / 2.5, z[k].ravel(), rho)
        np.testing.assert_allclose(out[k].ravel(), expected, rtol=1e-10)


def test_map_root_in_float32_where_the_textbook_root_loses_everything():
    s, x_em, z = (np.array([v], np.float32) for v in (1e4, 1e-3, 0.5))
    rho = np.float32(3e-3)
    textbook = 0.5 * ((z - s / rho) + np.sqrt((z - s / rho) ** 2 + 4 * s * x_em / rho))
    assert textbook == 0
    out = ops.convert_to_numpy(networks.map_root(*map(ops.convert_to_tensor, (x_em, s, z, rho))))
    expected = map_reference(*(v.astype(np.float64) for v in (x_em, s, z)), 3e-3)
    np.testing.assert_allclose(out, expected, rtol=1e-3)  # 3e-3 as float64 is not the float32; the root is 1e-3 itself
    np.testing.assert_allclose(out, 1e-3, rtol=1e-6)


def test_gradient_step_with_nothing_from_the_network_is_em():
    scans, data, r = dense_scans()
    layer = networks.GradientStep(scans, scale=2.5, dtype="float64")
    x, f = images(2), images(2, 3)
    numbers = np.array([1, 0], np.int32)
    M, y = data[1]
    em = em_reference(2.5 * x[0].ravel(), M, y, r) / 2.5
    out = ops.convert_to_numpy(layer(tensor(x), tensor(0 * x), numbers))
    np.testing.assert_allclose(out[0].ravel(), em, rtol=1e-8)  # α starts at 1 to float32 rounding
    layer.raw_alpha.assign(np.log(np.expm1(0.4)))
    out = ops.convert_to_numpy(layer(tensor(x), tensor(f), numbers))
    s = M.sum(0) / M.sum(0)[M.sum(0) > 0].mean()
    size = np.where(s > 0, x[0].ravel() / np.where(s > 0, s, 1), 0)
    expected = np.where(s > 0, np.maximum(0.6 * x[0].ravel() + 0.4 * em - 0.4 * size * f[0].ravel(), 0), 0)
    np.testing.assert_allclose(out[0].ravel(), expected, rtol=1e-7)


def test_gradient_step_is_limited_where_little_is_seen():
    """The end planes of a 3-D scanner: with x/s there, the network's part multiplies the image by several."""
    M = matrix()
    M[:, 11] *= 0.02
    scans, x, f = networks.Scans(), images(1), -images(1, 3)
    y = 10 * M @ np.random.default_rng(2).random(30)
    scans.add(y.reshape(2, 3, 4), MatrixOperator(M, SHAPE, (2, 3, 4)), 0.5)
    layer = networks.GradientStep(scans, dtype="float64")
    out = ops.convert_to_numpy(layer(tensor(x), tensor(f), np.array([0], np.int32)))[0].ravel()
    x, f = x[0].ravel(), f[0].ravel()
    s = M.sum(0) / M.sum(0)[M.sum(0) > 0].mean()
    assert s[11] < 0.03 < 0.3 < np.delete(s, [4, 11]).min() and f[11] < -0.5
    em = em_reference(x, M, y, 0.5)
    for voxel, least in ((11, 0.3), (5, s[5])):
        assert out[voxel] == pytest.approx(em[voxel] - f[voxel] * x[voxel] / least, rel=1e-6)


def test_projection_layers_are_the_operator():
    M = matrix()
    A = MatrixOperator(M, SHAPE, (2, 3, 4))
    x, y = images(3), np.random.default_rng(2).random((3, 2, 3, 4))
    forward = networks.ForwardProjection(A, dtype="float64")
    np.testing.assert_allclose(
        ops.convert_to_numpy(forward(tensor(x))), (x.reshape(3, 30) @ M.T).reshape(3, 2, 3, 4), rtol=1e-12
    )
    back = networks.BackProjection(A, dtype="float64")
    np.testing.assert_allclose(
        ops.convert_to_numpy(back(tensor(y))), (y.reshape(3, 24) @ M).reshape(x.shape), rtol=1e-12
    )
    assert forward.compute_output_spec(keras.KerasTensor((None, *SHAPE, 1))).shape == (None, 2, 3, 4)
    assert back.compute_output_spec(keras.KerasTensor((None, 2, 3, 4))).shape == (None, *SHAPE, 1)
    of_slices = networks.ForwardProjection(MatrixOperator(M, (1, 6, 5), (2, 3, 4)), dtype="float64")
    found = ops.convert_to_numpy(of_slices(tensor(x.reshape(3, 6, 5, 1))))
    np.testing.assert_allclose(found, (x.reshape(3, 30) @ M.T).reshape(3, 2, 3, 4), rtol=1e-12)


@functools.cache
def slab():
    """A small scanner of one ring with its stored matrix and two scans."""
    scanner = small_scanner(rings=1, span=1, max_ring_difference=0)
    grid = pt.ImageGrid((1, 13, 9), (4.0, 2.9, 3.7))
    X = pt.Projector(scanner, grid, device="cpu").to_matrix()
    rng = np.random.default_rng(4)
    scans, kept = networks.Scans(), []
    for _ in range(2):
        factors = rng.random(X.out_shape, dtype=np.float32)
        A = pt.AcquisitionModel(X, attenuation=factors, psf_fwhm=5.0, background=1.0)
        y = rng.poisson(A.expected(50 * rng.random(X.in_shape, dtype=np.float32))).astype(np.float32)
        scans.add(y, A)
        kept.append((y, A))
    return scans, kept


def test_slices_go_without_the_axis_z_and_agree_with_mlem():
    scans, kept = slab()
    start = np.random.default_rng(5).random((2, 13, 9, 1), dtype=np.float32) + 0.5
    out = ops.convert_to_numpy(networks.EMStep(scans, scale=4.0)(start, np.array([1, 0], np.int32)))
    assert out.dtype == np.float32 and out.shape == start.shape
    for k, number in enumerate([1, 0]):
        y, A = kept[number]
        expected = pt.mlem(y, A, iterations=1, start=4 * start[k, None, :, :, 0]) / 4
        np.testing.assert_allclose(out[k, None, :, :, 0], expected, rtol=1e-5)


def test_a_batch_of_slices_is_one_projection_each_way(monkeypatch):
    """Of scans that share a projector, whose stored matrix is much faster at several at once."""
    scans, kept = slab()
    projector, calls = kept[0][1].projector, []
    for way in ("_forward_many", "_adjoint_many"):
        whole = getattr(projector, way)
        monkeypatch.setattr(projector, way, lambda a, way=way, whole=whole: calls.append((way, len(a))) or whole(a))
    layer = networks.EMStep(scans, scale=4.0)
    start = np.random.default_rng(5).random((6, 13, 9, 1), dtype=np.float32) + 0.5
    numbers = np.array([[1], [0], [0], [1], [1], [0]], np.int32)  # (batch, 1) as well as (batch,)
    whole = ops.convert_to_numpy(layer(start, numbers))
    assert calls == [("_forward_many", 6), ("_adjoint_many", 6)]
    for k in range(6):
        one = ops.convert_to_numpy(layer(start[k : k + 1], numbers[k]))
        np.testing.assert_allclose(whole[k], one[0], rtol=1e-5)
    calls.clear()
    value_and_gradients(lambda x: ops.sum(layer(x, numbers[:, 0], training=True)), start)
    assert sorted(calls) == 2 * [("_adjoint_many", 6)] + 2 * [("_forward_many", 6)]


def test_map_em_step_agrees_with_map_em():
    scans, kept = slab()
    y, A = kept[1]
    rng = np.random.default_rng(6)
    x, z = (rng.random((1, 13, 9, 1), dtype=np.float32) + 0.5 for _ in range(2))
    out = ops.convert_to_numpy(networks.MAPEMStep(scans, scale=4.0, kappa=0.3)(x, z, np.array([1], np.int32)))
    rho = 0.3 * scans[1].mean_sensitivity / 4.0
    prior = pt.priors.Reference(4 * z[..., 0], rho)
    expected = pt.map_em(y, A, prior, iterations=1, start=4 * x[..., 0]) / 4
    np.testing.assert_allclose(out[..., 0], expected, rtol=2e-5)


# ---- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_em_step_gradient(training):
    scans, *_ = dense_scans()
    layer = networks.EMStep(scans, scale=2.5, dtype="float64")
    weights, numbers = tensor(images(2, 7)), np.array([2, 1], np.int32)
    check_gradients(lambda x: ops.sum(weights * layer(x, numbers, training=training) ** 2), images(2))


@pytest.mark.parametrize("strength", [np.array(0.4), 0.2 + images(2, 8)], ids=["one number", "an image"])
def test_map_em_step_gradient_to_image_reference_and_strength(strength):
    scans, *_ = dense_scans()
    layer = networks.MAPEMStep(scans, scale=2.5, dtype="float64")
    weights, numbers = tensor(images(2, 7)), np.array([2, 1], np.int32)
    check_gradients(
        lambda x, z, k: ops.sum(weights * layer(x, z, numbers, strength=k, training=True)),
        images(2), 2 * images(2, 1) - 0.5, strength,
    )  # fmt: skip


def test_gradient_step_gradient():
    scans, *_ = dense_scans()
    layer = networks.GradientStep(scans, scale=2.5, dtype="float64")
    numbers = np.array([2, 1], np.int32)
    check_gradients(lambda x, f: ops.sum(layer(x, f, numbers, training=True) ** 2), 0.2 + images(2), 0.3 * images(2, 3))


def test_gradient_step_gradient_where_little_is_seen():
    M = matrix()
    M[:, 10:14] *= 0.02
    scans = networks.Scans()
    y = 10 * M @ np.random.default_rng(2).random(30)
    scans.add(y.reshape(2, 3, 4), MatrixOperator(M, SHAPE, (2, 3, 4)), 0.5)
    layer, numbers = networks.GradientStep(scans, scale=2.5, dtype="float64"), np.zeros(1, np.int32)
    check_gradients(
        lambda x, f: ops.sum(layer(x, f, numbers, training=True) ** 2), 0.2 + images(1), -0.3 * images(1, 3)
    )


def test_projection_gradients():
    A = MatrixOperator(matrix(), SHAPE, (2, 3, 4))
    forward, back = networks.ForwardProjection(A, dtype="float64"), networks.BackProjection(A, dtype="float64")
    check_gradients(lambda x: ops.sum(forward(x) ** 2), images(2))
    check_gradients(lambda y: ops.sum(back(y) ** 2), np.random.default_rng(2).random((2, 2, 3, 4)))


def test_gradients_are_zero_and_finite_where_nothing_is_seen_and_at_zero():
    scans, *_ = dense_scans(background=0.0)
    layer = networks.MAPEMStep(scans, kappa=0.4, dtype="float64")
    x = images(1)
    x[0, 1] = 0
    numbers = np.array([0], np.int32)
    _, (gradient, to_reference) = value_and_gradients(
        lambda x, z: ops.sum(layer(x, z, numbers, training=True)), x, 0 * x
    )
    assert np.isfinite(gradient).all() and np.isfinite(to_reference).all()
    assert gradient[0, 0, 0, 4] == 0 == to_reference[0, 0, 0, 4]


class OnTheGpu:
    """What CuPy shows of an array where the framework sees no GPU: it comes to the host when asked, never by itself."""

    __module__ = "cupy"

    def __init__(self, array):
        self._array = np.asarray(array)

    def get(self):
        return self._array

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


def test_what_was_computed_on_a_gpu_comes_back_to_a_framework_on_the_cpu():
    double = bridge.differentiable(
        lambda scan, x: OnTheGpu(scan * x**2), lambda scan, x, g: (None, OnTheGpu(2 * scan * x * g)), lambda _, x: x
    )
    x, scan = images(1), np.array([3], np.int32)
    np.testing.assert_allclose(ops.convert_to_numpy(double(scan, tensor(x))), 3 * x**2, rtol=1e-12)
    check_gradients(lambda x: ops.sum(double(scan, x) ** 2), x)


# ---- what is kept for the way back -------------------------------------------------------------------------------


class Counting(MatrixOperator):
    """Counts its projections."""

    forward = backward = 0

    def _forward(self, x):
        self.forward += 1
        return super()._forward(x)

    def _adjoint(self, y):
        self.backward += 1
        return super()._adjoint(y)


@pytest.mark.parametrize(("training", "forward"), [(True, 2), (False, 3)])
def test_a_training_step_costs_two_projections_each_way(training, forward):
    A = Counting(matrix(), SHAPE, (2, 3, 4))
    scans = networks.Scans([(np.full((2, 3, 4), 3.0), A)])
    layer = networks.EMStep(scans, dtype="float64")
    A.forward = A.backward = 0
    numbers = np.zeros(1, np.int32)
    value_and_gradients(lambda x: ops.sum(layer(x, numbers, training=training)), images(1))
    assert (A.forward, A.backward) == (forward, 2)
    assert not scans._expected


def test_kept_counts_belong_to_their_scan():
    """Two scans may well have the same image, such as the start image."""
    scans, *_ = dense_scans()
    x, g = np.repeat(images(1)[..., 0], 2, axis=0), images(2, 3)[..., 0]
    expected = scans.em_ratio_gradient([0, 1], x, g)
    scans.em_ratio([0, 1], x, keep=True)
    assert np.array_equal(scans.em_ratio_gradient([0], x[:1], g[:1]), expected[:1])


def test_what_nothing_asked_for_goes_with_the_next_training_step():
    scans, *_ = dense_scans()
    x = images(4)[..., 0]
    for step in range(3):
        scans.em_ratio([0], x[:1] + step, keep=True)  # as in a first layer: its gradient is not asked for
        scans.em_ratio([0], x[1:2] + step, keep=True)
        scans.em_ratio_gradient([0], x[1:2] + step, x[2:3])
    assert len(scans._expected) == 1


def test_kept_counts_stay_below_their_limit():
    scans, *_ = dense_scans()
    scans.keep_bytes = 5 * 24 * 8
    for seed in range(20):
        scans.em_ratio([0], images(1, seed)[..., 0], keep=True)
    assert len(scans._expected) == 5
    scans.keep_bytes = 100
    scans._expected.clear()
    scans.em_ratio([0], images(1)[..., 0], keep=True)
    assert not scans._expected


# ---- errors ------------------------------------------------------------------------------------------------------


def test_scans_refuse_what_does_not_fit():
    scans, *_ = dense_scans()
    A = MatrixOperator(matrix(), SHAPE, (2, 3, 4))
    with pytest.raises(ValueError, match=r"y: expected shape \(2, 3, 4\)"):
        scans.add(np.ones((2, 3, 5)), A)
    with pytest.raises(ValueError, match="like the others, got"):
        scans.add(np.ones((2, 3, 4)), MatrixOperator(matrix(), (30, 1, 1), (2, 3, 4)))
    with pytest.raises(ValueError, match="sensitivity of 0 everywhere"):
        networks.Scans([(np.ones((2, 3, 4)), MatrixOperator(0 * matrix(), SHAPE, (2, 3, 4)))])
    with pytest.raises(ValueError, match=r"expected the number of a scan \(0 … 2\), got \[3\]"):
        scans.em_ratio([3], images(1)[..., 0])
    with pytest.raises(ValueError, match=r"got \[-1\]"):
        scans.em_ratio([-1], images(1)[..., 0])
    with pytest.raises(ValueError, match=r"images: expected shape \(1, 2, 3, 5\)"):
        scans.em_ratio([0], images(2)[..., 0])
    with pytest.raises(ValueError, match="no scan was added"):
        networks.Scans().em_ratio([0], images(1)[..., 0])


def test_layers_say_what_is_missing():
    numbers = np.zeros(1, np.int32)
    for layer in (networks.EMStep(), networks.MAPEMStep(), networks.GradientStep()):
        arguments = [images(1, dtype=np.float32)] * (1 if isinstance(layer, networks.EMStep) else 2)
        with pytest.raises(ValueError, match=r"attach\(model, scans\)"):
            layer(*arguments, numbers)
        networks.attach(layer, dense_scans(np.float32)[0])
        other = [image[:, :, :, :3] for image in arguments]
        with pytest.raises(ValueError, match=r"expected images of \(2, 3, 5\) \(the scans'\), got \(2, 3, 3\)"):
            layer(*other, numbers)
        with pytest.raises(ValueError, match=r"expected images of \(2, 3, 5\) \(the scans'\), got \(1, 3, 5\)"):
            layer(*(image[:, 0] for image in arguments), numbers)
    with pytest.raises(ValueError, match=r"attach\(model, operator=A\)"):
        networks.ForwardProjection()(images(1, dtype=np.float32))
    for settings, message in (({"scale": 0}, "scale: expected an activity > 0"), ({"kappa": -1}, "kappa: expected")):
        with pytest.raises(ValueError, match=message):
            networks.MAPEMStep(**settings)
    with pytest.raises(TypeError, match="expected scans or an operator, got neither"):
        networks.attach(networks.EMStep())
    with pytest.raises(TypeError, match=r"expected pettutor.networks.Scans, got \[\]"):
        networks.attach(networks.EMStep(), [])
    with pytest.raises(ValueError, match="found none in"):
        networks.attach(networks.EMStep(), operator=MatrixOperator(matrix(), SHAPE, (2, 3, 4)))


# ---- in models ---------------------------------------------------------------------------------------------------


def small_model(scans):
    """An EM and a MAP-EM step, each after a convolution."""
    image, scan = keras.Input((13, 9, 1), name="image"), keras.Input((), dtype="int32", name="scan")
    x = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones", activation="relu")(image)
    x = networks.EMStep(scans, scale=4.0)(x, scan)
    z = keras.layers.Conv2D(1, 3, padding="same")(x)
    x = networks.MAPEMStep(scans, scale=4.0, learn_kappa=True)(x, z, scan)
    return keras.Model({"image": image, "scan": scan}, x)


def away_from_the_start(model, seed=11):
    """The model with every weight moved off where it starts: what a file loses shows."""
    rng = np.random.default_rng(seed)
    sizes = [0.2 if w.ndim == 0 else 0.006 for w in model.get_weights()]
    steps = [size * (rng.standard_normal(w.shape) + 0.5) for w, size in zip(model.get_weights(), sizes, strict=True)]
    model.set_weights([w + step.astype(w.dtype) for w, step in zip(model.get_weights(), steps, strict=True)])
    return model


def training_data():
    rng = np.random.default_rng(3)
    x = rng.random((6, 13, 9, 1), dtype=np.float32) + 0.5
    return {"image": x, "scan": np.arange(6, dtype=np.int32) % 2}, 0.5 * x


def test_fit_in_graph_mode_lowers_the_loss_and_moves_every_weight():
    scans, _ = slab()
    keras.utils.set_random_seed(0)
    model = small_model(scans)
    x, y = training_data()
    before = model.get_weights()
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    history = model.fit(x, y, batch_size=3, epochs=15, verbose=0)
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    assert not scans._expected
    assert model.predict(x, batch_size=4, verbose=0).shape == (6, 13, 9, 1)


def test_save_and_load_brings_everything_back_but_the_scans(tmp_path):
    scans, _ = slab()
    model = away_from_the_start(small_model(scans))
    x, y = training_data()
    expected = ops.convert_to_numpy(model(x))
    model.save(tmp_path / "model.keras")
    uses = (
        lambda one: one(x),
        lambda one: one.predict(x, verbose=0),
        lambda one: one.compile(loss="mse") or one.fit(x, y, verbose=0),
    )
    for use in uses:
        loaded = networks.load(tmp_path / "model.keras")
        with pytest.raises(ValueError, match=r"expected the data of scans, found none.*attach\(model, scans\)"):
            use(loaded)
    loaded = networks.load(tmp_path / "model.keras")
    networks.attach(loaded, scans)
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(x)), expected, rtol=1e-6)
    assert [layer.scale for layer in loaded.layers if hasattr(layer, "scale")] == [4.0, 4.0]
    assert loaded.layers[-1].learn_kappa
    again = networks.load(tmp_path / "model.keras", scans)
    np.testing.assert_allclose(ops.convert_to_numpy(again(x)), expected, rtol=1e-6)


def every_layer(scans, A):
    """A model in which each of the layers stands once, none as it is by default."""
    image, scan = keras.Input((*SHAPE, 1), name="image"), keras.Input((), dtype="int32", name="scan")
    x = networks.GradientStep(scans, scale=2.0)(image, 0.1 * image, scan)
    x = networks.EMStep(scans, scale=2.0)(x, scan)
    z = networks.BackProjection(A)(networks.ForwardProjection(A)(x)) / 50.0
    x = networks.MAPEMStep(scans, scale=2.0, kappa=0.7)(x, z, scan)
    return keras.Model({"image": image, "scan": scan}, x)


def test_every_layer_comes_back_from_a_file_with_its_settings_and_weights(tmp_path):
    scans, *_ = dense_scans(np.float32)
    A = MatrixOperator(matrix(np.float32), SHAPE, (2, 3, 4))
    model = away_from_the_start(every_layer(scans, A))
    x = {"image": images(2, dtype=np.float32) + 0.5, "scan": np.array([2, 0], np.int32)}
    expected = ops.convert_to_numpy(model(x))
    model.save(tmp_path / "model.keras")
    loaded = networks.load(tmp_path / "model.keras", scans, A)
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(x)), expected, rtol=1e-6)
    assert not np.allclose(expected, ops.convert_to_numpy(every_layer(scans, A)(x)), rtol=2e-5)
    (step,) = (layer for layer in loaded.layers if isinstance(layer, networks.MAPEMStep))
    assert (step.kappa, step.learn_kappa, step.scale) == (0.7, False, 2.0)


@pytest.mark.parametrize(("dtype", "other"), [("float64", "float32"), ("float32", "float64")])
def test_layers_of_another_precision_than_their_operator(dtype, other):
    """Values and gradients come in the layer's own type, and are those of one precision throughout."""
    numbers, x = np.array([2, 0], np.int32), 0.5 + images(2)

    def figures(layers, operator):
        scans, *_ = dense_scans(np.dtype(operator))
        A = MatrixOperator(matrix(np.dtype(operator)), SHAPE, (2, 3, 4))
        em, forward = networks.EMStep(scans, scale=2.0, dtype=layers), networks.ForwardProjection(A, dtype=layers)
        back, start = networks.BackProjection(A, dtype=layers), x.astype(layers)
        return (
            *value_and_gradients(lambda t: ops.sum(em(t, numbers) ** 2), start),
            *value_and_gradients(lambda t: ops.sum(back(forward(t))), start),
        )

    for found, exact in zip(figures(dtype, other), figures("float64", "float64"), strict=True):
        if isinstance(found, list):
            assert found[0].dtype == dtype
            np.testing.assert_allclose(found[0], exact[0], rtol=1e-3, atol=1e-4 * abs(exact[0]).max())
        else:
            assert found == pytest.approx(exact, rel=1e-5)


def test_the_operator_layers_are_saved_without_their_operator(tmp_path):
    A = MatrixOperator(matrix(np.float32), SHAPE, (2, 3, 4))
    image = keras.Input((*SHAPE, 1))
    model = keras.Model(image, networks.BackProjection(A)(networks.ForwardProjection(A)(image)))
    model.save(tmp_path / "model.keras")
    loaded = networks.load(tmp_path / "model.keras")
    x = images(2, dtype=np.float32)
    with pytest.raises(Exception, match=r"attach\(model, operator=A\)"):
        loaded(x)
    networks.attach(loaded, operator=A)
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)), rtol=1e-6)


def test_a_network_is_fitted_through_the_projections():
    """In graph mode, a batch at a time: the image whose projections, projected back, are those of the truth."""
    A = MatrixOperator(matrix(np.float32), SHAPE, (2, 3, 4))
    keras.utils.set_random_seed(0)
    image = keras.Input((*SHAPE, 1))
    hidden = keras.layers.Conv3D(1, 3, padding="same", name="learnt")(image)
    model = keras.Model(image, networks.BackProjection(A)(networks.ForwardProjection(A)(hidden)))
    x = images(4, dtype=np.float32)
    y = np.stack([A.T(A(one[..., 0]))[..., None] for one in 2 * x])
    before = model.get_weights()
    model.compile(optimizer=keras.optimizers.Adam(3e-2), loss="mse")
    loss = model.fit(x, y, batch_size=2, epochs=40, verbose=0).history["loss"]
    assert loss[-1] < 0.05 * loss[0]
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_gradient_that_overflowed_goes_on_as_nan():
    """As training in float16 needs it, where an optimiser leaves such a step out; the next gradient is as ever."""
    scans, *_ = dense_scans(np.float32)
    em, numbers, x = networks.EMStep(scans), np.array([2, 0], np.int32), 0.5 + images(2, dtype=np.float32)

    def scaled(factor):
        def loss(t):
            return ops.sum(em(t, numbers, training=True)) * np.float32(factor)

        return loss

    expected = value_and_gradients(scaled(1), x)[1][0]
    assert np.isnan(value_and_gradients(scaled(np.inf), x)[1][0]).all()
    np.testing.assert_array_equal(value_and_gradients(scaled(1), x)[1][0], expected)
    assert np.isfinite(expected).all() and not scans._expected


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_leaves_the_physics_in_float32(policy):
    """Each layer gives what it gives without, and its gradient; a network on them is trained."""
    scans, _ = slab()
    dense, *_ = dense_scans(np.float32)
    A = MatrixOperator(matrix(np.float32), SHAPE, (2, 3, 4))
    numbers, volume = np.array([1, 0], np.int32), 0.5 + images(2, dtype=np.float32)

    def layers():
        em, step = networks.EMStep(dense, scale=4.0), networks.GradientStep(dense, scale=4.0)
        root = networks.MAPEMStep(dense, scale=4.0, kappa=0.7, learn_kappa=True)
        forward, back = networks.ForwardProjection(A), networks.BackProjection(A)

        def em_step(x):
            return em(x, numbers)

        def map_em_step(x):
            return root(x, 0.5 * x, numbers)

        def gradient_step(x):
            return step(x, 0.1 * x, numbers)

        def there_and_back(x):
            return back(forward(x))

        return em_step, map_em_step, gradient_step, forward, there_and_back

    def of(layer):
        def squares(x):
            return ops.sum(layer(x) ** 2)

        return ops.convert_to_numpy(layer(volume)), *value_and_gradients(squares, volume)[1]

    def figures():
        return [of(layer) for layer in layers()]

    full = figures()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assert {keras.backend.standardize_dtype(layer(volume).dtype) for layer in layers()} == {"float32"}
        mixed = figures()
        model = small_model(scans)
        model.compile(optimizer="adam", loss="mse")
        loss = model.fit(*training_data(), epochs=1, verbose=0).history["loss"][0]
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(loss)
    for found, expected in zip(mixed, full, strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
