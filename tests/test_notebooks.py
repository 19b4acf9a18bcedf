"""Every lesson runs from its first cell to its last, each cell within its time."""

import ast
import os
import re
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import pettutor as pt
from pettutor.course.check.exercise import EXERCISES

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LIMIT = 60  # seconds for a cell that names no other limit by a tag limit=SECONDS
LONGEST_CELL = 20  # lines of code; more wants to be a function of the library


def code_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def lessons():
    """Student and solution of each lesson; only one of them where the code is the same."""
    found = []
    for student in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        solution = NOTEBOOKS / "solutions" / student.name
        other = solution.exists() and code_of(solution) != code_of(student)
        found.append((student, solution) if other else (student,))
    return found


def versions():
    """Both of each lesson, one by one."""
    return [
        pytest.param(path, id=f"{path.stem}{'-solution' if path.parent.name == 'solutions' else ''}")
        for paths in lessons()
        for path in paths
    ]


def limit_of(cell):
    named = [tag for tag in cell.metadata.get("tags", []) if tag.startswith("limit=")]
    return float(named[0].removeprefix("limit=")) if named else LIMIT


# before a notebook: a folder of its own, no open figures and no names of the one that the kernel ran before it
AFRESH = """
import os, sys
os.chdir({folder!r})
if "matplotlib.pyplot" in sys.modules:
    sys.modules["matplotlib.pyplot"].close("all")
get_ipython().run_line_magic("reset", "-f")
"""


def run_notebooks(*paths, folder):
    """Run one after the other in a kernel of this environment; gives the seconds of each code cell, a list for each.

    The first has the kernel fresh; the others, which are nearly the same, find the libraries loaded.
    """
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    client = NotebookClient(
        notebooks[0], timeout_func=limit_of, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    seconds = []
    with client.setup_kernel():
        for number, notebook in enumerate(notebooks):
            own = folder / f"{number}"
            own.mkdir()
            notebook.cells.insert(0, nbformat.v4.new_code_cell(AFRESH.format(folder=str(own))))
            client.nb = notebook
            client.reset_execution_trackers()
            seconds.append([])
            for index, cell in enumerate(notebook.cells):
                start = time.perf_counter()
                client.execute_cell(cell, index)
                if cell.cell_type == "code" and index:
                    seconds[-1].append(time.perf_counter() - start)
    return seconds


@pytest.mark.parametrize("paths", lessons(), ids=lambda paths: paths[0].stem)
def test_lesson(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("PETTUTOR_SIZE", os.environ.get("PETTUTOR_SIZE", "slab"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own, so that pictures are really drawn
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) > 1:  # kernels side by side: a core for each
        for variable in ("PETTUTOR_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            monkeypatch.setenv(variable, "1")
    progress = tmp_path / "progress.json"
    monkeypatch.setenv("PETTUTOR_PROGRESS", str(progress))
    for path, seconds in zip(paths, run_notebooks(*paths, folder=tmp_path), strict=True):
        where = path.relative_to(NOTEBOOKS)
        print(f"{where}: {sum(seconds):.1f} s in {len(seconds)} cells, the longest {max(seconds, default=0):.1f} s")
    states = pt.course.progress(progress).states
    for which in EXERCISES.values():
        if which.lesson == paths[0].stem:  # the last notebook was the solved one
            assert states[which.name] == "right", f"{which.name}: {states[which.name]}"


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


def notebook(folder, *sources, tags=(), name="00_try.ipynb"):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    path = folder / name
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_runner_notices_an_error(tmp_path):
    """Also in the second notebook of a kernel, which has neither names nor files nor figures of the first."""
    from nbclient.exceptions import CellExecutionError

    first = notebook(tmp_path, "x, os = 1, 2\nimport matplotlib.pyplot as plt\nplt.figure()\nopen('made', 'w').close()")
    left = "import matplotlib.pyplot as plt, os\nassert not os.listdir() and not plt.get_fignums()"
    second = notebook(tmp_path, left, "x / 0", name="01_try.ipynb")
    with pytest.raises(CellExecutionError, match="name 'x' is not defined"):
        run_notebooks(first, second, folder=tmp_path)


def test_the_runner_notices_a_slow_cell(tmp_path):
    from nbclient.exceptions import CellTimeoutError

    with pytest.raises(CellTimeoutError):
        run_notebooks(notebook(tmp_path, "import time; time.sleep(30)", tags=["limit=1"]), folder=tmp_path)
