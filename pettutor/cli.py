"""The command line: ``pettutor demo``, ``pettutor lab``, ``pettutor study``, ``pettutor train``, ``pettutor doctor``,
``pettutor bench``, ``pettutor kit``.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

import signal
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import pettutor
from pettutor.friendly import friendly

app = typer.Typer(
    name="pettutor",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Debug = Annotated[bool, typer.Option("--debug", envvar="PETTUTOR_DEBUG", help="Show where an error came from.")]


class Size(StrEnum):
    """Scanner presets."""

    slab = "slab"
    mini = "mini"
    mmr = "mmr"


class Device(StrEnum):
    """Where the projector runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Model(StrEnum):
    """System models of the projector."""

    siddon = "siddon"
    multi_ray = "multi_ray"
    joseph = "joseph"
    distance_driven = "distance_driven"


class Part(StrEnum):
    """What the benchmark measures."""

    projection = "projection"
    mlem = "mlem"
    listmode = "listmode"
    matrix = "matrix"
    methods = "methods"
    networks = "networks"


def _version(value: bool):
    if value:
        typer.echo(f"pettutor {pettutor.__version__}")
        raise typer.Exit


@app.callback(
    epilog="\b\nExamples:\n  pettutor doctor\n  pettutor demo --size slab\n  pettutor lab --dir my-lessons",
)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
):
    """PET image reconstruction with deep learning, taught by doing it."""


@app.command(
    epilog="\b\nExamples:\n  pettutor demo\n  pettutor demo --size slab --out first-try\n"
    "  pettutor demo --subject mni:7 --seed 1\n  pettutor demo --size mmr --device cuda --subject brainweb:04",
)
@friendly
def demo(
    size: Annotated[
        Size, typer.Option(help="Scanner: one ring, a small 3-D one, the Siemens Biograph mMR.")
    ] = Size.mini,
    subject: Annotated[
        str, typer.Option(metavar="mni:N|brainweb:NN", help="Whose brain: embedded, or BrainWeb (downloaded once).")
    ] = "mni:0",
    device: Annotated[Device, typer.Option(help="Where the projector runs.")] = Device.auto,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn at random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for report.html, figure.png, results.json and the images.")] = Path(
        "pettutor-demo"
    ),
    debug: Debug = False,
):
    """From a brain to reconstructions: MLEM, Gaussian, Bowsher MAP, CED, MAPEM-Net, DIPRecon; and a report."""
    from pettutor.demo import run_demo
    from pettutor.memory import return_freed_memory

    return_freed_memory()  # the process is ours

    run_demo(size=size.value, subject=subject, device=device.value, seed=seed, out=out, progress=True)
    typer.echo(f"Open {out / 'report.html'} in a browser.")


@app.command(
    epilog="\b\nExamples:\n  pettutor lab\n  pettutor lab --dir my-lessons --no-browser --port 8890\n"
    "  pettutor lab -- --ip=0.0.0.0 --allow-root",
)
@friendly
def lab(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTIONS", help="Options of JupyterLab.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder for your copy of the lessons; pettutor-lessons where you are, by default."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of JupyterLab.")] = None,
    teacher: Annotated[bool, typer.Option("--teacher", help="Copy the teacher's notebooks as well.")] = False,
    launch: Annotated[bool, typer.Option("--launch/--copy-only", help="Start JupyterLab after copying.")] = True,
    debug: Debug = False,
):
    """Copy the lessons to a folder of yours (never over one that you edited) and open JupyterLab at the first.

    In a source checkout the lessons open where they are, unless --dir says otherwise.
    """
    from importlib.util import find_spec

    from pettutor.course import folder as course

    if folder is None and course.in_checkout():
        folder = course.lessons_folder()
        typer.echo(f"Lessons are in {folder}")
    else:
        if folder is None:
            here = Path.cwd()
            folder = here if (here / course.MANIFEST).exists() else here / "pettutor-lessons"
        report = course.copy_lessons(folder, teacher=teacher)
        folder = report.folder
        typer.echo(str(report))
    if not launch:
        return
    if find_spec("jupyterlab") is None:
        from pettutor.doctor import pip_command

        raise ValueError(f"JupyterLab is not installed; this mends it: {pip_command('install', 'jupyterlab')}")
    first = course.lessons(folder)[0]
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", str(first)]
    command += [] if browser else ["--no-browser"]
    command += [f"--port={port}"] if port else []
    command += options or []
    raise typer.Exit(_run_in_front(command))


