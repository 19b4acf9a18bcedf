"""The projector on the CPU: numba kernels over (view, bin), each for all planes at once, shared out to threads.

One transaxial walk serves every plane. At each voxel plane the touched image rows are mixed once,
``row[z] = sum_j w_j image[j, z]`` (the transaxial footprint), then a short shifted filter of that row is added to every
plane of every segment (the axial footprint). Memory is laid out with the axial index contiguous, image (y, x, z) and
sinogram (view, bin, plane), so that the inner loops are plain vector code.
"""

import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from pettutor.arrays import announce_once

_jit = numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


@_jit
def _split(position):
    """Whole and fractional part of a position in voxels."""
    whole = math.floor(position)
    return int(whole), np.float32(position - whole)


@_jit
def _gather(row, start, lower, upper, out):
    """out[m] += lower * row[start + m] + upper * row[start + m + 1]."""
    a = row[start : start + out.size]
    b = row[start + 1 : start + 1 + out.size]
    for m in range(out.size):
        out[m] += lower * a[m] + upper * b[m]


@_jit
def _project_row(row, voxels, offset, axial, reach, planes):
    """Add one mixed image row (zero-padded by one voxel) to every plane: the axial footprint of Joseph's method."""
    start, middle, spacing, slope, difference = axial
    for s in range(middle.size):
        if difference[s] > reach:
            continue  # dominated by z: traced line by line instead
        size = start[s + 1] - start[s]
        position = middle[s] + offset * slope[s]
        if spacing[s] == 1.0:
            whole, upper = _split(position)
            low = max(0, -1 - whole)
            high = min(size, voxels - whole)
            if high > low:
                out = planes[start[s] + low : start[s] + high]
                _gather(row, low + whole + 1, np.float32(1) - upper, upper, out)
        else:
            for m in range(size):
                whole, upper = _split(position + m * spacing[s])
                if -1 <= whole < voxels:
                    planes[start[s] + m] += (np.float32(1) - upper) * row[whole + 1] + upper * row[whole + 2]


@_jit
def _backproject_row(planes, voxels, offset, axial, reach, row):
    """The adjoint of `_project_row`; ``planes`` holds each segment padded by one zero at both ends."""
    start, middle, spacing, slope, difference = axial
    for s in range(middle.size):
        if difference[s] > reach:
            continue
        size = start[s + 1] - start[s]
        begin = start[s] + 2 * s + 1  # of this segment in the padded planes
        position = middle[s] + offset * slope[s]
        if spacing[s] == 1.0:
            whole, upper = _split(position)
            # row[z] += lower * planes[z - whole] + upper * planes[z - whole - 1]
            low = max(0, whole)
            high = min(voxels, size + whole + 1)
            if high > low:
                _gather(planes, begin + low - whole - 1, upper, np.float32(1) - upper, row[low + 1 : high + 1])
        else:
            for m in range(size):
                whole, upper = _split(position + m * spacing[s])
                if -1 <= whole < voxels:
                    value = planes[begin + m]
                    row[whole + 1] += (np.float32(1) - upper) * value
                    row[whole + 2] += upper * value


@_jit
def _scale(reach, length, difference, voxel):
    """Length of a line per voxel plane, mm: voxel / |cos| with respect to the walk axis."""
    return np.float32(voxel * math.sqrt(length * length + difference * difference) / reach)


