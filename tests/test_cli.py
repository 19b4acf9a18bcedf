"""The command line: every command, every kind of error."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
import urllib.request

import pytest
from typer.testing import CliRunner

import pettutor
from pettutor import cli


def run(*arguments, **kwargs):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], **kwargs)


def heed_ctrl_c():
    """What a shell starts in the background ignores Ctrl-C, and so would all that the tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def python(code, *arguments, **kwargs):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# ---- start ----


@pytest.mark.parametrize("module", ["pettutor", "pettutor.cli"])
def test_version(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"pettutor {pettutor.__version__}\n")


def test_the_installed_command_is_this_one():
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="console_scripts", name="pettutor")
    assert entry.load() is cli.app


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "pettutor.cli", "--help"], capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0
    assert min(seconds) < 1.0


@pytest.mark.parametrize(
    "command", [(), ("demo",), ("lab",), ("study",), ("train",), ("doctor",), ("bench",), ("kit",)]
)
def test_help_has_examples(command):
    result = run(*command, "--help")
    text = plain(result.output)
    assert result.exit_code == 0
    assert re.search(r"Examples?: *\n +pettutor ", text), text


def test_the_command_line_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, pettutor.cli; print(*sys.modules)"], capture_output=True, text=True
    )
    assert not {"numpy", "numba", "matplotlib", "keras", "jupyterlab"} & set(done.stdout.split())
    assert "pettutor.cli" in done.stdout.split()


# ---- demo ----


@pytest.fixture
def demo_does(monkeypatch):
    """Put a function in the place of the demo, and see what it was asked for."""
    asked = {}

    def put(action=lambda: None):
        def run_demo(**settings):
            asked.update(settings)
            return action()

        module = types.ModuleType("pettutor.demo")
        module.run_demo = run_demo
        monkeypatch.setitem(sys.modules, "pettutor.demo", module)
        monkeypatch.setattr(pettutor, "demo", module, raising=False)
        return asked

    return put


def failing(error):
    def action():
        raise error

    return action


def test_demo_hands_its_settings_on(demo_does, tmp_path):
    asked = demo_does()
    result = run(
        "demo", "--size", "slab", "--subject", "mni:3", "--device", "cpu", "--seed", 5, "--out", tmp_path / "x"
    )
    assert result.exit_code == 0, result.output
    expected = {"size": "slab", "subject": "mni:3", "device": "cpu", "seed": 5, "out": tmp_path / "x", "progress": True}
    assert asked == expected
    assert type(asked["size"]) is str
    assert "report.html" in result.output


def test_demo_defaults(demo_does):
    asked = demo_does()
    assert run("demo").exit_code == 0
    assert (asked["size"], asked["subject"], asked["device"], asked["seed"]) == ("mini", "mni:0", "auto", 0)


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (
            ValueError("subject: expected mni:N\n or brainweb:NN, got 'x'"),
            "subject: expected mni:N or brainweb:NN, got 'x'",
            1,
        ),
        (OSError(errno.ENOSPC, "No space left on device", "out/a.npz"), "No space left on device: out/a.npz", 1),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "Permission denied: out", 1),
        (ConnectionError("no answer from the server"), "no answer from the server", 1),
        (MemoryError(), "not enough memory; try --size slab", 1),
        (ModuleNotFoundError("No module named 'keras'"), "No module named 'keras' (pettutor doctor says what", 1),
        (RuntimeError("odd"), "RuntimeError: odd (--debug shows where)", 1),
        (KeyboardInterrupt(), "stopped by the keyboard", 130),
    ],
)
def test_every_error_is_one_line(demo_does, error, line, code):
    demo_does(failing(error))
    result = run("demo")
    assert result.exit_code == code
    (only,) = result.stderr.strip().splitlines()
    assert only.startswith(f"pettutor: {line}")
    assert "report.html" not in result.stdout


def test_debug_shows_where(demo_does):
    demo_does(failing(ValueError("wrong")))
    assert "Traceback" in run("demo", "--debug").stderr
    assert "Traceback" in run("demo", env={"PETTUTOR_DEBUG": "1"}).stderr
    assert "Traceback" not in run("demo").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "huge"), "slab"),
        (("--device", "tpu"), "cuda"),
        (("--seed", "-1"), "--seed"),
        (("--sead", "1"), "--seed"),
    ],
)
def test_wrong_options_name_what_is_right(arguments, words):
    result = run("demo", *arguments)
    assert result.exit_code == 2 and words in plain(result.stderr)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_in_a_real_process():
    code = """
import sys, time, types
module = types.ModuleType("pettutor.demo")
module.run_demo = lambda **settings: (print("running", flush=True), time.sleep(60))
sys.modules["pettutor.demo"] = module
from pettutor.cli import app
app(["demo"])
"""
    with python(code, preexec_fn=heed_ctrl_c) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.strip() == "pettutor: stopped by the keyboard"


