"""Noise–contrast curves as a picture, its axes labelled with definitions and units."""

import itertools

import numpy as np

# Okabe and Ito's colours, told apart with every kind of colour vision (their yellow is too pale for a line).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#E69F00")
MARKERS = "osD^vPX"
STYLES = ("-", "--", ":", "-.")
SIDES = ((0, 1), (0, -1), (1, 1), (1, -1), (1, 0), (-1, 1), (-1, -1), (-1, 0))  # of a point, in order of preference
# column: (what it is multiplied by to be shown, label)
AXES = {
    "std": (100, "noise in the background: mean over its voxels of\nSD / mean over realisations (%)"),
    "crc": (
        1,
        "CRC of {region} (a) to background (b):\n"
        r"mean over realisations of (a/b − 1) / ($a_\mathrm{{true}}/b_\mathrm{{true}}$ − 1)",
    ),
    "nrmse": (100, "NRMSE: root-mean-square error / normaliser of the truth (%)"),
    "bias": (100, "bias, {region}: mean / true mean − 1 (%)"),
    "iteration": (1, "iterations (passes over the data)"),
    "setting": (1, "setting"),
    "fwhm": (1, "Gaussian filter, FWHM (mm)"),
}
# column: (text beside a point, what the legend says of it)
POINTS = {"iteration": ("{}", "iterations"), "setting": ("{}", "setting"), "fwhm": ("{} mm", "FWHM of the filter")}


