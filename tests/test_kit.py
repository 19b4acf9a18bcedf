"""The classroom kit: what it gathers, how it goes on, how it is checked, and an installation without a network."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wheel_index
from brainweb_server import CODES, packed
from typer.testing import CliRunner

import pettutor
from pettutor import cli
from pettutor.course.kit import check_kit, instructions, make, targets, wheels

VERSION = pettutor.__version__
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def run(*arguments):
    return CliRunner().invoke(cli.app, ["kit", *map(str, arguments)])


class Pip:
    """In pip's place: "finds" some packages for every machine and "downloads" them; notes what it was asked."""

    packages = ("alpha", "beta", "gamma", "delta", "epsilon")

    def __init__(self):
        self.asked, self.downloads, self.interrupt_at, self.spoil = [], [], None, None

    def file(self, name, platform):
        tag = f"cp312-cp312-{platform}" if name == "beta" else "py3-none-any"  # one compiled, the others shared
        return f"{name}-1.5-{tag}.whl"

    def content(self, file):
        return f"content of {file}".encode()

    def item(self, name, file):
        """A package in pip's report."""
        digest = hashlib.sha256(self.content(file)).hexdigest()
        return {
            "metadata": {"name": name, "version": "1.5"},
            "download_info": {
                "url": f"https://files.example/some%20folder/{file}",
                "archive_info": {"hashes": {"sha256": digest}},
            },
        }

    def __call__(self, arguments, *, target=None):
        (kind, *rest) = arguments
        options = dict(text.split("=", 1) for text in rest if text.startswith("--") and "=" in text)
        platform = target.markers["sys_platform"]
        if kind == "install":
            self.asked.append((platform, target.python, rest[-1]))
            items = [self.item(name, self.file(name, platform)) for name in self.packages]
            items.append({"metadata": {"name": "pettutor", "version": VERSION}, "download_info": {"url": "file:///x"}})
            Path(options["--report"]).write_text(json.dumps({"install": items}))
            return ""
        for line in Path(options["--requirement"]).read_text().splitlines():
            name = line.split("==")[0]
            if name == self.interrupt_at:
                raise KeyboardInterrupt
            file = self.file(name, platform)
            self.downloads.append(file)
            content = b"something else" if name == self.spoil else self.content(file)
            (Path(options["--dest"]) / file).write_bytes(content)
        return ""


@pytest.fixture
def pip(monkeypatch):
    pip = Pip()
    monkeypatch.setattr(wheels, "run_pip", pip)
    monkeypatch.setattr(wheels, "BATCH", 2)
    return pip


@pytest.fixture
def own(tmp_path):
    """A stand-in for pettutor's wheel."""
    return wheel_index.stand_in(tmp_path, "pettutor", VERSION, requires=["alpha>=1"])


@pytest.fixture
def stick(tmp_path):
    return tmp_path / "stick" / "kit"


def gather(stick, own, **settings):
    said = []
    settings = {"platforms": ["linux"], "pythons": ["3.12"], "wheel": own, "say": said.append} | settings
    make.make_kit(stick, **settings)
    return "\n".join(said)


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- what is in it ----


def test_a_whole_kit(pip, stick, own):
    said = gather(stick, own, platforms=["windows", "linux"])
    assert pip.asked == [("win32", "3.12", f"{stick}/wheels/{own.name}[cpu]"), ("linux", "3.12", pip.asked[1][2])]
    found = files_in(stick)
    expected = {"alpha-1.5-py3-none-any.whl", "beta-1.5-cp312-cp312-win32.whl", "beta-1.5-cp312-cp312-linux.whl"}
    assert {f"wheels/{name}" for name in (*expected, own.name)} <= found
    assert {"README.txt", "README.html", "kit.json", "SHA256SUMS", "lessons/00_start_here.ipynb"} <= found
    assert "lessons/solutions/05_mlem.ipynb" in found
    assert not [name for name in found if ".part" in name or name.startswith(".downloading")]
    assert pip.downloads.count("alpha-1.5-py3-none-any.whl") == 1  # shared by both
    assert check_kit(stick) == []
    assert "at most about 1,280 MB more" in said and "whole, " in said
    assert said.index("at most about") < said.index("asking the package index")


