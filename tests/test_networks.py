"""The CED and its training; which Keras backend is chosen."""

import contextlib
import gc
import os
import subprocess
import sys

import numpy as np
import pytest
from backends import needs_keras
from processes import run_python

from pettutor import networks
from pettutor.networks import backend
from pettutor.networks.training import slicewise as training

LAYERS = [20, 76, 296, 1168, 1736, 436, 110, 28]


# ---- the model ---------------------------------------------------------------------------------------------------


@needs_keras
def test_ced_has_3870_parameters_layer_by_layer():
    model = networks.ced()
    assert [layer.count_params() for layer in model.layers if layer.count_params()] == LAYERS
    assert model.count_params() == 3870 == sum(LAYERS)
    assert model.input_shape == (None, 128, 128, 1) and model.output_shape == (None, 128, 128, 1)


@needs_keras
def test_ced_layers_are_as_published():
    model = networks.ced((32, 48, 1))
    convolutions = [layer for layer in model.layers if layer.count_params()]
    assert [c.filters for c in convolutions] == [2, 4, 8, 16, 8, 4, 2, 1]
    assert [c.strides for c in convolutions] == [(2, 2)] * 4 + [(1, 1)] * 4
    assert all(
        c.kernel_size == (3, 3) and c.padding == "same" and c.activation.__name__ == "relu" for c in convolutions
    )
    enlarging = [layer for layer in model.layers if type(layer).__name__ == "UpSampling2D"]
    assert len(enlarging) == 4 and all(u.interpolation == "bilinear" for u in enlarging)
    joined = [layer.output.shape[1:] for layer in model.layers if type(layer).__name__ == "Concatenate"]
    assert joined == [(4, 6, 24), (8, 12, 12), (16, 24, 6), (32, 48, 3)]


@needs_keras
def test_more_channels_only_widen_the_first_and_the_last_layer():
    model = networks.ced((32, 16, 3))
    counts = [layer.count_params() for layer in model.layers if layer.count_params()]
    assert counts == [20 + 2 * 9 * 2, *LAYERS[1:-1], 28 + 2 * 9]


@needs_keras
@pytest.mark.parametrize("channels", [1, 2])
def test_the_untrained_ced_passes_the_pet_image_on(channels):
    keras = networks.load_keras()
    rng = np.random.default_rng(0)
    volumes = [rng.random((3, 32, 16), dtype=np.float32) for _ in range(channels)]
    keras.utils.set_random_seed(1)
    network = networks.SliceNetwork(networks.ced((32, 16, channels)), scale=2.5)
    np.testing.assert_allclose(network(*volumes), volumes[0], rtol=1e-5)


@needs_keras
@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((128, 100, 1), ValueError, "divisible by 16, got 128 × 100"),
        ((0, 16, 1), ValueError, "divisible by 16, got 0 × 16"),
        ((128, 128), ValueError, r"expected \(rows, columns, channels\), .* got 2 numbers"),
        ((128, 128, 0), ValueError, "at least one channel, got 0"),
        ((128.0, 128, 1), TypeError, r"got \(128.0, 128, 1\)"),
        (128, TypeError, "got 128"),
    ],
)
def test_bad_input_shapes(shape, kind, message):
    with pytest.raises(kind, match=message):
        networks.ced(shape)


# ---- training ----------------------------------------------------------------------------------------------------


