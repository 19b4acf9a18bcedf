"""Build the site: ``python docs/build.py``, then open ``build/site/html/index.html``.

The pages are this folder's, the lessons as they ran, and a reference made of the docstrings. A lesson that is not in
the folder of executed notebooks, or has changed since, is run first (at the size ``slab``, or ``PETTUTOR_SIZE``); the
tests fill that folder where ``PETTUTOR_EXECUTED`` names it.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from pages import lesson_page
from reference import ROOMS, write_reference

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TOP = "lessons/index glossary exercises teaching anywhere library api/index"
LONGEST = 600  # seconds for a cell


def toctree(entries, *options):
    lines = ["```{toctree}", ":hidden:", *options, "", *entries, "```"]
    return "\n".join(lines) + "\n"


def map_of_lessons(lessons, folder=""):
    """The README's table of the lessons, with links to their pages."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+?) \| ([^|]+?) \|$", readme, re.M)
    if [int(number) for number, *_ in rows] != list(range(len(lessons))):
        raise ValueError(f"README.md: expected a row for each of {len(lessons)} lessons, got {len(rows)}")
    table = ["| | lesson | question |", "|---|---|---|"]
    for lesson, (number, title, question) in zip(lessons, rows, strict=True):
        table.append(f"| {number} | [{title}]({folder}{lesson}.ipynb) | {question} |")
    return "\n".join(table) + "\n"


def stage(source, notebooks):
    """Put the pages of this folder, and the map of the lessons, where Sphinx looks for them; names of the lessons."""
    lessons = sorted(path.stem for path in notebooks.glob("[0-9][0-9]_*.ipynb"))
    for path in (*HERE.glob("*.md"), HERE / "conf.py"):
        text = path.read_text(encoding="utf-8").replace("](../notebooks/", "](lessons/")
        if path.name == "index.md":
            text = text.replace("<!-- map of the lessons -->", map_of_lessons(lessons, "lessons/"))
            text = text.replace("<!-- tables of contents -->", toctree(TOP.split()))
        (source / path.name).write_text(text, encoding="utf-8")
    for folder in ("images", "_static"):
        shutil.copytree(HERE / folder, source / folder)
    (source / "lessons").mkdir()
    words = "Each lesson as it ran, with the exercises solved; the solutions are folded.\n"
    text = f"# Lessons\n\n{words}\n{map_of_lessons(lessons)}\n{toctree(lessons)}"
    (source / "lessons" / "index.md").write_text(text, encoding="utf-8")
    (source / "notebooks").mkdir()
    for lesson in lessons:
        shutil.copy(notebooks / f"{lesson}.ipynb", source / "notebooks")
    return lessons


def write_scripts(static):
    """MathJax, and the viewer's script and style: once for all pages."""
    import jupyter_server_mathjax

    from pettutor.view import html

    mathjax = Path(jupyter_server_mathjax.__file__).parent / "static"
    shutil.copytree(mathjax, static / "mathjax", ignore=shutil.ignore_patterns("localization", "SVG", "a11y"))

    style, script = re.fullmatch(r"<style>\n(.*)</style>\n<script>\n(.*)</script>\n", html.runtime(), re.S).groups()
    (static / "viewer.css").write_text(style, encoding="utf-8")
    (static / "viewer.js").write_text(script, encoding="utf-8")


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def executed(solved, folder, may_run):
    """A solved lesson as it ran, out of the folder; run, and put there, if it is not there as it is now."""
    plain, lesson = nbformat.read(solved, as_version=4), solved.stem
    if not code_of(plain):
        return plain
    for path in (folder / "solutions" / f"{lesson}.ipynb", folder / f"{lesson}.ipynb"):
        if path.exists():
            found = nbformat.read(path, as_version=4)
            if code_of(found) == code_of(plain):
                # words may have changed since; outputs belong to code
                outputs = iter([cell for cell in found.cells if cell.cell_type == "code"])
                plain.cells = [next(outputs) if cell.cell_type == "code" else cell for cell in plain.cells]
                return plain
    if not may_run:
        raise FileNotFoundError(f"{folder}: expected {lesson} as it ran with its present code")
    path = folder / "solutions" / f"{lesson}.ipynb"
    print(f"running {lesson}", flush=True)
    run(plain)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(plain, path)
    return plain


def run(notebook):
    from nbclient import NotebookClient

    os.environ.setdefault("PETTUTOR_SIZE", "slab")
    os.environ.update(PETTUTOR_LIVE_PAGES="1", PETTUTOR_PROGRESS="off")
    os.environ.pop("MPLBACKEND", None)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=LONGEST, kernel_name="python3", resources=resources).execute()


def build(out, notebooks, ran, *, rooms=ROOMS, may_run=True):
    """Put everything together in ``out/source``, and make ``out/html``; gives Sphinx's exit code."""
    from sphinx.cmd.build import build_main

    source, html = out / "source", out / "html"
    for folder in (source, html):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    lessons = stage(source, notebooks)
    for lesson in lessons:
        student = nbformat.read(notebooks / f"{lesson}.ipynb", as_version=4)
        page = lesson_page(lesson, executed(notebooks / "solutions" / f"{lesson}.ipynb", ran, may_run), student)
        nbformat.write(page, source / "lessons" / f"{lesson}.ipynb")
    write_scripts(source / "_static")
    write_reference(source / "api", rooms)
    return build_main(
        ["-W", "--keep-going", "-q", "-j", "auto", "-b", "html", "-d", str(out / "doctrees"), str(source), str(html)]
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python docs/build.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder to fill (build/site)")
    parser.add_argument(
        "--executed", type=Path, default=ROOT / "build" / "executed", help="executed notebooks (build/executed)"
    )
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", help="the lessons (notebooks)")
    parser.add_argument("--rooms", nargs="*", default=ROOMS, help="rooms of the library in the reference (all)")
    parser.add_argument("--no-run", action="store_true", help="fail where a lesson would have to be run")
    options = parser.parse_args(arguments)
    folders = (folder.resolve() for folder in (options.out, options.notebooks, options.executed))
    try:
        code = build(*folders, rooms=options.rooms, may_run=not options.no_run)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if code == 0:
        print(f"The site is in {options.out / 'html' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
