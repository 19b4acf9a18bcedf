"""Kernels on disk are out of date as soon as any file with kernels changes."""

import importlib
import shutil
from pathlib import Path

import pytest

from pettutor.projector import compiling

ROOM = Path(compiling.__file__).parent
KERNELS = ("kernels", "tracing", "timing", "steep", "event_kernels", "matrix_kernels")


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_looks_at_the_whole_room(name):
    module = importlib.import_module(f"pettutor.projector.{name}")
    kernels = [v for v in vars(module).values() if hasattr(v, "py_func") and v.py_func.__module__ == module.__name__]
    assert kernels
    for kernel in kernels:
        stamp = kernel._cache._cache_file._source_stamp
        assert isinstance(stamp, tuple) and stamp[1] == compiling._ROOM, f"{kernel.py_func.__name__}: use @compiled"


@pytest.mark.parametrize("changed", [*KERNELS, "vectors", "footprints"])
def test_a_change_in_any_file_with_kernels_counts(changed, tmp_path, monkeypatch):
    for path in ROOM.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    before = compiling._room()
    assert before == compiling._ROOM
    with open(tmp_path / f"{changed}.py", "a", encoding="utf-8") as file:
        file.write("# another version\n")
    assert compiling._room() != before


def test_a_change_elsewhere_does_not(tmp_path, monkeypatch):
    for path in ROOM.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    with open(tmp_path / "matrix_storage.py", "a", encoding="utf-8") as file:
        file.write("# another version\n")
    assert compiling._room() == compiling._ROOM
