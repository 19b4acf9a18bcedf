"""Every lesson runs from its first cell to its last, each cell within its time."""

import ast
import copy
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from forked_kernels import POSSIBLE, ForkedKernelManager
from nbclient import NotebookClient
from notebook_cells import cells_to_run_again, look_at

import pettutor as pt
from pettutor.course.check.exercise import EXERCISES
from pettutor.memory import sampled

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LIMIT = 60  # seconds for a cell that names no other limit by a tag limit=SECONDS
# GB that a lesson holds itself. The files of TensorFlow and the other libraries come to it, 0.45 GB and more: they are
# not counted, since Linux maps them in pieces whose size depends on who wrote them, and may drop them at any time.
MOST_MEMORY = 1.05
LONG_WAIT = 60  # seconds that a cell may take without a word before it; the machine may have other work
LONGEST_CELL = 20  # lines of code; more wants to be a function of the library
LONG_RUNS = re.compile(r"^(long|measure) = False$", re.MULTILINE)  # what a reader may switch on


def code_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def read_notebook(path):
    """A notebook; where the environment variable ``PETTUTOR_LONG`` is set, with its long runs switched on."""
    notebook = nbformat.read(path, as_version=4)
    if os.environ.get("PETTUTOR_LONG"):
        for cell in notebook.cells:
            cell.source = LONG_RUNS.sub(r"\1 = True", cell.source)
    return notebook


def lessons():
    """Solution and student of each lesson; only one of them where the code is the same."""
    found = []
    for student in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        solution = NOTEBOOKS / "solutions" / student.name
        other = solution.exists() and code_of(solution) != code_of(student)
        found.append((solution, student) if other else (student,))
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
    limit = float(named[0].removeprefix("limit=")) if named else LIMIT
    return 20 * limit if os.environ.get("PETTUTOR_LONG") else limit


# before a notebook: a folder of its own, no open figures
AFRESH = """
import os, sys
os.chdir({folder!r})
os.environ["PETTUTOR_PROGRESS"] = {folder!r} + "-progress.json"
if "matplotlib.pyplot" in sys.modules:
    sys.modules["matplotlib.pyplot"].close("all")
"""
# before the second: no names of the first, or none that it is to make itself
FORGET_ALL = """
get_ipython().run_line_magic("reset", "-f")
"""
FORGET_NAMES = """
for name in {names!r}:
    globals().pop(name, None)
"""
# the files before the first cell that is another in the next notebook, and before each that has to run again the names
# that it uses, as the first notebook had them there
KEEP_FILES = """
import shutil
shutil.copytree({folder!r}, {kept!r})
"""
KEEP_NAMES = """
import builtins
builtins.kept_names = getattr(builtins, "kept_names", {{}}) | {{
    {number}: {{name: globals()[name] for name in {names!r} if name in globals()}}
}}
"""
GO_ON_FILES = """
import shutil
shutil.copytree({kept!r}, {folder!r}, dirs_exist_ok=True)
"""
GO_ON_NAMES = """
import builtins
globals().update(builtins.kept_names[{number}])
"""


def code_cells(notebook):
    """Code cells of a notebook, each with its place among all cells."""
    return [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def cells_to_run(notebooks):
    """Which code cells of the second notebook have to run after the first, each with the names that it uses.

    None where there is one notebook, where they are not two versions of one, and where all are to run whole.
    """
    sources = [[cell.source for _, cell in code_cells(notebook)] for notebook in notebooks]
    if len(sources) != 2 or len(sources[0]) != len(sources[1]) or os.environ.get("PETTUTOR_WHOLE"):
        return None
    return cells_to_run_again(*sources)


def keep_executed(path, notebook, folder):
    """Keep a notebook as it ran, at its place below ``notebooks/`` in a folder."""
    kept = Path(folder) / path.relative_to(path.parents[1] if path.parent.name == "solutions" else path.parent)
    kept.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, kept)


