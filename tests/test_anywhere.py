"""Binder and the devcontainer: their services are not here, their files are."""

import ast
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def is_a_python_of_ours(version):
    return f"{version}.0" in SpecifierSet(PROJECT["requires-python"])


def extra_in(command):
    (extra,) = re.findall(r"pip install [^;&\n]*\.\[([\w-]+)\]", command)
    return extra


def test_the_devcontainer_names_an_extra_and_a_python_of_ours():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert is_a_python_of_ours(re.fullmatch(r"python:(\d\.\d+)-\w+", container["image"])[1])
    assert extra_in(container["postCreateCommand"]) in PROJECT["optional-dependencies"]


def test_binders_environment_has_a_python_of_ours():
    """repo2docker takes environment.yml and postBuild in binder/, and nothing from the top of the repository then."""
    environment = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    python = next(text for text in environment["dependencies"] if text.startswith("python="))
    assert is_a_python_of_ours(python.removeprefix("python="))
    assert "pip" in environment["dependencies"]


@pytest.mark.skipif(os.name == "nt", reason="repo2docker runs it in bash")
def test_binders_post_build_installs_and_opens_the_first_lesson(tmp_path):
    """As repo2docker runs it: in the repository, by its path; pip and python only note what they are asked for."""
    (tmp_path / "bin").mkdir()
    for name in ("pip", "python"):
        (tmp_path / "bin" / name).write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}; [ "$1" = - ] && cat >> {tmp_path}/code\ntrue\n'
        )
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["binder/postBuild"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert extra_in("pip " + (tmp_path / "pip").read_text()) in PROJECT["optional-dependencies"]
    names = {
        node.attr for node in ast.walk(ast.parse((tmp_path / "code").read_text())) if isinstance(node, ast.Attribute)
    }
    assert {"Projector", "AcquisitionModel", "to_matrix", "mlem"} <= names  # what is compiled ahead
    config = json.loads((tmp_path / ".jupyter" / "jupyter_server_config.json").read_text())
    for application in ("ServerApp", "LabApp"):
        lesson = config[application]["default_url"].removeprefix("/lab/tree/")
        assert lesson.startswith("notebooks/00_") and (ROOT / lesson).is_file()
