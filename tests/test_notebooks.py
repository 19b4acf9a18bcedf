"""Every lesson runs from its first cell to its last, each cell within its time."""

import ast
import os
import re
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LIMIT = 60  # seconds for a cell that names no other limit by a tag limit=SECONDS
LONGEST_CELL = 20  # lines of code; more wants to be a function of the library


def code_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def versions():
    """Student and solution of each lesson; only one of them where the code is the same."""
    found = []
    for student in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        solution = NOTEBOOKS / "solutions" / student.name
        found.append(pytest.param(student, id=student.stem))
        if solution.exists() and code_of(solution) != code_of(student):
            found.append(pytest.param(solution, id=f"{student.stem}-solution"))
    return found


def limit_of(cell):
    named = [tag for tag in cell.metadata.get("tags", []) if tag.startswith("limit=")]
    return float(named[0].removeprefix("limit=")) if named else LIMIT


def run_notebook(path, folder):
    """Run in a kernel of this environment; gives the seconds of each code cell."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout_func=limit_of, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    seconds = []
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            start = time.perf_counter()
            client.execute_cell(cell, index)
            if cell.cell_type == "code":
                seconds.append(time.perf_counter() - start)
    return seconds


@pytest.mark.parametrize("path", versions())
def test_lesson(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PETTUTOR_SIZE", os.environ.get("PETTUTOR_SIZE", "slab"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own, so that pictures are really drawn
    seconds = run_notebook(path, tmp_path)
    print(f"{path.name}: {sum(seconds):.1f} s in {len(seconds)} cells, the longest {max(seconds, default=0):.1f} s")


@pytest.mark.parametrize("path", versions())
def test_cells_are_short(path):
    for number, source in enumerate(code_of(path), 1):
        lines = [line for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) <= LONGEST_CELL, f"code cell {number}: {len(lines)} lines, expected at most {LONGEST_CELL}"


@pytest.mark.parametrize("path", versions())
def test_lessons_use_public_names_only(path):
    """Nothing that starts with an underscore is taken from the library."""
    text = "\n".join(re.sub(r"^[%!].*$", "", source, flags=re.M) for source in code_of(path))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            assert not re.match(r"_[^_]", node.attr), f"{node.attr} is private"


# ---- the runner itself ----


def notebook(folder, *sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    path = folder / "00_try.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_runner_notices_an_error(tmp_path):
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run_notebook(notebook(tmp_path, "x = 1", "x / 0"), tmp_path)


def test_the_runner_notices_a_slow_cell(tmp_path):
    from nbclient.exceptions import CellTimeoutError

    with pytest.raises(CellTimeoutError):
        run_notebook(notebook(tmp_path, "import time; time.sleep(30)", tags=["limit=1"]), tmp_path)
