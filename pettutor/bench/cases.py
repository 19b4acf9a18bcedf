"""The measurements themselves: each takes a case (a dict of `Plan.cases`) and gives back its records."""

import sys
import time

import numpy as np

from pettutor.arrays import find_cupy
from pettutor.bench.measuring import memory_of, seconds_of, summary, synchroniser
from pettutor.bench.outside import outside_kernels
from pettutor.geometry import Scanner


class SkippedError(Exception):
    """A case that cannot be measured here, with the reason."""


def measure(case):
    """Records (dicts) of one case.

    Raises
    ------
    SkippedError
        Where it cannot be measured, with the reason.
    """
    return {
        "projection": projection,
        "scaling": projection,
        "mlem": mlem,
        "listmode": listmode,
        "matrix": matrix,
        "methods": methods,
        "networks": networks,
    }[case["part"]](case)


def problem(case):
    """The scanner and grid of a case: its size's usual ones, but for what it changes."""
    scanner = Scanner.preset(case["size"], **case.get("scanner", {}))
    grid = scanner.image_grid(case.get("image_shape"))
    axial, transaxial = case.get("zoom", (1.0, 1.0))
    zoom = (axial, transaxial, transaxial)
    if zoom != (1.0, 1.0, 1.0):
        shape = tuple(max(1, round(n * z)) for n, z in zip(grid.shape, zoom, strict=True))
        size = tuple(d / z for d, z in zip(grid.voxel_size, zoom, strict=True))
        grid = scanner.image_grid(shape, size)
    return scanner, grid


def projector(case, scanner, grid):
    """The projector of a case."""
    from pettutor.projector import Projector

    X = Projector(scanner, grid, model=case["model"], device=case["device"])
    return X.subset(0, case["view_step"]) if "view_step" in case else X


def new_image(shape, device):
    """A random float32 image on the device."""
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    return find_cupy().asarray(image) if device == "cuda" else image


def first_call(function):
    """Seconds of the first call of all, on a problem so small that compiling or loading the kernels is what they are.

    ``compiled``: whether numba found a kernel missing in its cache on disk; None where no kernel of numba ran.
    """
    begin = time.perf_counter()
    function()
    seconds = time.perf_counter() - begin
    modules = [module for name, module in sys.modules.items() if name.startswith("pettutor.projector")]
    kernels = {id(k): k for module in modules for k in vars(module).values() if hasattr(k, "stats")}
    hits, misses = (
        sum(sum(getattr(kernel.stats, name).values()) for kernel in kernels.values())
        for name in ("cache_hits", "cache_misses")
    )
    return {"first_call_seconds": round(seconds, 3), "compiled": misses > 0 if hits + misses else None}


def record_of(case, what, times, **more):
    """A record: the case, what was measured, its seconds, and more."""
    return {**case, "what": what, "seconds": summary(times), **more}


def _rate(count, times, name):
    return {name: count, f"{name}_per_second": round(count / summary(times)["median"])}


def shapes(operator):
    """Sizes for a record."""
    return {"image_shape": list(operator.in_shape), "sinogram_shape": list(operator.out_shape)}


def beyond(peak, *arrays):
    """Bytes of a peak without those of the arrays that the caller holds anyway."""
    return max(0, peak - sum(array.nbytes for array in arrays))


def projection(case):
    """Forward and back projection: seconds, lines a second, memory, and the share outside the kernels."""
    device, repeats = case["device"], case["repeats"]
    wait = synchroniser(device)
    small = {**case, "size": "slab", "scanner": {}, "zoom": (1.0, 1.0)}

    def both_ways():
        X = projector(small, *problem(small))
        X.T(X(new_image(X.in_shape, device)))
        wait()

    first = first_call(both_ways)
    memory = memory_of(device)
    outside = outside_kernels(device)
    begin = time.perf_counter()
    X = projector(case, *problem(case))
    geometry = round(time.perf_counter() - begin, 4)
    image = new_image(X.in_shape, device)
    # the first call at this size warms up and is the one whose memory counts
    sinogram, peak_forward = memory.peak_of(lambda: _finished(X(image), wait))
    outside.begin(image, image)
    times = seconds_of(lambda: X(image), repeats, wait, outside.note)
    lors, moved = int(np.prod(X.out_shape)), image.nbytes + sinogram.nbytes
    live = int(X.scanner.live_bins[X.view_selection].sum()) * X.out_shape[0]
    common = {**first, **shapes(X), "live_lors": live, "geometry_seconds": geometry, "memory_method": memory.method}

    def record(what, times, peak):
        # what a projection has to move at the very least: the image once and the sinogram once
        rate = {**_rate(lors, times, "lors"), "least_bytes_per_second": round(moved / summary(times)["median"])}
        extra = {} if peak is None else {"memory_bytes": beyond(peak, image, sinogram)}
        return record_of(case, what, times, **common, **rate, **extra, **outside.found())

    records = [record("forward", times, peak_forward)]
    back, peak_back = memory.peak_of(lambda: _finished(X.T(sinogram), wait))
    del back
    outside.begin(sinogram, image)
    records.append(
        record("back", seconds_of(lambda: X.T(sinogram), repeats, wait, outside.note), peak_back - image.nbytes)
    )  # ours
    if case["part"] == "projection":
        xp = find_cupy() if device == "cuda" else np
        by_plane = xp.ascontiguousarray(sinogram)  # memory (plane, view, bin): has to be laid out anew inside
        outside.begin(by_plane, image)
        times = seconds_of(lambda: X.T(by_plane), repeats, wait, outside.note)
        records.append(record("back, sinogram stored plane by plane", times, None))
        del by_plane
        if device == "cuda":
            records += _from_the_host(case, X, image, sinogram, common)
    return records


