"""The doctor: what it finds, what it advises, and when it says that the course can run."""

import gzip
import re
import subprocess
import sys
import threading
import time
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import run_python
from typer.testing import CliRunner

import pettutor
from pettutor import cli, doctor
from pettutor.doctor import examination, mending, trials
from pettutor.phantoms.brainweb import CACHE_VARIABLE, RAW_BYTES

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WELL = {
    "numba": {"version": "0.61.0", "threads": 2},
    "tensorflow": {"version": "2.20.0", "devices": ["CPU", "GPU"], "keras": "3.10.0"},
}


@pytest.fixture
def found(monkeypatch):
    """Put findings in the place of the trials; a machine with one build of TensorFlow and without a GPU."""

    def put(findings, *, builds=("tensorflow-cpu",), driver=""):
        monkeypatch.setattr(examination, "run_trials", lambda time_limit: findings)
        monkeypatch.setattr(examination, "tensorflow_builds", lambda: list(builds))
        monkeypatch.setattr(examination, "_driver", lambda: driver)
        return {check.name: check for check in doctor.examine()}

    return put


@pytest.fixture
def declared(monkeypatch):
    """Metadata of an installation made from pyproject.toml as it is now: those of the one here may be older."""
    texts = list(PROJECT["dependencies"])
    for extra, wanted in PROJECT["optional-dependencies"].items():
        for requirement in map(Requirement, wanted):
            own = f"({requirement.marker}) and " if requirement.marker else ""
            requirement.marker = Marker(f'{own}extra == "{extra}"')
            texts.append(str(requirement))
    monkeypatch.setattr(mending.metadata, "requires", lambda name: texts)


def test_doctor_when_all_is_well(found):
    checks = found(WELL)
    assert doctor.course_runs(checks.values())
    assert checks["TensorFlow"].detail == "2.20.0, sees 1 CPU, 1 GPU"
    assert checks["networks (Keras)"].state == "yes"
    assert checks["GPU (CuPy)"].state == "warn" and not checks["GPU (CuPy)"].needed
    assert doctor.report(checks.values()).endswith("The course can run here.")


def test_doctor_without_any_backend(found):
    checks = found({"numba": WELL["numba"]})
    assert not doctor.course_runs(checks.values())
    mend = checks["networks (Keras)"].mend
    assert re.search(r'-m pip install .*"keras>=.*"tensorflow(-cpu)?>=', mend), mend
    assert "cannot run here yet: networks (Keras)." in doctor.report(checks.values())


def test_doctor_with_jax_only(found):
    jax = {"version": "0.6", "devices": ["CPU"], "keras": "3.10.0"}
    assert doctor.course_runs(found({"numba": WELL["numba"], "jax": jax}, builds=()).values())


def test_doctor_when_keras_is_missing_or_broken(found):
    broken = {"version": "2.20.0", "devices": ["CPU"], "keras_error": "No module named 'keras'"}
    check = found(WELL | {"tensorflow": broken})["networks (Keras)"]
    assert (check.state, check.detail) == ("no", "No module named 'keras'") and "install" in check.mend
    check = found(WELL | {"tensorflow": {"error": "ImportError: DLL load failed"}})["TensorFlow"]
    assert check.state == "no" and "--force-reinstall" in check.mend


def test_doctor_when_a_trial_is_too_slow(found):
    checks = found(WELL | {"tensorflow": {"slow": "no answer within 60 s"}})
    assert checks["networks (Keras)"].state == "warn" and doctor.course_runs(checks.values())
    assert "as far as could be told (see networks (Keras))" in doctor.report(checks.values())


def test_doctor_with_two_builds_of_tensorflow(found):
    checks = found(WELL, builds=("tensorflow", "tensorflow-cpu"))
    check = checks["one TensorFlow build"]
    assert check.state == "no" and not doctor.course_runs(checks.values())
    assert re.fullmatch(
        r"(.*) -m pip uninstall -y tensorflow && \1 -m pip install --force-reinstall --no-deps tensorflow-cpu",
        check.mend,
    )
    on_gpu = found(WELL, builds=("tensorflow", "tensorflow-cpu"), driver="GPU 0: some")["one TensorFlow build"]
    assert "uninstall -y tensorflow-cpu &&" in on_gpu.mend


