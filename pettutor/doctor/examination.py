"""The examination itself: one function a line of the report."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from pettutor.doctor.findings import NO, WARN, YES, Check
from pettutor.doctor.mending import (
    TENSORFLOW_BUILDS,
    install,
    install_cupy,
    install_extra,
    installed,
    pip_command,
    requirements,
    tensorflow_builds,
    version,
)
from pettutor.doctor.trials import BACKENDS, run_trials

MODULES = {"pyyaml": "yaml", "scikit-image": "skimage", "scikit-learn": "sklearn"}  # of the others the name is the same
# seconds; an import of TensorFlow takes six, and several times that from a slow disk that has not read it before
TIME_LIMIT = 60.0


def examine(*, time_limit=TIME_LIMIT):
    """Look at everything that the course needs or could use.

    Parameters
    ----------
    time_limit : float
        Seconds that any trial of a framework or a driver may take.

    Returns
    -------
    list of Check
    """
    tried = run_trials(time_limit)
    return [
        _python(),
        _memory(),
        _disk(),
        _libraries(),
        _numba(tried["numba"]),
        *(_backend(name, tried.get(name)) for name in BACKENDS),
        _builds(),
        _networks(tried),
        _gpu(tried.get("cupy")),
        _lab(),
        _widgets(),
        _brainweb(),
    ]


def course_runs(checks):
    """Whether the course can run on the CPU: nothing that it needs is a "no"."""
    return not any(check.needed and check.state == NO for check in checks)


def report(checks, *, style=lambda text, state: text):
    """The examination as text: a line for each check, and below a "no" the command that mends it.

    Parameters
    ----------
    checks : list of Check
    style : callable(text, state), optional
        Colours the state.
    """
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{style(f'{check.state:<4}', check.state)}  {check.name:<{width}}  {check.detail}")
        if check.mend:
            lines.append(f"{'':{width + 6}}  -> {check.mend}")
    untold = ", ".join(check.name for check in checks if check.needed and check.state == WARN)
    if course_runs(checks):
        lines.append(f"\nThe course can run here{f', as far as could be told (see {untold})' if untold else ''}.")
    else:
        missing = ", ".join(check.name for check in checks if check.needed and check.state == NO)
        lines.append(f"\nThe course cannot run here yet: {missing}. The commands after -> mend it.")
    return "\n".join(lines)


def _python():
    python = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    detail = f"{python} on {platform.system()} {platform.machine()}"
    mend = "" if good else "install Python 3.11, 3.12 or 3.13 and make a new environment with it"
    return Check("Python", YES if good else NO, detail, mend, needed=True)


def _memory():
    try:
        import psutil
    except ImportError:
        return Check("memory", WARN, "cannot be told without psutil", needed=True)
    memory = psutil.virtual_memory()
    total, free = memory.total / 2**30, memory.available / 2**30
    detail = f"{free:.1f} of {total:.1f} GiB free, {os.cpu_count()} cores"
    if free >= 1.5:
        return Check("memory", YES, detail, needed=True)
    return Check("memory", WARN, f"{detail}; the default size wants 1.5 GiB: close other programs", needed=True)


def _disk():
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    detail = f"{free:.1f} GiB free in {Path.cwd()}"
    if free >= 0.2:
        return Check("disk", YES, detail, needed=True)
    return Check("disk", NO, detail, "free at least 0.2 GiB, or change to a folder on another disk", needed=True)


def _libraries():
    try:
        wanted = requirements()
    except ModuleNotFoundError as error:
        return Check("libraries", WARN, f"cannot be told: {error}", needed=True)
    # by their metadata, and by their files, of which a broken installation may leave either
    missing = [r for r in wanted if version(r.name) is None or not installed(MODULES.get(r.name, r.name))]
    if not missing:
        return Check("libraries", YES, f"numpy {version('numpy')}, scipy {version('scipy')}", needed=True)
    names = ", ".join(requirement.name for requirement in missing)
    return Check("libraries", NO, f"missing: {names}", install(missing), needed=True)


def _numba(found):
    if "version" in found:
        return Check("numba", YES, f"{found['version']}, {found['threads']} threads", needed=True)
    if "slow" in found:
        return Check("numba", WARN, found["slow"], needed=True)
    return Check("numba", NO, found["error"], pip_command("install", "--upgrade", "numba"), needed=True)


def _backend(name, found):
    title = BACKENDS[name]
    if found is None:
        return Check(title, WARN, "not installed (one of the three is enough)")
    if "version" in found:
        devices = ", ".join(f"{found['devices'].count(kind)} {kind}" for kind in dict.fromkeys(found["devices"]))
        return Check(title, YES, f"{found['version']}, sees {devices}")
    if "slow" in found:
        return Check(title, WARN, found["slow"])
    distribution = next((build for build in TENSORFLOW_BUILDS if version(build)), name)
    mend = pip_command("install", "--force-reinstall", distribution if name == "tensorflow" else name)
    return Check(title, NO, found["error"], mend)


def _builds():
    builds = tensorflow_builds()
    if len(builds) < 2:
        return Check("one TensorFlow build", YES, builds[0] if builds else "none installed")
    preferred = "tensorflow" if _driver() and "tensorflow" in builds else "tensorflow-cpu"
    keep = preferred if preferred in builds else builds[0]
    others = [build for build in builds if build != keep]
    remove = pip_command("uninstall", "-y", *others)
    again = pip_command("install", "--force-reinstall", "--no-deps", keep)  # they share files: removing one breaks it
    detail = f"{' and '.join(builds)} overwrite each other's files"
    return Check("one TensorFlow build", NO, detail, f"{remove} && {again}", needed=True)


def _networks(tried):
    working = [name for name in BACKENDS if "keras" in tried.get(name, {})]
    if working:
        return Check("networks (Keras)", YES, f"{tried[working[0]]['keras']} on {', '.join(working)}", needed=True)
    if any("slow" in tried.get(name, {}) for name in BACKENDS):
        detail = "could not be tried in the time (the first start after an installation is slow: run this again)"
        return Check("networks (Keras)", WARN, detail, needed=True)
    error = next((tried[name]["keras_error"] for name in BACKENDS if "keras_error" in tried.get(name, {})), None)
    if error:
        return Check("networks (Keras)", NO, error, pip_command("install", "--upgrade", "keras"), needed=True)
    return Check("networks (Keras)", NO, "no backend works", install_extra("cpu"), needed=True)


def _driver():
    """What the NVIDIA driver says of its first GPU; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0].split(" (")[0] if done.returncode == 0 and done.stdout.strip() else ""


