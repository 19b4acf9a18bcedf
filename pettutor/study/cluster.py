"""Workers: processes on this machine, one a core or one a GPU, or a Dask cluster elsewhere."""

import contextlib
import logging
import os
import signal
import sys

from pettutor.arrays import find_cupy, resolve_device
from pettutor.threads import thread_count

JOINING = 60  # seconds to wait for the first worker
ANSWER = 10  # seconds to wait for a scheduler


def gpu_names():
    """What ``CUDA_VISIBLE_DEVICES`` calls the GPUs that this process sees."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return [name.strip() for name in visible.split(",") if name.strip()]
    cupy = find_cupy()
    return [] if cupy is None else [str(i) for i in range(cupy.cuda.runtime.getDeviceCount())]


def worker_options(device, workers=None):
    """Settings of every local worker: a list of dicts with its environment and memory limit.

    Parameters
    ----------
    device : "cpu" or "cuda"
    workers : int, optional
        By default one a core, or one a GPU. More workers than GPUs share them in turn.
    """
    from distributed.system import MEMORY_LIMIT

    cores = thread_count()
    gpus = gpu_names() if device == "cuda" else []
    workers = workers or len(gpus) or cores
    threads = str(max(1, cores // workers))
    options = []
    for number in range(workers):
        environment = {"PETTUTOR_THREADS": threads, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        options.append({"env": environment, "memory_limit": int(0.9 * MEMORY_LIMIT / workers)})
    return options


@contextlib.contextmanager
def local_client(device="auto", workers=None, dashboard=False):
    """A Dask client with a cluster of its own on this machine; closed at the end."""
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    common = {"nthreads": 1, "silence_logs": logging.CRITICAL, "dashboard": False, "host": "127.0.0.1"}
    specs = {
        number: {"cls": Nanny, "options": common | options}
        for number, options in enumerate(worker_options(resolve_device(device), workers))
    }
    page = {"dashboard": dashboard, "dashboard_address": f"127.0.0.1:{8787 if dashboard else 0}"}
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, **page}}
    settings = {
        "distributed.scheduler.allowed-failures": 0,  # the runner counts them itself
        # at its limit a worker is stopped ("terminate"); one that waits for memory to become free would wait for ever
        "distributed.worker.memory.pause": False,
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": "60s",  # many workers starting on few cores
        "distributed.admin.log-format": "%(message)s",
    }
    with (
        dask.config.set(settings),
        _quiet(),
        _without_main(),
        SpecCluster(workers=specs, scheduler=scheduler, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(_heedless())
        yield client


def _heedless():
    """A plugin that lets workers ignore Ctrl-C, which a terminal sends to them too: this process tells them to end."""
    from distributed import WorkerPlugin

    class Heedless(WorkerPlugin):
        name = "pettutor-heedless"

        def setup(self, worker):
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Heedless()


@contextlib.contextmanager
def remote_client(address):
    """A Dask client of a scheduler that is already there.

    Raises
    ------
    ConnectionError
        Nothing answers at the address, or no worker joins.
    RuntimeError
        Workers with another version of pettutor.
    """
    from distributed import Client

    from pettutor import __version__

    try:
        client = Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConnectionError(f"scheduler: expected a Dask scheduler at {address!r}, got: {error}") from None
    with client, client.as_current():
        try:
            client.wait_for_workers(1, timeout=JOINING)
        except TimeoutError:
            raise ConnectionError(f"scheduler: expected workers at {address!r}, none joined in {JOINING} s") from None
        others = {v for v in client.run(_version).values() if v != __version__}
        if others:
            raise RuntimeError(
                f"scheduler: expected workers with pettutor {__version__}, got {', '.join(sorted(others))}"
            )
        yield client


def _version():
    from pettutor import __version__

    return __version__


@contextlib.contextmanager
def _quiet():
    """Dask's log on workers that come and go: the study tells what matters of it."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.nanny", "distributed.scheduler")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _without_main():
    """Let new processes not import the program's main file.

    Python's ``spawn`` does so to find functions that are defined there. The workers need none of them, and a script
    without ``if __name__ == "__main__":`` would run itself again in each of them.
    """
    main = sys.modules["__main__"]
    before = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    if "__file__" in before:
        del main.__file__
    main.__spec__ = None
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(main, name, value)
