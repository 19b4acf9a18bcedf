"""One run at a time in a folder: a lock that the operating system takes away when its process ends, however it ends."""

import contextlib
import json
import os
import socket
from datetime import UTC, datetime

NAME = "lock"
_FAR = 1 << 30  # Windows locks bytes: one far beyond the text, so that others can read it


@contextlib.contextmanager
def locked(folder):
    """Hold the folder's lock.

    Raises
    ------
    RuntimeError
        Another process holds it; the message names it.
    """
    path = folder / NAME
    with open(path, "a+", encoding="utf-8") as file:
        try:
            _take(file)
        except OSError:
            raise RuntimeError(
                f"{folder}: another run is writing to this folder ({_holder(path)}); wait or end it"
            ) from None
        file.truncate(0)
        me = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        file.write(json.dumps(me))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # the file stays: removing it could take it from the next one
            _release(file)


def _holder(path):
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['process']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError):
        return "process unknown"


if os.name == "nt":
    import msvcrt

    def _take(file):
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

    def _release(file):
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(file):
        fcntl.flock(file, fcntl.LOCK_UN)