def _finished(result, wait):
    wait()
    return result


def _from_the_host(case, X, image, sinogram, common):
    """The same with NumPy arrays, which travel to the GPU and back."""
    image, sinogram = image.get(), sinogram.get(order="A")
    lors = int(np.prod(X.out_shape))
    records = []
    for what, function in (("forward", lambda: X(image)), ("back", lambda: X.T(sinogram))):
        function()
        times = seconds_of(function, case["repeats"])
        records.append(record_of(case, f"{what}, NumPy arrays", times, **common, **_rate(lors, times, "lors")))
    return records


def mlem(case):
    """An MLEM iteration with normalisation and a constant background, with a resolution model or without."""
    from pettutor.acquisition import AcquisitionModel
    from pettutor.reconstruction import mlem as run_mlem

    device, repeats = case["device"], case["repeats"]
    wait = synchroniser(device)

    def times_of(case, count):
        X = projector(case, *problem(case))
        image = new_image(X.in_shape, device)
        y = X(image)
        y += 1
        normalisation = y * 0
        normalisation += 1
        A = AcquisitionModel(X, normalisation=normalisation, psf_fwhm=case["psf_fwhm"], background=1.0)
        ends = []

        def finished(iteration, image):
            wait()
            ends.append(time.perf_counter())

        # the first iteration, and the sensitivity image before it, warm up
        run_mlem(y, A, iterations=count + 1, callback=finished)
        return X, image, y, list(np.diff(ends))

    first = first_call(lambda: times_of({**case, "size": "slab"}, 1))
    memory = memory_of(device)
    (X, image, y, times), peak = memory.peak_of(lambda: times_of(case, repeats))
    extra = {"memory_bytes": beyond(peak, image, y), "memory_method": memory.method}
    return [record_of(case, "MLEM iteration", times, **first, **shapes(X), **extra)]


def methods(case):
    """A reconstruction method; see `pettutor.bench.methods`."""
    from pettutor.bench import methods as room

    return room.methods(case)


def networks(case):
    """A network; see `pettutor.bench.networks`."""
    from pettutor.bench import networks as room

    return room.networks(case)


def random_events(scanner, count, seed=0):
    """Sinogram places (planes, views, bins), int (count,) each, drawn evenly from a scanner's live lines of response.

    In random order, as a real list is one, sorted in time.
    """
    rng = np.random.default_rng(seed)
    views, bins = np.nonzero(scanner.live_bins)
    chosen = rng.integers(len(views), size=count)
    return rng.integers(scanner.sinogram_shape[0], size=count), views[chosen], bins[chosen]


def listmode(case):
    """Forward and back along single lines: seconds and events a second."""
    try:
        from pettutor.projector.listmode import ListmodeProjector, lines_of_bins
    except ImportError as error:
        raise SkippedError(f"the list-mode projector cannot be imported ({error})") from None
    device, repeats = case["device"], case["repeats"]
    wait = synchroniser(device)

    def build(case, count):
        scanner, grid = problem(case)
        *points, faces = lines_of_bins(scanner, *random_events(scanner, count))
        faces = faces if case["model"] == "distance_driven" else None
        begin = time.perf_counter()
        Z = ListmodeProjector(*points, grid, model=case["model"], device=device, faces=faces)
        return Z, time.perf_counter() - begin

    def both_ways():
        Z, _ = build({**case, "size": "slab"}, 100)
        Z.T(Z(new_image(Z.in_shape, device)))
        wait()

    first = first_call(both_ways)
    memory = memory_of(device)
    Z, seconds = build(case, case["events"])
    more = {
        **first,
        "image_shape": list(Z.in_shape),
        "memory_method": memory.method,
        "geometry_seconds": round(seconds, 4),
    }
    image = new_image(Z.in_shape, device)
    records, values = [], None
    for what in ("list mode forward", "list mode back"):
        call = (lambda: Z(image)) if values is None else (lambda values=values: Z.T(values))
        result, peak = memory.peak_of(lambda call=call: _finished(call(), wait))
        values = result if values is None else values
        del result
        times = seconds_of(call, repeats, wait)
        rate = {**_rate(case["events"], times, "events"), "memory_bytes": beyond(peak, image, values)}
        records.append(record_of(case, what, times, **more, **rate))
    return records


def matrix(case):
    """The stored system matrix: building it, forward, back, and what it takes."""
    X = projector(case, *problem(case))
    if not hasattr(X, "to_matrix"):
        raise SkippedError("the projector has no stored matrix")
    image = new_image(X.in_shape, case["device"])

    def everything():
        M = X.to_matrix()
        return M.T(M(image))

    try:
        first = first_call(everything)
    except (ImportError, NotImplementedError, MemoryError) as error:
        raise SkippedError(f"the stored matrix cannot be built ({error})") from None
    memory = memory_of(case["device"])
    M, peak = memory.peak_of(X.to_matrix)
    building = seconds_of(X.to_matrix, case["repeats"])
    sinogram = M(image)
    more = {**first, **shapes(X), "stored_bytes": M.nbytes}
    lors = int(np.prod(X.out_shape))
    records = [record_of(case, "matrix build", building, **more, memory_bytes=peak, memory_method=memory.method)]
    for what, call in (("matrix forward", lambda: M(image)), ("matrix back", lambda: M.T(sinogram))):
        call()
        times = seconds_of(call, case["repeats"])
        records.append(record_of(case, what, times, **more, **_rate(lors, times, "lors")))
    return records
