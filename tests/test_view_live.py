"""A viewer that grows while a reconstruction runs."""

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import pettutor as pt
from pettutor.geometry import ImageGrid
from pettutor.view import live, volshow
from pettutor.view.viewer import VolumeViewer
from pettutor.view.volumes import encode

GRID = ImageGrid((3, 4, 5), (2.0, 1.0, 1.0))
IMAGES = [np.random.default_rng(k).integers(0, 40 * (k + 1), GRID.shape).astype(np.float32) for k in range(4)]


class Matrix:
    """A small operator with the contract."""

    def __init__(self, matrix):
        self.matrix, self.dtype = matrix, np.dtype(np.float32)
        self.in_shape, self.out_shape = GRID.shape, (len(matrix),)

    def __call__(self, x):
        return (self.matrix @ x.ravel()).astype(np.float32)

    @property
    def T(self):
        other = Matrix(self.matrix.T)
        other.in_shape, other.out_shape = self.out_shape, self.in_shape
        other.__class__ = type("Transposed", (Matrix,), {"__call__": lambda s, y: (s.matrix @ y).reshape(GRID.shape)})
        return other


def sent_frames(viewer):
    """What a page that is opened now would show in the live panel: (values, labels)."""
    settings, volumes = viewer.payload()
    frames = []
    for part in settings["panels"][-1]["volume"]["parts"]:
        codes = np.frombuffer(zlib.decompress(volumes[part["bytes"]]), np.uint8).reshape(GRID.shape)
        beyond = np.maximum(codes.astype(int) - part["knee"], 0)
        frames.append(part["low"] + np.minimum(codes, part["knee"]) * part["step"] + beyond * part["coarse"])
    return frames, settings["labels"]


def test_mlem_fills_the_live_panel_iteration_by_iteration():
    rng = np.random.default_rng(0)
    A = Matrix(rng.random((80, 60)).astype(np.float32))
    y = A(IMAGES[0] + 1)
    viewer = volshow({"truth": IMAGES[0]}, live="MLEM", grid=GRID, overlay={"hot": IMAGES[0] > 20})
    assert [p.title for p in viewer.panels] == ["truth", "MLEM"] and viewer.frames == 1
    kept = []
    pt.mlem(y, A, iterations=3, callback=lambda k, image: kept.append(image.copy()))
    x = pt.mlem(y, A, iterations=3, callback=viewer)
    frames, labels = sent_frames(viewer)
    assert labels == ["iteration 1", "iteration 2", "iteration 3"] and viewer.frame == 2
    for frame, image in zip(frames, kept, strict=True):
        np.testing.assert_allclose(frame, image, atol=np.ptp(image) / 228)
    np.testing.assert_array_equal(viewer.panels[1].frame(2), x)
    over = viewer.payload()[0]["panels"][1]["overlay"]["volume"]["parts"][0]["bytes"]
    assert np.frombuffer(zlib.decompress(viewer.payload()[1][over]), np.uint8).sum() == (IMAGES[0] > 20).sum()


def test_a_second_run_begins_anew():
    viewer = volshow(live="MLEM", grid=GRID)
    for k, image in enumerate(IMAGES, 1):
        viewer(k, image)
    assert viewer.frames == 4 and viewer.panels[0].window[1] > 100
    viewer(1, IMAGES[0])
    viewer(2, IMAGES[1])
    frames, labels = sent_frames(viewer)
    assert labels == ["iteration 1", "iteration 2"] and len(viewer.payload()[1]) == 2 and viewer.frame == 1
    np.testing.assert_allclose(frames[1], IMAGES[1], atol=0.2)
    assert viewer.panels[0].window[1] < 100  # of the newest image, as nobody asked for another
    np.testing.assert_array_equal(viewer.to_figure().axes[0].images[0].get_array(), IMAGES[1][1])


def test_a_window_that_was_asked_for_stays():
    viewer = volshow(live="MLEM", grid=GRID, vmaxs=7)
    viewer(1, IMAGES[3])
    assert viewer.panels[0].window == (0, 7)


@pytest.fixture(autouse=True)
def plain_python(monkeypatch):
    """No event loop, also where the browser's tests have left theirs running."""

    def none():
        raise RuntimeError("no running event loop")

    monkeypatch.setattr(live, "asyncio", SimpleNamespace(get_running_loop=none))


@pytest.fixture
def run_cell(monkeypatch, plain_python):
    """Run a coroutine as a notebook runs a cell: inside a loop."""
    monkeypatch.setattr(live, "asyncio", asyncio)
    with ThreadPoolExecutor(1) as thread:
        yield lambda cell: thread.submit(asyncio.run, cell).result()


