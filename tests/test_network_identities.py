"""What the equations of the networks promise: EM-Net as its paper writes it, ρ = 0, projections counted, no files.

And the command that trains a network with the physics inside, and its stored figures at counts it was not trained at.
"""

import contextlib
import inspect
import json
import os
import sys

import numpy as np
import pytest
from registry import MatrixOperator
from test_diprecon import small_run
from test_network_layers import (
    SHAPE,
    Counting,
    dense_scans,
    double_precision,  # noqa: F401
    em_reference,
    images,
    keras,
    matrix,
    ops,
    tensor,
    value_and_gradients,
)
from test_unrolled import convolution, float64

from pettutor import networks
from pettutor.networks.diprecon import DIPRecon
from pettutor.networks.fitting.admm import ConstrainedReconstruction
from pettutor.networks.physics.bridge import differentiable

# ---- EM-Net, section 4 -------------------------------------------------------------------------------------------


def test_em_net_is_the_step_that_the_paper_writes():
    """x⁺ = { x - α (x/s) [ Aᵀ(1 - y/(A x + r)) + f ] }₊ three times; here f is a share of the mean sensitivity."""
    scans, data, r = dense_scans()
    offset = np.full((*SHAPE, 1), -0.125)
    offset.flat[4] = -0.75  # no line sees this voxel; with f alone it would stay above 0, where {…}₊ does not hide it

    def rising(shape):
        image = keras.Input(shape, dtype="float64")
        return keras.Model(image, keras.layers.Rescaling(0.25, offset, dtype="float64")(image))

    numbers, start = [2, 0], 3 * images(2)
    with float64():
        model = networks.EMNet((*SHAPE, 1), cnn=rising, unrolls=3, scans=scans, scale=2.5)
        model.get_layer("step").raw_alpha.assign(np.log(np.expm1(1.7)))
        out = ops.convert_to_numpy(model({"image": tensor(start), "scan": tensor(np.array(numbers, np.int32))}))
    cut = left = 0
    for k, number in enumerate(numbers):
        M, y = data[number]
        s, x = M.sum(0), 2.5 * start[k].ravel()  # activity
        inside = s > 0
        mean = s[inside].mean()
        assert s[inside].min() > 0.4 * mean  # so that the limit of the step does not come in
        for _ in range(3):
            f = mean * (0.25 * x / 2.5 + offset.ravel())
            gradient = M.T @ (1 - y / (M @ x + r)) + f
            x = np.where(inside, x - 1.7 * x / np.where(inside, s, 1) * gradient, 0)
            cut += (x < 0).sum()
            x = np.maximum(x, 0)
        np.testing.assert_allclose(2.5 * out[k].ravel(), x, rtol=1e-6, atol=1e-9)  # PyTorch: s to float32
        left += (x > 0.1).sum()
    assert cut > 10 and left > 30  # {…}₊ had something to do, and the image is no ruin


# ---- back projection to slices -----------------------------------------------------------------------------------


def test_back_projection_to_slices(tmp_path):
    M = np.random.default_rng(3).random((24, 35))
    A = MatrixOperator(M, (1, 5, 7), (2, 3, 4))
    y, g = np.random.default_rng(4).random((2, 3, 24))
    g = np.concatenate([g, g], axis=1)[:, :35]
    back = networks.BackProjection(A, slices=True, dtype="float64")
    out = ops.convert_to_numpy(back(tensor(y.reshape(3, 2, 3, 4))))
    np.testing.assert_allclose(out, (y @ M).reshape(3, 5, 7, 1), rtol=1e-12)
    weights = tensor(g.reshape(3, 5, 7, 1))
    _, (gradient,) = value_and_gradients(lambda y: ops.sum(weights * back(y)), y.reshape(3, 2, 3, 4))
    np.testing.assert_allclose(gradient.reshape(3, 24), g @ M.T, rtol=1e-12)
    # a file: what comes after the layer knows, also while there is no operator, that slices come out
    sinogram = keras.Input((2, 3, 4), dtype="float64")
    hidden = networks.BackProjection(A, slices=True, dtype="float64")(sinogram)
    assert tuple(hidden.shape) == (None, 5, 7, 1)
    doubled = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(2.0), dtype="float64")(hidden)
    keras.Model(sinogram, doubled).save(tmp_path / "model.keras")
    loaded = networks.load(tmp_path / "model.keras")
    assert loaded.layers[1].get_config()["slices"] is True and loaded.layers[1].operator is None
    networks.attach(loaded, operator=A)
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(tensor(y.reshape(3, 2, 3, 4)))), 2 * out, rtol=1e-12)
    assert networks.BackProjection.from_config(networks.BackProjection(A).get_config()).slices is False


def test_back_projection_refuses_what_does_not_fit():
    volumes = networks.BackProjection(MatrixOperator(matrix(), SHAPE, (2, 3, 4)), slices=True, dtype="float64")
    with pytest.raises(ValueError, match=r"slices=True: expected images of one slice, got \(2, 3, 5\)"):
        volumes(tensor(np.ones((1, 2, 3, 4))))
    slices = networks.BackProjection(MatrixOperator(matrix(), (1, 6, 5), (2, 3, 4)), slices=True, dtype="float64")
    with pytest.raises(Exception, match=r"sinograms: expected shape \(2, 2, 3, 4\), got .*\(2, 2, 4, 3\)"):
        slices(tensor(np.ones((2, 2, 4, 3))))


