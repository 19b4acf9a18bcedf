"""Networks in Keras 3: each method a file, on TensorFlow, JAX or PyTorch alike.

- methods: `ced`, `unet`, `low_count_mr` (post-processing), `EMNet`, `MAPEMNet`, `FBSEMNet`, `BCDNet` (trained, with
  physics), `diprecon`, `end_to_end_dip`, `cnn_penalty`, `network_input` (fitted to one scan)
- ``physics/``: projector and reconstruction steps as Keras layers, and the bridge that they cross
- ``fitting/``: fitting a network to one image, on any backend
- ``training/``: simulated scans, training, stored weights
- ``parts/``: what the builders share

Importing this room loads no Keras; the functions do when they are called, and the layers when they are named.
"""

import importlib

# At once: those whose module has the same name, which would hide them otherwise.
from pettutor.networks.backend import choose_backend, load_keras
from pettutor.networks.ced import ced
from pettutor.networks.cnn_penalty import cnn_penalty
from pettutor.networks.diprecon import DIPRecon, diprecon
from pettutor.networks.end_to_end_dip import end_to_end_dip
from pettutor.networks.low_count_mr import low_count_mr
from pettutor.networks.network_input import NetworkInput, network_input
from pettutor.networks.unet import dip_unet, unet

# Where the others live; they are loaded when they are first named.
_ELSEWHERE = {
    "BCDNet": "bcd_net",
    "BackProjection": "physics.layers",
    "ConstrainedRecord": "fitting.admm",
    "ConvolutionalCoding": "parts.convolutional_coding",
    "EMNet": "em_net",
    "EMStep": "physics.layers",
    "FBSEMNet": "fbsem_net",
    "ForwardProjection": "physics.layers",
    "GradientStep": "physics.layers",
    "LinearUpsampling": "parts.resampling",
    "MAPEMNet": "mapem_net",
    "MAPEMStep": "physics.layers",
    "Recipe": "training.recipes",
    "ScanSettings": "training.simulated_scans",
    "Scans": "physics.scans",
    "SliceNetwork": "training.slicewise",
    "SubjectSplit": "training.data",
    "T1_MAXIMUM": "training.scan_making",
    "TrainedNetwork": "training.trained_network",
    "TrainingHistory": "training.train",
    "TrainingRecord": "training.slicewise",
    "WindowedVariance": "fitting.early_stopping",
    "as_text": "training.trained_network",
    "as_volumes": "parts.slice_by_slice",
    "attach": "physics.layers",
    "bowsher_map": "training.bowsher",
    "figures_of": "training.trained_network",
    "in_box": "parts.box",
    "load": "physics.unrolled",
    "map_root": "physics.layers",
    "parameters_like": "parts.parameter_matching",
    "pretrained": "training.stored_weights",
    "recipe": "training.recipes",
    "reconstruct": "physics.unrolled",
    "scale_of": "physics.unrolled",
    "simulate_scans": "training.simulated_scans",
    "slice_by_slice": "parts.slice_by_slice",
    "split_subjects": "training.data",
    "stored_bowsher": "training.bowsher",
    "stored_networks": "training.stored_weights",
    "train": "training.train",
    "train_slicewise": "training.slicewise",
    "use_all_devices": "training.options",
    "use_one_device": "training.options",
}

__all__ = [
    "DIPRecon",
    "NetworkInput",
    "ced",
    "choose_backend",
    "cnn_penalty",
    "dip_unet",
    "diprecon",
    "end_to_end_dip",
    "load_keras",
    "low_count_mr",
    "network_input",
    "unet",
    *_ELSEWHERE,
]


def __getattr__(name):
    if name in _ELSEWHERE:
        value = getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
