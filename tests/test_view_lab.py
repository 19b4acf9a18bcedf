"""The viewer in JupyterLab: what goes to Python and comes back, growth, many runs of a cell, a new kernel."""

import json

import numpy as np
import pytest
from browser_pages import (
    SMALL_SCANNER,
    VOLUME,
    X,
    Y,
    coloured,
    contrast,
    hover,
    keep,
    line_of_response,
    opened_notebook,
    output_of,
    picture,
    ray_of,
    run_cell,
    settle,
    wait_for_kernel,
)

from pettutor.geometry import Scanner

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHAPE = (5, 40, 50)
LARGE = (np.indices(SHAPE) * np.array([31, 3, 2])[:, None, None, None]).sum(0).astype(np.float32)
MAKE = """import json, numpy as np
from IPython.display import display
from pettutor.geometry import ImageGrid
from pettutor.view import Roi, volshow
def ramp(shape, z, y, x):
    return (np.indices(shape) * np.array([z, y, x])[:, None, None, None]).sum(0)
"""
SMALL = f"""{MAKE}
vol = ramp({VOLUME.shape}, 31, 5, 2).astype(np.uint8)
viewer = volshow({{"a": vol, "b": vol // 2}}, vmins=0, vmaxs=252, voxel_size=(3, 2, 2))
viewer"""
START = f"""{MAKE}
vol = ramp({SHAPE}, 31, 3, 2).astype(np.float32)
viewer = volshow({{"a": vol, "b": 2 * vol}}, vmins=0, vmaxs=400, voxel_size=(3, 2, 2), reference="b")
viewer"""


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium


def drag(page, start, end):
    page.locator(".ptv-view").first.scroll_into_view_if_needed()
    hover(page, *start, SHAPE[1:])
    page.mouse.down()
    hover(page, *end, SHAPE[1:])
    page.mouse.up()
    settle(page)


def close_to(page, values, panel=0, viewer=0, cmap="magma"):
    """Pictures are coded in steps: a colour or two off at most."""
    settle(page)
    expected = coloured(values, cmap, 0, 400).astype(int)
    return np.abs(picture(page, panel, viewer=viewer).astype(int) - expected).max() <= 8


