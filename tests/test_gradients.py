"""Gradients of a Keras model for scipy and the projector, and the fits made of them."""

import json

import numpy as np
import pytest
from processes import run_python
from test_networks import needs_keras

from pettutor.networks import backend
from pettutor.networks.fitting.gradients import NetworkFunction
from pettutor.networks.fitting.optimisers import AdamSteps, fit_adam, fit_lbfgs

pytestmark = needs_keras

# a network with everything that could go wrong: two ways that join, and batch statistics
BUILD = """
import numpy as np
def build(keras, dtype):
    layers = keras.layers
    image = layers.Input((5, 7, 3), dtype=dtype)
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, dtype=dtype)(image)
    x = layers.BatchNormalization(dtype=dtype)(x)
    x = layers.Activation("tanh", dtype=dtype)(x)
    x = layers.Conv2D(2, (1, 3), padding="same", activation="softplus", dtype=dtype)(x)
    y = layers.Conv2D(2, 1, use_bias=False, dtype=dtype)(image)
    x = layers.Conv2D(1, 1, dtype=dtype)(layers.Add(dtype=dtype)([x, y]))
    model = keras.Model(image, x)
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.2, 0.9, w.shape) for w in model.get_weights()])
    return model
def data():
    rng = np.random.default_rng(8)
    z, t, w = rng.random((2, 5, 7, 3)), rng.random((2, 5, 7, 1)), rng.random((2, 5, 7, 1))
    return z, t, w * (w > 0.2)
"""
exec(BUILD)


@pytest.fixture(scope="module")
def function():
    return NetworkFunction(build(backend.load_keras(), "float64"))  # noqa: F821


def reference_error(function, weights, z, t, w):
    """The loss by Keras's own call with the weights set, and NumPy; the model is put back."""
    before = function.model.get_weights()
    function.weights = weights
    output = np.asarray(function.model(z, training=True))
    function.model.set_weights(before)
    return (w * (output - t) ** 2).sum() / w.sum()


def slopes(of, at, chosen, step=1e-5):  # rounding leaves about 1e-16 · 10 / step = 1e-10 in them, curvature no more
    """Central differences along the chosen entries."""
    for k in chosen:
        shift = np.zeros(at.size)
        shift[k] = step
        shift = shift.reshape(at.shape)
        yield (of(at + shift) - of(at - shift)) / (2 * step)


def test_gradient_by_the_weights_is_that_of_finite_differences(function):
    z, t, w = data()  # noqa: F821
    theta = function.weights
    value, gradient = function.error_by_weights(z, t, w)(theta)
    assert value == pytest.approx(reference_error(function, theta, z, t, w), rel=1e-12)
    every = range(theta.size)
    numeric = list(slopes(lambda v: reference_error(function, v, z, t, w), theta, every[::13]))
    np.testing.assert_allclose(gradient[::13], numeric, rtol=1e-6, atol=1e-8)


def test_gradient_by_the_input_is_that_of_finite_differences(function):
    z, t, w = data()  # noqa: F821
    theta = function.weights
    value, gradient = function.error_by_input(t, w)(z)
    assert gradient.shape == z.shape
    assert value == pytest.approx(reference_error(function, theta, z, t, w), rel=1e-12)
    numeric = list(slopes(lambda v: reference_error(function, theta, v, t, w), z, range(0, z.size, 17)))
    np.testing.assert_allclose(gradient.ravel()[::17], numeric, rtol=1e-6, atol=1e-8)


def test_pull_back_is_the_transposed_jacobian(function):
    z, g, _ = data()  # noqa: F821
    theta = function.weights
    pulled = function.pull_back(z, g - 0.5, theta)
    for direction in np.random.default_rng(2).standard_normal((4, theta.size)):
        # <J d, g> = <d, Jᵀ g>, with J d from differences
        forward = (function(z, theta + 1e-6 * direction) - function(z, theta - 1e-6 * direction)) / 2e-6
        assert (forward * (g - 0.5)).sum() == pytest.approx(direction @ pulled, rel=1e-6)