# ---- the MAP-EM step, sections 0 and 9 ---------------------------------------------------------------------------


def test_map_root_without_a_penalty_is_em_with_finite_gradients():
    rng = np.random.default_rng(5)
    s, x_em, z, g = rng.random((4, 3, 7)) * np.array([9.0, 5, 8, 2])[:, None, None]
    z -= 3.0  # a reference may be negative
    s[0, :3], x_em[:2, 2:4] = 0, 0
    g_s = np.where(s > 0, g, 0)

    def loss(x_em, z, rho):
        return ops.sum(tensor(g) * networks.map_root(x_em, tensor(s), z, rho))

    value, found = value_and_gradients(loss, x_em, z, np.zeros((3, 7)))
    assert value == pytest.approx((g_s * x_em).sum(), rel=1e-12)
    np.testing.assert_allclose(found[0], g_s, rtol=1e-12)
    assert not found[1].any()
    # the root is x_EM + ρ x_EM (z - x_EM)/s + O(ρ²)
    np.testing.assert_allclose(found[2], g_s * x_em * (z - x_em) / np.where(s > 0, s, 1), rtol=1e-12)


def test_map_em_step_without_a_penalty_is_the_em_step():
    scans, data, r = dense_scans(background=0.0)
    x, z, numbers = images(2), 2 * images(2, 1) - 0.5, np.array([2, 0], np.int32)
    x[0, 1, :, 2] = 0
    layer = networks.MAPEMStep(scans, scale=2.5, learn_kappa=True, dtype="float64")
    for strength in (np.zeros(()), np.zeros((2, *SHAPE, 1)), None):
        if strength is None:
            layer.raw_kappa.assign(-1000.0)  # of which the softplus is 0
        out = ops.convert_to_numpy(layer(tensor(x), tensor(z), numbers, strength=strength))
        for k, number in enumerate(numbers):
            expected = em_reference(2.5 * x[k].ravel(), *data[number], r) / 2.5
            np.testing.assert_allclose(out[k].ravel(), expected, rtol=1e-12)
    _, found = value_and_gradients(
        lambda x, z, k: ops.sum(layer(x, z, numbers, strength=k, training=True) ** 2), x, z, np.zeros(())
    )
    assert all(np.isfinite(gradient).all() for gradient in found) and found[0].any() and found[2] != 0


@pytest.mark.parametrize("kappa", [0.003, 0.7, 40.0])
def test_map_em_step_is_where_the_slopes_cancel(kappa):
    """s x_EM/x - s - ρ (x - z̃) = 0 (section 9.4), in activity, ρ = κ mean(s)/scale; an own κ for the second image."""
    scans, data, r = dense_scans()
    layer = networks.MAPEMStep(scans, scale=2.5, kappa=kappa, dtype="float64")
    x, z, numbers = images(2), 2 * images(2, 1) - 0.5, [1, 2]
    own = np.array([kappa, 1.7 * kappa])
    for strength, kappas in ((None, (kappa, kappa)), (tensor(own.reshape(2, 1, 1, 1, 1)), own)):
        out = ops.convert_to_numpy(layer(tensor(x), tensor(z), np.array(numbers, np.int32), strength=strength))
        for k, number in enumerate(numbers):
            M, y = data[number]
            s, found = M.sum(0), 2.5 * out[k].ravel()
            rho = kappas[k] * s[s > 0].mean() / 2.5
            inside = s > 0
            assert (found[inside] > 0).all() and not found[~inside].any()
            x_em = em_reference(2.5 * x[k].ravel(), M, y, r)
            data_slope = (s * x_em)[inside] / found[inside] - s[inside]
            np.testing.assert_allclose(data_slope, rho * (found - 2.5 * z[k].ravel())[inside], rtol=1e-8, atol=1e-8)


# ---- MAPEM-Net, section 5 ----------------------------------------------------------------------------------------


def counted_network(dtype, keep_bytes):
    A = Counting(matrix(dtype), SHAPE, (2, 3, 4))
    y = np.random.default_rng(2).poisson(9.0, (2, 3, 4)).astype(dtype)
    scans = networks.Scans([(y, A)], keep_bytes=keep_bytes)
    model = networks.MAPEMNet((*SHAPE, 1), cnn=lambda shape: convolution(shape, residual=True), scans=scans)
    A.forward = A.backward = 0
    return model, y, A


def test_a_reconstruction_by_mapem_net_is_16_projections_each_way():
    model, y, A = counted_network(np.float32, 0)
    networks.reconstruct(model, y, A, images(1, dtype=np.float32)[0, ..., 0])
    assert (A.forward, A.backward) == (16, 16 + 1)  # and the sensitivity of a scan that it has not met


