"""DIPRecon and its kin: ADMM against scipy on a linear network, resuming, stopping, units, errors."""

import os

import numpy as np
import pytest
from registry import MatrixOperator
from test_networks import needs_keras

from pettutor.networks import backend
from pettutor.networks.cnn_penalty import cnn_penalty
from pettutor.networks.diprecon import DIPRecon, diprecon
from pettutor.networks.fitting.admm import ConstrainedReconstruction, ConstrainedRecord, typical_activity
from pettutor.networks.fitting.deep_image_prior import DeepImagePrior
from pettutor.networks.fitting.early_stopping import WindowedVariance
from pettutor.networks.fitting.gradients import NetworkFunction
from pettutor.networks.fitting.optimisers import Fit, fit_adam, fit_lbfgs
from pettutor.networks.network_input import NetworkInput, network_input
from pettutor.reconstruction import Record, mlem

SHAPE, COLUMNS = (2, 3, 5), 4
BACKGROUND = 1.5


def problem(dtype=np.float64, seed=4):
    """A small scanner, an MR-like image, counts of an image that is near, but not in, what the columns span."""
    rng = np.random.default_rng(seed)
    few = rng.random((72, 30)) * (rng.random((72, 30)) < 0.15)  # a bin sees some four voxels: well conditioned
    A = MatrixOperator((3 * few).astype(dtype), SHAPE, (2, 4, 9))
    columns = rng.random((30, COLUMNS))
    truth = columns @ [3.0, 5.0, 2.0, 4.0] + 3 * rng.random(30)
    y = rng.poisson(A.matrix @ truth + BACKGROUND).reshape(A.out_shape).astype(dtype)
    return y, A, columns


class LinearPrior:
    """f(v) = B v, fitted exactly: what the loop sees of a network."""

    def __init__(self, columns):
        self.columns, self.start, self.scale = columns, np.ones(columns.shape[1]), 1.0

    def image(self, v):
        return (self.columns @ v).reshape(SHAPE)

    def fit(self, v, target, voxels, iterations):
        assert voxels.all()
        best = np.linalg.lstsq(self.columns, target.ravel(), rcond=None)[0]
        return Fit(best, [float(((self.columns @ best - target.ravel()) ** 2).mean())], 1)

    def keep(self, v):
        pass


def constrained_maximum(y, A, columns):
    """The weights that maximise the likelihood of B v, by scipy."""
    from scipy.optimize import minimize

    system = A.matrix.astype(np.float64) @ columns
    counts = y.ravel().astype(np.float64)

    def loss(v):
        expected = system @ v + BACKGROUND
        return (expected - counts * np.log(expected)).sum(), system.T @ (1 - counts / expected)

    found = minimize(loss, np.full(columns.shape[1], 3.0), jac=True, method="BFGS", options={"gtol": 1e-9})
    assert (columns @ found.x > 0.1).all()  # inside x >= 0
    return found.x


def slope_of_likelihood(y, A, image):
    return A.T(y / (A(image) + BACKGROUND) - 1)


@pytest.mark.parametrize(("kappa", "iterations"), [(0.01, 500), (0.1, 250), (1.0, 250), (10.0, 600)])
@pytest.mark.parametrize("image_updates", [1, 2, 10])
def test_linear_network_reaches_the_constrained_maximum_for_any_strength(kappa, iterations, image_updates):
    y, A, columns = problem()
    best = columns @ constrained_maximum(y, A, columns)
    run = ConstrainedReconstruction(
        y, A, LinearPrior(columns), kappa=kappa, image_updates=image_updates, start_iterations=3, background=BACKGROUND
    )
    f = run.run(iterations)
    np.testing.assert_allclose(f.ravel(), best, rtol=1e-4)
    np.testing.assert_allclose(run.state.x.ravel(), best, rtol=1e-4)
    # μ* = ∇L(f) / ρ
    slope = slope_of_likelihood(y, A, f)
    assert abs(slope).max() > 1  # the constraint binds
    np.testing.assert_allclose(run.state.mu * run.state.rho, slope, atol=1e-4 * abs(slope).max())


