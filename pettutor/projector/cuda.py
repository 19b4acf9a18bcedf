"""The projector on a GPU: `kernels.cu` compiled and launched by CuPy."""

from importlib.resources import files

import numpy as np

THREADS = 128


def kernel_arguments(grid, lines, axial):
    """The geometry as the kernels take it, in order: whole numbers, lengths (mm) and float32 arrays on the host.

    One record a (view, bin) and one a plane; CuPy and the tests' host build launch with the same list.
    """
    start = axial.start
    segment = np.repeat(np.arange(len(axial.middle)), np.diff(start))
    plane = np.arange(start[-1]) - start[segment]
    middle = axial.middle[segment] + plane * axial.spacing[segment]
    bins = lines.first.shape[1]
    whole = [np.int32(n) for n in (bins, start[-1], *grid.shape)]
    lengths = [np.float32(d) for d in grid.voxel_size]
    records = [
        np.ascontiguousarray(a, dtype=a.dtype if a.dtype.kind in "iu" else np.float32)
        for a in (*lines, middle, axial.slope[segment], axial.difference[segment])
    ]
    return whole + lengths + records


def launch_grid(views, bins, planes):
    """Blocks along (plane, bin, view)."""
    return (-(-int(planes) // THREADS), int(bins), int(views))


class CudaKernels:
    """The compiled kernels with one geometry's records in device memory."""

    def __init__(self, grid, lines, axial):
        import cupy

        self._cupy, self._grid = cupy, grid
        source = files("pettutor.projector").joinpath("kernels.cu").read_text(encoding="utf-8")
        self._module = cupy.RawModule(code=source, options=("--std=c++14",))
        self._arguments = tuple(
            cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in kernel_arguments(grid, lines, axial)
        )
        self._sinogram = (*lines.first.shape, int(axial.start[-1]))  # (view, bin, plane)

    def forward(self, image):
        """CuPy image (z, y, x) to sinogram (plane, view, bin), a transposed view of (view, bin, plane)."""
        cupy = self._cupy
        rows = cupy.ascontiguousarray(image.transpose(1, 2, 0))
        sinogram = cupy.empty(self._sinogram, cupy.float32)
        self._launch("forward", rows, sinogram)
        return sinogram.transpose(2, 0, 1)

    def adjoint(self, sinogram):
        """CuPy sinogram (plane, view, bin) to image (z, y, x); sums by atomics, so the last bits may differ."""
        cupy = self._cupy
        nz, ny, nx = self._grid.shape
        by_view = cupy.ascontiguousarray(sinogram.transpose(1, 2, 0))
        rows = cupy.zeros((ny, nx, nz), cupy.float32)
        self._launch("adjoint", by_view, rows)
        return cupy.ascontiguousarray(rows.transpose(2, 0, 1))

    def _launch(self, name, source, target):
        views, bins, planes = self._sinogram
        kernel = self._module.get_function(name)
        kernel(launch_grid(views, bins, planes), (THREADS,), (source, target, *self._arguments))
