"""The viewer's tools in a saved page: circles, profile, window by drag, differences, overlays, sinograms, lines."""

import numpy as np
import pytest
from browser_pages import (
    SMALL_SCANNER,
    VOLUME,
    X,
    Y,
    Z,
    coloured,
    contrast,
    hover,
    keep,
    line_of_response,
    opened,
    picture,
    ray_of,
    settle,
    value_of,
)

from pettutor.geometry import ImageGrid, Scanner
from pettutor.view import Roi, explore_lines, volshow
from pettutor.view.colour_maps import lookup_table

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

GRID = ImageGrid((Z, Y, X), (3.0, 2.0, 1.5))
STATE = "document.querySelector('.pettutor-viewer').pettutorViewer.state"


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium


def drag(page, start, end, panel=0, button="left", shape=(Y, X)):
    """From the middle of a pixel (row, column) of a picture to that of another one."""
    hover(page, *start, shape, panel)
    page.mouse.down(button=button)
    hover(page, *end, shape, panel)
    page.mouse.up(button=button)
    settle(page)


def cells(page, row):
    """The numbers in a row of the table under the panels."""
    return page.locator(".ptv-rois tr").nth(row).locator("td").all_inner_texts()


def text_of(numbers):
    """As the table has them, at its precision."""
    return [float(word) for text in numbers for word in text.replace("± ", "").replace(", max", "").split()]