@pytest.mark.parametrize(("keep_bytes", "anew"), [(1 << 20, 0), (0, 16)], ids=["kept counts", "nothing kept"])
def test_the_way_back_through_mapem_net_is_16_more_each_way(keep_bytes, anew):
    """And 16 forward projections where the expected counts are computed anew."""
    with float64():
        model, _, A = counted_network(np.float64, keep_bytes)
        numbers = tensor(np.zeros(1, np.int32))
        _, (gradient,) = value_and_gradients(
            lambda x: ops.sum(model({"image": x, "scan": numbers}, training=True) ** 2), images(1)
        )
    assert gradient.any()
    assert (A.forward, A.backward) == (16 + 16 + anew, 16 + 16)


# ---- DIPRecon, section 3 -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def written_files():
    """The names of files that Python opens for writing in the block, by whatever way."""
    names, watched = [], [True]

    def hook(event, args):
        if watched and event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR):
            names.append(args[0])

    sys.addaudithook(hook)  # it stays; after the block it does nothing
    try:
        yield names
    finally:
        watched.clear()


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_diprecon_writes_no_file(optimiser, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("DIPRecon writes a file")

    y, A, mr, settings = small_run(optimiser=optimiser, fit_iterations=2)
    run = DIPRecon(y, A, mr, **settings)
    run.run(1)  # what is imported and compiled on the way is written once
    with monkeypatch.context() as patched, written_files() as names:
        patched.chdir(tmp_path)
        for writer in ("numpy.save", "numpy.savez", "numpy.savez_compressed", "h5py.File", "tempfile.mkstemp"):
            patched.setattr(writer, refuse)
        run.run(2)
    assert names == [] and not list(tmp_path.iterdir()) and run.record.iterations == 3
    with written_files() as names:  # where one is asked for, it is seen
        run.run(1, checkpoint=tmp_path / "run.npz")
    assert len(names) >= 1 and (tmp_path / "run.npz").exists()


# ---- the bridge --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [1, 3])
def test_a_wrong_number_of_gradients_is_named(given):
    product = differentiable(lambda a, b: a * b, lambda a, b, g: (g * b, g * a, g)[:given], lambda a, b: a)
    with pytest.raises(Exception, match=f"vjp: expected 2 gradients, one for each argument, got {given}"):
        value_and_gradients(lambda a, b: ops.sum(product(a, b)), np.ones(3), np.arange(3.0))


# ---- the settings of the papers ----------------------------------------------------------------------------------


def test_the_papers_settings_are_the_defaults():
    def defaults(function, *names):
        parameters = inspect.signature(function).parameters
        return tuple(parameters[name].default for name in names)

    halves = "iterations", "image_updates", "fit_iterations", "start_iterations", "start_fit", "optimiser"
    assert defaults(networks.diprecon, *halves) == (100, 2, 10, 60, 300, "lbfgs")
    assert defaults(ConstrainedReconstruction, *halves[1:-1]) == (2, 10, 60, 300)
    assert defaults(DIPRecon, "optimiser") == ("lbfgs",)
    assert defaults(networks.MAPEMNet, "unrolls", "steps") == (8, 2)
    bcd_net = networks.BCDNet()
    assert (bcd_net.dimensions, bcd_net.filters, bcd_net.size, bcd_net.layers) == (3, 78, 3, 30)


# ---- the command, and what is stored -----------------------------------------------------------------------------


def test_the_command_trains_a_network_with_the_physics_inside(tmp_path):
    from test_training import check_figures
    from typer.testing import CliRunner

    from pettutor import cli
    from pettutor.networks.training.stored_weights import pretrained, record_path, weights_path

    command = ["train", "mapemnet", "--smoke", "--size", "slab", "--workers", "0", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    assert "trained: 2 updates" in done.output and "mni:0, never trained on" in done.output
    record = json.loads(record_path("mapem_net", "slab", tmp_path).read_text(encoding="utf-8"))
    assert record["recipe"]["options"]["unrolls"] == 2 and np.isfinite(record["history"]["loss"]).all()
    assert weights_path("mapem_net", "slab", tmp_path).stat().st_size < 1_000_000
    network = pretrained("mapem_net", folder=tmp_path)  # its weights are those that were measured
    assert check_figures(network, None) == 1
    before = network.recipe.build()
    assert len(network.model.weights) == len(before.weights) > 10
    moved = [np.any(a != b) for a, b in zip(network.model.get_weights(), before.get_weights(), strict=True)]
    assert any(moved)


def test_a_stored_network_reaches_its_figures_at_three_times_the_counts():
    from pettutor.networks.training.simulated_scans import simulate_scans
    from pettutor.networks.training.stored_weights import pretrained
    from pettutor.networks.training.trained_network import figures_of

    network = pretrained("em_net", "slab")
    row = next(row for row in network.record["test"]["rows"] if row["dose"] == 3)
    (scan,) = simulate_scans(
        [row["subject"]], network.recipe.test_scans(), heights=(row["height"],), doses=(3.0,), realisations=1, workers=0
    )
    assert scan.key == row["key"]
    found = figures_of(network.of_scan(scan), scan)
    assert found == pytest.approx(row["network"], rel=1e-3)  # by rounding they differ in the sixth digit