def test_the_model_stays_as_it_is_and_repeats_itself(function):
    z, t, w = data()  # noqa: F821
    before = [np.array(v) for v in function.model.get_weights()]
    error = function.error_by_weights(z, t, w)
    first = error(function.weights + 0.1)
    again = error(function.weights + 0.1)
    function(z)
    function.pull_back(z, t)
    assert all(np.array_equal(a, b) for a, b in zip(before, function.model.get_weights(), strict=True))
    assert first[0] == again[0] and np.array_equal(first[1], again[1])


def test_flat_weights_go_in_as_they_came_out(function):
    theta = function.weights
    assert theta.dtype == np.float64
    assert theta.size == sum(int(np.prod(v.shape)) for v in function.model.trainable_variables)
    changed = np.arange(theta.size) / 7
    function.weights = changed
    kernel = function.model.trainable_variables[0]
    assert np.array_equal(np.asarray(kernel).ravel(), changed[: np.asarray(kernel).size])
    assert np.array_equal(function.weights, changed)
    function.weights = theta


def test_wrong_input_is_an_error_that_says_so(function):
    keras = backend.load_keras()
    z, t, w = data()  # noqa: F821
    with pytest.raises(TypeError, match=r"expected a keras\.Model"):
        NetworkFunction(print)
    with pytest.raises(ValueError, match="trainable weights, got none"):
        image = keras.layers.Input((3, 3, 1))
        NetworkFunction(keras.Model(image, keras.layers.ReLU()(image)))
    with pytest.raises(ValueError, match="vector of"):
        function(z, np.zeros(3))
    with pytest.raises(ValueError, match=r"target: expected shape \(2, 5, 7, 1\)"):
        function.error_by_weights(z, t[..., 0])
    with pytest.raises(ValueError, match="upstream: expected shape"):
        function.pull_back(z, t[:1])
    with pytest.raises(ValueError, match="voxel_weights"):
        function.error_by_weights(z, t, 0 * w)


# ---- fits --------------------------------------------------------------------------------------------------------


def linear_model(dtype="float64"):
    layers = backend.load_keras().layers
    image = layers.Input((5, 7, 3), dtype=dtype)
    return backend.load_keras().Model(image, layers.Dense(1, dtype=dtype, kernel_initializer="ones")(image))


def test_lbfgs_finds_the_weighted_least_squares_solution():
    z, t, w = data()  # noqa: F821
    model = linear_model()
    fit = fit_lbfgs(model, z, t, iterations=30, voxel_weights=w)
    columns = np.column_stack([z.reshape(-1, 3), np.ones(z[..., 0].size)])
    root = np.sqrt(w.ravel())
    best = np.linalg.lstsq(columns * root[:, None], t.ravel() * root, rcond=None)[0]
    np.testing.assert_allclose(fit.weights, best, rtol=1e-6)
    assert np.array_equal(NetworkFunction(model).weights, fit.weights)
    assert fit.loss[0] == pytest.approx(
        (w * (columns @ [1, 1, 1, 0] - t.ravel()).reshape(t.shape) ** 2).sum() / w.sum()
    )
    assert (np.diff(fit.loss) <= 0).all() and 3 < len(fit.loss) <= 31 and fit.evaluations >= len(fit.loss)


