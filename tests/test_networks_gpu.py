"""The layers with scans on a GPU: the same numbers as on the CPU, and images that cross without a copy."""

import numpy as np
import pytest
from registry import off_centre_grid, small_scanner

import pettutor as pt
from pettutor import networks

pytestmark = pytest.mark.gpu


def scans_on(device):
    X = pt.Projector(small_scanner(), off_centre_grid(), device=device)
    xp = np if device == "cpu" else pytest.importorskip("cupy")
    rng = np.random.default_rng(0)
    scans = networks.Scans()
    for _ in range(2):
        factors = rng.random(X.out_shape, dtype=np.float32)
        y = rng.poisson(20 * factors).astype(np.float32)
        A = pt.AcquisitionModel(X, attenuation=xp.asarray(factors), psf_fwhm=5.0, background=1.0)
        scans.add(xp.asarray(y), A)
    return scans


def loss_and_gradient(scans):
    keras = networks.load_keras()
    ops = keras.ops
    keras.utils.set_random_seed(0)
    shape = (*scans.in_shape, 1)
    image, scan = keras.Input(shape), keras.Input((), dtype="int32")
    x = keras.layers.Conv3D(1, 3, padding="same", kernel_initializer="ones", activation="relu")(image)
    x = networks.MAPEMStep(scans, scale=3.0, learn_kappa=True)(networks.EMStep(scans, scale=3.0)(x, scan), x, scan)
    model = keras.Model([image, scan], x)
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss="mse")
    start = np.random.default_rng(1).random((4, *shape), dtype=np.float32) + 0.5
    numbers = np.array([1, 0, 0, 1], np.int32)
    before = model.get_weights()
    loss = model.train_on_batch([start, numbers], 0.5 * start)
    steps = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    return float(ops.convert_to_numpy(loss)), steps


def test_a_training_step_is_that_of_the_cpu():
    pytest.importorskip("keras")
    loss, steps = loss_and_gradient(scans_on("cuda"))
    expected, expected_steps = loss_and_gradient(scans_on("cpu"))
    assert loss == pytest.approx(expected, rel=1e-4)
    for step, reference in zip(steps, expected_steps, strict=True):
        np.testing.assert_allclose(step, reference, rtol=2e-3, atol=1e-4 * abs(reference).max())


def test_images_cross_by_dlpack_where_the_framework_lies_on_the_gpu(monkeypatch):
    pytest.importorskip("keras")
    keras = networks.load_keras()
    if keras.backend.backend() == "jax":
        pytest.skip("JAX hands its callbacks arrays on the host")
    seen = []
    ratio = networks.Scans.em_ratio

    def spy(self, numbers, images, keep=False):
        seen.append(type(images).__module__.partition(".")[0])
        return ratio(self, numbers, images, keep)

    monkeypatch.setattr(networks.Scans, "em_ratio", spy)
    loss_and_gradient(scans_on("cuda"))
    assert seen and set(seen) == {"cupy"}


def projected_and_stepped(device):
    """Forward and back projection and EM-Net's step in one model: its loss and the change of every weight."""
    scans = scans_on(device)
    keras = networks.load_keras()
    keras.utils.set_random_seed(0)
    X = pt.Projector(small_scanner(), off_centre_grid(), device=device)
    shape = (*scans.in_shape, 1)
    image, scan = keras.Input(shape), keras.Input((), dtype="int32")
    x = keras.layers.Conv3D(1, 3, padding="same", kernel_initializer="ones", activation="relu")(image)
    seen = networks.BackProjection(X)(networks.ForwardProjection(X)(x))
    f = keras.layers.Conv3D(1, 1, kernel_initializer=keras.initializers.Constant(1e-6))(seen)
    model = keras.Model([image, scan], networks.GradientStep(scans, scale=3.0)(x, f, scan))
    model.compile(optimizer=keras.optimizers.SGD(1e-4), loss="mse")
    start = np.random.default_rng(1).random((2, *shape), dtype=np.float32) + 0.5
    before = model.get_weights()
    loss = model.train_on_batch([start, np.array([1, 0], np.int32)], 0.5 * start)
    steps = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    return float(keras.ops.convert_to_numpy(loss)), steps


def test_projections_and_the_step_of_em_net_are_those_of_the_cpu():
    pytest.importorskip("keras")
    (loss, steps), (expected, expected_steps) = (projected_and_stepped(device) for device in ("cuda", "cpu"))
    assert loss == pytest.approx(expected, rel=1e-4)
    assert any(np.any(step) for step in expected_steps)
    for step, reference in zip(steps, expected_steps, strict=True):
        np.testing.assert_allclose(step, reference, rtol=2e-3, atol=1e-4 * abs(reference).max())


def small_scan(device):
    xp = np if device == "cpu" else pytest.importorskip("cupy")
    X = pt.Projector(small_scanner(), off_centre_grid(), device=device)
    rng = np.random.default_rng(3)
    factors, mr = rng.random(X.out_shape, dtype=np.float32), rng.random(X.in_shape, dtype=np.float32)
    A = pt.AcquisitionModel(X, attenuation=xp.asarray(factors), psf_fwhm=5.0, background=1.0)
    return xp, xp.asarray(rng.poisson(20 * factors).astype(np.float32)), A, mr


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_diprecon_with_its_scan_on_the_gpu(optimiser):
    """Two iterations, before what differs in the last digit has grown."""
    pytest.importorskip("keras")
    found = {}
    for device in ("cuda", "cpu"):
        xp, y, A, mr = small_scan(device)
        networks.load_keras().utils.set_random_seed(0)
        settings = {
            "optimiser": optimiser,
            "start_iterations": 5,
            "start_fit": 3,
            "fit_iterations": 2,
            "filters": (4, 8),
        }
        image = networks.diprecon(y, A, mr, iterations=2, **settings)
        assert isinstance(image, xp.ndarray) and image.shape == A.in_shape
        found[device] = image.get() if device == "cuda" else image
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=0.02, atol=0.01 * found["cpu"].max())


def test_bcd_net_with_its_scan_on_the_gpu():
    pytest.importorskip("keras")
    from pettutor.networks.parts.convolutional_coding import ConvolutionalCoding

    network = networks.BCDNet(3, 27, 3, 1, scale=3.0, kappa=1.0)
    coding = ConvolutionalCoding(3, 27, 3)
    coding.build((None, None, None, None, 1))
    network.weights = [tuple(coding.get_weights())]
    found = {}
    for device in ("cuda", "cpu"):
        xp, y, A, _ = small_scan(device)
        start = xp.ones(A.in_shape, xp.float32)
        image = network.reconstruct(y, A, start)
        assert isinstance(image, xp.ndarray)
        found[device] = image.get() if device == "cuda" else image
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=2e-3, atol=1e-4 * found["cpu"].max())
