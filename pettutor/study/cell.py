"""One cell, computed: scan, reconstruct, filter, measure."""

import contextlib
import io
import os
import platform
import socket
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np

from pettutor import __version__
from pettutor.memory import peak_memory


@dataclass
class Result:
    """What a cell gives.

    rows : list of dict, one an image: iteration, fwhm and the measures; empty where the cell failed
    background : float32 (image, voxel), the white matter of every image
    images : float32 (image, z, y, x), those that are kept, or None
    kept : indices of the rows whose images are kept
    account : seconds, memory, worker, versions ... and ``error`` and ``traceback`` (None where all went well)
    """

    rows: list = field(default_factory=list)
    background: np.ndarray | None = None
    images: np.ndarray | None = None
    kept: list = field(default_factory=list)
    account: dict = field(default_factory=dict)

    @property
    def error(self):
        return self.account.get("error")


def run_cell(task):
    """Compute a cell; an error becomes part of the result.

    KeyboardInterrupt is raised: half a reconstruction is no result.
    """
    begin = time.perf_counter()
    result = Result()
    error = trace = None
    try:
        # sums of BLAS depend on its threads: one gives the same numbers everywhere
        with _one_blas_thread():
            _compute(task, result)
    except (Exception, SystemExit) as problem:
        result.rows, result.background, result.images, result.kept = [], None, None, []
        error, trace = describe(problem), traceback.format_exc()
    result.account |= account(time.perf_counter() - begin) | {"error": error, "traceback": trace}
    return result


def describe(problem):
    """An exception as text: it may hold what cannot be sent to another process, or not even be told."""
    try:
        return f"{type(problem).__name__}: {problem}"
    except Exception:
        return f"{type(problem).__name__}: (an error without a text)"


def _compute(task, result):
    from pettutor.acquisition import gaussian_filter
    from pettutor.arrays import to_numpy
    from pettutor.reconstruction import Record
    from pettutor.study.columns import measure
    from pettutor.study.methods import ALGORITHMS
    from pettutor.study.plan import LATER, seed_from
    from pettutor.study.scenario import scenario_of

    begin = time.perf_counter()
    scenario = scenario_of(task["scenario"])
    counts = scenario.counts(task["realisation"])
    result.account["setup_seconds"] = time.perf_counter() - begin
    result.account["device"] = scenario.device
    last, keep = task["iterations"][-1], task["images"]
    background, images = [], []

    def look(iteration, image):
        if iteration not in task["iterations"]:
            return
        for fwhm in task["fwhm"]:
            filtered = gaussian_filter(image, fwhm, scenario.grid) if fwhm else image
            values, voxels = measure(filtered, counts, scenario)
            if keep == "all" or (keep == "last" and iteration == last):
                result.kept.append(len(result.rows))
                images.append(to_numpy(filtered))
            result.rows.append({"iteration": iteration, "fwhm": fwhm} | values)
            background.append(voxels)

    record = Record()
    seed = seed_from(task["scenario"]["seed"], "order", task["realisation"])
    run = ALGORITHMS[task["algorithm"]].run
    with contextlib.redirect_stdout(io.StringIO()) as said:  # algorithms turn Ctrl-C into a line and half a result
        run(SimpleNamespace(**(LATER | task["settings"])), scenario, counts, scenario.A, seed,
            iterations=last, record=record, callback=look)  # fmt: skip
    if "stopped" in said.getvalue() or record.iterations < last:
        raise KeyboardInterrupt
    result.account["reconstruction_seconds"] = float(sum(record.seconds))
    result.background = np.stack(background)
    result.images = np.stack(images) if images else None


def _one_blas_thread():
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1)


def account(seconds):
    """Where and when a cell was computed."""
    return {
        "seconds": seconds,
        "process_peak_memory_mb": peak_memory() / 1e6,
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def versions():
    """Of what the numbers depend on."""
    import numba
    import scipy

    return {
        "pettutor": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
    }
