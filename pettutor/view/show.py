"""``volshow``: the function that shows volumes."""

import numbers

from pettutor.view.panels import make_panels
from pettutor.view.viewer import PLANE_NAMES, SINOGRAM_PLANES, VolumeViewer


def volshow(
    vol=None,
    cmaps=None,
    colorbars=None,
    xlabels=None,
    ylabels=None,
    titles=None,
    vmins=None,
    vmaxs=None,
    sharex=True,
    sharey=True,
    ncols=None,
    nrows=None,
    figsize=None,
    frameon=True,
    tight_layout=1,
    fontproperties=None,
    *,
    grid=None,
    voxel_size=None,
    plane="axial",
    labels=None,
    units=None,
    zoom=1.0,
    bits=8,
    shared_window=False,
    reference=None,
    difference=False,
    overlay=None,
    overlay_cmaps=None,
    overlay_vmins=None,
    overlay_vmaxs=None,
    opacity=0.5,
    sinogram=False,
    live=None,
):
    """Slice through volumes side by side, in the browser.

    Parameters
    ----------
    vol : volume, list of volumes or dict of volumes
        Each an array (y, x), (z, y, x) or (frame, z, y, x), NumPy or CuPy, of any real dtype; a pair (array,
        ImageGrid); the path of a NIfTI file; or a nibabel image. The keys of a dict are the titles. A bare 4-D
        array is frames; if ``titles``, ``cmaps``, ... lists one thing for each entry of its first axis, these are
        panels instead. Of more than 2**29 voxels every 2nd (3rd, ...) of each axis is shown, and the panel says so.
    cmaps : str or list of str
        Names of matplotlib colour maps [default: "magma"].
    colorbars : bool or list of bool
        [default: True].
    xlabels, ylabels, titles, units : str or list of str
    vmins, vmaxs : float or list of float
        Window, for each panel. None: the range of the volume, from 0 where that is near; but fewer than 1 voxel in 2000
        (hot ones, say) do not stretch it to more than twice the range of all others.
    ncols, nrows : int
        Panels beside and under each other.
    grid : ImageGrid or list of ImageGrid
        Where the volumes lie that bring no grid of their own. Panels of different grids are linked in mm.
    voxel_size : float, (float, float, float) or list of triples
        mm along (z, y, x), for volumes centred on the same point.
    plane : str
        "axial", "coronal", "sagittal" or "all"; of sinograms also "plane", "view" or "bin".
    labels : list of str
        One for each frame.
    zoom : float
        Magnification to begin with, about the middle; at least 1.
    bits : int
        8, or 16 for narrow windows: the volume is sent in steps of its range / 252, or / 65,532.
    shared_window : bool
        Whether a change of one panel's window is one of all; can be switched in the browser.
    reference : str or int
        Title or number of the panel that differences and contrast recovery are taken to.
    difference : bool
        Whether to begin with the differences to ``reference``; can be switched in the browser.
    overlay : volume, dict of bool masks (z, y, x), or list
        Over all panels, or a list of one (or None) for each: a volume, such as PET on MR, or named regions, such as
        ``truth.regions``, of which smaller ones cover larger ones. A volume may bring its grid as in ``vol``.
    overlay_cmaps, overlay_vmins, overlay_vmaxs : as those of the panels
        Of an overlaid volume [default: "hot"]; at ``overlay_vmins`` and below it is transparent.
    opacity : float
        Of the overlays, 0 to 1; can be changed in the browser.
    sinogram : bool
        The axes are (plane, view, bin), and are called so.
    live : str
        Title of one more panel, which grows while a reconstruction runs with ``callback=`` this viewer. Needs ``grid``
        or a volume before it.

    Returns
    -------
    VolumeViewer
        Shown when it is the value of a cell (or by ``IPython.display.display``).

    Raises
    ------
    TypeError
        Complex, text or object arrays; a colour map that is none.
    ValueError
        Another rank, an empty array, panels of different shapes without a grid each, lists of a wrong length,
        vmin >= vmax, a file that is no NIfTI image.
    FileNotFoundError
        A path with no file.

    Notes
    -----
    The positional arguments are those of ``brainweb.volshow``. ``sharex``, ``sharey``, ``figsize``, ``frameon``,
    ``tight_layout`` and ``fontproperties`` are matplotlib's layout there; they are accepted and have no effect here.
    """
    allowed = (*SINOGRAM_PLANES, *PLANE_NAMES) if sinogram else PLANE_NAMES
    if plane not in allowed:
        raise ValueError(f"plane: expected one of {', '.join(map(repr, allowed))}, got {plane!r}")
    for name, number in (("ncols", ncols), ("nrows", nrows)):
        if number is not None and not (isinstance(number, int) and number >= 1):
            raise ValueError(f"{name}: expected a whole number >= 1, got {number!r}")
    if isinstance(zoom, bool) or not isinstance(zoom, numbers.Real) or not 1 <= zoom <= 32:
        raise ValueError(f"zoom: expected a number from 1 to 32, got {zoom!r}")
    panels, in_mm = make_panels(
        vol,
        dict(
            cmaps=cmaps, colorbars=colorbars, xlabels=xlabels, ylabels=ylabels, titles=titles, vmins=vmins,
            vmaxs=vmaxs, units=units, grid=grid, voxel_size=voxel_size, labels=labels, bits=bits, overlay=overlay,
            overlay_cmaps=overlay_cmaps, overlay_vmins=overlay_vmins, overlay_vmaxs=overlay_vmaxs, live=live,
            shared_window=shared_window,
        ),
    )  # fmt: skip
    if plane != "axial" and all(p.volume.shape[1] == 1 for p in panels):
        raise ValueError(f"plane: expected 'axial' for pictures of one slice, got {plane!r}")
    if ncols is None and nrows is not None:
        ncols = -(-len(panels) // nrows)
    return VolumeViewer(
        panels, in_mm=in_mm, ncols=ncols, plane=plane, labels=labels, zoom=zoom, reference=reference, opacity=opacity,
        difference=difference, shared_window=shared_window, sinogram=sinogram,
    )  # fmt: skip
