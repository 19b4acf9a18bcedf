"""The panels on paper: a matplotlib figure of one position, made without pyplot, so that nothing stays open."""

import io

import numpy as np

from pettutor.view.grids import PLANES, SINOGRAM_AXES, nearest_index
from pettutor.view.settings import DIFFERENCE_COLOUR_MAP

MARK = "#35e0ff"  # circles and lines, as in static/viewer.css


def plane_names(plane):
    return list(PLANES) if plane == "all" else [plane]


def make_figure(viewer, *, plane, position, frame, frame_label=None, beside=None):
    """Return a ``matplotlib.figure.Figure`` with one picture a panel and plane.

    ``beside``: another viewer and its position, whose first panel comes last.
    """
    from matplotlib.figure import Figure

    planes, panels = plane_names(plane), viewer.panels
    columns = viewer.ncols if len(planes) == 1 else len(planes)
    columns += beside is not None
    rows = -(-len(panels) // columns) if len(planes) == 1 else len(panels)
    ratio = max(_extent(p.grid, name)[1] / _extent(p.grid, name)[0] for p in panels for name in planes)
    width = min(3.0, 3.6 / max(ratio, 0.3))
    figure = Figure(figsize=(columns * (width + 0.75), rows * (width * ratio + 0.55)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    places = iter(axes.flat)
    for panel in panels:
        for name in planes:
            _draw(next(places), viewer, panel, name, position, frame, last=name == planes[-1])
    if beside is not None:
        other, place = beside
        _draw(next(places), other, other.panels[0], "axial", place, 0, last=True)
    if frame_label:
        figure.suptitle(frame_label, fontsize=10)
    return figure


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


def _draw(ax, viewer, panel, plane, position, frame, last):
    axis, row, column, upwards = PLANES[plane]
    index = nearest_index(panel.grid, axis, position[axis])
    letter = SINOGRAM_AXES[axis] if viewer.sinogram else "zyx"[axis]
    caption = f"{panel.title}\n{letter} = {index}" if panel.grid.shape[0] > 1 else panel.title
    ax.set_title(caption, fontsize=9)
    if not 0 <= index < panel.grid.shape[axis]:
        ax.text(0.5, 0.5, "outside this volume", ha="center", va="center", transform=ax.transAxes, fontsize=9)
        return
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
    if panel.colorbar and last:
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=8)
        if panel.unit:
            bar.set_label(panel.unit, fontsize=8)


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
