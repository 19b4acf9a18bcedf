"""Image and sinogram beside each other: a bin and its line of response, a voxel and its trace."""

from dataclasses import dataclass

import numpy as np
import traitlets

from pettutor.view import figure
from pettutor.view.panels import DEFAULTS, make_panels
from pettutor.view.settings import Bytes, describe_viewer
from pettutor.view.viewer import VolumeViewer


@dataclass
class _Sinogram:
    """The second half of the explorer, as much of a viewer as its description and its picture need."""

    panels: list
    in_mm: bool = False
    ncols: int = 1
    labels: object = None
    zoom: float = 1.0
    reference: object = None
    sinogram: bool = True
    difference: bool = False
    opacity: float = 0.5
    rois: tuple = ()
    line: object = None

    def describe(self):
        return "sinogram {} × {} × {} (plane, view, bin)".format(*self.panels[0].grid.shape)


class LineExplorer(VolumeViewer):
    """An image and its sinogram, linked by the scanner's lines of response; made by :func:`explore_lines`.

    Attributes
    ----------
    lor : tuple of int
        (plane, view, bin) whose line is drawn in the image. Setting it moves the line, a click in the browser sets it;
        keys and wheel stay in the browser.
    """

    lor = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int()).tag(sync=True)

    def __init__(self, panels, scanner, sinogram, lor, **more):
        self.scanner = scanner
        self._right = _Sinogram([sinogram])
        super().__init__(panels, in_mm=True, ncols=1, lor=lor, **more)

    @traitlets.validate("lor")
    def _check_lor(self, proposal):
        return check_lor(proposal["value"], self.scanner)

    def _describe(self, start):
        settings, volumes = super()._describe(start)
        begin = {"plane": "axial", "position": list(self._right.panels[0].grid.origin), "frame": 0}
        right, volumes = describe_viewer(self._right, begin, Bytes(volumes))
        # neither a circle nor a difference was asked for there
        right |= {"rois": [], "line": [], "opacity": 0.5, "difference": False, "sharedWindow": False}
        return {**settings, "explorer": {"sinogram": right, **_lines(self.scanner)}}, volumes

    def payload(self):
        settings, volumes = super().payload()
        explorer = dict(settings["explorer"])
        explorer["sinogram"] = {**explorer["sinogram"], "position": self._place(self.lor)}
        return {**settings, "explorer": explorer}, volumes

    def describe(self):
        return f"LineExplorer of {', '.join(p.name for p in self.panels)} and a {self._right.describe()}"

    def to_figure(self, plane=None, position=None, frame=None):
        """Return a matplotlib figure: the image with the chosen line, and the plane of the sinogram with its bin."""
        self._check_open()
        ends = [end[0, 0, 0] for end in self.scanner.lor_endpoints(*(slice(k, k + 1) for k in self.lor))]
        position = self.position if position is None else position
        made = figure.make_figure(
            self, plane=plane or self.plane, position=position, frame=0, beside=(self._right, self._place(self.lor))
        )
        for ax, name in zip(made.axes, figure.plane_names(plane or self.plane), strict=False):
            figure.draw_ray(ax, name, ends)
        row, column = self._place(self.lor)[1:]
        next(ax for ax in made.axes if ax.get_title().startswith("sinogram")).plot(column, row, "+", color=figure.MARK)
        return made

    def _place(self, lor):
        """Where a bin lies on the sinogram's own grid."""
        grid = self._right.panels[0].grid
        return [o + k * d for o, k, d in zip(grid.origin, lor, grid.voxel_size, strict=True)]


def explore_lines(image, sinogram, scanner, *, grid=None, lor=None, plane="axial", title="image", cmap="magma"):
    """Show which line of response belongs to a bin of the sinogram, and which bins see a voxel of the image.

    A click on the sinogram draws its line in the image, seen along the picture's axis; a click in the image marks the
    bins, one a view, whose lines pass nearest to that voxel, in the plane that the sinogram shows. The nearest direct
    plane is chosen; move the sinogram's slider to see what oblique planes see of it.

    Parameters
    ----------
    image : array (z, y, x)
    sinogram : array (plane, view, bin)
        Of the scanner's ``sinogram_shape``.
    scanner : Scanner
    grid : ImageGrid, optional
        [default: the scanner's usual one].
    lor : (int, int, int), optional
        (plane, view, bin) of the first line [default: in the middle of a direct plane].
    plane : str
        "axial", "coronal", "sagittal" or "all", of the image.
    title, cmap : str

    Returns
    -------
    LineExplorer

    Raises
    ------
    ValueError
        Shapes that do not fit the grid or the scanner, a line of response that is not there.
    """
    if tuple(np.shape(sinogram)) != tuple(scanner.sinogram_shape):
        raise ValueError(
            f"sinogram: expected shape {tuple(scanner.sinogram_shape)} of the scanner, got {tuple(np.shape(sinogram))}"
        )
    grid = scanner.image_grid() if grid is None else grid
    panels, _ = make_panels({title: image}, {**DEFAULTS, "grid": grid, "cmaps": cmap})
    (measured,), _ = make_panels({"sinogram": sinogram}, {**DEFAULTS, "cmaps": cmap})
    if lor is None:
        planes = scanner.plane_positions
        direct = np.flatnonzero(planes[:, 1] == 0)
        plane_number = int(direct[np.abs(planes[direct, 0]).argmin()])
        lor = plane_number, scanner.views // 3, scanner.bins // 2
    return LineExplorer(panels, scanner, measured, check_lor(lor, scanner), plane=plane)


def check_lor(lor, scanner):
    """(plane, view, bin) as a tuple of int, all within the scanner's sinogram."""
    shape = tuple(scanner.sinogram_shape)
    if len(lor) != 3 or not all(0 <= int(k) < n for k, n in zip(lor, shape, strict=True)):
        raise ValueError(f"lor: expected (plane, view, bin) within {shape}, got {tuple(lor)}")
    return tuple(int(k) for k in lor)


def _lines(scanner):
    """The scanner's lines in few numbers: in the next view each bin joins the next crystals round the ring."""
    first, count = scanner.bin_crystals[0], scanner.crystal_positions
    turned = (first + np.arange(scanner.views)[:, None, None]) % count
    if not np.array_equal(turned, scanner.bin_crystals):
        raise ValueError("scanner: expected one whose views are turned by a crystal each, got another order")
    return {
        "crystals": scanner.crystal_centres.tolist(),
        "live": scanner.live_crystals.tolist(),
        "firstView": first.tolist(),
        "planes": scanner.plane_positions.tolist(),
        "reach": scanner.ring_pitch / 2,
    }
