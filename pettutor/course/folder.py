"""Where the lessons are, and how a learner gets a copy of them that is never overwritten."""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pettutor

MANIFEST = ".pettutor-lessons.json"
GLOSSARY = "glossary.ipynb"
LESSON_NAME = re.compile(r"\d\d_[a-z0-9_]+")
_PACKAGE = Path(pettutor.__file__).resolve().parent


def lessons_folder():
    """Folder with the lessons: inside the installed package, or ``notebooks/`` of a source checkout.

    Raises
    ------
    FileNotFoundError
        If this installation carries no lessons.
    """
    packaged, checkout = _PACKAGE / "course" / "notebooks", _PACKAGE.parent / "notebooks"
    for folder in (packaged, checkout):
        if any(_notebooks(folder)):
            return folder
    raise FileNotFoundError(f"no lessons found: expected notebooks in {packaged} or in {checkout}")


def in_checkout():
    """Whether the lessons belong to a source checkout, where they may be opened in place."""
    return lessons_folder() == _PACKAGE.parent / "notebooks"


def lessons(folder=None):
    """Student notebooks in reading order, as paths."""
    return list(_notebooks(Path(folder) if folder is not None else lessons_folder()))


def _notebooks(folder):
    return (path for path in sorted(folder.glob("*.ipynb")) if LESSON_NAME.fullmatch(path.stem))


@dataclass
class CopyReport:
    """What `copy_lessons` did: names of the lessons, relative to `folder`."""

    folder: Path
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def __str__(self):
        words = [f"Lessons are in {self.folder}"]
        if self.added:
            words.append(f"  added: {_listed(self.added)}")
        if self.updated:
            words.append(f"  updated to this version, since you had not changed them: {_listed(self.updated)}")
        if self.kept:
            words.append(f"  kept as you edited them: {_listed(self.kept)}")
        if self.outdated:
            words.append(
                f"  kept as you edited them, although there is a newer version: {_listed(self.outdated)}"
                " (rename yours and start again to get it beside yours)"
            )
        if self.unchanged and not (self.added or self.updated or self.kept or self.outdated):
            words.append("  all as they were")
        return "\n".join(words)


def _listed(names):
    return ", ".join(names)


def copy_lessons(target, *, source=None, teacher=False):
    """Copy the lessons, with their solutions and the glossary, into a folder of the learner's.

    A lesson that is missing is added; one that is still as it was copied is updated; one that the learner changed (or
    that was there before) is never touched. What was copied is remembered by checksum in ``.pettutor-lessons.json``.

    Parameters
    ----------
    target : path
        Folder to fill; made if it is missing.
    source : path, optional
        Folder with the lessons; `lessons_folder` by default.
    teacher : bool
        Copy the teacher's notebooks, too: the solved ones with notes on time, words, mistakes and numbers.

    Returns
    -------
    CopyReport

    Raises
    ------
    ValueError
        If `target` is not a folder, or lies inside the folder of the lessons.
    OSError
        If it cannot be written.
    """
    source = Path(source) if source is not None else lessons_folder()
    target = Path(target).expanduser().resolve()
    if target.exists() and not target.is_dir():
        raise ValueError(f"folder for the lessons: expected a folder, got the file {target}")
    if target.is_relative_to(source.resolve()):
        raise ValueError(f"folder for the lessons: expected one outside the course's own folder {source}, got {target}")
    target.mkdir(parents=True, exist_ok=True)
    manifest = _read_manifest(target)
    report = CopyReport(target)
    places = ("", "solutions", "teacher") if teacher else ("", "solutions")
    for path in [*(path for place in places for path in _notebooks(source / place)), *source.glob(GLOSSARY)]:
        name = path.relative_to(source).as_posix()
        content = path.read_bytes()
        what = _what_to_do(target / name, content, manifest.get(name))
        if what in ("added", "updated"):
            _write(target / name, content)
        if what in ("added", "updated", "unchanged"):
            manifest[name] = _checksum(content)
        getattr(report, what).append(name)
    _write(target / MANIFEST, json.dumps({"version": pettutor.__version__, "sha256": manifest}, indent=1).encode())
    return report


def _what_to_do(path, content, copied):
    if not path.exists():
        return "added"
    present = _checksum(path.read_bytes())
    if present == _checksum(content):
        return "unchanged"
    if present == copied:
        return "updated"
    return "kept" if copied == _checksum(content) else "outdated"


def _checksum(content):
    return hashlib.sha256(content).hexdigest()


def _read_manifest(folder):
    """Checksums by name; an unreadable manifest counts as none, so that everything in the folder is kept."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(checksum) for name, checksum in entries.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path, content):
    """Write through a temporary file, so that nothing half-written is ever under the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".copying-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp gives 0600, which a shared class folder would not want
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
