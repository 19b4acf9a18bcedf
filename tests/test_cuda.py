"""The CUDA source: built for the host and compared with the CPU path, compiled by nvcc, and run where a GPU is."""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from registry import OPERATORS, off_centre_grid, small_scanner

from pettutor import ImageGrid, Projector, TimeOfFlight
from pettutor.operators import adjoint_mismatch
from pettutor.projector import cuda
from pettutor.projector.events import CrystalFaces
from pettutor.projector.footprints import CHORD, MODELS, POINT, TUBE, Footprint, trace_lines
from pettutor.projector.listmode import ListmodeProjector

SOURCE = Path(cuda.__file__).with_name("kernels.cu")
TOF = TimeOfFlight(5, 11.0, 19.0)  # the outermost edges lie inside the small scanner
WITH_TOF = " and time of flight"
PROJECTORS = [name for name, make in OPERATORS.items() if isinstance(make(), Projector)]
PROJECTORS += [
    f"{m}, {g}{WITH_TOF}" for m in MODELS for g in ("off centre", "steep", "planes three voxels apart", "subset")
]
EVENTS = [name for name in PROJECTORS if not name.startswith("multi_ray")]  # an event has one ray
GUARD = 64  # numbers beside an array that nobody may touch


class HostKernel:
    """A kernel built for the host, called as CuPy's are."""

    def __init__(self, library, name):
        self.library, self.name = library, name

    def __call__(self, blocks, threads, arguments):
        assert all(n <= 65535 for n in blocks[1:]) and threads[0] * threads[1] <= 1024
        source, target, *others = arguments
        # what lies beside the source would spoil the result, and nothing may be written beside the target
        guarded = np.full(source.size + 2 * GUARD, np.nan, np.float32)
        guarded[GUARD:-GUARD] = source.ravel()
        results = np.full(target.size + 2 * GUARD, 77, np.float32)
        results[GUARD:-GUARD] = target.ravel()
        plain = [
            a.ctypes.data_as(ctypes.c_void_p)
            if isinstance(a, np.ndarray)
            else (ctypes.c_float if a.dtype.kind == "f" else ctypes.c_int)(a.item())
            for a in (guarded[GUARD:], results[GUARD:], *others)
        ]
        getattr(self.library, f"host_{self.name}")((ctypes.c_int * 3)(*blocks), (ctypes.c_int * 2)(*threads), *plain)
        assert (results[:GUARD] == 77).all() and (results[-GUARD:] == 77).all()
        if self.name.startswith("adjoint"):
            touched = (ctypes.c_longlong * 2)()
            self.library.host_touched(touched)
            assert 0 <= touched[0] <= touched[1] < target.size
        target.ravel()[:] = results[GUARD:-GUARD]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A function from source and compiler options to the library built with them."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("no C++ compiler: the host build of the kernels is never skipped in CI")
        pytest.skip("needs g++ or clang++ to build the kernels for the host")
    folder = tmp_path_factory.mktemp("cuda")

    @functools.cache
    def library(code, options):
        number = len(list(folder.iterdir()))
        source, path = folder / f"{number}.cu", folder / f"{number}.so"
        source.write_text(code, encoding="utf-8")
        flags = ["-O1", "-std=c++14", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f'-DKERNELS="{source}"']
        defined = [option for option in options if option.startswith("-D")]
        host = Path(__file__).parent / "cuda_host/host.cpp"
        subprocess.run([compiler, *flags, *defined, str(host), "-o", str(path)], check=True)
        return ctypes.CDLL(str(path))

    return library


@pytest.fixture
def host(build, monkeypatch):
    """NumPy in CuPy's place: pettutor.projector.cuda then runs on the host as it is."""

    class RawModule:
        def __init__(self, code, options):
            self.library = build(code, options)

        def get_function(self, name):
            return HostKernel(self.library, name)

    module = types.ModuleType("cupy")
    for name in ("asarray", "ascontiguousarray", "empty", "moveaxis", "zeros", "float32"):
        setattr(module, name, getattr(np, name))
    # memory that the kernels do not fill must not look right
    module.empty = lambda shape, dtype: np.full(shape, np.nan, dtype)
    module.RawModule = RawModule
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def random_arrays(X, seed=7):
    rng = np.random.default_rng(seed)
    return (rng.random(shape, dtype=np.float32) for shape in (X.in_shape, X.out_shape))