def test_the_record_is_of_the_network_image_that_enters():
    y, A, columns = problem()
    record = ConstrainedRecord()
    run = ConstrainedReconstruction(
        y, A, LinearPrior(columns), kappa=0.7, start_iterations=5, background=BACKGROUND, record=record
    )
    run.prepare()
    entering = [(run.state.f, run.state.x)]
    run.run(4, callback=lambda k, f: entering.append((f, run.state.x)))

    def likelihood(image):
        expected = A(image) + BACKGROUND
        return (y * np.log(expected) - expected).sum()

    assert record.iterations == 4 and len(record.gap) == len(record.evaluations) == 4
    np.testing.assert_allclose(record.log_likelihood, [likelihood(f) for f, _ in entering[:4]], rtol=1e-12)
    np.testing.assert_allclose(record.x_log_likelihood, [likelihood(x) for _, x in entering[:4]], rtol=1e-12)
    f, x = entering[-1]
    assert record.gap[-1] == pytest.approx(np.linalg.norm(x - f) / np.linalg.norm(f), rel=1e-12)
    assert np.array_equal(run.image, f)


def test_rho_is_kappa_times_mean_sensitivity_over_typical_activity():
    y, A, columns = problem()
    start = np.full(SHAPE, 6.0)
    start[0, 0] = 0.1  # below half the mean
    run = ConstrainedReconstruction(y, A, LinearPrior(columns), kappa=0.25, start=start, background=BACKGROUND)
    run.prepare()
    assert run.state.scale == pytest.approx(6.0)
    assert run.state.rho == pytest.approx(0.25 * A.matrix.sum(0).mean() / 6.0)
    assert typical_activity(start, np.ones(SHAPE)) == pytest.approx(6.0)


# ---- with Keras --------------------------------------------------------------------------------------------------


def linear_network(dtype="float64", channels=COLUMNS):
    layers = backend.load_keras().layers
    image = layers.Input((*SHAPE[1:], channels), dtype=dtype)
    dense = layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype=dtype)
    return backend.load_keras().Model(image, dense(image))


def small_network(seed=1, channels=1):
    keras = backend.load_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = layers.Input((*SHAPE[1:], channels))
    x = layers.Conv2D(3, 3, padding="same", activation="tanh")(image)
    return keras.Model(image, layers.Conv2D(1, 3, padding="same", bias_initializer="ones", activation="softplus")(x))


def small_run(network=None, mr=True, **settings):
    y, A, _ = problem(np.float32)
    image = np.random.default_rng(9).random(SHAPE, dtype=np.float32) if mr else None
    settings = {"start_iterations": 5, "start_fit": 8, "fit_iterations": 3, "background": BACKGROUND} | settings
    return y, A, image, {"network": small_network() if network is None else network, **settings}


@needs_keras
def test_linear_keras_network_reaches_the_constrained_maximum():
    y, A, _ = problem()
    run = DIPRecon(
        y, A, network=linear_network(), kappa=1.0, start_fit=20, fit_iterations=5, seed=3, background=BACKGROUND
    )
    columns = run.prior.inputs.reshape(-1, COLUMNS).astype(np.float64)  # the noise that goes in
    best = constrained_maximum(y, A, columns)
    f = run.run(80)
    assert f.dtype == np.float64
    np.testing.assert_allclose(f.ravel(), columns @ best, rtol=1e-5)
    weights = np.asarray(run.network.get_weights()[0]).ravel() * run.state.scale
    np.testing.assert_allclose(weights, best, rtol=1e-5)
    slope = slope_of_likelihood(y, A, f)
    np.testing.assert_allclose(run.state.mu * run.state.rho, slope, atol=1e-3 * abs(slope).max())


@needs_keras
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_the_image_is_the_fitted_networks_which_runs_once_for_it(optimiser, monkeypatch):
    y, A, mr, settings = small_run(optimiser=optimiser)
    run = DIPRecon(y, A, mr, **settings)
    run.prepare()
    whole, weights = NetworkFunction.__call__, []

    def count(self, inputs, theta=None):
        weights.append(theta)
        return whole(self, inputs, theta)

    monkeypatch.setattr(NetworkFunction, "__call__", count)
    f = run.run(3)
    assert len(weights) == 3
    assert np.array_equal(weights[-1], run.state.variables)
    assert np.array_equal(f, np.where(run.sensitivity > 0, run.prior.image(run.state.variables), 0))


