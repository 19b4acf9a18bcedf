"""Which Keras backend runs: chosen before Keras is imported, said once, and never by accident."""

import atexit
import contextlib
import gc
import os
import sys
import tempfile
import warnings
from importlib import metadata, util

from pettutor.arrays import announce_once

# In this order, the first one that is installed.
BACKENDS = ("tensorflow", "jax", "torch")
# Builds of one and the same library: their files overwrite each other.
TENSORFLOW_BUILDS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly", "tf-nightly-cpu")
INSTALL = 'pip install "pettutor[cpu]"'

# Read by the backends when they start. Without the next two a backend takes all of a GPU's memory at once, and nothing
# is left for the projector.
_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
# TensorFlow lets oneDNN do its convolutions on the newest processors only. Those with AVX2 are several times as fast
# with it in 3-D as well, and need a third of the memory (docs/networks.md has the figures).
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_SAID_AT_START = ("oneDNN custom operations are on", "log messages before absl::InitializeLog() is called")


def tensorflow_builds():
    """Names of the installed distributions that are a TensorFlow: at most one in a healthy environment."""
    found = []
    for name in TENSORFLOW_BUILDS:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return tuple(found)


def choose_backend():
    """Name the backend that Keras will use, without importing it.

    ``KERAS_BACKEND`` where it is set, or the one of a Keras that is imported already; else the first of TensorFlow, JAX
    and PyTorch that is installed.

    Returns
    -------
    str
        ``"tensorflow"``, ``"jax"`` or ``"torch"``.

    Raises
    ------
    ImportError
        Keras, every backend, or the one asked for is missing; the message has the command that installs it.
    """
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "backend"):
        return sys.modules["keras"].backend.backend()
    if not _is_installed("keras"):
        raise ImportError(f"the networks need Keras, which is not installed here; this installs it: {INSTALL}")
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted:
        if wanted not in BACKENDS:
            raise ImportError(f"KERAS_BACKEND: expected one of {', '.join(BACKENDS)}, got {wanted!r}")
        if not _is_installed(wanted):
            raise ImportError(
                f"KERAS_BACKEND={wanted}: expected {wanted} to be installed, found none here; unset the variable, or "
                f"install it"
            )
        return wanted
    for name in BACKENDS:
        if _is_installed(name):
            return name
    raise ImportError(f"the networks need TensorFlow, JAX or PyTorch, found none here; this installs one: {INSTALL}")


def load_keras():
    """Import Keras on the backend that `choose_backend` names, and return it.

    Raises
    ------
    ImportError
        Nothing to run on, or a backend that is installed but does not start.
    """
    name = choose_backend()
    first = "keras" not in sys.modules
    # layers call this for every batch: what is installed is looked at before the first import only
    builds = tensorflow_builds() if first else ()
    if name == "tensorflow" and name not in sys.modules and len(builds) > 1:
        warnings.warn(_two_builds(builds), stacklevel=2)
    # a TensorFlow that is there already has not read what is set now; the second call finds it set
    too_late = name == "tensorflow" and name in sys.modules and "TF_FORCE_GPU_ALLOW_GROWTH" not in os.environ
    for variable, value in _SETTINGS.items():
        os.environ.setdefault(variable, value)
    with contextlib.ExitStack() as around:
        if first:
            os.environ["KERAS_BACKEND"] = name
            around.enter_context(no_search_for_garbage())
            if has_avx2():
                os.environ.setdefault(_ONEDNN, "1")
                # a TensorFlow that ends the process says why first: so not where the processor or the files are wrong
                if len(builds) < 2:
                    around.enter_context(_quiet_start())
        keras = _import_keras(name)
    if too_late:
        _let_memory_grow()
    announce_once(f"networks on Keras {keras.__version__}, backend {name}")
    return keras


def has_avx2():
    """Whether the processor has the vector steps that oneDNN wants (not where numba's llvmlite is missing, to ask)."""
    try:
        from llvmlite import binding
    except ImportError:
        return False
    return binding.get_host_cpu_features().get("avx2", False)


def _import_keras(name):
    try:
        import keras
    except Exception as error:  # a broken backend raises what it likes
        builds = tensorflow_builds() if name == "tensorflow" else ()
        hint = _two_builds(builds) if len(builds) > 1 else f"this installs it anew: {INSTALL} --force-reinstall"
        raise ImportError(f"Keras on {name} is installed but does not start ({error}); {hint}") from error
    return keras


@contextlib.contextmanager
def _quiet_start():
    """Keep back the lines in which TensorFlow says that it uses oneDNN; what else is written is written afterwards.

    They come from C++, before any level for messages is heard.
    """
    try:
        kept = os.dup(2) if sys.stderr else None
    except OSError:
        kept = None
    if kept is None:  # no stream for errors at all
        yield
        return
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not any(words in line for words in _SAID_AT_START)))


@contextlib.contextmanager
def no_search_for_garbage():
    """Import a large library: garbage is sought neither meanwhile nor when the process ends.

    A backend of Keras makes a million objects, all of which stay. To search them takes a quarter of the time of a
    process that does little else.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
    atexit.register(gc.freeze)


def _let_memory_grow():
    """What ``TF_FORCE_GPU_ALLOW_GROWTH`` does, for a TensorFlow that is imported already."""
    import tensorflow

    for gpu in tensorflow.config.list_physical_devices("GPU"):
        if tensorflow.config.experimental.get_memory_growth(gpu):
            continue
        try:
            tensorflow.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            warnings.warn(
                f"TensorFlow has taken the GPU's memory already; little may be left for the projector ({error}); set "
                f"TF_FORCE_GPU_ALLOW_GROWTH=true before Python starts, or call pettutor.networks.load_keras() first",
                stacklevel=3,
            )
            return


def describe_backend():
    """Return the versions that matter: ``{"keras": …, "tensorflow": …}`` (imports Keras)."""
    keras = load_keras()
    name = keras.backend.backend()
    builds = tensorflow_builds() if name == "tensorflow" else (name,)
    versions = {build: metadata.version(build) for build in builds if _is_installed(name)}
    return {"keras": keras.__version__, **versions}


def _two_builds(builds):
    return (
        f"expected one build of TensorFlow, found {' and '.join(builds)}, whose files overwrite each other; this mends "
        f"it: pip uninstall -y {' '.join(builds)}, then {INSTALL}"
    )


def _is_installed(name):
    try:
        return util.find_spec(name) is not None
    except (ImportError, ValueError):  # a half-loaded or blocked module
        return False
