"""The viewer's benchmark, from a checkout: ``python tests/benchmarks/viewer.py [--size mini] [--presses 60]``.

For 1, 4 and 12 panels in a real browser: from the press of a key to changed pixels, and to the screen's picture after
that; how long a step is drawn; how many steps a second are shown while a key is held; beside a matplotlib figure of
the same panels, which a notebook would have to send on top. Then what is sent, and what a live viewer costs a
reconstruction in JupyterLab with that browser looking on. Needs ``pettutor[test]`` and a Chromium on the PATH (or in
PETTUTOR_CHROMIUM); prints Markdown.
"""

import argparse
import io
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import pettutor as pt
from pettutor.bench.machine import describe_machine
from pettutor.view import frontend

PANELS = (1, 4, 12)
# Hears of a key after the viewer has, so its picture is asked for after the viewer's: when that comes, the viewer has
# just drawn; when the next one comes, the screen has been given it. Only then the pixels are read and compared.
WATCH = """() => {
    const view = document.querySelector(".ptv-view");
    const canvas = view.querySelector("canvas");
    const viewer = document.querySelector(".pettutor-viewer").pettutorViewer;
    const frame = () => new Promise(requestAnimationFrame);
    const pixels = () => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let before = pixels();
    view.addEventListener("keydown", (event) => {
        window.measured = (async () => {
            await frame();
            const changed = performance.now() - event.timeStamp;
            await frame();
            const shown = performance.now() - event.timeStamp;
            const now = pixels();
            if (now.every((value, i) => value === before[i])) throw new Error("the pixels did not change");
            before = now;
            return [changed, shown];
        })();
    });
    window.drawn = [];
    const draw = viewer.draw.bind(viewer);
    viewer.draw = () => { const begin = performance.now(); draw(); window.drawn.push(performance.now() - begin); };
}"""
HOLD = """async (steps) => {
    const viewer = document.querySelector(".pettutor-viewer").pettutorViewer;
    const times = [];
    for (let i = 0; i <= steps; i++) {
        viewer.step(0, i % 40 < 20 ? 1 : -1);
        times.push(await new Promise(requestAnimationFrame));
    }
    return times.slice(1).map((time, i) => time - times[i]);
}"""
LIVE = """import json, time
import pettutor as pt
scanner = pt.Scanner.preset("mini")
grid = scanner.image_grid()
truth = pt.load_subject("mni:0").on(grid)
X = pt.Projector(scanner, grid)
data = pt.simulate(truth, X, counts=20e6, psf_fwhm=4.5, seed=0)
factors = dict(attenuation=data.attenuation, normalisation=data.normalisation, background=data.randoms)
A = pt.AcquisitionModel(X, psf_fwhm=2.5, **factors)
viewer = pt.volshow({"truth": truth.pet}, live="MLEM", grid=grid)
viewer"""
ROUNDS = """def clocks():
    return time.perf_counter(), time.process_time()
def since(begin, parts=1):
    return [(now - then) / parts for then, now in zip(begin, clocks())]
def seconds(callback, iterations=16):
    begin = clocks()
    pt.mlem(data.prompts, A, iterations=iterations, callback=callback)
    return since(begin, iterations)
calls = []
def watched(iteration, image):
    begin = clocks()
    viewer(iteration, image)
    calls.append(since(begin))
seconds(None), seconds(watched)
print(json.dumps([[[seconds(None), seconds(watched)] for _ in range(15)], calls]))"""


def noisy_brain(size):
    """A brain with much noise, which is the harder to compress, on the scanner's usual grid: float32 (z, y, x)."""
    grid = pt.Scanner.preset(size).image_grid()
    truth = pt.load_subject("mni:0").on(grid).pet
    mean = truth * (20 / truth.max())
    return np.random.default_rng(0).poisson(mean).astype(np.float32), grid


