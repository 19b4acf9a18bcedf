"""data_scripts: fetching BrainWeb and data sets on Zenodo, against a server on this machine."""

import contextlib
import hashlib
import json
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from brainweb_server import CODES, packed, real_file, serving

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "data_scripts" / "fetch_brainweb.py"


def script(name):
    """A script as a module; it finds the one that it shares as it does when it is run."""
    spec = spec_from_file_location(name, ROOT / "data_scripts" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def main():
    return script("fetch_brainweb").main


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


# ---- data sets on Zenodo ----

BODY = np.random.default_rng(5).bytes(150_001)
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture(scope="module")
def zenodo():
    sys.path.insert(0, str(ROOT / "data_scripts"))  # as for a script that is run
    import zenodo

    yield zenodo
    sys.path.remove(str(ROOT / "data_scripts"))


@pytest.fixture
def data(zenodo):
    """A made-up data set of two records, with a file each; the md5 of the first is known."""
    parts = {
        "scan": zenodo.Part(11, "a scan", {"scan one.zip": MD5}),
        "more": zenodo.Part(12, "more", {"more.zip": None}),
    }
    return zenodo.DataSet("made_up", "Made-up data", parts, cite=("Somebody, 1999",), notes=("a note",))


def record(name, url, md5=MD5, size=150_001):
    about = {
        "title": "A title", "creators": [{"name": "Curie, Marie"}], "publication_date": "2018-11-05",
        "license": {"id": "cc-by-4.0"},
    }  # fmt: skip
    address = f"{url}api/records/11/files/{quote(name)}/content"
    file = {"key": name, "size": size, "checksum": f"md5:{md5}", "links": {"self": address}}
    return {"doi": "10.5281/zenodo.11", "metadata": about, "files": [file]}


@contextlib.contextmanager
def zenodo_with(*modes, **changes):
    """A Zenodo on this machine: two records, and the same file in both."""

    def answer(path):
        number = re.fullmatch(r"/api/records/(\d+)", path)
        if not number:
            return BODY
        return json.dumps(record({"11": "scan one.zip", "12": "more.zip"}[number[1]], server.url, **changes)).encode()

    with serving(answer, *modes) as server:
        yield server


@pytest.fixture
def fetch(zenodo, data, tmp_path, monkeypatch, capsys):
    """Run the script; gives exit code, what it said, and what it complained of."""
    monkeypatch.setattr("time.sleep", lambda _: None)

    def run(server, *arguments):
        code = zenodo.main(data, ["--folder", str(tmp_path / "data"), "--server", server, *arguments])
        said = capsys.readouterr()
        complaint = [line for line in said.err.splitlines() if line.startswith("fetch_")]
        return code, said.out, complaint

    return run


def files_asked(server):
    return [(path, wanted) for path, wanted in server.asked if "/files/" in path]


def test_zenodo_dry_run_tells_and_does_nothing(fetch, tmp_path):
    with zenodo_with() as server:
        code, said, _ = fetch(server.url, "--dry-run", "--parts", "scan", "more")
        assert code == 0 and not files_asked(server)
    assert "0 MB: missing" in said and "scan one.zip" in said and "more.zip" in said
    citation = "Curie, Marie, A title, Zenodo, 2018. https://doi.org/10.5281/zenodo.11"
    for words in ("cc-by-4.0", citation, "Somebody, 1999", "a note", "GB free"):
        assert words in said
    assert list(tmp_path.iterdir()) == []


def test_zenodo_fetches_once_and_then_only_checks_even_offline(fetch, tmp_path):
    with zenodo_with() as server:
        assert fetch(server.url)[0] == 0
        assert (tmp_path / "data" / "scan one.zip").read_bytes() == BODY
        assert fetch(server.url)[0] == 0
        assert len(files_asked(server)) == 1 and "more.zip" not in str(server.asked)
    code, said, _ = fetch(server.url)  # it is gone now
    assert code == 0 and "scan one.zip, 0 MB: whole" in said
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"scan one.zip", "zenodo-11.json"}


