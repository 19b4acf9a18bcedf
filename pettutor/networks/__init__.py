"""Networks in Keras 3: each method a file, on TensorFlow, JAX or PyTorch alike.

Importing this room loads no Keras; the functions do when they are called.
"""

from pettutor.networks.backend import choose_backend, load_keras
from pettutor.networks.ced import ced
from pettutor.networks.training import SliceNetwork, TrainingRecord, train_slicewise

__all__ = ["SliceNetwork", "TrainingRecord", "ced", "choose_backend", "load_keras", "train_slicewise"]
