"""No sinogram in the graph of MAPEM-Net: traced in 3-D, and against the same network with sinograms in its graph."""

import numpy as np
import pytest
from registry import off_centre_grid, small_scanner
from test_network_layers import keras, ops

import pettutor as pt
from pettutor import networks
from pettutor.networks.physics import graph_memory


def one_convolution(shape):
    image = keras.Input(shape)
    return keras.Model(image, image + keras.layers.Conv3D(1, 3, padding="same", kernel_initializer="zeros")(image))


@pytest.fixture(scope="module")
def scan():
    X = pt.Projector(small_scanner(), off_centre_grid(), device="cpu")
    rng = np.random.default_rng(0)
    A = pt.AcquisitionModel(X, attenuation=rng.random(X.out_shape, dtype=np.float32), background=1.0)
    y = rng.poisson(A.expected(20 * rng.random(X.in_shape, dtype=np.float32))).astype(np.float32)
    return y, A


@pytest.fixture(scope="module")
def models(scan):
    return {k: graph_memory.build(k, *scan, unrolls=2, scale=3.0, cnn=one_convolution) for k in graph_memory.KINDS}


def test_both_kinds_compute_the_same(models, scan):
    inputs = {
        "image": np.random.default_rng(1).random((1, *scan[1].in_shape, 1), dtype=np.float32) + 0.5,
        "scan": np.zeros(1, np.int32),
    }
    images, sinograms = (ops.convert_to_numpy(models[kind](inputs)) for kind in graph_memory.KINDS)
    np.testing.assert_allclose(images, sinograms, rtol=2e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has no graph before it runs")
def test_no_sinogram_in_the_graph(models, scan):
    shape = scan[1].out_shape
    images, sinograms = (graph_memory.trace(models[kind], kind, shape) for kind in graph_memory.KINDS)
    assert images.sinogram_sized == 0 and images.sinogram_bytes == 0
    # per MAP-EM step at least ȳ, y/ȳ and, on the way back, their gradients
    assert sinograms.sinogram_sized >= 4 * 4
    assert sinograms.largest >= 4 * np.prod(shape) > 4 * np.prod(scan[1].in_shape)
    assert images.tensors > 50


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has no graph before it runs")
@pytest.mark.parametrize("builder", [networks.EMNet, networks.MAPEMNet, networks.FBSEMNet])
def test_no_sinogram_in_the_graph_of_the_networks_that_are_trained(builder, scan):
    """As they are built for training, κ and α learnt, and for a batch of two scans."""
    model = builder((*scan[1].in_shape, 1), cnn=one_convolution, unrolls=2, scans=networks.Scans([scan, scan]))
    found = graph_memory.trace(model, "images", scan[1].out_shape, batch=2)
    assert found.sinogram_sized == 0 and found.tensors > 50
    assert found.largest < 4 * 2 * np.prod(scan[1].out_shape)


def test_another_kind_is_refused(scan):
    with pytest.raises(ValueError, match="kind: expected one of images, sinograms, got 'both'"):
        graph_memory.build("both", *scan)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has no graph before it runs")
def test_side_by_side_on_any_scanner():
    """The table agrees with tracing by hand, and with the sinogram's size; more unrolls hold more sinograms."""
    one, two = (graph_memory.compare(small_scanner(), counts=1e4, filters=(2, 2), unrolls=u, run=False) for u in (1, 2))
    assert list(one.index) == list(graph_memory.KINDS) and "peak_mb" not in one
    assert one.loc["images", "sinogram_sized"] == two.loc["images", "sinogram_sized"] == 0
    found = [table.loc["sinograms"] for table in (one, two)]
    assert 8 <= found[0]["sinogram_sized"] < found[1]["sinogram_sized"]
    # 4 bytes a number, but for the masks of where ȳ > 0
    size = 4e-6 * np.prod(small_scanner().sinogram_shape)
    assert 0.5 * size < found[1]["sinogram_mb"] / found[1]["sinogram_sized"] <= size


def test_a_training_step_runs_in_a_process_of_its_own():
    cost = graph_memory.run_step("images", small_scanner(), counts=1e4, filters=(2, 2), unrolls=1, keep_bytes=0)
    assert cost.kind == "images" and 0 < cost.seconds < 60
    assert 1e6 < cost.peak_bytes < 4e9


def test_what_cannot_be_run_is_refused_before_a_process_starts():
    with pytest.raises(ValueError, match="kind: expected one of images, sinograms, got 'both'"):
        graph_memory.run_step("both")
    with pytest.raises(TypeError, match=r"scanner: expected the name of a preset or a pettutor\.Scanner, got 5"):
        graph_memory.run_step("images", 5)