def noisy_discs(seed, slices=12):
    """Discs of activity 40 on 10, and the same with noise: something to learn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    truth = np.full((slices, 32, 32), 10, np.float32)
    for image in truth:
        cy, cx, r = rng.uniform(10, 22), rng.uniform(10, 22), rng.uniform(4, 9)
        image[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = 40
    return np.maximum(truth + rng.normal(0, 12, truth.shape), 0).astype(np.float32), truth


def train(**changes):
    networks.load_keras().utils.set_random_seed(3)
    settings = {"scale": 20.0, "epochs": 20, "learning_rate": 1e-2, "seed": 3} | changes
    return networks.train_slicewise(networks.ced((32, 32, 1)), [noisy_discs(0)], [noisy_discs(1)], **settings)


@needs_keras
def test_training_improves_images_it_has_not_seen():
    calls = []
    network = train(callback=lambda *values: calls.append(values))
    noisy, truth = noisy_discs(2)
    before, after = (float(np.sqrt(np.mean((x - truth) ** 2))) for x in (noisy, network(noisy)))
    assert after < 0.8 * before
    assert [c[0] for c in calls] == list(range(1, 21))
    assert [c[1] for c in calls] == network.record.loss and network.record.slices == 24


@needs_keras
def test_the_best_weights_on_the_validation_subject_are_kept():
    networks.load_keras().utils.set_random_seed(3)
    model = networks.ced((32, 32, 1))

    def spoil(epoch, *_):
        if epoch == 4:  # the fifth epoch starts from nothing and ends worse than the fourth
            model.set_weights([0 * w for w in model.get_weights()])

    noisy, truth = noisy_discs(1)
    network = networks.train_slicewise(
        model, [noisy_discs(0)], [(noisy, truth)], scale=20.0, epochs=5, learning_rate=1e-3, callback=spoil
    )
    assert network.record.best_epoch < 5
    loss = float(np.mean(((network(noisy) - truth) / 20) ** 2))
    assert loss == pytest.approx(min(network.record.validation_loss), rel=1e-3)
    assert network.record.validation_loss.index(min(network.record.validation_loss)) + 1 == network.record.best_epoch


@needs_keras
def test_patience_stops_early():
    network = train(epochs=40, learning_rate=0.5, patience=2)
    assert network.record.epochs == network.record.best_epoch + 2 < 40


@needs_keras
def test_the_same_seed_trains_the_same_network():
    first, second, other = train(epochs=2), train(epochs=2), train(epochs=2, seed=4)
    assert first.record.loss == pytest.approx(second.record.loss, rel=1e-4)
    assert first.record.loss[-1] != pytest.approx(other.record.loss[-1], rel=1e-4)


@needs_keras
def test_the_network_works_in_activity():
    """Scaled weights aside, ten times the scale and ten times the activity are one and the same to the network."""
    network = train(epochs=2)
    noisy, _ = noisy_discs(2)
    tenfold = networks.SliceNetwork(network.model, scale=10 * network.scale)
    np.testing.assert_allclose(tenfold(10 * noisy), 10 * network(noisy), rtol=1e-4, atol=1e-3)


@needs_keras
def test_slices_do_not_mix_and_batches_do_not_matter():
    network = train(epochs=1)
    noisy, _ = noisy_discs(2)
    whole = network(noisy)
    np.testing.assert_allclose(network(noisy, batch_size=5), whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network(noisy[4:5].copy())[0], whole[4], rtol=1e-4, atol=1e-4)
    assert whole.dtype == np.float32 and whole.shape == noisy.shape


@needs_keras
def test_mirrored_slices_are_mirrored_left_to_right(monkeypatch):
    seen = {}
    model = networks.ced((32, 32, 1))
    monkeypatch.setattr(type(model), "fit", lambda self, x, y, **_: seen.update(x=x, y=y) or self)
    noisy, truth = noisy_discs(0)
    keeper = training._keeper
    monkeypatch.setattr(
        training, "_keeper", lambda *a: (lambda k: setattr(k, "best", model.get_weights()) or k)(keeper(*a))
    )
    networks.train_slicewise(model, [(noisy, truth)], [(noisy, truth)], scale=1.0)
    np.testing.assert_array_equal(seen["x"][12:, ..., 0], noisy[:, :, ::-1])
    np.testing.assert_array_equal(seen["y"][12:, ..., 0], truth[:, :, ::-1])


@needs_keras
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": []}, "training: expected at least one pair"),
        ({"validation": []}, "validation: expected at least one pair"),
        ({"scale": 0.0}, "scale: expected a number > 0"),
        ({"epochs": 0}, "epochs: expected a whole number >= 1, got 0"),
        ({"training": [(np.ones((2, 32, 16), np.float32),) * 2]}, r"training: expected slices of \(32, 32, 1\)"),
        ({"validation": [(np.ones((2, 32, 32), np.float32), np.ones((3, 32, 32), np.float32))]}, "validation truth"),
        ({"training": [(np.full((2, 32, 32), np.nan, np.float32),) * 2]}, "expected finite values"),
    ],
)
def test_bad_training_input(change, message):
    settings = {"training": [noisy_discs(0)], "validation": [noisy_discs(1)], "scale": 20.0} | change
    with pytest.raises(ValueError, match=message):
        networks.train_slicewise(
            networks.ced((32, 32, 1)), settings.pop("training"), settings.pop("validation"), **settings
        )


@needs_keras
def test_bad_input_to_a_network():
    network = networks.SliceNetwork(networks.ced((32, 32, 1)))
    with pytest.raises(ValueError, match="expected slices of 32 × 32, got 16 × 32"):
        network(np.ones((2, 16, 32), np.float32))
    with pytest.raises(ValueError, match=r"expected 1 \(the network's channels\), got 2"):
        network(np.ones((2, 32, 32), np.float32), np.ones((2, 32, 32), np.float32))
    with pytest.raises(TypeError, match="expected dtype float32"):
        network(np.ones((2, 32, 32)))


# ---- the backend -------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch):
    """Pretend that a set of modules is installed, and Keras not imported yet."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)

    def pretend(*names):
        monkeypatch.setattr(backend, "_is_installed", lambda name: name in names)

    return pretend