def plot_curves(table, x="std", y="crc", by="method", ax=None, *, errors=True, points="auto", pictured=4, legend=True):
    """Draw curves from a table, one line for each value of ``by``, in the order of the rows.

    Parameters
    ----------
    table : pandas.DataFrame
        As `noise_contrast` and `curve_table` make it, of one region.
    x, y : str
        Columns: "std", "crc", "nrmse", "bias", "iteration", "setting", "fwhm". Fractions of noise, error and bias are
        shown in percent.
    by : str or list of str
        Columns that tell the lines apart. The first has the colour and marker, the others the kind of line.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a figure of its own.
    errors : bool
        Bars of one standard error over realisations on the CRC.
    points : "auto", "iteration", "setting", "fwhm" or None
        What is written beside some points of every line; "auto": the first of them that changes along it.
    pictured : int
        How many points of a line have their value beside them, at most; one that finds no free place is left out.
    legend : bool

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A column is missing, the table is empty or holds several regions that ``by`` does not tell apart.
    """
    by = [by] if isinstance(by, str) else list(by)
    if points not in ("auto", None, *POINTS):
        raise ValueError(f"points: expected 'auto', {', '.join(map(repr, POINTS))} or None, got {points!r}")
    for name in (x, y):
        if name not in AXES:
            raise ValueError(f"x, y: expected one of {', '.join(AXES)}, got {name!r}")
    missing = [name for name in (x, y, *by) if name not in table.columns]
    if missing or not len(table) or not by:
        why = f"{missing[0]!r} is missing" if missing else "no row" if by else "by names no column"
        raise ValueError(f"table: expected rows with columns {', '.join((x, y, *by))}: {why}")
    regions = [str(name) for name in table["region"].unique()] if "region" in table.columns else [""]
    if len(regions) > 1 and "region" not in by:
        raise ValueError(f"table: expected one region, or 'region' in by, got {', '.join(regions)}")
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")[1]
    lines = [(line, rows, _told(rows, points, x)) for line, rows in _draw(ax, table, x, y, by, errors)]
    region = regions[0] if len(regions) == 1 and regions[0] else "region"
    for axis, name in ((ax.xaxis, x), (ax.yaxis, y)):
        axis.set_label_text(AXES[name][1].format(region=region), fontsize=8.5)
    ax.tick_params(labelsize=8.5)
    if y == "crc":
        ax.axhline(1, color="0.6", lw=0.8, zorder=1)
    ax.grid(color="0.92", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(0.08)
    if x in ("std", "iteration", "fwhm"):
        ax.set_xlim(left=0)
    if legend:
        told = dict.fromkeys(POINTS[name][1] for _, _, name in lines if name)
        title = f"numbers: {', '.join(told)}" if told and pictured > 0 else None
        ax.legend(title=title, frameon=False, fontsize=8.5, title_fontsize=8.5, alignment="left", handlelength=2.6)
    if pictured > 0:
        _write_points(ax, lines, pictured)
    return ax


def _told(rows, points, x):
    """The column to write beside a line's points, None for none."""
    wanted = POINTS if points == "auto" else [points] if points in rows.columns else []
    changing = [name for name in wanted if name != x and name in rows.columns and rows[name].nunique() > 1]
    return changing[0] if changing else None


def _draw(ax, table, x, y, by, errors):
    """[(matplotlib line, its rows)]"""
    kinds = list(dict.fromkeys(table[by[0]]))
    others = list(dict.fromkeys(table[by[1:]].itertuples(index=False, name=None)))
    lines = []
    for value, rows in table.groupby(by, sort=False, dropna=False):
        number, kind = kinds.index(value[0]), _index(others, value[1:])
        colour = COLOURS[number % len(COLOURS)]
        again = number // len(COLOURS)  # the colours begin anew: other markers, and open ones
        marker = MARKERS[(number + 3 * again) % len(MARKERS)]
        place = [AXES[name][0] * rows[name].to_numpy(np.float64) for name in (x, y)]
        (line,) = ax.plot(
            *place, color=colour, marker=marker, ms=4.5, lw=1.6, ls=STYLES[kind % len(STYLES)], zorder=3,
            mfc="white" if again % 2 else colour, mec=colour if again % 2 else "white", mew=1.1 if again % 2 else 0.6,
            label=", ".join(_text(v) for v in value),
        )  # fmt: skip
        if errors and y == "crc" and "crc_error" in rows:
            bars = rows["crc_error"].to_numpy(np.float64)
            ax.errorbar(*place, bars, fmt="none", ecolor=colour, elinewidth=0.9, capsize=0, alpha=0.6, zorder=2)
        lines.append((line, rows))
    return lines


def _index(tuples, wanted):
    """Place of a tuple in a list, where NaN is like NaN."""
    texts = [tuple(map(str, values)) for values in tuples]
    return texts.index(tuple(map(str, wanted)))


def _text(value):
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def _write_points(ax, lines, pictured):
    """Write a few values beside each line where nothing else is: the ends first, then evenly along the line."""
    ax.figure.draw_without_rendering()  # the layout has to stand before places can be compared
    renderer = ax.figure.canvas.get_renderer()
    frame, taken = ax.get_window_extent(renderer), []
    if ax.get_legend() is not None:
        taken.append(ax.get_legend().get_window_extent(renderer))
        _hold_legend(ax, taken[0])
    drawn = np.concatenate([_along(ax, line) for line, _, _ in lines])
    for line, rows, name in lines:
        if name is None:
            continue
        for k in _spread(ax.transData.transform(line.get_xydata()), pictured):
            text = ax.annotate(
                POINTS[name][0].format(_text(rows[name].iloc[k])), line.get_xydata()[k], xytext=(0, 0),
                textcoords="offset points", fontsize=7.5, color=line.get_color(), zorder=4,
            )  # fmt: skip
            box = _settle(text, renderer, frame, taken, drawn)
            if box is None:
                text.remove()
            else:
                taken.append(box)


def _settle(text, renderer, frame, taken, drawn):
    """Put a text on that side of its point where it hides least of the lines: its box, None where there is no room."""
    best = None
    for dx, dy in SIDES:
        _move(text, dx, dy)
        box = text.get_window_extent(renderer)
        near = box.padded(1.5)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if inside and not any(near.overlaps(other) for other in taken):
            hidden = ((drawn >= near.min) & (drawn <= near.max)).all(axis=1).sum()
            if best is None or hidden < best[0]:
                best = hidden, dx, dy, box
    if best is None or best[0] > 6:  # more than a touch of a line: unreadable
        return None
    _move(text, *best[1:3])
    return best[3]


def _move(text, dx, dy):
    text.xyann = (6.5 * dx, 6.5 * dy)
    text.set_ha(("center", "left", "right")[dx])
    text.set_va(("center", "bottom", "top")[dy])


def _hold_legend(ax, box):
    """Leave the legend where it is: "best" would look again once texts are there."""
    corner = ax.transAxes.inverted().transform((box.x0, box.y0))
    ax.get_legend().set_loc(tuple(corner))


def _along(ax, line):
    """Points in pixels, two apart, along a line and over its markers."""
    corners = ax.transData.transform(line.get_xydata())
    pieces = [corners + offset for offset in ((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3))]
    for one, two in itertools.pairwise(corners):
        steps = max(2, int(np.hypot(*(two - one)) / 2))
        pieces.append(one + np.linspace(0, 1, steps)[:, None] * (two - one))
    found = np.concatenate(pieces)
    return found[np.isfinite(found).all(axis=1)]


def _spread(places, count):
    """Indices of at most ``count`` points, evenly along the path's length in pixels: last, first, then between."""
    steps = np.hypot(*np.diff(places, axis=0).T) if len(places) > 1 else np.zeros(0)
    length = np.concatenate([[0.0], np.cumsum(np.nan_to_num(steps))])
    wanted = np.linspace(length[-1], 0, max(1, count))
    order = [0, len(wanted) - 1, *range(1, len(wanted) - 1)]
    chosen = [int(np.abs(length - wanted[k]).argmin()) for k in order]
    return list(dict.fromkeys(k for k in chosen if np.isfinite(places[k]).all()))
