"""Trials of things that are heavy or may break, each in a process of its own."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from pettutor.doctor.mending import installed

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}

_NUMBA = """
import json, numba, numpy as np
@numba.njit
def total(x):
    s = 0.0
    for v in x: s += v
    return s
assert total(np.arange(4.0)) == 6.0
print(json.dumps({"version": numba.__version__, "threads": numba.get_num_threads()}))
"""
_BACKEND = {
    "tensorflow": "import tensorflow as b; devices = [d.device_type for d in b.config.list_physical_devices()]",
    "jax": "import jax as b; devices = [d.platform.upper() for d in b.devices()]",
    "torch": "import torch as b; devices = ['CPU'] + ['GPU'] * b.cuda.device_count()",
}
_KERAS = """
import atexit, gc, json, numpy as np
gc.disable(); atexit.register(gc.freeze)  # a million objects, none of them garbage
{backend}
found = {{"version": b.__version__, "devices": devices}}
try:
    import keras
    keras.layers.Conv2D(2, 3)(np.zeros((1, 8, 8, 1), "float32"))
    found["keras"] = keras.__version__
except ImportError as error:
    found["keras_error"] = str(error)
print(json.dumps(found))
"""
_CUPY = """
import json, cupy
properties = cupy.cuda.runtime.getDeviceProperties(0)
twice = cupy.RawKernel('extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }', "twice")
x = cupy.ones(4, cupy.float32); twice((1,), (4,), (x,)); assert float(x.sum()) == 8
print(json.dumps({"version": cupy.__version__, "name": properties["name"].decode(),
                  "memory": properties["totalGlobalMem"] / 2**30}))
"""


def run_trials(time_limit):
    """What each trial found, by name; things that are not installed are left out.

    Every finding is a dictionary: what the trial printed, or ``{"error": why}``, or ``{"slow": how long}``.
    """
    trials = {"numba": _NUMBA}
    trials |= {name: _KERAS.format(backend=_BACKEND[name]) for name in BACKENDS if installed(name)}
    if installed("cupy"):
        trials["cupy"] = _CUPY
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:  # more only wait for each other
        found = pool.map(lambda name: _try(name, trials[name], time_limit), trials)
        return dict(zip(trials, found, strict=True))


def _try(name, code, time_limit):
    """Run `code` in a fresh interpreter: the dictionary it prints, or {"error": why not}."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    if name in BACKENDS:
        environment["KERAS_BACKEND"] = name
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=time_limit, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"slow": f"no answer within {time_limit:g} s"}
    except OSError as error:
        return {"error": str(error)}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"ended with code {done.returncode}"}
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": "gave no readable answer"}