def test_zenodo_resumes_a_cut_transfer_in_the_same_run_and_in_the_next(fetch, tmp_path):
    half = len(BODY) // 2
    with zenodo_with("fine", "stop", 500, 500, 500) as server:
        code, _, complaint = fetch(server.url)
        assert code == 1 and "answered 500" in complaint[0]
        assert (tmp_path / "data" / "scan one.zip.part").stat().st_size == half
        assert [wanted for _, wanted in files_asked(server)] == [None, f"bytes={half}-", f"bytes={half}-"]
    with zenodo_with("fine", "resume") as server:
        code, said, _ = fetch(server.url)
        assert code == 0 and "begun, 0 MB are there" in said
        assert [wanted for _, wanted in files_asked(server)] == [f"bytes={half}-"]
    assert (tmp_path / "data" / "scan one.zip").read_bytes() == BODY


def test_zenodo_does_not_give_up_while_a_bad_network_brings_some_of_the_file(fetch, tmp_path):
    """Of 9 GB many transfers may be cut: only attempts in a row that bring nothing are counted."""
    cut = ("resume and stop", 500)
    with zenodo_with("fine", "stop", 500, *cut, *cut, *cut, "resume") as server:
        assert fetch(server.url)[0] == 0
    assert (tmp_path / "data" / "scan one.zip").read_bytes() == BODY


def test_zenodo_replaces_a_damaged_file_and_refuses_a_wrong_one(fetch, data, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scan one.zip").write_bytes(BODY[:-1] + b"?")
    with zenodo_with() as server:
        code, said, _ = fetch(server.url)
    assert code == 0 and "damaged (expected md5" in said
    assert (tmp_path / "data" / "scan one.zip").read_bytes() == BODY
    other = hashlib.md5(b"other").hexdigest()
    with zenodo_with(md5=other) as server:
        code, _, complaint = fetch(server.url, "--parts", "more")
    assert code == 1 and f"more.zip that is refused: expected md5 {other}, got {MD5}" in complaint[0]
    assert not (tmp_path / "data" / "more.zip").exists()
    assert (tmp_path / "data" / "more.zip.part").stat().st_size == 0
    with zenodo_with(md5=other) as server:  # before anything is fetched
        code, _, complaint = fetch(server.url)
        assert code == 1 and f"expected md5 {MD5}, got {other} in record 11" in complaint[0]
        assert not files_asked(server)


def test_zenodo_no_room_offline_and_a_record_without_the_file(fetch, tmp_path):
    with zenodo_with(size=10**18) as server:
        code, _, complaint = fetch(server.url)
        assert code == 1 and re.search(r"expected 1,000,000,000,000 MB of free disk, got [\d,]+ MB", complaint[0])
        assert not files_asked(server)
    code, _, complaint = fetch(server.url)
    assert code == 1 and len(complaint) == 1 and "record 11: a network is needed" in complaint[0]
    with serving(json.dumps({"files": []}).encode()) as server:
        assert "expected the file scan one.zip, got none" in fetch(server.url)[2][0]
    with serving(b"<html>") as server:
        assert "expected a JSON document" in fetch(server.url)[2][0]
    assert list(tmp_path.iterdir()) == []


def test_zenodo_ctrl_c_says_how_to_go_on(fetch, zenodo, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(zenodo, "fill", stop)
    with zenodo_with() as server:
        code, _, complaint = fetch(server.url)
    assert code == 130 and complaint == ["fetch_made_up: stopped; run the same command again to go on"]


@pytest.mark.parametrize("name", ["fetch_amyloid", "fetch_sirf_exercises"])
def test_scripts_on_zenodo_are_one_clear_line_offline(name, tmp_path):
    with serving(b"") as server:
        url = server.url
    command = [sys.executable, str(ROOT / "data_scripts" / f"{name}.py"), "--server", url, "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"{name}: 127.0.0.1") and "a network is needed" in line
    assert list(tmp_path.iterdir()) == []


def test_every_data_script_is_in_its_readme():
    text = (ROOT / "data_scripts" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "data_scripts").glob("*.py"):
        assert f"`{path.name}`" in text, path.name
    for name in re.findall(r"`(pettutor/[\w/]+\.py)`", text):
        assert (ROOT / name).exists(), name
    for module in re.findall(r"python -m (pettutor[\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
