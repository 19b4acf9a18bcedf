"""What the numbers were taken on: processor, memory, system, versions, GPU."""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from pettutor.arrays import find_cupy

LIBRARIES = ("numpy", "scipy", "numba", "llvmlite", "cupy-cuda12x", "cupy-cuda13x")


def describe_machine(device):
    """A dict for the report: plain values, and no name of the computer or its user."""
    import psutil

    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "cores_usable": affinity or os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": _gpu() if device == "cuda" else None,
    }


def processor_name():
    """What the processor calls itself."""
    name = ""
    if sys.platform.startswith("linux") and Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    elif sys.platform == "darwin":
        name = _said(["sysctl", "-n", "machdep.cpu.brand_string"])
    return name or platform.processor() or platform.machine()


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _said(command):
    """What a program prints first; empty where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else ""


def _gpu():
    runtime = find_cupy().cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "name": properties["name"].decode(),
        "memory_bytes": int(properties["totalGlobalMem"]),
        "driver": _said(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]) or None,
        "cuda": runtime.runtimeGetVersion(),
    }
