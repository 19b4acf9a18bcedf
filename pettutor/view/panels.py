"""The arguments of ``volshow``, turned into panels: which volume, where it lies, and how it is shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pettutor.geometry import ImageGrid
from pettutor.view.colour_maps import colour_map
from pettutor.view.volumes import CodedVolume, as_volume, encode

DEFAULT_COLOUR_MAP = "magma"


@dataclass(frozen=True)
class Panel:
    """One volume and how it is shown."""

    volume: CodedVolume
    grid: ImageGrid
    title: str
    window: tuple
    cmap: object
    colorbar: bool
    unit: str
    xlabel: str
    ylabel: str


def make_panels(
    vol, *, cmaps, colorbars, xlabels, ylabels, titles, vmins, vmaxs, units, grid, voxel_size, labels, bits
):
    """Check everything and return the panels and whether lengths are in mm (else in voxels)."""
    per_panel = (cmaps, colorbars, xlabels, ylabels, titles, vmins, vmaxs)
    arrays, names = _split(vol, per_panel, labels)
    count = len(arrays)
    titles = _spread(titles if titles is not None else names, count, "titles", "")
    volumes = [
        as_volume(a, f"vol[{i}]" if not t else f"vol {t!r}")
        for i, (a, t) in enumerate(zip(arrays, titles, strict=True))
    ]
    grids, in_mm = _grids([v.shape[1:] for v in volumes], grid, voxel_size)
    frames = {v.shape[0] for v in volumes} - {1}
    if len(frames) > 1:
        raise ValueError(f"vol: expected one number of frames in all 4-D volumes, got {sorted(frames)}")
    most = max(v.shape[0] for v in volumes)
    if labels is not None and (isinstance(labels, str) or len(labels) != most):
        raise ValueError(f"labels: expected a list of one for each of {most} frames, got {labels!r:.80}")
    cmaps = [colour_map(c) for c in _spread(cmaps, count, "cmaps", DEFAULT_COLOUR_MAP)]
    colorbars = _spread(colorbars, count, "colorbars", True)
    units, xlabels, ylabels = (
        _spread(given, count, name, "")
        for given, name in ((units, "units"), (xlabels, "xlabels"), (ylabels, "ylabels"))
    )
    vmins, vmaxs = _spread(vmins, count, "vmins", None), _spread(vmaxs, count, "vmaxs", None)
    panels = []
    for i, array in enumerate(volumes):
        coded = encode(array, f"vol[{i}]" if not titles[i] else f"vol {titles[i]!r}", bits, _number(vmaxs[i], i))
        window = _window(coded, _number(vmins[i], i), _number(vmaxs[i], i), i)
        panels.append(
            Panel(
                coded, grids[i], str(titles[i]), window, cmaps[i], bool(colorbars[i]), str(units[i]),
                str(xlabels[i]), str(ylabels[i]),
            )
        )  # fmt: skip
    return panels, in_mm


def _split(vol, per_panel, labels):
    """The arrays and their names, from an array, a list or a dict."""
    if isinstance(vol, Mapping):
        arrays, names = list(vol.values()), [str(k) for k in vol]
    else:
        panels = getattr(vol, "ndim", 0) == 4 and labels is None and _one_each(per_panel, len(vol))
        arrays, names = list(vol) if panels or isinstance(vol, (list, tuple)) else [vol], None
    if not arrays:
        raise ValueError(f"vol: expected at least one array, got an empty {type(vol).__name__}")
    return arrays, names


def _one_each(per_panel, count):
    """True when some argument lists one thing for each entry of the first axis: these are panels then, not frames."""
    return count > 1 and any(isinstance(given, (list, tuple)) and len(given) == count for given in per_panel)


def _spread(given, count, name, default):
    """One value for each panel, from none, one, or a list."""
    if given is None:
        return [default] * count
    if isinstance(given, str) or not hasattr(given, "__len__"):
        return [given] * count
    if len(given) != count:
        raise ValueError(f"{name}: expected one for each of {count} panels, got {len(given)}")
    return [default if g is None else g for g in given]


def _grids(shapes, grid, voxel_size):
    """An ImageGrid for each panel, and whether it is in mm."""
    if grid is not None and voxel_size is not None:
        raise ValueError("grid, voxel_size: expected one of the two, got both")
    given = _grid_each(voxel_size if grid is None else grid, len(shapes), "voxel_size" if grid is None else "grid")
    if given is None:
        given = [None] * len(shapes)
    if len(set(shapes)) > 1 and (len(given) == 1 or any(g is None for g in given)):
        raise ValueError(
            f"vol: expected panels of one shape, got {sorted(set(shapes))}; panels of different shapes are linked in "
            "mm and need a list of ImageGrids (grid=[...]) or of voxel sizes (voxel_size=[...]), one each"
        )
    grids = []
    for i, shape in enumerate(shapes):
        g = given[i] if len(given) > 1 else given[0]
        if g is None:
            g = (1.0, 1.0, 1.0)
        if not hasattr(g, "voxel_size"):
            g = ImageGrid(shape, g)
        elif tuple(g.shape) != shape and shape[0] == 1 and tuple(g.shape)[1:] == shape[1:]:
            g = ImageGrid(shape, g.voxel_size, g.centre)  # one slice of a volume on that grid
        if tuple(g.shape) != shape:
            raise ValueError(f"grid: expected the shape of the volume, {shape}, got {g!r}")
        grids.append(g)
    if any(g is None for g in given) and not all(g is None for g in given):
        raise ValueError("grid, voxel_size: expected one for every panel, got None for some")
    return grids, given[0] is not None


def _grid_each(given, count, name):
    """A list of one or ``count`` ImageGrids or triples."""
    if given is None:
        return None
    if hasattr(given, "voxel_size"):
        return [given]
    if isinstance(given, (int, float, np.number)):
        return [(float(given),) * 3]
    given = list(given)
    if len(given) == 3 and all(isinstance(g, (int, float, np.number)) for g in given):
        return [tuple(float(g) for g in given)]
    if len(given) != count:
        raise ValueError(f"{name}: expected one for each of {count} panels or one for all, got {len(given)}")
    return given


def _number(end, number):
    """An end of a window, as float, or None."""
    if end is None:
        return None
    try:
        value = float(end)
    except (TypeError, ValueError) as error:
        raise TypeError(f"vmins, vmaxs: expected a number or None for panel {number}, got {end!r}") from error
    if not math.isfinite(value):
        raise ValueError(f"vmins, vmaxs: expected a finite number for panel {number}, got {end}")
    return value


def _window(coded, vmin, vmax, number):
    low = coded.window[0] if vmin is None else vmin
    high = coded.window[1] if vmax is None else vmax
    if low >= high and (vmin is None or vmax is None):
        # only one end was asked for and the data lie beyond it: any window from there shows that
        low, high = (low, low + max(abs(low), 1.0)) if vmax is None else (high - max(abs(high), 1.0), high)
    if low >= high:
        raise ValueError(f"vmins, vmaxs: expected vmin < vmax for panel {number}, got {low:.6g} and {high:.6g}")
    return low, high