def _run_in_front(command):
    """Run a program that deals with Ctrl-C itself."""
    with subprocess.Popen(command) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # after the start: the program must not inherit it
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


@app.command(
    epilog="\b\nExamples:\n  pettutor study --example > study.yaml\n  pettutor study study.yaml --dry-run\n"
    "  pettutor study study.yaml --workers 4\n  pettutor study study.yaml --out results --scheduler tcp://10.0.0.5:8786\n"
    "  pettutor study study.yaml --show",
)
@friendly
def study(
    file: Annotated[Path | None, typer.Argument(metavar="STUDY.yaml", help="What to do.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Results go to a folder in it with the study's name.")] = Path(
        "pettutor-studies"
    ),
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes on this machine; 0: none but this. [default: one a core, or one a GPU]"),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster instead, pettutor on its workers.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be computed and what is done.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Compute nothing: print what is there.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Serve Dask's page at http://localhost:8787.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a study with all its settings explained.")] = False,
    debug: Debug = False,
):
    """Repeat methods over subjects, lesions, counts, noise realisations and settings; one table of results.

    Stop it with Ctrl-C, or kill it: the same command goes on where it was. The exit code is 0 if every cell is done,
    1 if some failed (they are tried again next time), 130 after Ctrl-C.
    """
    from pettutor.study import command

    if example:
        typer.echo(command.EXAMPLE, nl=False)
        return
    if file is None:
        raise ValueError("expected a file STUDY.yaml; pettutor study --example prints one")
    code = command.run(
        file, out=out, workers=workers, scheduler=scheduler, dashboard=dashboard, dry_run=dry_run, show=show
    )
    raise typer.Exit(code)


@app.command(
    epilog="\b\nExamples:\n  pettutor train unet\n  pettutor train mapem_net --minutes 30 --out my-networks\n"
    "  pettutor train mapem_net --out my-networks --minutes 30 --resume\n  pettutor train em_net --size mini --smoke",
)
@friendly
def train(
    name: Annotated[str | None, typer.Argument(metavar="NETWORK", help="None: list them.", show_default=False)] = None,
    size: Annotated[Size, typer.Option(help="Scanner.")] = Size.slab,
    out: Annotated[Path, typer.Option(help="Folder for weights, their record, and the state of the training.")] = Path(
        "pettutor-networks"
    ),
    minutes: Annotated[float | None, typer.Option(help="Time to train (default: the recipe's).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights and order (default: the recipe's).")] = None,
    subjects: Annotated[int | None, typer.Option(min=1, help="How many to train on (default: the recipe's).")] = None,
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Keras's, such as mixed_float16.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that simulate (default: one a core).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="All of it in a minute; nothing is learnt.")] = False,
    debug: Debug = False,
):
    """Train a network by its recipe on simulated scans, and measure it on a subject that it never saw.

    Scans are simulated once and kept. Stop it with Ctrl-C: --resume goes on after the last validation.
    """
    from pettutor.networks.training import command

    if name is None:
        typer.echo(command.list_recipes())
        return
    command.run(name, size.value, out=out, seed=seed, minutes=minutes, subjects=subjects, policy=precision,
                workers=workers, resume=resume, smoke=smoke, say=typer.echo)  # fmt: skip


@app.command(epilog="\b\nExample:\n  pettutor doctor")
@friendly
def doctor(debug: Debug = False):
    """Say what works on this machine and what does not, each "no" with the command that mends it.

    The exit code is 0 if the course can run on the CPU.
    """
    from pettutor import doctor as examination

    colours = {examination.YES: "green", examination.WARN: "yellow", examination.NO: "red"}
    checks = examination.examine()
    typer.echo(examination.report(checks, style=lambda text, state: typer.style(text, fg=colours[state], bold=True)))
    raise typer.Exit(0 if examination.course_runs(checks) else 1)