def test_the_sums_are_those_of_the_standard_tool(pip, stick, own):
    gather(stick, own)
    sums = dict(reversed(line.split("  ")) for line in (stick / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == files_in(stick) - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((stick / name).read_bytes()).hexdigest() == digest


def test_a_second_run_fetches_nothing_and_a_damaged_kit_only_what_lacks(pip, stick, own):
    gather(stick, own)
    before = {name: (stick / name).stat().st_mtime_ns for name in files_in(stick) - {"SHA256SUMS"}}
    pip.asked.clear(), pip.downloads.clear()
    gather(stick, own)
    assert not pip.asked and not pip.downloads
    assert {name: (stick / name).stat().st_mtime_ns for name in before} == before | {
        "kit.json": (stick / "kit.json").stat().st_mtime_ns
    }
    (stick / "wheels" / "alpha-1.5-py3-none-any.whl").write_bytes(b"bit rot")
    (stick / "wheels" / "delta-1.5-py3-none-any.whl").unlink()
    (stick / "lessons" / "05_mlem.ipynb").write_text("{}")
    assert check_kit(stick) == [
        "lessons/05_mlem.ipynb: damaged",
        "wheels/alpha-1.5-py3-none-any.whl: damaged",
        "wheels/delta-1.5-py3-none-any.whl: missing",
    ]
    gather(stick, own)
    assert pip.downloads == ["alpha-1.5-py3-none-any.whl", "delta-1.5-py3-none-any.whl"] and not pip.asked
    assert check_kit(stick) == []


def test_a_further_machine_joins_the_kit(pip, stick, own):
    gather(stick, own)
    pip.asked.clear(), pip.downloads.clear()
    gather(stick, own, platforms=["macos-arm"], pythons=["3.11"])
    assert [asked[:2] for asked in pip.asked] == [("darwin", "3.11")]
    assert pip.downloads == ["beta-1.5-cp312-cp312-darwin.whl"]
    text = (stick / "README.txt").read_text()
    assert "Install: Linux and macOS" in text and "Ubuntu" in text and "Apple" in text
    assert check_kit(stick) == []


def test_new_requirements_look_everything_up_again_and_drop_what_is_no_longer_needed(pip, stick, own, tmp_path):
    gather(stick, own)
    (stick / "notes of the teacher.txt").write_text("mine")
    pip.packages = ("alpha", "zeta")
    (tmp_path / "new").mkdir()
    newer = wheel_index.stand_in(tmp_path / "new", "pettutor", VERSION, requires=["alpha>=1", "zeta"])
    pip.asked.clear()
    gather(stick, newer)
    assert len(pip.asked) == 1
    assert {path.name for path in (stick / "wheels").iterdir()} == {
        own.name, "alpha-1.5-py3-none-any.whl", "zeta-1.5-py3-none-any.whl",
    }  # fmt: skip
    assert (stick / "notes of the teacher.txt").exists() and check_kit(stick) == []


# ---- what goes wrong ----


def test_ctrl_c_leaves_only_whole_files_and_the_next_run_goes_on(pip, stick, own):
    pip.interrupt_at = "epsilon"  # in the second batch, after delta
    with pytest.raises(KeyboardInterrupt):
        gather(stick, own)
    for path in (stick / "wheels").iterdir():
        assert path == stick / "wheels" / own.name or path.read_bytes() == pip.content(path.name)
    assert check_kit(stick) == ["not finished: 2 of 5 wheels are there; the same command that began it goes on"]
    there = {path.name for path in (stick / "wheels").iterdir()}
    assert len(there) == 3  # the first batch, and pettutor
    pip.interrupt_at, pip.downloads = None, []
    gather(stick, own)
    assert not there & set(pip.downloads) and check_kit(stick) == []


def test_a_wheel_that_comes_damaged_is_refused(pip, stick, own):
    pip.spoil = "beta"
    with pytest.raises(OSError, match=r"beta-1\.5-cp312-cp312-linux\.whl: expected sha256 [0-9a-f]{16}…, got "):
        gather(stick, own)
    assert not (stick / "wheels" / "beta-1.5-cp312-cp312-linux.whl").exists()


def test_no_room(pip, stick, own, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 50_000_000})())
    result = run(stick, "--platform", "linux", "--python", "3.11", "--wheel", own)
    assert result.exit_code == 1 and not stick.exists() and not pip.asked
    assert result.stderr.strip() == f"pettutor: {stick}: expected about 640 MB of free disk, got 50 MB"


