"""The house: floors of the imports, and a light start."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from processes import run_python

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pettutor"
ROOF = 9
# Rooms (first name below pettutor) and their floors. An import may only go down, or stay in its own room.
FLOORS = {
    "arrays": 0,
    "threads": 0,
    "memory": 0,
    "files": 0,
    "download": 0,
    "operators": 1,
    "geometry": 1,
    "phantoms": 1,
    "io": 1,
    "projector": 2,
    "acquisition": 3,
    "simulation": 3,
    "randoms": 3,
    "reconstruction": 4,
    "measures": 4,
    "networks": 5,
    "study": 5,
    "course": 5,
    "__main__": ROOF,
    "cli": ROOF,
    "friendly": ROOF,
    "bench": ROOF,
    "demo": ROOF,
    "doctor": ROOF,
    "report": ROOF,
}
# Beside the house: what it may use, and who may use it.
VIEW_MAY_USE = {"arrays", "geometry", "io"}
VIEW_IS_USED_BY = {"cli", "demo", "report"}
# geometry's own grid and scanner are all that a phantom or a file format needs from its floor.
SAME_FLOOR = {
    ("phantoms", "geometry"),
    ("io", "geometry"),
    ("simulation", "acquisition"),
    ("reconstruction", "measures"),
    ("course", "networks"),
    ("course", "study"),
    ("study", "networks"),
    ("demo", "report"),
    ("__main__", "cli"),
    ("cli", "bench"),
    ("cli", "demo"),
    ("cli", "doctor"),
    ("cli", "friendly"),
}
HEAVY = (
    "cupy",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "matplotlib",
    "numba",
    "nilearn",
    "nibabel",
    "scipy",
    "skimage",
    "sklearn",
    "pandas",
    "pyarrow",
    "pydantic",
    "dask",
    "distributed",
    "zarr",
    "IPython",
    "numpy",
)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path, *, only_at_import=False):
    """Absolute names that a file imports: (name, line). Function bodies are left out on request."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found, waiting = [], [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if only_at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found += [(f"{base}.{alias.name}", node.lineno) for alias in node.names]
        waiting += ast.iter_child_nodes(node)
    return found


def sources():
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def room(name):
    parts = name.split(".")
    return parts[1] if parts[0] == "pettutor" and len(parts) > 1 else None


def arrow_is_allowed(start, end):
    if start == end:
        return True
    if start == "view":
        return end in VIEW_MAY_USE
    if end == "view":
        return start in VIEW_IS_USED_BY
    return FLOORS[end] < FLOORS[start] or (start, end) in SAME_FLOOR


def test_every_room_has_a_floor():
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sources()} - {"__init__"}
    assert rooms <= {*FLOORS, "view"}, "a new room needs its floor in this test and in CONTRIBUTING.md"


def test_imports_only_point_down():
    upward = []
    for path in sources():
        start = room(module_name(path))
        for name, line in imports(path):
            end = room(name)
            if start and end and end in {*FLOORS, "view"} and not arrow_is_allowed(start, end):
                upward.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not upward, "\n".join(upward)


def test_arrows_of_a_made_up_house():
    assert arrow_is_allowed("reconstruction", "arrays")
    assert not arrow_is_allowed("reconstruction", "networks")
    assert not arrow_is_allowed("projector", "acquisition")
    assert not arrow_is_allowed("geometry", "phantoms")
    assert not arrow_is_allowed("networks", "view")
    assert not arrow_is_allowed("view", "phantoms")


def test_no_circles():
    """Modules that import each other while they are being imported."""
    modules = {module_name(path): path for path in sources()}
    graph = {}
    for module, path in modules.items():
        used = set()
        for name, _ in imports(path, only_at_import=True):
            # `from pettutor.geometry import scanner` names a module, `... import ImageGrid` a thing in one
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules and target not in (module, "pettutor"):
                used.add(target)
        graph[module] = used
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_arrays_looks_for_cupy():
    allowed = {PACKAGE / "arrays.py", PACKAGE / "projector" / "cuda.py"}
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path not in allowed and any(name.split(".")[0] == "cupy" for name, _ in imports(path))
    ]
    assert not [path for path in elsewhere if "doctor" not in path], elsewhere


def test_modules_are_short():
    """A module that outgrows 300 lines is asked why; 350 is the end."""
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert not {name: lines for name, lines in long.items() if lines > 350}


def test_import_is_light():
    loaded = run_python("import sys, pettutor; print(' '.join(sys.modules))").split()
    assert not [name for name in HEAVY if name in loaded]


