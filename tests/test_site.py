"""The site: pages from lessons that have run, alive without a kernel, in a real browser."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest
from browser_pages import VOLUME, coloured, keep, picture, settle, watched_page

pytest.importorskip("myst_nb", reason="needs the extra docs")
pytest.importorskip("pydata_sphinx_theme", reason="needs the extra docs")

ROOT = Path(__file__).parents[1]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
LIVE = """\
import numpy as np
from tqdm.auto import tqdm

import pettutor as pt

volume = (np.indices((7, 9, 12)) * np.array([31, 5, 2])[:, None, None, None]).sum(0).astype(np.uint8)
list(tqdm(range(3)))
pt.volshow({"a ramp": volume}, cmaps="viridis", vmins=0, vmaxs=252)"""
FORMULAS = r"""# 1 · Formulas

Within a line $\bar y = A\,x + r$, and

$$ x \leftarrow \Big\{ \frac{x}{s} \odot A^{\mathsf T} \frac{y}{A x + r} \Big\}_+ , \qquad
\lVert x \rVert^2 = \sum_{j,k} x_j^2 . $$

<details><summary>1. Is $K^{\mathsf T}$ the same as
$K$?</summary>

No. See the [glossary](GLOSSARY) and [lesson 0](00_start_here.ipynb).
</details>

# A second title"""


def write(path, *cells):
    """A notebook of (kind, source)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    nbformat.write(nbformat.v4.new_notebook(cells=[made[kind](source) for kind, source in cells]), path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The real pages around two small lessons; the others have a title only."""
    folder = tmp_path_factory.mktemp("site")
    for place, glossary, answer in (("", "glossary.ipynb", "..."), ("solutions", "../glossary.ipynb", "6 * 7")):
        notebooks = folder / "notebooks" / place
        for lesson in LESSONS:
            write(notebooks / f"{lesson}.ipynb", ("markdown", f"# {lesson}"))
        text = ("markdown", "# 0 · Live\n\nThe ramp.")
        write(notebooks / "00_start_here.ipynb", text, ("code", LIVE), ("code", f"answer = {answer}\nprint(answer)"))
        write(notebooks / "01_phantom.ipynb", ("markdown", FORMULAS.replace("GLOSSARY", glossary)))
    command = [sys.executable, str(ROOT / "docs" / "build.py"), "--out", str(folder / "out")]
    command += ["--notebooks", str(folder / "notebooks"), "--executed", str(folder / "executed")]
    command += ["--rooms", "measures", "io"]  # the networks take as long as all else together
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "running 00_start_here" in done.stdout and "running 01" not in done.stdout
    return folder / "out" / "html"


@pytest.fixture(scope="module")
def address(site):
    """A web server of the built pages, on this machine only."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def real(faults):
    """Without MathJax's empty font: its address is about:blank, which nobody is asked for."""
    empty = any("about:blank" in fault for fault in faults)
    faults = [fault for fault in faults if not _left_behind(fault)]
    noise = ("about:blank", *(("console: Failed to load resource: net::ERR_FAILED",) if empty else ()))
    return [fault for fault in faults if not any(words in fault for words in noise)]


def _left_behind(fault):
    """A file that is there, and that the browser no longer wanted when the test went to the next page."""
    start, _, path = fault.partition("failed: file://")
    return not start and path and Path(path.partition("?")[0]).is_file()


@pytest.mark.browser
def test_the_viewer_slices_in_the_page(chromium, site):
    path = site / "lessons" / "00_start_here.html"
    with watched_page(chromium, (site.as_uri(),), offline=True) as (page, faults):
        page.goto(path.as_uri())
        page.wait_for_selector(".ptv-view")
        settle(page)
        assert page.locator(".pettutor-viewer > img").count() == 0, "the picture makes room for the viewer"
        assert np.array_equal(picture(page), coloured(VOLUME[3], "viridis", 0, 252))
        page.locator(".ptv-view").first.focus()
        page.keyboard.press("ArrowUp")
        settle(page)
        shown = picture(page)
        assert any(np.array_equal(shown, coloured(VOLUME[z], "viridis", 0, 252)) for z in (2, 4))
        keep(page, "site-lesson")
        assert real(faults) == []


@pytest.mark.browser
def test_without_scripts_the_page_has_the_picture(chromium, site):
    with watched_page(chromium, (site.as_uri(),), java_script_enabled=False) as (page, _):
        page.goto((site / "lessons" / "00_start_here.html").as_uri())
        box = page.locator(".pettutor-viewer > img").bounding_box()
        assert box["width"] > 200 and box["height"] > 100


@pytest.mark.browser
def test_solutions_are_folded_and_progress_bars_gone(chromium, address):
    with watched_page(chromium, (address,)) as (page, _):
        page.goto(f"{address}/lessons/00_start_here.html")
        solution = page.locator("details.hide", has_text="6 * 7")
        assert solution.count() == 1 and page.locator("details.hide").count() == 1
        assert not solution.locator("pre").first.is_visible()
        assert page.get_by_text("42", exact=True).is_visible(), "what the solution gives is seen"
        solution.locator("summary").click()
        assert solution.locator("pre").first.is_visible()
        text = page.locator("article").inner_text()
        assert "3/3" not in text and "Show the solution" not in text and "Hide the solution" in text
        with page.expect_download() as download:
            page.get_by_text("the notebook to work in").click()
        given = nbformat.read(download.value.path(), as_version=4)
        assert given.cells[2].source == "answer = ...\nprint(answer)"