def test_a_dry_run_tells_and_does_nothing(pip, stick):
    result = run(stick, "--platform", "windows", "--python", "3.13", "--extra", "jax", "--dry-run")
    assert result.exit_code == 0 and not stick.exists() and not pip.asked
    assert "to fetch  windows-3.13" in result.output and "at most about 420 MB more" in result.output


def test_wrong_settings(pip, stick, own, tmp_path):
    for arguments, words in {
        ("--platform", "beos"): "platform: expected one of linux, macos-intel, macos-arm, windows, got 'beos'",
        ("--python", "3.9"): "Python: expected one of 3.11, 3.12, 3.13, got '3.9'",
        ("--extra", "everything"): "extra: expected one of none, cpu, jax, torch, gpu, gpu-cuda13, got 'everything'",
        ("--check",): f"folder of the kit: expected one with kit.json in it, got {stick}",
    }.items():
        result = run(stick, *arguments)
        assert result.exit_code == 1 and result.stderr.strip() == f"pettutor: {words}"
    (tmp_path / "file").write_text("")
    assert "expected a folder, got the file" in run(tmp_path / "file").stderr
    assert run(tmp_path / "file" / "kit", "--wheel", own).stderr.strip().startswith("pettutor: Not a directory: ")
    gather(stick, own)
    result = run(stick, "--extra", "jax", "--wheel", own)
    assert "expected a new folder or a kit with the extra 'jax', got one with 'cpu'" in result.stderr
    (stick / "kit.json").write_text("{")
    assert "kit.json: expected the record of a kit, got " in run(stick, "--check").stderr


def test_the_command_checks(pip, stick, own):
    assert run(stick, "--platform", "linux", "--python", "3.11", "--wheel", own).exit_code == 0
    result = run(stick, "--check")
    assert (result.exit_code, result.output) == (0, f"{stick}: whole\n")
    (stick / "README.txt").unlink()
    result = run(stick, "--check")
    assert (result.exit_code, result.output) == (1, "README.txt: missing\n")


def test_pettutors_own_wheel(tmp_path, monkeypatch):
    other = wheel_index.stand_in(tmp_path, "pettutor", "0.0.1")
    with pytest.raises(ValueError, match=f"wheel: expected a file pettutor-{VERSION}-….whl, got .*pettutor-0.0.1"):
        wheels.own_wheel(tmp_path, other)
    (tmp_path / f"pettutor-{VERSION}-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="wheel: expected a whole wheel, got pettutor-"):
        wheels.own_wheel(tmp_path, tmp_path / f"pettutor-{VERSION}-py3-none-any.whl")
    monkeypatch.setattr(wheels, "in_checkout", lambda: False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"got none in .* as a package, which cannot be turned into a wheel again"):
        wheels.own_wheel(tmp_path)


def clone(folder, name="pettutor", version=VERSION):
    """The two files by which a clone is known."""
    (folder / "pettutor").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    (folder / "pettutor" / "__init__.py").write_text(f'"""Package."""\n\n__version__ = "{version}"\n')
    return folder


def test_an_installed_package_builds_its_wheel_from_the_clone_it_was_installed_from(tmp_path, monkeypatch, own):
    monkeypatch.setattr(wheels, "in_checkout", lambda: False)
    asked = []
    monkeypatch.setattr(wheels, "run_pip", lambda arguments: asked.append(arguments[-1]))
    own.rename(tmp_path / own.name)  # as if pip had made it
    monkeypatch.chdir(clone(tmp_path / "clone"))
    assert wheels.own_wheel(tmp_path).name == own.name and asked == [str(tmp_path / "clone")]
    monkeypatch.chdir(clone(tmp_path / "later", version="99.0"))
    with pytest.raises(ValueError, match=r"got version 99\.0 in .*later; pettutor is installed here as a package"):
        wheels.own_wheel(tmp_path)
    monkeypatch.chdir(clone(tmp_path / "other", name="other"))
    with pytest.raises(ValueError, match=r"got none in .*other; pettutor is installed here as a package"):
        wheels.own_wheel(tmp_path)
    assert asked == [str(tmp_path / "clone")]


def test_from_a_checkout_pip_builds_the_wheel(tmp_path, monkeypatch, own):
    asked = []

    def build(arguments):
        asked.append(arguments)
        (tmp_path / "made").mkdir()
        own.rename(tmp_path / "made" / own.name)

    monkeypatch.setattr(wheels, "run_pip", build)
    assert wheels.own_wheel(tmp_path / "made").name == own.name
    checkout = Path(pettutor.__file__).parents[1]
    assert asked == [["wheel", "--no-deps", f"--wheel-dir={tmp_path / 'made'}", str(checkout)]]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("WARNING: (NewConnectionError('...'))\nERROR: No matching distribution found for numpy", "is there a network"),
        ("ERROR: Could not find one\nERROR: No matching distribution found for tensorflow>=2.18", "pip: No matching"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "No space left"),
        ("/usr/bin/python: No module named pip\n", "-m ensurepip"),
        ("", "failed without a word"),
    ],
)  # fmt: skip
def test_pips_complaints_in_a_line(monkeypatch, said, words):
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(OSError, match=words) as caught:
        wheels.run_pip(["download"])
    assert "\n" not in str(caught.value)