@_jit
def forward_views(image, shape, voxel, lines, axial, views, sinogram):
    """Project ``image`` (y * x, z) into the views [views[0], views[1]) of ``sinogram`` (view, bin, plane)."""
    ny, nx = shape
    _, along_y, first, last, cross, cross_step, fraction, fraction_step, reach, length = lines
    start = axial[0]
    voxels = image.shape[1]
    row = np.zeros(voxels + 2, np.float32)
    inner = row[1 : voxels + 1]
    for v in range(views[0], views[1]):
        for b in range(first.shape[1]):
            planes = sinogram[v, b]
            planes[:] = 0
            if last[v, b] <= first[v, b]:
                continue
            walk, side, count = (nx, 1, nx) if along_y[v, b] else (1, nx, ny)
            for i in range(first[v, b], last[v, b]):
                j, upper = _split(cross[v, b] + i * cross_step[v, b])
                lower = np.float32(1) - upper
                pixel = i * walk + j * side
                if j >= 0 and j + 1 < count:
                    p, q = image[pixel], image[pixel + side]
                    for z in range(inner.size):
                        inner[z] = lower * p[z] + upper * q[z]
                elif 0 <= j < count:
                    p = image[pixel]
                    for z in range(inner.size):
                        inner[z] = lower * p[z]
                elif j == -1:
                    q = image[pixel + side]
                    for z in range(inner.size):
                        inner[z] = upper * q[z]
                else:
                    continue
                offset = fraction[v, b] + i * fraction_step[v, b] - 0.5
                _project_row(row, voxels, offset, axial, reach[v, b], planes)
            size = voxel[1] if along_y[v, b] else voxel[2]
            for s in range(start.size - 1):
                scale = _scale(reach[v, b], length[v, b], axial[4][s], size)
                part = planes[start[s] : start[s + 1]]
                for m in range(part.size):
                    part[m] *= scale


@_jit
def adjoint_stripe(sinogram, shape, voxel, lines, axial, along, stripe, image):
    """Back project every line that walks along y (``along`` = 1) or x (0) into the planes [stripe[0], stripe[1]) of
    that axis of ``image`` (y * x, z). Stripes of one axis never share a voxel: threads need no copies and no locks.
    """
    ny, nx = shape
    _, along_y, first, last, cross, cross_step, fraction, fraction_step, reach, length = lines
    start = axial[0]
    voxels = image.shape[1]
    segments = start.size - 1
    row = np.zeros(voxels + 2, np.float32)
    inner = row[1 : voxels + 1]
    planes = np.zeros(start[segments] + 2 * segments, np.float32)
    walk, side, count = (nx, 1, nx) if along else (1, nx, ny)
    size = voxel[1] if along else voxel[2]
    for v in range(first.shape[0]):
        for b in range(first.shape[1]):
            low, high = max(first[v, b], stripe[0]), min(last[v, b], stripe[1])
            if high <= low or along_y[v, b] != along:
                continue
            for s in range(segments):
                scale = _scale(reach[v, b], length[v, b], axial[4][s], size)
                source = sinogram[v, b, start[s] : start[s + 1]]
                target = planes[start[s] + 2 * s + 1 : start[s + 1] + 2 * s + 1]
                for m in range(target.size):
                    target[m] = scale * source[m]
            for i in range(low, high):
                j, upper = _split(cross[v, b] + i * cross_step[v, b])
                if j < -1 or j >= count:
                    continue
                lower = np.float32(1) - upper
                pixel = i * walk + j * side
                row[:] = 0
                offset = fraction[v, b] + i * fraction_step[v, b] - 0.5
                _backproject_row(planes, voxels, offset, axial, reach[v, b], row)
                if j >= 0:
                    p = image[pixel]
                    for z in range(inner.size):
                        p[z] += lower * inner[z]
                if j + 1 < count:
                    q = image[pixel + side]
                    for z in range(inner.size):
                        q[z] += upper * inner[z]


@_jit
def steep_lines(sinogram, shape, voxel, lines, axial, image, backward):
    """Lines more parallel to z than to x and y (short chords of steep segments), walked along z one by one.

    Adds to ``sinogram`` (forward) or to ``image`` (``backward``). Rare in real scanners, so kept simple.
    """
    ny, nx = shape
    live, along_y, first, _, cross, cross_step, fraction, fraction_step, reach, length = lines
    start, middle, spacing, slope, difference = axial
    voxels = image.shape[1]
    for v in range(first.shape[0]):
        for b in range(first.shape[1]):
            if not live[v, b]:
                continue
            for s in range(middle.size):
                if difference[s] <= reach[v, b]:
                    continue
                scale = np.float32(
                    voxel[0] * math.sqrt(length[v, b] * length[v, b] + difference[s] * difference[s]) / difference[s]
                )
                for m in range(start[s + 1] - start[s]):
                    centre = middle[s] + m * spacing[s]
                    value = sinogram[v, b, start[s] + m] * scale
                    total = np.float32(0)
                    for k in range(voxels):
                        t = 0.5 + (k - centre) / slope[s]
                        if t < 0 or t > 1:
                            continue
                        step = (t - fraction[v, b]) / fraction_step[v, b]
                        i, along = _split(step)
                        j, across = _split(cross[v, b] + step * cross_step[v, b])
                        for di in range(2):
                            for dj in range(2):
                                y, x = (i + di, j + dj) if along_y[v, b] else (j + dj, i + di)
                                if y < 0 or y >= ny or x < 0 or x >= nx:
                                    continue
                                weight = (along if di else 1 - along) * (across if dj else 1 - across)
                                if backward:
                                    image[y * nx + x, k] += weight * value
                                else:
                                    total += weight * image[y * nx + x, k]
                    if not backward:
                        sinogram[v, b, start[s] + m] += total * scale