def test_import_is_quick():
    code = "import time; t = time.perf_counter(); import pettutor; print(time.perf_counter() - t)"
    seconds = min(float(run_python(code)) for _ in range(3))
    assert seconds < 0.3, f"import pettutor took {seconds:.2f} s"


BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
ALLOWED_BELOW = {"numpy", "scipy", "tqdm", "numba", "llvmlite", "pettutor"}


def third_party():
    from importlib.metadata import packages_distributions

    return sorted(set(packages_distributions()) - ALLOWED_BELOW)


@pytest.mark.parametrize("name", ["projector", "acquisition", "simulation", "reconstruction", "geometry"])
def test_lower_floors_need_numpy_scipy_tqdm_and_numba_only(name):
    run_python(BLOCKER.format(blocked=set(third_party())) + f"import pettutor.{name}")


def test_lower_floors_work_together_with_numpy_scipy_tqdm_and_numba_only():
    code = """
import numpy as np, pettutor as pt
scanner = pt.Scanner.preset("slab")
grid = scanner.image_grid()
image = np.zeros(grid.shape, "float32")
middle = tuple(n // 2 for n in grid.shape)
image[middle[0], middle[1] - 4: middle[1] + 5, middle[2] - 4: middle[2] + 3] = 1
X = pt.Projector(scanner, grid, device="cpu")
A = pt.AcquisitionModel(X)
y = A(image)
x = pt.mlem(y, A, iterations=2, progress=False)
assert x.shape == grid.shape and abs(A(x).sum() / y.sum() - 1) < 1e-3
"""
    run_python(BLOCKER.format(blocked=set(third_party())) + code)


def test_the_projector_imports_without_numba():
    """Where CuPy is there instead, numba need not be."""
    run_python(BLOCKER.format(blocked={"numba", "llvmlite"}) + "import pettutor.projector, pettutor.reconstruction")


# --- the README's two commands, and .ci/run, which runs them


def marked_block(mark):
    """The code block of README.md after the comment with the mark."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- {mark} -->\n```bash\n(.*?)```", text, re.S)[1].strip()


def test_the_commands_of_the_readme_install_extras_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {}
    for mark, last in (("demo-command", "pettutor demo"), ("test-command", "pytest")):
        steps = marked_block(mark).split(" && ")
        assert steps[-1] == last
        (extras,) = (found[1] for step in steps if (found := re.fullmatch(r'pip install (?:-e )?"\.\[(.*)\]"', step)))
        installed[mark] = set(extras.split(","))
        assert installed[mark] <= set(project["optional-dependencies"]), extras
    # .ci/run starts the demo where the test command has installed
    assert installed["demo-command"] <= installed["test-command"]


@pytest.fixture
def ci(tmp_path):
    """Runs bash code after the functions of .ci/run, beside a README.md of its own; its steps are left out."""
    bash = shutil.which("bash")
    if bash is None or os.name == "nt":
        pytest.skip("needs bash")
    functions, *steps = re.split(r"^(?=step )", (ROOT / ".ci/run").read_text(encoding="utf-8"), flags=re.M)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text("")
    shutil.copy(ROOT / "README.md", tmp_path)

    def run(code, **environment):
        environment = os.environ | {"TMPDIR": str(tmp_path)} | environment
        command = [bash, "-c", functions + code, str(tmp_path / ".ci/run")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    run.steps, run.folder = "".join(steps), tmp_path
    return run


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def bin(ci):
    """All that .ci/run finds when it looks for a program: what it works with, and neither apt-get nor a package."""
    bin = ci.folder / "bin"
    for name in ("dirname", "mktemp", "rm", "id", "tail"):
        executable(bin / name, f'exec {shutil.which(name)} "$@"')
    executable(bin / "sudo", 'exec "$@"')
    return bin


def test_ci_installs_what_the_tests_need_beside_python(ci, bin):
    """A browser, and the compiler without which tests/test_cuda.py fails in CI."""
    needed = re.findall(r"^step .* (system_package .*)$", ci.steps, re.M)
    assert [line.split()[1] for line in needed] == ["chromium", "g++"]
    code = "\n".join(needed)
    done = ci(code, PATH=str(bin))
    assert done.returncode == 1 and "no apt-get to install chromium with" in done.stderr
    log, chmod = ci.folder / "log", shutil.which("chmod")
    executable(bin / "apt-get", f'echo "$*" >>{log}; for p; do :; done; : >{bin}/$p; {chmod} +x {bin}/$p')
    done = ci(code, PATH=str(bin))
    assert (done.returncode, done.stderr) == (0, "")
    asked = [line for line in log.read_text().splitlines() if line.startswith("install")]
    assert [line.split()[-1] for line in asked] == ["chromium", "g++"]
    log.unlink()
    assert ci(code, PATH=str(bin)).returncode == 0 and not log.exists()  # both are there now
    (bin / "g++").rename(bin / "clang++")
    assert ci(code, PATH=str(bin)).returncode == 0 and not log.exists()


@pytest.mark.parametrize(
    ("install", "words"), [("true", ""), ("echo none there; exit 100", "none there\n")], ids=["empty", "fails"]
)
def test_ci_ends_where_a_package_does_not_come(ci, bin, install, words):
    executable(bin / "apt-get", f'[ "$1" = update ] || {{ {install}; }}')
    done = ci("system_package g++ g++ clang++\necho went on", PATH=str(bin))
    assert (done.returncode, done.stderr) == (1, words) and "went on" not in done.stdout


@pytest.mark.parametrize(("user", "by"), [(0, "apt-get"), (1000, "sudo apt-get")])
def test_ci_installs_by_sudo_where_it_is_not_root(ci, bin, user, by):
    log, chmod = ci.folder / "log", shutil.which("chmod")
    executable(bin / "id", f"echo {user}")
    executable(bin / "sudo", f'printf "sudo " >>{log}; exec "$@"')
    executable(bin / "apt-get", f'echo "apt-get $1" >>{log}; : >{bin}/g++; {chmod} +x {bin}/g++')
    assert ci("system_package g++ g++", PATH=str(bin)).returncode == 0
    assert log.read_text().splitlines() == [f"{by} update", f"{by} install"]


def demo_that_makes(seconds=90, megabytes=1500, mapem_net=None):
    """A command that writes the files of the demo, with the NRMSE that the README tells."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (images,), (bowsher,) = (
        re.findall(rf"^\| {start}.* \| (.*) \|$", readme, re.M) for start in ("its NRMSE on a", "the same without a")
    )
    numbers = [float(part.split()[0]) for part in (*images.split(" / "), bowsher)]
    values = dict(zip(("mlem", "gaussian", "ced", "mapem_net", "diprecon", "bowsher"), numbers, strict=True))
    values["mapem_net"] = mapem_net or values["mapem_net"]
    results = json.dumps({"seconds": {"total": seconds}, "peak_memory_mb": megabytes, "measures": [{"values": values}]})
    files = 'for f in report.html figure.png; do echo . >"$3/$f"; done'
    return f"""mkdir "$3"; {files}; echo '{results}' >"$3/results.json\""""