# ---- BrainWeb ----


def test_brainweb_subjects_come_along(pip, stick, own, monkeypatch, tmp_path):
    shape = (20, 30, 25)
    monkeypatch.setattr("pettutor.phantoms.brainweb.SHAPE", shape)
    monkeypatch.setattr("pettutor.phantoms.brainweb.RAW_BYTES", 2 * int(np.prod(shape)))
    monkeypatch.setenv("PETTUTOR_BRAINWEB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"BrainWeb: expected subjects in .*cache, got none; data_scripts"):
        gather(stick, own, brainweb=True)
    tiny = packed(np.random.default_rng(2).choice(np.array(CODES, "<u2"), shape))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "subject_41.bin.gz").write_bytes(tiny[:-20])
    with pytest.raises(
        ValueError, match=r"BrainWeb: .*subject_41\.bin\.gz: expected a whole gzip file, .*data_scripts"
    ):
        gather(stick, own, brainweb=True)
    (tmp_path / "cache" / "subject_41.bin.gz").write_bytes(tiny)
    assert "1 subjects from" in gather(stick, own, brainweb=True)
    assert (stick / "brainweb" / "subject_41.bin.gz").read_bytes() == tiny
    assert "cp brainweb/* ~/.brainweb" in (stick / "README.txt").read_text()
    (stick / "brainweb" / "subject_41.bin.gz").unlink()
    assert check_kit(stick) == ["brainweb/subject_41.bin.gz: missing"]


# ---- instructions ----


def kit_for(*names, extra="cpu"):
    return make.Kit(Path("kit"), extra, targets={name: {} for name in names})


def commands(text):
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def test_instructions_name_the_commands_of_each_system():
    text = instructions.as_text(kit_for("linux-3.11", "linux-3.12", "windows-3.12", "macos-arm-3.13"), False)
    unix = '~/pettutor-env/bin/pip install --no-index --find-links wheels "pettutor[cpu]"'
    windows = '& $HOME\\pettutor-env\\Scripts\\pip install --no-index --find-links wheels "pettutor[cpu]"'
    assert {unix, windows, "py -3.12 -m venv $HOME\\pettutor-env"} <= set(commands(text))
    plain = " ".join(text.split())
    assert "Python 3.11, 3.12 or 3.13, which is not in this kit" in plain and "with Python 3.11 or 3.12;" in plain
    only = instructions.as_text(kit_for("windows-3.12", extra="none"), False)
    assert not [line for line in commands(only) if "python3" in line or "~" in line]
    assert any('"pettutor"' in line for line in commands(only)) and "Without an extra" in only
    assert "Install: macOS" in instructions.as_text(kit_for("macos-intel-3.11"), False)