@pytest.mark.parametrize(
    ("names", "choice"),
    [
        (("keras", "torch", "jax", "tensorflow"), "tensorflow"),
        (("keras", "torch", "jax"), "jax"),
        (("keras", "torch"), "torch"),
    ],
)
def test_the_first_installed_backend_is_chosen(installed, names, choice):
    installed(*names)
    assert networks.choose_backend() == choice


def test_the_environment_is_respected(installed, monkeypatch):
    installed("keras", "tensorflow", "torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert networks.choose_backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ImportError, match="KERAS_BACKEND=jax: expected jax to be installed"):
        networks.choose_backend()
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ImportError, match="expected one of tensorflow, jax, torch, got 'theano'"):
        networks.choose_backend()


@pytest.mark.parametrize(("names", "word"), [((), "need Keras"), (("keras",), "need TensorFlow, JAX or PyTorch")])
def test_what_is_missing_is_said_with_the_command(installed, names, word):
    installed(*names)
    with pytest.raises(ImportError, match=word) as caught:
        networks.choose_backend()
    assert 'pip install "pettutor[cpu]"' in str(caught.value)


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_garbage_is_sought_again_after_an_import(monkeypatch, collects, fails):
    at_exit = []
    monkeypatch.setattr(backend.atexit, "register", at_exit.append)
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        with contextlib.suppress(ImportError), backend.no_search_for_garbage():
            assert not gc.isenabled()
            if fails:
                raise ImportError("broken")
        assert gc.isenabled() == collects and at_exit == ([] if fails else [gc.freeze])
    finally:
        (gc.enable if before else gc.disable)()


@needs_keras
def test_what_is_installed_is_looked_at_once(monkeypatch):
    """Layers load Keras for every batch; to search the installed packages takes a millisecond."""
    backend.load_keras()
    monkeypatch.setattr(backend, "tensorflow_builds", lambda: pytest.fail("looked again"))
    assert backend.load_keras() is sys.modules["keras"]


