"""Studies on workers: one against four, killed workers and runs, a cluster elsewhere, the command line."""

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import dask
import distributed.system  # its defaults have to be there before `dask.config.set`
import pandas as pd
import psutil
import pytest
import yaml
from typer.testing import CliRunner

import pettutor as pt
from pettutor import cli
from pettutor.study import cluster, deaths

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals")

STUDY = {
    "name": "tiny",
    "counts": 2e5,
    "lesions": "none",
    "realisations": 4,
    "device": "cpu",
    "images": "last",
    "methods": {
        "MLEM": {"algorithm": "mlem", "iterations": [1, 2]},
        "MAP": {"algorithm": "map_em", "prior": "quadratic", "kappa": [0.1, 0.5], "iterations": 2},
    },
}
# What a worker loads when it starts: the subject without growing it anew, and cells that end their process or fail,
# by their number of subsets
PRELOADED = """
import os, pathlib, pickle, signal, sys, threading, time
import numpy as np
from pettutor.study import cell, methods, scenario
folder = pathlib.Path({folder!r})
subject = pickle.loads((folder / "subject").read_bytes())
scenario._subject = lambda name: subject
run_cell = cell.__dict__.setdefault("honest_run_cell", cell.run_cell)  # this file may be loaded twice
osem = methods.__dict__.setdefault("honest_osem", methods.OSEM.run)

class Unspeakable(Exception):
    def __init__(self, text, lock):  # its lock cannot be pickled; nor would it be made again without one
        super().__init__(text)
        self.lock = lock
    def __str__(self):
        return self.args[0].upper()

def fail(settings, *args, **loop):
    if settings.subsets in (4, 5):
        raise Unspeakable("it holds a lock" if settings.subsets == 4 else 5, threading.Lock())
    if settings.subsets == 6:
        sys.exit("no more")
    return osem(settings, *args, **loop)

def hold(bytes):
    pieces = [np.ones(10**7, np.uint8) for _ in range(int(bytes / 10**7))]
    time.sleep(0.5)  # for Dask to look, every 0.1 s
    return pieces

def faulty(task):
    subsets = task["settings"].get("subsets", 0)
    marks = folder / f"subsets-{{subsets}}"
    if subsets:
        marks.mkdir(exist_ok=True)
        (marks / f"{{os.getpid()}}-{{time.time_ns()}}").touch()
    if subsets == 3 or (subsets == 2 and len(list(marks.iterdir())) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if subsets == 7:
        raise Unspeakable("outside", threading.Lock())
    if subsets == 8:
        hold(0.7e9)
    if subsets == 9:  # what stays in a process: more than the share of its limit at which Dask would let it wait
        import distributed, psutil
        limit, taken = distributed.get_worker().memory_manager.memory_limit, psutil.Process().memory_info().rss
        cell.hoard = hold(0.88 * limit - taken)
    return run_cell(task)

cell.run_cell = faulty
methods.OSEM.run = staticmethod(fail)
"""


