"""The course's tools: sizes, making notebooks, copying lessons."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest

from pettutor import course
from pettutor.course import build, folder

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

SOURCE = """\
# %% [markdown]
# # A lesson
# with $x^2$

# %% tags=["limit=90"]
import math


def area(r):
    # solution:
    square = r**2
    return math.pi * square
    # stub: # pi times ...
    # stub: return 0.0
    # end of solution


area(2)

# %%
# solution:
answer = 42
# end of solution

# %% [markdown] tags=["solution"]
# only when solved, see [words](glossary.ipynb#a)

# %% [markdown] tags=["teacher"]
# **3 minutes, areas.** Say "square".

# %% tags=["student"]
"your turn"

# %%
math.pi

# %%
math.pi
"""


# ---- size ----


def test_size(monkeypatch):
    monkeypatch.delenv("PETTUTOR_SIZE", raising=False)
    assert (course.size(), course.size("mmr")) == ("mini", "mmr")
    monkeypatch.setenv("PETTUTOR_SIZE", "slab")
    assert course.size("mmr") == "slab"
    monkeypatch.setenv("PETTUTOR_SIZE", "")
    assert course.size() == "mini"


def test_size_that_is_none(monkeypatch):
    monkeypatch.delenv("PETTUTOR_SIZE", raising=False)
    with pytest.raises(ValueError, match="size: expected one of slab, mini, mmr, got 'big'"):
        course.size("big")
    monkeypatch.setenv("PETTUTOR_SIZE", "tiny")
    with pytest.raises(ValueError, match="PETTUTOR_SIZE: expected one of slab, mini, mmr, got 'tiny'"):
        course.size()


# ---- the folder of a training ----


def test_training_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = course.training_folder("11_em_net", long=True, epochs=6)
    assert one == Path("pettutor-training/11_em_net-long-True-epochs-6") and one.is_dir()
    (one / "state.npz").write_bytes(b"kept")
    assert course.training_folder("11_em_net", long=True, epochs=6) == one and (one / "state.npz").exists()
    assert course.training_folder("11_em_net", long=False, epochs=6) != one
    for name in ("../elsewhere", ".hidden", ""):
        with pytest.raises(ValueError, match="training folder: expected letters, digits"):
            course.training_folder(name)


# ---- making notebooks ----


@pytest.fixture
def book(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "03_area.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook.cells


def test_student_and_solution(book):
    assert {p.name for p in build.build(book)} == {"03_area.ipynb"}
    student, solution, teacher = (cells(book / place / "03_area.ipynb") for place in build.PLACES)
    assert [c.cell_type for c in student] == ["markdown", *["code"] * 6]
    assert [c.cell_type for c in solution] == ["markdown", *["code"] * 3, "markdown", "code", "code"]
    assert student[0].source == solution[0].source == "# A lesson\nwith $x^2$"
    assert student.pop(1) == solution.pop(1) == teacher.pop(1)  # for Colab
    head, tail = "import math\n\n\ndef area(r):\n", "\n\n\narea(2)"
    assert student[1].source == head + "    # pi times ...\n    return 0.0" + tail
    assert solution[1].source == head + "    square = r**2\n    return math.pi * square" + tail
    assert (student[2].source, solution[2].source) == (build.DEFAULT_STUB, "answer = 42")
    assert student[1].metadata == {"tags": ["limit=90"]}
    assert student[3].source == '"your turn"'
    assert solution[3].source == "only when solved, see [words](../glossary.ipynb#a)"
    note = teacher.pop(4)
    assert [(c.cell_type, c.source) for c in teacher] == [(c.cell_type, c.source) for c in solution]
    assert note.source.startswith("<div") and '**For the teacher.** **3 minutes, areas.** Say "square".' in note.source


def test_a_note_is_in_words(book):
    path = book / "source" / "03_area.py"
    path.write_text(SOURCE.replace('[markdown] tags=["teacher"]\n# **3 minutes, areas.**', 'tags=["teacher"]\n#'))
    with pytest.raises(ValueError, match="cell 5: expected words in a cell tagged 'teacher', got code"):
        build.build_lesson(path)


def test_the_glossary_beside_the_lessons(book, check):
    notebooks, glossary = book / "notebooks", book / "docs" / "glossary.md"
    notebooks.mkdir()
    (book / "source").rename(notebooks / "source")
    glossary.parent.mkdir()
    glossary.write_text("# Words\n\n| **area** | [3](../notebooks/03_area.ipynb) |\n")
    build.build(notebooks)
    (cell,) = cells(notebooks / "glossary.ipynb")
    assert (cell.cell_type, cell.source) == ("markdown", "# Words\n\n| **area** | [3](03_area.ipynb) |")
    glossary.write_text("# Other words\n")
    assert check(notebooks)[1].splitlines() == ["glossary.ipynb is not what its source makes"]


def test_notebooks_are_plain_and_always_the_same(book):
    first = build.build_lesson(book / "source" / "03_area.py")
    assert first == build.build_lesson(book / "source" / "03_area.py")
    for text in first:
        notebook = json.loads(text)
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert all(
            not c["outputs"] and c["execution_count"] is None for c in notebook["cells"] if c["cell_type"] == "code"
        )
        identities = [c["id"] for c in notebook["cells"]]
        assert len(set(identities)) == len(identities), "two equal cells need two names"


def test_a_change_touches_only_its_own_cell(book):
    path = book / "source" / "03_area.py"
    before = [c["id"] for c in json.loads(build.build_lesson(path)[0])["cells"]]
    path.write_text(SOURCE.replace("# # A lesson", "# # One more\n\n# %%\nnew = 1\n\n# %% [markdown]\n# # The lesson"))
    after = [c["id"] for c in json.loads(build.build_lesson(path)[0])["cells"]]
    assert set(before[1:]) <= set(after) and len(after) == len(before) + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    # end of solution\n", ""), "expected '# end of solution' after '# solution:', got the end of the cell"),
        (("    # solution:\n", ""), "cell 2: expected '# stub:' between"),
        (("# solution:\nanswer", "answer"), "cell 3: expected '# solution:' before '# end of solution'"),
        (("    square =", "    # solution:\n    square ="), "before another '# solution:'"),
    ],
)
def test_wrong_marks(book, change, message):
    path = book / "source" / "03_area.py"
    path.write_text(SOURCE.replace(*change, 1))
    with pytest.raises(ValueError, match=message):
        build.build_lesson(path)


def test_wrong_names(book):
    path = (book / "source" / "03_area.py").rename(book / "source" / "Area.py")
    with pytest.raises(ValueError, match=r"Area.py: expected a name such as 05_mlem.py"):
        build.build_lesson(path)


@pytest.fixture
def check(capsys):
    def run(book):
        code = build.main(["--check", "--folder", str(book)])
        return code, capsys.readouterr().err

    return run


def test_check_finds_what_drifted(book, check):
    missing = [f"{place}03_area.ipynb is missing" for place in ("", "solutions/", "teacher/")]
    assert check(book)[1].splitlines() == missing
    build.build(book)
    assert check(book) == (0, "")
    assert build.build(book) == []
    text = (book / "03_area.ipynb").read_text()
    (book / "03_area.ipynb").write_text(text.replace("pi times", "tau times"))
    (book / "solutions" / "09_old.ipynb").write_text(text)
    (book / "teacher" / "08_old.ipynb").write_text(text)
    code, words = check(book)
    assert code == 1
    ends = ["solutions/09_old.ipynb has no source", "teacher/08_old.ipynb has no source"]
    assert words.splitlines() == ["03_area.ipynb is not what its source makes", *ends]


def test_check_without_lessons(tmp_path, check):
    assert check(tmp_path) == (0, "")


def test_the_command_names_what_is_wrong(book):
    def run(*arguments):
        command = [sys.executable, "-m", "pettutor.course.build", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    assert run("--folder", book) == (
        0,
        "".join(f"wrote {book / place / '03_area.ipynb'}\n" for place in build.PLACES),
    )
    (book / "source" / "03_area.py").write_text("# %%\n# solution:\n")
    code, words = run("--folder", book)
    assert code == 2 and "03_area.py, cell 1: expected '# end of solution'" in words and "Traceback" not in words
    code, words = run("--folder", book / "none")
    assert code == 2 and "expected a folder with source/ in it" in words


def test_the_notebooks_here_are_what_their_sources_make():
    assert build.differences(NOTEBOOKS) == [], "run python -m pettutor.course.build"


# ---- Google Colab ----


def in_colab(code, folder, monkeypatch):
    """Run the cell as Colab would; gives what pip was asked for, and whether the viewers were enabled."""
    asked, enabled = [], []
    google = types.ModuleType("google.colab")
    google.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: enabled.append(True))
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", google)
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command[1:]))
    monkeypatch.chdir(folder)
    exec(code, {})
    return asked, enabled


def test_the_cell_for_colab_installs_there_and_does_nothing_elsewhere(book, monkeypatch):
    build.build(book)
    (cell,) = [c for c in cells(book / "03_area.ipynb") if "colab" in c.metadata.get("tags", [])]
    assert cell.metadata.jupyter.source_hidden
    before = set(sys.modules)
    exec(cell.source, {})  # no Colab here
    assert set(sys.modules) == before
    with pytest.raises(FileNotFoundError, match="upload pettutor's wheel"):
        in_colab(cell.source, book, monkeypatch)
    (book / "pettutor-9.9-py3-none-any.whl").write_bytes(b"")
    asked, enabled = in_colab(cell.source, book, monkeypatch)
    assert asked == [["-m", "pip", "install", "-q", "pettutor-9.9-py3-none-any.whl"]] and enabled == [True]


def test_with_a_repository_colab_installs_from_it_and_every_notebook_has_its_link(tmp_path, monkeypatch):
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    (tmp_path / "notebooks" / "source" / "03_area.py").write_text(SOURCE)
    project = tmp_path / "pyproject.toml"
    project.write_text('[project.urls]\nRepository = "https://github.com/some-one/pet.tutor.git"\n')
    build.build(tmp_path / "notebooks")
    for where in ("", "solutions/"):
        link, install = cells(tmp_path / "notebooks" / f"{where}03_area.ipynb")[1:3]
        start = "https://colab.research.google.com/github/some-one/pet.tutor/blob/main/notebooks/"
        assert link.source == f"[Open in Google Colab]({start}{where}03_area.ipynb)"
        asked, enabled = in_colab(install.source, tmp_path, monkeypatch)
        assert asked[0][-1] == "pettutor @ git+https://github.com/some-one/pet.tutor" and enabled == [True]
    project.write_text('[project.urls]\nRepository = "https://elsewhere.org/some-one/pettutor"\n')
    with pytest.raises(ValueError, match=r"expected \[project.urls\] Repository = https://github.com/OWNER/NAME, got"):
        build.build(tmp_path / "notebooks")


# ---- copying ----


@pytest.fixture
def lessons(tmp_path):
    source = tmp_path / "lessons"
    (source / "solutions").mkdir(parents=True)
    (source / "teacher").mkdir()
    for name in ("00_a.ipynb", "01_b.ipynb", "solutions/01_b.ipynb", "notes.ipynb", TEACHERS, "glossary.ipynb"):
        (source / name).write_text(f"first {name}")
    return source


TEACHERS = "teacher/00_a.ipynb"
ALL = ["00_a.ipynb", "01_b.ipynb", "solutions/01_b.ipynb", "glossary.ipynb"]


def test_copy_adds_all(lessons, tmp_path):
    report = course.copy_lessons(tmp_path / "new" / "mine", source=lessons)
    mine = tmp_path / "new" / "mine"
    assert report.added == ALL and report.folder == mine
    assert {p.relative_to(mine).as_posix() for p in mine.rglob("*") if p.is_file()} == {*ALL, folder.MANIFEST}
    assert (mine / "01_b.ipynb").read_text() == "first 01_b.ipynb"
    assert course.lessons(mine) == [mine / "00_a.ipynb", mine / "01_b.ipynb"]


def test_the_teacher_gets_more(lessons, tmp_path):
    course.copy_lessons(tmp_path / "mine", source=lessons)
    report = course.copy_lessons(tmp_path / "mine", source=lessons, teacher=True)
    assert report.added == [TEACHERS] and report.unchanged == ALL
    assert (tmp_path / "mine" / TEACHERS).read_text() == f"first {TEACHERS}"


def test_copy_again_changes_nothing(lessons, tmp_path):
    course.copy_lessons(tmp_path / "mine", source=lessons)
    report = course.copy_lessons(tmp_path / "mine", source=lessons)
    assert report.unchanged == ALL and not report.added
    assert "all as they were" in str(report)


def test_edited_lessons_are_never_touched_and_others_are_updated(lessons, tmp_path):
    mine = tmp_path / "mine"
    course.copy_lessons(mine, source=lessons)
    (mine / "01_b.ipynb").write_text("my work")
    (mine / "solutions" / "01_b.ipynb").write_text("my notes")
    (mine / "00_x.ipynb").write_text("my own file")
    for name in ("00_a.ipynb", "01_b.ipynb"):
        (lessons / name).write_text(f"second {name}")
    for _ in range(2):  # the second start must not take an edited lesson for an unedited one
        report = course.copy_lessons(mine, source=lessons)
        assert (mine / "00_a.ipynb").read_text() == "second 00_a.ipynb"
        assert (mine / "01_b.ipynb").read_text() == "my work"
        assert (mine / "solutions" / "01_b.ipynb").read_text() == "my notes"
        assert (mine / "00_x.ipynb").read_text() == "my own file"
        assert report.outdated == ["01_b.ipynb"] and report.kept == ["solutions/01_b.ipynb"]
        assert "newer version: 01_b.ipynb" in str(report) and "kept as you edited them: solutions" in str(report)
    assert report.unchanged == ["00_a.ipynb", "glossary.ipynb"]


def test_a_removed_lesson_comes_back(lessons, tmp_path):
    course.copy_lessons(tmp_path / "mine", source=lessons)
    (tmp_path / "mine" / "00_a.ipynb").unlink()
    assert course.copy_lessons(tmp_path / "mine", source=lessons).added == ["00_a.ipynb"]


@pytest.mark.parametrize("manifest", [None, "not json", "[]", '{"sha256": 3}'])
def test_without_a_manifest_everything_there_counts_as_edited(lessons, tmp_path, manifest):
    mine = tmp_path / "mine"
    course.copy_lessons(mine, source=lessons)
    (mine / folder.MANIFEST).unlink() if manifest is None else (mine / folder.MANIFEST).write_text(manifest)
    (lessons / "00_a.ipynb").write_text("second")
    report = course.copy_lessons(mine, source=lessons)
    assert report.outdated == ["00_a.ipynb"] and (mine / "00_a.ipynb").read_text() == "first 00_a.ipynb"


def test_copy_into_wrong_places(lessons, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder, got the file"):
        course.copy_lessons(tmp_path / "file", source=lessons)
    with pytest.raises(ValueError, match="expected one outside the course's own folder"):
        course.copy_lessons(lessons / "inside", source=lessons)


def test_a_full_disk_leaves_nothing_half_written(lessons, tmp_path, monkeypatch):
    mine = tmp_path / "mine"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        course.copy_lessons(mine, source=lessons)
    assert list(mine.rglob("*")) == []


def test_lessons_are_found_in_a_checkout_or_missed_in_words(monkeypatch, tmp_path):
    if folder.lessons(NOTEBOOKS):
        assert course.lessons_folder() == NOTEBOOKS and folder.in_checkout()
    monkeypatch.setattr(folder, "_PACKAGE", tmp_path / "pettutor")
    with pytest.raises(FileNotFoundError, match="no lessons found: expected notebooks in"):
        course.lessons_folder()
