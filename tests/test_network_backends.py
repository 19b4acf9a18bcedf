"""The network tests once more on the other Keras backends, each in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pettutor import networks

TESTS = (
    "test_network_layers.py",
    "test_unrolled.py::test_em_net_with_a_cnn_of_zero_is_mlem",
    "test_unrolled.py::test_mapem_net_with_a_given_cnn_is_the_alternating_direction_method",
    "test_unrolled.py::test_gradient_through_two_unrolls_against_finite_differences[em_net-one network]",
    "test_unrolled.py::test_gradient_through_two_unrolls_against_finite_differences[mapem_net-one network]",
    "test_unrolled.py::test_gradient_through_two_unrolls_against_finite_differences[fbsem_net-one network]",
    "test_unrolled.py::test_training_in_graph_mode_beats_the_untrained_network[em_net]",
    "test_unrolled.py::test_save_load_and_reconstruct",
    "test_network_identities.py::test_em_net_is_the_step_that_the_paper_writes",
    "test_network_identities.py::test_back_projection_to_slices",
    "test_network_identities.py::test_a_wrong_number_of_gradients_is_named",
    "test_network_identities.py::test_map_root_without_a_penalty_is_em_with_finite_gradients",
    "test_network_identities.py::test_map_em_step_without_a_penalty_is_the_em_step",
    "test_network_identities.py::test_map_em_step_is_where_the_slopes_cancel",
    "test_graph_memory.py",
    "test_diprecon.py::test_a_run_goes_on_from_its_file_to_the_same_numbers",
    "test_end_to_end_dip.py::test_average_mask_and_keyboard",
    "test_training.py::test_stored_networks_reach_their_figures[slab-em_net]",
    "test_slice_by_slice.py::test_independent_planes_of_equal_sensitivity_are_the_slices_one_by_one",
)
# what JAX would compile for long (not a Dense layer in float64: Keras's matmul on PyTorch gives float32)
ON_TORCH = (
    "test_training.py::test_an_unrolled_network_that_was_interrupted_ends_as_if_it_had_not_been",
    "test_unrolled.py::test_mr_channels_come_after_the_image_in_the_order_given",
    "test_unrolled.py::test_training_in_graph_mode_beats_the_untrained_network[mapem_net]",
    "test_unrolled.py::test_training_in_graph_mode_beats_the_untrained_network[fbsem_net]",
    "test_unrolled.py::test_fbsem_net_with_an_identity_is_map_em_towards_its_own_image",
    "test_end_to_end_dip.py::test_steps_are_adam_on_the_poisson_likelihood",
)
# starts a process whatever the backend is; JAX compiles in it for half a minute
LEFT_OUT = "test_a_training_step_runs_in_a_process_of_its_own"


def default_backend():
    try:
        return networks.choose_backend()
    except ImportError:
        return None


@pytest.mark.skipif(not os.environ.get("CI"), reason="on a user's machine any backend will do; CI has TensorFlow")
def test_the_default_is_tensorflow():
    assert default_backend() == os.environ.get("KERAS_BACKEND", "tensorflow")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_another_backend(backend):
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec(backend) is None:
        if os.environ.get("CI") and backend == "jax":
            pytest.fail("in CI the networks are tested on JAX too: expected it and Keras to be installed")
        pytest.skip(f"Keras or {backend} is not installed")
    if default_backend() == backend:
        pytest.skip(f"{backend} is the backend that the tests ran on already")
    here = Path(__file__).parent
    options = ["-n", "0", "-q", "-x", "-p", "no:cacheprovider", "-k", f"not {LEFT_OUT}"]
    command = [sys.executable, "-m", "pytest", *options, *TESTS, *(ON_TORCH if backend == "torch" else ())]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=500, cwd=here, env=os.environ | {"KERAS_BACKEND": backend}
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and " 1 deselected" in done.stdout
