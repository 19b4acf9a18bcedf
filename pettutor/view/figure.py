"""The panels on paper: a matplotlib figure of one position, made without pyplot, so that nothing stays open."""

import io
from typing import NamedTuple

import numpy as np

from pettutor.view.grids import PLANES, SINOGRAM_AXES, nearest_index
from pettutor.view.settings import DIFFERENCE_COLOUR_MAP

MARK = "#35e0ff"  # circles and lines, as in static/viewer.css


def plane_names(plane):
    return list(PLANES) if plane == "all" else [plane]


# Inches: a picture at most, a line of caption above it, right of it a colour bar with its numbers and their unit, a
# letter of a caption, between pictures. matplotlib's own layout engines draw everything twice to find these out, and
# take a third of the time.
WIDEST, TALLEST, LINE, BAR, UNIT, LETTER, GAP = 3.0, 3.6, 0.17, 0.65, 0.2, 0.075, 0.08


class Picture(NamedTuple):
    """One plane of one panel, and where it is cut."""

    viewer: object
    panel: object
    plane: str
    position: tuple  # (z, y, x), mm
    frame: int
    has_bar: bool


def make_figure(viewer, *, plane, position, frame, frame_label=None, beside=None):
    """Return a ``matplotlib.figure.Figure`` with one picture a panel and plane.

    ``position``: (z, y, x), mm. ``beside``: another viewer and its position, whose first panel comes last.
    """
    from matplotlib.figure import Figure

    planes = plane_names(plane)
    pictures = [
        Picture(viewer, panel, name, position, frame, panel.colorbar and name == planes[-1])
        for panel in viewer.panels
        for name in planes
    ]
    columns = viewer.ncols if len(planes) == 1 else len(planes)
    if beside is not None:
        other, place = beside
        pictures.append(Picture(other, other.panels[0], "axial", place, 0, other.panels[0].colorbar))
        columns += 1
    places, tallest, whole = _layout(pictures, columns, above=0.3 if frame_label else GAP)
    figure = Figure(figsize=whole)
    axes = [_add_axes(figure, *place) for place in places]
    for ax, (left, top, width, _), row, picture in zip(axes, places, tallest, pictures, strict=True):
        ax.set_axis_off()
        image = _draw(ax, *picture[:5])
        if image is not None and picture.has_bar:
            beside_it = _add_axes(figure, left + width + 0.06, top + 0.075 * row, 0.1, 0.85 * row)
            _draw_colour_bar(beside_it, image, picture.panel.unit)
    if frame_label:
        figure.suptitle(frame_label, fontsize=10, y=1 - 0.05 / whole[1], va="top")
    return figure


def _layout(pictures, columns, above):
    """Left, top, width and height of every picture, the tallest's height in its row, and the whole's size, inches.

    ``above``: what stays free above the first row, inches.
    """
    extents = [_extent(picture.panel.grid, picture.plane) for picture in pictures]
    ratio = max(height / width for width, height in extents)
    widest = min(WIDEST, TALLEST / max(ratio, 0.3))
    scales = [min(widest / width, widest * ratio / height) for width, height in extents]
    sizes = [(scale * width, scale * height) for scale, (width, height) in zip(scales, extents, strict=True)]
    lefts, right = [], GAP
    for column in range(min(columns, len(pictures))):
        here = pictures[column::columns]
        bar = max(BAR + (UNIT if picture.panel.unit else 0) if picture.has_bar else 0 for picture in here)
        beyond = max(0, LETTER * max(len(picture.panel.title) for picture in here) - widest) / 2  # of a long caption
        lefts.append(right + beyond)
        right += beyond + widest + max(beyond, bar) + GAP
    caption = LINE * max(_caption(picture.panel, "").count("\n") + 1 for picture in pictures) + 0.1
    places, tallest = [], []
    for begin in range(0, len(pictures), columns):
        row = sizes[begin : begin + columns]
        tallest += [max(height for _, height in row)] * len(row)
        for left, size in zip(lefts, row, strict=False):
            places.append((left + (widest - size[0]) / 2, above + caption, *size))
        above += caption + tallest[-1] + GAP
    return places, tallest, (right, above)


def _add_axes(figure, left, top, width, height):
    """Axes at a place in inches, counted from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _caption(panel, place):
    return f"{panel.title}\n{place}" if panel.grid.shape[0] > 1 else panel.title


def png_bytes(figure, dpi=80):
    """The figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def draw_ray(ax, plane, ends):
    """A line between two points (z, y, x), mm, as it is seen in a plane, within the limits of the axes."""
    _, row, column, _ = PLANES[plane]
    ax.autoscale(False)
    ax.plot([end[column] for end in ends], [end[row] for end in ends], color=MARK, linewidth=1.2)


