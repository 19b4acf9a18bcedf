"""The viewer's Python side: coding of volumes, arguments, files; and its JavaScript units, run by node."""

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import sysconfig
import zlib
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pettutor.geometry import ImageGrid
from pettutor.view import VolumeViewer, frontend, html, lifetime, volshow
from pettutor.view.colour_maps import lookup_table
from pettutor.view.inputs import as_volume
from pettutor.view.volumes import encode

STATIC = Path(frontend.__file__).parent / "static"


def ramp(*shape, dtype=np.float32):
    """Values that all differ, on axes that all differ."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def brain(shape=(127, 344, 344), seed=0):
    """A smooth head with folds and texture, of the sizes of a brain in a Siemens mMR volume, float32."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    ellipsoid = (z / 0.6) ** 2 + (y / 0.26) ** 2 + (x / 0.22) ** 2
    folds = gaussian_filter(rng.standard_normal(shape, np.float32), 2)
    grey = (ellipsoid < 1) & ((folds > 0.02) | (ellipsoid > 0.6))
    return gaussian_filter((ellipsoid < 1) + np.float32(3) * grey, 1).astype(np.float32)


# --- coding ---------------------------------------------------------------------------------------------------------


REALS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=REALS)
    ),
    st.sampled_from([8, 16]),
    st.none() | st.floats(-10, 1e6),
)
@settings(max_examples=150, deadline=None)
def test_codes_give_back_every_value_within_half_a_step(array, bits, vmax):
    coded = encode(as_volume(array, "vol"), "vol", bits, vmax)
    back = coded.values(coded.codes())[0]
    finite = np.isfinite(array)
    np.testing.assert_array_equal(back[~finite], array[~finite])
    span = np.ptp(array[finite].astype(float)) if finite.any() else 0.0
    # the worst step there can be: half of the range or more in 24 codes (8 bits), or all of it in 65,532 (16 bits)
    assert max(coded.step, coded.coarse) <= span / (24 if bits == 8 else 65532) * (1 + 1e-9)
    step = np.where(array > coded.low + coded.knee * coded.step, max(coded.coarse, coded.step), coded.step)[finite]
    # 8 bits are made from 16, which adds half of their step; float32 rounds by itself
    bound = 0.5 * step + (0.5 * span / 65532 if bits == 8 else 0) + 1e-6 * span
    assert np.all(np.abs(back[finite] - array[finite]) <= bound)


def test_codes_of_smooth_values_are_252_even_steps():
    values = np.random.default_rng(0).uniform(-3, 7, (9, 10, 11))
    coded = encode(as_volume(values, "vol"), "vol")
    assert coded.step == pytest.approx(np.ptp(values) / 252) and coded.knee == 252
    assert np.abs(coded.values(coded.codes())[0] - values).max() <= np.ptp(values) / 252 / 2 * 1.01


def test_a_hot_voxel_leaves_the_others_their_levels():
    values = np.random.default_rng(0).uniform(0, 2, (40, 41, 42))
    values[3, 4, 5] = 500
    volume = volshow(values).panels[0].volume
    back = volume.values(volume.codes())[0]
    assert abs(back[3, 4, 5] - 500) < 1e-9
    error = np.abs(back - values)[values <= volume.window[1]]
    assert error.max() <= 2 / 228 / 2 + 500 / 65532 / 2
    narrow = volshow(np.linspace(0, 100, 8000).reshape(20, 20, 20), vmaxs=4).panels[0].volume
    assert narrow.step == pytest.approx(4 / 228) and narrow.coarse == pytest.approx(96 / 24)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.int64])
def test_whole_numbers_in_a_small_range_are_exact(dtype):
    labels = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, (3, 4, 5)).astype(dtype)
    coded = encode(as_volume(labels, "vol"), "vol")
    np.testing.assert_array_equal(coded.values(coded.codes())[0], labels.astype(float))
    assert coded.step == 1


def test_wide_whole_numbers_and_float16_are_coded_too():
    wide = np.array([[-(2**62), 0, 2**62]], np.int64)
    coded = encode(as_volume(wide, "vol"), "vol", 16)
    assert np.abs(coded.values(coded.codes())[0, 0] - wide).max() <= 2**63 / 65532 / 2 * 1.001
    half = encode(as_volume(np.array([[1.0, 60000.0]], np.float16), "vol"), "vol")
    np.testing.assert_allclose(half.values(half.codes()).ravel(), [1, 60000], rtol=1e-6)


