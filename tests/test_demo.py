"""The demo end to end, its report, and the folder that is whole or untouched."""

import base64
import contextlib
import errno
import inspect
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
from backends import backend_is_installed
from browser_pages import VOLUME, coloured, opened, picture

import pettutor.demo as demo
from pettutor.demo import folder as folders
from pettutor.demo import stages
from pettutor.demo.settings import embedded_number, image_grid, other_subjects
from pettutor.geometry import ImageGrid, Scanner
from pettutor.report import verdict as report_verdict
from pettutor.report.figure import head_box, make_figure, window
from pettutor.report.page import COLUMNS, make_page
from pettutor.report.verdict import number
from pettutor.simulation import DEFAULT_COUNTS, simulate

QUICK = replace(
    demo.SETTINGS["slab"],
    iterations=4,
    training_subjects=1,
    heights=(0.0,),
    validation_heights=(4.0,),
    epochs=3,
    diprecon=demo.DIPSettings(passes=2, filters=(4, 8), start_fit=12, iterations=2, fit_iterations=1, average_from=2),
)
NETWORKS = ("ced", "mapem_net", "diprecon")
CLASSICAL = ("mlem", "gaussian", "bowsher")


def run(out, **changes):
    settings = {"size": "slab", "seed": 3, "device": "cpu", "progress": False, "settings": QUICK} | changes
    return demo.run_demo(out=out, **settings)


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(demo, "_why_no_network", lambda: 'no Keras here; this installs it: pip install "pettutor[cpu]"')


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """One real run, made shorter, shared by the tests that only look: its result, what it showed, its bars' steps."""
    steps = {}

    class Bar(stages.tqdm):
        def update(self, n=1):
            steps.setdefault(self.desc.partition("] ")[2], []).append(n)
            return super().update(n)

    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stderr(io.StringIO()) as screen:
        patched.delenv("COLUMNS", raising=False)  # a narrow screen would cut the bars short
        patched.setattr(stages, "tqdm", Bar)
        done = run(tmp_path_factory.mktemp("demo") / "new" / "folder", progress=True)
    return done, screen.getvalue(), steps


@pytest.fixture(scope="module")
def result(seen):
    return seen[0]


