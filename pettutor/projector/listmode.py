"""List mode: line integrals along arbitrary lines of response, one a detected event."""

import copy

import numpy as np

from pettutor.arrays import check_array, find_cupy, is_cupy, resolve_device, to_numpy
from pettutor.geometry import ImageGrid, Scanner, TimeOfFlight
from pettutor.geometry.checks import check_length
from pettutor.operators import LinearOperator, check_subset
from pettutor.projector.device import announce_device
from pettutor.projector.events import STEEP, STEEPEST, CrystalFaces, sorted_events, steep_grid

LISTMODE_MODELS = tuple(STEEPEST)


class ListmodeProjector(LinearOperator):
    """X-ray transform of an image along lines of response of their own, in mm times image units.

    Parameters
    ----------
    starts, ends : numpy.ndarray
        float (events, 3): the two end points of each event's line, mm, (z, y, x).
    grid : ImageGrid
        Any shape, voxel size and centre; what lies outside the grid is zero.
    model : str
        ``"siddon"``, ``"joseph"`` or ``"distance_driven"``, as `Projector` explains them.
    device : str
        ``"cpu"`` (numba, threads), ``"cuda"`` (CuPy) or ``"auto"``: CUDA where CuPy finds a GPU. Said once.
    faces : CrystalFaces, optional
        The crystals that the lines join; ``"distance_driven"`` needs them, no other model takes them.
    tof, tof_bins : TimeOfFlight and numpy.ndarray, optional
        Time of flight: the bins, and the one that each event was detected in, int (events,). An event is then seen with
        the weight of its own bin; the sum over all bins is the projection without time of flight.

    ``Z(image)``: float32 (z, y, x) to float32 (events,), in the order of ``starts``; ``Z.T(values)`` back. Lines that
    miss the grid give exactly 0. Events are sorted inside, so the order of ``starts`` does not matter for the speed.
    The result does not depend on the number of threads.

    Raises
    ------
    TypeError, ValueError
        Wrong types, shapes or dtypes; points that are not finite; lines without length; an unknown model or device;
        faces or time-of-flight bins that are missing, not needed, or do not fit.
    RuntimeError
        ``device="cuda"`` without a GPU.

    Examples
    --------
    >>> starts, ends = np.array([[0.0, -300.0, 0.0]]), np.array([[0.0, 300.0, 0.0]])
    >>> Z = ListmodeProjector(starts, ends, ImageGrid((3, 10, 10), (2.0, 2.0, 2.0)), model="siddon", device="cpu")
    >>> Z(np.ones(Z.in_shape, np.float32))
    array([20.], dtype=float32)
    """

    output_name = "values"

    def __init__(self, starts, ends, grid, model="joseph", device="auto", faces=None, tof=None, tof_bins=None):
        if not isinstance(grid, ImageGrid):
            raise TypeError(f"grid: expected a pettutor.ImageGrid, got {grid!r:.80}")
        if model not in LISTMODE_MODELS:
            raise ValueError(f"model: expected one of {', '.join(map(repr, LISTMODE_MODELS))}, got {model!r}")
        starts, ends = _check_points(starts, "starts"), _check_points(ends, "ends")
        if starts.shape != ends.shape:
            raise ValueError(f"ends: expected as many events as starts has ({len(starts)}), got {len(ends)}")
        same = np.flatnonzero((starts == ends).all(axis=1))
        if same.size:
            raise ValueError(
                f"ends: expected lines with a length, got {same.size} whose two ends are the same point, "
                f"first event {same[0]} at {tuple(starts[same[0]].tolist())} mm"
            )
        faces = _check_faces(faces, model, starts, ends)
        tof_bins = _check_times(tof, tof_bins, len(starts))
        super().__init__(grid.shape, (len(starts),))
        self.grid, self.model, self.tof = grid, model, tof
        self.device = resolve_device(device)
        self.event_selection = slice(0, len(starts), 1)
        self._events, self._footprint = sorted_events(starts, ends, grid, model, faces, tof, tof_bins)
        self._chosen = np.arange(len(starts))
        announce_device(self.device)

    def subset(self, k, n):
        """The projector of the events k, k + n, k + 2n … of this one; geometry is shared, not computed again.

        Raises
        ------
        ValueError
            Unless 0 <= k < n <= number of events.
        """
        check_subset(k, n, self.out_shape[0])
        part = copy.copy(self)  # without what lies in device memory
        selected = range(*self.event_selection.indices(len(self._events.lines)))[k::n]
        part.event_selection = slice(selected.start, selected.stop, selected.step)
        place = self._events.axial["start"][self._chosen]
        part._chosen = self._chosen[(place - selected.start) % selected.step == 0]
        part.out_shape = (len(selected),)
        return part

    def subset_of(self, array, k, n):
        """What of the events' values belongs to ``subset(k, n)``."""
        return array[k::n]

    def _forward(self, x):
        return self._run("forward", x)

    def _adjoint(self, y):
        return self._run("adjoint", y)

    def _run(self, direction, array):
        if self.device == "cpu":
            if is_cupy(array):
                raise TypeError("expected a NumPy array (this projector has device='cpu'), got a CuPy array")
            from pettutor.projector import event_kernels

            places = self.event_selection.start, self.event_selection.step
            geometry = self._events, self._chosen, places, self.grid, self._footprint, self.tof
            return getattr(event_kernels, direction)(array, *geometry)
        cupy = find_cupy()
        on_device = array if is_cupy(array) else cupy.asarray(array)
        result = getattr(self, f"_cuda_{direction}")(cupy, on_device)
        return result if is_cupy(array) else result.get()

    def _cuda_forward(self, cupy, image):
        values = cupy.empty(self.out_shape, np.float32)
        for axes, places, kernels in self._cuda_kernels(cupy):
            values[places] = kernels.forward(cupy.ascontiguousarray(image.transpose(axes)))
        return values

    def _cuda_adjoint(self, cupy, values):
        image = cupy.zeros(self.in_shape, np.float32)
        for axes, places, kernels in self._cuda_kernels(cupy):
            image += kernels.adjoint(values[places]).transpose(axes)  # exchanging two axes undoes itself
        return image

    def _cuda_kernels(self, cupy):
        """For flat and for steep lines, where there are any: (axes of the image, places of the values, kernels)."""
        if "_cuda" not in self.__dict__:
            from pettutor.projector.cuda import CudaEventKernels

            cut = np.searchsorted(self._chosen, self._events.bounds[STEEP])
            self._cuda = []
            for axes, grid, part in (
                ((0, 1, 2), self.grid, self._chosen[:cut]),
                ((1, 0, 2), steep_grid(self.grid), self._chosen[cut:]),
            ):
                if len(part):
                    lines, axial, times = (a[part] for a in self._events[:3])
                    places = (axial["start"] - self.event_selection.start) // self.event_selection.step
                    courses = (np.ascontiguousarray(axial[name]) for name in ("middle", "slope", "difference"))
                    times = times if self.tof else None
                    kernels = CudaEventKernels(grid, lines, *courses, self._footprint, self.tof, times)
                    self._cuda.append((axes, cupy.asarray(places), kernels))
        return self._cuda

    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("_cuda", None)  # device memory does not travel
        return state

    def __repr__(self):
        step = self.event_selection.step
        part = "" if step == 1 else f", events {self.event_selection.start}::{step}"
        return (
            f"<ListmodeProjector {self.model} on {self.device}{part}: image {self.in_shape} -> values {self.out_shape}>"
        )


