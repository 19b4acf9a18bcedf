"""Python in a process of its own: for what an import loads, and what the environment changes."""

import os
import subprocess
import sys


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