def shows_nothing(cell):
    """Whether a code cell ends a figure, not in a function or a branch, and has no picture among its outputs."""
    if cell.cell_type != "code" or "plt.show()" not in cell.source.splitlines():
        return False
    return not any("image/png" in output.get("data", {}) for output in cell.outputs)


def own_memory(process_id):
    """A function that gives the bytes of a process's memory without what is in files, where the system tells them."""
    process = psutil.Process(process_id)

    def read():
        memory = process.memory_info()
        return memory.rss - getattr(memory, "shared", 0)

    return read


def run_notebooks(*paths, folder, keep=None, read=None):
    """Run a notebook, and the other version of it after it, in a kernel of this environment.

    Gives the seconds of each code cell that ran, a list for each notebook, and the most memory of the kernel's own, GB:
    all that it has made, and what libraries had made in the process that it was forked from.

    The first has the kernel fresh, but for libraries that are loaded before (forked_kernels.py). Of the cells of the
    second those run that may do something else than in the first; they find the names as they were there. With the
    environment variable ``PETTUTOR_WHOLE`` both run whole, in a kernel that is started as Jupyter starts it. ``keep``
    names a folder for the notebooks with their outputs; to the list ``read`` they are appended.
    """
    forked = POSSIBLE and not os.environ.get("PETTUTOR_WHOLE")
    notebooks = [read_notebook(path) for path in paths]
    again, first = cells_to_run(notebooks), [cell for _, cell in code_cells(notebooks[0])]
    settings = {"resources": {"metadata": {"path": str(folder)}}, "timeout_func": limit_of, "kernel_name": "python3"}
    if forked:
        settings["kernel_manager_class"] = ForkedKernelManager
    client = NotebookClient(notebooks[0], **settings)
    seconds = []
    # not what the system has recorded of the kernel: a new process begins with what its parent held, and lesson 14
    # sets the record back
    with client.setup_kernel(), sampled(own_memory(client.km.provisioner.pid), 0.1, psutil.NoSuchProcess) as samples:
        for number, (path, notebook) in enumerate(zip(paths, notebooks, strict=True)):
            here, kept = str(folder / f"{number}"), str(folder / "kept")
            (folder / f"{number}").mkdir()
            client.nb = notebook
            client.reset_execution_trackers()

            def hidden(code, notebook=notebook, **values):
                notebook.cells.append(nbformat.v4.new_code_cell(code.format(**values)))
                client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
                notebook.cells.pop()

            hidden(AFRESH, folder=here)
            seconds.append([])
            if number and again is None:
                hidden(FORGET_ALL)
            elif number and again:
                hidden(FORGET_NAMES, names=sorted(set().union(*(look_at(first[k].source).binds for k in again))))
                hidden(GO_ON_FILES, folder=here, kept=kept)
            for k, (index, cell) in enumerate(code_cells(notebook)):
                if again and k in again:
                    if not number and k == min(again):
                        hidden(KEEP_FILES, folder=here, kept=kept)
                    hidden(GO_ON_NAMES if number else KEEP_NAMES, number=k, names=sorted(again[k]))
                elif number and again is not None:
                    cell.outputs = copy.deepcopy(first[k].outputs)
                    continue
                start = time.perf_counter()
                client.execute_cell(cell, index)
                seconds[-1].append(time.perf_counter() - start)
                cell.metadata["pettutor_seconds"] = seconds[-1][-1]
            if keep:
                keep_executed(path, notebook, keep)
            if read is not None:
                read.append(notebook)
    return seconds, max(samples) / 1e9


@pytest.mark.skipif(not POSSIBLE, reason="only Linux tells files apart")
def test_memory_of_its_own_is_what_a_process_has_made(tmp_path):
    with open(tmp_path / "100 MB", "wb") as file:
        file.write(bytes(10**8))
    read, of_all = own_memory(os.getpid()), psutil.Process().memory_info
    own, all_of_it = read(), of_all().rss
    mapped = np.memmap(file.name, np.uint8, "r")
    assert mapped.sum() == 0
    assert of_all().rss - all_of_it > 0.9e8 and read() - own < 0.2e8
    made = np.ones(10**8, np.uint8)
    assert 0.9e8 < read() - own < 1.2e8 and made.all()


