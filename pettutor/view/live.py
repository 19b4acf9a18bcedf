"""A viewer that grows while a reconstruction runs, and hardly slows it.

Images are kept as they come, and coded when somebody looks. While a cell runs, that is the browser, which gets the
newest at most every `PACE` seconds: what kernel, server and browser do for a frame, they often do on the cores of the
reconstruction. When the cell has ended, the browser gets all that it has not seen. Without a notebook's event loop
(plain Python, a thread) every frame is coded and sent at once.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field

from pettutor.arrays import check_array, to_numpy
from pettutor.view.settings import describe_part
from pettutor.view.volumes import encode

QUICK = 1  # level of zlib: the reconstruction waits for it
PACE = 1.0  # seconds


@dataclass
class Growth:
    """How far the live panel of a viewer has come.

    ``coded`` has a volume, or None, of every frame; ``sent`` the numbers of those that the browser has, in its order.
    """

    coded: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    sent_at: float = -math.inf
    finish_later: bool = False


def grow(viewer, iteration, image):
    """Put an image into the viewer's live panel as its next frame; iteration 1 begins anew.

    Raises
    ------
    ValueError
        A viewer without a live panel, or an image of another shape.
    TypeError
        No real array.
    """
    panel = viewer.panels[-1]
    if not panel.live:
        raise ValueError("callback: expected a viewer made with live=, the title of a new panel, got one without")
    image = to_numpy(check_array(image, "image", shape=panel.grid.shape, dtype=None, finite=False))
    if image.dtype.kind not in "biuf":
        raise TypeError(f"image: expected real numbers, got dtype {image.dtype}")
    if iteration == 1 or panel.waiting:  # away with the placeholder, or what an earlier run left
        panel.waiting = False
        panel.frames.clear()
        viewer.labels = []
        viewer._growth = Growth(finish_later=viewer._growth.finish_later)
    growth = viewer._growth
    panel.frames.append(image)
    growth.coded.append(None)
    viewer.labels.append(f"iteration {iteration}")
    viewer._growing = True
    try:
        viewer.frame = len(panel.frames) - 1
    finally:
        viewer._growing = False
    if not growth.finish_later:
        _finish_after_the_cell(viewer)
    if time.monotonic() - growth.sent_at >= PACE and len(panel.frames) - 1 not in growth.sent:
        _send(viewer, len(growth.sent), [len(panel.frames) - 1])


def _finish_after_the_cell(viewer):
    """Let the loop that runs the cells finish: its next turn comes when this cell is done."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        finish(viewer)
        return
    viewer._growth.finish_later = True
    loop.call_soon(finish, viewer)


def finish(viewer):
    """Send what the browser does not have, and say how many frames there are."""
    growth = viewer._growth
    growth.finish_later = False
    if viewer.closed:
        return
    complete(viewer)
    count = len(growth.coded)
    first = next((k for k in range(count) if growth.sent[k : k + 1] != [k]), count)
    if first < count:
        _send(viewer, first, range(first, count))
    viewer._grown = count


def send_all(viewer):
    """Send all frames to a page that missed some."""
    complete(viewer)
    _send(viewer, 0, range(len(viewer._growth.coded)))


def complete(viewer):
    """Code every frame, and enter it where a page that is opened now would find it."""
    growth, settings, volumes = viewer._growth, viewer._settings, viewer._volumes
    if not growth.coded or (settings["labels"] == viewer.labels and None not in growth.coded):
        return
    panel, described = viewer.panels[-1], settings["panels"][-1]
    first = described["volume"]["parts"][0]["bytes"]
    for index in range(len(growth.coded)):
        _code(viewer, index)
    panel.parts[:] = growth.coded
    volumes[first:] = [coded.compressed for coded in growth.coded]
    described["volume"]["parts"][:] = [describe_part(coded, first + k) for k, coded in enumerate(growth.coded)]
    described["window"] = list(panel.window)
    settings["labels"] = list(viewer.labels)


def _code(viewer, index):
    panel, growth = viewer.panels[-1], viewer._growth
    if growth.coded[index] is None:
        vmax = panel.window[1] if panel.fixed_window else None
        growth.coded[index] = encode(panel.frames[index][None], "image", panel.parts[0].bits, vmax, QUICK)
        if not panel.fixed_window and index == len(growth.coded) - 1:
            panel.window = growth.coded[index].window
    return growth.coded[index]


def _send(viewer, first, indices):
    """Send frames, which the browser puts in place of all that it has from number ``first`` on."""
    growth = viewer._growth
    coded = [_code(viewer, index) for index in indices]
    frames = [
        {"part": describe_part(volume, 0), "label": viewer.labels[index]}
        for volume, index in zip(coded, indices, strict=True)
    ]
    message = {"kind": "frames", "first": first, "frames": frames, "window": list(viewer.panels[-1].window)}
    viewer.send(message, [volume.compressed for volume in coded])
    growth.sent[first:] = indices
    growth.sent_at = time.monotonic()