def lines_of_bins(scanner, planes, views, bins):
    """Lines of response of a scanner's sinogram bins, one an event: ``starts``, ``ends`` and ``faces``.

    Parameters
    ----------
    scanner : Scanner
    planes, views, bins : numpy.ndarray
        int (events,): where each event lies in the sinogram (plane, view, bin).

    Returns
    -------
    starts, ends : numpy.ndarray
        float64 (events, 3), mm, (z, y, x).
    faces : CrystalFaces

    Raises
    ------
    TypeError, ValueError
        No scanner; indices that are not whole numbers, differ in length, or lie outside the sinogram; bins that join an
        empty crystal position.

    Examples
    --------
    >>> scanner = Scanner.preset("mini")
    >>> starts, ends, faces = lines_of_bins(scanner, np.array([3]), np.array([20]), np.array([70]))
    >>> starts.shape, faces.width == scanner.crystal_pitch
    ((1, 3), True)
    """
    if not isinstance(scanner, Scanner):
        raise TypeError(f"scanner: expected a pettutor.Scanner, got {scanner!r:.80}")
    index = []
    for name, given, size in zip(
        ("planes", "views", "bins"), (planes, views, bins), scanner.sinogram_shape, strict=True
    ):
        index.append(_check_whole(given, name, size, len(index[0]) if index else None))
    planes, views, bins = index
    dead = np.count_nonzero(~scanner.live_bins[views, bins])
    if dead:
        raise ValueError(f"bins: expected bins that join two crystals, got {dead} that join an empty position")
    crystals = scanner.bin_crystals[views, bins].T
    middle, difference = scanner.plane_positions[planes].T
    starts, ends = (
        np.column_stack([middle + sign * difference, scanner.crystal_centres[crystal]])
        for sign, crystal in zip((-0.5, 0.5), crystals, strict=True)
    )
    tangents = (scanner.crystal_tangents[crystal] for crystal in crystals)
    return starts, ends, CrystalFaces(*tangents, scanner.crystal_pitch, scanner.ring_pitch)


