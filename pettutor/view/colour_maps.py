"""Colour maps by matplotlib's names, as tables that the browser reads."""

import difflib

import numpy as np

# one of these stands for NaN and infinity: the one that is least like any colour of the map
BAD_COLOURS = np.array([(0, 200, 255), (60, 255, 60), (255, 0, 200), (255, 140, 0), (128, 128, 128)], np.uint8)


def colour_map(cmap):
    """Return matplotlib's colour map of that name (or the ``Colormap`` itself).

    Raises
    ------
    ValueError
        A name that matplotlib does not know; the nearest ones are named.
    TypeError
        Neither a name nor a ``Colormap``.
    """
    import matplotlib
    from matplotlib.colors import Colormap

    if isinstance(cmap, Colormap):
        return cmap
    if not isinstance(cmap, str):
        raise TypeError(f"cmaps: expected a name or a matplotlib Colormap, got {type(cmap).__name__} {cmap!r:.60}")
    if cmap not in matplotlib.colormaps:
        names = {name.lower(): name for name in matplotlib.colormaps}
        near = [names[n] for n in difflib.get_close_matches(cmap.lower(), names, n=3)]
        hint = f" (did you mean {', '.join(map(repr, near))}?)" if near else ""
        raise ValueError(f"cmaps: expected the name of a matplotlib colour map, got {cmap!r}{hint}")
    return matplotlib.colormaps[cmap]


def lookup_table(cmap):
    """257 colours, uint8 (257, 3): the map in 256 steps and, last, the colour of what is not a finite number."""
    colours = colour_map(cmap)(np.linspace(0, 1, 256), bytes=True)[:, :3]
    distance = np.abs(BAD_COLOURS[:, None].astype(int) - colours.astype(int)).sum(axis=2).min(axis=1)
    return np.concatenate([colours, BAD_COLOURS[distance.argmax()][None]])