@needs_keras
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_run_starts_from_mlem_and_the_network_fitted_to_it(optimiser):
    y, A, mr, settings = small_run(optimiser=optimiser, learning_rate=0.02)
    theta = settings["network"].get_weights()
    run = DIPRecon(y, A, mr, **settings)
    run.prepare()
    x = mlem(y, A, iterations=5, background=BACKGROUND)
    np.testing.assert_array_equal(run.state.x, x)
    assert not run.state.mu.any()
    settings["network"].set_weights(theta)
    target, inputs = (x / run.state.scale)[..., None], run.prior.inputs
    rate = {} if optimiser == "lbfgs" else {"learning_rate": 0.02}
    fit = {"lbfgs": fit_lbfgs, "adam": fit_adam}[optimiser](settings["network"], inputs, target, iterations=8, **rate)
    np.testing.assert_allclose(run.state.variables, fit.weights, rtol=1e-4, atol=1e-5)
    output = NetworkFunction(settings["network"])(inputs, fit.weights)[..., 0]
    np.testing.assert_allclose(run.state.f, run.state.scale * output, rtol=1e-4)
    unfitted = DIPRecon(y, A, mr, **{**settings, "network": small_network(), "start_fit": 0})
    unfitted.prepare()
    error = [float(((one.state.f - x) ** 2).mean()) for one in (run, unfitted)]
    assert error[0] < 0.7 * error[1]


@needs_keras
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_run_goes_on_from_its_file_to_the_same_numbers(tmp_path, optimiser):
    y, A, mr, settings = small_run(average_from=3, optimiser=optimiser)
    theta = settings["network"].get_weights()

    def fresh():
        settings["network"].set_weights(theta)
        return {**settings, "stopping": WindowedVariance(2, 9), "record": ConstrainedRecord()}

    whole = fresh()
    expected = diprecon(y, A, mr, iterations=6, **whole)
    first = DIPRecon(y, A, mr, **fresh())
    first.run(2)
    first.save(tmp_path / "run.npz")
    first.run(1)  # what comes after the file was written leaves no trace
    second = DIPRecon.load(tmp_path / "run.npz", y, A, mr, **fresh())
    assert second.record.iterations == 2
    got = second.run(4)
    assert np.array_equal(got, expected)
    assert second.record.log_likelihood == whole["record"].log_likelihood
    assert second.record.fit_loss == whole["record"].fit_loss and second.record.iterations == 6
    assert second.stopping.variance[1:] == whole["stopping"].variance[1:] and len(second.stopping.variance) == 6
    # the same by the one call: the file is taken up where it is there
    for iterations in (4, 2):
        got = diprecon(y, A, mr, iterations=iterations, checkpoint=tmp_path / "call.npz", every=3, **fresh())
    assert np.array_equal(got, expected)
    # and by the record
    record = ConstrainedRecord()
    for iterations in (4, 2):
        got = diprecon(y, A, mr, iterations=iterations, **{**fresh(), "record": record, "stopping": None})
    assert np.array_equal(got, expected) and record.iterations == 6


@needs_keras
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_another_strength_from_the_same_start_is_a_run_of_its_own(optimiser):
    y, A, mr, settings = small_run(optimiser=optimiser, average_from=2)
    theta = settings["network"].get_weights()
    expected, record = {}, {}
    for kappa in (0.2, 2.0):
        settings["network"].set_weights(theta)
        record[kappa] = ConstrainedRecord()
        expected[kappa] = diprecon(y, A, mr, iterations=3, kappa=kappa, record=record[kappa], **settings)
    assert abs(expected[0.2] - expected[2.0]).max() > 1e-2
    settings["network"].set_weights(theta)
    first = DIPRecon(y, A, mr, kappa=0.2, stopping=WindowedVariance(2, 9), **settings)
    with pytest.raises(ValueError, match="again: expected a run that has begun here"):
        first.again(kappa=2.0)
    first.run(1)
    evaluations, fit = [], first.prior.fit
    first.prior.fit = lambda *args, **kwargs: evaluations.append(args[3]) or fit(*args, **kwargs)
    second = first.again(kappa=2.0)
    # each by turns: neither disturbs the other
    for run in (second, first, second, first, second):
        run.run(1)
    assert np.array_equal(first.image, expected[0.2]) and np.array_equal(second.image, expected[2.0])
    assert evaluations == [settings["fit_iterations"]] * 5  # no fit to the start image
    assert second.record.log_likelihood == record[2.0].log_likelihood
    assert first.record.log_likelihood == record[0.2].log_likelihood
    assert len(first.stopping.variance) == len(second.stopping.variance) == 3
    assert second.settings()["kappa"] == 2.0
    with pytest.raises(ValueError, match="kappa: expected a strength > 0, got 0"):
        first.again(kappa=0)