def test_two_builds_of_tensorflow_are_found(monkeypatch):
    here = {"tensorflow", "tensorflow-cpu"}

    def distribution(name):
        if name not in here:
            raise backend.metadata.PackageNotFoundError(name)
        return name

    monkeypatch.setattr(backend.metadata, "distribution", distribution)
    assert backend.tensorflow_builds() == ("tensorflow", "tensorflow-cpu")
    assert "pip uninstall -y tensorflow tensorflow-cpu" in backend._two_builds(backend.tensorflow_builds())
    here.remove("tensorflow")
    assert backend.tensorflow_builds() == ("tensorflow-cpu",)


def test_importing_the_room_loads_no_keras():
    code = (
        "import sys, pettutor.networks; print([m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    assert run_python(code) == "[]"


@pytest.mark.skipif(not backend._is_installed("tensorflow"), reason="TensorFlow is not installed")
def test_a_tensorflow_that_came_first_leaves_memory_to_the_projector():
    """Or says that it is too late."""
    code = """
import os, warnings
os.environ.pop("TF_FORCE_GPU_ALLOW_GROWTH", None)
import tensorflow as tf
grows = {"one": True, "two": False}
tf.config.list_physical_devices = lambda kind: ["one", "two"] if kind == "GPU" else []
tf.config.experimental.get_memory_growth = grows.get
tf.config.experimental.set_memory_growth = grows.__setitem__
import pettutor.networks as n
n.load_keras()
print(grows)
def too_late(gpu, value):
    raise RuntimeError("physical devices cannot be modified")
grows["two"], tf.config.experimental.set_memory_growth = False, too_late
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    n.load_keras()
    n.backend._let_memory_grow()
print([str(w.message).partition(";")[0] for w in caught if "memory" in str(w.message)])
"""
    grown, said = run_python(code, KERAS_BACKEND="tensorflow").split("\n")
    assert grown == "{'one': True, 'two': True}"
    assert said == """["TensorFlow has taken the GPU's memory already"]"""


@needs_keras
def test_the_backend_is_set_before_keras_is_imported():
    code = """
import os, sys, pettutor.networks as n
name = n.choose_backend()
assert "keras" not in sys.modules
keras = n.load_keras()
assert os.environ["KERAS_BACKEND"] == keras.backend.backend() == name == n.choose_backend()
assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
"""
    left_out = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pettutor: networks on Keras") == 1
    assert done.stdout.split() == ["1" if backend.has_avx2() else "None"]  # TensorFlow's convolutions by oneDNN
    assert done.stderr.count("\n") == 1, done.stderr  # no other words


@needs_keras
@pytest.mark.parametrize(("builds", "calls"), [(("tensorflow",), 1), (("tensorflow", "tensorflow-cpu"), 0)])
def test_nothing_is_kept_back_where_a_backend_may_end_the_process(builds, calls):
    code = f"""
import contextlib, warnings
from pettutor.networks import backend
asked = []
backend.tensorflow_builds, backend.has_avx2 = lambda: {builds!r}, lambda: True
backend._quiet_start = lambda: contextlib.nullcontext(asked.append(1))
warnings.simplefilter("ignore")
backend.load_keras()
backend.load_keras()
print(len(asked))
"""
    assert run_python(code) == str(calls)


def test_what_else_is_written_while_keras_starts_is_shown():
    code = """
import os, sys
from pettutor.networks import backend
try:
    with backend._quiet_start():
        os.write(2, b"I0000 port.cc:153] oneDNN custom operations are on. You may see\\na warning of the system\\n")
        print("another", file=sys.stderr, flush=True)
        raise KeyError
except KeyError:
    os.write(2, b"and then\\n")
sys.stderr = None  # as under pythonw
with backend._quiet_start():
    pass
os.close(2)
with backend._quiet_start():
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.splitlines() == ["a warning of the system", "another", "and then"]


@needs_keras
def test_what_the_user_has_set_for_a_backend_stays():
    code = "import os, pettutor.networks as n; n.load_keras(); print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert run_python(code, TF_ENABLE_ONEDNN_OPTS="0") == "0"
