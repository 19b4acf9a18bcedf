"""What is installed, and the commands that mend what is not."""

import shutil
import sys
from importlib import metadata, util
from pathlib import Path

TENSORFLOW_BUILDS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-gpu",
    "tensorflow-rocm",
    "tf-nightly",
    "tf-nightly-cpu",
)


def installed(module):
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version(distribution):
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def pip_command(*arguments):
    """``python -m pip ...`` that acts on this very environment."""
    python = "python"
    found = shutil.which("python")
    if found is None or Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return " ".join([python, "-m", "pip", *arguments])


def install_extra(extra):
    """Command that installs what the extra asks for on this platform, wherever pettutor itself came from."""
    from packaging.requirements import Requirement

    wanted = []
    for text in metadata.requires("pettutor") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            wanted.append(f'"{requirement.name}{extras}{requirement.specifier}"')
    return pip_command("install", *wanted)


def tensorflow_builds():
    """Names of the installed distributions that each bring a whole TensorFlow; more than one is a fault."""
    return [build for build in TENSORFLOW_BUILDS if version(build)]