def _check_points(points, name):
    check_array(points, name, dtype=(np.float64, np.float32))
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"{name}: expected points (z, y, x), shape (events, 3), got shape {points.shape}")
    return to_numpy(points).astype(np.float64, copy=False)


def _check_whole(values, name, size, events=None):
    """int64 (events,) with 0 <= values < size."""
    check_array(values, name, ndim=1, dtype=None)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected whole numbers, got dtype {values.dtype}")
    values = to_numpy(values).astype(np.int64)
    if events is not None and len(values) != events:
        raise ValueError(f"{name}: expected one for each of {events} events, got {len(values)}")
    if values.size and not (values.min() >= 0 and values.max() < size):
        raise ValueError(f"{name}: expected 0 to {size - 1}, got {values.min()} to {values.max()}")
    return values


def _check_times(tof, tof_bins, events):
    if tof is None and tof_bins is None:
        return None
    if tof is None or tof_bins is None:
        given, missing = ("tof_bins", "tof") if tof is None else ("tof", "tof_bins")
        raise ValueError(f"{missing}: expected together with {given}, got None")
    if not isinstance(tof, TimeOfFlight):
        raise TypeError(f"tof: expected a pettutor.TimeOfFlight or None, got {tof!r:.80}")
    return _check_whole(tof_bins, "tof_bins", tof.bins, events).astype(np.int32)


def _check_faces(faces, model, starts, ends):
    if model != "distance_driven":
        if faces is not None:
            raise ValueError(
                f"faces: expected None (only 'distance_driven' takes crystal faces), got {model!r} with them"
            )
        return None
    if not isinstance(faces, CrystalFaces):
        raise TypeError(f"faces: expected pettutor.CrystalFaces ('distance_driven' needs them), got {faces!r:.80}")
    for name in ("start_tangents", "end_tangents"):
        tangents = check_array(getattr(faces, name), f"faces.{name}", dtype=(np.float64, np.float32))
        if tangents.shape != (len(starts), 2):
            raise ValueError(f"faces.{name}: expected shape {(len(starts), 2)} (y, x), got {tangents.shape}")
        length = np.hypot(*to_numpy(tangents).T)
        if not np.allclose(length, 1, atol=1e-4):
            raise ValueError(
                f"faces.{name}: expected unit vectors, got lengths from {length.min():.6g} to {length.max():.6g}"
            )
    width, height = (check_length(getattr(faces, name), f"faces.{name}") for name in ("width", "height"))
    # where both ends of the line are closer than the faces are wide, the two sides of the tube have no common direction
    short = np.count_nonzero(np.abs(ends - starts)[:, 1:].max(axis=1) <= width)
    if short:
        raise ValueError(
            f"faces: expected lines longer than a face's width ({width:g} mm) along x or y, got {short} shorter"
        )
    return CrystalFaces(to_numpy(faces.start_tangents), to_numpy(faces.end_tangents), width, height)