def deviation(got, want):
    """Greatest difference in units of the greatest value."""
    return np.abs(got - want).max() / want.max()


def projector(name):
    """The projector of the registry; with time of flight where the name says so."""
    plain = name.removesuffix(WITH_TOF)
    X = OPERATORS[plain]()
    if plain == name:
        return X
    T = Projector(X.scanner, X.grid, X.model, X.device, rays=X.rays, tof=TOF)
    part = X.view_selection
    return T.subset(part.start, part.step) if part.step > 1 else T


def agrees_with_the_cpu(X):
    """Both directions, to float32 rounding; and the two are each other's adjoint."""
    kernels = cuda.CudaKernels(*X._geometry())
    x, y = random_arrays(X)
    Ax, ATy = kernels.forward(x), kernels.adjoint(y)
    assert deviation(Ax, X(x)) < 2e-5
    assert deviation(ATy, X.T(y)) < 2e-5
    Ax, ATy = Ax.astype(float), ATy.astype(float)
    assert abs((Ax * y).sum() - (x * ATy).sum()) < 1e-5 * np.linalg.norm(Ax) * np.linalg.norm(y)


def test_records_are_laid_out_as_in_the_source(host):
    kernels = cuda.CudaKernels(*OPERATORS["joseph, off centre"]()._geometry())
    assert kernels._module.library.host_line_size() == cuda.LINE_RECORD.itemsize
    assert kernels._module.library.host_segment_size() == cuda.SEGMENT_RECORD.itemsize


@pytest.mark.parametrize("name", PROJECTORS)
def test_host_build_agrees_with_the_cpu(host, name):
    agrees_with_the_cpu(projector(name))


# what the registry has not: steep lines that end inside the grid, and planes 3/2 voxels apart
ELSEWHERE = {
    "steep lines that end inside": (small_scanner(ring_pitch=19.0), ImageGrid((31, 21, 25), (9.5 / 1.5, 4.4, 4.9))),
    "planes 3/2 voxels apart": (small_scanner(), ImageGrid((9, 7, 8), (2.5 / 1.5, 4.1, 3.7), (0.7, 4.0, 1.0))),
}


