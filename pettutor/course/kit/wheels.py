"""The wheels of a kit: pip resolves and downloads them; each is checked, and only then takes its place."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from contextlib import suppress
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pettutor
from pettutor.course.folder import in_checkout

# of one call of pip: what a stop by the keyboard can cost
BATCH = 8
_SCRIPT = Path(__file__).with_name("pip_for_target.py")
_CHECKOUT = Path(pettutor.__file__).resolve().parents[1]
_OFFLINE = ("NewConnectionError", "NameResolutionError", "Failed to establish", "ConnectTimeout", "ProxyError",
            "getaddrinfo failed", "Name or service not known", "Temporary failure in name resolution")  # fmt: skip


def run_pip(arguments, *, target=None):
    """Run pip, as if on the target where there is one; gives what it printed.

    Raises
    ------
    OSError
        pip failed; the message is its own last word.
    """
    as_target = ["-P", str(_SCRIPT), json.dumps(target.markers)] if target else ["-m", "pip"]
    options = target.pip_options if target else []
    command = [
        sys.executable,
        *as_target,
        *arguments,
        *options,
        "--disable-pip-version-check",
        "--no-input",
        "--retries=2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise OSError(f"{f'{target}: ' if target else ''}{_reason(done.stdout + done.stderr)}")
    return done.stdout


def _reason(words):
    """pip's complaint in one line."""
    if "No module named pip" in words:
        return f"pip is not installed in this environment; this mends it: {sys.executable} -m ensurepip"
    if any(sign in words for sign in _OFFLINE):
        return "pip cannot reach the package index: is there a network? What is whole already stays in the kit"
    lines = [line.removeprefix("ERROR:").strip() for line in words.splitlines() if line.startswith("ERROR:")]
    return f"pip: {lines[-1] if lines else words.strip()[-300:] or 'failed without a word'}"


def own_wheel(folder, wheel=None):
    """Put pettutor's own wheel into a folder.

    Parameters
    ----------
    folder : path
        An empty one.
    wheel : path, optional
        Take this file. Without it the wheel is built, for which pettutor has to run from a clone of its sources, or in
        one of the same version: an installed package cannot be turned into a wheel again, and a package of this name
        on an index may be another.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        No wheel of this version of pettutor.
    OSError
        pip could not build it.
    """
    if wheel is not None:
        wheel = Path(wheel)
        if wheel.suffix != ".whl" or not wheel.name.startswith(f"pettutor-{pettutor.__version__}-"):
            raise ValueError(f"wheel: expected a file pettutor-{pettutor.__version__}-….whl, got {wheel}")
        path = folder / wheel.name
        path.write_bytes(wheel.read_bytes())
    else:
        run_pip(["wheel", "--no-deps", f"--wheel-dir={folder}", str(_sources())])
        (path,) = folder.glob("pettutor-*.whl")
    requirements_of(path)
    return path


def _sources():
    """The clone that pettutor runs from, or the working folder where that is one of the same version."""
    if in_checkout():
        return _CHECKOUT
    here = Path.cwd()
    version = None
    with suppress(OSError, tomllib.TOMLDecodeError, KeyError):
        if tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"] == "pettutor":
            words = (here / "pettutor" / "__init__.py").read_text(encoding="utf-8")
            version = "".join(re.findall(r'^__version__ = "(.+)"$', words, re.MULTILINE))
    if version == pettutor.__version__:
        return here
    found = f"version {version}" if version else "none"
    raise ValueError(
        f"wheel: expected --wheel pettutor-{pettutor.__version__}-py3-none-any.whl, or to be in a clone of that "
        f"version's sources, got {found} in {here}; pettutor is installed here as a package, which cannot be turned "
        "into a wheel again; `pip wheel --no-deps .` in a clone makes that file"
    )


def requirements_of(wheel):
    """What a wheel requires, as its metadata say.

    Raises
    ------
    ValueError
        A file that is no wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as opened:
            (metadata,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
            words = BytesParser().parsebytes(opened.read(metadata), headersonly=True)
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"wheel: expected a whole wheel, got {Path(wheel).name} ({error})") from None
    return words.get_all("Requires-Dist") or []


def resolve(wheel, extra, target):
    """Let pip say which wheels a machine needs for pettutor with an extra.

    Returns
    -------
    dict
        File name -> {"name", "version", "sha256"}, pettutor itself left out.

    Raises
    ------
    OSError
        pip failed: offline, or there is no wheel of some dependency for this machine.
    """
    wanted = str(wheel) if extra == "none" else f"{wheel}[{extra}]"
    with tempfile.TemporaryDirectory(prefix="pettutor-kit-") as folder:
        report = Path(folder) / "report.json"
        run_pip(
            ["install", "--dry-run", "--ignore-installed", "--quiet", f"--report={report}", f"--target={folder}/none",
             wanted],
            target=target,
        )  # fmt: skip
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {}
    for item in items:
        name, download = item["metadata"]["name"], item["download_info"]
        if name == "pettutor":
            continue
        file = unquote(Path(urlparse(download["url"]).path).name)
        checksum = download["archive_info"]["hashes"]["sha256"]
        found[file] = {"name": name, "version": item["metadata"]["version"], "sha256": checksum}
    return dict(sorted(found.items()))


def fetch(wanted, wheels, staging, target, say):
    """Download what `resolve` found and the folder does not have whole.

    Parameters
    ----------
    wanted : dict
        As `resolve` gives it.
    wheels, staging : path
        Where the files go, and where they wait until they are whole: on one disk.
    target : Target
    say : callable(str)

    Raises
    ------
    OSError
        pip failed; what was fetched so far stays.
    """
    missing = [file for file, it in wanted.items() if checksum(wheels / file) != it["sha256"]]
    for begin in range(0, len(missing), BATCH):
        batch = missing[begin : begin + BATCH]
        say(f"{target}: wheels {begin + 1} to {begin + len(batch)} of {len(missing)}: "
            f"{', '.join(wanted[file]['name'] for file in batch)}")  # fmt: skip
        lines = [f"{wanted[f]['name']}=={wanted[f]['version']} --hash=sha256:{wanted[f]['sha256']}" for f in batch]
        (staging / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        run_pip(
            ["download", "--no-deps", "--require-hashes", "--quiet", f"--dest={staging}",
             f"--requirement={staging / 'requirements.txt'}"],
            target=target,
        )  # fmt: skip
        for file in batch:
            found = checksum(staging / file)
            if found != (expected := wanted[file]["sha256"]):
                raise OSError(f"{file}: expected sha256 {expected[:16]}…, got {(found or 'no file')[:16]}")
            os.replace(staging / file, wheels / file)


def checksum(path):
    """sha256 of a file in hexadecimal digits; None where there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