@app.command(
    epilog="\b\nExamples:\n  pettutor bench\n  pettutor bench --size slab --only projection --only matrix\n"
    "  pettutor bench --size mmr --repeats 5 --out mmr.json\n  pettutor bench --size mini --model joseph --scaling\n"
    "  pettutor bench --size mini --only methods --only networks\n  pettutor bench --show mmr.json --markdown",
)
@friendly
def bench(
    size: Annotated[list[Size], typer.Option(help="Scanner; may be given several times.")] = [Size.slab, Size.mini],  # noqa: B006
    model: Annotated[
        list[Model] | None, typer.Option(help="System model; may be given several times. [default: all four]")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the projector runs.")] = Device.auto,
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls of each kind, after one that warms up.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on the CPU. [default: PETTUTOR_THREADS, or the cores]")
    ] = None,
    only: Annotated[list[Part] | None, typer.Option(help="What to measure. [default: all but networks]")] = None,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Cost against image size, lines of response and threads as well.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Keep all numbers, machine-readable.")] = None,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Measure nothing: show what --out kept.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables in Markdown.")] = False,
    debug: Debug = False,
):
    """Measure projector and reconstruction on this machine: seconds, lines of response a second, memory.

    Each case runs in a process of its own. Forward and back projection with every model, MLEM with one, list mode,
    the stored matrix, every reconstruction method. The sizes slab and mini take about four minutes, mmr about twenty
    on two cores. What DIPRecon and MAPEM-Net take is measured with --only networks.
    """
    from pettutor import bench as benchmark

    if show is not None:
        report = benchmark.load_report(show)
    else:
        chosen = {"sizes": size, "models": model, "parts": only}
        lists = {name: tuple(item.value for item in items) for name, items in chosen.items() if items}
        plan = benchmark.Plan(device=device.value, repeats=repeats, threads=threads, scaling=scaling, **lists)
        report = benchmark.run_bench(plan, out=out)
    typer.echo(benchmark.as_markdown(report) if markdown else benchmark.as_text(report))
    raise typer.Exit(1 if report["failed"] else 0)


@app.command(
    epilog="\b\nExamples:\n  pettutor kit /media/stick/pettutor\n"
    "  pettutor kit stick --platform linux --platform windows --python 3.12\n  pettutor kit stick --check",
)
@friendly
def kit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the kit goes, such as a stick.")],
    extra: Annotated[str, typer.Option(help="none, cpu, jax, torch, gpu or gpu-cuda13.")] = "cpu",
    platform: Annotated[
        list[str] | None,
        typer.Option(help="linux, macos-intel, macos-arm, windows; may be given several times; by default this one."),
    ] = None,
    python: Annotated[
        list[str] | None, typer.Option(help="3.11, 3.12, 3.13; may be given several times; by default this one.")
    ] = None,
    brainweb: Annotated[bool, typer.Option("--brainweb", help="With the BrainWeb subjects in the cache.")] = False,
    wheel: Annotated[
        Path | None, typer.Option(help="pettutor's own wheel; by default it is built from a clone.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what and how much, and do nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what is missing or damaged.")] = False,
    debug: Debug = False,
):
    """Gather all that a machine without a network needs for the course: wheels, lessons, instructions, checksums.

    Stop it with Ctrl-C: the same command goes on, and fetches only what lacks. With --check the exit code is 1 if
    something is missing or damaged.
    """
    from pettutor.course.kit import check_kit, make_kit

    if check:
        problems = check_kit(folder)
        typer.echo("\n".join(problems) or f"{folder}: whole")
        raise typer.Exit(1 if problems else 0)
    make_kit(folder, extra=extra, platforms=platform, pythons=python, brainweb=brainweb, wheel=wheel,
             dry_run=dry_run, say=typer.echo)  # fmt: skip


if __name__ == "__main__":
    app()
