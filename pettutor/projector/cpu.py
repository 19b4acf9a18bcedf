"""The projector on the CPU: lays the arrays out, shares the kernels' work out to threads, and lays the result back."""

import time

import numpy as np

from pettutor.arrays import announce_once
from pettutor.projector.kernels import adjoint_stripe, forward_views, padded, steep_lines
from pettutor.threads import parts, reorder, share_out, thread_count


def _first_call_told(function):
    """Tell how long numba compiled, the first time it does (afterwards its disk cache serves)."""

    def run(*args):
        kernels = (forward_views, adjoint_stripe, steep_lines)
        before = sum(sum(k.stats.cache_misses.values()) for k in kernels)
        begin = time.perf_counter()
        result = function(*args)
        if sum(sum(k.stats.cache_misses.values()) for k in kernels) > before:
            seconds = time.perf_counter() - begin
            announce_once(f"compiled the projector's CPU kernels in {seconds:.0f} s; kept on disk for the next time")
        return result

    return run


@_first_call_told
def forward(image, grid, lines, axial):
    """Project a float32 image (z, y, x) to a sinogram (plane, view, bin) laid out (view, bin, plane) in memory."""
    nz, ny, nx = grid.shape
    rows = np.zeros((ny, nx, padded(nz)), np.float32)
    reorder(image.transpose(1, 2, 0), rows[:, :, :nz])
    rows = rows.reshape(ny * nx, -1)
    views, bins = lines.first.shape
    sinogram = np.empty((views, bins, int(axial.start[-1])), np.float32)
    common = (nz, (ny, nx), grid.voxel_size, tuple(lines), tuple(axial))
    share_out(lambda a, b: forward_views(rows, *common, (a, b), sinogram), parts(views, 8 * thread_count()))
    if _any_steep(lines, axial):
        steep_lines(sinogram, *common, rows, False)
    return sinogram.transpose(2, 0, 1)


@_first_call_told
def adjoint(sinogram, grid, lines, axial):
    """Back project a float32 sinogram (plane, view, bin) to an image (z, y, x)."""
    nz, ny, nx = grid.shape
    by_view = sinogram.transpose(1, 2, 0)
    if not by_view.flags.c_contiguous:
        by_view = np.empty(by_view.shape, np.float32)
        reorder(sinogram.transpose(1, 2, 0), by_view)
    rows = np.zeros((ny * nx, padded(nz)), np.float32)
    common = (by_view, nz, (ny, nx), grid.voxel_size, tuple(lines), tuple(axial))
    for along, planes in ((0, nx), (1, ny)):
        share_out(
            lambda a, b, along=along: adjoint_stripe(*common, along, (a, b), rows), parts(planes, 4 * thread_count())
        )
    if _any_steep(lines, axial):
        steep_lines(*common, rows, True)
    image = np.empty(grid.shape, np.float32)
    cube = rows.reshape(ny, nx, -1)[:, :, :nz]
    share_out(lambda a, b: np.copyto(image[:, a:b], cube[a:b].transpose(2, 0, 1)), parts(ny, 4 * thread_count()))
    return image


def _any_steep(lines, axial):
    return float(axial.difference.max()) > float(lines.reach[lines.live > 0].min(initial=np.inf))
