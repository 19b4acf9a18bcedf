"""Make the notebooks from their sources: ``python -m pettutor.course.build [--check]``.

A lesson's source is a percent script, ``notebooks/source/NN_name.py``. From it come ``notebooks/NN_name.ipynb`` (for
the student), ``notebooks/solutions/NN_name.ipynb`` and ``notebooks/teacher/NN_name.ipynb``, all without outputs. In a
code cell ::

    # solution:
    x = x / s * A.T(y / A(x))
    # stub: x = ...  # your update here
    # end of solution

the solved notebook has the code, the student's the text after ``# stub:`` (or ``...  # your code here`` where there is
no stub). A cell tagged ``solution`` or ``student`` is in that notebook only; ``limit=SECONDS`` is the time that the
tests give a cell. The teacher's notebook is the solved one with the markdown cells tagged ``teacher``, in boxes.
``notebooks/glossary.ipynb`` comes from ``docs/glossary.md``, beside the folder of the notebooks.
Every lesson gets a cell for Google Colab after its title.
"""

import argparse
import hashlib
import sys
from collections import Counter
from pathlib import Path

from pettutor.course.colab import colab_cells, repository_of
from pettutor.course.folder import GLOSSARY, LESSON_NAME

OPEN, CLOSE, STUB = "# solution:", "# end of solution", "# stub:"
DEFAULT_STUB = "...  # your code here"
PLACES = ("", "solutions", "teacher")  # folders of a lesson's notebooks
_BOX = "background-color: #fff3d6; color: #222222; border: 1px solid #d99a00; padding: 8px 14px"  # in dark themes, too
NOTE = f'<div style="{_BOX}">\n\n**For the teacher.** {{}}\n\n</div>'
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build_lesson(path):
    """Notebooks of one source.

    Parameters
    ----------
    path : path
        Percent script.

    Returns
    -------
    student, solution, teacher : str
        Notebooks as text, always the same for the same source.

    Raises
    ------
    ValueError
        If the name, the marks of a solution, or a note for the teacher are not as they should be.
    """
    import jupytext

    path = Path(path)
    if not LESSON_NAME.fullmatch(path.stem):
        raise ValueError(f"{path.name}: expected a name such as 05_mlem.py (two digits, then small letters)")
    cells = jupytext.read(path, fmt="py:percent").cells
    if not cells:
        raise ValueError(f"{path.name}: expected at least one cell, got none")
    repository = repository_of(path.absolute().parents[2])
    return tuple(_notebook(cells, path.name, place, repository) for place in PLACES)


def _notebook(cells, name, place, repository):
    solved, notes = place != "", place == "teacher"
    made, seen = [], Counter()
    for number, cell in enumerate(cells, 1):
        tags, where = list(cell.metadata.get("tags", [])), f"{name}, cell {number}"
        if "teacher" in tags and cell.cell_type == "code":
            raise ValueError(f"{where}: expected words in a cell tagged 'teacher', got code")
        if ("student" if solved else "solution") in tags or ("teacher" in tags and not notes):
            continue
        text = cell.source
        if cell.cell_type == "code":
            text = notebook_code(text, where, solved=solved)
        elif "teacher" in tags:
            text = NOTE.format(text.strip())
        if solved and cell.cell_type == "markdown":  # these notebooks lie a folder deeper
            text = text.replace(f"]({GLOSSARY}", f"](../{GLOSSARY}")
        if not text.strip():
            continue
        kind = (cell.cell_type, text)
        seen[kind] += 1
        made.append(_cell(*kind, {"tags": tags} if tags else {}, seen[kind]))
    title = 1 if made and made[0]["cell_type"] == "markdown" else 0
    made[title:title] = [_cell(*cell) for cell in colab_cells(name.removesuffix(".py"), repository, place)]
    return _as_text(made)


def _as_text(made):
    import nbformat

    notebook = nbformat.from_dict({"cells": made, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def _cell(cell_type, text, metadata, occurrence=1):
    return {
        "cell_type": cell_type,
        "id": _cell_id(cell_type, text, occurrence),
        "metadata": metadata,
        "source": text,
        **({"outputs": [], "execution_count": None} if cell_type == "code" else {}),
    }


def _cell_id(cell_type, text, occurrence):
    """From the content, so that a change in one cell leaves the other cells of the file as they are."""
    return hashlib.sha256(f"{cell_type}\n{text}\n{occurrence}".encode()).hexdigest()[:12]


def notebook_code(text, where, *, solved):
    """A code cell of a source as the student's or the solved notebook has it.

    Raises
    ------
    ValueError
        Marks of a solution that are not as they should be; ``where`` begins the message.
    """
    lines, stub, inside = [], [], False
    for line in text.splitlines():
        mark, indent = line.strip(), line[: len(line) - len(line.lstrip())]
        if mark == OPEN:
            if inside:
                raise ValueError(f"{where}: expected {CLOSE!r} before another {OPEN!r}")
            inside, stub = True, []
            block = indent
        elif mark == CLOSE:
            if not inside:
                raise ValueError(f"{where}: expected {OPEN!r} before {CLOSE!r}")
            inside = False
            if not solved:
                lines += stub or [block + DEFAULT_STUB]
        elif mark.startswith(STUB):
            if not inside:
                raise ValueError(f"{where}: expected {STUB!r} between {OPEN!r} and {CLOSE!r}")
            stub.append(indent + mark.removeprefix(STUB).removeprefix(" "))
        elif solved or not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"{where}: expected {CLOSE!r} after {OPEN!r}, got the end of the cell")
    return "\n".join(lines)


def planned(folder):
    """What `folder` (``notebooks/``) should hold: text by path, for every source in it."""
    plan, glossary = {}, folder.parent / "docs" / "glossary.md"
    for source in sorted((folder / "source").glob("*.py")):
        for place, text in zip(PLACES, build_lesson(source), strict=True):
            plan[folder / place / f"{source.stem}.ipynb"] = text
    if glossary.exists():
        plan[folder / GLOSSARY] = glossary_notebook(glossary)
    return plan


def glossary_notebook(path):
    """The glossary as a notebook of one cell, which JupyterLab shows with its formulas (it opens ``.md`` as text)."""
    text = Path(path).read_text(encoding="utf-8").strip()
    return _as_text([_cell("markdown", text.replace("](../notebooks/", "]("), {})])


def differences(folder):
    """What is not as the sources say, in words; empty if all is well."""
    plan, found = planned(folder), []
    for path, text in plan.items():
        name = path.relative_to(folder).as_posix()
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} is not what its source makes")
    present = [
        *folder.glob("[0-9][0-9]_*.ipynb"),
        *(p for place in PLACES[1:] for p in (folder / place).glob("*.ipynb")),
    ]
    found += [f"{path.relative_to(folder).as_posix()} has no source" for path in sorted(present) if path not in plan]
    return found


def build(folder):
    """Write all notebooks of `folder`; gives the paths that changed."""
    changed = []
    for path, text in planned(folder).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m pettutor.course.build", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a notebook is not up to date")
    parser.add_argument("--folder", type=Path, default=Path("notebooks"), help="folder with source/ (notebooks)")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"expected a folder with source/ in it, got {options.folder}")
    try:
        if not options.check:
            for path in build(options.folder):
                print(f"wrote {path}")
        problems = differences(options.folder)
    except ValueError as error:
        parser.error(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