def _gpu(found):
    driver = _driver()
    if found and "version" in found:
        return Check("GPU (CuPy)", YES, f"{found['name']}, {found['memory']:.0f} GiB, CuPy {found['version']}")
    if found and "slow" in found:
        return Check("GPU (CuPy)", WARN, f"CuPy: {found['slow']}")
    if not driver:
        return Check("GPU (CuPy)", WARN, "no NVIDIA GPU found; everything runs on the CPU")
    if found is None:
        return Check("GPU (CuPy)", NO, f"{driver}, but CuPy is not installed", install_cupy("gpu"))
    mend = install_cupy("gpu-cuda13" if version("cupy-cuda13x") else "gpu", "--force-reinstall")
    return Check("GPU (CuPy)", NO, f"{driver}, but CuPy fails: {found['error']}", mend)


def _lab():
    if installed("jupyterlab"):
        return Check("JupyterLab", YES, version("jupyterlab") or "installed", needed=True)
    return Check("JupyterLab", NO, "not installed", pip_command("install", "jupyterlab"), needed=True)


def _widgets():
    """The Python halves of the widgets and their front ends, which JupyterLab finds as prebuilt extensions."""
    versions = {name: version(name) for name in ("anywidget", "ipywidgets")}
    missing = [name for name, found in versions.items() if found is None]
    if not missing and installed("jupyter_core"):
        from jupyter_core.paths import jupyter_path

        folders = [Path(folder) for folder in jupyter_path("labextensions")]
        for name, extension in (("anywidget", "anywidget"), ("ipywidgets", "@jupyter-widgets/jupyterlab-manager")):
            if not any((folder / extension / "package.json").exists() for folder in folders):
                missing.append("jupyterlab_widgets" if name == "ipywidgets" else name)
    if missing:
        mend = pip_command("install", "--force-reinstall", *missing)
        return Check("widget front end", NO, f"missing: {', '.join(missing)}", mend, needed=True)
    return Check("widget front end", YES, ", ".join(f"{k} {v}" for k, v in versions.items()), needed=True)


def _brainweb():
    try:
        from pettutor.phantoms.brainweb import SUBJECTS, cache_folder, fetch_command, file_name
    except ImportError as error:
        return Check("BrainWeb cache", WARN, f"cannot be told: {error}")
    folder = cache_folder()
    faults = {s: _fault(folder / file_name(s)) for s in SUBJECTS if (folder / file_name(s)).exists()}
    if not faults:
        detail = "empty; the embedded brain mni:0 is there, BrainWeb comes with the first use"
        return Check("BrainWeb cache", WARN, detail)
    whole = " ".join(subject for subject, fault in faults.items() if not fault)
    damaged = [f"{file_name(subject)} ({fault})" for subject, fault in faults.items() if fault]
    detail = f"{folder}: subjects {whole or 'none'}"
    if not damaged:
        return Check("BrainWeb cache", YES, detail)
    mend = " && ".join(fetch_command(subject, force=True) for subject, fault in faults.items() if fault)
    return Check("BrainWeb cache", NO, f"{detail}; damaged: {', '.join(damaged)}: remove or replace them", mend)


def _fault(path):
    """What is wrong with a BrainWeb file, by its ends; the rest is read, and checked, whenever it is used."""
    from pettutor.phantoms.brainweb import RAW_BYTES

    try:
        with open(path, "rb") as file:
            if file.read(3) != b"\x1f\x8b\x08":
                return "no gzip file"
            file.seek(max(0, path.stat().st_size - 4))  # where gzip writes how long the content is
            return "" if int.from_bytes(file.read(), "little") == RAW_BYTES else "cut short, or of another length"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