def test_scrolling_keys_and_themes(browser, lab):
    cells = [SMALL, "viewer.plane = 'coronal'"]
    with opened_notebook(browser, lab, cells) as (page, faults, sent):

        def shows(values, panel=0, plane="axial"):
            settle(page)
            np.testing.assert_array_equal(picture(page, panel, plane), coloured(values, "magma", 0, 252))

        run_cell(page, 0)
        page.wait_for_selector(".ptv-view canvas", timeout=30_000)
        shows(VOLUME[3])
        shows(VOLUME[3] // 2, 1)

        page.locator(".ptv-view").first.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        before = len(sent)
        hover(page, 2, 2, (Y, X))
        for _ in range(2):
            page.mouse.wheel(0, -100)
            settle(page)
        shows(VOLUME[5])
        active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
        cell = page.evaluate(active)
        for _ in range(2):
            page.locator(".ptv-view").first.press("ArrowDown")
            settle(page)
        shows(VOLUME[3])
        for focused in (".ptv-view", ".ptv-planes button", "input[type=range]"):
            for key in ("b", "ArrowDown", "ArrowUp"):  # in JupyterLab: a new cell, the next one, the one before
                page.locator(f"{focused}:visible").first.press(key)
                settle(page)
        assert page.evaluate(active) == cell, "a key went to the notebook"
        assert page.locator(".jp-Notebook .jp-Cell").count() == len(cells), "a key went to the notebook"
        page.mouse.down()
        page.mouse.up()
        page.locator("input[type=range]:visible").first.fill("6")
        shows(VOLUME[6])
        page.wait_for_timeout(500)
        assert [str(f)[:200] for f in sent[before:]] == [], "scrolling sent something to the kernel"

        run_cell(page, 1)
        page.wait_for_selector("[data-plane=coronal]")
        shows(VOLUME[::-1, 2], plane="coronal")

        theme = "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab %s'})"
        for name in ("Dark", "Light"):
            page.evaluate(theme % name)
            page.wait_for_function(f"document.body.dataset.jpThemeLight === '{str(name == 'Light').lower()}'")
            page.wait_for_timeout(300)  # it fades
            assert contrast(page) >= 4.5
            keep(page, f"jupyterlab_{name.lower()}")
        assert faults == []


def test_circles_and_lines_go_to_python_and_come_back(browser, lab):
    say = """roi = viewer.roi
print(json.dumps([len(viewer.rois), roi.plane, roi.centre, roi.radius, roi.mean, viewer.crc, viewer.line]))"""
    change = """viewer.rois = [Roi("axial", (0, 10, -8), 9), Roi("coronal", (0, 1, 0), 4)]
viewer.line = ((0, -20, -30), (0, 20, 30))
viewer.difference = True
viewer.opacity = 0.3"""
    with opened_notebook(browser, lab, [START, say, change]) as (page, faults, sent):
        run_cell(page, 0)
        page.wait_for_selector(".ptv-view canvas", timeout=30_000)
        page.get_by_role("button", name="ROI").click()
        before = len(sent)
        drag(page, (10, 12), (10, 17))
        drag(page, (28, 30), (31, 30))
        page.wait_for_timeout(300)
        assert 0 < len(sent) - before <= 4  # when a circle is finished, not while it grows
        page.get_by_role("button", name="profile", exact=True).click()
        drag(page, (5, 5), (30, 41))
        run_cell(page, 1)
        count, plane, centre, radius, mean, crc, line = json.loads(output_of(page, 1))
        assert count == 2 and plane == "axial"
        np.testing.assert_allclose(centre, [0, -39 + 2 * 28, -49 + 2 * 30], atol=0.2)
        assert radius == pytest.approx(6, abs=0.2)
        assert mean["a"] == pytest.approx(LARGE[2, 28, 30], abs=2) and mean["b"] == pytest.approx(2 * mean["a"])
        assert crc == {"a": pytest.approx(1), "b": 1}
        np.testing.assert_allclose(line, [(0, -29, -39), (0, 21, 33)], atol=0.2)
        run_cell(page, 2)
        state = "document.querySelector('.pettutor-viewer').pettutorViewer.state"
        page.wait_for_function(f"{state}.opacity === 0.3")  # the last of them
        state = page.evaluate(state)
        assert [r["radius"] for r in state["rois"]] == [9, 4] and state["line"] == [[0, -20, -30], [0, 20, 30]]
        assert state["difference"]

        hover(page, 20, 10, SHAPE[1:])  # window and level, by the right button: it is JupyterLab's for a menu
        box = page.locator(".ptv-view").first.bounding_box()
        page.mouse.down(button="right")
        page.mouse.move(box["x"] + box["width"] * 10.5 / SHAPE[2] + 150, box["y"] + box["height"] * 20.5 / SHAPE[1])
        page.mouse.up(button="right")
        settle(page)
        windows = "document.querySelector('.pettutor-viewer').pettutorViewer.panels.map((panel) => panel.scale.window)"
        assert page.evaluate(windows) == [pytest.approx([-400, 400]), [0, 400]]  # the differences': twice as wide
        assert page.locator(".lm-Menu:visible").count() == 0
        assert faults == []


def test_lines_of_response_go_to_python_and_come_back(browser, lab):
    scanner = Scanner(**SMALL_SCANNER)
    grid = scanner.image_grid()
    show = f"""import json, numpy as np
from pettutor.geometry import Scanner
from pettutor.view import explore_lines
scanner = Scanner(**{SMALL_SCANNER!r})
image, sinogram = (np.random.default_rng(0).random(shape) for shape in (scanner.image_shape, scanner.sinogram_shape))
explorer = explore_lines(image, sinogram, scanner, lor=(4, 3, 9))
explorer"""
    cells = [show, "explorer.lor = (0, 1, 2)", "print(json.dumps(explorer.lor))"]
    with opened_notebook(browser, lab, cells) as (page, faults, sent):

        def click(row, column, shape, panel):
            page.locator(".ptv-view").nth(panel).scroll_into_view_if_needed()
            hover(page, row, column, shape, panel)
            page.mouse.down()
            page.mouse.up()
            settle(page)

        run_cell(page, 0)
        page.wait_for_selector(".ptv-ray", state="attached", timeout=30_000)
        settle(page)
        np.testing.assert_allclose(ray_of(page, grid), line_of_response(scanner, 4, 3, 9), atol=1e-3)
        x1 = page.locator(".ptv-ray").first.get_attribute("x1")
        run_cell(page, 1)
        page.wait_for_function(f"document.querySelector('.ptv-ray').getAttribute('x1') !== '{x1}'")
        np.testing.assert_allclose(ray_of(page, grid), line_of_response(scanner, 0, 1, 2), atol=1e-3)
        click(12, 15, scanner.sinogram_shape[1:], panel=1)
        np.testing.assert_allclose(ray_of(page, grid), line_of_response(scanner, 0, 12, 15), atol=1e-3)
        run_cell(page, 2)
        assert json.loads(output_of(page, 2)) == [0, 12, 15]
        click(2, 10, grid.shape[1:], panel=0)  # a voxel of the middle slice: the direct plane there
        page.wait_for_timeout(300)
        before = len(sent)
        page.locator(".ptv-view").nth(1).press("ArrowUp")
        page.wait_for_timeout(300)
        assert len(sent) == before
        run_cell(page, 2)
        plane = int(np.abs(scanner.plane_positions).sum(axis=1).argmin())
        assert json.loads(output_of(page, 2)) == [plane, 12, 15]
        assert faults == []


def test_a_live_viewer_follows_and_misses_nothing(browser, lab):
    live = f"""{MAKE}
vol = ramp({SHAPE}, 31, 3, 2).astype(np.float32)
live = volshow(live="MLEM", grid=ImageGrid({SHAPE}, (3, 2, 2)), vmins=0, vmaxs=400)
display(live)
for k in range(1, 4):
    live(k, vol / k)"""
    more = "import time\nfor k in range(4, 8):\n    live(k, vol / k)\n    time.sleep(0.6)"  # every other one is sent
    with opened_notebook(browser, lab, [live, more]) as (page, faults, _):
        shown = "document.querySelector('.pettutor-viewer')?.pettutorViewer"

        def wait_for(*iterations):
            labels = [f"iteration {k}" for k in iterations]
            page.wait_for_function(f"{shown}?.settings.labels?.join() === '{','.join(labels)}'", timeout=30_000)
            settle(page)
            assert page.evaluate(f"{shown}.panels[0].volume.frames.length") == len(labels)

        run_cell(page, 0)  # its frames come before the browser has even made the viewer
        wait_for(1, 2, 3)
        page.get_by_text("iteration 3").wait_for()
        assert close_to(page, LARGE[2] / 3)
        run_cell(page, 1)
        wait_for(1, 2, 3, 4, 5, 6, 7)
        page.get_by_text("iteration 7").wait_for()
        assert close_to(page, LARGE[2] / 7)
        for number in range(5):
            page.locator(".ptv-view").press("ArrowLeft")
            if number == 1:
                page.get_by_text("iteration 5", exact=True).wait_for()
                assert close_to(page, LARGE[2] / 5)
        page.get_by_text("iteration 2", exact=True).wait_for()
        assert close_to(page, LARGE[2] / 2)
        run_cell(page, 1)
        wait_for(1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7)
        page.get_by_text("iteration 2", exact=True).wait_for()  # who went back is left there
        assert close_to(page, LARGE[2] / 2)
        page.get_by_role("button", name="play").click()
        page.get_by_text("iteration 6", exact=True).wait_for(timeout=10_000)
        page.get_by_role("button", name="play").click()
        assert faults == []


RUN_AGAIN = """async (times) => {
    const { shell, commands } = window.jupyterapp;
    shell.currentWidget.content.activeCellIndex = 0;
    for (let i = 0; i < times; i++) {
        for (const old of document.querySelectorAll(".ptv")) old.dataset.old = "";
        await commands.execute("notebook:run-cell");
        for (let waited = 0; !document.querySelector(".ptv:not([data-old]) canvas"); waited++) {
            if (waited > 2000) throw new Error("no viewer after the run");
            await new Promise(requestAnimationFrame);
        }
    }
}"""


def test_a_cell_run_twenty_times_leaves_nothing_behind(browser, lab):
    show = f"""{MAKE}
clear = np.zeros((50, 100, 100)), ImageGrid((50, 100, 100), (1, 1, 1))  # half a megabyte that would be missed
volshow(ramp({VOLUME.shape}, 31, 5, 2), voxel_size=(3, 2, 2), overlay=clear)"""
    count = """import gc
from ipywidgets.widgets.widget import _instances
from pettutor.view.volumes import CodedVolume
gc.collect()
print("alive", len(_instances), sum(isinstance(o, CodedVolume) for o in gc.get_objects()))"""
    with opened_notebook(browser, lab, [show, count]) as (page, faults, _):
        devtools = page.context.new_cdp_session(page)

        def run_and_count(times):
            """What is alive in the kernel, and the memory of typed arrays, which is where the browser has volumes."""
            page.evaluate(RUN_AGAIN, times)
            run_cell(page, 1)
            for _ in range(3):  # what one collection sets free may hold more
                devtools.send("HeapProfiler.collectGarbage")
                page.wait_for_timeout(100)
            return output_of(page, 1), devtools.send("Runtime.getHeapUsage")["backingStorageSize"]

        alive, bytes_then = run_and_count(3)
        alive_now, bytes_now = run_and_count(17)
        assert alive_now == alive and alive.startswith("alive")
        assert page.locator(".ptv").count() == 1
        print(f"17 runs: {(bytes_now - bytes_then) / 1e3:.0f} kB more in the browser")
        assert bytes_now - bytes_then < 1_000_000  # unpacked volumes of 17 runs would be 8.5 MB
        assert faults == []


def test_two_viewers_in_a_cell_and_a_new_kernel(browser, lab):
    two = "display(volshow(vol, vmaxs=400), volshow(np.flip(vol, 2), vmaxs=400, cmaps='gray'))"
    with opened_notebook(browser, lab, [START, two]) as (page, faults, _):
        run_cell(page, 0)
        run_cell(page, 1)
        page.wait_for_function("document.querySelectorAll('.ptv').length === 3", timeout=30_000)
        page.locator(".ptv-view").nth(2).press("ArrowUp")
        assert close_to(page, LARGE[3], viewer=1)
        assert close_to(page, LARGE[2, :, ::-1], viewer=2, cmap="gray")  # each on its own
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        wait_for_kernel(page)
        run_cell(page, 0)
        page.wait_for_selector(".jp-Cell:first-child .ptv-view canvas", timeout=30_000)
        assert page.locator(".jp-Cell").first.locator(".ptv").count() == 1
        page.locator(".ptv-view").first.press("ArrowUp")
        assert close_to(page, LARGE[3])
        run_cell(page, 1)
        page.wait_for_function("document.querySelectorAll('.jp-Cell')[1].querySelectorAll('.ptv').length === 2")
        assert faults == []
