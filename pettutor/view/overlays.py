"""What lies over a panel: a second volume (PET on MR), or named regions in colours of their own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pettutor.geometry import ImageGrid
from pettutor.view.colour_maps import colour_map
from pettutor.view.grids import is_grid
from pettutor.view.inputs import read, thinned
from pettutor.view.volumes import CodedVolume, encode

# told apart by those who see red and green alike, on black and on bright images (Okabe and Ito)
REGION_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#ffffff")
MOST_REGIONS = 252


@dataclass(frozen=True)
class Overlay:
    """A volume over a panel; values at the lower end of the window, and what is not finite, are transparent."""

    volume: CodedVolume
    grid: ImageGrid
    frames: list  # of arrays (z, y, x)
    window: tuple
    cmap: object
    names: tuple  # of the regions 1, 2, ...; empty for a volume


def make_overlays(overlay, panels, cmaps, vmins, vmaxs, bits):
    """One :class:`Overlay` or None for each panel.

    Parameters
    ----------
    overlay : volume, dict of bool arrays, or list
        One for all panels, or one (or None) for each.
    panels : list of (ImageGrid, frames)
    cmaps, vmins, vmaxs : list
        For each panel.
    """
    each = overlay if isinstance(overlay, list) else [overlay] * len(panels)
    if len(each) != len(panels):
        raise ValueError(f"overlay: expected one for each of {len(panels)} panels or one for all, got {len(each)}")
    made, found = {}, []
    for given, (grid, frames), cmap, vmin, vmax in zip(each, panels, cmaps, vmins, vmaxs, strict=True):
        key = (id(given), grid, id(cmap), vmin, vmax)
        if given is not None and key not in made:
            made[key] = (
                _regions(given, grid) if isinstance(given, Mapping) else _volume(given, grid, cmap, vmin, vmax, bits)
            )
            _check_frames(made[key], frames)
        found.append(None if given is None else made[key])
    return found


def _volume(given, panel_grid, cmap, vmin, vmax, bits):
    array, grid = read(given, "overlay")
    grid = grid or panel_grid
    if not is_grid(grid) or tuple(grid.shape) != array.shape[1:]:
        raise ValueError(
            f"overlay: expected the panel's shape {tuple(panel_grid.shape)}, or a pair (array, ImageGrid), "
            f"got shape {array.shape[1:]}"
        )
    array, grid, _ = thinned(array, grid, "overlay")
    coded = encode(array, "overlay", bits, vmax)
    low, high = coded.window[0] if vmin is None else vmin, coded.window[1] if vmax is None else vmax
    if low >= high:
        raise ValueError(f"overlay_vmins, overlay_vmaxs: expected vmin < vmax, got {low:.6g} and {high:.6g}")
    return Overlay(coded, grid, list(array), (low, high), colour_map(cmap), ())


def _regions(masks, grid):
    """One volume of labels from named masks, of which the smaller ones lie over the larger."""
    from matplotlib.colors import ListedColormap

    if not masks or len(masks) > MOST_REGIONS:
        raise ValueError(f"overlay: expected 1 to {MOST_REGIONS} regions, got {len(masks)}")
    labels = np.zeros(grid.shape, np.uint8)
    arrays = {name: np.asarray(mask) for name, mask in masks.items()}
    for name, mask in arrays.items():
        if mask.dtype != bool or mask.shape != tuple(grid.shape):
            raise ValueError(
                f"overlay {name!r}: expected a bool mask of shape {tuple(grid.shape)}, got {mask.dtype} of {mask.shape}"
            )
    numbers = {name: number for number, name in enumerate(arrays, 1)}
    for name in sorted(arrays, key=lambda name: -arrays[name].sum()):
        labels[arrays[name]] = numbers[name]
    colours = ["#000000", *(REGION_COLOURS[k % len(REGION_COLOURS)] for k in range(len(arrays)))]
    # the window is 0 to 256, so that the number of a region is the number of its colour
    cmap = ListedColormap(colours + ["#000000"] * (256 - len(colours)), name="regions")
    return Overlay(encode(labels[None], "overlay"), grid, [labels], (0.0, 256.0), cmap, tuple(map(str, arrays)))


def _check_frames(overlay, frames):
    if len(overlay.frames) not in (1, frames):
        raise ValueError(f"overlay: expected 1 or {frames} frames, got {len(overlay.frames)}")