class Table(HTMLParser):
    """The cells of the first table of a page, row by row."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.cell, self.done = [], None, False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr" and not self.done:
            self.rows.append([])
        if tag in ("td", "th") and not self.done:
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.rows[-1].append(self.cell)
            self.cell = None
        self.done = self.done or tag == "table"


def strict(constant):
    raise AssertionError(f"{constant} is not JSON")


# ---- a run -------------------------------------------------------------------------------------------------------


def test_everything_is_there_and_nothing_else(result):
    names = {path.name for path in result.folder.iterdir()}
    images = {"truth", *CLASSICAL, "t1", "mu", *(NETWORKS if backend_is_installed() else ())}
    assert names == {"report.html", "figure.png", "results.json", "images.npz", *(f"{n}.nii.gz" for n in images)}
    assert names <= set(folders.FILES)
    assert set(result.images) == images and result.report.exists()
    assert sorted(result.results["files"]) == sorted(names)


def test_results_are_strict_json_and_what_was_returned(result):
    text = (result.folder / "results.json").read_text(encoding="utf-8")
    read = json.loads(text, parse_constant=strict)
    assert read == json.loads(json.dumps(result.results))
    assert read["seed"] == 3 and read["subject"] == "mni:0" and read["settings"]["iterations"] == 4
    assert {"pettutor", "numpy", "python"} <= set(read["versions"])
    assert read["versions"]["nilearn"] == metadata.version("nilearn")  # the embedded head comes from it
    assert read["peak_memory_mb"] > 50 and read["settings"]["device"] == "cpu"
    stage_seconds = [s for name, s in read["seconds"].items() if name != "total"]
    assert len(stage_seconds) == (9 if backend_is_installed() else 5)
    assert 0 < sum(stage_seconds) <= read["seconds"]["total"]


def test_every_stage_has_a_bar_that_gets_to_its_end(seen):
    result, screen, steps = seen
    stages = [name for name in result.results["seconds"] if name != "total"]
    frames = re.split(r"[\r\n]+", screen)  # of all bars, one after the other
    bars = [[frame for frame in frames if frame.startswith(f"[{n}/{len(stages)}]")] for n in range(1, len(stages) + 1)]
    for stage, bar in zip(stages, bars, strict=True):
        begin, end = (rf".{{4}}. {re.escape(stage)} +{share}% \|.{{24}}\|" for share in (0, 100))
        assert re.match(begin, bar[0]) and re.fullmatch(end + r" (\d+)/\1 [a-z]+ \[\d\d:\d\d<.*\]", bar[-1]), bar
    assert "| 4/4 iteration [" in bars[stages.index("scan and MLEM")][-1]
    # the last update fills the bar, whatever its total: it must find no more to do than what has no step of its own
    filled = {stage: steps[stage][-1] for stage in stages}
    assert 0 <= filled.pop("best Gaussian filter") < 10  # of 20: how many widths a search tries, it does not know
    whole = ("phantom and scanner", "MAPEM-Net (trained before)", "figure and report")
    assert filled == {stage: int(stage in whole) for stage in filled}


def test_table_json_and_images_say_the_same(result):
    """The page's numbers are those of results.json, and these follow from the saved images."""
    table = Table(result.report.read_text(encoding="utf-8")).rows
    rows = result.results["measures"]
    keys = [name for name in COLUMNS if name in rows[0]["values"]]
    assert table[0] == ["measure", *(COLUMNS[k] for k in keys)]
    assert len(table) == len(rows) + 1
    for cells, row in zip(table[1:], rows, strict=True):
        assert cells[0].startswith(row["name"])
        assert cells[1:] == [number(row["values"][k], row["unit"]) for k in keys]
    with np.load(result.folder / "images.npz") as saved:
        truth, mu = saved["truth"], saved["mu"]
        head = mu > 0.5 * 0.0975  # more than half tissue, near enough: the phantom's own mask is not saved
        for k in keys:
            x = saved[k].astype(np.float64)
            ours = 100 * np.sqrt(np.mean((x - truth)[head] ** 2) / np.mean(truth[head].astype(np.float64) ** 2))
            assert rows[0]["values"][k] == pytest.approx(ours, rel=0.02)


def test_nifti_files_hold_the_same_images(result):
    import nibabel

    grid = image_grid(Scanner.preset("slab"))
    for name, image in result.images.items():
        read = nibabel.load(result.folder / f"{name}.nii.gz")
        np.testing.assert_array_equal(read.get_fdata(dtype=np.float32).transpose(2, 1, 0), image)
        np.testing.assert_allclose(read.affine, grid.affine)


def test_the_page_asks_for_nothing_from_outside(result):
    page = result.report.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:)[^"']*""", page)
    assert "url(" not in page.replace("url(data:", "") and "@import" not in page
    assert len(page) < 4e6
    assert page.count('class="pettutor-viewer"') >= 2


def test_the_page_names_who_was_trained_on(result):
    ced, mapem_net, diprecon = (result.results[name] for name in NETWORKS)
    page = " ".join(result.report.read_text(encoding="utf-8").split())
    assert "Bowsher MAP</b>: no network." in page and "3 similar neighbours, κ = 0.05" in page
    if ced is None:
        pytest.skip("no Keras backend is installed")
    assert ced["training_subjects"] == ["mni:1"] and ced["validation_subject"] == "mni:2"
    assert ced["parameters"] == 3870 and ced["epochs"] == 3 and ced["slices"] == 2
    assert "was trained on MLEM images of mni:1 and never saw mni:0" in page
    assert mapem_net["training_subjects"] == [f"mni:{n}" for n in range(1, 17)] and not mapem_net["knows_the_subject"]
    assert "on 16 other embedded subjects" in page and "It never saw mni:0." in page
    assert diprecon["parameters"] > 1000 and len(diprecon["log_likelihood"]) == 2
    assert "Bowsher MAP and DIPRecon see the T1-weighted picture" in page


