"""Progress: one small file that never stands in the way, and the tables made of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pettutor as pt
from pettutor.course.check import overview, progress
from pettutor.course.check.exercise import EXERCISES
from pettutor.course.folder import MANIFEST


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch):
    monkeypatch.setattr(progress, "_told", set())


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("PETTUTOR_PROGRESS", str(path))
    return path


def entry(path, name="em_update"):
    return json.loads(path.read_text(encoding="utf-8"))["exercises"][name]


# ---- the file ----


def test_an_exercise_is_kept_from_the_first_try_to_the_solution(file):
    assert progress.record("em_update", state="not yet") == "" and entry(file)["state"] == "not yet"
    assert "tries" not in entry(file)
    progress.record("em_update", state="wrong")
    assert entry(file)["state"] == "wrong" and entry(file)["tries"] == 1 and "solved" not in entry(file)
    progress.record("em_update", hints=2)
    progress.record("em_update", hints=1)
    progress.record("em_update", solution=True)
    progress.record("em_update", state="right")
    solved = entry(file)["solved"]
    progress.record("em_update", state="wrong")  # trying on does not undo it
    assert entry(file)["state"] == "right" and entry(file)["tries"] == 3 and entry(file)["hints"] == 2
    assert entry(file)["solution"] is True and entry(file)["solved"] == solved
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_checks_hints_and_solutions_keep_progress(file):
    pt.course.check.noise_equivalent_counts(lambda f, T, R: 2 * f * T)
    pt.course.hint("noise_equivalent_counts")
    pt.course.solution("noise_equivalent_counts")
    found = entry(file, "noise_equivalent_counts")
    assert found["state"] == "wrong" and found["tries"] == 1 and found["hints"] >= 1 and found["solution"]


DAMAGED = ["", "{", "[]", "3", '{"exercises": 3}', '{"exercises": null}', "\x00\x01", "[" * 100_000]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_kept_aside_and_named_once(file, text):
    file.write_text(text)
    verdict = pt.course.check.water_attenuation(0.1466)
    assert verdict and "is damaged: expected" in verdict.note and "progress-damaged.json" in verdict.note
    assert file.with_name("progress-damaged.json").read_text() == text
    assert entry(file, "water_attenuation")["state"] == "right"
    assert pt.course.check.water_attenuation(0.1466).note == ""


def test_bytes_that_are_no_text_count_as_damaged(file):
    file.write_bytes(b"\xff\xfe\x00{")
    assert "is damaged" in progress.record("em_update", state="right")
    assert entry(file)["state"] == "right"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ENTRIES = st.dictionaries(
    st.sampled_from([*EXERCISES][:4]) | st.text(),
    JSON | st.dictionaries(st.sampled_from(["state", "tries", "hints", "solution", "last", "solved"]), JSON),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(content=JSON | st.fixed_dictionaries({"exercises": ENTRIES}))
def test_whatever_a_file_holds_it_can_be_read_written_and_shown(file, content):
    file.write_text(json.dumps(content), encoding="utf-8")
    entries, problem = progress.read(file)
    assert isinstance(problem, str) and all(e["state"] in ("right", "wrong", "not yet") for e in entries.values())
    assert str(pt.course.progress()) and pt.course.progress()._repr_html_()
    assert len(pt.course.class_overview(file)) == 1
    progress.record("em_update", state="right")
    assert entry(file)["state"] == "right"


def test_entries_of_a_later_version_stay(file):
    file.write_text('{"version": 9, "exercises": {"of_lesson_40": {"state": "right", "tries": 2}}}')
    progress.record("em_update", state="right")
    assert entry(file, "of_lesson_40") == {"state": "right", "tries": 2}


def test_a_file_that_cannot_be_written_is_named_once_and_the_exercise_goes_on(file, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    progress.record("em_update", state="wrong")
    before = file.read_text()
    monkeypatch.setattr(os, "replace", full)
    verdict = pt.course.check.water_attenuation(0.1466)
    assert verdict and verdict.note == "Your progress is not kept: [Errno 28] No space left on device"
    assert pt.course.check.water_attenuation(0.1466).note == ""
    assert file.read_text() == before and [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PETTUTOR_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert "Your progress is not kept" in progress.record("em_update", state="right")
    assert "cannot be read" in pt.course.progress().problem


def test_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("PETTUTOR_PROGRESS", "off")
    monkeypatch.chdir(tmp_path)
    assert progress.progress_file() is None and progress.record("em_update", state="right") == ""
    assert "Progress is not kept here" in str(pt.course.progress()) and not list(tmp_path.iterdir())


def test_where_it_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("PETTUTOR_PROGRESS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setattr(progress.sys, "platform", "linux")
    lessons = tmp_path / "lessons"
    (lessons / "solutions").mkdir(parents=True)
    monkeypatch.chdir(lessons)
    assert progress.progress_file() == tmp_path / "data" / "pettutor" / progress.FILE_NAME
    (lessons / MANIFEST).write_text("{}")
    (lessons / "00_a.ipynb").write_text("")
    assert progress.progress_file() == lessons / progress.FILE_NAME
    monkeypatch.chdir(lessons / "solutions")
    assert progress.progress_file() is None  # a solved notebook is nobody's progress


WRITER = """
import sys
from pettutor.course.check import progress
for number in range(30):
    progress.record(f"{sys.argv[1]}_{number}", state="right")