def test_builds_are_read_from_the_metadata(monkeypatch):
    here = {"tensorflow": "2.20.0", "tensorflow-cpu": "2.20.0"}
    monkeypatch.setattr(mending, "version", here.get)
    assert mending.tensorflow_builds() == ["tensorflow", "tensorflow-cpu"]


@pytest.mark.parametrize(
    ("findings", "driver", "state", "words"),
    [
        ({}, "", "warn", "no NVIDIA GPU found"),
        ({}, "GPU 0: NVIDIA X", "no", "CuPy is not installed"),
        ({"cupy": {"error": "no libnvrtc"}}, "GPU 0: NVIDIA X", "no", "CuPy fails: no libnvrtc"),
        (
            {"cupy": {"version": "14.0", "name": "NVIDIA X", "memory": 80.0}},
            "GPU 0: NVIDIA X",
            "yes",
            "NVIDIA X, 80 GiB",
        ),
    ],
)
def test_doctor_and_the_gpu(found, findings, driver, state, words):
    checks = found(WELL | findings, driver=driver)
    assert checks["GPU (CuPy)"].state == state and words in checks["GPU (CuPy)"].detail
    assert doctor.course_runs(checks.values())


@pytest.mark.skipif(sys.platform == "darwin", reason="CuPy is for Linux and Windows")
@pytest.mark.parametrize(
    ("here", "findings", "command"),
    [
        (None, {}, r'install "cupy-cuda12x\[ctk\]>=14\.[\d.]+"'),
        ("cupy-cuda12x", {"cupy": {"error": "x"}}, r'install --force-reinstall "cupy-cuda12x\[ctk\]>=14\.[\d.]+"'),
        ("cupy-cuda13x", {"cupy": {"error": "x"}}, r'install --force-reinstall "cupy-cuda13x\[ctk\]>=14\.[\d.]+"'),
    ],
)
def test_doctor_advises_the_cupy_that_brings_its_cuda_libraries(found, declared, monkeypatch, here, findings, command):
    """The extra ctk of CuPy's wheels is there from version 14 on."""
    monkeypatch.setattr(examination, "version", {here: "14.2.0"}.get)
    mend = found(WELL | findings, driver="GPU 0: NVIDIA X")["GPU (CuPy)"].mend
    assert re.search(f"-m pip {command}$", mend), mend


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_doctor_misses_each_library_that_the_package_asks_for(found, declared, monkeypatch, requirement):
    name, version = Requirement(requirement).name, metadata.version

    def version_without_it(asked):
        if canonicalize_name(asked) == name:
            raise metadata.PackageNotFoundError(asked)
        return version(asked)

    monkeypatch.setattr(mending.metadata, "version", version_without_it)
    check = found(WELL)["libraries"]
    assert (check.state, check.detail) == ("no", f"missing: {name}")
    assert check.mend.endswith(f'-m pip install "{requirement}"')
    done = CliRunner().invoke(cli.app, ["doctor"])
    assert done.exit_code == 1 and "cannot run here yet: libraries" in done.output


def test_doctor_misses_a_library_of_which_only_the_metadata_are_left(found, declared, monkeypatch):
    installed = mending.installed
    monkeypatch.setattr(examination, "installed", lambda name: name not in ("sklearn", "yaml") and installed(name))
    assert found(WELL)["libraries"].detail == "missing: pyyaml, scikit-learn"