_pool = None
_pool_lock = threading.Lock()


def thread_count():
    """Threads that the CPU path uses: ``PETTUTOR_THREADS`` where it is set, else the cores this process may run on."""
    text = os.environ.get("PETTUTOR_THREADS")
    if text is not None:
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"PETTUTOR_THREADS: expected a whole number >= 1, got {text!r}")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(task, jobs):
    """Run ``task(*job)`` for every job on the threads; the first error is raised."""
    global _pool
    count = thread_count()
    jobs = list(jobs)
    if count == 1 or len(jobs) == 1:
        for job in jobs:
            task(*job)
        return
    with _pool_lock:
        if _pool is None or _pool[0] != (os.getpid(), count):
            _pool = (os.getpid(), count), ThreadPoolExecutor(count, thread_name_prefix="pettutor")
    for future in [_pool[1].submit(task, *job) for job in jobs]:
        future.result()


def _parts(size, parts):
    """Split range(size) into at most ``parts`` even pieces (begin, end)."""
    edges = np.linspace(0, size, min(size, parts) + 1).round().astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def reorder(source, target):
    """target[...] = source, on the threads along the target's first axis (a change of memory layout)."""
    share_out(lambda a, b: np.copyto(target[a:b], source[a:b]), _parts(len(target), 4 * thread_count()))


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
    rows = np.empty((ny, nx, nz), np.float32)
    reorder(image.transpose(1, 2, 0), rows)
    rows = rows.reshape(ny * nx, nz)
    views, bins = lines.first.shape
    sinogram = np.empty((views, bins, int(axial.start[-1])), np.float32)
    common = (rows, (ny, nx), grid.voxel_size, tuple(lines), tuple(axial))
    share_out(lambda a, b: forward_views(*common, (a, b), sinogram), _parts(views, 8 * thread_count()))
    if _any_steep(lines, axial):
        steep_lines(sinogram, *common[1:], rows, False)
    return sinogram.transpose(2, 0, 1)


@_first_call_told
def adjoint(sinogram, grid, lines, axial):
    """Back project a float32 sinogram (plane, view, bin) to an image (z, y, x)."""
    nz, ny, nx = grid.shape
    by_view = sinogram.transpose(1, 2, 0)
    if not by_view.flags.c_contiguous:
        by_view = np.empty(by_view.shape, np.float32)
        reorder(sinogram.transpose(1, 2, 0), by_view)
    rows = np.zeros((ny * nx, nz), np.float32)
    common = (by_view, (ny, nx), grid.voxel_size, tuple(lines), tuple(axial))
    for along, planes in ((0, nx), (1, ny)):
        share_out(
            lambda a, b, along=along: adjoint_stripe(*common, along, (a, b), rows), _parts(planes, 4 * thread_count())
        )
    if _any_steep(lines, axial):
        steep_lines(*common, rows, True)
    image = np.empty(grid.shape, np.float32)
    cube = rows.reshape(ny, nx, nz)
    share_out(lambda a, b: np.copyto(image[:, a:b], cube[a:b].transpose(2, 0, 1)), _parts(ny, 4 * thread_count()))
    return image


def _any_steep(lines, axial):
    return float(axial.difference.max()) > float(lines.reach[lines.live > 0].min(initial=np.inf))