@pytest.fixture
def preload(tmp_path, monkeypatch):
    """Workers that are started from here load the file above, and so do those of other processes."""
    (tmp_path / "preloaded.py").write_text(PRELOADED.format(folder=str(tmp_path)))
    (tmp_path / "subject").write_bytes(pickle.dumps(pt.load_subject("mni:0")))
    files = [str(tmp_path / "preloaded.py")]
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", repr(files))
    with dask.config.set({"distributed.worker.preload": files}):
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The study, run in this process."""
    study = pt.Study(STUDY, out=tmp_path_factory.mktemp("alone"))
    assert study.run(workers=0, progress=False).computed == 12
    return study


def same_results(study, other):
    pd.testing.assert_frame_equal(study.table, other.table, check_exact=True)
    for name in ("table.parquet", "curves.parquet"):
        assert (study.folder / name).read_bytes() == (other.folder / name).read_bytes()
    for realisation in range(4):
        kept = [s.image("MAP", kappa=0.5, realisation=realisation) for s in (study, other)]
        assert (kept[0] == kept[1]).all()


@pytest.mark.slow
def test_four_workers_and_their_deaths(alone, tmp_path, preload):
    """Some cells end their worker, once or always; every other cell is computed, and once."""
    faulty = {"algorithm": "osem", "subsets": [2, 3, 4, 5, 6, 7, 1000], "iterations": 1}
    both = pt.Study(STUDY | {"methods": STUDY["methods"] | {"OSEM": faulty}}, out=tmp_path)
    both.cells = [c for c in both.cells if c.labels["method"] != "OSEM" or c.labels["realisation"] == 0]
    summary = both.run(workers=4, progress=False)
    cells = both.cell_table
    assert (summary.computed, len(summary.failed)) == (12 + 1, 6)
    assert cells[cells.method != "OSEM"].state.eq("done").all() and cells.query("state == 'done'").worker.nunique() > 1
    faults = cells[cells.method == "OSEM"].set_index("setting")
    assert faults.state["subsets=2"] == "done"
    assert "the worker process ended 3 times while it computed this cell" in faults.error["subsets=3"]
    assert [attempts(tmp_path, n) >= 2 for n in (2, 3)] == [True, True]
    assert faults.error["subsets=1000"].startswith("ValueError: subset: expected 0 <= k < n <= 144")
    # errors that cannot be sent to this process, or not even be told
    assert faults.error["subsets=4"] == "Unspeakable: IT HOLDS A LOCK" and "in fail" in faults.traceback["subsets=4"]
    assert faults.error["subsets=5"] == "Unspeakable: (an error without a text)"
    assert faults.error["subsets=6"] == "SystemExit: no more"
    assert "Unspeakable('outside')" in faults.error["subsets=7"]
    # once, or again where it waited for a worker that another cell ended
    assert max(attempts(tmp_path, n) for n in (4, 5, 6, 7, 1000)) <= 2
    assert not [p for p in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]

    study = pt.Study(STUDY, out=tmp_path)
    assert study.run(workers=4, progress=False).computed == 0
    same_results(study, alone)


def attempts(folder, subsets):
    return len(list((folder / f"subsets-{subsets}").iterdir()))


@pytest.mark.slow
def test_a_worker_is_stopped_by_its_memory_limit(tmp_path, preload, monkeypatch):
    """Its cell is tried once more and fails; the others are done; one worker with the memory of two computes it."""
    monkeypatch.setattr(distributed.system, "MEMORY_LIMIT", 2 * 0.8e9 / 0.9)
    large = {"algorithm": "osem", "subsets": [8, 12], "iterations": 1}
    settings = STUDY | {"realisations": 1, "methods": {"large": large, "MLEM": STUDY["methods"]["MLEM"]}}
    study = pt.Study(settings, out=tmp_path)
    summary = study.run(workers=2, progress=False)
    assert (summary.computed, attempts(tmp_path, 8), attempts(tmp_path, 12)) == (2, 2, 1)
    ((cell, error),) = summary.failed
    assert cell.labels["setting"] == "subsets=8" and study.cell_table.error.dropna().item() == error
    assert error.startswith("MemoryLimit: the worker process was stopped 2 times while it computed this cell: it took ")
    assert "its memory limit is 0.80 GB. Fewer workers raise the limit" in error
    assert 0.75 < float(re.search(r"it took ([\d.]+) GB", error)[1]) < 3

    # "hoard" leaves its worker near the limit, where Dask would let it wait for memory that nobody gives back
    more = {"hoard": {"algorithm": "osem", "subsets": 9, "iterations": 1}, "MAP": STUDY["methods"]["MAP"]}
    before = finished(study.folder)
    study = pt.Study(settings | {"methods": settings["methods"] | more}, out=tmp_path)
    resumed = study.run(workers=1, progress=False)
    assert (resumed.computed, resumed.earlier, resumed.failed) == (1 + 3, 2, [])
    assert [attempts(tmp_path, n) for n in (8, 9, 12)] == [3, 1, 1]
    after = finished(study.folder)
    assert len(after) == 6 and {name: after[name] for name in before} == before
    assert study.cell_table.query("method in ['hoard', 'MAP']").worker.nunique() == 1


class Scheduler:
    """What it says of workers that it stopped."""

    def get_events(self, topic):
        assert topic == "worker-restart-memory"
        return ((0.0, {"worker": "tcp://one", "pid": 1, "rss": 3e9}),)


@pytest.mark.parametrize(
    ("worker", "threads", "tries", "expected"),
    [
        ("tcp://one", 1, 1, ["alone", "MemoryLimit"]),
        ("tcp://one", 4, 1, ["alone", "MemoryLimit"]),
        ("tcp://one", 1, 4, ["MemoryLimit"]),  # Dask's own scheduler has tried it four times
        ("tcp://one", 4, 4, ["alone", "MemoryLimit"]),  # others may have been to blame
        ("tcp://two", 1, 1, ["again", "alone", "KilledWorker"]),
        ("tcp://two", 1, 4, ["alone", "KilledWorker"]),
    ],
)
def test_how_often_a_cell_is_tried(monkeypatch, worker, threads, tries, expected):
    monkeypatch.setattr(deaths, "NEWS", 0)
    last = SimpleNamespace(address=worker, nthreads=threads, memory_limit=4e9)
    killed = SimpleNamespace(last_worker=last, allowed_failures=tries - 1)
    known, cell = deaths.Deaths(Scheduler()), SimpleNamespace(key="a")
    assert [known.verdict(cell, killed).partition(":")[0] for _ in expected] == expected
    assert known.attempts(cell) == tries * len(expected)


def heed_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def command(*arguments, **kwargs):
    """``pettutor study`` in a process group of its own."""
    words = [sys.executable, "-m", "pettutor.cli", "study", *map(str, arguments)]
    with subprocess.Popen(
        words, stdout=-1, stderr=-1, text=True, start_new_session=True, preexec_fn=heed_ctrl_c, **kwargs
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition, process=None, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def finished(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("cells/*.parquet")}


def test_the_whole_run_is_killed_and_goes_on(alone, tmp_path, preload):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    folder = tmp_path / "tiny"
    with command(tmp_path / "study.yaml", "--out", tmp_path, "--workers", 2) as process:
        wait_for(lambda: len(finished(folder)) >= 3, process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # this process alone: its workers have to notice
        process.wait()
        assert children
        wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
    before = finished(folder)
    study = pt.Study(tmp_path / "study.yaml", out=tmp_path)
    summary = study.run(workers=0, progress=False)
    assert summary.earlier == len(before) and summary.computed == 12 - len(before) and not summary.failed
    after = finished(folder)
    assert len(after) == 12 and {name: after[name] for name in before} == before
    assert study.cell_table.worker.nunique() >= 2
    same_results(study, alone)


def test_ctrl_c_on_the_command_line(tmp_path, preload):
    """Ctrl-C reaches the workers too, as in a terminal."""
    slow = {
        "name": "slow",
        "counts": 2e5,
        "realisations": 50,
        "methods": {"M": {"algorithm": "mlem", "iterations": 40}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(slow, sort_keys=False))
    with command(tmp_path / "study.yaml", "--out", tmp_path, "--workers", 2) as process:
        wait_for(lambda: len(finished(tmp_path / "slow")) >= 1, process)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    done, cells = map(int, re.search(r"(\d+) of (\d+) cells computed", stdout).groups())
    assert 1 <= done < cells == 50 and f"stopped with {50 - done} to go: run it again to go on" in stdout
    assert "Traceback" not in stderr
    assert len(finished(tmp_path / "slow")) == done
    assert pd.read_parquet(tmp_path / "slow" / "table.parquet").shape[0] == done


def test_a_cluster_elsewhere(alone, tmp_path, preload):
    """Its workers run in a folder of their own and write nothing."""
    environment = os.environ | {"PETTUTOR_THREADS": "1"}
    (tmp_path / "there").mkdir()
    address = tmp_path / "there" / "scheduler.json"
    start = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    work = [sys.executable, "-m", "dask", "worker", "--nthreads", "1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": address.parent}
    file = ["--scheduler-file", str(address)]
    with subprocess.Popen([*start, *file], **quiet) as scheduler, subprocess.Popen([*work, *file], **quiet) as worker:
        try:
            wait_for(address.exists, scheduler)
            where = json.loads(address.read_text())["address"]
            study = pt.Study(STUDY, out=tmp_path / "here")
            assert study.run(scheduler=where, progress=False).computed == 12
        finally:
            worker.terminate()
            scheduler.terminate()
    assert study.cell_table.worker.nunique() == 1
    same_results(study, alone)


def test_nothing_at_the_address(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 1)
    with pytest.raises(ConnectionError, match=r"expected a Dask scheduler at 'tcp://127.0.0.1:9'"):
        pt.Study(STUDY, out=tmp_path).run(scheduler="tcp://127.0.0.1:9", progress=False)


# ---- how many workers, and what each gets ----


def test_a_worker_a_core(monkeypatch):
    monkeypatch.setenv("PETTUTOR_THREADS", "6")
    alone, *others = cluster.worker_options("cpu")
    assert len(others) == 5 and alone["env"]["PETTUTOR_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in alone["env"]
    options = cluster.worker_options("cpu", 2)
    assert [o["env"]["PETTUTOR_THREADS"] for o in options] == ["3", "3"]
    total = sum(o["memory_limit"] for o in options)
    assert 0.5 * total <= psutil.virtual_memory().total and total <= 0.9 * psutil.virtual_memory().total + 1


def test_a_worker_a_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    assert [o["env"]["CUDA_VISIBLE_DEVICES"] for o in cluster.worker_options("cuda")] == ["3", "GPU-7"]
    visible = [o["env"]["CUDA_VISIBLE_DEVICES"] for o in cluster.worker_options("cuda", 3)]
    assert visible == ["3", "GPU-7", "3"]


def test_every_gpu_worker_sees_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    monkeypatch.setattr(cluster, "resolve_device", lambda device: "cuda")
    with cluster.local_client("cuda") as client:
        seen = client.run(lambda: (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["PETTUTOR_THREADS"]))
    assert sorted(visible for visible, _ in seen.values()) == ["3", "GPU-7"]


def test_a_script_without_a_main_guard(tmp_path, preload):
    """Workers do not run the script again."""
    (tmp_path / "script.py").write_text(f"""