@pytest.mark.parametrize("tof", [None, TOF], ids=["plain", "time of flight"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("geometry", ELSEWHERE)
def test_host_build_agrees_elsewhere(host, geometry, model, tof):
    agrees_with_the_cpu(Projector(*ELSEWHERE[geometry], model, "cpu", tof=tof))


@pytest.mark.parametrize("model", MODELS)
def test_planes_and_rows_of_a_thread_change_nothing(host, monkeypatch, model):
    """Threads with several planes, the last of which lie beyond the sinogram, and with several rows."""
    sizes = cuda.loop_sizes
    for planes, rows in ((4, 1), (3, 3)):
        more = dict(PLANES=planes, ROWS=rows)
        monkeypatch.setattr(cuda, "loop_sizes", lambda *of, more=more, **named: {**sizes(*of, **named), **more})
        agrees_with_the_cpu(OPERATORS[f"{model}, off centre"]())


def test_all_planes_and_lines_are_launched(host):
    """More planes and voxels than a block has threads, and more lines of response than blocks fit along y and z."""
    scanner = small_scanner(rings=36, span=1, max_ring_difference=35)
    X = Projector(scanner, ImageGrid((300, 3, 2), (0.4, 9.0, 11.0), (3.0, 1.0, 2.0)), device="cpu")
    assert X.out_shape[0] > 4 * 256 and X.in_shape[0] > 256
    agrees_with_the_cpu(X)
    for lors, neighbours in ((70000 * 400, 837), (5, 1), (100, 16), (100, 17), (1, 10**6)):
        blocks, threads = cuda.launch_shape(lors, neighbours, 13)
        assert blocks[0] * threads[1] >= lors and blocks[1] * threads[0] >= neighbours and blocks[2] == 13
        assert blocks[0] < 2**31 and max(blocks[1:]) <= 65535 and threads[0] * threads[1] <= 256


def every_line(X, seed=3):
    """The lines of response of a sinogram as a list in some order: their places in it, and the records of the list."""
    _, lines, segments, footprint, tof = X._geometry()
    size = segments["size"]
    each = np.repeat(segments, size)
    number = np.concatenate([np.arange(n) for n in size])
    at = np.argsort(each["start"] + number * each["step"])  # by plane
    each, middle = each[at], (each["middle"] + number * footprint.phases)[at]
    places = np.random.default_rng(seed).permutation(int(np.prod(X.out_shape)))
    places = np.unravel_index(places[: 2 * len(places) // 3], X.out_shape)
    plane, view, bin_ = places[:3]
    records = [lines[0, view, bin_], middle[plane], each["slope"][plane], each["difference"][plane]]
    return places, [*records, footprint._replace(phases=1), tof, places[3] if tof else None]


def events_agree(X, to_device=np.asarray, to_host=np.asarray):
    """Event kernels on the sinogram's own lines, against the sinogram projector on the CPU."""
    places, records = every_line(X)
    kernels = cuda.CudaEventKernels(X.grid, *records)
    x, y = random_arrays(X)
    chosen = np.zeros_like(y)
    chosen[places] = y[places]
    assert deviation(to_host(kernels.forward(to_device(x))), X(x)[places]) < 2e-5
    assert deviation(to_host(kernels.adjoint(to_device(y[places]))), X.T(chosen)) < 2e-5


@pytest.mark.parametrize("name", EVENTS)
def test_events_on_the_sinograms_own_lines(host, name):
    events_agree(projector(name))


def any_lines(model, tof=None, device="cpu", events=2000, seed=5):
    """List mode on lines of any direction, some of them parallel to an axis."""
    grid = off_centre_grid()
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(events, 3))
    direction[:30] = np.eye(3)[rng.integers(0, 3, 30)]
    if model == "distance_driven":
        direction[:, 0] *= 0.3
        direction[:30] = np.eye(3)[rng.integers(1, 3, 30)]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = np.array(grid.centre) + rng.normal(size=(events, 3)) * 6
    starts, ends = middle - 40 * direction, middle + (35 + 9 * rng.random((events, 1))) * direction
    faces = None
    if model == "distance_driven":
        tangents = np.stack([-direction[:, 2], direction[:, 1]], axis=1)
        tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
        faces = CrystalFaces(tangents, tangents, 4.3, 5.1)
    tof_bins = rng.integers(0, tof.bins, events) if tof else None
    return ListmodeProjector(starts, ends, grid, model, device, faces, tof, tof_bins)


@pytest.mark.parametrize("tof", [None, TOF], ids=["plain", "time of flight"])
@pytest.mark.parametrize("model", ["siddon", "joseph", "distance_driven"])
def test_list_mode_agrees_with_the_cpu(host, model, tof):
    for Z in (whole := any_lines(model, tof), whole.subset(1, 3)):
        x, y = random_arrays(Z)
        got, back = Z._cuda_forward(host, x), Z._cuda_adjoint(host, y)
        assert deviation(got, Z(x)) < 2e-5 and deviation(back, Z.T(y)) < 2e-5
        assert (got > 0).sum() > 0.3 * got.size


def test_events_that_meet_nothing(host):
    """No events at all; lines beside the grid and parallel to z."""
    grid = off_centre_grid()
    start = np.array([[-500.0, 3.0], [2.0, 400.0], [4.0, 4.0]])
    end = np.array([[-500.0, 90.0], [90.0, 400.0], [4.0, 4.0]])
    for kind in (POINT, CHORD, TUBE):
        footprint = Footprint(kind, np.zeros(1), 1.7 * (kind == TUBE), 3, 3, 1)
        with np.errstate(all="ignore"):
            lines = trace_lines(start, end, grid, kind, [(start, end), (start, end)])
        for count in (3, 0):
            axial = np.full((3, count), 2.0)
            kernels = cuda.CudaEventKernels(grid, lines[:count], *axial, footprint)
            assert (kernels.forward(np.ones(grid.shape, np.float32)) == 0).all()
            assert (kernels.adjoint(np.ones(count, np.float32)) == 0).all()


def test_events_want_their_bins():
    grid, lines = off_centre_grid(), np.zeros(4, cuda.LINE_RECORD)
    with pytest.raises(ValueError, match=r"tof_bins: expected one bin for each of 4 events, got shape \(3,\)"):
        cuda.event_arguments(grid, lines, *np.zeros((3, 4)), None, TOF, np.zeros(3, int))


# each model without and with time of flight, as the mMR needs it; one with loops too long to unroll
SIZES = [
    dict(KIND=kind, PIXELS=pixels, VOXELS=voxels, SHIFTS=shifts, PHASES=phases, PLANES=planes, ROWS=rows, TOF=tof)
    for kind, pixels, voxels, shifts, phases, planes, rows, tof in (
        (POINT, 2, 2, 1, 1, 4, 4, 0),
        (CHORD, 1, 4, 2, 2, 4, 4, 1),
        (TUBE, 4, 3, 1, 1, 4, 2, 0),
        (TUBE, 10, 23, 1, 7, 1, 2, 1),
    )
]


@pytest.mark.parametrize("architecture", [70, 75, 80, 86, 90])
def test_nvcc_compiles_it(architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc (a CUDA toolkit); the host build is checked anyway")
    known = subprocess.run([nvcc, "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout.split()
    if f"compute_{architecture}" not in known:
        pytest.skip(f"this nvcc knows no compute_{architecture}, only {known[0]} and later")
    flags = ["-std=c++14", "-prec-sqrt=false", "-prec-div=false", f"-arch=sm_{architecture}", "-cubin", "-o", "k.cubin"]
    for sizes in SIZES:
        defined = [f"-D{name}={value}" for name, value in sizes.items()]
        subprocess.run(
            [nvcc, *flags, "-Werror", "all-warnings", *defined, str(SOURCE)], cwd=tmp_path, check=True, timeout=300
        )


def on_gpu(X):
    """The same projector on the GPU."""
    G = Projector(X.scanner, X.grid, X.model, "cuda", rays=X.rays, tof=X.tof)
    part = X.view_selection
    return G.subset(part.start, part.step) if part.step > 1 else G


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROJECTORS)
def test_gpu_agrees_with_the_cpu(name):
    X = projector(name)
    G = on_gpu(X)
    x, y = random_arrays(X)
    for got, want in ((G(x), X(x)), (G.T(y), X.T(y))):
        assert isinstance(got, np.ndarray) and got.shape == want.shape
        assert deviation(got, want) < 2e-5
    assert adjoint_mismatch(G)[0] < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("model", MODELS)
def test_gpu_arrays_stay_on_the_gpu(model):
    import cupy

    X = OPERATORS[f"{model}, off centre"]()
    G = on_gpu(X)
    x, y = random_arrays(X)
    for A, array in ((G, x), (G.T, y)):
        on_device = A(cupy.asarray(array))
        assert isinstance(on_device, cupy.ndarray) and on_device.dtype == np.float32
        # sums by atomics come in any order
        assert deviation(on_device.get(), A(array)) < 2e-6
    assert G(cupy.asarray(x)).transpose(1, 2, 0).flags.c_contiguous  # (view, bin, plane) in memory, as said


@pytest.mark.gpu
@pytest.mark.parametrize("name", EVENTS)
def test_gpu_events_agree_with_the_cpu(name):
    import cupy

    events_agree(projector(name), cupy.asarray, cupy.asnumpy)


@pytest.mark.gpu
@pytest.mark.parametrize("tof", [None, TOF], ids=["plain", "time of flight"])
@pytest.mark.parametrize("model", ["siddon", "joseph", "distance_driven"])
def test_gpu_list_mode_agrees_with_the_cpu(model, tof):
    Z, G = any_lines(model, tof), any_lines(model, tof, "cuda")
    for A, B in ((Z, G), (Z.subset(1, 3), G.subset(1, 3))):
        x, y = random_arrays(A)
        assert deviation(B(x), A(x)) < 2e-5 and deviation(B.T(y), A.T(y)) < 2e-5
        assert adjoint_mismatch(B)[0] < 1e-5
