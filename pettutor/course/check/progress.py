"""What a learner has solved: one small JSON file, kept on this computer and never in the way of an exercise.

The file lies in the folder of the learner's lessons (the one that `pettutor lab` makes), else in the user's data
folder; the environment variable ``PETTUTOR_PROGRESS`` names another file, or is ``off``.
"""

import contextlib
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path

FILE_NAME = "pettutor-progress.json"
VARIABLE = "PETTUTOR_PROGRESS"
LOCK_PATIENCE, LOCK_STALE = 1.0, 10.0  # seconds: to wait for another notebook, and after which its lock is forgotten
_STATES = ("not yet", "wrong", "right")
_told = set()  # problems that were named in this session


def progress_file():
    """Where progress is kept; None where it is not (switched off, or among the solved notebooks)."""
    from pettutor.course.folder import MANIFEST

    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen:
        return None if chosen.lower() == "off" else Path(chosen).expanduser()
    try:
        here = Path.cwd()
    except OSError:  # the folder was removed under the notebook
        return _data_folder() / FILE_NAME
    if here.name == "solutions" and any(here.parent.glob("[0-9][0-9]_*.ipynb")):
        return None  # a solved notebook is nobody's progress
    for folder in (here, here.parent):
        if (folder / MANIFEST).is_file():
            return folder / FILE_NAME
    return _data_folder() / FILE_NAME


def _data_folder():
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "pettutor"


def read(path):
    """Entries of a progress file, by the exercises' names.

    Returns
    -------
    entries : dict
        Of each exercise a dict with ``state`` ("not yet", "wrong" or "right") and perhaps ``tries`` (answers that were
        checked), ``hints`` (seen), ``solution`` (seen), ``last`` and ``solved`` (dates, ISO 8601).
    problem : str
        What is wrong with the file, in words; empty if nothing is, or if there is no file yet.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path} cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError):
        return {}, f"{path} is damaged: expected JSON, got something else"
    exercises = content.get("exercises") if isinstance(content, dict) else None
    if not isinstance(exercises, dict):
        return {}, f"{path} is damaged: expected the entry 'exercises', got none"
    return {name: _clean(entry) for name, entry in exercises.items() if isinstance(entry, dict)}, ""


def _clean(entry):
    clean = {"state": entry["state"] if entry.get("state") in _STATES else "not yet"}
    for key in ("tries", "hints"):
        if isinstance(entry.get(key), int) and not isinstance(entry[key], bool) and entry[key] > 0:
            clean[key] = entry[key]
    if entry.get("solution") is True:
        clean["solution"] = True
    return clean | {key: entry[key] for key in ("last", "solved") if isinstance(entry.get(key), str)}


def record(name, *, state=None, hints=0, solution=False):
    """Keep what happened with an exercise.

    Returns
    -------
    str
        What kept it from being written, once a session; else empty. Nothing is ever raised but Ctrl-C.
    """
    try:
        path = progress_file()
        return "" if path is None else _update(path, name, state, hints, solution)
    except Exception as error:  # whatever it is, the exercise goes on
        return _once(f"Your progress is not kept: {error}")


def _update(path, name, state, hints, solution):
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        entries, problem = read(path)
        if problem and path.is_file():
            kept = path.with_name(f"{path.stem}-damaged{path.suffix}")
            os.replace(path, kept)
            problem = f"{problem}. It is kept as {kept.name}, and your progress begins anew."
        entry = entries.setdefault(name, {"state": "not yet"})
        today = datetime.now().astimezone().isoformat(timespec="seconds")
        if state is not None:
            entry["last"] = today
            if state != "not yet":
                entry["tries"] = entry.get("tries", 0) + 1
            if entry["state"] != "right":  # once solved, solved for good
                entry["state"] = state
                if state == "right":
                    entry["solved"] = today
        if hints:
            entry["hints"] = max(hints, entry.get("hints", 0))
        if solution:
            entry["solution"] = True
        _write(path, {"version": 1, "exercises": entries})
    return _once(problem) if problem else ""


def _write(path, content):
    from pettutor.files import whole_file

    with whole_file(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def _once(problem):
    if problem in _told:
        return ""
    _told.add(problem)
    return problem


@contextlib.contextmanager
def _lock(path):
    """Wait a moment for other notebooks that write; then go on all the same, as the file is written whole anyway."""
    lock, mine, end = path.with_name(f".{path.name}.lock"), False, time.monotonic() + LOCK_PATIENCE
    while not mine and time.monotonic() < end:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            mine = True
        except PermissionError:
            if sys.platform != "win32":  # there it is what one gets while another process removes the file
                break
            time.sleep(0.01)
        except FileExistsError:
            with contextlib.suppress(OSError):
                if time.time() - lock.stat().st_mtime > LOCK_STALE:  # of a kernel that died
                    lock.unlink()
            time.sleep(0.01)
    try:
        yield
    finally:
        if mine:
            lock.unlink(missing_ok=True)
