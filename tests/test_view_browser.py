"""The viewer in a real browser: in a saved page without a network."""

import numpy as np
import pytest
from browser_pages import (
    VOLUME,
    X,
    Y,
    Z,
    coloured,
    contrast,
    hover,
    lines_of,
    opened,
    picture,
    settle,
    value_of,
)

from pettutor.geometry import ImageGrid
from pettutor.view import frontend, html, volshow
from pettutor.view.colour_maps import lookup_table

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium


def test_saved_page_shows_the_right_colours_in_every_plane(browser, tmp_path):
    path = tmp_path / "page.html"
    viewer = volshow(
        {"one": VOLUME, "two": 252 - VOLUME}, cmaps=["magma", "gray_r"], vmins=[0, 3], vmaxs=[252, 90], plane="all"
    )
    viewer.save_html(path, title="seen from disk")
    with opened(browser, path) as (page, faults):
        expected = {"axial": VOLUME[Z // 2], "coronal": VOLUME[::-1, Y // 2], "sagittal": VOLUME[::-1, :, X // 2]}
        for plane, values in expected.items():
            np.testing.assert_array_equal(picture(page, 0, plane), coloured(values, "magma", 0, 252))
            np.testing.assert_array_equal(picture(page, 1, plane), coloured(252 - values, "gray_r", 3, 90))
        assert page.title() == "seen from disk"
        assert faults == []


def test_wheel_keys_slider_and_planes(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow([VOLUME, VOLUME.astype(np.float32)], vmins=0, vmaxs=252).save_html(path)

    def shows(values):
        settle(page)
        np.testing.assert_array_equal(picture(page), coloured(values, "magma", 0, 252))
        other = picture(page, 1).astype(int)  # linked; coded in steps, so one colour off at most
        assert np.abs(other - picture(page).astype(int)).max() <= 6

    with opened(browser, path) as (page, faults):
        shows(VOLUME[3])
        hover(page, 2, 2, (Y, X))
        page.mouse.wheel(0, -100)
        shows(VOLUME[4])
        page.mouse.wheel(0, 100)
        page.mouse.wheel(0, 100)
        shows(VOLUME[2])
        for key, z in [("ArrowUp", 3), ("PageUp", 6), ("ArrowUp", 6), ("Home", 0), ("ArrowDown", 0), ("End", 6)]:
            page.locator(".ptv-view").first.press(key)
            shows(VOLUME[z])
        page.locator("input[type=range]:visible").fill("1")
        shows(VOLUME[1])
        assert "z 1" in page.locator(".ptv-text:visible").inner_text()
        page.get_by_role("button", name="sagittal").click()
        settle(page)
        np.testing.assert_array_equal(picture(page, 0, "sagittal"), coloured(VOLUME[::-1, :, X // 2], "magma", 0, 252))
        page.locator(".ptv-view").first.press("ArrowUp")
        settle(page)
        np.testing.assert_array_equal(
            picture(page, 0, "sagittal"), coloured(VOLUME[::-1, :, X // 2 + 1], "magma", 0, 252)
        )
        view = page.locator(".ptv-view").first
        assert view.get_attribute("aria-valuenow") == str(X // 2 + 1)
        assert view.get_attribute("aria-label") == "panel 1, sagittal slice"
        assert faults == []


def test_click_and_drag_move_the_crosshair_and_values_are_read_in_every_panel(browser, tmp_path):
    path = tmp_path / "page.html"
    grid = ImageGrid((Z, Y, X), (3.0, 2.0, 1.5))
    volshow({"a": VOLUME, "b": VOLUME / 100}, grid=grid, units=["", "kBq/ml"], plane="all").save_html(path)
    with opened(browser, path) as (page, faults):
        hover(page, 7, 3, (Y, X))
        settle(page)
        assert value_of(page) == str(VOLUME[3, 7, 3])
        number, unit = value_of(page, 1).split(" ", 1)
        assert unit == "kBq/ml" and abs(float(number) - VOLUME[3, 7, 3] / 100) < 0.006
        assert "cursor  z 3  y 7  x 3  (0.0, 6.0, -3.8) mm" in page.locator(".ptv-where").inner_text()
        page.mouse.down()
        hover(page, 1, 10, (Y, X))
        page.mouse.up()
        settle(page)
        np.testing.assert_array_equal(picture(page, 0, "coronal"), coloured(VOLUME[::-1, 1], "magma", 0, VOLUME.max()))
        np.testing.assert_array_equal(
            picture(page, 0, "sagittal"), coloured(VOLUME[::-1, :, 10], "magma", 0, VOLUME.max())
        )
        page.mouse.move(5, 5)
        settle(page)
        assert value_of(page) == str(VOLUME[3, 1, 10])
        ends = [[float(line.get_attribute(a)) for a in ("x1", "y1", "x2", "y2")] for line in lines_of(page)]
        assert ends[0][:2] == [0, 1.5] and ends[1][1:] == [1.5, X, 1.5]
        assert ends[3] == [10.5, 2.5, 10.5, Y]
        page.locator(".ptv-view").first.press("Shift+ArrowDown")
        settle(page)
        assert value_of(page) == str(VOLUME[3, 2, 10])
        assert faults == []


def test_magnified_pictures_are_still_read_at_the_right_voxel(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow(VOLUME, zoom=3).save_html(path)
    with opened(browser, path) as (page, faults):
        box = page.locator(".ptv-view").bounding_box()
        # the middle voxel, row 4.5 / 9 and column 6.5 / 12, stands in the middle: a tenth from the corner is then row
        # 9 (0.1 + 3 * 4.5 / 9 - 0.5) / 3 = 3.3 and column 12 (0.1 + 3 * 6.5 / 12 - 0.5) / 3 = 4.9
        page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
        settle(page)
        assert value_of(page) == str(VOLUME[3, 3, 4])
        page.keyboard.down("Control")
        for _ in range(12):
            page.mouse.wheel(0, 100)
        page.keyboard.up("Control")
        settle(page)
        hover(page, 7, 9, (Y, X))
        settle(page)
        assert value_of(page) == str(VOLUME[3, 7, 9])
        assert faults == []


def test_window_by_numbers(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow(VOLUME, vmins=0, vmaxs=252, cmaps="gray").save_html(path)
    with opened(browser, path) as (page, faults):
        high = page.get_by_label("maximum of the window")
        high.fill("130.5")
        high.press("Enter")
        settle(page)
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[3], "gray", 0, 130.5))
        for wrong in ("-7", "much", ""):
            high.fill(wrong)
            high.press("Enter")
            assert high.get_attribute("aria-invalid") == "true"
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[3], "gray", 0, 130.5))
        page.locator(".ptv-bar").dblclick()
        settle(page)
        assert high.input_value() == "252" and high.get_attribute("aria-invalid") is None
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[3], "gray", 0, 252))
        assert faults == []


def test_frames_are_stepped_and_played(browser, tmp_path):
    path = tmp_path / "page.html"
    frames = np.stack([VOLUME, VOLUME // 2, VOLUME // 3])
    volshow(
        {"MLEM": frames, "truth": VOLUME}, vmins=0, vmaxs=252, labels=["iteration 1", "iteration 5", "iteration 11"]
    ).save_html(path)
    with opened(browser, path) as (page, faults):
        page.get_by_text("iteration 1", exact=True).wait_for()
        page.locator(".ptv-view").first.press("ArrowRight")
        settle(page)
        page.get_by_text("iteration 5").wait_for()
        np.testing.assert_array_equal(picture(page, 0), coloured(VOLUME[3] // 2, "magma", 0, 252))
        np.testing.assert_array_equal(picture(page, 1), coloured(VOLUME[3], "magma", 0, 252))
        page.get_by_role("button", name="play").click()
        page.get_by_text("iteration 11").wait_for(timeout=3000)
        page.get_by_text("iteration 1", exact=True).wait_for(timeout=3000)
        page.get_by_role("button", name="play").click()
        page.get_by_role("slider", name="frame").fill("2")
        settle(page)
        np.testing.assert_array_equal(picture(page, 0), coloured(VOLUME[3] // 3, "magma", 0, 252))
        assert faults == []


def test_what_is_not_finite_has_its_own_colour_and_breaks_nothing(browser, tmp_path):
    path = tmp_path / "page.html"
    vol = VOLUME.astype(np.float64)
    vol[3, 0, 0], vol[3, 1, 2], vol[3, 8, 11] = np.nan, np.inf, -np.inf
    volshow({"odd": vol, "nothing": np.full(vol.shape, np.nan), "flat": np.full(vol.shape, 5.0)}).save_html(path)
    with opened(browser, path) as (page, faults):
        bad = [*lookup_table("magma")[256], 255]
        shown = picture(page)
        for row, column, text in [(0, 0, "NaN"), (1, 2, "∞"), (8, 11, "-∞")]:
            assert shown[row, column].tolist() == bad
            hover(page, row, column, (Y, X))
            settle(page)
            assert value_of(page) == text
        assert (shown == bad).all(axis=2).sum() == 3
        assert (picture(page, 1) == bad).all()
        assert len(np.unique(picture(page, 2).reshape(-1, 4), axis=0)) == 1 and value_of(page, 2) == "5"
        assert faults == []


def test_panels_of_different_grids_are_linked_in_mm(browser, tmp_path):
    path = tmp_path / "page.html"
    coarse = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    grids = [ImageGrid((Z, Y, X), (2.0, 2.0, 2.0)), ImageGrid((3, 4, 5), (4.0, 4.0, 4.0), (2.0, 0.0, 0.0))]
    volshow([VOLUME, coarse], grid=grids, vmins=0, vmaxs=[252, 60]).save_html(path)
    with opened(browser, path) as (page, faults):
        np.testing.assert_array_equal(picture(page, 1), coloured(coarse[1], "magma", 0, 60))  # 0 mm: index 0.5
        page.locator(".ptv-view").first.press("End")  # z = 6 mm: index 2 of the coarse one
        settle(page)
        np.testing.assert_array_equal(picture(page, 1), coloured(coarse[2], "magma", 0, 60))
        page.locator(".ptv-view").first.press("Home")  # -6 mm lies outside of it
        settle(page)
        assert page.locator(".ptv-outside").count() == 1 and value_of(page, 1) == "–"
        assert faults == []


def test_viewers_embedded_in_a_page_made_elsewhere(browser, tmp_path):
    viewers = [volshow(VOLUME, vmins=0, vmaxs=252), volshow(VOLUME[2], vmins=0, vmaxs=252, titles="flat", cmaps="gray")]
    body = "".join(f"<h2>{i}</h2>{html.embed(v, fallback=False)}" for i, v in enumerate(viewers))
    for text in (f"<!doctype html>{html.runtime()}{body}", f"<!doctype html>{body}{html.runtime()}"):
        with opened(browser, tmp_path / "report.html", text) as (page, faults):
            page.wait_for_function("document.querySelectorAll('.ptv').length === 2")
            settle(page)
            np.testing.assert_array_equal(picture(page, viewer=0), coloured(VOLUME[3], "magma", 0, 252))
            np.testing.assert_array_equal(picture(page, viewer=1), coloured(VOLUME[2], "gray", 0, 252))
            assert page.locator(".ptv").nth(1).get_by_role("button", name="axial").count() == 0
            assert faults == []


def test_an_error_is_read_in_the_page(browser, tmp_path):
    text = html.page(volshow(VOLUME))
    broken = text.replace('"shape": [7,', '"shape": [8,')
    assert broken != text
    with opened(browser, tmp_path / "page.html", broken) as (page, _):
        alert = page.get_by_role("alert").inner_text()
        assert alert == "This viewer could not go on: the volume is incomplete: expected 864 bytes, got 756"
        assert page.locator("img").is_visible()  # the picture stays


def test_a_front_end_that_cannot_be_loaded_says_so_in_the_cell(browser, tmp_path):
    with opened(browser, tmp_path / "page.html", html.page(volshow(VOLUME))) as (page, _):
        said = page.evaluate(
            """async (loader) => {
                const address = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
                const { default: widget } = await import(address);
                const el = document.createElement("div");
                await widget.render({ model: { get: () => "not ( a module" }, el });
                return el.textContent;
            }""",
            frontend.loader(),
        )
        assert said.startswith("This viewer could not be loaded: SyntaxError")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark_pages(browser, tmp_path, scheme):
    path = tmp_path / "page.html"
    volshow({"title": VOLUME}).save_html(path)
    with opened(browser, path, color_scheme=scheme) as (page, faults):
        assert contrast(page) >= 4.5
        assert faults == []


def test_many_moves_before_a_picture_of_the_screen_are_drawn_once(browser, tmp_path):
    path = tmp_path / "page.html"
    volshow([VOLUME, VOLUME // 2], vmins=0, vmaxs=252).save_html(path)
    with opened(browser, path) as (page, faults):
        drawn = page.evaluate(
            """async () => {
                const viewer = document.querySelector(".pettutor-viewer").pettutorViewer;
                const slices = [];
                for (const { volume } of viewer.panels) {
                    const slice = volume.slice.bind(volume);
                    volume.slice = (...which) => { slices.push(which[2]); return slice(...which); };
                }
                for (const move of [1, 1, -1, 1, 1]) viewer.step(0, move);
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                return slices;
            }"""
        )
        assert drawn == [6, 6]  # one slice of each panel, the last one
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[6], "magma", 0, 252))
        assert faults == []
