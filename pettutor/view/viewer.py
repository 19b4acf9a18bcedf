"""``volshow`` and the widget that it makes."""

import base64
import math
import numbers

import anywidget
import traitlets

from pettutor.view import figure, html, lifetime
from pettutor.view.colour_maps import lookup_table
from pettutor.view.frontend import style_sheet, widget_module
from pettutor.view.panels import make_panels

PLANES = (*figure.PLANES, "all")


class VolumeViewer(anywidget.AnyWidget):
    """Linked panels of volumes that are sliced in the browser; made by :func:`volshow`.

    Attributes
    ----------
    plane : str
        "axial", "coronal", "sagittal" or "all". Setting it, as the other two, moves what is shown; what is done with
        the mouse stays in the browser and is not sent back.
    position : tuple of float
        The crosshair, (z, y, x), in mm (in voxels where no grid or voxel size was given; the centre is 0).
    frame : int
    panels : tuple of Panel
    """

    _esm = widget_module()
    _css = style_sheet()
    _settings = traitlets.Dict().tag(sync=True)
    _volumes = traitlets.List(traitlets.Bytes()).tag(sync=True)
    plane = traitlets.Enum(PLANES, default_value="axial").tag(sync=True)
    position = traitlets.Tuple(traitlets.Float(), traitlets.Float(), traitlets.Float()).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)

    def __init__(self, panels, *, in_mm=False, ncols=None, plane="axial", labels=None, zoom=1.0):
        self.panels = tuple(panels)
        self.in_mm = in_mm
        self.labels = None if labels is None else tuple(map(str, labels))
        self.ncols = ncols or _columns(len(self.panels))
        self.zoom = float(zoom)
        first = self.panels[0].grid
        middle = tuple(o + (n // 2) * d for o, n, d in zip(first.origin, first.shape, first.voxel_size, strict=True))
        self.frames = max(p.volume.shape[0] for p in self.panels)
        start = {"plane": plane, "position": middle, "frame": 0}
        super().__init__(
            _settings=self._describe_all(start), _volumes=[p.volume.compressed for p in self.panels], **start
        )
        lifetime.register(self)

    @traitlets.validate("frame")
    def _check_frame(self, proposal):
        if not 0 <= proposal["value"] < self.frames:
            raise ValueError(f"frame: expected 0 to {self.frames - 1}, got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("position")
    def _check_position(self, proposal):
        if not all(map(math.isfinite, proposal["value"])):
            raise ValueError(f"position: expected three finite numbers (z, y, x), got {proposal['value']}")
        return proposal["value"]

    def payload(self):
        """What the front end is given: settings that can be JSON, and the compressed bytes of each volume."""
        self._check_open()
        now = {"plane": self.plane, "position": list(self.position), "frame": self.frame}
        return {**self._settings, **now}, list(self._volumes)

    def describe(self):
        """One line of text: what is shown."""
        shown = ", ".join(f"{p.title or f'panel {i + 1}'} {_shape(p)}" for i, p in enumerate(self.panels))
        return f"VolumeViewer of {len(self.panels)} panel{'s' if len(self.panels) > 1 else ''}: {shown}"

    def to_figure(self, plane=None, position=None, frame=None):
        """Return a matplotlib figure of one position; by default the viewer's ``plane``, ``position`` and ``frame``.

        It is not known to pyplot: nothing stays open, and it is shown by being the value of a cell.
        """
        self._check_open()
        plane = self.plane if plane is None else plane
        if plane not in PLANES:
            raise ValueError(f"plane: expected one of {', '.join(map(repr, PLANES))}, got {plane!r}")
        frame = self.frame if frame is None else frame
        if not 0 <= frame < self.frames:
            raise ValueError(f"frame: expected 0 to {self.frames - 1}, got {frame}")
        label = self.labels[frame] if self.labels else f"frame {frame}" if self.frames > 1 else None
        return figure.make_figure(
            self.panels,
            ncols=self.ncols,
            plane=plane,
            position=self.position if position is None else position,
            frame=frame,
            frame_label=label,
            zoom=self.zoom,
        )

    def to_png(self, dpi=80):
        """:meth:`to_figure` as the bytes of a PNG."""
        return figure.png_bytes(self.to_figure(), dpi)

    def save_png(self, path, dpi=150):
        """Write :meth:`to_figure` to a PNG file."""
        html.write_whole(path, self.to_png(dpi))

    def save_html(self, path, title="pettutor"):
        """Write a page that slices without a kernel and without a network."""
        html.save_page(path, self, title)

    def close(self):
        """Let go of the volumes, here and in the browser; what showed them disappears."""
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()
        with self.hold_trait_notifications():
            self.set_trait("_volumes", [])
        self.panels = ()

    def __repr__(self):
        return self.describe() if self.panels else "VolumeViewer (closed)"

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None or not self.panels:
            return bundle
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # for readers that run no widgets: code hosts, exported notebooks
        data["image/png"] = base64.b64encode(self.to_png()).decode("ascii")
        return data, metadata

    def _describe_all(self, start):
        names = [p.cmap.name for p in self.panels]
        tables = {name: lookup_table(p.cmap) for name, p in zip(names, self.panels, strict=True)}
        order = list(tables)
        return {
            **start,
            "panels": [
                {
                    "volume": p.volume.describe(),
                    "grid": {"voxelSize": list(p.grid.voxel_size), "origin": list(p.grid.origin)},
                    "title": p.title,
                    "window": list(p.window),
                    "lut": order.index(p.cmap.name),
                    "colorbar": p.colorbar,
                    "unit": p.unit,
                    "xlabel": p.xlabel,
                    "ylabel": p.ylabel,
                }
                for p in self.panels
            ],
            "luts": [base64.b64encode(tables[name].tobytes()).decode("ascii") for name in order],
            "lengths": "mm" if self.in_mm else "voxel",
            "labels": list(self.labels) if self.labels else None,
            "ncols": self.ncols,
            "zoom": self.zoom,
        }

    def _check_open(self):
        if not self.panels:
            raise RuntimeError("this viewer is closed (its cell was run again); show the volumes with volshow anew")


def volshow(
    vol,
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
):
    """Slice through volumes side by side, in the browser.

    Parameters
    ----------
    vol : array, list of arrays or dict of arrays
        Each (y, x), (z, y, x) or (frame, z, y, x), of any real dtype; the keys of a dict are the titles. A bare 4-D
        array is frames; if ``titles``, ``cmaps``, ... lists one thing for each entry of its first axis, these are
        panels instead.
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
        Where the volumes lie. Panels of different grids are linked in mm.
    voxel_size : float, (float, float, float) or list of triples
        mm along (z, y, x), for volumes centred on the same point.
    plane : str
        "axial", "coronal", "sagittal" or "all".
    labels : list of str
        One for each frame.
    zoom : float
        Magnification to begin with, about the middle; at least 1.
    bits : int
        8, or 16 for narrow windows: the volume is sent in steps of its range / 252, or / 65,532.

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
        vmin >= vmax.

    Notes
    -----
    The positional arguments are those of ``brainweb.volshow``. ``sharex``, ``sharey``, ``figsize``, ``frameon``,
    ``tight_layout`` and ``fontproperties`` are matplotlib's layout there; they are accepted and have no effect here.
    """
    if plane not in PLANES:
        raise ValueError(f"plane: expected one of {', '.join(map(repr, PLANES))}, got {plane!r}")
    for name, number in (("ncols", ncols), ("nrows", nrows)):
        if number is not None and not (isinstance(number, int) and number >= 1):
            raise ValueError(f"{name}: expected a whole number >= 1, got {number!r}")
    if isinstance(zoom, bool) or not isinstance(zoom, numbers.Real) or not 1 <= zoom <= 32:
        raise ValueError(f"zoom: expected a number from 1 to 32, got {zoom!r}")
    panels, in_mm = make_panels(
        vol,
        cmaps=cmaps,
        colorbars=colorbars,
        xlabels=xlabels,
        ylabels=ylabels,
        titles=titles,
        vmins=vmins,
        vmaxs=vmaxs,
        units=units,
        grid=grid,
        voxel_size=voxel_size,
        labels=labels,
        bits=bits,
    )
    if plane != "axial" and all(p.volume.shape[1] == 1 for p in panels):
        raise ValueError(f"plane: expected 'axial' for pictures of one slice, got {plane!r}")
    if ncols is None and nrows is not None:
        ncols = -(-len(panels) // nrows)
    return VolumeViewer(panels, in_mm=in_mm, ncols=ncols, plane=plane, labels=labels, zoom=zoom)


def _columns(count):
    """Up to four panels beside each other, the rows as even as can be."""
    rows = -(-count // 4)
    return -(-count // rows)


def _shape(panel):
    shape = panel.volume.shape
    return " × ".join(map(str, shape if shape[0] > 1 else shape[1:] if shape[1] > 1 else shape[2:]))