def test_circles_are_drawn_measured_moved_and_removed(browser, tmp_path):
    path = tmp_path / "page.html"
    viewer = volshow({"a": VOLUME, "b": VOLUME // 3}, grid=GRID, reference="b")
    viewer.save_html(path)
    with opened(browser, path) as (page, faults):
        page.get_by_role("button", name="ROI").click()
        drag(page, (3, 5), (3, 7))
        (roi,) = page.evaluate(f"{STATE}.rois")
        assert roi["plane"] == "axial" and roi["radius"] == pytest.approx(3.0, abs=0.05)
        assert roi["centre"] == pytest.approx([0.0, -2.0, -0.75], abs=0.05)
        drag(page, (6, 2), (6, 4), panel=1)
        viewer.rois = [Roi(r["plane"], r["centre"], r["radius"]) for r in page.evaluate(f"{STATE}.rois")]
        for number, measured in enumerate(viewer.rois):
            found = text_of(cells(page, number + 1))
            expected = [f(name) for name in "ab" for f in (measured.mean.get, measured.sd.get, measured.max.get)]
            np.testing.assert_allclose(found, expected, rtol=6e-3)
            assert measured.masks["a"].sum() > 6
        np.testing.assert_allclose([float(c) for c in cells(page, 3)], list(viewer.contrast.values()), rtol=5e-3)
        np.testing.assert_allclose([float(c) for c in cells(page, 4)], list(viewer.crc.values()), rtol=5e-3)
        assert page.locator("ellipse").count() == 4  # two in each panel
        drag(page, (3, 5), (5, 8))  # what is grasped within a circle moves it
        moved = page.evaluate(f"{STATE}.rois")
        assert len(moved) == 2 and moved[0]["centre"] == pytest.approx([0.0, 2.0, 3.75], abs=0.1)
        assert moved[0]["radius"] == roi["radius"]
        page.locator(".ptv-view").first.press("ArrowUp")
        settle(page)
        assert page.locator("ellipse").count() == 0  # they lie in the slice below
        page.get_by_label("remove ROI 1").click()
        settle(page)
        assert page.evaluate(f"{STATE}.rois") == moved[1:]
        hover(page, 0, 0, (Y, X))
        page.mouse.down()
        page.mouse.up()
        assert len(page.evaluate(f"{STATE}.rois")) == 1  # a click alone draws none
        assert faults == []


def test_a_circle_is_resized_by_the_handle_on_its_rim(browser, tmp_path):
    path = tmp_path / "page.html"
    viewer = volshow(VOLUME, grid=GRID)
    viewer.rois = [Roi("axial", (0, -2, -0.75), 3), Roi("coronal", (0, -2, -0.75), 5)]
    viewer.save_html(path)
    with opened(browser, path) as (page, faults):
        view = page.locator(".ptv-view")
        shown = "[...document.querySelectorAll('.ptv-handle')].map((e) => getComputedStyle(e).display)"
        assert page.evaluate(shown) == ["none"]
        page.get_by_role("button", name="ROI", exact=True).click()
        settle(page)
        assert page.evaluate(shown) == ["inline"]
        hover(page, 3, 7, (Y, X))  # 3 mm from (3, 5), towards the last column
        assert view.evaluate("(e) => e.style.cursor") == "ew-resize"
        drag(page, (3, 7), (3, 9))
        wide, other = page.evaluate(f"{STATE}.rois")
        assert wide["radius"] == pytest.approx(6, abs=0.05) and wide["centre"] == [0, -2, -0.75]
        assert other["radius"] == 5
        hover(page, 3, 6, (Y, X))
        assert view.evaluate("(e) => e.style.cursor") == "move"
        keep(page, "handle")
        drag(page, (3, 9), (3, 5))  # onto its centre: never smaller than half a voxel
        assert page.evaluate(f"{STATE}.rois")[0]["radius"] == 0.75
        hover(page, 8, 0, (Y, X))
        assert view.evaluate("(e) => e.style.cursor") == ""
        drag(page, (6, 2), (6, 2))
        assert len(page.evaluate(f"{STATE}.rois")) == 2
        for _ in range(4):
            view.press("+")
        settle(page)
        width = page.locator("ellipse").evaluate("(e) => parseFloat(getComputedStyle(e).strokeWidth)")
        assert width * 1.25**4 == pytest.approx(2, abs=0.01)  # on the screen as thin as before
        assert faults == []


def test_circles_and_profile_by_keys(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow(VOLUME, grid=GRID).save_html(path)
    with opened(browser, path) as (page, faults):
        view = page.locator(".ptv-view")
        view.press("r")
        (first,) = page.evaluate(f"{STATE}.rois")
        assert first["centre"] == page.evaluate(f"{STATE}.position") and first["radius"] == 1.5 * X / 16
        view.press("]")
        assert page.evaluate(f"{STATE}.rois[0].radius") == pytest.approx(1.1 * first["radius"])
        view.press("p")
        for key in ["Shift+ArrowRight", "Shift+ArrowRight", "p"]:
            view.press(key)
        settle(page)
        start, end = page.evaluate(f"{STATE}.line")
        assert np.subtract(end, start) == pytest.approx([0, 0, 3])
        assert page.locator(".ptv-profile svg path").count() == 2
        view.press("Delete")
        settle(page)
        assert page.evaluate(f"{STATE}.rois") == [] and page.locator(".ptv-rois table").count() == 0
        assert faults == []


def test_profile_line(browser, tmp_path):
    path = tmp_path / "page.html"
    viewer = volshow({"a": VOLUME, "b": VOLUME // 3}, grid=GRID)
    viewer.save_html(path)
    with opened(browser, path) as (page, faults):
        page.get_by_role("button", name="profile", exact=True).click()
        drag(page, (1, 2), (7, 9))
        viewer.line = page.evaluate(f"{STATE}.line")
        np.testing.assert_allclose(viewer.line, [(0, -6, -5.25), (0, 6, 5.25)], atol=0.1)
        distance, values = viewer.profile
        words = page.locator(".ptv-profile svg").get_attribute("aria-label")
        assert words.startswith(f"values along a line of {distance[-1]:.4g} mm, from 0 to {values['a'].max():.4g}")
        points = page.locator(".ptv-profile svg path").nth(1).get_attribute("d").replace("M", "").split("L")
        x, y = np.array([p.split() for p in points], float).T
        heights = (126 - y) / 122 * values["a"].max()
        np.testing.assert_allclose(heights, values["a"], atol=values["a"].max() / 900)
        np.testing.assert_allclose((x - 4) / 412 * distance[-1], distance, atol=0.05)
        assert page.locator(".ptv-profile-line").count() == 2
        page.get_by_label("remove the profile").click()
        settle(page)
        assert page.evaluate(f"{STATE}.line") == [] and not page.locator(".ptv-profile").is_visible()
        assert faults == []


def test_window_and_level_by_drag(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow({"a": VOLUME, "b": VOLUME}, vmins=0, vmaxs=200, cmaps="gray").save_html(path)
    window = "document.querySelector('.pettutor-viewer').pettutorViewer.panels.map((p) => p.scale.window)"
    with opened(browser, path) as (page, faults):
        box = page.locator(".ptv-view").first.bounding_box()
        x, y = box["x"] + 80, box["y"] + 200

        def drag_by(right, down, button):
            page.mouse.move(x, y)
            page.mouse.down(button=button)
            page.mouse.move(x + right, y + down)
            page.mouse.up(button=button)
            settle(page)
            return page.evaluate(window)

        first, second = drag_by(150, 0, "right")  # twice as wide
        assert first == pytest.approx([-100, 300]) and second == [0, 200]
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[3], "gray", -100, 300))
        page.get_by_role("button", name="window", exact=True).click()
        page.get_by_role("button", name="one window").click()
        first, second = drag_by(-150, -30, "left")  # half as wide about a level that is 400 * 30 / 300 higher
        assert first == pytest.approx([40, 240]) and second == first
        np.testing.assert_array_equal(picture(page, 1), coloured(VOLUME[3], "gray", 40, 240))
        assert page.get_by_label("maximum of the window of b").input_value() == "240"
        assert faults == []


def test_difference_to_the_reference(browser, tmp_path):
    path = tmp_path / "page.html"
    coarse = (np.arange(3 * 4 * 5, dtype=np.uint8) * 4).reshape(3, 4, 5)
    other = ImageGrid((3, 4, 5), (6.0, 4.0, 4.0), (0.0, 0.0, 4.0))  # partly outside of the others
    reference = np.flip(VOLUME, axis=2)
    viewer = volshow(
        {"mine": (VOLUME, GRID), "other": (coarse, other), "truth": (reference.copy(), GRID)},
        reference="truth", vmins=0, vmaxs=252, units="Bq",
    )  # fmt: skip
    viewer.save_html(path)
    with opened(browser, path) as (page, faults):
        page.get_by_role("button", name="difference").click()
        settle(page)
        expected = VOLUME[3].astype(int) - reference[3]
        np.testing.assert_array_equal(picture(page), coloured(expected, "RdBu_r", -126, 126))
        np.testing.assert_array_equal(picture(page, 2), coloured(reference[3], "magma", 0, 252))
        bad = np.array([*lookup_table("RdBu_r")[256], 255])
        found = viewer.panels[1].minus(viewer.panels[2], 0)[1]
        assert 0 < np.isnan(found).sum() < found.size
        outside = np.isnan(found)
        shown = picture(page, 1)
        assert (shown[outside] == bad).all()
        np.testing.assert_array_equal(shown[~outside], coloured(found, "RdBu_r", -126, 126)[~outside])
        hover(page, 2, 1, (Y, X))
        settle(page)
        assert value_of(page) == f"Δ {expected[2, 1]} Bq"
        page.locator(".ptv-view").first.press("d")
        settle(page)
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[3], "magma", 0, 252))
        assert faults == []


def over(page, panel=0):
    """RGBA of the canvas over a picture, and its place in the picture: left, top, width, height as parts."""
    return page.evaluate(
        """(panel) => {
            const view = document.querySelectorAll(".ptv-panel")[panel].querySelector(".ptv-view");
            const canvas = view.querySelector(".ptv-over");
            const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const [a, b] = [canvas.getBoundingClientRect(), view.getBoundingClientRect()];
            const place = [(a.x - b.x) / b.width, (a.y - b.y) / b.height, a.width / b.width, a.height / b.height];
            const { opacity } = canvas.style;
            return { shape: [canvas.height, canvas.width, 4], data: [...image.data], place, opacity };
        }""",
        panel,
    )


def test_overlays_lie_where_their_grid_lies(browser, tmp_path):
    path = tmp_path / "page.html"
    pet = np.arange(7 * 4 * 5, dtype=np.uint8).reshape(7, 4, 5)
    place = ImageGrid((7, 4, 5), (3.0, 2.0, 1.5), (3.0, -3.0, 4.5))
    regions = {"low": VOLUME < 90, "tiny": np.isin(VOLUME, VOLUME[3, 2, 1])}
    viewer = volshow(
        {"PET on MR": VOLUME, "regions": VOLUME}, grid=GRID, overlay=[(pet, place), regions], overlay_vmins=[45, None],
        overlay_vmaxs=[57, None], overlay_cmaps="hot", opacity=0.6, plane="coronal",
    )  # fmt: skip
    viewer.save_html(path)
    with opened(browser, path) as (page, faults):
        page.get_by_role("button", name="axial").click()
        settle(page)
        found = over(page)
        shown = np.array(found["data"], np.uint8).reshape(found["shape"])
        values = pet[2]  # its slice 2 is at the height 0
        clear = values <= 45
        assert clear.any() and not clear.all()
        assert (shown[clear] == 0).all()
        np.testing.assert_array_equal(shown[~clear], coloured(values, "hot", 45, 57)[~clear])
        # its columns go from 0.75 to 8.25 mm, of -9 to 9; its rows from -7 to 1
        np.testing.assert_allclose(found["place"], [9.75 / 18, 2 / 18, 7.5 / 18, 8 / 18], atol=0.01)
        assert found["opacity"] == "0.6"
        hover(page, 2, 1, (Y, X), panel=1)
        settle(page)
        assert value_of(page, 1) == f"{VOLUME[3, 2, 1]} · tiny"
        legend = page.locator(".ptv-legend").inner_text().split()
        assert legend == ["low", "tiny"]
        page.get_by_role("slider", name="opacity of the overlay").fill("25")
        settle(page)
        assert over(page)["opacity"] == "0.25" and page.get_by_text("overlay 25 %").is_visible()
        page.locator(".ptv-view").first.press("Home")  # the lowest slice lies below the overlay's grid
        settle(page)
        assert over(page)["opacity"] == "0"
        page.get_by_role("button", name="coronal").click()
        settle(page)
        # z goes from -10.5 to 10.5 mm, in the overlay from -7.5 to 13.5: it ends 3 mm above
        np.testing.assert_allclose(over(page)["place"], [9.75 / 18, -3 / 21, 7.5 / 18, 1], atol=0.01)
        assert faults == []


def test_a_sinogram_has_its_own_axes(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow(VOLUME, sinogram=True, vmins=0, vmaxs=252).save_html(path)
    with opened(browser, path) as (page, faults):
        assert page.locator(".ptv-xlabel").inner_text() == "bin" and page.locator(".ptv-ylabel").inner_text() == "view"
        assert "crosshair  plane 3  view 4  bin 6" in page.locator(".ptv-where").inner_text()
        page.get_by_role("button", name="view").click()
        settle(page)
        np.testing.assert_array_equal(picture(page, 0, "coronal"), coloured(VOLUME[::-1, 4], "magma", 0, 252))
        assert page.locator(".ptv-ylabel").inner_text() == "plane"
        page.locator(".ptv-view").press("ArrowUp")
        settle(page)
        assert page.locator(".ptv-text:visible").inner_text() == "view 5"
        assert page.locator(".ptv-view").get_attribute("aria-valuetext") == "view 5"
        assert faults == []


def test_a_bin_shows_its_line_and_a_voxel_its_trace(browser, tmp_path):
    scanner = Scanner(**SMALL_SCANNER)
    grid = scanner.image_grid()
    path = tmp_path / "page.html"
    image, sinogram = (
        np.random.default_rng(0).random(grid.shape),
        np.random.default_rng(1).random(scanner.sinogram_shape),
    )
    explore_lines(image, sinogram, scanner, lor=(4, 3, 9)).save_html(path)
    with opened(browser, path) as (page, faults):
        np.testing.assert_allclose(ray_of(page, grid), line_of_response(scanner, 4, 3, 9), atol=1e-3)
        hover(page, 12, 15, scanner.sinogram_shape[1:], panel=1)
        page.mouse.down()
        page.mouse.up()
        settle(page)
        np.testing.assert_allclose(ray_of(page, grid), line_of_response(scanner, 4, 12, 15), atol=1e-3)
        hover(page, 2, 10, grid.shape[1:])
        page.mouse.down()
        page.mouse.up()
        settle(page)
        dots = page.locator(".ptv-dots").get_attribute("d").strip("M").replace("h0", "").split("M")
        bins, views = (np.array([d.split() for d in dots], float) - 0.5).T
        views, bins = np.rint(views).astype(int), np.rint(bins).astype(int)
        start, end = (e[4, views, :, 1:] for e in scanner.lor_endpoints())  # all bins of these views
        voxel = np.array([grid.coordinates()[1][2], grid.coordinates()[2][10]])
        normal = np.stack([(end - start)[..., 1], (start - end)[..., 0]], axis=-1)
        distance = np.abs(((start - voxel) * normal).sum(-1)) / np.linalg.norm(normal, axis=-1)
        assert len(dots) >= 8
        np.testing.assert_array_equal(bins, distance.argmin(axis=1))
        assert page.locator(".ptv").nth(1).get_by_text("plane 4", exact=True).is_visible()
        assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_results_can_be_read_and_everything_has_a_name(browser, tmp_path, scheme):
    path = tmp_path / "page.html"
    viewer = volshow({"a": VOLUME, "b": VOLUME}, grid=GRID, reference="a", overlay={"low": VOLUME < 90})
    viewer.rois = [Roi("axial", (0, 0, 0), 3), Roi("axial", (0, 4, 0), 3)]
    viewer.line = ((0, 0, 0), (0, 5, 5))
    viewer.save_html(path)
    words = ".ptv-rois caption, .ptv-rois td, .ptv-rois th, .ptv-legend li, .ptv-ends span, .ptv-help"
    with opened(browser, path, color_scheme=scheme) as (page, faults):
        assert contrast(page, words) >= 4.5
        nameless = page.evaluate(
            """() => [...document.querySelectorAll(".ptv :is(button, input, [role], [tabindex])")]
                .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim())).map((e) => e.outerHTML)"""
        )
        assert nameless == []
        root = page.get_by_role("group", name="VolumeViewer of 2 panels: a 7 × 9 × 12, b 7 × 9 × 12")
        assert root.count() == 1
        page.keyboard.press("Tab")
        reached = []
        for _ in range(30):
            reached.append(
                page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
            )
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", reached[-1]
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement === document.body"):
                break
        for name in ("axial", "ROI", "difference", "slice along z", "a, axial slice", "b, axial slice", "remove ROI 1"):
            assert name in reached
        assert faults == []


def test_frames_are_played_slower_where_motion_is_not_wanted(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow(np.stack([VOLUME, VOLUME // 2, VOLUME // 3])).save_html(path)
    script = """() => new Promise((done) => {
        const set = window.setInterval;
        window.setInterval = (_, wait) => { done(wait); return set(() => {}, 1e6); };
        document.querySelector(".ptv-play").click();
    })"""
    waits = {}
    for motion in ("reduce", "no-preference"):
        with opened(browser, path, reduced_motion=motion) as (page, faults):
            waits[motion] = page.evaluate(script)
            assert faults == []
    assert waits["reduce"] >= 4 * waits["no-preference"]