MAKE_ALL = demo_that_makes()
TOO_MUCH = "the demo: expected at most 480 s and 1700 MB"


@pytest.mark.parametrize(
    ("pettutor", "command", "words"),
    [
        (MAKE_ALL, "pettutor demo", ""),
        (f'{MAKE_ALL}; rm "$3/figure.png"', "pettutor demo", "the demo left no figure.png"),
        (f'{MAKE_ALL}; : >"$3/report.html"', "pettutor demo", "the demo left no report.html"),
        (f'{MAKE_ALL}; rm "$3/results.json"', "pettutor demo", "the demo left no results.json"),
        (f"{MAKE_ALL}; exit 3", "pettutor demo", ""),
        (demo_that_makes(megabytes=1701), "pettutor demo", TOO_MUCH),
        (demo_that_makes(seconds=481), "pettutor demo", TOO_MUCH),
        (demo_that_makes(mapem_net=36.9), "pettutor demo", "the demo: expected the NRMSE that the README tells"),
        (MAKE_ALL, "pettutor lab", "ends in 'pettutor demo'"),
    ],
    ids=["whole", "no figure", "empty report", "no results", "exit code", "memory", "time", "error", "another command"],
)
def test_ci_runs_the_demo(ci, pettutor, command, words):
    assert re.search(r"^step .* demo$", ci.steps, re.M)
    readme = ci.folder / "README.md"
    readme.write_text(readme.read_text().replace("&& pettutor demo\n", f"&& {command}\n"))
    executable(ci.folder / "pettutor", f'echo "called with $*"; {pettutor}')
    executable(ci.folder / "python", f'exec {sys.executable} "$@"')
    code = (
        f'mkdir -p "$work/clone/.venv/bin"; ln -s {ci.folder}/pettutor {ci.folder}/python "$work/clone/.venv/bin"\n'
        f'cp {ci.folder}/README.md "$work/clone"\ndemo'
    )
    done = ci(code)
    assert (done.returncode == 0) == (pettutor == MAKE_ALL and command == "pettutor demo"), done
    assert words in done.stderr
    if done.returncode == 0:
        assert "called with demo --out " in done.stdout and "network" in done.stdout
        assert "90 s, 1500 MB" in done.stdout
