"""Machines that a kit can be made for: the tags of their wheels, and how they answer the markers of requirements."""

import platform
import sys
from dataclasses import dataclass

PYTHONS = ("3.11", "3.12", "3.13")
# The oldest systems that today's wheels of all dependencies still run on: glibc 2.28 is Debian 10 and Ubuntu 20.04.
_GLIBC = 28
_TAGS = {
    "linux": (
        *(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)),
        *(f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")),
    ),
    "macos-intel": ("macosx_12_0_x86_64",),
    "macos-arm": ("macosx_12_0_arm64",),
    "windows": ("win_amd64",),
}
_MARKERS = {
    "linux": ("linux", "Linux", "posix", "x86_64"),
    "macos-intel": ("darwin", "Darwin", "posix", "x86_64"),
    "macos-arm": ("darwin", "Darwin", "posix", "arm64"),
    "windows": ("win32", "Windows", "nt", "AMD64"),
}
PLATFORMS = tuple(_TAGS)
WORDS = {
    "linux": "Linux on Intel or AMD, such as Ubuntu 20.04 or newer",
    "macos-intel": "Macs with an Intel processor, macOS 12 or newer",
    "macos-arm": "Macs with an Apple processor (M1 or newer), macOS 12 or newer",
    "windows": "Windows 10 or 11 on Intel or AMD",
}
# Extra -> download of one platform and Python in MB, about: measured on Linux with Python 3.11.
EXTRAS = {"none": 325, "cpu": 640, "jax": 420, "torch": 3000, "gpu": 3500, "gpu-cuda13": 3500}


@dataclass(frozen=True)
class Target:
    """A platform with a Python, such as ``linux-3.12``."""

    platform: str
    python: str

    def __str__(self):
        return f"{self.platform}-{self.python}"

    @property
    def pip_options(self):
        """What tells pip to choose this machine's wheels."""
        tags = [f"--platform={tag}" for tag in _TAGS[self.platform]]
        return [*tags, f"--python-version={self.python}", "--implementation=cp", "--only-binary=:all:"]

    @property
    def markers(self):
        """This machine's answers to the markers of requirements, such as ``sys_platform``."""
        sys_platform, system, os_name, machine = _MARKERS[self.platform]
        return {
            "sys_platform": sys_platform,
            "platform_system": system,
            "os_name": os_name,
            "platform_machine": machine,
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


def this_platform():
    """Name of the platform that runs this.

    Raises
    ------
    ValueError
        A platform that no kit can be made for.
    """
    system, machine = platform.system(), platform.machine()
    for name, (_, its_system, _, its_machine) in _MARKERS.items():
        if (system, machine.lower()) == (its_system, its_machine.lower()):
            return name
    raise ValueError(f"platform: expected one of {', '.join(PLATFORMS)}, got this machine's {system} {machine}")


def targets(platforms=None, pythons=None):
    """All pairs of platform and Python; by default those of the machine that runs this.

    Raises
    ------
    ValueError
        A platform or a Python that no kit can be made for.
    """
    platforms = list(platforms or [this_platform()])
    pythons = list(pythons or [f"{sys.version_info[0]}.{sys.version_info[1]}"])
    for name, values, known in (("platform", platforms, PLATFORMS), ("Python", pythons, PYTHONS)):
        for value in values:
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    return [Target(platform, python) for platform in dict.fromkeys(platforms) for python in dict.fromkeys(pythons)]


def parse_target(text):
    """The `Target` of its name."""
    return Target(*text.rsplit("-", 1))