# ---- lab ----

NOTEBOOK = {
    "cells": [],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "p"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture
def packaged(tmp_path):
    """Lessons as a wheel carries them."""
    folder = tmp_path / "packaged"
    (folder / "solutions").mkdir(parents=True)
    (folder / "teacher").mkdir()
    for name in (
        "01_phantom.ipynb",
        "00_start_here.ipynb",
        *(f"{p}/00_start_here.ipynb" for p in ("solutions", "teacher")),
    ):
        (folder / name).write_text(json.dumps(NOTEBOOK))
    return folder


@pytest.fixture
def launched(packaged, monkeypatch):
    from pettutor.course import folder

    commands = []
    monkeypatch.setattr(folder, "lessons_folder", lambda: packaged)
    monkeypatch.setattr(cli, "_run_in_front", lambda command: commands.append(command) or 0)
    return commands


def test_lab_copies_and_opens_the_first_lesson(launched, tmp_path):
    result = run("lab", "--dir", tmp_path / "mine", "--no-browser", "--port", 8899)
    assert result.exit_code == 0, result.output
    (command,) = launched
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert str(tmp_path / "mine" / "00_start_here.ipynb") in command
    assert {"--no-browser", "--port=8899", f"--ServerApp.root_dir={tmp_path / 'mine'}"} <= set(command)
    assert (tmp_path / "mine" / "solutions" / "00_start_here.ipynb").exists()
    assert "added: 00_start_here.ipynb, 01_phantom.ipynb" in result.output


def test_lab_by_default_in_the_present_folder(launched, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    assert run("lab").exit_code == 0
    assert (tmp_path / "home" / "pettutor-lessons" / "00_start_here.ipynb").exists()
    monkeypatch.chdir(tmp_path / "home" / "pettutor-lessons")  # started from inside: not one deeper
    assert run("lab").exit_code == 0
    assert not (tmp_path / "home" / "pettutor-lessons" / "pettutor-lessons").exists()
    assert "--no-browser" not in launched[0]


def test_lab_hands_the_rest_to_jupyterlab(launched, tmp_path):
    assert run("lab", "--dir", tmp_path / "mine", "--", "--allow-root", "--ip=0.0.0.0").exit_code == 0
    assert launched[0][-2:] == ["--allow-root", "--ip=0.0.0.0"]


def test_lab_copy_only(launched, tmp_path):
    assert run("lab", "--copy-only", "--dir", tmp_path / "mine").exit_code == 0
    assert (tmp_path / "mine" / "01_phantom.ipynb").exists() and not launched
    assert not (tmp_path / "mine" / "teacher").exists()


def test_lab_for_a_teacher(launched, tmp_path):
    assert run("lab", "--copy-only", "--teacher", "--dir", tmp_path / "mine").exit_code == 0
    assert (tmp_path / "mine" / "teacher" / "00_start_here.ipynb").exists()


def test_lab_in_a_checkout_opens_in_place(launched, packaged, monkeypatch):
    from pettutor.course import folder

    monkeypatch.setattr(folder, "in_checkout", lambda: True)
    assert run("lab").exit_code == 0
    assert str(packaged / "00_start_here.ipynb") in launched[0]


def test_lab_into_a_file(launched, tmp_path):
    (tmp_path / "file").write_text("x")
    result = run("lab", "--dir", tmp_path / "file")
    assert result.exit_code == 1 and "expected a folder, got the file" in result.stderr


def test_lab_without_jupyterlab(launched, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "jupyterlab" else found(name, *a))
    result = run("lab", "--dir", tmp_path / "mine")
    assert result.exit_code == 1 and "-m pip install jupyterlab" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="ends the server by a POSIX signal")
def test_lab_starts_a_real_jupyterlab(packaged, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = """
import sys
from pathlib import Path
from pettutor.course import folder
folder.lessons_folder = lambda: Path(sys.argv[1])
from pettutor.cli import app
app(["lab", "--dir", sys.argv[2], "--no-browser", "--port", sys.argv[3]])
"""
    (tmp_path / "config").mkdir()
    config = {"ServerApp": {"allow_root": True}}  # a container's user may be root, which Jupyter otherwise refuses
    (tmp_path / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    with python(code, packaged, tmp_path / "mine", port, env=environment, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            answer = None
            while answer is None and time.monotonic() < deadline and process.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5) as response:
                        answer = json.load(response)
                except OSError:
                    time.sleep(0.3)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    assert answer and "version" in answer, stdout + stderr
