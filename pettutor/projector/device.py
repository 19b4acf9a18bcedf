"""Which device projects, said once."""

from pettutor.arrays import announce_once, find_cupy
from pettutor.threads import thread_count


def announce_device(device):
    """Say that projections run on ``device`` ("cpu" or "cuda"), the first time that it is so."""
    if device == "cuda":
        cupy = find_cupy()
        name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
        announce_once(f"projecting on the GPU ({name}, CuPy)")
    else:
        announce_once(f"projecting on the CPU (numba, {thread_count()} threads)")
