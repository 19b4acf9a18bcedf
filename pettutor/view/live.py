"""A viewer that grows while a reconstruction runs: each image is coded, kept, and sent once."""

from pettutor.arrays import check_array, to_numpy
from pettutor.view.settings import describe_part
from pettutor.view.volumes import encode

QUICK = 1  # level of zlib: the reconstruction waits for it


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
    settings, volumes = viewer._settings, viewer._volumes
    vmax = panel.window[1] if panel.fixed_window else None
    coded = encode(image[None], "image", panel.parts[0].bits, vmax, QUICK)
    described = settings["panels"][-1]
    if iteration == 1 or panel.waiting:  # away with the placeholder, or what an earlier run left
        panel.waiting = False
        del volumes[described["volume"]["parts"][0]["bytes"] :]
        described["volume"]["parts"].clear()
        panel.parts.clear()
        panel.frames.clear()
        settings["labels"] = viewer.labels = []
    described["volume"]["parts"].append(describe_part(coded, len(volumes)))
    volumes.append(coded.compressed)
    panel.parts.append(coded)
    panel.frames.append(image)
    settings["labels"].append(f"iteration {iteration}")
    if not panel.fixed_window:
        panel.window = coded.window
        described["window"] = list(coded.window)
    viewer._growing = True
    try:
        viewer.frame = len(panel.frames) - 1
    finally:
        viewer._growing = False
    # whoever opens the page later gets all from the two lists above; this is for those who watch
    viewer._newest = {**viewer._newest_words(viewer.frame), "data": coded.compressed}