def test_the_page_says_the_same_as_the_text():
    kit = kit_for("linux-3.12", "windows-3.12")
    page, text = instructions.as_html(kit, True), instructions.as_text(kit, True)
    shown = re.sub(r"<[^>]+>", " ", page.split("<body>")[1]).replace("&quot;", '"').replace("&amp;", "&")
    for words in (*commands(text), "Is the copy whole?"):
        assert words in shown
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from anywhere


# ---- with the real pip ----


@pytest.fixture(scope="module")
def index(tmp_path_factory, wheel_file):
    return wheel_index.fill(tmp_path_factory.mktemp("index"), wheels.requirements_of(wheel_file))


@pytest.fixture
def offline(monkeypatch, index):
    """pip knows the folder alone, and no address leads anywhere."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    settings = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_NO_COMPILE": "0",
    }  # so pip turns it on
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def test_pip_chooses_wheels_and_requirements_of_the_other_machine(offline, monkeypatch, tmp_path):
    for tag in ("cp312-cp312-win_amd64", "cp313-cp313-manylinux_2_28_x86_64", "cp312-cp312-macosx_11_0_arm64"):
        wheel_index.stand_in(tmp_path, "compiled", "2.0", tag=tag)
    requires = ["compiled", 'windowed; sys_platform == "win32"', 'younger; python_version >= "3.13"']
    for name in ("windowed", "younger"):
        wheel_index.stand_in(tmp_path, name, "1.0")
    top = wheel_index.stand_in(tmp_path, "pettutor", VERSION, requires=requires)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    found = {
        name: set(wheels.resolve(top, "none", targets.parse_target(name)))
        for name in ("windows-3.12", "linux-3.13")
    }  # fmt: skip
    assert found == {
        "windows-3.12": {"compiled-2.0-cp312-cp312-win_amd64.whl", "windowed-1.0-py3-none-any.whl"},
        "linux-3.13": {"compiled-2.0-cp313-cp313-manylinux_2_28_x86_64.whl", "younger-1.0-py3-none-any.whl"},
    }
    with pytest.raises(OSError, match=r"macos-intel-3\.12: pip: No matching distribution found for compiled"):
        wheels.resolve(top, "none", targets.parse_target("macos-intel-3.12"))


def cut_off():
    """The start of a command that has no network at all, where this machine permits that."""
    start = ["unshare", "-rn"]
    allowed = shutil.which("unshare") and subprocess.run([*start, "true"], capture_output=True).returncode == 0
    return start if allowed else []


@pytest.mark.skipif(
    os.name == "nt" or HERE not in targets.PYTHONS, reason="follows the instructions for Linux and macOS"
)
def test_a_machine_without_a_network_installs_from_the_kit(offline, stick, tmp_path, wheel_file, monkeypatch):
    monkeypatch.setattr(wheels, "BATCH", 99)  # each call of pip takes a second
    result = run(stick, "--extra", "none", "--wheel", wheel_file)
    assert result.exit_code == 0, result.output
    assert check_kit(stick) == []
    install = (stick / "README.txt").read_text().split("Install: ")[1].split("Then, today")[0]
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PYTHONPATH"):  # the commands alone have to do
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    environment, installation = commands(install)
    own_pip = f"{sys.executable} -m pip --python ~/pettutor-env/bin/python"  # saves the seconds that a new pip takes
    steps = [
        environment.replace("-m venv", "-m venv --without-pip"),
        installation.replace("~/pettutor-env/bin/pip", own_pip),
        "cd ~",
        "~/pettutor-env/bin/pettutor lab --copy-only --dir mine",
        f"~/pettutor-env/bin/pettutor kit {stick} --check",
    ]
    done = subprocess.run(
        [*cut_off(), "bash", "-euo", "pipefail", "-c", "\n".join(steps)], cwd=stick, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{stick}: whole" in done.stdout
    lesson = "00_start_here.ipynb"
    assert (tmp_path / "mine" / lesson).read_bytes() == (stick / "lessons" / lesson).read_bytes()
    assert list((tmp_path / "pettutor-env").glob("lib/*/site-packages/pettutor/cli.py"))
