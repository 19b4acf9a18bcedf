"""The run: one process after the other, and the report that grows from what they measure."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import pettutor
from pettutor.bench.cases import problem
from pettutor.bench.machine import describe_machine
from pettutor.bench.plan import Plan
from pettutor.memory import free_memory

FORMAT = "pettutor bench 1"
BUSY = 0.5  # load average beyond which other programs are told to disturb
# Arrays the size of a sinogram that are in memory at once, and what Python and its libraries take, bytes.
SINOGRAMS, LIBRARIES = {"projection": 3, "scaling": 3, "mlem": 6, "methods": 6, "networks": 8}, 4e8


def run_bench(plan=None, *, out=None, tell=lambda text: print(text, file=sys.stderr, flush=True)):
    """Measure all cases of a plan, each in a fresh process.

    Parameters
    ----------
    plan : Plan, optional
    out : path, optional
        JSON file, written after every case, so that what a Ctrl-C leaves is whole.
    tell : callable(text)
        Where progress goes, a line at a time; by default to stderr.

    Returns
    -------
    dict
        ``format``, ``pettutor`` (version), ``date``, ``plan``, ``machine``, ``finished`` (whether nothing is missing),
        ``records``, ``skipped`` and ``failed`` (cases with a ``reason``). A record holds its case (``part``, ``size``,
        ``model``, ``device``, ``threads`` …), ``what``, ``seconds`` (``median``, ``min``, ``max``, ``all``), and as it
        applies ``image_shape``, ``sinogram_shape``, ``lors``, ``live_lors``, ``lors_per_second``, ``events…``,
        ``memory_bytes``, ``geometry_seconds``, ``first_call_seconds``, ``compiled``, ``outside_kernels`` (0 … 1),
        ``least_bytes_per_second``, ``stored_bytes``, ``changed`` and ``factor``; of a
        reconstruction method ``method``, ``set_up_seconds``, ``set_up_memory_bytes``, ``first_iteration_seconds``,
        ``usual_iterations`` and ``total_seconds``; of a network ``network``, ``backend`` and ``weights`` (how many).

    Raises
    ------
    OSError
        ``out`` cannot be written (found out before anything is measured).
    """
    plan = plan or Plan()
    _write(out, None)
    report = {
        "format": FORMAT,
        "pettutor": pettutor.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": {name: getattr(plan, name) for name in ("sizes", "models", "device", "repeats", "threads", "scaling")},
        "machine": describe_machine(plan.runs_on),
        "finished": False,
        "records": [],
        "skipped": [],
        "failed": [],
    }
    load = report["machine"]["load_average"]
    if load is not None and load > BUSY:
        tell(f"other programs are running (load {load:.1f}): times will be too long")
    found = in_a_process({"part": "machine", "device": plan.runs_on}, None).get("records", [{}])
    report["machine"].update(found[0])
    cases = plan.cases()
    for number, case in enumerate(cases, 1):
        name = describe_case(case)
        missing = _missing_memory(case)
        result = {"skipped": missing} if missing else in_a_process(case, case.get("threads"))
        report["records"] += result.get("records", [])
        for kind, word in (("skipped", "skipped"), ("error", "failed")):
            if kind in result:
                report[word].append({**case, "reason": result[kind]})
        said = ", ".join(f"{r['what']} {r['seconds']['median']:.3g} s" for r in result.get("records", []))
        tell(f"[{number}/{len(cases)}] {name}: {said or next(f'{k}: {v}' for k, v in result.items())}")
        report["finished"] = number == len(cases)
        _write(out, report)
    return report


def describe_case(case):
    """A case in a few words."""
    words = [case["size"], case["model"], case["part"]]
    if case["part"] == "mlem":
        words.append(f"PSF {case['psf_fwhm']:g} mm" if case["psf_fwhm"] else "without PSF")
    if case["part"] == "methods":
        words.append(case["method"])
    if case["part"] == "networks":
        words.append(case["network"])
    if case["part"] == "scaling":
        words.append(f"{case['changed']} x {case['factor']:.3g}")
    return " ".join(words)


def in_a_process(case, threads):
    """What `worker` answers to a case; a process that ends without an answer is an error that says how."""
    environment = dict(os.environ)
    if threads is not None:
        environment["PETTUTOR_THREADS"] = str(threads)
    command = [sys.executable, "-m", "pettutor.bench.worker"]
    done = subprocess.run(command, input=json.dumps(case), capture_output=True, text=True, env=environment)
    if done.returncode == 130:
        raise KeyboardInterrupt
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        killed = " (killed; too little memory?)" if done.returncode in (-9, 137) else ""
        return {"error": f"the process ended with code {done.returncode}{killed}: {last[0]}"}


def _missing_memory(case):
    """A sentence with the numbers where the host's free memory is too little for a case, else an empty text."""
    if case["device"] == "cuda" or case["part"] not in SINOGRAMS:
        return ""
    scanner, grid = problem(case)
    # of a network, the maps of its channels that wait for the way back
    images = {"methods": 30, "networks": 2200}.get(case["part"], 6)
    values = SINOGRAMS[case["part"]] * np.prod(scanner.sinogram_shape) + images * np.prod(grid.shape)
    needed, free = 4 * float(values) + LIBRARIES, free_memory()
    if free is None or free >= needed:
        return ""
    return f"needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"


def _write(out, report):
    """Replace the file as a whole; with no report yet, only see whether it could be written."""
    if out is None:
        return
    out = Path(out)
    if out.is_dir():
        raise IsADirectoryError(f"--out: expected a file, got the folder {out}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out: expected a file in a folder that is there, got {out}")
    with tempfile.NamedTemporaryFile("w", dir=out.parent, prefix=".pettutor-bench-", delete=False) as file:
        try:
            if report is not None:
                json.dump(report, file, indent=1)
                file.write("\n")
            file.close()
            if report is not None:
                os.chmod(file.name, 0o644)  # a temporary file is its owner's alone
                os.replace(file.name, out)
        finally:
            Path(file.name).unlink(missing_ok=True)


def load_report(path):
    """A report that `run_bench` wrote.

    Raises
    ------
    ValueError
        A file that is no such report.
    """
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        report = None
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a file that 'pettutor bench --out' wrote (format {FORMAT!r})")
    return report