def test_images_with_physics_inside_are_reconstructions(result):
    """Not the MLEM image again, but one of the same head: near to it, >= 0, with 0 round the head in DIPRecon's."""
    if result.results["ced"] is None:
        pytest.skip("no Keras backend is installed")
    mlem, head = result.images["mlem"], result.images["mu"] > 0
    for name in ("bowsher", "mapem_net", "diprecon"):
        image = result.images[name]
        assert image.dtype == np.float32 and image.shape == mlem.shape and np.isfinite(image).all()
        assert 0.4 < image[head].mean() / mlem[head].mean() < 1.6
        assert 0.05 < np.corrcoef(image[head], mlem[head])[0, 1] < 0.999
    rows, columns = head_box(result.images["mu"])
    outside = np.ones(mlem.shape, bool)
    outside[:, rows, columns] = False
    assert outside.any() and not result.images["diprecon"][outside].any()


def test_the_figure_is_a_picture_of_good_size(result):
    from matplotlib import image

    height, width, _ = image.imread(result.folder / "figure.png").shape
    assert width > 1800 and height > 900


@pytest.mark.parametrize("dark", [False, True])
def test_colour_bars_stand_beside_their_pictures(result, dark):
    grid = Scanner.preset("slab").image_grid()
    figure = make_figure(result.results, result.images, grid, dark)
    figure.draw_without_rendering()  # the layout is made at drawing
    pictures = [a for a in figure.get_axes() if a.images]
    labelled = [a for a in figure.get_axes() if a.get_ylabel() in ("activity (a.u.)", "error (a.u.)")]
    bars = [a for a in labelled if a.get_window_extent().height > 2 * a.get_window_extent().width]  # not the profile
    right = max(a.get_window_extent().x1 for a in pictures)
    assert len(bars) == 2
    assert all(0 < bar.get_window_extent().x0 - right < 0.03 * figure.bbox.width for bar in bars)


@pytest.mark.browser
def test_the_page_lives_in_a_browser(result, chromium):
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    trouble, requests = [], []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(result.report.as_uri())
    page.wait_for_selector("div.pettutor-viewer canvas")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not trouble and {url.partition(":")[0] for url in requests} <= {"file", "data", "blob"}
    page.close()


@pytest.mark.browser
def test_arrow_keys_go_through_the_slices_of_the_page(result, chromium, tmp_path):
    """A report of a volume, which slab's is not: known planes in the place of the images."""
    volume = VOLUME.astype(np.float32)
    images = {"truth": volume, "mlem": volume[::-1].copy(), "t1": volume, "mu": volume / 1000}
    figure = base64.b64encode((result.folder / "figure.png").read_bytes()).decode("ascii")
    grid = ImageGrid(volume.shape, (2.0, 2.0, 2.0))
    text = make_page(result.results, images, grid, {"light": figure, "dark": figure})
    top = window(volume)
    with opened(chromium, tmp_path / "report.html", text) as (page, faults):
        for key, z in (("Home", 0), ("ArrowUp", 1), ("ArrowUp", 2), ("End", len(volume) - 1)):
            page.locator(".ptv-view").first.press(key)
            for panel, name in enumerate(("truth", "mlem")):
                expected = coloured(images[name][z], "magma", 0, top).astype(int)
                assert np.abs(picture(page, panel) - expected).max() <= 6  # coded in steps: one colour off at most
        assert faults == []


# ---- the same again, or another ----------------------------------------------------------------------------------


def test_a_second_run_replaces_the_set_and_leaves_the_rest(result, tmp_path, no_network):
    out = tmp_path / "again"
    shutil.copytree(result.folder, out)
    (out / "notes.txt").write_text("mine")
    second = run(out, seed=4)
    names = {path.name for path in out.iterdir()}
    assert names == {*second.results["files"], "notes.txt"} and (out / "notes.txt").read_text() == "mine"
    for name in NETWORKS:
        assert f"{name}.nii.gz" not in names and name not in np.load(out / "images.npz")
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["seed"] == 4
    assert second.results["measures"][0]["values"]["mlem"] != result.results["measures"][0]["values"]["mlem"]


