"""pettutor: PET image reconstruction with deep learning, taught by doing it.

``import pettutor as pt`` is light on purpose: every public name is loaded when it is first used, so that
CuPy, Keras, TensorFlow, matplotlib and numba cost nothing until they are needed.
"""

from importlib import import_module

__version__ = "0.1.0"

# public name -> module that defines it; ``None`` means the name is a subpackage of its own.
_PUBLIC = {
    "ImageGrid": "geometry",
    "Scanner": "geometry",
    "TimeOfFlight": "geometry",
    "load_subject": "phantoms",
    "Lesion": "phantoms",
    "phantoms": None,
    "Projector": "projector",
    "ListmodeProjector": "projector",
    "CrystalFaces": "projector",
    "lines_of_bins": "projector",
    "StoredMatrix": "projector",
    "adjoint_mismatch": "operators",
    "AcquisitionModel": "acquisition",
    "simulate": "simulation",
    "Simulation": "simulation",
    "smooth_randoms": "randoms",
    "fan_sums": "randoms",
    "mlem": "reconstruction",
    "osem": "reconstruction",
    "map_em": "reconstruction",
    "bsrem": "reconstruction",
    "kernel_em": "reconstruction",
    "mr_kernel": "reconstruction",
    "KernelMatrix": "reconstruction",
    "dictionary_map": "reconstruction",
    "learn_dictionary": "reconstruction",
    "Dictionary": "reconstruction",
    "best_gaussian": "reconstruction",
    "gaussian_at_noise": "reconstruction",
    "priors": "reconstruction",
    "Record": "reconstruction",
    "log_likelihood": "reconstruction",
    "gaussian_filter": "acquisition",
    "measures": None,
    "networks": None,
    "Study": "study",
    "volshow": "view",
    "explore_lines": "view",
    "io": None,
    "course": None,
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pettutor' has no attribute {name!r}; it has {', '.join(__all__)}")
    room = _PUBLIC[name]
    value = import_module(f"pettutor.{room or name}")
    if room is not None:
        value = getattr(value, name)
    globals()[name] = value  # looked up once
    return value


def __dir__():
    return sorted(__all__)