def test_adam_is_adam_and_goes_on_where_it_stopped():
    z, t, w = data()  # noqa: F821
    columns = np.column_stack([z.reshape(-1, 3), np.ones(z[..., 0].size)])
    theta, m, v = np.array([1.0, 1, 1, 0]), np.zeros(4), np.zeros(4)
    for step in range(1, 13):
        g = 2 * columns.T @ (w.ravel() * (columns @ theta - t.ravel())) / w.sum()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta = theta - 0.05 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-7)
    model = linear_model()
    settings = {"learning_rate": 0.05, "voxel_weights": w}
    half = fit_adam(model, z, t, iterations=7, **settings)
    fit = fit_adam(model, z, t, iterations=5, moments=half.moments, **settings)
    np.testing.assert_allclose(fit.weights, theta, rtol=1e-5)  # Keras's own epsilon stands in another place
    forgetful = fit_adam(model, z, t, iterations=5, start=half.weights, **settings)
    assert abs(forgetful.weights - fit.weights).max() > 1e-3
    assert len(fit.loss) == 6 and fit.evaluations == 5
    assert np.array_equal(fit.output, NetworkFunction(model)(z, fit.weights)), "what the fitted network makes"
    assert fit.loss[0] == pytest.approx(half.loss[-1], rel=1e-12), "the last without its gradient is the same error"


def test_settings_of_a_fit_are_checked():
    z, t, _ = data()  # noqa: F821
    with pytest.raises(ValueError, match="iterations: expected a whole number >= 1, got 0"):
        fit_lbfgs(linear_model(), z, t, iterations=0)
    with pytest.raises(FloatingPointError, match="finite loss"):
        fit_lbfgs(linear_model(), z, t, start=np.array([np.nan, 0, 0, 0]))
    with pytest.raises(ValueError, match="learning_rate"):
        AdamSteps(np.zeros(3), "float32", 0.0)
    with pytest.raises(ValueError, match="moments"):
        AdamSteps(np.zeros(3), "float32", 0.1, (np.array(1), np.zeros(2), np.zeros(2)))


# ---- other backends ----------------------------------------------------------------------------------------------

OTHER = (
    BUILD
    + """
import json, keras
from pettutor.networks.fitting.gradients import NetworkFunction
from pettutor.networks.fitting.optimisers import fit_adam, fit_lbfgs
f = NetworkFunction(build(keras, "float32"))
z, t, w = data()
theta = f.weights
value, by_weights = f.error_by_weights(z, t, w)(theta)
_, by_input = f.error_by_input(t, w)(z)
steps = fit_adam(f, z, t, iterations=3, voxel_weights=w)
f.weights = theta
fit = fit_lbfgs(f, z, t, iterations=6, voxel_weights=w)
print(json.dumps([value, by_weights.tolist(), by_input.ravel().tolist(), f.pull_back(z, t, theta).tolist(),
                  steps.weights.tolist(), fit.loss, float(abs(f.once(z) - f(z)).max())]))
"""
)


def other_backends():
    return [name for name in ("jax", "torch") if backend._is_installed(name)]


@pytest.mark.parametrize("name", other_backends())
def test_other_backends_give_the_same_numbers(name):
    function = NetworkFunction(build(backend.load_keras(), "float64"))  # noqa: F821
    z, t, w = data()  # noqa: F821
    value, by_weights, by_input, pulled, steps, losses, once = json.loads(run_python(OTHER, KERAS_BACKEND=name))
    theta = function.weights
    expected, gradient = function.error_by_weights(z, t, w)(theta)
    assert value == pytest.approx(expected, rel=1e-5)
    scale = abs(gradient).max()
    np.testing.assert_allclose(by_weights, gradient, atol=1e-5 * scale)
    of_input = function.error_by_input(t, w)(z)[1].ravel()
    np.testing.assert_allclose(by_input, of_input, atol=1e-5 * abs(of_input).max())
    pull = function.pull_back(z, t, theta)
    np.testing.assert_allclose(pulled, pull, atol=1e-5 * abs(pull).max())
    np.testing.assert_allclose(steps, fit_adam(function, z, t, iterations=3, voxel_weights=w).weights, atol=1e-4)
    assert losses[-1] < 0.2 * losses[0] and losses[0] == pytest.approx(expected, rel=1e-5)
    assert once < 1e-5, "not what the compiled function gives"


def test_a_single_call_needs_no_compiling(function):
    z, *_ = data()  # noqa: F821
    fresh = NetworkFunction(function.model)
    np.testing.assert_allclose(fresh.once(z), function(z), rtol=1e-12)
    assert not fresh._compiled