@contextmanager
def shown(browser, viewer):
    """A page from disk with the viewer, drawn, and the size of its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        viewer.save_html(path)
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        page.goto(path.as_uri())
        page.wait_for_selector(".ptv-view", timeout=120_000)
        page.wait_for_timeout(500)
        yield page, path.stat().st_size
        page.close()


def browser_times(page, presses):
    """Milliseconds: (key to pixels, key to picture) of each press, drawing of each, from frame to frame while held."""
    page.locator(".ptv-view").first.focus()
    page.evaluate(WATCH)
    times = []
    for k in range(presses + 5):
        page.keyboard.press("ArrowUp" if k % 20 < 10 else "ArrowDown")
        times.append(page.evaluate("window.measured"))
    drawn = page.evaluate("window.drawn")
    return np.array(times[5:]).T, drawn[5:], page.evaluate(HOLD, 2 * presses)[10:]


def figure_times(image, panels, steps):
    """Milliseconds to draw a step as a matplotlib figure, kept from step to step, into a PNG for a notebook."""
    columns = min(panels, 4)
    rows = -(-panels // columns)
    figure = Figure(figsize=(3.2 * columns, 3 * rows))
    artists = []
    for ax in figure.subplots(rows, columns, squeeze=False).flat:
        artists.append(ax.imshow(image[0], cmap="magma", vmin=0, vmax=image.max()))
        figure.colorbar(artists[-1], ax=ax)
    times = []
    for step in range(steps + 1):
        begin = time.perf_counter()
        for artist in artists:
            artist.set_data(image[len(image) // 2 + step % 10])
        figure.savefig(io.BytesIO(), format="png")
        times.append(1e3 * (time.perf_counter() - begin))
    return times[1:]


def middle(times):
    """Median and 95th percentile."""
    return f"{np.median(times):.1f} / {np.percentile(times, 95):.1f}"


def print_panels(browser, image, grid, presses):
    print("| panels | key to changed pixels, ms | key to the screen's next picture, ms | drawing a step, ms | "
          "steps shown a second | matplotlib, ms a step |\n|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    sizes = []
    for panels in PANELS:
        begin = time.perf_counter()
        viewer = pt.volshow([image] * panels, grid=grid)
        seconds = (time.perf_counter() - begin) / panels
        with shown(browser, viewer) as (page, page_bytes):
            (changed, picture), drawn, held = browser_times(page, presses)
        sizes.append((sum(map(len, viewer.payload()[1])) / panels, page_bytes / panels, seconds))
        plain = figure_times(image, panels, max(5, presses // 6))
        print(f"| {panels} | {middle(changed)} | {middle(picture)} | {middle(drawn)} | {1e3 / np.median(held):.0f} | "
              f"{middle(plain)} |", flush=True)  # fmt: skip
    sent, page_bytes, seconds = np.max(sizes, axis=0)
    code = len(frontend.widget_module()) + len(frontend.style_sheet()) + len(frontend.loader())
    print(f"\nA volume: {sent / 1e3:.0f} kB sent, {page_bytes / 1e6:.2f} MB of a saved page at most, ready in "
          f"{seconds:.1f} s. Front end: {code / 1e3:.1f} kB.", flush=True)  # fmt: skip


def print_live(browser, pages):
    with (
        tempfile.TemporaryDirectory() as folder,
        pages.running_lab(Path(folder)) as lab,
        pages.opened_notebook(browser, lab, [LIVE, ROUNDS]) as (page, faults, _),
    ):
        pages.run_cell(page, 0)
        page.wait_for_selector(".ptv-view", timeout=60_000)
        pages.run_cell(page, 1)
        rounds, calls = map(np.array, json.loads(pages.output_of(page, 1)))
    if faults:
        sys.exit("\n".join(faults))
    (wall, cpu), (wall_with, cpu_with) = np.median(rounds, axis=0)  # of (round, without or with, wall or CPU)
    slower = 100 * (rounds[:, 1, 0] / rounds[:, 0, 0] - 1)
    low, middle, high = np.percentile(slower, (25, 50, 75))
    print(
        f"\nMLEM at size mini in JupyterLab: {wall:.3f} s an iteration ({cpu:.3f} s of CPU). The live viewer's call "
        f"takes {1e3 * np.mean(calls, axis=0)[0]:.1f} ms of it on average. With it, and a browser that draws on the "
        f"same cores: {wall_with:.3f} s ({cpu_with:.3f} s). Slower by {middle:.1f} % (median of {len(rounds)} "
        f"alternating rounds; quartiles {low:.1f} and {high:.1f} %)."
    )


def find_tools():
    """The tests' pages and playwright; ends with a sentence where they are missing."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    try:
        import browser_pages
        from playwright.sync_api import sync_playwright
    except ImportError as missing:
        sys.exit(f"expected what pettutor[test] installs, found no {missing.name} (pip install 'pettutor[test]')")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    chromium = os.environ.get("PETTUTOR_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        sys.exit(f"expected one of {', '.join(names)} on the PATH, or PETTUTOR_CHROMIUM, found none")
    return browser_pages, sync_playwright, chromium


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="mmr", choices=["mini", "mmr"], help="of the volumes [default: mmr]")
    parser.add_argument("--presses", type=int, default=60)
    options = parser.parse_args()
    pages, sync_playwright, chromium = find_tools()
    image, grid = noisy_brain(options.size)
    machine = describe_machine("cpu")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        print(
            f"{machine['processor']}, {machine['cores_usable']} cores, no GPU, headless Chromium {browser.version}, "
            f"matplotlib {matplotlib.__version__}, load before {machine['load_average']}; {date.today()}. Volumes of "
            f"{' × '.join(map(str, grid.shape))} voxels; median / 95th percentile of {options.presses} presses.\n"
        )
        print_panels(browser, image, grid, options.presses)
        print_live(browser, pages)
        browser.close()


if __name__ == "__main__":
    main()
