"""Python in a process of its own: for what an import loads, and what the environment changes."""

import os
import subprocess
import sys

# JAX compiles every operation, for the few calls that a test makes: with less care it is done sooner
QUICK_COMPILATION = "--xla_backend_optimization_level=0"


def run_python(code, status=0, timeout=120, **environment):
    """What the code prints; it is expected to end with ``status``."""
    if environment.get("KERAS_BACKEND") == "jax":
        environment = {"XLA_FLAGS": QUICK_COMPILATION} | environment
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=os.environ | environment
    )
    assert done.returncode == status, done.stderr
    return done.stdout.strip()