@pytest.mark.browser
def test_formulas_are_drawn_without_asking_elsewhere(chromium, site):
    with watched_page(chromium, (site.as_uri(),), offline=True) as (page, faults):
        page.goto((site / "lessons" / "01_phantom.html").as_uri())
        page.wait_for_selector("summary .MathJax")
        boxes = [formula.bounding_box() for formula in page.locator("summary .MathJax").all()]
        assert len(boxes) == 2 and all(box["width"] > 5 and box["height"] > 5 for box in boxes)
        assert page.locator("div.math .MathJax_Display").count() == 1
        assert "$" not in page.locator("article").inner_text() and "\\" not in page.locator("article").inner_text()
        assert page.locator(".MathJax_Error, .merror, [data-mjx-error]").count() == 0
        assert page.locator("h1").count() == 1 and page.locator("h2", has_text="A second title").count() == 1
        page.get_by_text("1. Is").click()
        page.locator("details").get_by_text("glossary").click()
        assert page.url.endswith("/glossary.html") and real(faults) == []


def pages_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if "_static" not in path.parts)


def faults_on_a_phone(chromium, folder, pages):
    """What is wider than a phone, and what is asked for from elsewhere, page by page."""
    found = []
    with watched_page(chromium, (folder.as_uri(),), offline=True, is_mobile=True) as (page, faults):
        page.set_viewport_size({"width": 390, "height": 844})
        page.set_default_navigation_timeout(120_000)  # the page before may still be drawing its formulas
        for name in pages:
            page.goto((folder / name).as_uri())
            settle(page)
            width = page.evaluate("document.scrollingElement.scrollWidth")
            if width > 390:
                found.append(f"{name}: {width} px wide")
            if name in ("index.html", "glossary.html", "lessons/05_mlem.html", "lessons/00_start_here.html"):
                keep(page, f"site-phone-{Path(name).stem}")
        return [*found, *real(faults)]


@pytest.mark.browser
def test_no_page_is_wider_than_a_phone_nor_asks_for_anything_outside(chromium, site):
    empty = {f"lessons/{lesson}.html" for lesson in LESSONS[2:]}
    pages = [name for name in pages_of(site) if name not in empty]
    assert len(pages) > 15 and empty < set(pages_of(site))
    assert faults_on_a_phone(chromium, site, pages) == []


@pytest.mark.browser
@pytest.mark.skipif("PETTUTOR_SITE" not in os.environ, reason="PETTUTOR_SITE names no built site")
def test_the_real_site_too(chromium):
    folder = Path(os.environ["PETTUTOR_SITE"]).resolve()
    assert faults_on_a_phone(chromium, folder, pages_of(folder)) == []
    for lesson in LESSONS:
        text = (folder / "lessons" / f"{lesson}.html").read_text(encoding="utf-8")
        source = (ROOT / "notebooks" / "source" / f"{lesson}.py").read_text(encoding="utf-8")
        if "volshow(" in source or "explore_lines(" in source:
            assert '<div class="pettutor-viewer">' in text, f"{lesson} has no viewer"
        assert "application/vnd.jupyter.widget" not in text


@pytest.mark.browser
def test_search_finds_a_term(chromium, address):
    with watched_page(chromium, (address,)) as (page, faults):
        page.goto(f"{address}/search.html?q=michelogram")
        page.wait_for_selector("#search-results li")
        assert "Glossary" in page.locator("#search-results").inner_text()
        assert real(faults) == []


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "lessons/01_phantom", "api/pettutor"])
def test_dark_pages_can_be_read(chromium, site, name):
    with watched_page(chromium, (site.as_uri(),), offline=True, color_scheme="dark") as (page, faults):
        page.goto((site / f"{name}.html").as_uri())
        dark = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every((v) => v < 80)"
        assert page.evaluate(dark)
        keep(page, f"site-dark-{Path(name).stem}")
        assert real(faults) == []


def test_every_public_name_is_in_the_reference(site):
    import pettutor as pt

    text = (site / "api" / "pettutor.html").read_text(encoding="utf-8")
    for name in pt.__all__:
        if name not in {"__version__", "phantoms", "measures", "networks", "io", "course", "priors"}:
            assert f'id="pettutor.{name}"' in text, name


def test_a_lesson_that_was_not_run_ends_the_build(tmp_path):
    for place in ("", "solutions"):
        for lesson in LESSONS:
            write(tmp_path / "notebooks" / place / f"{lesson}.ipynb", ("markdown", f"# {lesson}"))
    write(tmp_path / "notebooks" / "solutions" / "00_start_here.ipynb", ("markdown", "# A"), ("code", "6 * 7"))
    write(tmp_path / "solutions" / "00_start_here.ipynb", ("markdown", "# A"), ("code", "6 * 8"))  # as it was once
    command = [sys.executable, str(ROOT / "docs" / "build.py"), "--no-run", "--out", str(tmp_path / "out")]
    command += ["--notebooks", str(tmp_path / "notebooks"), "--executed", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "expected 00_start_here as it ran with its present code" in done.stderr