def test_constants_keep_their_value_and_get_a_window():
    for constant, window in [(5.0, (0, 5)), (-2.0, (-2, 0)), (0.0, (0, 1)), (np.nan, (0, 1))]:
        viewer = volshow(np.full((2, 3, 4), constant))
        volume = viewer.panels[0].volume
        np.testing.assert_array_equal(volume.values(volume.codes()), np.full((1, 2, 3, 4), constant))
        assert viewer.panels[0].window == window


def test_first_window_is_the_range_but_not_stretched_by_a_few_hot_voxels():
    values = np.linspace(-1, 1, 40 * 40 * 40).reshape(40, 40, 40)
    np.testing.assert_allclose(volshow(values).panels[0].window, (-1, 1), atol=0.01)
    hot = values + 1
    hot[3, 4, 5] = 50
    low, high = volshow(hot).panels[0].window
    assert low == 0 and 1.99 <= high <= 2.01
    point = np.zeros((20, 30, 40))
    point[5, 6, 7] = 3
    assert volshow(point).panels[0].window == pytest.approx((0, 3))
    hot[0, 0, :2] = np.nan, np.inf
    np.testing.assert_allclose(volshow(hot).panels[0].window, (low, high), atol=0.01)


def test_a_mask_or_labels_keep_all_their_values_in_the_window():
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[3, 4, :5] = 1
    labels[7, 8, :2] = 3  # far fewer than 1 voxel in 2000
    assert volshow(labels).panels[0].window == pytest.approx((0, 3))
    assert volshow((labels == 3).astype(float)).panels[0].window == pytest.approx((0, 1))


def test_low_end_of_the_window_is_zero_where_zero_is_near():
    assert volshow(np.linspace(0.01, 1, 1000).reshape(10, 10, 10)).panels[0].window[0] == 0
    assert volshow(np.linspace(0.5, 1, 1000).reshape(10, 10, 10)).panels[0].window[0] == 0.5


def test_payload_of_an_mmr_brain_is_half_a_megabyte():
    viewer = volshow(brain(), voxel_size=(2.03125, 2.08626, 2.08626))
    state = json.dumps(viewer.payload()[0])
    assert len(viewer.payload()[1][0]) + len(state) <= 500_000
    assert len(html.embed(viewer)) + len(html.runtime()) <= 2_000_000


