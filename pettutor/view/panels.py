"""The arguments of ``volshow``, turned into panels: which volume, where it lies, and how it is shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pettutor.geometry import ImageGrid
from pettutor.view.colour_maps import colour_map
from pettutor.view.grids import nearest_indices, place_volumes
from pettutor.view.inputs import is_one_volume, own_name, read, thinned
from pettutor.view.overlays import make_overlays
from pettutor.view.volumes import CodedVolume, encode

DEFAULT_COLOUR_MAP = "magma"
OVERLAY_COLOUR_MAP = "hot"
# the arguments of `volshow` that make the panels
DEFAULTS = dict(
    cmaps=None, colorbars=None, xlabels=None, ylabels=None, titles=None, vmins=None, vmaxs=None, units=None, grid=None,
    voxel_size=None, labels=None, bits=8, shared_window=False, overlay=None, overlay_cmaps=None, overlay_vmins=None,
    overlay_vmaxs=None, live=None,
)  # fmt: skip


@dataclass(eq=False)
class Panel:
    """One volume and how it is shown.

    ``frames`` are its arrays (z, y, x), as they were given; ``parts`` the same as codes, of one or more frames each.
    """

    parts: list
    frames: list
    grid: ImageGrid
    title: str
    name: str
    window: tuple
    cmap: object
    colorbar: bool
    unit: str
    xlabel: str
    ylabel: str
    note: str = ""
    overlay: object = field(default=None)
    live: bool = False
    waiting: bool = False  # for the first image of a live volume
    fixed_window: bool = True  # else it follows a live volume

    @property
    def volume(self) -> CodedVolume:
        return self.parts[0]

    def frame(self, number):
        """An array (z, y, x); a panel of a single frame shows it throughout."""
        return self.frames[number] if len(self.frames) > 1 else self.frames[0]

    def minus(self, other, number):
        """A frame less that of another panel at the nearest voxels, float64 (z, y, x); NaN where that has none."""
        image = self.frame(number).astype(np.float64)
        z, y, x = nearest_indices(self.grid, other.grid)
        image -= other.frame(number)[np.ix_(z, y, x)]
        image[z < 0], image[:, y < 0], image[:, :, x < 0] = np.nan, np.nan, np.nan
        return image


def make_panels(vol, settings):
    """Check everything and return the panels and whether lengths are in mm (else in voxels).

    ``settings`` holds the arguments of ``volshow`` by name.
    """
    per_panel = [settings[name] for name in ("cmaps", "colorbars", "xlabels", "ylabels", "titles", "vmins", "vmaxs")]
    arrays, names = _split(vol, per_panel, settings)
    count = len(arrays)
    titles = _spread(settings["titles"] if settings["titles"] is not None else names, count, "titles", "")
    titles = [str(t) or own_name(a) for t, a in zip(titles, arrays, strict=True)]
    called = [f"vol {t!r}" if t else f"vol[{i}]" for i, t in enumerate(titles)]
    volumes, own = zip(*(read(a, name) for a, name in zip(arrays, called, strict=True)), strict=True)
    grids, in_mm = place_volumes([v.shape[1:] for v in volumes], own, settings["grid"], settings["voxel_size"])
    frames = _check_frames([v.shape[0] for v in volumes], settings)
    spread = {
        name: _spread(settings[name], count, name, default)
        for name, default in (
            ("cmaps", DEFAULT_COLOUR_MAP), ("colorbars", True), ("units", ""), ("xlabels", ""), ("ylabels", ""),
            ("vmins", None), ("vmaxs", None), ("overlay_cmaps", OVERLAY_COLOUR_MAP), ("overlay_vmins", None),
            ("overlay_vmaxs", None),
        )
    }  # fmt: skip
    ends = {
        name: [_number(end, i, name) for i, end in enumerate(spread[name])]
        for name in ("vmins", "vmaxs", "overlay_vmins", "overlay_vmaxs")
    }
    overlays = make_overlays(
        settings["overlay"], [(grid, frames) for grid in grids], spread["overlay_cmaps"], ends["overlay_vmins"],
        ends["overlay_vmaxs"], settings["bits"],
    )  # fmt: skip
    live = _live_number(titles, settings["live"])
    unique = _unique([t or f"panel {i + 1}" for i, t in enumerate(titles)])
    panels = []
    for i, array in enumerate(volumes):
        array, grid, note = thinned(array, grids[i], called[i])
        vmin, vmax = ends["vmins"][i], ends["vmaxs"][i]
        coded = encode(array, called[i], settings["bits"], vmax)
        panels.append(
            Panel(
                [coded], list(array), grid, titles[i], unique[i], _window(coded, vmin, vmax, i),
                colour_map(spread["cmaps"][i]), bool(spread["colorbars"][i]), str(spread["units"][i]),
                str(spread["xlabels"][i]), str(spread["ylabels"][i]), note, overlays[i], live=i == live,
                waiting=i == live, fixed_window=i != live or vmax is not None,
            )
        )  # fmt: skip
    if settings["shared_window"]:
        common = min(p.window[0] for p in panels), max(p.window[1] for p in panels)
        for panel in panels:
            panel.window = common
    return panels, in_mm


def _split(vol, per_panel, settings):
    """The arrays and their names, from an array, a list or a dict; with ``live`` one more, of zeros."""
    if isinstance(vol, Mapping):
        arrays, names = list(vol.values()), [str(k) for k in vol]
    elif vol is None:
        arrays, names = [], []
    else:
        panels = getattr(vol, "ndim", 0) == 4 and settings["labels"] is None and _one_each(per_panel, len(vol))
        several = panels or (isinstance(vol, (list, tuple)) and not is_one_volume(vol))
        arrays = list(vol) if several else [vol]
        names = [""] * len(arrays)
    if settings["live"]:
        arrays.append(np.zeros(_live_shape(arrays, settings["grid"]), np.float32))
        names.append(settings["live"])
    if not arrays:
        came = "none" if vol is None else f"an empty {type(vol).__name__}"
        raise ValueError(f"vol: expected at least one array, got {came}")
    return arrays, names


def _live_shape(arrays, grid):
    """Of the volume that is to come: the last grid's, or that of the volume before it."""
    last = grid[-1] if isinstance(grid, (list, tuple)) and grid else grid
    shape = getattr(last, "shape", None) or (getattr(arrays[-1], "shape", None) if arrays else None)
    if shape is None or len(shape) < 3:
        raise ValueError("live: expected grid=, an ImageGrid, to know the shape of what is to come")
    return tuple(shape)[-3:]


def _live_number(titles, live):
    if live and not isinstance(live, str):
        raise TypeError(f"live: expected the title of a new panel, got {live!r}")
    return len(titles) - 1 if live else None


def _unique(names):
    """The names, with a number where one comes again."""
    seen, found = {}, []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _check_frames(counts, settings):
    """The number of frames, which is one in all volumes that have several."""
    if len(set(counts) - {1}) > 1:
        raise ValueError(f"vol: expected one number of frames in all 4-D volumes, got {sorted(set(counts) - {1})}")
    most, labels = max(counts), settings["labels"]
    if settings["live"] and most > 1:
        raise ValueError(f"live: expected volumes of a single frame beside it, got {most} frames")
    if labels is not None and (isinstance(labels, str) or len(labels) != most):
        raise ValueError(f"labels: expected a list of one for each of {most} frames, got {labels!r:.80}")
    return most


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


def _number(end, number, name):
    """An end of a window, as float, or None."""
    name = "vmins, vmaxs" if name in ("vmins", "vmaxs") else name
    if end is None:
        return None
    try:
        value = float(end)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected a number or None for panel {number}, got {end!r}") from error
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number for panel {number}, got {end}")
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