"""


def test_two_processes_lose_nothing(file):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name], env=os.environ) for name in ("a", "b")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    entries, problem = progress.read(file)
    assert not problem and set(entries) == {f"{name}_{number}" for name in "ab" for number in range(30)}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_the_lock_of_a_dead_kernel_does_not_hold_for_ever(file, monkeypatch):
    lock = file.with_name(f".{file.name}.lock")
    lock.write_text("")
    begin = time.monotonic()
    progress.record("em_update", state="right")  # it waits a moment, then goes on all the same
    assert entry(file)["state"] == "right" and time.monotonic() - begin < 5 and lock.exists()
    os.utime(lock, (1, 1))
    progress.record("em_update", state="right")
    assert not lock.exists()


# ---- the tables ----


def test_the_table_by_lesson(file):
    progress.record("em_update", state="right")
    progress.record("osem_pass", state="wrong")
    found = pt.course.progress()
    assert found.right == 1 and found.states["osem_pass"] == "wrong" and set(found.states) == set(EXERCISES)
    lines = str(found).splitlines()
    lessons = [line.split(" · ")[0] for line in lines]
    assert lessons[: lessons.index("16") + 1] == [f"{number}" for number in range(17)]
    (fifth,) = (line for line in lines if line.startswith("5 · MLEM  "))
    assert "✔ em_update  · filter_search  ✘ osem_pass" in fifth
    assert f"1 of {len(EXERCISES)} exercises solved. Kept in {file}." in str(found)
    assert "✔&nbsp;<code>em_update</code>" in found._repr_html_()


def test_the_table_of_a_damaged_file_says_so(file):
    file.write_text("{")
    assert "is damaged" in str(pt.course.progress()) and "is damaged" in pt.course.progress()._repr_html_()


@pytest.fixture
def class_folder(tmp_path, monkeypatch):
    for path, solved in {"ann.json": ["em_update", "osem_pass"], "ben/pettutor-progress.json": ["phi"]}.items():
        (tmp_path / "class" / path).parent.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("PETTUTOR_PROGRESS", str(tmp_path / "class" / path))
        for name in solved:
            progress.record(name, state="right")
        progress.record("em_update", hints=2, solution=True)
    (tmp_path / "class" / "cem").mkdir()
    (tmp_path / "class" / "cem" / "pettutor-progress.json").write_text("damaged")
    (tmp_path / "class" / "other.json").write_text("[1]")
    (tmp_path / "class" / MANIFEST).write_text('{"sha256": {}}')
    return tmp_path / "class"


def test_the_overview_of_a_class(class_folder, tmp_path):
    table = pt.course.class_overview(class_folder, csv=tmp_path / "class.csv")
    assert list(table.index) == ["ann", "ben", "cem"]
    assert list(table["solved"]) == [2, 0, 0] and list(table["lesson 5"]) == ["2 of 3", "0 of 3", "0 of 3"]
    assert list(table["hints"]) == [2, 2, 0] and list(table["solutions seen"]) == [1, 1, 0]
    assert "is damaged" in table.loc["cem", "problem"] and table.loc["ann", "problem"] == ""
    assert len(table.loc["ann", "last day"]) == 10
    import pandas as pd

    read = pd.read_csv(tmp_path / "class.csv", index_col="student", keep_default_na=False)
    assert list(read.index) == ["ann", "ben", "cem"] and list(read["lesson 5"]) == list(table["lesson 5"])


def test_the_overview_of_single_files_and_of_namesakes(class_folder):
    both = [class_folder / "ann.json", class_folder / "ben" / "pettutor-progress.json"]
    assert list(pt.course.class_overview(both).index) == ["ann", "ben"]
    (class_folder / "ben" / "ann.json").write_text((class_folder / "ann.json").read_text())
    names = pt.course.class_overview([class_folder / "ann.json", class_folder / "ben" / "ann.json"]).index
    assert len(set(names)) == 2 and all(Path(name).name == "ann.json" for name in names)
    assert len(pt.course.class_overview([class_folder / "ann.json", str(class_folder / "ann.json")])) == 1


def test_the_overview_of_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sources: expected progress files or folders, got .*nowhere"):
        pt.course.class_overview(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="sources: expected at least one progress file, got none in"):
        pt.course.class_overview([tmp_path])


def test_titles_are_the_headings_of_the_lessons_or_their_names():
    assert overview.title("08_kernel_dictionary") == "8 · Kernel EM and dictionary learning"
    assert overview.title("40_not_there") == "40 · not there"