@needs_keras
def test_adam_that_forgets_is_another_run():
    y, A, mr, settings = small_run(optimiser="adam")
    theta = settings["network"].get_weights()
    images = []
    for reset in (False, True):
        settings["network"].set_weights(theta)
        images.append(diprecon(y, A, mr, iterations=3, reset_optimiser=reset, **settings))
    assert abs(images[0] - images[1]).max() > 1e-3


@needs_keras
def test_average_is_the_mean_of_the_last_images():
    y, A, mr, settings = small_run(average_from=3)
    images = []
    got = diprecon(y, A, mr, iterations=5, callback=lambda k, f: images.append(f), **settings)
    np.testing.assert_allclose(got, np.mean(images[2:], axis=0), rtol=1e-6)
    assert abs(got - images[-1]).max() > 1e-4


@needs_keras
def test_the_keyboard_gives_back_the_last_finished_image(capsys):
    y, A, mr, settings = small_run()
    images = []

    def stop(iteration, f):
        images.append(f)
        if iteration == 3:
            raise KeyboardInterrupt

    got = diprecon(y, A, mr, iterations=9, callback=stop, **settings)
    assert np.array_equal(got, images[2])
    assert "DIPRecon stopped after 3 iterations; this is the last finished image" in capsys.readouterr().out


@needs_keras
def test_the_keyboard_in_the_middle_of_an_iteration_leaves_a_run_that_can_go_on(capsys):
    """Also where an inner algorithm would swallow it and hand back half its work."""
    y, A, mr, settings = small_run()
    theta = settings["network"].get_weights()
    expected = diprecon(y, A, mr, iterations=4, **settings)
    settings["network"].set_weights(theta)

    class Interrupted(MatrixOperator):
        left = 10**9

        def _forward(self, x):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return super()._forward(x)

    B = Interrupted(A.matrix, A.in_shape, A.out_shape)
    run = DIPRecon(y, B, mr, **settings)
    run.run(2)
    B.left, before = 3, run.state  # the second of the two MAP-EM updates
    got = run.run(2)
    assert run.state is before and np.array_equal(got, before.f) and run.record.iterations == 2
    said = capsys.readouterr().out
    assert said.count("stopped after") == 1 and "MAP-EM" not in said
    assert np.array_equal(run.run(2), expected)
    B.left = 3
    with pytest.raises(KeyboardInterrupt):  # no image yet
        DIPRecon(y, B, mr, **settings).run(2)


@needs_keras
def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    y, A, mr, settings = small_run()
    run = DIPRecon(y, A, mr, **settings)
    with pytest.raises(ValueError, match="expected a run that has begun"):
        run.save(tmp_path / "run.npz")
    run.run(1)
    path = tmp_path / "run.npz"
    run.save(path)
    before = path.read_bytes()

    def half(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        run.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.npz"]


@needs_keras
def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    y, A, mr, settings = small_run()
    run = DIPRecon(y, A, mr, **settings)
    run.run(1)
    path = tmp_path / "run.npz"
    run.save(path)
    for other, words in (
        ((y + 1, A, mr, settings), "counts"),
        ((y, A, mr[:, ::-1], settings), "network input"),
        ((y, A, mr, {**settings, "kappa": 2.0}), "kappa 0.5 there and 2.0 here"),
        ((y, A, mr, {**settings, "background": 2.5}), "background 1.5 there and 2.5 here"),
    ):
        *data, changed = other
        with pytest.raises(ValueError, match=words):
            DIPRecon.load(path, *data, **changed)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="expected a checkpoint of DIPRecon, got another or broken file"):
        DIPRecon.load(path, y, A, mr, **settings)
    with pytest.raises(FileNotFoundError):
        DIPRecon.load(tmp_path / "none.npz", y, A, mr, **settings)


@needs_keras
def test_the_unit_of_activity_changes_nothing_but_the_unit():
    y, A, mr, settings = small_run()
    theta = settings["network"].get_weights()
    start = mlem(y, A, iterations=5, background=BACKGROUND)
    one = diprecon(y, A, mr, iterations=4, start=start, **settings)
    settings["network"].set_weights(theta)
    # a power of two, which float32 multiplies without rounding
    B = MatrixOperator(A.matrix / np.float32(64), A.in_shape, A.out_shape)
    other = diprecon(y, B, mr, iterations=4, start=64 * start, **settings)
    np.testing.assert_allclose(other, 64 * one, rtol=1e-5)


