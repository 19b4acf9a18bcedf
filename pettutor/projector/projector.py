"""The projector's face: which model, which device, and the operator contract."""

import copy

import numpy as np

from pettutor.arrays import announce_once, find_cupy, is_cupy, resolve_device
from pettutor.geometry import ImageGrid, Scanner, TimeOfFlight
from pettutor.operators import LinearOperator, check_subset
from pettutor.projector.device import announce_device
from pettutor.projector.footprints import MODELS, axial_segments, footprint, transaxial_lines


class Projector(LinearOperator):
    """X-ray transform of an image on the scanner's lines of response, in mm times image units.

    Parameters
    ----------
    scanner : Scanner
    grid : ImageGrid
        Any shape, voxel size and centre; what lies outside the grid is zero.
    model : str
        What a line of response weighs in a voxel (lengths in mm):

        - ``"joseph"``: on each voxel plane across the axis that the line is most parallel to, bilinear interpolation
          times the line's length per plane (P. M. Joseph, IEEE Trans. Med. Imaging 1(3):192, 1982). Outside the grid
          interpolation falls linearly to zero over one voxel; planes beyond the outermost voxel centres do not count.
        - ``"siddon"``: the exact length of the line inside the voxel (R. L. Siddon, Med. Phys. 12(2):252, 1985).
        - ``"multi_ray"``: the mean of several Siddon rays, evenly spread over the two crystals' faces.
        - ``"distance_driven"``: on each voxel plane across x or y, the share of the tube between the two crystals'
          faces that lies in the voxel, times the line's length per plane (B. De Man and S. Basu, Phys. Med. Biol.
          49(11):2463, 2004).
    device : str
        ``"cpu"`` (numba, threads), ``"cuda"`` (CuPy) or ``"auto"``: CUDA where CuPy finds a GPU. Said once.
    rays : (int, int)
        For ``"multi_ray"``: number of rays of a line of response, transaxially and axially.
    tof : TimeOfFlight, optional
        Time-of-flight bins: the sinogram gets them as its last axis, (plane, view, bin, tof).

    ``X(image)``: float32 (z, y, x) to sinogram (plane, view, bin[, tof]); ``X.T(sinogram)`` back. Bins that join an
    empty crystal position are 0. The sinogram is a transposed view of memory laid out (view, bin[, tof], plane);
    elementwise arithmetic keeps that layout, and both layouts are accepted. Quick are grids on which neighbouring
    planes of a segment are a whole number of voxels apart; others work, more slowly, and the slowest say so once.

    Raises
    ------
    TypeError
        A scanner, grid or tof that is none.
    ValueError
        An unknown model or device, rays that are no two whole numbers, or a grid that no line of response meets.
    RuntimeError
        ``device="cuda"`` without a GPU.

    Examples
    --------
    >>> scanner = Scanner.preset("mini")
    >>> X = Projector(scanner, scanner.image_grid(), device="cpu")
    >>> X.out_shape
    (175, 144, 144)
    """

    def __init__(self, scanner, grid, model="joseph", device="auto", *, rays=(2, 2), tof=None):
        if not isinstance(scanner, Scanner):
            raise TypeError(f"scanner: expected a pettutor.Scanner, got {scanner!r:.80}")
        if not isinstance(grid, ImageGrid):
            raise TypeError(f"grid: expected a pettutor.ImageGrid, got {grid!r:.80}")
        if not isinstance(model, str) or model not in MODELS:
            raise ValueError(f"model: expected one of {', '.join(map(repr, MODELS))}, got {model!r}")
        if not (tof is None or isinstance(tof, TimeOfFlight)):
            raise TypeError(f"tof: expected a pettutor.TimeOfFlight or None, got {tof!r:.80}")
        rays = check_rays(rays, model)
        lines = transaxial_lines(scanner, grid, model, rays)
        if not (lines["last"] > lines["first"]).any() or not _meets_axially(scanner, grid):
            raise ValueError(
                f"grid: expected a grid that lines of response of {scanner.name!r} meet (a cylinder of radius "
                f"{scanner.field_of_view_radius:.0f} mm and length {scanner.axial_length:.0f} mm round the origin), "
                f"got one of {tuple(round(s, 1) for s in grid.size)} mm centred at {grid.centre} mm"
            )
        super().__init__(grid.shape, scanner.sinogram_shape + ((tof.bins,) if tof else ()))
        self.scanner, self.grid, self.model, self.rays, self.tof = scanner, grid, model, rays, tof
        self.device = resolve_device(device)
        self.view_selection = slice(0, scanner.views, 1)
        segments, phases = axial_segments(scanner, grid)
        self._lines, self._segments = lines, segments
        self._footprint = footprint(scanner, grid, model, rays, lines, segments, phases)
        announce_device(self.device)
        if len(segments) > 3 * len(scanner.segments):  # several times the time: see `axial_segments`
            spacing = scanner.segments[0].spacing
            announce_once(
                f"projecting slowly: planes lie {spacing:g} mm apart and the grid's voxels {grid.voxel_size[0]:g} mm; "
                f"along z {spacing:g} mm is quick, and so is a small multiple or fraction of it"
            )

    def subset(self, k, n):
        """The projector of the views k, k + n, k + 2n … of this one; geometry is shared, not computed again.

        Raises
        ------
        ValueError
            Unless 0 <= k < n <= number of views.
        """
        check_subset(k, n, self.out_shape[1])
        part = copy.copy(self)  # without what lies in device memory
        part._lines = self._lines[:, k::n]
        selected = range(*self.view_selection.indices(self.scanner.views))[k::n]
        part.view_selection = slice(selected.start, selected.stop, selected.step)
        part.out_shape = (self.out_shape[0], len(selected), *self.out_shape[2:])
        return part

    @property
    def without_tof(self):
        """The same projector without time of flight; geometry is shared."""
        plain = copy.copy(self)  # without what lies in device memory
        plain.tof, plain.out_shape = None, self.out_shape[:3]
        return plain

    def to_matrix(self, memory_limit=None):
        """The same operator as a stored sparse matrix: see `pettutor.projector.matrix.StoredMatrix`.

        ``memory_limit`` (bytes): refuse, with the number, to build what needs more; by default the memory that is free.
        """
        from pettutor.projector.matrix import build

        return build(self, memory_limit)

    def _forward(self, x):
        return self._run("forward", x)

    def _adjoint(self, y):
        return self._run("adjoint", y)

    def _run(self, direction, array):
        if self.device == "cpu":
            if is_cupy(array):
                raise TypeError("expected a NumPy array (this projector has device='cpu'), got a CuPy array")
            from pettutor.projector import cpu

            return getattr(cpu, direction)(array, self._geometry())
        cupy = find_cupy()
        on_device = array if is_cupy(array) else cupy.asarray(array)
        result = getattr(self._cuda_kernels(), direction)(on_device)
        if is_cupy(array):
            return result
        # images are contiguous, sinograms are with their planes last: fetched so, they keep their layout
        return result.get() if direction == "adjoint" else np.moveaxis(cupy.moveaxis(result, 0, -1).get(), -1, 0)

    def _geometry(self):
        return self.grid, self._lines, self._segments, self._footprint, self.tof

    def _cuda_kernels(self):
        if "_cuda" not in self.__dict__:
            from pettutor.projector.cuda import CudaKernels

            self.__dict__["_cuda"] = CudaKernels(*self._geometry())
        return self._cuda

    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("_cuda", None)  # device memory does not travel
        return state

    def __repr__(self):
        part = (
            "" if self.view_selection.step == 1 else f", views {self.view_selection.start}::{self.view_selection.step}"
        )
        model = f"{self.model}, time of flight" if self.tof else self.model
        return (
            f"<Projector {model} of {self.scanner.name!r} on {self.device}{part}: "
            f"image {self.in_shape} -> sinogram {self.out_shape}>"
        )


def _meets_axially(scanner, grid):
    half = 0.5 * grid.size[0]
    reach = 0.5 * scanner.axial_length + np.abs(scanner.plane_positions[:, 1]).max()
    return abs(grid.centre[0]) - half < reach


def check_rays(rays, model):
    """(transaxial, axial) number of rays a line of response; (1, 1) for every model but ``"multi_ray"``."""
    if model != "multi_ray":
        return (1, 1)
    try:
        n, m = (int(r) for r in rays)
        whole = (n, m) == tuple(rays)
    except (TypeError, ValueError):
        whole = False
    if not whole or min(n, m) < 1:
        raise ValueError(f"rays: expected two whole numbers >= 1 (transaxial, axial), got {rays!r}")
    return (n, m)
