"""The figure of the demo: one slice of every image, their errors, and a profile."""

import numpy as np

from pettutor.arrays import bounding_box
from pettutor.report.verdict import number

TITLES = {
    "truth": "truth",
    "mlem": "MLEM",
    "gaussian": "best Gaussian",
    "bowsher": "Bowsher (sees T1)",
    "ced": "MLEM + CED",
    "mapem_net": "MAPEM-Net",
    "diprecon": "DIPRecon (sees T1)",
}
COLOURS = {
    "truth": "#8a8f98",
    "mlem": "#d1495b",
    "gaussian": "#2a78b8",
    "bowsher": "#17a2a2",
    "ced": "#2e9b63",
    "mapem_net": "#d98a1f",
    "diprecon": "#8d5fb8",
}


def window(truth):
    """Upper end of the shared colour scale: all but the hottest voxels of the truth."""
    return float(np.quantile(truth[truth > 0], 0.995))


def make_figure(results, images, grid, dark=False):
    """Return a matplotlib Figure (not known to pyplot): images above, their errors, and a profile through all below."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ink = "#e6e8eb" if dark else "#1c2127"
    style = {
        "font.size": 9,
        "axes.titlesize": 10,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
    }
    with rc_context(style):
        columns = sum(name in images for name in TITLES)
        figure = Figure(figsize=(2.1 * columns + 1, 7.6), layout="constrained")
        if dark:
            figure.patch.set_alpha(0)
        _draw(figure, results, images, grid, ink)
        figure.canvas.draw()  # while the style holds
    return figure


def _draw(figure, results, images, grid, ink):
    names = [name for name in TITLES if name in images]
    errors = {row["key"]: row for row in results["measures"]}["nrmse_head"]["values"]
    box = head_box(images["mu"])
    plane = grid.shape[0] // 2
    # two parts, so that the legend below does not push the colour bars above away from their pictures
    above, below = figure.subfigures(2, 1, height_ratios=[2.3, 1])
    axes, profile = above.subplots(2, len(names), squeeze=False), below.subplots()
    top = window(images["truth"])
    _, y, x = grid.coordinates()
    (rows, columns), (dy, dx) = box, grid.voxel_size[1:]
    extent = (
        x[columns][0] - dx / 2,
        x[columns][-1] + dx / 2,
        y[rows][-1] + dy / 2,
        y[rows][0] - dy / 2,
    )
    line = profile_row(results["settings"]["lesions"], y)
    for k, name in enumerate(names):
        picture = images[name][plane][box]
        shown = axes[0, k].imshow(picture, "magma", vmin=0, vmax=top, extent=extent, interpolation="nearest")
        width = f", {results['gaussian_fwhm_mm']:.1f} mm" if name == "gaussian" else ""
        error = f"NRMSE {number(errors[name], '%')} %" if name in errors else ""
        axes[0, k].set_title(f"{TITLES[name]}{width}\n{error}")
        _bare(axes[0, k])
        if name == "truth":
            axes[0, k].axhline(y[line], color="white", linewidth=0.8, linestyle=(0, (4, 3)))
            axes[1, k].set_axis_off()
            continue
        difference = axes[1, k].imshow(
            picture - images["truth"][plane][box],
            "RdBu_r",
            vmin=-0.6 * top,
            vmax=0.6 * top,
            extent=extent,
            interpolation="nearest",
        )
        axes[1, k].set_title("image − truth")
        _bare(axes[1, k])
    above.colorbar(shown, ax=axes[0, :], shrink=0.86, pad=0.01, aspect=24, label="activity (a.u.)", extend="max")
    above.colorbar(difference, ax=axes[1, 1:], shrink=0.86, pad=0.01, aspect=24, label="error (a.u.)", extend="both")
    _profile(profile, names, images, plane, line, columns, x)
    depth = f", z = {grid.coordinates()[0][plane]:.0f} mm" if grid.shape[0] > 1 else ""
    millions = results["counts"]["trues"] / 1e6
    figure.suptitle(
        f"{results['subject']} on the {results['size']} scanner{depth} · {millions:.3g} M trues · "
        f"{results['settings']['iterations']} MLEM iterations",
        fontsize=11,
        color=ink,
    )


def _profile(axes, names, images, plane, line, columns, x):
    axes.patch.set_alpha(0)
    for name in names:
        values = images[name][plane][line, columns]
        if name == "truth":
            axes.fill_between(
                x[columns], values, color=COLOURS[name], alpha=0.35, step="mid", linewidth=0, label="truth"
            )
        else:
            style = (0, (3, 2)) if name == "gaussian" else "-"  # seen where it lies on MLEM, too
            axes.plot(x[columns], values, color=COLOURS[name], linewidth=1.3, linestyle=style, label=TITLES[name])
    axes.set_title("profile along the dashed line")
    axes.set_xlabel("x (mm)")
    axes.set_ylabel("activity (a.u.)")
    axes.set_xlim(x[columns][0], x[columns][-1])
    axes.set_ylim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.4)


def _bare(axes):
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def head_box(mu, margin=3):
    """Rows and columns that hold the head, a little larger: two slices."""
    inside = (mu > 0).any(axis=0)
    return bounding_box(inside, margin) if inside.any() else (slice(None), slice(None))


def profile_row(lesions, y):
    """The row through the largest lesion, or else through the middle of the field of view."""
    position = max(lesions, key=lambda lesion: lesion["diameter_mm"])["centre_mm"][1] if lesions else 0.0
    return int(np.abs(y - position).argmin())


def png_bytes(figure, dpi):
    """The figure as the bytes of a PNG."""
    import io

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": "pettutor"})
    return stream.getvalue()
