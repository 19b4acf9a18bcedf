"""What all tests share: quiet environment, the GPU and browser markers, the browser."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import processes
import pytest
from hypothesis import settings

# the same examples on every run of CI; elsewhere new ones each time
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PETTUTOR_PROGRESS", "off")  # nothing that a test does is anybody's progress

if os.environ.get("KERAS_BACKEND") == "jax":
    os.environ.setdefault("XLA_FLAGS", processes.QUICK_COMPILATION)

if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) > 1:  # processes side by side: a core for each
    for variable in ("PETTUTOR_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, "1")

# simulated scans that tests and lessons share in one run, and nothing of another version
SCAN_CACHE = "PETTUTOR_SCAN_CACHE"

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def pytest_configure(config):
    if SCAN_CACHE not in os.environ:  # the processes that run tests find it set
        os.environ[SCAN_CACHE] = config.scan_cache = tempfile.mkdtemp(prefix="pettutor-scans-")


def pytest_unconfigure(config):
    if hasattr(config, "scan_cache"):
        shutil.rmtree(config.scan_cache, ignore_errors=True)


def _gpu_is_here():
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # CuPy reports a missing driver in several ways
        return False


def pytest_collection_modifyitems(items):
    # whole lessons first: at the end one of them would keep a single process busy
    items.sort(key=lambda item: "test_lesson[" not in item.nodeid)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _gpu_is_here():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and a CUDA GPU"))


def _skip(message):
    """Skip a browser test; fail in CI, and where PETTUTOR_REQUIRE_BROWSER is set (as .ci/run does)."""
    if os.environ.get("PETTUTOR_REQUIRE_BROWSER") or os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """What tests write need not outlive a power cut; two thousand files would wait for the disk."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def wheel_file(tmp_path_factory):
    """The wheel of this checkout, built."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def chromium_path():
    """Path of a Chromium; skips where there is none, or fails where browser tests must not be skipped."""
    wanted = os.environ.get("PETTUTOR_CHROMIUM")
    path = wanted or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        _skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH (PETTUTOR_CHROMIUM names another)")
    return path


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running Jupyter server; one for all tests, each of which opens a notebook of its own (browser_pages)."""
    from browser_pages import running_lab

    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(chromium_path):
    """A headless browser (playwright) that makes no connections of its own; one for all tests."""
    try:
        from playwright import sync_api as playwright
    except ImportError:
        _skip("playwright is not installed")
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium_path, args=[*quiet, "--disable-component-update", "--disable-sync"]
        )
        yield browser
        browser.close()