@pytest.fixture
def sent(monkeypatch):
    """What viewers send to the browser: (first, labels, bytes) of each message."""
    messages = []

    def send(viewer, message, buffers):
        assert message["kind"] == "frames" and len(message["frames"]) == len(buffers)
        messages.append((message["first"], [frame["label"] for frame in message["frames"]], buffers))

    monkeypatch.setattr(VolumeViewer, "send", send)
    return messages


def labels(*numbers):
    return [f"iteration {k}" for k in numbers]


def test_frames_that_the_browser_missed_are_sent_again(sent):
    viewer = volshow(live="MLEM", grid=GRID)
    for k, image in enumerate(IMAGES, 1):
        viewer(k, image)
    sent.clear()
    viewer._answer(None, {"kind": "frames wanted"}, [])
    assert sent == [(0, labels(1, 2, 3, 4), viewer.payload()[1])] and len(sent[0][2]) == 4


def test_while_a_cell_runs_the_newest_is_sent_now_and_then_and_all_when_it_has_ended(monkeypatch, run_cell, sent):
    viewer = volshow({"a": IMAGES[0]}, live="MLEM", grid=GRID)
    coded = []
    monkeypatch.setattr(live, "encode", lambda image, *rest: (coded.append(image.sum()), encode(image, *rest))[1])

    async def cell(start):
        for k, image in enumerate([*IMAGES, IMAGES[0] + 1], start):
            monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda now=100 * start + 0.4 * k: now))
            viewer(k, image)
        assert len(coded) == 2, "the others are coded when there is time"

    run_cell(cell(1))
    volumes = viewer.payload()[1][1:]
    assert sent == [
        (0, labels(1), volumes[:1]),
        (1, labels(4), volumes[3:4]),
        (1, labels(2, 3, 4, 5), volumes[1:]),
    ]
    assert viewer._grown == 5 and len(coded) == 5
    coded.clear()
    run_cell(cell(6))  # goes on
    assert [(first, labels) for first, labels, _ in sent[3:]] == [
        (5, labels(6)), (6, labels(9)), (6, labels(7, 8, 9, 10))
    ]  # fmt: skip
    assert viewer._grown == 10
    coded.clear()
    run_cell(cell(1))  # begins anew
    assert [(first, labels) for first, labels, _ in sent[6:]] == [
        (0, labels(1)), (1, labels(4)), (1, labels(2, 3, 4, 5))
    ]  # fmt: skip
    assert viewer._grown == 5 and viewer.payload()[0]["labels"] == labels(1, 2, 3, 4, 5)


def test_a_page_opened_in_the_middle_of_a_cell_has_all_so_far(run_cell):
    viewer = volshow(live="MLEM", grid=GRID)

    async def cell():
        for k, image in enumerate(IMAGES[:3], 1):
            viewer(k, image)
        frames, words = sent_frames(viewer)
        assert words == labels(1, 2, 3)
        for frame, image in zip(frames, IMAGES, strict=False):
            np.testing.assert_allclose(frame, image, atol=np.ptp(image) / 228)
        assert viewer.to_figure().axes[0].images[0].get_clim()[1] == viewer.panels[0].window[1] > 50
        viewer.close()

    run_cell(cell())  # what is left for the end of the cell finds the viewer closed


def test_bad_live_viewers_are_named():
    with pytest.raises(ValueError, match="live: expected grid=, an ImageGrid"):
        volshow(live="MLEM")
    with pytest.raises(TypeError, match="live: expected the title of a new panel, got True"):
        volshow(IMAGES[0], live=True)
    with pytest.raises(ValueError, match="live: expected volumes of a single frame beside it, got 4 frames"):
        volshow({"a": np.stack(IMAGES)}, live="MLEM", grid=GRID)
    with pytest.raises(ValueError, match="callback: expected a viewer made with live="):
        volshow(IMAGES[0])(1, IMAGES[0])
    viewer = volshow(IMAGES[0], live="MLEM")
    with pytest.raises(ValueError, match=r"image: expected shape \(3, 4, 5\), got a NumPy array of shape \(2,"):
        viewer(1, IMAGES[0][:2])
    with pytest.raises(TypeError, match="image: expected real numbers, got dtype complex64"):
        viewer(1, IMAGES[0].astype(np.complex64))
    viewer.close()
    with pytest.raises(RuntimeError, match="this viewer is closed"):
        viewer(1, IMAGES[0])