import pettutor as pt
print("once")
study = pt.Study({STUDY | {"realisations": 1}!r}, out={str(tmp_path)!r})
print(study.run(workers=1, progress=False))
import __main__
assert __main__.__file__.endswith("script.py")
""")
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("once\n3 of 3 cells computed") and done.stdout.count("once") == 1


# ---- the command line ----


def run(*arguments):
    return CliRunner().invoke(cli.app, ["study", *map(str, arguments)])


def test_dry_run_and_show_compute_nothing(alone, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    result = run(tmp_path / "study.yaml", "--out", tmp_path / "new", "--dry-run")
    assert result.exit_code == 0 and not (tmp_path / "new").exists()
    assert re.search(r"MAP \(kappa=0.5\) +4 waiting", result.output) and "12 of 12 cells to compute" in result.output
    here = ("--out", alone.folder.parent)
    before = finished(alone.folder)
    assert "0 of 12 cells to compute" in run(tmp_path / "study.yaml", *here, "--dry-run").output
    shown = run(tmp_path / "study.yaml", *here, "--show").output
    assert re.search(r"MAP +kappa=0.5 +2 +0 +0\.\d+ ", shown) and finished(alone.folder) == before


def test_the_command_runs_a_study(tmp_path):
    study = STUDY | {"realisations": 1, "methods": {"M": STUDY["methods"]["MLEM"]}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    result = run(tmp_path / "study.yaml", "--out", tmp_path, "--workers", 0)
    assert result.exit_code == 0, result.output
    assert "1 of 1 cells computed" in result.output and "Grey matter against white matter" in result.output
    study["methods"]["bad"] = {"algorithm": "osem", "subsets": 1000, "iterations": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    result = run(tmp_path / "study.yaml", "--out", tmp_path, "--workers", 0)
    assert result.exit_code == 1
    assert "1 failed" in result.output and "1 × mni:0, bad: ValueError: subset: expected" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected a file STUDY.yaml; pettutor study --example prints one"),
        (("none.yaml",), "No such file or directory: none.yaml"),
        (("wrong.yaml",), "wrong.yaml, line 2: counts: expected a number > 0, got 0"),
    ],
)
def test_wrong_commands_are_one_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text("name: x\ncounts: 0\nmethods: {M: {algorithm: mlem, iterations: 1}}\n")
    result = run(*arguments)
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("pettutor: ") and words in line
