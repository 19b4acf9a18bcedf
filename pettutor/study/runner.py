"""Run cells and keep their results: in this process, or on the workers of a Dask cluster."""

import contextlib
import time
from collections import deque
from dataclasses import dataclass, field

from tqdm.auto import tqdm

from pettutor.study.cell import Result, account, describe, run_cell
from pettutor.study.cluster import JOINING, local_client, remote_client
from pettutor.study.deaths import Deaths


@dataclass
class Summary:
    """How a run ended.

    cells : of the study
    computed : in this run
    earlier : done before it
    failed : list of (cell, error)
    waiting : neither done nor failed: a run that was stopped goes on from there
    seconds : wall time
    stopped : whether the keyboard stopped it
    """

    cells: int
    computed: int = 0
    earlier: int = 0
    failed: list = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def waiting(self):
        return self.cells - self.computed - self.earlier - len(self.failed)

    def __str__(self):
        parts = [f"{self.computed} of {self.cells} cells computed in {self.seconds:.1f} s"]
        parts += [f"{self.earlier} were done before"] if self.earlier else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"stopped with {self.waiting} to go: run it again to go on"] if self.stopped else []
        return ", ".join(parts)

    __repr__ = __str__


def run_cells(cells, store, *, workers=None, scheduler=None, device="auto", dashboard=False, progress=True):
    """Compute the cells that are not done and write each to the store as it comes.

    Parameters
    ----------
    cells : list of Cell
    store : Store
        Its folder's lock is held by the caller.
    workers : int, optional
        Processes on this machine; 0: in this process, without Dask. Default: one a core, or one a GPU.
    scheduler : str, optional
        Address of a Dask scheduler instead ("tcp://..."). Only this process writes; no shared disk is needed.
    device : "auto", "cpu" or "cuda"
        What the study asks for; decides how many local workers there are.
    dashboard : bool
        Serve Dask's own page at http://localhost:8787 (needs bokeh).
    progress : bool

    Returns
    -------
    Summary
    """
    begin = time.perf_counter()
    unique = {cell.key: cell for cell in cells}
    todo = [cell for key, cell in unique.items() if store.read(key) is None]
    summary = Summary(len(unique), earlier=len(unique) - len(todo))
    bar = tqdm(
        total=len(unique), initial=summary.earlier, desc="cells", unit="cell", disable=not progress, smoothing=0.05
    )

    def keep(cell, result):
        store.write(cell, result)
        if result.error:
            summary.failed.append((cell, result.error))
            bar.set_postfix_str(f"{len(summary.failed)} failed", refresh=False)
        else:
            summary.computed += 1
        bar.update()

    try:
        with bar:
            if not todo:
                pass
            elif workers == 0 and scheduler is None:
                for cell in todo:
                    keep(cell, run_cell(cell.task))
            else:
                client = remote_client(scheduler) if scheduler else local_client(device, _few(workers, todo), dashboard)
                with client as connected:
                    if dashboard:
                        tqdm.write(f"Dask's page: {connected.dashboard_link}")
                    for cell, result in _on_workers(connected, todo):
                        keep(cell, result)
    except KeyboardInterrupt:
        summary.stopped = True
        # it may have come between a cell's file and its count
        summary.computed = sum(store.read(cell.key) is not None for cell in todo)
    summary.seconds = time.perf_counter() - begin
    return summary


def _few(workers, todo):
    """No more workers than cells."""
    return None if workers is None else min(workers, len(todo))


def _on_workers(client, cells):
    """(cell, result) as they are finished; at most one cell a worker's thread is under way."""
    from distributed import wait
    from distributed.scheduler import KilledWorker

    waiting, alone, running, deaths = deque(cells), deque(), {}, Deaths(client)

    def submit(cell):
        key = f"cell-{cell.key}-{deaths.attempts(cell)}"
        running[client.submit(run_cell, cell.task, key=key, pure=False, retries=0)] = cell

    seen = time.monotonic()
    try:
        while waiting or alone or running:
            threads = sum(client.nthreads().values())  # workers may come and go
            seen = time.monotonic() if threads else seen
            if time.monotonic() - seen > JOINING:
                raise RuntimeError(f"workers: expected some, all have been gone for {JOINING} s")
            while waiting and len(running) < threads:
                submit(waiting.popleft())
            if alone and not waiting and not running and threads:
                submit(alone.popleft())
            if not running:
                time.sleep(0.2)
                continue
            with contextlib.suppress(TimeoutError):
                wait(list(running), timeout=5, return_when="FIRST_COMPLETED")
            finished = []
            for future in [future for future in running if future.done()]:
                cell = running.pop(future)
                try:
                    finished.append((cell, future.result()))
                except KilledWorker as killed:
                    verdict = deaths.verdict(cell, killed)
                    if verdict in ("again", "alone"):
                        (waiting if verdict == "again" else alone).append(cell)
                    else:
                        finished.append((cell, _failure(verdict)))
                except Exception as error:  # a lost connection, a worker without pettutor ...
                    finished.append((cell, _failure(describe(error))))
            # the workers go on while results are written
            while finished and waiting and len(running) < threads:
                submit(waiting.popleft())
            yield from finished
    finally:
        with contextlib.suppress(Exception):
            client.cancel(list(running), force=True)


def _failure(text):
    return Result(account=account(0.0) | {"error": text, "traceback": None})
