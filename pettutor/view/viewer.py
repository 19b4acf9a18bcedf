"""The widget that :func:`pettutor.view.volshow` makes."""

import math

import traitlets

from pettutor.view import figure
from pettutor.view.grids import PLANES, SINOGRAM_AXES
from pettutor.view.live import Growth, complete, grow, send_all
from pettutor.view.regions import MeasuredRoi, Roi, check_point, contrasts, profile
from pettutor.view.settings import describe_viewer
from pettutor.view.widget import BrowserWidget

PLANE_NAMES = (*PLANES, "all")
# a sinogram's planes are called after the axis that is stepped through
SINOGRAM_PLANES = dict(zip(SINOGRAM_AXES, PLANES, strict=True))


class VolumeViewer(BrowserWidget):
    """Linked panels of volumes that are sliced in the browser; made by :func:`pettutor.view.volshow`.

    Called as ``viewer(iteration, image)``, as the ``callback`` of a reconstruction, it puts the image into its panel
    ``live=`` as one more frame; iteration 1 begins anew.

    Attributes
    ----------
    plane : str
        "axial", "coronal", "sagittal" or "all" (of sinograms "plane", "view", "bin" as well). Setting it, as the next
        four, changes what is shown; what is done with the mouse stays in the browser and is not sent back.
    position : tuple of float
        The crosshair, (z, y, x), in mm (in voxels where no grid or voxel size was given; the centre is 0).
    frame : int
    opacity : float
        Of the overlays, 0 to 1.
    difference : bool
        Whether panels show what they have more than the reference.
    shared_window : bool
        Whether a change of one panel's window is one of all.
    panels : tuple of Panel
    """

    plane = traitlets.Unicode("axial").tag(sync=True)
    position = traitlets.Tuple(traitlets.Float(), traitlets.Float(), traitlets.Float()).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    opacity = traitlets.Float(0.5).tag(sync=True)
    difference = traitlets.Bool(False).tag(sync=True)
    shared_window = traitlets.Bool(False).tag(sync=True)
    # these two come back from the browser when a circle or a line is finished there
    _rois = traitlets.List(traitlets.Dict()).tag(sync=True)
    _line = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    _grown = traitlets.Int(0).tag(sync=True)  # frames of a live volume, once its cell has ended

    def __init__(
        self, panels, *, in_mm=False, ncols=None, plane="axial", labels=None, zoom=1.0, reference=None, opacity=0.5,
        difference=False, shared_window=False, sinogram=False, **traits,
    ):  # fmt: skip
        self.panels = tuple(panels)
        self.in_mm = in_mm
        self.sinogram = sinogram
        self.labels = None if labels is None else list(map(str, labels))
        self.ncols = ncols or _columns(len(self.panels))
        self.zoom = float(zoom)
        self.reference = _number_of(reference, self.panels)
        self._growing = False
        self._growth = Growth()
        first = self.panels[0].grid
        middle = tuple(o + (n // 2) * d for o, n, d in zip(first.origin, first.shape, first.voxel_size, strict=True))
        start = {"plane": SINOGRAM_PLANES.get(plane, plane), "position": middle, "frame": 0}
        settings, volumes = self._describe(start)
        if difference and self.reference is None:
            raise ValueError("difference: expected reference=, the title or number of a panel, got none")
        super().__init__(
            _settings=settings, _volumes=volumes, opacity=opacity, difference=difference, shared_window=shared_window,
            **start, **traits,
        )  # fmt: skip
        self.on_msg(self._answer)

    @property
    def frames(self):
        """Number of frames; a live viewer's grows."""
        return max(len(p.frames) for p in self.panels)

    @traitlets.validate("plane")
    def _check_plane(self, proposal):
        plane = SINOGRAM_PLANES.get(proposal["value"], proposal["value"]) if self.sinogram else proposal["value"]
        if plane not in PLANE_NAMES:
            raise ValueError(f"plane: expected one of {', '.join(map(repr, PLANE_NAMES))}, got {proposal['value']!r}")
        return plane

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

    @traitlets.validate("opacity")
    def _check_opacity(self, proposal):
        if not 0 <= proposal["value"] <= 1:
            raise ValueError(f"opacity: expected a number from 0 to 1, got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("difference")
    def _check_difference(self, proposal):
        if proposal["value"] and self.reference is None:
            raise ValueError("difference: expected a viewer with reference=, the title or number of a panel")
        return proposal["value"]

    def __call__(self, iteration, image):
        """Put an image into the panel ``live=``, as the callback of a reconstruction.

        Parameters
        ----------
        iteration : int
            1 begins the frames anew.
        image : array (z, y, x)
            Of the panel's shape, NumPy or CuPy. It is kept, not copied.
        """
        self._check_open()
        grow(self, iteration, image)

    @property
    def rois(self):
        """The circles drawn, in the browser or from here: a list of :class:`~pettutor.view.regions.MeasuredRoi`.

        Setting it to a list of :class:`~pettutor.view.regions.Roi` draws them; ``[]`` removes all.
        """
        return [MeasuredRoi(roi["plane"], roi["centre"], roi["radius"], self.panels) for roi in self._rois]

    @rois.setter
    def rois(self, rois):
        self._check_open()
        for roi in rois:
            if not isinstance(roi, Roi):
                raise TypeError(f"rois: expected a list of Roi, got {type(roi).__name__} {roi!r:.60}")
        self._rois = [roi.to_json() for roi in rois]

    @property
    def roi(self):
        """The last circle, or None."""
        return self.rois[-1] if self._rois else None

    @property
    def contrast(self):
        """Panel's name -> mean of the first circle over that of the second, less 1 (by frame, where there are several).

        Raises
        ------
        ValueError
            Fewer than two circles.
        """
        return contrasts(self.rois)

    @property
    def crc(self):
        """Panel's name -> contrast recovery: :attr:`contrast` over that of the panel ``reference=``.

        1 is perfect, 0 is no contrast (see ``pettutor.measures.crc``).

        Raises
        ------
        ValueError
            Fewer than two circles, or no reference.
        """
        if self.reference is None:
            raise ValueError("crc: expected a viewer with reference=, the title or number of the panel with the truth")
        found = self.contrast
        return {name: value / found[self.panels[self.reference].name] for name, value in found.items()}

    @property
    def line(self):
        """The line drawn, (start, end), each (z, y, x) in mm; None where there is none. Can be set."""
        return tuple(map(tuple, self._line)) if self._line else None

    @line.setter
    def line(self, ends):
        self._check_open()
        if ends is not None and len(ends) != 2:
            raise ValueError(f"line: expected (start, end), got {ends!r}")
        self._line = [list(check_point(end, "line")) for end in ends or ()]

    @property
    def profile(self):
        """Values along :attr:`line`, a :class:`~pettutor.view.regions.Profile`; None where there is no line."""
        return profile(self.panels, *self.line) if self._line else None

    def payload(self):
        """What the front end is given: settings that can be JSON, and the compressed bytes of each volume."""
        self._check_open()
        complete(self)
        now = {name: getattr(self, name) for name in ("plane", "frame", "opacity", "difference")}
        now |= {"position": list(self.position), "sharedWindow": self.shared_window}
        return {**self._settings, **now, "rois": list(self._rois), "line": list(self._line)}, list(self._volumes)

    def describe(self):
        """One line of text: what is shown."""
        shown = ", ".join(f"{p.name} {_shape(p)}" for p in self.panels)
        return f"VolumeViewer of {len(self.panels)} panel{'s' if len(self.panels) > 1 else ''}: {shown}"

    def to_figure(self, plane=None, position=None, frame=None):
        """Return a matplotlib figure of one position, with overlays, circles and the line.

        By default at the viewer's ``plane``, ``position`` and ``frame``. It is not known to pyplot: nothing stays open,
        and it is shown by being the value of a cell.
        """
        self._check_open()
        complete(self)  # the window is that of the newest frame
        plane = SINOGRAM_PLANES.get(plane, plane) if self.sinogram else plane
        plane = self.plane if plane is None else plane
        if plane not in PLANE_NAMES:
            raise ValueError(f"plane: expected one of {', '.join(map(repr, PLANE_NAMES))}, got {plane!r}")
        frame = self.frame if frame is None else frame
        if not 0 <= frame < self.frames:
            raise ValueError(f"frame: expected 0 to {self.frames - 1}, got {frame}")
        label = self.labels[frame] if self.labels else f"frame {frame}" if self.frames > 1 else None
        position = self.position if position is None else position
        return figure.make_figure(self, plane=plane, position=position, frame=frame, frame_label=label)

    def close(self):
        super().close()
        self.panels = ()

    def _describe(self, start):
        return describe_viewer(self, start)

    def _should_send_property(self, key, value):
        # the browser follows a live volume by itself, or stays where its user went
        return not (self._growing and key == "frame") and super()._should_send_property(key, value)

    def _answer(self, _, message, buffers):
        """Send frames that were made before the browser listened."""
        if message.get("kind") != "frames wanted" or self.closed:
            return
        send_all(self)


def _number_of(reference, panels):
    """The number of the panel that is meant by its title or number."""
    if reference is None:
        return None
    titles = [p.title for p in panels]
    if isinstance(reference, str) and reference in titles:
        return titles.index(reference)
    if isinstance(reference, int) and not isinstance(reference, bool) and 0 <= reference < len(panels):
        return reference
    raise ValueError(f"reference: expected a title of {titles} or a number below {len(panels)}, got {reference!r}")


def _columns(count):
    """Up to four panels beside each other, the rows as even as can be."""
    rows = -(-count // 4)
    return -(-count // rows)


def _shape(panel):
    shape = (len(panel.frames), *panel.grid.shape)
    return " × ".join(map(str, shape if shape[0] > 1 else shape[1:] if shape[1] > 1 else shape[2:]))
