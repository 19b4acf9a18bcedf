"""What the browser is told of a viewer besides the volumes' bytes: a dict that can be JSON."""

import base64

from pettutor.view.colour_maps import colour_map, lookup_table
from pettutor.view.grids import SINOGRAM_AXES

DIFFERENCE_COLOUR_MAP = "RdBu_r"


class Bytes:
    """The compressed volumes, each once, and the numbers that they are known by."""

    def __init__(self, first=()):
        self.all = list(first)
        self._known = {}

    def number(self, compressed):
        if id(compressed) not in self._known:
            self._known[id(compressed)] = len(self.all)
            self.all.append(compressed)
        return self._known[id(compressed)]


class _Tables:
    """The colour tables, each once."""

    def __init__(self):
        self.all = []

    def number(self, cmap):
        table = base64.b64encode(lookup_table(cmap).tobytes()).decode("ascii")
        if table not in self.all:
            self.all.append(table)
        return self.all.index(table)


def describe_part(coded, number):
    """A run of frames with one coding; ``number`` says which bytes."""
    return {**coded.describe(), "bytes": number}


def describe_viewer(viewer, start, volumes=None):
    """(settings, volumes) of a ``VolumeViewer`` that begins with ``start`` (plane, position, frame)."""
    volumes, tables = volumes or Bytes(), _Tables()
    settings = {
        **start,
        "panels": [_describe_panel(panel, volumes, tables) for panel in viewer.panels],
        "lengths": "mm" if viewer.in_mm else "voxel",
        "labels": list(viewer.labels) if viewer.labels else None,
        "ncols": viewer.ncols,
        "zoom": viewer.zoom,
        "reference": viewer.reference,
        "differenceLut": tables.number(colour_map(DIFFERENCE_COLOUR_MAP)),
        "axes": list(SINOGRAM_AXES) if viewer.sinogram else None,
        "description": viewer.describe(),
    }
    return {**settings, "luts": tables.all}, volumes.all


def _describe_panel(panel, volumes, tables):
    over, overlay = panel.overlay, None
    if over is not None:  # before the panel's own volume: the frames of a live one stand last
        overlay = {
            "volume": _describe_volume([over.volume], volumes),
            "grid": _describe_grid(over.grid),
            "window": list(over.window),
            "lut": tables.number(over.cmap),
            "names": list(over.names),
        }
    return {
        "volume": _describe_volume(panel.parts, volumes),
        "overlay": overlay,
        "grid": _describe_grid(panel.grid),
        "title": panel.title,
        "name": panel.name,
        "note": panel.note,
        "window": list(panel.window),
        "follows": not panel.fixed_window,
        "lut": tables.number(panel.cmap),
        "colorbar": panel.colorbar,
        "unit": panel.unit,
        "xlabel": panel.xlabel,
        "ylabel": panel.ylabel,
        "live": panel.live,
    }


def _describe_volume(parts, volumes):
    return {
        "shape": list(parts[0].shape[1:]),
        "bits": parts[0].bits,
        "parts": [describe_part(part, volumes.number(part.compressed)) for part in parts],
    }


def _describe_grid(grid):
    return {"voxelSize": list(grid.voxel_size), "origin": list(grid.origin)}
