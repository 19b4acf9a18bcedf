"""Cells whose worker process ended: whether to try them again, and what to say of them in the end."""

import time
from collections import Counter

ATTEMPTS = 3  # a cell whose worker ends so many times has failed
TOO_LARGE = 2  # the same where the worker was stopped for its memory: that seldom goes better another time
NEWS = 1.0  # seconds: Dask tells that it stopped a worker at about the time when the worker is gone
TOPIC = "worker-restart-memory"  # where it tells so


class Deaths:
    """Counts how often each cell's worker ended.

    Dask cannot tell which of the cells that a dead worker held ended it, so each of them is only tried again; the last
    attempt is made with no other cell under way, and what dies then has itself to blame.
    """

    def __init__(self, client):
        self._client = client
        self._count, self._alone = Counter(), set()

    def attempts(self, cell):
        """How many workers have ended under the cell."""
        return self._count[cell.key]

    def verdict(self, cell, killed):
        """What to do with a cell after Dask's ``KilledWorker``: "again", "alone", or the text of its failure.

        A scheduler that others have started may have tried it several times before it gave up; all of them count.
        """
        memory = self._memory(killed.last_worker.address)
        self._count[cell.key] += killed.allowed_failures + 1
        count, most = self._count[cell.key], TOO_LARGE if memory else ATTEMPTS
        held_others = killed.last_worker.nthreads > 1 or not memory
        if count >= most and (cell.key in self._alone or not held_others):
            return _too_large(count, memory, killed.last_worker.memory_limit) if memory else _ended(count)
        if count >= most - 1:
            self._alone.add(cell.key)
            return "alone"
        return "again"

    def _memory(self, address):
        """Bytes that a worker had taken when it was stopped for that, or None: it ended for another reason."""
        end = time.monotonic() + NEWS
        while True:
            for _, event in self._client.get_events(TOPIC):
                if event["worker"] == address:
                    return event["rss"]
            if time.monotonic() > end:
                return None
            time.sleep(0.05)


def _ended(count):
    return (
        f"KilledWorker: the worker process ended {count} times while it computed this cell; "
        "most often that is too little memory: use fewer workers, or a smaller size"
    )


def _too_large(count, taken, limit):
    return (
        f"MemoryLimit: the worker process was stopped {count} times while it computed this cell: it took "
        f"{taken / 1e9:.2f} GB, and its memory limit is {limit / 1e9:.2f} GB. Fewer workers raise the limit, as they "
        "share this machine's memory evenly; --workers 0 sets none (on a cluster: dask worker --memory-limit). Or use "
        "a smaller size"
    )
