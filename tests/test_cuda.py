"""The CUDA source: built for the host and compared with the CPU path, compiled by nvcc, and run where a GPU is."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from registry import OPERATORS

from pettutor.projector import cuda

SOURCE = Path(cuda.__file__).with_name("kernels.cu")
PROJECTORS = [name for name in OPERATORS if name.startswith("joseph")]


@pytest.fixture(scope="module")
def host_kernels(tmp_path_factory):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("no C++ compiler: the host build of kernels.cu is never skipped in CI")
        pytest.skip("needs g++ or clang++ to build kernels.cu for the host")
    library = tmp_path_factory.mktemp("cuda") / "kernels.so"
    flags = ["-O2", "-std=c++14", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f'-DKERNELS="{SOURCE}"']
    subprocess.run(
        [compiler, *flags, str(Path(__file__).parent / "cuda_host/host.cpp"), "-o", str(library)], check=True
    )
    return ctypes.CDLL(str(library))


class HostProjector:
    """Launches the host build exactly as `pettutor.projector.cuda` launches the kernels."""

    def __init__(self, library, projector):
        self.library = library
        self.views, self.bins = projector._lines.first.shape
        self.planes, self.shape = projector.out_shape[0], projector.in_shape
        self.arguments = cuda.kernel_arguments(projector.grid, projector._lines, projector._axial)

    def _launch(self, name, source, target, *more):
        blocks = (ctypes.c_int * 3)(*cuda.launch_grid(self.views, self.bins, self.planes))
        plain = [
            a.ctypes.data_as(ctypes.c_void_p)
            if isinstance(a, np.ndarray)
            else (ctypes.c_float if a.dtype.kind == "f" else ctypes.c_int)(a.item())
            for a in (source, target, *self.arguments, *more)
        ]
        getattr(self.library, name)(blocks, ctypes.c_int(cuda.THREADS), *plain)

    def forward(self, image):
        rows = np.ascontiguousarray(image.transpose(1, 2, 0))
        sinogram = np.full((self.views, self.bins, self.planes), np.nan, np.float32)
        self._launch("host_forward", rows, sinogram)
        return sinogram.transpose(2, 0, 1)

    def adjoint(self, sinogram):
        by_view = np.ascontiguousarray(sinogram.transpose(1, 2, 0))
        nz, ny, nx = self.shape
        rows = np.zeros((ny, nx, nz), np.float32)
        touched = np.zeros(2, np.int64)
        self._launch("host_adjoint", by_view, rows, touched)
        assert 0 <= touched[0] <= touched[1] < rows.size  # nothing is written outside the image
        return rows.transpose(2, 0, 1)


@pytest.mark.parametrize("name", PROJECTORS)
def test_host_build_agrees_with_the_cpu(host_kernels, name):
    X = OPERATORS[name]()
    host = HostProjector(host_kernels, X)
    rng = np.random.default_rng(7)
    x, y = rng.random(X.in_shape, dtype=np.float32), rng.random(X.out_shape, dtype=np.float32)
    for got, want in ((host.forward(x), X(x)), (host.adjoint(y), X.T(y))):
        assert np.abs(got - want).max() < 2e-5 * want.max()


@pytest.mark.parametrize("name", PROJECTORS)
def test_host_build_is_its_own_adjoint(host_kernels, name):
    X = OPERATORS[name]()
    host = HostProjector(host_kernels, X)
    rng = np.random.default_rng(8)
    x, y = rng.random(X.in_shape, dtype=np.float32), rng.random(X.out_shape, dtype=np.float32)
    Ax, ATy = host.forward(x).astype(float), host.adjoint(y).astype(float)
    assert abs((Ax * y).sum() - (x * ATy).sum()) < 1e-5 * np.linalg.norm(Ax) * np.linalg.norm(y)


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_86", "sm_90"])
def test_nvcc_compiles_it(architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc (a CUDA toolkit); the host build is checked anyway")
    subprocess.run(
        [
            nvcc,
            "-std=c++14",
            f"-arch={architecture}",
            "-cubin",
            "-Werror",
            "all-warnings",
            str(SOURCE),
            "-o",
            "k.cubin",
        ],
        cwd=tmp_path,
        check=True,
    )


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROJECTORS)
def test_gpu_agrees_with_the_cpu(name):
    import cupy

    X = OPERATORS[name]()
    part = {"slice": X.view_selection.start, "step": X.view_selection.step}
    G = type(X)(X.scanner, X.grid, device="cuda")
    if part["step"] > 1:
        G = G.subset(part["slice"], part["step"])
    rng = np.random.default_rng(7)
    x, y = rng.random(X.in_shape, dtype=np.float32), rng.random(X.out_shape, dtype=np.float32)
    for got, want in ((G(x), X(x)), (G.T(y), X.T(y))):
        assert isinstance(got, np.ndarray)
        assert np.abs(got - want).max() < 2e-5 * want.max()
    on_device = G(cupy.asarray(x))
    assert isinstance(on_device, cupy.ndarray) and np.array_equal(on_device.get(), G(x))