def test_doctor_says_where_it_cannot_tell(found, monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(mending.metadata, "requires", requires)
    checks = found(WELL)
    assert checks["libraries"].state == "warn" and "pettutor" in checks["libraries"].detail
    assert "as far as could be told (see libraries)" in doctor.report(checks.values())


def test_doctor_outlives_the_lack_of_what_it_uses_itself():
    code = """
import sys
sys.modules |= dict.fromkeys(("numpy", "psutil"))  # None: cannot be imported
from pettutor.doctor import examination
examination.run_trials = lambda time_limit: {"numba": {"error": "no numpy"}}
print(examination.report(examination.examine()))
"""
    said = re.sub(" +", " ", run_python(code))
    assert "no libraries missing: numpy, psutil" in said
    assert "warn memory cannot be told without psutil" in said
    assert "warn BrainWeb cache cannot be told: " in said


def test_doctor_names_damaged_files_of_brainweb(found, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    whole = gzip.compress(bytes(RAW_BYTES), 1)
    files = {"04": whole, "05": whole[: len(whole) // 2], "06": b"<!DOCTYPE html><html>closed</html>", "18": b"",
             "20": whole[:3], "38": gzip.compress(b"short"), "54": whole}  # fmt: skip
    for subject, body in files.items():
        (tmp_path / f"subject_{subject}.bin.gz").write_bytes(body)
    (tmp_path / "subject_41.bin.gz").mkdir()
    check = found(WELL)["BrainWeb cache"]
    assert check.state == "no" and not check.needed
    assert check.detail.startswith(f"{tmp_path}: subjects 04 54; damaged: ")
    cut = "cut short, or of another length"
    damaged = {"05": cut, "06": "no gzip file", "18": "no gzip file", "20": cut, "38": cut, "41": "cannot be read"}
    assert re.findall(r"subject_(\d\d)\.bin\.gz \(([^:)]+)", check.detail) == list(damaged.items())
    assert re.findall(r"fetch_brainweb\('(\d\d)', force=True\)", check.mend) == list(damaged)
    (tmp_path / "subject_41.bin.gz").rmdir()
    for subject in damaged.keys() - {"41"}:
        (tmp_path / f"subject_{subject}.bin.gz").unlink()
    check = found(WELL)["BrainWeb cache"]
    assert (check.state, check.detail) == ("yes", f"{tmp_path}: subjects 04 54")


def test_every_no_has_its_command(found, monkeypatch):
    monkeypatch.setattr(examination, "installed", lambda name: False)
    monkeypatch.setattr(examination, "version", lambda name: None)
    checks = found({"numba": {"error": "x"}, "tensorflow": {"error": "x"}, "cupy": {"error": "x"}}, driver="GPU 0: X")
    no = [check for check in checks.values() if check.state == "no"]
    assert len(no) == 7 and all(check.mend for check in no), no


def test_no_more_is_tried_at_once_than_there_are_cores(monkeypatch):
    now, most, lock = [], [], threading.Lock()

    def count(name, code, time_limit):
        with lock:
            now.append(name)
            most.append(len(now))
        time.sleep(0.1)
        with lock:
            now.remove(name)
        return {"name": name, "limit": time_limit}

    monkeypatch.setattr(trials, "_try", count)
    monkeypatch.setattr(trials, "installed", lambda name: True)
    for cores, expected in ((2, 2), (None, 2), (16, 5)):
        monkeypatch.setattr(trials.os, "cpu_count", lambda cores=cores: cores)
        most.clear()
        found = trials.run_trials(7.0)
        assert max(most) == expected and len(most) == 5
        assert all(found[name] == {"name": name, "limit": 7.0} for name in found)


def test_trials_survive_what_they_try():
    assert trials._try("numba", "print('{\"a\": 1}')", 20) == {"a": 1}
    start = time.perf_counter()
    assert trials._try("numba", "import time; time.sleep(60)", 0.5) == {"slow": "no answer within 0.5 s"}
    assert time.perf_counter() - start < 5
    assert trials._try("numba", "import os; os.abort()", 20)["error"].startswith("ended with code")
    assert trials._try("numba", "raise OSError('broken')", 20) == {"error": "OSError: broken"}
    assert trials._try("numba", "print('?')", 20) == {"error": "gave no readable answer"}


def test_the_real_doctor():
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pettutor.cli", "doctor"], capture_output=True, text=True, timeout=60)
    assert time.perf_counter() - start < 25
    assert done.stderr == ""
    assert done.returncode == (1 if "cannot run here" in done.stdout else 0)
    assert re.search(r"^yes +numba", done.stdout, re.M), done.stdout
    assert f"Python {sys.version_info.major}" in re.sub(" +", " ", done.stdout)


def test_a_checkout_has_no_second_copy_of_the_lessons():
    assert (
        not (Path(pettutor.__file__).parent / "course" / "notebooks").exists() or "site-packages" in pettutor.__file__
    )