def _extent(grid, plane):
    _, row, column, _ = PLANES[plane]
    return grid.size[column], grid.size[row]


def _draw(ax, viewer, panel, plane, position, frame):
    """The picture and its caption; returns what a colour bar is made of, or None outside the volume."""
    axis, row, column, upwards = PLANES[plane]
    index = nearest_index(panel.grid, axis, position[axis])
    letter = SINOGRAM_AXES[axis] if viewer.sinogram else "zyx"[axis]
    ax.set_title(_caption(panel, f"{letter} = {index}"), fontsize=9)
    if not 0 <= index < panel.grid.shape[axis]:
        ax.text(0.5, 0.5, "outside this volume", ha="center", va="center", transform=ax.transAxes, fontsize=9)
        return None
    against = viewer.panels[viewer.reference] if viewer.difference else panel
    cmap, window = panel.cmap, panel.window
    if against is panel:
        picture = panel.frame(frame)
    else:
        picture, cmap = panel.minus(against, frame), DIFFERENCE_COLOUR_MAP
        half = (window[1] - window[0]) / 2
        window = -half, half
    image = _show(ax, np.take(picture, index, axis=axis), panel.grid, plane, cmap, window)
    if panel.overlay is not None:
        _draw_overlay(ax, panel.overlay, plane, position[axis], frame, viewer.opacity)
    _draw_marks(ax, viewer, panel.grid, plane, index)
    limits = [_shown(panel.grid, a, position, viewer.zoom) for a in (column, row)]
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1] if upwards else limits[1][::-1])
    return image


def _draw_colour_bar(ax, image, unit):
    bar = ax.figure.colorbar(image, cax=ax)
    ax.tick_params(labelsize=8)
    ax.yaxis.set_offset_position("left")  # a power of ten begins at the bar's left edge: not over the picture
    ax.yaxis.get_offset_text().set_size(8)
    if unit:
        bar.set_label(unit, fontsize=8)


def _show(ax, picture, grid, plane, cmap, window, **more):
    """One slice at its place in mm."""
    _, row, column, upwards = PLANES[plane]
    edges = [(grid.origin[a] - grid.voxel_size[a] / 2, grid.voxel_size[a] * grid.shape[a]) for a in (column, row)]
    (left, width), (top, height) = edges
    return ax.imshow(
        np.ma.masked_invalid(np.asarray(picture, np.float64)),
        cmap=_with_bad_colour(cmap) if not more else cmap,
        vmin=window[0],
        vmax=window[1],
        origin="lower" if upwards else "upper",
        extent=(left, left + width, top, top + height) if upwards else (left, left + width, top + height, top),
        interpolation="nearest",
        **more,
    )


def _draw_overlay(ax, overlay, plane, place, frame, opacity):
    axis = PLANES[plane][0]
    index = nearest_index(overlay.grid, axis, place)
    if not 0 <= index < overlay.grid.shape[axis]:
        return
    picture = np.take(overlay.frames[frame if len(overlay.frames) > 1 else 0], index, axis=axis).astype(np.float64)
    picture[picture <= overlay.window[0]] = np.nan
    cmap = overlay.cmap.with_extremes(bad=(0, 0, 0, 0))
    _show(ax, picture, overlay.grid, plane, cmap, overlay.window, alpha=opacity)


def _draw_marks(ax, viewer, grid, plane, index):
    """Circles of this slice, and the line where it lies in it."""
    from matplotlib.patches import Circle

    axis, row, column, _ = PLANES[plane]
    for number, roi in enumerate(viewer.rois, 1):
        if roi.plane == plane and nearest_index(grid, axis, roi.centre[axis]) == index:
            centre = roi.centre[column], roi.centre[row]
            ax.add_patch(Circle(centre, roi.radius, fill=False, color=MARK, linewidth=1.2))
            ax.annotate(str(number), centre, color=MARK, fontsize=7, ha="center", va="center")
    if viewer.line and all(nearest_index(grid, axis, end[axis]) == index for end in viewer.line):
        start, end = viewer.line
        ax.plot([start[column], end[column]], [start[row], end[row]], color=MARK, linewidth=1.2)


def _shown(grid, axis, position, zoom):
    """The part of an axis that is shown, mm: about the position, but never past the edges."""
    size, first = grid.size[axis], grid.origin[axis] - 0.5 * grid.voxel_size[axis]
    low = min(max(position[axis] - first - 0.5 * size / zoom, 0.0), size - size / zoom)
    return first + low, first + low + size / zoom


def _with_bad_colour(cmap):
    from pettutor.view.colour_maps import colour_map, lookup_table

    return colour_map(cmap).with_extremes(bad=lookup_table(cmap)[-1] / 255)
