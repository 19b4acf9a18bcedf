"""What the package says of itself: extras, versions, the wheel, and the texts in the repository."""

import ast
import json
import re
import sys
import tomllib
import zipfile
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pettutor"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
BASE = [Requirement(text) for text in PROJECT["dependencies"]]
# A whole TensorFlow each; what they install overlaps.
TENSORFLOWS = {"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly", "tf-nightly-cpu"}
CUPYS = {"cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x"}
PLATFORMS = [
    {"sys_platform": system, "platform_system": title, "os_name": os_name, "platform_machine": machine}
    for system, title, os_name, machines in (
        ("linux", "Linux", "posix", ("x86_64", "aarch64")),
        ("darwin", "Darwin", "posix", ("x86_64", "arm64")),
        ("win32", "Windows", "nt", ("AMD64", "ARM64")),
    )
    for machine in machines
]
PYTHONS = ("3.11", "3.12", "3.13")
BESIDE = [(), ("jax",), ("test",), ("docs",), ("jax", "test", "docs")]
OFFERED = [(heavy, *more) for heavy in ("cpu", "gpu", "gpu-cuda13") for more in BESIDE] + BESIDE


def installed_by(extras, environment):
    wanted = [*BASE, *(requirement for extra in extras for requirement in EXTRAS[extra])]
    return {
        canonicalize_name(requirement.name)
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


def everywhere():
    for platform, python in product(PLATFORMS, PYTHONS):
        yield platform | {"python_version": python, "python_full_version": f"{python}.0"}


@pytest.mark.parametrize("extras", OFFERED, ids="+".join)
def test_never_two_builds_of_tensorflow_or_cupy(extras):
    for environment in everywhere():
        names = installed_by(extras, environment)
        assert len(names & TENSORFLOWS) <= 1, (extras, environment, names & TENSORFLOWS)
        assert len(names & CUPYS) <= 1, (extras, environment, names & CUPYS)


@pytest.mark.parametrize("extra", ["cpu", "gpu", "gpu-cuda13"])
def test_these_extras_bring_keras_and_a_tensorflow_everywhere(extra):
    for environment in everywhere():
        names = installed_by([extra], environment)
        assert len(names & TENSORFLOWS) == 1 and "keras" in names, (environment, names)


def test_linux_gets_the_small_tensorflow_with_cpu_and_the_cuda_one_with_gpu():
    linux = next(e for e in everywhere() if e["sys_platform"] == "linux" and e["platform_machine"] == "x86_64")
    assert "tensorflow-cpu" in installed_by(["cpu"], linux)
    assert {"tensorflow", "cupy-cuda12x"} <= installed_by(["gpu"], linux)
    assert {"tensorflow", "cupy-cuda13x"} <= installed_by(["gpu-cuda13"], linux)


def test_extras_that_exclude_each_other_are_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["conflicts"]
    declared = {frozenset(entry["extra"] for entry in pair) for pair in declared}
    assert declared == {frozenset(p) for p in (("cpu", "gpu"), ("cpu", "gpu-cuda13"), ("gpu", "gpu-cuda13"))}


def test_no_heavy_framework_without_an_extra():
    for extras in ((), ("test",), ("docs",)):
        for environment in everywhere():
            assert not installed_by(extras, environment) & {*TENSORFLOWS, *CUPYS, "keras", "jax", "torch"}


def test_lower_bounds_only():
    for requirement in [*BASE, *(r for extra in EXTRAS.values() for r in extra)]:
        assert [s.operator for s in requirement.specifier] == [">="], f"{requirement}: expected one lower bound"


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module, node.lineno


def test_every_import_is_declared():
    modules = {
        "skimage": "scikit-image",
        "PIL": "pillow",
        "yaml": "pyyaml",
        "sklearn": "scikit-learn",
        "cupy": "cupy-cuda12x",
        "cupyx": "cupy-cuda12x",
    }
    known = {"jupyter_core", "packaging", "traitlets", "IPython"}  # of JupyterLab, whose widgets they serve
    known |= {"pip"}  # pettutor kit runs it, and says so where it is missing
    declared = {canonicalize_name(r.name) for r in [*BASE, *(r for e in EXTRAS.values() for r in e)]}
    undeclared = set()
    for path in PACKAGE.rglob("*.py"):
        for name, line in imported(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in {"pettutor", "__future__", *known}:
                continue
            if canonicalize_name(modules.get(top, top)) not in declared:
                undeclared.add(f"{path.relative_to(ROOT)}:{line} imports {top}")
    assert not undeclared, "\n".join(sorted(undeclared))


def test_version_is_in_one_place():
    import pettutor

    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(pettutor.__version__)}$", citation, re.M)
    assert f"## {pettutor.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(wheel_file):
    with zipfile.ZipFile(wheel_file) as opened:
        return {info.filename: info.file_size for info in opened.infolist()}


def test_the_wheel_carries_what_the_package_needs(wheel):
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".nbi", ".nbc") and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in wheel, f"{path} is not in the wheel"
    lessons = ROOT / "notebooks"
    for path in (path for kind in ("*", "solutions/*", "teacher/*", "source/*") for path in lessons.glob(kind)):
        if path.is_dir():
            continue
        assert f"pettutor/course/{path.relative_to(ROOT).as_posix()}" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_carries_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert {re.sub(r"-[^/]*\.dist-info$", ".dist-info", top) for top in tops} == {"pettutor", "pettutor.dist-info"}
    assert not [name for name in wheel if "__pycache__" in name or name.endswith((".pyc", ".nbi", ".nbc"))]
    assert max(wheel.values()) < 600_000, max(wheel, key=wheel.get)


def test_no_notebook_is_committed_with_outputs():
    for path in (ROOT / "notebooks").rglob("*.ipynb"):
        if ".ipynb_checkpoints" in path.parts:
            continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")], path.name


def test_the_text_speaks_of_the_project_alone():
    """No path of a machine in any file that is shipped."""
    homes = re.compile(r"(?<![\w.])/(?:work|opt|root|home/\w+|Users/\w+)/")
    kinds = {".py", ".toml", ".md", ".cff", ".yml", ".yaml", ".ipynb", ".js", ".css", ".cu", ".html", ""}
    skip = {
        ".git",
        ".venv",
        "node_modules",
        "__pycache__",
        "build",
        "dist",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
    }
    found = []
    for path in ROOT.rglob("*"):
        if path.is_file() and path.suffix in kinds and not skip & set(path.relative_to(ROOT).parts):
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if homes.search(line) and "homes = re.compile" not in line:
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)