@needs_keras
def test_voxels_that_are_not_reconstructed_are_zero_and_do_not_enter_the_fit():
    y, A, mr, settings = small_run()
    mask = np.ones(SHAPE, bool)
    mask[1, 2, :3] = False
    matrix = A.matrix.copy()
    matrix[:, 7] = 0  # a voxel that the scanner does not see
    B = MatrixOperator(matrix, A.in_shape, A.out_shape)
    seen = mask & (matrix.sum(0) > 0).reshape(SHAPE)
    run = DIPRecon(y, B, mr, mask=mask, **settings)
    f = run.run(2)
    assert (f[~seen] == 0).all() and (f[seen] > 0).all() and (run.state.mu[~seen] == 0).all()
    unmasked = run.prior.image(run.state.variables)
    # (f - target)² over the seen voxels alone
    before = run.state
    run.run(1)
    f, x = run.state.f, run.state.x
    expected = np.mean(((f - (x + before.mu))[seen] / run.state.scale) ** 2)
    assert run.record.fit_loss[-1] == pytest.approx(expected, rel=1e-4)
    assert (unmasked[~seen] > 0).all()


@needs_keras
def test_inputs_and_default_networks():
    mr = np.linspace(-5, 15, 16 * 20, dtype=np.float32).reshape(1, 16, 20)
    flat = DeepImagePrior((1, 16, 20), (mr, mr**2), filters=(2, 3))
    assert flat.inputs.shape == (1, 16, 20, 2) and flat.inputs.min() == 0 and flat.inputs.max() == 1
    assert flat.function.model.input_shape == (None, 16, 20, 2)
    volume = DeepImagePrior((3, 8, 6), None, filters=(2, 3), seed=5)
    assert volume.inputs.shape == (1, 3, 8, 6, 1) and 0 <= volume.inputs.min() < volume.inputs.max() <= 1
    assert volume.image(volume.start).shape == (3, 8, 6)
    again = DeepImagePrior((3, 8, 6), None, filters=(2, 3), seed=5)
    assert np.array_equal(again.inputs, volume.inputs) and np.array_equal(again.start, volume.start)
    other = DeepImagePrior((3, 8, 6), None, filters=(2, 3), seed=6)
    assert abs(other.inputs - volume.inputs).max() > 0.1 and abs(other.start - volume.start).max() > 0.01


@needs_keras
def test_wrong_input_is_an_error_that_says_so():
    y, A, mr, settings = small_run()
    for change, words in (
        ({"kappa": 0}, "kappa: expected a strength > 0, got 0"),
        ({"image_updates": 0}, "image_updates: expected a whole number >= 1"),
        ({"fit_iterations": 1.5}, "fit_iterations"),
        ({"optimiser": "sgd"}, "optimiser: expected one of 'lbfgs', 'adam', got 'sgd'"),
        ({"start": -np.ones(SHAPE, np.float32)}, "start: expected values >= 0"),
        ({"start": np.zeros(SHAPE, np.float32)}, "start: expected an image with some activity"),
        ({"scale": -1.0}, "scale"),
        ({"iterations": 0}, "iterations"),
        ({"network": small_network(channels=2)}, "network: expected an input"),
    ):
        with pytest.raises(ValueError, match=words):
            diprecon(y, A, mr, **{"iterations": 1, **settings, **change})
    with pytest.raises(ValueError, match="y: expected shape"):
        diprecon(y[:1], A, mr, **settings)
    with pytest.raises(ValueError, match="mr: expected shape"):
        diprecon(y, A, mr[:1], **settings)
    with pytest.raises(ValueError, match="mr: expected an image with some contrast"):
        diprecon(y, A, np.ones(SHAPE, np.float32), **settings)
    with pytest.raises(TypeError, match="record: expected one of DIPRecon"):
        diprecon(y, A, mr, record=Record(coefficients=3), **settings)


# ---- its kin -----------------------------------------------------------------------------------------------------


def test_windowed_variance_is_the_formula_and_stops():
    rng = np.random.default_rng(0)
    wiggle = [9, 7, 5, 3, 1, 0.5, 0.2, 0.1, 0.5, 1, 2, 3, 4, 5]
    images = [5 + w * rng.standard_normal((1, 4, 6)).astype(np.float32) for w in wiggle]
    rule = WindowedVariance(window=3, patience=4)
    stops = [rule(image) for image in images]
    stack = np.stack(images).astype(np.float64)
    for k in range(2, len(images)):
        window = stack[k - 2 : k + 1]
        variance = ((window - window.mean(0)) ** 2).sum() / 3 / (stack[k] ** 2).sum()
        assert rule.variance[k] == pytest.approx(variance, rel=1e-5)
    assert np.isnan(rule.variance[:2]).all()
    best = int(np.nanargmin(rule.variance))
    assert 5 < best < 10 and rule.best_iteration == best + 1 and np.array_equal(rule.best, images[best])
    assert stops.index(True) == best + 4
    with pytest.raises(ValueError, match="window: expected a whole number >= 2"):
        WindowedVariance(1)


