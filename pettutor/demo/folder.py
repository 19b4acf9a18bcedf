"""A folder of results that is whole or not there: written aside, then moved in as a set."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = ".pettutor-demo-"
# Every name that a run can leave; an earlier set is recognised by them.
FILES = (
    "report.html",
    "figure.png",
    "images.npz",
    *(
        f"{name}.nii.gz"
        for name in ("truth", "mlem", "gaussian", "bowsher", "ced", "mapem_net", "diprecon", "t1", "mu")
    ),
    "results.json",
)


@contextlib.contextmanager
def staged(out, *, megabytes):
    """Give a staging folder inside ``out``; what is written there replaces the earlier set of results at the end.

    After any error, Ctrl-C included, the folder is as it was: the staging folder is removed, and so is ``out`` where it
    was made for this. Files with other names are never touched.

    Parameters
    ----------
    out : path
    megabytes : float
        Free disk space that must be there to begin with.

    Raises
    ------
    NotADirectoryError, PermissionError
        ``out`` is a file, or cannot be made or written to.
    OSError
        Too little space (``errno.ENOSPC``), before or while writing.
    """
    out = Path(out)
    made = _make(out)
    staging = None
    try:
        _remove_leftovers(out)
        staging = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=out))
        _check_space(out, megabytes)
        yield staging
        _publish(staging, out)
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename != str(out):
            raise OSError(errno.ENOSPC, "no space left on the disk, nothing was written", str(out)) from error
        raise
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for folder in made:  # only where still empty
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make(out):
    """Make the folder; return what had to be made, innermost first."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "expected a folder to write to, found a file", str(out))
    out.mkdir(parents=True, exist_ok=True)
    return missing


def _check_space(out, megabytes):
    free = shutil.disk_usage(out).free / 1e6
    if free < megabytes:
        text = f"no space left on the disk: expected {megabytes:.0f} MB free, found {free:.0f} MB"
        raise OSError(errno.ENOSPC, text, str(out))


def _remove_leftovers(out):
    """Remove staging folders of runs that were killed; another run that is still alive is an error."""
    import psutil

    for folder in out.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and int(pid) != os.getpid() and psutil.pid_exists(int(pid)):
            raise FileExistsError(errno.EEXIST, f"another run (process {pid}) is writing to this folder", str(out))
        shutil.rmtree(folder, ignore_errors=True)


def _publish(staging, out):
    """Move the old set aside and the new set in; on an error, back."""
    new = sorted(path.name for path in staging.iterdir())
    old = [name for name in FILES if (out / name).exists()]
    aside = staging / "earlier"
    aside.mkdir()
    moved_out, moved_in = [], []
    try:
        for name in old:
            (out / name).replace(aside / name)
            moved_out.append(name)
        for name in sorted(new, key=_results_last):
            (staging / name).replace(out / name)
            moved_in.append(name)
    except BaseException:
        for name in moved_in:
            (out / name).replace(staging / name)
        for name in moved_out:
            (aside / name).replace(out / name)
        raise


def _results_last(name):
    """results.json comes last: where it is, the set is whole."""
    return name == "results.json"


def write_json(path, content):
    """Strict JSON, UTF-8: NaN and infinity are an error."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")
