"""Pages in a real browser: opening them, reading their pixels, and a JupyterLab to open notebooks in."""

import itertools
import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

# whole numbers 0..252, so that they are sent exactly; no two neighbours alike along any axis, sizes all differ
Z, Y, X = 7, 9, 12
VOLUME = (np.indices((Z, Y, X)) * np.array([31, 5, 2])[:, None, None, None]).sum(0).astype(np.uint8)
assert VOLUME.max() <= 252

# a scanner with few lines, gaps, and oblique planes
SMALL_SCANNER = dict(
    name="small", rings=5, ring_pitch=6.0, blocks=10, crystals_per_block=3, gaps_per_block=1, crystal_pitch=8.0,
    inner_radius=52.0, depth_of_interaction=0.0, first_block_angle=math.pi / 2, bins=22, span=3, max_ring_difference=4,
    image_shape=(9, 12, 13), image_voxel_size=(3.0, 5.0, 5.0),
)  # fmt: skip


@contextmanager
def watched_page(browser, allowed, **options):
    """A page and the list of what it should not have done: errors, and requests to anywhere but ``allowed``."""
    page = browser.new_page(viewport={"width": 1240, "height": 900}, **options)
    faults = []
    page.on("console", lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda e: faults.append(f"error: {e}"))
    inside = (*allowed, "data:", "blob:")
    page.on("request", lambda r: faults.append(f"request: {r.url}") if not r.url.startswith(inside) else None)
    page.on("requestfailed", lambda r: faults.append(f"failed: {r.url}") if "favicon" not in r.url else None)
    try:
        yield page, faults
    finally:
        page.close()


@contextmanager
def opened(browser, path, text=None, **options):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with watched_page(browser, (path.as_uri(),), offline=True, **options) as (page, faults):
        page.goto(path.as_uri())
        page.wait_for_selector(".ptv-view, .ptv-error")
        settle(page)
        yield page, faults


def settle(page):
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def picture(page, panel=0, plane="axial", viewer=0):
    """RGBA of a canvas, as displayed: (row, column, 4). What was asked for before is drawn."""
    settle(page)
    data = page.evaluate(
        """([viewer, panel, plane]) => {
            const root = document.querySelectorAll(".ptv")[viewer];
            const view = root.querySelectorAll(".ptv-panel")[panel].querySelector(`[data-plane=${plane}]`);
            const canvas = view.querySelector("canvas");
            const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [canvas.height, canvas.width, [...image.data]];
        }""",
        [viewer, panel, plane],
    )
    return np.array(data[2], np.uint8).reshape(data[0], data[1], 4)


def coloured(values, cmap, low, high):
    """What matplotlib would show, (row, column, 4)."""
    return matplotlib.colormaps[cmap](matplotlib.colors.Normalize(low, high)(values.astype(float)), bytes=True)


def value_of(page, panel=0):
    """The value under the mouse or crosshair, once what was asked for is drawn."""
    settle(page)
    return page.locator(".ptv-value").nth(panel).inner_text()


def ray_of(page, grid):
    """Ends (x, y) of the line of response that is drawn in the axial picture of an image, mm."""
    line = page.locator(".ptv-ray").first
    ends = np.array([float(line.get_attribute(name)) for name in ("x1", "y1", "x2", "y2")]).reshape(2, 2)
    return grid.origin[:0:-1] + (ends - 0.5) * grid.voxel_size[:0:-1]


def line_of_response(scanner, plane, view, b):
    """The same from the scanner."""
    ends = scanner.lor_endpoints(slice(plane, plane + 1), slice(view, view + 1), slice(b, b + 1))
    return [end[0, 0, 0][:0:-1] for end in ends]


def lines_of(page, view=0):
    """The four strokes of a crosshair: left, right, above, below."""
    return page.locator(".ptv-view").nth(view).locator("line").all()


def hover(page, row, column, shape, panel=0):
    """Put the mouse on a pixel of a picture."""
    box = page.locator(".ptv-view").nth(panel).bounding_box()
    page.mouse.move(
        box["x"] + box["width"] * (column + 0.5) / shape[1], box["y"] + box["height"] * (row + 0.5) / shape[0]
    )


WORDS = ".ptv-title, .ptv-value, .ptv-text, .ptv-where, .ptv-ticks span, .ptv-box, .ptv-planes button"


def contrast(page, words=None):
    """Least WCAG contrast of the viewer's words with what lies behind them."""
    return page.evaluate(
        """(words) => {
            const canvas = document.createElement("canvas");
            const context = canvas.getContext("2d", { willReadFrequently: true });
            const over = (colours) => {
                for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
                return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
                    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
                    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            };
            const behind = (element) => {
                const stack = ["white"];
                const up = [];
                for (let e = element; e; e = e.parentElement) up.push(getComputedStyle(e).backgroundColor);
                return stack.concat(up.reverse());
            };
            const all = [...document.querySelectorAll(words)];
            const ratios = all.filter((e) => e.offsetParent).map((e) => {
                const ground = behind(e);
                const [a, b] = [over(ground), over([...ground, getComputedStyle(e).color])];
                return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            });
            return ratios.length > 5 ? Math.min(...ratios) : 0;
        }""",
        words or WORDS,
    )


class Lab(NamedTuple):
    """A running Jupyter server."""

    address: str
    folder: Path  # that it serves


def _write_notebook(path, sources):
    """A notebook of code cells."""
    cells = [
        {"cell_type": "code", "id": f"cell-{i}", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
        for i, s in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))


@contextmanager
def running_lab(folder):
    """A :class:`Lab` that serves JupyterLab and Notebook 7."""
    work = folder / "work"
    work.mkdir()
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={work}"]
    command += ["--LabApp.expose_app_in_browser=True", "--ServerApp.port_retries=0"]
    command += ["--JupyterNotebookApp.expose_app_in_browser=True"]
    log = (folder / "log.txt").open("w+")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=work)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log.txt").read_text()
                time.sleep(0.2)
        else:
            pytest.fail(f"JupyterLab did not start:\n{(folder / 'log.txt').read_text()}")
        yield Lab(address, work)
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


_numbers = itertools.count()


@contextmanager
def opened_notebook(browser, lab, sources, view="lab/tree"):
    """A page with a notebook of these cells, its kernel idle; a list of its faults; and a list of what it sends.

    ``view``: the part of the address that says in which application, "lab/tree" or "notebooks" (Notebook 7).
    """
    sent, name, address = [], f"notebook-{next(_numbers)}.ipynb", lab.address
    _write_notebook(lab.folder / name, sources)
    with watched_page(browser, (address, address.replace("http", "ws"))) as (page, faults):
        page.on("websocket", lambda ws: ws.on("framesent", lambda frame: sent.append(frame)))
        page.goto(f"{address}/{view}/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        wait_for_kernel(page)
        yield page, faults, sent
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def wait_for_kernel(page):
    page.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status==='idle'", timeout=60_000
    )


def run_cell(page, index):
    """Run a cell through the app; wait for the kernel to be idle again."""
    page.evaluate(
        """async (index) => {
            const panel = window.jupyterapp.shell.currentWidget;
            panel.content.activeCellIndex = index;
            await window.jupyterapp.commands.execute("notebook:run-cell");
        }""",
        index,
    )


def output_of(page, index):
    """The text that a cell has printed."""
    return page.locator(".jp-Cell").nth(index).locator(".jp-OutputArea-output").first.inner_text()


def keep(page, name):
    """Keep a screenshot where PETTUTOR_SCREENSHOTS names a folder."""
    if os.environ.get("PETTUTOR_SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["PETTUTOR_SCREENSHOTS"]) / f"{name}.png")
