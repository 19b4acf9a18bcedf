"""Seconds of a projection and of an MLEM iteration, and peak memory.

``python tests/benchmarks/projection.py mini mmr`` from the repository's root.

Prints one JSON object a size and a table; nothing here passes or fails.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time

import numpy as np

import pettutor as pt
from pettutor.arrays import find_cupy
from pettutor.threads import thread_count


def seconds(function, repeats, synchronise):
    """Median and spread (max - min) of wall seconds after one warm-up."""
    function(), synchronise()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function(), synchronise()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), max(times) - min(times)


def peak_memory():
    """Peak resident memory of this process, GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


def measure(size, device, repeats):
    """All numbers of one scanner size on one device."""
    scanner = pt.Scanner.preset(size)
    grid = scanner.image_grid()
    X = pt.Projector(scanner, grid, device=device)
    cupy = find_cupy() if X.device == "cuda" else None
    synchronise = cupy.cuda.Device().synchronize if cupy else lambda: None
    to_device = cupy.asarray if cupy else np.asarray
    image = to_device(np.random.default_rng(0).random(grid.shape, dtype=np.float32))
    sinogram = X(image)
    lors = int(np.prod(X.out_shape))
    rows = {"forward": seconds(lambda: X(image), repeats, synchronise)}
    rows["back"] = seconds(lambda: X.T(sinogram), repeats, synchronise)
    A = pt.AcquisitionModel(X, normalisation=sinogram * 0 + 1, psf_fwhm=4.5, background=1.0)
    y = sinogram + 1
    record = pt.Record()
    pt.mlem(y, A, iterations=repeats, record=record)
    rows["MLEM iteration with PSF"] = statistics.median(record.seconds), max(record.seconds) - min(record.seconds)
    return {
        "size": size,
        "device": cupy.cuda.runtime.getDeviceProperties(0)["name"].decode() if cupy else f"{thread_count()} threads",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "lors": lors,
        "peak_memory_gb": round(peak_memory(), 2),
        **{name: {"median_s": round(a, 4), "spread_s": round(b, 4)} for name, (a, b) in rows.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="+", choices=["slab", "mini", "mmr"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    results = [measure(size, options.device, options.repeats) for size in options.sizes]
    for result in results:
        print(json.dumps(result))
    print(f"\n{'size':6} {'what':26} {'seconds':>9} {'M LORs/s':>9}   ({results[0]['device']})")
    for result in results:
        for what in ("forward", "back", "MLEM iteration with PSF"):
            median = result[what]["median_s"]
            rate = f"{result['lors'] / median / 1e6:9.1f}" if what != "MLEM iteration with PSF" else ""
            print(f"{result['size']:6} {what:26} {median:9.3f} {rate}")
        print(f"{result['size']:6} {'peak memory, GB':26} {result['peak_memory_gb']:9.2f}")


if __name__ == "__main__":
    main()
