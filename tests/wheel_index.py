"""A folder of wheels that pip can install from: some real, taken from this environment, the others stand-ins."""

import base64
import hashlib
import re
import zipfile
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REAL = ("typer", "numpy")  # and what these require: all that `pettutor lab --copy-only` loads


def stand_in(folder, name, version, *, requires=(), tag="py3-none-any"):
    """Make a wheel with nothing in it but a name, a version and requirements."""
    file = re.sub(r"[-.]+", "_", name)
    words = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {text}" for text in requires)]
    return _write(
        folder / f"{file}-{version}-{tag}.whl",
        f"{file}-{version}.dist-info",
        {"METADATA": "Metadata-Version: 2.1\n" + "\n".join(words) + "\n\n", "WHEEL": _wheel_words(tag)},
        {},
    )


def repacked(folder, name):
    """Make a wheel from a package that is installed here."""
    found = metadata.distribution(name)
    tag = re.findall(r"^Tag: (.+)$", found.read_text("WHEEL"), re.M)[-1]
    package, words = {}, {}
    for file in found.files:
        if file.suffix == ".pyc" or file.parts[0] == "..":
            continue
        content = found.locate_file(file).read_bytes()
        if file.parts[0].endswith(".dist-info"):
            words["/".join(file.parts[1:])] = content
        else:
            package[file.as_posix()] = content
    for name_of_installer in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        words.pop(name_of_installer, None)
    stem = f"{re.sub(r'[-.]+', '_', found.name)}-{found.version}"
    return _write(folder / f"{stem}-{tag}.whl", f"{stem}.dist-info", words, package)


def _wheel_words(tag):
    return f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"


def _write(path, info, words, package):
    record = []
    with zipfile.ZipFile(path, "w") as made:
        for name, content in {**package, **{f"{info}/{name}": text for name, text in words.items()}}.items():
            content = content.encode() if isinstance(content, str) else content
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
            made.writestr(name, content)
        made.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return path


def closure(names):
    """The names and all that they require here, extras left out."""
    found, waiting = set(), list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            for text in metadata.requires(name) or []:
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    waiting.append(requirement.name)
    return sorted(found)


def fill(folder, requirements):
    """Fill a folder with wheels for these requirements (those of extras left out): real ones where they are needed."""
    real = closure(REAL)
    for name in real:
        repacked(folder, name)
    for requirement in map(Requirement, requirements):
        if requirement.marker is None and canonicalize_name(requirement.name) not in real:
            stand_in(folder, requirement.name, next(iter(requirement.specifier)).version)
    return folder