def test_without_keras_the_report_says_how_to_get_it(result, tmp_path, no_network):
    first = run(tmp_path / "a")
    assert not any(first.results[name] for name in NETWORKS)
    assert set(first.results["measures"][0]["values"]) == set(CLASSICAL)
    page = first.report.read_text(encoding="utf-8")
    assert "No network was run: no Keras here; this installs it: pip install &#34;pettutor[cpu]&#34;." in page
    # the same seed gives the same images, bit for bit, and the same measures, whether a network is trained or not
    assert {"truth", *CLASSICAL} <= set(first.images)
    for name, image in first.images.items():
        np.testing.assert_array_equal(image, result.images[name])
    for mine, theirs in zip(first.results["measures"], result.results["measures"], strict=True):
        values = {name: value for name, value in theirs["values"].items() if name not in NETWORKS}
        assert mine == {**theirs, "values": values}


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        ("mni:0", ["mni:1", "mni:2", "mni:3"]),
        ("mni:2", ["mni:1", "mni:3", "mni:4"]),
        ("mni:02", ["mni:1", "mni:3", "mni:4"]),
        ("mni:9", ["mni:1", "mni:2", "mni:3"]),
        ("brainweb:04", ["mni:1", "mni:2", "mni:3"]),
    ],
)
def test_the_shown_subject_is_never_trained_on(shown, names):
    assert other_subjects(shown, 3) == names


def test_grids_are_the_networks():
    for size in demo.SETTINGS:
        grid = image_grid(Scanner.preset(size))
        assert grid.shape[1:] == (128, 128) and min(grid.size[1:]) > 250


