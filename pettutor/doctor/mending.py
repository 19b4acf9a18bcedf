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


def requirements(extra=""):
    """What the installed pettutor asks for on this platform, or what the extra adds to that.

    Raises
    ------
    ModuleNotFoundError
        pettutor was not installed by pip, or there is no ``packaging`` to read its metadata.
    """
    from packaging.requirements import Requirement

    everything = [Requirement(text) for text in metadata.requires("pettutor") or []]
    always = [requirement for requirement in everything if _applies(requirement, "")]
    if not extra:
        return always
    return [requirement for requirement in everything if _applies(requirement, extra) and requirement not in always]


def _applies(requirement, extra):
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def install(wanted, *options):
    """Command that installs requirements, in the versions that they ask for."""
    texts = []
    for requirement in wanted:
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        texts.append(f'"{requirement.name}{extras}{requirement.specifier}"')
    return pip_command("install", *options, *texts)


def install_extra(extra):
    """Command that installs what the extra asks for on this platform, wherever pettutor itself came from."""
    return install(requirements(extra))


def install_cupy(extra, *options):
    """Command that installs the extra's CuPy, with the CUDA libraries that CuPy's own wheels leave out."""
    return install([wanted for wanted in requirements(extra) if wanted.name.startswith("cupy")], *options)


def tensorflow_builds():
    """Names of the installed distributions that each bring a whole TensorFlow; more than one is a fault."""
    return [build for build in TENSORFLOW_BUILDS if version(build)]