@pytest.mark.parametrize("paths", lessons(), ids=lambda paths: paths[0].stem)
def test_lesson(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("PETTUTOR_SIZE", os.environ.get("PETTUTOR_SIZE", "slab"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own, so that pictures are really drawn
    keep = os.environ.get("PETTUTOR_EXECUTED")  # what the site is built from: docs/build.py --executed
    if keep:
        monkeypatch.setenv("PETTUTOR_LIVE_PAGES", "1")
    notebooks = []
    times, memory = run_notebooks(*paths, folder=tmp_path, keep=keep, read=notebooks)
    blank = [cell.source for notebook in notebooks for cell in notebook.cells if shows_nothing(cell)]
    print(f"memory: {memory:.2f} GB")
    most = 2 * MOST_MEMORY if os.environ.get("PETTUTOR_LONG") else MOST_MEMORY  # long runs are not for a class
    assert memory <= most, f"the kernel held {memory:.2f} GB of its own, expected at most {most} GB"
    assert not blank, f"cells that show a figure have none: {blank}"
    waits = [source for notebook in notebooks for source in waits_unannounced(notebook)]
    assert not waits, f"cells that take more than {LONG_WAIT} s, without a word about it before: {waits}"
    for path, seconds in zip(paths, times, strict=True):
        where = path.relative_to(NOTEBOOKS)
        print(f"{where}: {sum(seconds):.1f} s in {len(seconds)} cells, the longest {max(seconds, default=0):.1f} s")
        left = os.listdir(tmp_path / f"{paths.index(path)}")
        assert set(left) <= {"pettutor-training", "pettutor-studies"}, f"{where} leaves files behind: {left}"
    solved, unsolved = (pt.course.progress(tmp_path / f"{number}-progress.json").states for number in (0, 1))
    for which in EXERCISES.values():
        if which.lesson == paths[0].stem:
            assert solved[which.name] == "right", f"{which.name}: {solved[which.name]}"
            assert unsolved[which.name] != "right", f"{which.name}: right as it is given to students"


def test_the_first_picture_comes_within_ten_seconds(tmp_path):
    """Lesson 0's first cells and what the browser gets of its viewer, in a fresh process at the default size.

    Counted are seconds of computing, the start of Python included: of the time on the clock other work on the machine
    takes its part. (On two quiet cores the clock says less, since threads compute side by side.)
    """
    first = "\n".join(code_of(NOTEBOOKS / "00_start_here.ipynb")[:2])  # Colab's installation, and the picture
    after = "import time; viewer._repr_mimebundle_(); print(time.process_time(), grid.shape[0])"
    clean = {name: value for name, value in os.environ.items() if name != "PETTUTOR_SIZE"}
    done = subprocess.run(
        [sys.executable, "-c", f"{first}\n{after}"], cwd=tmp_path, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seconds, planes = done.stdout.split()[-2:]
    assert "to the first picture" in done.stdout and int(planes) == 31
    assert float(seconds) < 10


@pytest.mark.parametrize("path", versions())
def test_cells_are_short(path):
    for number, source in enumerate(code_of(path), 1):
        lines = [line for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) <= LONGEST_CELL, f"code cell {number}: {len(lines)} lines, expected at most {LONGEST_CELL}"


def announced(notebook):
    """Its code cells, each with whether the text before it says how long it takes."""
    words = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words = cell.source
        else:
            yield cell, re.search(r"(\d+|few|half a|a|one|two|ten|twenty|thirty) (seconds|minutes?)", words) is not None


def waits_unannounced(notebook):
    """Sources of the cells that took long, with nobody told."""
    return [
        cell.source
        for cell, told in announced(notebook)
        if cell.metadata.get("pettutor_seconds", 0) > LONG_WAIT and not told
    ]


def test_a_wait_that_nobody_told_of_is_found():
    text, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [text("It takes 20 seconds."), code("a"), text("Next."), code("b"), code("c")]
    for cell, seconds in zip([cells[1], *cells[3:]], (LONG_WAIT + 1, LONG_WAIT + 1, 1), strict=True):
        cell.metadata["pettutor_seconds"] = seconds
    assert waits_unannounced(nbformat.v4.new_notebook(cells=cells)) == ["b"]


def test_a_long_cell_is_announced():
    """Cells that may take more than a minute are tagged; the text before them says how long they usually take."""
    found = []
    for path in (path for paths in lessons() for path in paths):
        for cell, told in announced(nbformat.read(path, as_version=4)):
            if any(tag.startswith("limit=") for tag in cell.metadata.get("tags", ())):
                found.append((path.stem, told))
    assert len(found) >= 6 and all(told for _, told in found), found


def test_long_runs_are_switched_on_where_there_are_some(monkeypatch):
    """In a class they stay off; ``PETTUTOR_LONG=1 pytest --timeout 3000 -k test_lesson`` runs them (20 minutes)."""

    def switched(path):
        return [cell.source for cell in read_notebook(path).cells if re.search(r"^\w+ = True$", cell.source, re.M)]

    paths = [path for paths in lessons() for path in paths[:1]]
    assert not any(map(switched, paths))
    monkeypatch.setenv("PETTUTOR_LONG", "1")
    found = [path.stem for path in paths for _ in switched(path)]
    assert found == ["10_dip_recon", "11_em_net", *["12_mapem_net"] * 2, "14_side_by_side", "15_after"]


@pytest.mark.parametrize("path", versions())
def test_lessons_use_public_names_only(path):
    """Nothing that starts with an underscore is taken from the library."""
    text = "\n".join(re.sub(r"^[%!].*$", "", source, flags=re.M) for source in code_of(path))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            assert not re.match(r"_[^_]", node.attr), f"{node.attr} is private"


def calls_in(path):
    """Calls in the code of a notebook, as (dotted name, names of keyword arguments, node)."""
    text = "\n".join(re.sub(r"^[%!].*$", "", source, flags=re.M) for source in code_of(path))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg for keyword in node.keywords}, node


@pytest.mark.parametrize("path", versions())
def test_what_a_lesson_trains_is_kept_and_says_where_to_resume(path):
    """A minute of training must not be lost with a kernel; a fit of seconds need not be kept."""
    trains = [
        keywords & {"folder", "checkpoint"}
        for name, keywords, _ in calls_in(path)
        if name == "pt.networks.train" or (name.endswith(".fit") and "validation" in keywords)
    ]
    assert all(trains), "pt.networks.train wants folder=pt.course.training_folder(...), BCDNet.fit checkpoint=..."
    words = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    assert bool(trains) == any("**Resume here if the kernel died**" in text for text in words)


@pytest.mark.parametrize("path", versions())
def test_lessons_share_no_files(path):
    """What one lesson keeps has its name, so that lessons may be run in any order."""
    for name, _, node in calls_in(path):
        if name == "pt.course.training_folder":
            assert node.args[0].value == path.stem
        assert name.split(".")[-1] not in {"open", "save", "savez", "to_csv", "write_text", "write_bytes"}, name


# ---- the runner itself ----


def notebook(folder, *sources, tags=(), name="00_try.ipynb"):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    path = folder / name
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_runner_notices_an_error(tmp_path):
    """Also in the second notebook of a kernel, which has neither names nor files nor figures of the first."""
    from nbclient.exceptions import CellExecutionError

    first = notebook(
        tmp_path, "x, os = 1, 2\nimport matplotlib.pyplot as plt\nplt.figure()\nopen('made', 'w').close()\nprint(x)"
    )
    left = "import matplotlib.pyplot as plt, os\nassert not os.listdir() and not plt.get_fignums()"
    second = notebook(tmp_path, left, "x / 0", name="01_try.ipynb")
    with pytest.raises(CellExecutionError, match="name 'x' is not defined"):
        run_notebooks(first, second, folder=tmp_path, keep=tmp_path / "kept")
    (ran,) = nbformat.read(tmp_path / "kept" / "00_try.ipynb", as_version=4).cells
    assert ran.source.startswith("x, os = 1, 2") and [output.text for output in ran.outputs] == ["1\n"]
    assert not (tmp_path / "kept" / "01_try.ipynb").exists(), "what has not run to its end"


def test_of_the_other_version_only_what_differs_runs(tmp_path, monkeypatch):
    """It goes on from what the equal cells left, not from what those made that are others: in names and in files."""
    monkeypatch.delenv("PETTUTOR_WHOLE", raising=False)
    begin = "print('once')\nfrom pathlib import Path\nx, made = 1, Path('made')\nmade.open('a').write('a')"
    equal = "x = 5\ny = 3\nprint('twice')"
    first = notebook(tmp_path, begin, "x = z = 2\nmade.write_text('b')\nPath('mine').touch()", equal, "x = y = 4")
    other = "assert x == 1 and 'z' not in globals() and not Path('mine').exists()\nassert made.read_text() == 'a'"
    last = "assert (x, y) == (5, 3) and 'z' not in globals()"
    second = notebook(tmp_path, begin, other, equal, last, name="01_try.ipynb")
    times, memory = run_notebooks(first, second, folder=tmp_path, keep=tmp_path / "kept")
    outputs = [cell.outputs for cell in nbformat.read(tmp_path / "kept" / "01_try.ipynb", as_version=4).cells]
    assert [texts[0].text if texts else "" for texts in outputs] == ["once\n", "", "twice\n", ""]
    assert list(map(len, times)) == [4, 2] and 0.03 < memory < 1
    monkeypatch.setenv("PETTUTOR_WHOLE", "1")
    (tmp_path / "whole").mkdir()
    third = notebook(tmp_path, begin, "assert 'z' not in globals()", equal, last, name="02_try.ipynb")
    assert list(map(len, run_notebooks(first, third, folder=tmp_path / "whole")[0])) == [4, 4]


def test_an_exercise_that_is_not_solved_can_break_a_later_cell(tmp_path):
    from nbclient.exceptions import CellExecutionError

    uses = "def half():\n    return answer() / 2"
    first = notebook(tmp_path, "def answer():\n    return 42", uses, "half()")
    second = notebook(tmp_path, "def answer():\n    ...", uses, "half()", name="01_try.ipynb")
    with pytest.raises(CellExecutionError, match="unsupported operand"):
        run_notebooks(first, second, folder=tmp_path)


@pytest.mark.parametrize("networks", [False, True])
def test_no_memory_is_hidden_by_libraries_that_are_there_before(networks, tmp_path, monkeypatch):
    """A forked kernel reads no less than one that is started as Jupyter starts it."""
    whole = "import pettutor as pt\npt.networks.backend.load_keras()" if networks else "import scipy.ndimage"
    path, memory = notebook(tmp_path, whole, "import numpy as np\nkept = np.ones(30_000_000)"), {}
    for variable in ("", "1"):
        monkeypatch.setenv("PETTUTOR_WHOLE", variable)
        (tmp_path / f"as{variable}").mkdir()
        memory[variable] = run_notebooks(path, folder=tmp_path / f"as{variable}")[1]
    assert 0.24 < memory["1"] <= memory[""] + 0.02


def test_the_runner_notices_a_slow_cell(tmp_path):
    from nbclient.exceptions import CellTimeoutError

    with pytest.raises(CellTimeoutError):
        run_notebooks(notebook(tmp_path, "import time; time.sleep(30)", tags=["limit=1"]), folder=tmp_path)