def test_the_reference_scan_of_the_course():
    """100 M trues, 30 % randoms, 4.5 mm of blur; MLEM knows of 2.5 mm and makes 11 iterations."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(simulate).parameters.items()}
    assert (defaults["randoms_fraction"], defaults["psf_fwhm"]) == (0.3, 4.5) and DEFAULT_COUNTS["mmr"] == 100e6
    mmr = demo.SETTINGS["mmr"]
    assert (mmr.dose, mmr.randoms_fraction, mmr.iterations) == (1.0, 0.3, 11)
    assert (mmr.simulated_fwhm, mmr.modelled_fwhm) == (4.5, 2.5) and mmr.counts("mmr") == 100e6


# ---- networks with physics inside --------------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch):
    """Something that takes no time in the place of the CED."""
    if not backend_is_installed():
        pytest.skip("no Keras backend is installed")
    facts = {"training_subjects": ["mni:1"], "validation_subject": "mni:2"}
    curve = {"loss": [0.2, 0.1], "validation_loss": [0.3, 0.2], "epochs": 2, "best_epoch": 2}
    facts |= {"parameters": 1, "scale": 1.0, "slices": 1, "seconds": [1.0, 1.0], **curve}
    monkeypatch.setattr(demo, "_network", lambda *settings: (lambda image: 0.9 * image, {}, None))
    monkeypatch.setattr(demo, "_describe", lambda network: facts)


def test_what_would_take_too_long_is_left_out_and_said(tmp_path, stand_in):
    done = run(tmp_path / "out", settings=replace(QUICK, every_method_on=("cuda",)))
    reason = "on the CPU it would take too long at this size (--device cuda does it)"
    assert not any(done.results[name] for name in ("bowsher", "mapem_net", "diprecon")) and "ced" in done.images
    assert done.results["not_run"] == reason and done.verdict.endswith(
        f"Bowsher MAP, MAPEM-Net and DIPRecon were not run: {reason}."
    )
    assert (
        set(done.results["measures"][0]["values"]) == {"mlem", "gaussian", "ced"} and len(done.results["seconds"]) == 5
    )
    assert f"<dt>not run</dt><dd>Bowsher MAP, MAPEM-Net and DIPRecon: {reason}</dd>" in done.report.read_text(
        encoding="utf-8"
    )


def test_on_the_cpu_only_the_clinical_size_is_left_out():
    assert {size: "cpu" in settings.every_method_on for size, settings in demo.SETTINGS.items()} == {
        "slab": True,
        "mini": True,
        "mmr": False,
    }
    assert all("cuda" in settings.every_method_on for settings in demo.SETTINGS.values())


@pytest.mark.parametrize("where", ["MAPEM-Net", "DIPRecon"])
def test_ctrl_c_inside_a_network_stops_the_demo(earlier, monkeypatch, stand_in, where):
    from pettutor.demo import physics
    from pettutor.networks import DIPRecon, Scans

    def stop(*arguments, **settings):
        raise KeyboardInterrupt

    out, before = earlier
    if where == "MAPEM-Net":
        monkeypatch.setattr(Scans, "em_ratio", stop)  # inside an operation of the framework
    else:
        monkeypatch.setattr(physics, "reconstruct_mapem_net", lambda test, subject: (test.image, {}))
        monkeypatch.setattr(DIPRecon, "_iterate", stop)
    with pytest.raises(KeyboardInterrupt):
        run(out)
    assert nothing_changed(out, before)


@pytest.mark.parametrize(
    ("subject", "number"), [("mni:7", 7), ("mni:07", 7), ("mni:0", 0), ("brainweb:04", None), ("mni", None)]
)
def test_embedded_subjects_have_a_number(subject, number):
    assert embedded_number(subject) == number


# ---- failures ----------------------------------------------------------------------------------------------------


def nothing_changed(out, before):
    return {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.fixture
def earlier(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("results.json", "report.html", "ced.nii.gz", "notes.txt"):
        (out / name).write_text(f"earlier {name}")
    return out, {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), MemoryError(), OSError(errno.ENOSPC, "No space left on device"), ValueError("subject")],
)
def test_after_an_error_the_folder_is_as_it_was(earlier, monkeypatch, error):
    out, before = earlier

    def fail(size, subject, device, seed, settings, progress, staging):
        (staging / "report.html").write_text("half")
        raise error

    monkeypatch.setattr(demo, "_compute", fail)
    with pytest.raises(type(error)) as caught:
        run(out)
    assert nothing_changed(out, before)
    if isinstance(error, OSError):
        assert caught.value.filename == str(out) and "no space left" in caught.value.strerror
    with pytest.raises(type(error)):
        run(out / "made" / "for it")
    assert nothing_changed(out, before)  # folders that were made are gone


def test_an_error_while_moving_puts_the_earlier_set_back(earlier, monkeypatch):
    out, before = earlier
    move = folders.Path.replace

    def fail_late(self, target):
        if self.name == "results.json" and self.parent != out and "earlier" not in str(self.parent.name):
            raise PermissionError(errno.EACCES, "in use", str(target))
        return move(self, target)

    monkeypatch.setattr(folders.Path, "replace", fail_late)
    with pytest.raises(PermissionError), folders.staged(out, megabytes=0) as staging:
        for name in ("results.json", "figure.png", "report.html"):
            (staging / name).write_text("new")
    assert nothing_changed(out, before)


def test_stopping_mlem_by_the_keyboard_stops_the_demo(earlier, monkeypatch, no_network):
    out, before = earlier
    monkeypatch.setattr(stages, "mlem", lambda y, A, **kw: np.ones(A.in_shape, np.float32))  # came back early
    with pytest.raises(KeyboardInterrupt):
        run(out)
    assert nothing_changed(out, before)


def test_unknown_subject_and_size(earlier):
    out, before = earlier
    with pytest.raises(ValueError, match="subject: expected 'mni:N'"):
        run(out, subject="mni:x")
    with pytest.raises(ValueError, match="size: expected one of 'slab', 'mini', 'mmr', got 'maxi'"):
        run(out, size="maxi")
    with pytest.raises(ValueError, match="seed: expected a whole number >= 0, got -1"):
        run(out, seed=-1)
    assert nothing_changed(out, before)


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="expected a folder to write to, found a file"):
        run(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        run(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unwritable_folder_is_found_before_computing(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_compute", lambda *a: pytest.fail("it computed"))

    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(folders.tempfile, "mkdtemp", refuse)
    with pytest.raises(PermissionError):
        run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_little_disk_or_memory_is_found_before_computing(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_compute", lambda *a: pytest.fail("it computed"))
    with pytest.raises(MemoryError, match=r"takes about 1e\+06 GB"):
        run(tmp_path / "out", settings=replace(QUICK, memory_gb=1e6))
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda path: SimpleNamespace(free=3e6))
    with pytest.raises(OSError, match="expected 20 MB free, found 3 MB") as caught:
        run(tmp_path / "out")
    assert caught.value.errno == errno.ENOSPC and not (tmp_path / "out").exists()


def test_leftovers_of_a_killed_run_go_and_a_live_one_is_respected(earlier):
    out, _ = earlier
    dead = out / f"{folders.PREFIX}999999999-x"
    dead.mkdir()
    (dead / "images.npz").write_text("half")
    with folders.staged(out, megabytes=0):
        assert not dead.exists()
    (out / f"{folders.PREFIX}1-x").mkdir()  # process 1 always lives
    with pytest.raises(FileExistsError, match="another run"), folders.staged(out, megabytes=0):
        pass
    (out / f"{folders.PREFIX}1-x").rmdir()


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        folders.write_json(tmp_path / "x.json", {"value": float("nan")})


# ---- table, verdict ----------------------------------------------------------------------------------------------


def table(mlem, gaussian, crc=(), **networks):
    values = {"mlem": mlem, "gaussian": gaussian, **networks}
    first = {"key": "nrmse_head", "name": "NRMSE, head", "unit": "%", "best": 0.0, "values": values}
    if not crc:
        return [first]
    recovery = dict(zip(values, crc, strict=True))
    return [first, {"key": "crc", "name": "contrast recovery", "unit": "", "best": 1.0, "values": recovery}]


def test_verdict_when_all_networks_help():
    words = report_verdict(table(40.0, 36.0, ced=35.0, mapem_net=30.0, diprecon=33.0))
    assert words["better"] == ["mapem_net", "diprecon", "ced"] and not words["not_better"] and not words["worse"]
    assert words["text"] == (
        "Error over the head (NRMSE): MLEM 40.0 %, after the best Gaussian filter 36.0 %. MAPEM-Net (30.0 %), DIPRecon "
        "(33.0 %) and the CED (35.0 %) are below that, by up to 17 %."
    )


def test_verdict_when_some_do():
    words = report_verdict(table(40.0, 36.0, ced=38.0, mapem_net=41.0, diprecon=34.9))
    assert words["better"] == ["diprecon"] and words["not_better"] == ["ced", "mapem_net"]
    assert words["text"].endswith(
        "DIPRecon (34.9 %) is below that, by 3.1 %. The CED (38.0 %) and MAPEM-Net (41.0 %) are not."
    )


def test_verdict_when_none_does():
    words = report_verdict(table(40.0, 36.0, ced=36.0))
    assert words["better"] == [] and words["not_better"] == ["ced"]
    assert words["text"].endswith("filter 36.0 %. The CED (36.0 %) is not below that.")


def test_verdict_when_no_gaussian_helps():
    words = report_verdict(table(40.0, 40.0, ced=30.0))
    assert words["text"].startswith(
        "Error over the head (NRMSE): MLEM 40.0 %, which no Gaussian filter improves. The CED"
    )


def test_verdict_names_what_became_worse():
    words = report_verdict(table(40.0, 36.0, ced=30.0, diprecon=31.0, mapem_net=37.0, crc=(0.5, 0.4, 0.3, 0.499, -0.1)))
    assert words["worse"] == ["contrast recovery: 0.30 with the CED and −0.10 with MAPEM-Net, against 0.50 with MLEM"]


def test_verdict_without_networks_or_without_physics_in_them():
    words = report_verdict(table(40.0, 36.0), "no Keras")
    assert words == {"better": [], "not_better": [], "text": "No network was run: no Keras.", "worse": []}
    words = report_verdict(table(40.0, 36.0), "no Keras", "too slow")
    assert words["text"] == "No network was run: no Keras. Bowsher MAP was not run: too slow."
    words = report_verdict(table(40.0, 36.0, ced=30.0), skipped="too slow")
    assert words["text"].endswith("by 17 %. Bowsher MAP, MAPEM-Net and DIPRecon were not run: too slow.")


def test_verdict_says_what_t1_gives_without_a_network():
    """The mark for networks that see T1; whether they helped is told against what sees none, as before."""
    words = report_verdict(table(40.0, 36.0, bowsher=29.04, diprecon=34.9))
    assert words["better"] == ["diprecon"] and not words["not_better"]
    assert words["text"].endswith("is below that, by 3.1 %. Without a network, from counts and T1: Bowsher MAP 29.0 %.")
    words = report_verdict(table(40.0, 36.0, bowsher=29.04), "no Keras")
    assert words["text"] == "No network was run: no Keras. Without a network, from counts and T1: Bowsher MAP 29.0 %."
