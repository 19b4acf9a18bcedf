"""The viewer in JupyterLab: what goes to Python and comes back, growth, many runs of a cell, a new kernel."""

import json

import numpy as np
import pytest
from browser_pages import (
    coloured,
    hover,
    opened_lab,
    output_of,
    picture,
    run_cell,
    running_lab,
    settle,
    wait_for_kernel,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHAPE = (5, 40, 50)
VOLUME = (np.indices(SHAPE) * np.array([31, 3, 2])[:, None, None, None]).sum(0).astype(np.float32)
START, TWO, LIVE, MORE, SAY, SET, ALIVE = range(7)
CELLS = [
    f"""import gc, json, numpy as np
from IPython.display import display
from ipywidgets.widgets.widget import _instances
from pettutor.geometry import ImageGrid
from pettutor.view import Roi, volshow
from pettutor.view.volumes import CodedVolume
vol = (np.indices({SHAPE}) * np.array([31, 3, 2])[:, None, None, None]).sum(0).astype(np.float32)
clear = np.zeros((50, 100, 100)), ImageGrid((50, 100, 100), (1, 1, 1))  # half a megabyte that would be missed
settings = dict(voxel_size=(3, 2, 2), reference="b", overlay=[clear, None])
viewer = volshow({{"a": vol, "b": 2 * vol}}, vmins=0, vmaxs=400, **settings)
viewer""",
    """display(volshow(vol, vmins=0, vmaxs=400), volshow(np.flip(vol, 2), vmins=0, vmaxs=400, cmaps="gray"))""",
    """live = volshow(live="MLEM", grid=viewer.panels[0].grid, vmins=0, vmaxs=400)
display(live)
for k in range(1, 4):
    live(k, vol / k)""",
    """for k in range(4, 6):
    live(k, vol / k)""",
    """roi = viewer.roi
print(json.dumps([len(viewer.rois), roi.plane, roi.centre, roi.radius, roi.mean, viewer.crc, viewer.line]))""",
    """viewer.rois = [Roi("axial", (0, 10, -8), 9), Roi("coronal", (0, 1, 0), 4)]
viewer.line = ((0, -20, -30), (0, 20, 30))
viewer.difference = True
viewer.opacity = 0.3""",
    """gc.collect()
print("alive", len(_instances), sum(isinstance(o, CodedVolume) for o in gc.get_objects()))""",
]


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running_lab(tmp_path_factory.mktemp("lab"), CELLS) as address:
        yield address


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


def test_circles_and_lines_go_to_python_and_come_back(browser, lab):
    with opened_lab(browser, lab) as (page, faults, sent):
        run_cell(page, START)
        page.wait_for_selector(".ptv-view canvas", timeout=30_000)
        page.get_by_role("button", name="ROI").click()
        before = len(sent)
        drag(page, (10, 12), (10, 17))
        drag(page, (28, 30), (31, 30))
        page.wait_for_timeout(300)
        assert 0 < len(sent) - before <= 4  # when a circle is finished, not while it grows
        page.get_by_role("button", name="profile", exact=True).click()
        drag(page, (5, 5), (30, 41))
        run_cell(page, SAY)
        page.wait_for_function("document.querySelectorAll('.jp-Cell')[4].querySelector('.jp-OutputArea-output')")
        count, plane, centre, radius, mean, crc, line = json.loads(output_of(page, SAY))
        assert count == 2 and plane == "axial"
        np.testing.assert_allclose(centre, [0, -39 + 2 * 28, -49 + 2 * 30], atol=0.2)
        assert radius == pytest.approx(6, abs=0.2)
        assert mean["a"] == pytest.approx(VOLUME[2, 28, 30], abs=2) and mean["b"] == pytest.approx(2 * mean["a"])
        assert crc == {"a": pytest.approx(1), "b": 1}
        np.testing.assert_allclose(line, [(0, -29, -39), (0, 21, 33)], atol=0.2)
        run_cell(page, SET)
        page.wait_for_function(
            "document.querySelector('.ptv-rois').textContent.includes('ROI 2') && document.querySelector('[data-roi]')"
        )
        state = page.evaluate("document.querySelector('.pettutor-viewer').pettutorViewer.state")
        assert [r["radius"] for r in state["rois"]] == [9, 4] and state["line"] == [[0, -20, -30], [0, 20, 30]]
        assert state["difference"] and state["opacity"] == 0.3
        assert faults == []


def test_a_live_viewer_follows_and_misses_nothing(browser, lab):
    with opened_lab(browser, lab) as (page, faults, _):
        run_cell(page, START)
        run_cell(page, LIVE)  # its frames come before the browser has even made the viewer
        frames = (
            "[...document.querySelectorAll('.pettutor-viewer')].at(-1).pettutorViewer?.panels[0].volume.frames.length"
        )
        page.wait_for_function(f"{frames} === 3", timeout=30_000)
        assert page.get_by_text("iteration 3").is_visible()
        assert close_to(page, VOLUME[2] / 3, viewer=1)
        run_cell(page, MORE)
        page.wait_for_function(f"{frames} === 5", timeout=30_000)
        assert page.get_by_text("iteration 5").is_visible()
        assert close_to(page, VOLUME[2] / 5, viewer=1)
        for _ in range(4):
            page.locator(".ptv-view").last.press("ArrowLeft")
        assert page.get_by_text("iteration 1", exact=True).is_visible()
        assert close_to(page, VOLUME[2], viewer=1)
        run_cell(page, MORE)
        page.wait_for_function(f"{frames} === 7", timeout=30_000)
        settle(page)
        assert page.get_by_text("iteration 1", exact=True).is_visible()  # who went back is left there
        assert faults == []


def test_a_cell_run_twenty_times_leaves_nothing_behind(browser, lab):
    with opened_lab(browser, lab) as (page, faults, _):
        devtools = page.context.new_cdp_session(page)

        def bytes_of_volumes():
            """Memory of typed arrays, which is where volumes are."""
            for _ in range(3):  # what one collection sets free may hold more
                devtools.send("HeapProfiler.collectGarbage")
                page.wait_for_timeout(300)
            return devtools.send("Runtime.getHeapUsage")["backingStorageSize"]

        def run_and_count():
            run_cell(page, START)
            page.wait_for_selector(".ptv-view canvas")
            run_cell(page, ALIVE)
            page.wait_for_timeout(100)
            return output_of(page, ALIVE)

        counts = [run_and_count() for _ in range(5)]
        bytes_then = bytes_of_volumes()
        counts += [run_and_count() for _ in range(15)]
        assert set(counts) == {counts[0]}
        assert page.locator(".ptv").count() == 1
        growth = bytes_of_volumes() - bytes_then  # unpacked volumes of 15 runs would be 7.5 MB
        print(f"15 runs: {growth / 1e3:.0f} kB more in the browser")
        assert growth < 1_000_000
        assert faults == []


def test_two_viewers_in_a_cell_and_a_new_kernel(browser, lab):
    with opened_lab(browser, lab) as (page, faults, _):
        run_cell(page, START)
        run_cell(page, TWO)
        page.wait_for_function("document.querySelectorAll('.ptv').length === 3", timeout=30_000)
        page.locator(".ptv-view").nth(2).press("ArrowUp")
        assert close_to(page, VOLUME[3], viewer=1)
        assert close_to(page, VOLUME[2, :, ::-1], viewer=2, cmap="gray")  # each on its own
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        wait_for_kernel(page)
        run_cell(page, START)
        page.wait_for_selector(".jp-Cell:first-child .ptv-view canvas", timeout=30_000)
        assert page.locator(".jp-Cell").first.locator(".ptv").count() == 1
        page.locator(".ptv-view").first.press("ArrowUp")
        assert close_to(page, VOLUME[3])
        run_cell(page, TWO)
        page.wait_for_function("document.querySelectorAll('.jp-Cell')[1].querySelectorAll('.ptv').length === 2")
        assert faults == []