def test_front_end_is_small_and_asks_for_nothing_elsewhere():
    style = len(frontend.style_sheet().encode())
    assert len(frontend.widget_module().encode()) + style <= 60_000 >= len(frontend.page_script().encode()) + style
    text = html.runtime() + frontend.widget_module()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|\bfetch\(|XMLHttpRequest|url\(", text)


def test_modules_are_joined_whole():
    widget, page = frontend.widget_module(), frontend.page_script()
    assert widget.count("export ") == 1 and "export default { render }" in widget
    assert "export " not in page and not re.search(r"^import ", widget + page, re.MULTILINE)
    names = [n for f in STATIC.glob("*.mjs") for n in re.findall(r"^export (?:async )?\w+ (\w+)", f.read_text(), re.M)]
    assert len(names) == len(set(names)) > 20
    # what is left out for size is never part of a text
    texts = [t for f in STATIC.glob("*.mjs") for t in re.findall(r'"[^"\n]*"', f.read_text())]
    texts = [t.encode("ascii", "backslashreplace").decode() for t in texts if not t.endswith('.mjs"')]
    assert len(texts) > 200 and [t for t in texts if t not in widget + page] == []


# --- arguments ------------------------------------------------------------------------------------------------------


def test_an_array_a_list_a_dict():
    one, two = ramp(3, 4, 5), ramp(3, 4, 5) ** 2
    assert [p.title for p in volshow({"a": one, "b": two}).panels] == ["a", "b"]
    assert len(volshow([one, two]).panels) == 2
    assert volshow(one, titles="t").panels[0].title == "t"
    assert [p.title for p in volshow({"a": one}, titles=["T"]).panels] == ["T"]
    assert volshow(ramp(4, 5)).panels[0].volume.shape == (1, 1, 4, 5)
    assert volshow([ramp(4, 5), ramp(4, 5)]).panels[1].volume.shape == (1, 1, 4, 5)


def test_four_dimensions_are_frames_unless_something_is_listed_for_each():
    four = ramp(2, 3, 4, 5)
    viewer = volshow(four, labels=["first", "second"])
    assert viewer.frames == 2 and len(viewer.panels) == 1
    assert volshow(four, titles=["one"]).frames == 2
    panels = volshow(four, cmaps=["hot", "bone"]).panels
    assert [p.volume.shape for p in panels] == [(1, 3, 4, 5)] * 2
    still = volshow({"moving": four, "still": four[0]})
    assert still.frames == 2


def test_arguments_of_brainweb_by_position_and_keyword():
    import inspect

    import brainweb

    theirs = list(inspect.signature(brainweb.volshow).parameters)
    assert list(inspect.signature(volshow).parameters)[: len(theirs)] == theirs
    vols = [ramp(3, 4, 5)] * 4
    viewer = volshow(
        vols, ["hot", "bone", "Greys_r", "Greys_r"], [True, False, True, False], ["x"] * 4, ["y"] * 4,
        ["PET", "uMap", "T1", "T2"],
        [0, None, 1, 2], [9, 10, None, 30],
        True, True, None, 2, (9, 9), False, 5, None,
    )  # fmt: skip
    assert [p.title for p in viewer.panels] == ["PET", "uMap", "T1", "T2"]
    assert [p.cmap.name for p in viewer.panels] == ["hot", "bone", "Greys_r", "Greys_r"]
    assert [p.window for p in viewer.panels] == [(0, 9), (0, 10), (1, 59), (2, 30)]
    assert [p.colorbar for p in viewer.panels] == [True, False, True, False]
    assert viewer.panels[0].xlabel == "x" and viewer.panels[0].ylabel == "y"
    assert viewer.ncols == 2


def test_places_in_mm():
    grid = ImageGrid((3, 4, 5), (2.0, 1.5, 1.0), (10.0, 0.0, -3.0))
    viewer = volshow(ramp(3, 4, 5), grid=grid)
    assert viewer.in_mm and viewer.panels[0].grid is grid
    assert viewer.position == (10.0, 0.75, -3.0)
    assert volshow(ramp(3, 4, 5), voxel_size=(2, 1.5, 1)).panels[0].grid == ImageGrid((3, 4, 5), (2, 1.5, 1))
    assert volshow(ramp(3, 4, 5), voxel_size=2).panels[0].grid.voxel_size == (2, 2, 2)
    assert volshow(ramp(4, 5), grid=grid).panels[0].grid.voxel_size == (2, 1.5, 1)
    assert not volshow(ramp(3, 4, 5)).in_mm
    linked = volshow([ramp(3, 4, 5), ramp(6, 8, 7)], voxel_size=[(2, 1.5, 1), (1, 0.75, 0.7)])
    assert [p.grid.shape for p in linked.panels] == [(3, 4, 5), (6, 8, 7)]


@pytest.mark.parametrize(
    ("vol", "keywords", "error", "message"),
    [
        (ramp(5), {}, ValueError, r"vol\[0\]: expected \(y, x\), .* got a NumPy array of shape \(5,\)"),
        (ramp(1, 2, 3, 4, 5), {}, ValueError, r"got a NumPy array of shape \(1, 2, 3, 4, 5\)"),
        (3.0, {}, ValueError, r"shape \(\)"),
        (np.zeros((0, 4, 5)), {}, ValueError, "expected at least one voxel"),
        ({}, {}, ValueError, "expected at least one array, got an empty dict"),
        (ramp(3, 4, 5, dtype=np.complex64), {}, TypeError, "expected real numbers, got .*complex64.*abs"),
        (np.array([[None, 1]]), {}, TypeError, "expected an array of numbers, got .*object"),
        ({"t": [["a", "b"]]}, {}, TypeError, "vol 't': expected an array of numbers"),
        ([[[1, 2], [3]]], {}, TypeError, "expected an array of numbers"),
        (np.zeros((20, 30, 40, 3)), {}, ValueError, "looks like colours"),
        ([ramp(3, 4, 5), ramp(3, 4, 6)], {}, ValueError, "expected panels of one shape.*grid="),
        ([ramp(3, 4, 5), ramp(3, 4, 6)], {"voxel_size": (1, 1, 1)}, ValueError, "expected panels of one shape"),
        ([ramp(2, 3, 4, 5), ramp(4, 3, 4, 5)], {}, ValueError, r"one number of frames .* got \[2, 4\]"),
        (ramp(3, 4, 5), {"grid": ImageGrid((5, 4, 3), (1, 1, 1))}, ValueError, r"grid: expected .* \(3, 4, 5\), got"),
        (ramp(3, 4, 5), {"voxel_size": (1, 0, 1)}, ValueError, "expected a positive length"),
        (ramp(3, 4, 5), {"voxel_size": (1, 1)}, ValueError, "expected one for each of 1 panels"),
        (ramp(3, 4, 5), {"voxel_size": 1, "grid": 1}, ValueError, "expected one of the two"),
        (ramp(3, 4, 5), {"cmaps": "magmaa"}, ValueError, r"got 'magmaa' \(did you mean 'magma'"),
        (ramp(3, 4, 5), {"cmaps": 3}, TypeError, "expected a name or a matplotlib Colormap, got int 3"),
        (ramp(3, 4, 5), {"cmaps": ["hot", "bone"]}, ValueError, "cmaps: expected one for each of 1 panels, got 2"),
        ([ramp(3, 4, 5)] * 2, {"titles": ["a"]}, ValueError, "titles: expected one for each of 2 panels, got 1"),
        (ramp(3, 4, 5), {"vmins": 5, "vmaxs": 5}, ValueError, "expected vmin < vmax for panel 0, got 5 and 5"),
        (ramp(3, 4, 5), {"vmaxs": np.inf}, ValueError, "expected a finite number for panel 0"),
        (ramp(3, 4, 5), {"vmaxs": "high"}, TypeError, "expected a number or None for panel 0, got 'high'"),
        (ramp(3, 4, 5), {"plane": "transverse"}, ValueError, "plane: expected one of 'axial'.*got 'transverse'"),
        (ramp(4, 5), {"plane": "coronal"}, ValueError, "expected 'axial' for pictures of one slice"),
        (ramp(3, 4, 5), {"bits": 12}, ValueError, "bits: expected 8 or 16, got 12"),
        (ramp(3, 4, 5), {"ncols": 0}, ValueError, "ncols: expected a whole number >= 1, got 0"),
        (ramp(3, 4, 5), {"zoom": 0.5}, ValueError, "zoom: expected a number from 1 to 32, got 0.5"),
        (ramp(2, 3, 4, 5), {"labels": ["a"]}, ValueError, "labels: expected a list of one for each of 2 frames"),
        (np.array([[-1.7e308, 1.7e308]]), {}, ValueError, "expected a range of values within float64"),
        (np.broadcast_to(np.uint8(0), (2**30, 1, 1, 1)), {}, ValueError, "expected at most 536,870,912 frames"),
    ],
)
def test_bad_input_is_named(vol, keywords, error, message):
    with pytest.raises(error, match=message):
        volshow(vol, **keywords)


def test_an_end_of_the_window_beyond_the_data_still_makes_a_window():
    low, high = volshow(ramp(3, 4, 5), vmins=1000).panels[0].window
    assert low == 1000 < high


def test_colours_are_matplotlibs_and_the_bad_one_is_unlike_them():
    for name in ("magma", "gray_r", "cool", "hsv", "tab10"):
        table = lookup_table(name)
        expected = matplotlib.colormaps[name](np.arange(256) / 255, bytes=True)[:, :3]
        np.testing.assert_array_equal(table[:256], expected)
        assert np.abs(table[:256].astype(int) - table[256].astype(int)).sum(axis=1).min() > 50


# --- what comes out -------------------------------------------------------------------------------------------------


class _Embedded(HTMLParser):
    data = None

    def handle_starttag(self, tag, attrs):
        self.inside = tag == "script"

    def handle_data(self, text):
        if getattr(self, "inside", False) and text.startswith('{"settings"'):
            self.data = json.loads(text)


def test_embedded_data_are_the_volume_and_cannot_end_their_script():
    vol = ramp(2, 3, 4, 5, dtype=np.uint8)
    text = html.embed(volshow(vol, titles="</script><b> & \u2028 é"))
    assert text.count("</script") == 1
    parser = _Embedded()
    parser.feed(text)
    settings = parser.data["settings"]
    assert settings["panels"][0]["title"] == "</script><b> & \u2028 é"
    raw = zlib.decompress(base64.b64decode(parser.data["volumes"][0]))
    np.testing.assert_array_equal(np.frombuffer(raw, np.uint8).reshape(vol.shape), vol)


def test_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    viewer = volshow(ramp(3, 4, 5))
    path = tmp_path / "page.html"
    viewer.save_html(path, title="A & B")
    assert "<title>A &amp; B</title>" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o044 == 0o044 & ~_umask()
    before = path.read_bytes()

    def fail(self, target):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        volshow(ramp(4, 5)).save_html(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(FileNotFoundError, match="expected a file in an existing folder"):
        viewer.save_html(tmp_path / "nowhere" / "page.html")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_mime_bundle_has_the_widget_a_picture_and_words():
    viewer = volshow({"truth": ramp(3, 40, 50)})
    data, _ = viewer._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == viewer.model_id
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "VolumeViewer of 1 panel: truth 3 × 40 × 50"


def test_pages_get_the_viewer_itself_where_they_ask_for_it(monkeypatch):
    viewer = volshow({"truth": ramp(3, 40, 50)})
    assert "text/html" not in viewer._repr_mimebundle_()[0]
    monkeypatch.setenv("PETTUTOR_LIVE_PAGES", "1")
    data, _ = viewer._repr_mimebundle_()
    assert data["text/html"] == html.embed(viewer, fallback=False) and "image/png" in data
    assert data["text/html"].startswith('<div class="pettutor-viewer">') and "<img" not in data["text/html"]


def test_exported_notebooks_show_the_picture():
    import nbformat
    from nbconvert import HTMLExporter, MarkdownExporter

    data, metadata = volshow({"truth": ramp(3, 40, 50)})._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("viewer", outputs=[output])])
    assert data["image/png"][:40] in HTMLExporter().from_notebook_node(notebook)[0]
    pictures = MarkdownExporter().from_notebook_node(notebook)[1]["outputs"]
    assert list(pictures.values()) == [base64.b64decode(data["image/png"])]


def test_figure_shows_the_slice_the_right_way_up_and_stays_unknown_to_pyplot(tmp_path):
    import matplotlib.pyplot as plt

    plt.close("all")  # of other tests
    vol = ramp(3, 4, 5)
    vol[1, 0, 0] = np.nan
    viewer = volshow([vol, vol], cmaps=["magma", "gray_r"], voxel_size=(2, 1.5, 1), units="kBq/ml")
    figure = viewer.to_figure()
    image = figure.axes[0].images[0]
    shown = image.get_array()
    assert bool(shown.mask[0, 0]) and image.origin == "upper"
    np.testing.assert_allclose(np.ma.compressed(shown), vol[1].ravel()[1:], atol=59 / 252 / 2 + 1e-6)
    assert image.get_extent() == [-2.5, 2.5, 3, -3]
    coronal = viewer.to_figure(plane="coronal", position=(0, 2.25, 0)).axes[0].images[0]
    np.testing.assert_allclose(coronal.get_array(), vol[:, 3], atol=0.2)
    assert coronal.origin == "lower"
    assert len([a for a in viewer.to_figure(plane="all").axes if a.images]) == 6
    zoomed = volshow(vol, voxel_size=(2, 1.5, 1), zoom=2).to_figure().axes[0]
    assert zoomed.get_xlim() == (-1.25, 1.25) and zoomed.get_ylim() == (2.25, -0.75)  # about voxel (2, 2)
    viewer.save_png(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match="frame: expected 0 to 0, got 4"):
        viewer.to_figure(frame=4)
    with pytest.raises(ValueError, match="plane: expected one of"):
        viewer.to_figure(plane="oblique")


@pytest.mark.parametrize("plane", ["axial", "all"])
def test_nothing_lies_over_anything_else_in_the_figure(plane):
    """Captions longer than their picture, volumes of unlike shape, numbers of many digits, units, frames."""
    wide, tall = ramp(4, 30, 60) / 7200, ramp(4, 60, 20) / 4800
    volumes = {"a caption that is much longer than its picture": 1e-4 * wide, "tall": 12345 * tall, "wide": wide}
    sizes = [(2.0, 1.5, 1.0), (1.0, 1.0, 1.5), (2.0, 1.5, 1.1)]
    figure = volshow(volumes, ncols=2, units="kBq/ml", plane=plane, voxel_size=sizes).to_figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    pictures = [ax for ax in figure.axes if ax.images]
    bars = [ax for ax in figure.axes if not ax.images]
    assert len(pictures) == (3 if plane == "axial" else 9) and len(bars) == 3
    boxes = [thing.get_window_extent(renderer) for ax in pictures for thing in (ax, ax.title)]
    boxes += [ax.get_tightbbox(renderer) for ax in bars]
    assert all(figure.bbox.padded(1).contains(*corner) for box in boxes for corner in box.corners())
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    for ax in pictures:  # a picture fills its place: voxels are as wide as they are long
        across, down = (abs(b - a) for a, b in (ax.get_xlim(), ax.get_ylim()))
        box = ax.get_window_extent(renderer)
        assert box.height / box.width == pytest.approx(down / across, rel=1e-6)


def test_the_number_of_the_frame_stands_above_the_figure():
    figure = volshow(ramp(2, 3, 4, 5), labels=["one", "two"]).to_figure(frame=1)
    renderer = FigureCanvasAgg(figure).get_renderer()
    (above,) = figure.texts
    assert above.get_text() == "two"
    assert all(above.get_window_extent(renderer).y0 >= ax.get_tightbbox(renderer).y1 for ax in figure.axes)


def test_moving_from_python_is_checked():
    viewer = volshow(ramp(2, 3, 4, 5))
    viewer.frame, viewer.plane, viewer.position = 1, "coronal", (0.0, 1.0, 2.0)
    assert viewer.payload()[0]["frame"] == 1 and viewer.payload()[0]["plane"] == "coronal"
    with pytest.raises(ValueError, match="frame: expected 0 to 1, got 2"):
        viewer.frame = 2
    with pytest.raises(ValueError, match="position: expected three finite numbers"):
        viewer.position = (0.0, float("nan"), 0.0)


def test_running_a_cell_again_closes_what_it_had_made(monkeypatch):
    from ipywidgets.widgets.widget import _instances

    monkeypatch.setattr(lifetime, "_made_by_cell", {})
    run = {"now": ("cell a", "run 1")}
    monkeypatch.setattr(lifetime, "_current_run", lambda: run["now"])
    alive = len(_instances)
    first = [volshow(ramp(3, 4, 5)), volshow(ramp(3, 4, 5))]
    run["now"] = ("cell b", "run 2")
    other = volshow(ramp(3, 4, 5))
    for n in range(3, 8):
        run["now"] = ("cell a", f"run {n}")
        again = volshow(ramp(3, 4, 5))
    assert all(v.comm is None and v._volumes == [] for v in first)
    assert repr(first[0]) == "VolumeViewer (closed)"
    assert other.panels and again.panels
    with pytest.raises(RuntimeError, match="this viewer is closed"):
        first[0].to_figure()
    assert len(_instances) == alive + 2 * 2  # a widget and its layout, twice


def test_outside_a_notebook_nothing_is_registered(monkeypatch):
    monkeypatch.setattr(lifetime, "_made_by_cell", {})
    assert isinstance(volshow(ramp(3, 4, 5)), VolumeViewer)
    assert lifetime._made_by_cell == {}


# --- JavaScript -----------------------------------------------------------------------------------------------------


JAVASCRIPT = Path(__file__).parent / "javascript"


def program(name):
    """Path of a program; skips where it is not installed, and fails in CI, which has to run it."""
    found = shutil.which(name, path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return found


def test_javascript_units():
    scripts = sorted(map(str, JAVASCRIPT.glob("*.test.mjs")))
    done = subprocess.run([program("node"), "--test", *scripts], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^# pass (\d+)$", done.stdout, re.M)[1]) >= 27


def test_javascript_is_linted():
    command = [program("oxlint"), "--config", JAVASCRIPT / "oxlint.json", STATIC, JAVASCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    count = len([*STATIC.glob("*.mjs"), *JAVASCRIPT.glob("*.mjs")])
    assert f"on {count} files" in done.stdout
