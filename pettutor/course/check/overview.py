"""Progress as tables: one learner's by lesson, and a class's for the teacher."""

import functools
import html
import re
from pathlib import Path

from pettutor.course.check.exercise import EXERCISES
from pettutor.course.check.progress import FILE_NAME, progress_file, read

_MARKS = {"right": "✔", "wrong": "✘", "not yet": "·"}


class Progress:
    """A learner's progress by lesson; shows as a table.

    Attributes
    ----------
    states : dict
        "right", "wrong" or "not yet" for the name of each exercise.
    file : path or None
        Where it is kept.
    problem : str
        What is wrong with that file; empty if nothing is.
    """

    def __init__(self, entries, file, problem):
        self.states = _states(entries)
        self.file, self.problem = file, problem

    @property
    def right(self):
        """How many exercises are solved."""
        return sum(state == "right" for state in self.states.values())

    def _lines(self):
        return [(title(lesson), [(name, self.states[name]) for name in names]) for lesson, names in by_lesson().items()]

    def _end(self):
        kept = f"Kept in {self.file}" if self.file else "Progress is not kept here"
        return f"{self.right} of {len(self.states)} exercises solved. {kept}." + (
            f" ({self.problem})" if self.problem else ""
        )

    def __str__(self):
        width = max(len(lesson) for lesson, _ in self._lines())
        lines = [
            f"{lesson:{width}}  " + "  ".join(f"{_MARKS[state]} {name}" for name, state in exercises)
            for lesson, exercises in self._lines()
        ]
        return "\n".join([*lines, self._end(), "✔ right   ✘ tried, not right yet   · not yet"])

    __repr__ = __str__

    def _repr_html_(self):
        rows = "".join(
            f'<tr><td style="text-align: left">{html.escape(lesson)}</td><td style="text-align: left">'
            + " &nbsp; ".join(f"{_MARKS[state]}&nbsp;<code>{name}</code>" for name, state in exercises)
            + "</td></tr>"
            for lesson, exercises in self._lines()
        )
        words = "✔ right, ✘ tried and not right yet, · not yet"
        return (
            f'<table><tr><th style="text-align: left">lesson</th><th style="text-align: left">exercises with a check'
            f"</th></tr>{rows}</table><p>{html.escape(self._end())}<br>{words}</p>"
        )


def _states(entries):
    return {name: entries.get(name, {}).get("state", "not yet") for name in EXERCISES}


def by_lesson():
    """Names of the exercises by the stem of their lesson, in reading order."""
    found = {}
    for which in EXERCISES.values():
        found.setdefault(which.lesson, []).append(which.name)
    return dict(sorted(found.items()))


@functools.cache
def title(lesson):
    """The lesson's own heading up to a colon, such as "5 · MLEM"; its name where the source is missing."""
    from pettutor.course.folder import lessons_folder

    try:
        text = (lessons_folder() / "source" / f"{lesson}.py").read_text(encoding="utf-8")
        return re.search(r"^# # (.+)$", text, re.M).group(1).partition(":")[0]
    except (OSError, AttributeError):
        number, _, words = lesson.partition("_")
        return f"{int(number)} · {words.replace('_', ' ')}"


def progress(file=None):
    """Your progress through the exercises, by lesson.

    Parameters
    ----------
    file : path, optional
        A progress file; by default your own.

    Returns
    -------
    Progress
        Shows as a table.
    """
    path = Path(file) if file is not None else progress_file()
    entries, problem = read(path) if path is not None else ({}, "")
    return Progress(entries, path, problem)


def class_overview(sources, *, csv=None):
    """One table of a whole class, from the students' progress files.

    Parameters
    ----------
    sources : path, or sequence of paths
        Progress files, or folders in which they are looked for (with their subfolders). A student is called as the
        file is, or as its folder where the file has its usual name ``pettutor-progress.json``.
    csv : path, optional
        Write the table there, too.

    Returns
    -------
    pandas.DataFrame
        One row a student: how many exercises are solved in all and in each lesson, how many were tried in vain, hints
        and solutions seen, the last day, and what is wrong with the file.

    Raises
    ------
    FileNotFoundError
        A path that is not there, or no progress file in any of the folders.
    OSError
        The CSV cannot be written.
    """
    import pandas as pd

    found = _files([sources] if isinstance(sources, str | Path) else list(sources))
    table = pd.DataFrame([_row(path) for path in found])
    twice = table["student"].duplicated(keep=False)
    table.loc[twice, "student"] = [str(path) for path, same in zip(found, twice, strict=True) if same]
    table = table.sort_values("student").set_index("student")
    if csv is not None:
        table.to_csv(csv, encoding="utf-8-sig")  # so that spreadsheets know that it is UTF-8
    return table


def _files(sources):
    found = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(source.rglob("*.json"))
            # a folder of lessons holds other JSON files, too: one without exercises counts by its usual name alone
            found += [p for p in inside if p.name == FILE_NAME or (p.name[0] != "." and not read(p)[1])]
        elif source.is_file():
            found.append(source)
        else:
            raise FileNotFoundError(f"sources: expected progress files or folders, got {source}, which is not there")
    if not found:
        raise FileNotFoundError(
            f"sources: expected at least one progress file, got none in {', '.join(map(str, sources))}"
        )
    return list(dict.fromkeys(found))


def _row(path):
    entries, problem = read(path)
    states = _states(entries)
    row = {"student": path.resolve().parent.name if path.name == FILE_NAME else path.stem}
    row["solved"] = sum(state == "right" for state in states.values())
    row["tried in vain"] = sum(state == "wrong" for state in states.values())
    for lesson, names in by_lesson().items():
        row[f"lesson {int(lesson[:2])}"] = f"{sum(states[n] == 'right' for n in names)} of {len(names)}"
    row["hints"] = sum(entry.get("hints", 0) for entry in entries.values())
    row["solutions seen"] = sum(entry.get("solution", False) for entry in entries.values())
    row["last day"] = max((entry.get("last", "")[:10] for entry in entries.values()), default="")
    return row | {"problem": problem}
