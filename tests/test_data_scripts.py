"""data_scripts: fetching BrainWeb ahead of a class, against a server on this machine."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from brainweb_server import CODES, packed, real_file, serving

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "data_scripts" / "fetch_brainweb.py"


@pytest.fixture(scope="module")
def main():
    spec = spec_from_file_location("fetch_brainweb", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def tiny(monkeypatch):
    """A file of a few kilobytes, in a library that believes subjects to be that small and waits for nothing."""
    shape = (20, 30, 25)
    monkeypatch.setattr("pettutor.phantoms.brainweb.SHAPE", shape)
    monkeypatch.setattr("pettutor.phantoms.brainweb.RAW_BYTES", 2 * int(np.prod(shape)))
    monkeypatch.setattr("time.sleep", lambda _: None)
    return packed(np.random.default_rng(2).choice(np.array(CODES, "<u2"), shape))


def test_dry_run_tells_and_does_nothing(main, tmp_path, capsys):
    assert main(["--subjects", "all", "--dry-run", "--cache", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert "about 82 MB to download" in said and "0 of 20 subjects" in said
    assert "Collins" in said and "free to use with citation" in said and "subject54_crisp" in said
    assert list(tmp_path.iterdir()) == []


def test_fetch_and_run_again(main, tmp_path, tiny, capsys):
    with serving(tiny, "stop", "resume", "fine") as server:
        arguments = ["--subjects", "41", "42", "--cache", str(tmp_path), "--base-url", server.url]
        assert main(arguments) == 0
        assert [path for path, _ in server.asked] == ["/subject_41.bin.gz"] * 2 + ["/subject_42.bin.gz"]
        asked = len(server.asked)
        assert main(arguments) == 0
        assert len(server.asked) == asked  # nothing more to do
    assert "2 of 2 subjects, checked" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["subject_41.bin.gz", "subject_42.bin.gz"]


def test_damaged_files_are_replaced(main, tmp_path, tiny, capsys):
    path = tmp_path / "subject_43.bin.gz"
    path.write_bytes(b"<html>sorry</html>")
    with serving(tiny) as server:
        assert main(["--subjects", "43", "--cache", str(tmp_path), "--base-url", server.url]) == 0
    assert path.read_bytes() == tiny
    assert "damaged (expected a gzip file, got a web page" in capsys.readouterr().out


def test_one_failure_does_not_stop_the_others(main, tmp_path, tiny, capsys):
    with serving(tiny, 404, "fine") as server:
        assert main(["--subjects", "44", "45", "--cache", str(tmp_path), "--base-url", server.url]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["subject_45.bin.gz"]
    assert "answered 404" in capsys.readouterr().err


def test_offline_is_one_clear_line(tmp_path):
    with serving(b"") as server:
        url = server.url
    command = [sys.executable, str(SCRIPT), "--subjects", "04", "--cache", str(tmp_path), "--base-url", url]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "mni:0" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_room_on_the_disk(main, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    assert main(["--subjects", "04", "--cache", str(tmp_path)]) == 1
    assert "expected 4 MB of free disk, got 1 MB" in capsys.readouterr().err


def test_unknown_subject(main, capsys):
    assert main(["--subjects", "99"]) == 2
    assert "got '99'" in capsys.readouterr().err


def test_a_real_file_served_from_a_class_room(main, tmp_path, capsys):
    with serving(real_file("20").read_bytes()) as server:
        assert main(["--subjects", "20", "--cache", str(tmp_path), "--base-url", server.url]) == 0
    assert (tmp_path / "subject_20.bin.gz").read_bytes() == real_file("20").read_bytes()