@needs_keras
def test_early_stopping_ends_the_run_with_the_image_at_the_smallest_variance():
    y, A, mr, settings = small_run()
    images = []

    class After4(WindowedVariance):
        def __call__(self, image):
            super().__call__(image)
            return len(self.variance) == 4

    rule = After4(2, 50)
    record = Record()
    got = diprecon(
        y, A, mr, iterations=9, stopping=rule, record=record, callback=lambda k, f: images.append(f), **settings
    )
    assert record.iterations == 4 and np.array_equal(got, images[rule.best_iteration - 1])


@needs_keras
def test_cnn_penalty_balances_data_and_network():
    y, A, mr, _ = small_run()
    network = small_network()
    weights = network.get_weights()
    x = cnn_penalty(y, A, network, mr, scale=4.0, kappa=0.8, iterations=300, background=BACKGROUND)
    z = 4.0 * np.asarray(network(mr[..., None]))[..., 0]
    rho = 0.8 * A.matrix.sum(0).mean() / 4.0
    # ∇L(x) = ρ (x - z)
    slope = slope_of_likelihood(y, A, x)
    np.testing.assert_allclose(slope, rho * (x - z), atol=2e-3 * abs(slope).max())
    assert all(np.array_equal(a, b) for a, b in zip(weights, network.get_weights(), strict=True))
    with pytest.raises(ValueError, match="network: expected an input"):
        cnn_penalty(y, A, network, (mr, mr), scale=4.0)


@needs_keras
def test_network_input_reaches_the_maximum_over_what_the_network_makes():
    """Half of the input less a quarter of another image: such a network makes any image, so f is the ML image."""
    rng = np.random.default_rng(1)
    A = MatrixOperator(np.eye(30)[rng.permutation(30)] + 0.02 * rng.random((30, 30)), SHAPE, (2, 5, 3))
    truth, other = 3 + rng.random(SHAPE), rng.random(SHAPE)
    y = A(truth) + BACKGROUND
    network = linear_network(channels=2)
    network.set_weights([np.array([[0.5], [-0.25]])])
    settings = {"scale": 2.0, "kappa": 0.5, "background": BACKGROUND, "start": truth + 1}
    run = NetworkInput(y, A, network, (other,), start_fit=0, **settings)
    run.prepare()
    # α⁰ = x⁰; the other channel enters as it is
    np.testing.assert_allclose(run.state.f, 0.5 * (truth + 1) - 2.0 * 0.25 * other, rtol=1e-6)
    f = network_input(y, A, network, (other,), iterations=60, **settings)
    np.testing.assert_allclose(f, truth, rtol=1e-5)
    assert np.array_equal(network.get_weights()[0], [[0.5], [-0.25]])


@needs_keras
def test_a_run_on_the_input_goes_on_from_its_file_with_the_same_network_only(tmp_path):
    y, A, mr, _ = small_run()
    network, other = small_network(channels=2), small_network(seed=2, channels=2)
    settings = {"scale": 4.0, "start_iterations": 5, "fit_iterations": 3, "background": BACKGROUND}
    expected = network_input(y, A, network, (mr,), iterations=5, **settings)
    first = NetworkInput(y, A, network, (mr,), start_fit=0, **settings)
    first.run(2)
    first.save(tmp_path / "run.npz")
    second = NetworkInput.load(tmp_path / "run.npz", y, A, network, (mr,), **settings)
    assert second.record.iterations == 2
    assert np.array_equal(second.run(3), expected)
    with pytest.raises(ValueError, match="expected a checkpoint of the same data and settings, got network"):
        NetworkInput.load(tmp_path / "run.npz", y, A, other, (mr,), **settings)
    with pytest.raises(ValueError, match=r"got scale 4\.0 there and 5\.0 here"):
        NetworkInput.load(tmp_path / "run.npz", y, A, network, (mr,), **{**settings, "scale": 5.0})
    with pytest.raises(ValueError, match="got other channels"):
        NetworkInput.load(tmp_path / "run.npz", y, A, network, (1 - mr,), **settings)
