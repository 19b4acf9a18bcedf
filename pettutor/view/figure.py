"""The panels on paper: a matplotlib figure of one position, made without pyplot, so that nothing stays open."""

import io

import numpy as np

# plane -> axes across, down and along the picture, and whether the rows go upwards; as static/geometry.mjs has them
PLANES = {"axial": (0, 1, 2, False), "coronal": (1, 0, 2, True), "sagittal": (2, 0, 1, True)}


def plane_names(plane):
    return list(PLANES) if plane == "all" else [plane]


def make_figure(panels, *, ncols, plane, position, frame, frame_label=None, zoom=1.0):
    """Return a ``matplotlib.figure.Figure`` with one picture a panel and plane."""
    from matplotlib.figure import Figure

    planes = plane_names(plane)
    columns = ncols if len(planes) == 1 else len(planes)
    rows = -(-len(panels) // columns) if len(planes) == 1 else len(panels)
    ratio = max(_extent(p, name)[1] / _extent(p, name)[0] for p in panels for name in planes)
    width = min(3.0, 3.6 / max(ratio, 0.3))
    figure = Figure(figsize=(columns * (width + 0.75), rows * (width * ratio + 0.55)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    places = iter(axes.flat)
    for panel in panels:
        codes = panel.volume.codes()
        for name in planes:
            _draw(next(places), panel, codes, name, position, frame, zoom, last=name == planes[-1])
    if frame_label:
        figure.suptitle(frame_label, fontsize=10)
    return figure


def png_bytes(figure, dpi=80):
    """The figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def _extent(panel, plane):
    _, row, column, _ = PLANES[plane]
    return panel.grid.size[column], panel.grid.size[row]


def _draw(ax, panel, codes, plane, position, frame, zoom, last):
    axis, row, column, upwards = PLANES[plane]
    index = round((position[axis] - panel.grid.origin[axis]) / panel.grid.voxel_size[axis])
    caption = f"{panel.title}\n{'zyx'[axis]} = {index}" if panel.volume.shape[1] > 1 else panel.title
    ax.set_title(caption, fontsize=9)
    if not 0 <= index < panel.grid.shape[axis]:
        ax.text(0.5, 0.5, "outside this volume", ha="center", va="center", transform=ax.transAxes, fontsize=9)
        return
    volume = codes[frame if len(codes) > 1 else 0]
    picture = panel.volume.values(np.take(volume, index, axis=axis))
    width, height = _extent(panel, plane)
    image = ax.imshow(
        np.ma.masked_invalid(picture),
        cmap=_with_bad_colour(panel.cmap),
        vmin=panel.window[0],
        vmax=panel.window[1],
        origin="lower" if upwards else "upper",
        extent=(0, width, 0, height) if upwards else (0, width, height, 0),
        interpolation="nearest",
    )
    if zoom > 1:
        ax.set_xlim(_magnified(panel.grid, column, position, zoom))
        low, high = _magnified(panel.grid, row, position, zoom)
        ax.set_ylim((low, high) if upwards else (high, low))
    if panel.colorbar and last:
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=8)
        if panel.unit:
            bar.set_label(panel.unit, fontsize=8)


def _magnified(grid, axis, position, zoom):
    """The part of an axis that is shown, mm from its edge: about the position, but never past the edges."""
    size = grid.size[axis]
    middle = position[axis] - grid.origin[axis] + 0.5 * grid.voxel_size[axis]
    low = min(max(middle - 0.5 * size / zoom, 0.0), size - size / zoom)
    return low, low + size / zoom


def _with_bad_colour(cmap):
    from pettutor.view.colour_maps import lookup_table

    return cmap.with_extremes(bad=lookup_table(cmap)[-1] / 255)
