"""The projector's numba kernels: each works on one (view, bin) after the other, for all planes at once.

One transaxial walk serves every plane. At each voxel plane the touched image rows are mixed once,
``row[z] = sum_j w_j image[j, z]`` (the transaxial footprint), then a short shifted filter of that row is added to every
plane of every segment (the axial footprint). Memory is laid out with the axial index contiguous, image (y, x, z) and
sinogram (view, bin, plane), so that the inner loops are plain vector code.
"""

import math

import numba
import numpy as np

_jit = numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
# for what is called at every step: a call would pass every array's record along, which costs as much as the work
_inline = numba.njit(fastmath=True, error_model="numpy", inline="always")


# Image rows are padded along z to a multiple of LANES voxels and mixed rows by MARGIN zeros at both ends, segments to a
# multiple of LANES planes: vector loops then run without remainders and without tests for the edge of the image.
LANES = 16
MARGIN = 16
# Steps along a line that are mixed before their rows are added to the planes, which are then loaded and stored once.
STEPS = 4


@_jit
def padded(size):
    """A multiple of LANES, but for a few voxels or planes (a single slice) just as many."""
    return size if size < LANES // 2 else (size + LANES - 1) // LANES * LANES


@_jit
def _places(start):
    """Where each segment begins in a scratch vector: planes padded, MARGIN zeros before each and at the end."""
    places = np.zeros(start.size, np.int64)
    places[0] = MARGIN
    for s in range(start.size - 1):
        places[s + 1] = places[s] + padded(start[s + 1] - start[s]) + MARGIN
    return places


@_inline
def _split(position):
    """Whole and fractional part of a position in voxels."""
    whole = math.floor(position)
    return int(whole), np.float32(position - whole)


@_inline
def _mix(image, pixel, side, inside, beside, upper, row):
    """row[z] = (1 - upper) * image[pixel, z] + upper * image[pixel + side, z], leaving out what lies outside."""
    # unsigned indices: numba then needs no test for negative ones, and the loop becomes vector code
    margin, voxels = np.uint64(MARGIN), np.uint64(image.shape[1])
    lower = np.float32(1) - upper
    if inside and beside:
        p, q = np.uint64(pixel), np.uint64(pixel + side)
        for z in range(voxels):
            row[margin + z] = lower * image[p, z] + upper * image[q, z]
    else:
        p = np.uint64(pixel if inside else pixel + side)
        weight = lower if inside else (upper if beside else np.float32(0))
        if not (inside or beside):
            p = np.uint64(0)
        for z in range(voxels):
            row[margin + z] = weight * image[p, z]


@_jit
def _add_rows(rows, begin, upper, planes, place, size):
    """planes[m] += sum over steps t of (1 - upper_t) * rows[t, begin_t + m] + upper_t * rows[t, begin_t + m + 1]."""
    one = np.uint64(1)
    a, b, c, d = np.uint64(begin[0]), np.uint64(begin[1]), np.uint64(begin[2]), np.uint64(begin[3])
    ua, ub, uc, ud = upper[0], upper[1], upper[2], upper[3]
    la, lb, lc, ld = np.float32(1) - ua, np.float32(1) - ub, np.float32(1) - uc, np.float32(1) - ud
    r0, r1, r2, r3 = rows
    start = np.uint64(place)
    for m in range(np.uint64(size)):
        planes[start + m] += ((la * r0[a + m] + ua * r0[a + m + one]) + (lb * r1[b + m] + ub * r1[b + m + one])) + (
            (lc * r2[c + m] + uc * r2[c + m + one]) + (ld * r3[d + m] + ud * r3[d + m + one])
        )


@_jit
def _add_row(row, begin, upper, planes, place, size):
    """planes[m] += (1 - upper) * row[begin + m] + upper * row[begin + m + 1]."""
    one, lower = np.uint64(1), np.float32(1) - upper
    a, start = np.uint64(begin), np.uint64(place)
    for m in range(np.uint64(size)):
        planes[start + m] += lower * row[a + m] + upper * row[a + m + one]


@_inline
def _project_rows(rows, voxels, offsets, axial, places, reach, planes, begin, upper):
    """Add STEPS mixed image rows to every plane: Joseph's axial footprint, linear interpolation along z."""
    start, middle, spacing, slope, difference = axial
    for s in range(middle.size):
        if difference[s] > reach:
            continue  # dominated by z: traced line by line instead
        size = start[s + 1] - start[s]
        if spacing[s] == 1.0:
            lowest, highest = 1 << 30, -(1 << 30)
            for t in range(STEPS):
                whole, upper[t] = _split(middle[s] + offsets[t] * slope[s])
                begin[t] = whole
                lowest, highest = min(lowest, whole), max(highest, whole)
            if highest - lowest <= MARGIN - 2:
                low, high = max(0, -1 - highest), min(size, voxels - lowest)
                if high > low:
                    for t in range(STEPS):
                        begin[t] += low + MARGIN
                    high = padded(size) if high == size else high
                    _add_rows(rows, begin, upper, planes, places[s] + low, high - low)
            else:  # very unequal voxels: too far apart for one sweep
                for t in range(STEPS):
                    low, high = max(0, -1 - begin[t]), min(size, voxels - begin[t])
                    if high > low:
                        _add_row(rows[t], begin[t] + low + MARGIN, upper[t], planes, places[s] + low, high - low)
        else:
            for t in range(STEPS):
                row = rows[t]
                for m in range(size):
                    whole, part = _split(middle[s] + offsets[t] * slope[s] + m * spacing[s])
                    if -1 <= whole < voxels:
                        value = (np.float32(1) - part) * row[whole + MARGIN] + part * row[whole + MARGIN + 1]
                        planes[places[s] + m] += value


@_inline
def _backproject_row(planes, voxels, offset, axial, places, reach, row):
    """The adjoint of `_project_rows` for one row."""
    start, middle, spacing, slope, difference = axial
    for s in range(middle.size):
        if difference[s] > reach:
            continue
        size = start[s + 1] - start[s]
        position = middle[s] + offset * slope[s]
        if spacing[s] == 1.0:
            whole, upper = _split(position)
            # row[z] += lower * planes[z - whole] + upper * planes[z - whole - 1]
            low, high = max(0, whole), min(voxels, size + whole + 1)
            if high > low:
                begin = places[s] + low - whole - 1
                _add_row(planes, begin, np.float32(1) - upper, row, MARGIN + low, padded(high - low))
        else:
            for m in range(size):
                whole, upper = _split(position + m * spacing[s])
                if -1 <= whole < voxels:
                    value = planes[places[s] + m]
                    row[whole + MARGIN] += (np.float32(1) - upper) * value
                    row[whole + MARGIN + 1] += upper * value


@_jit
def _scale(reach, length, difference, voxel):
    """Length of a line per voxel plane, mm: voxel / |cos| with respect to the walk axis."""
    return np.float32(voxel * math.sqrt(length * length + difference * difference) / reach)


@_jit
def forward_views(image, voxels, shape, voxel, lines, axial, views, sinogram):
    """Project ``image`` (y * x, padded z) into the views [views[0], views[1]) of ``sinogram`` (view, bin, plane)."""
    ny, nx = shape
    _, along_y, first, last, cross, cross_step, fraction, fraction_step, reach, length = lines
    start = axial[0]
    places = _places(start)
    planes = np.zeros(places[-1], np.float32)
    width = image.shape[1] + 2 * MARGIN + LANES
    rows = (
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
    )
    offsets, begin, upper = np.zeros(STEPS), np.zeros(STEPS, np.int64), np.zeros(STEPS, np.float32)
    for v in range(views[0], views[1]):
        for b in range(first.shape[1]):
            if last[v, b] <= first[v, b]:
                sinogram[v, b] = 0
                continue
            planes[:] = 0
            walk, side, count = (nx, 1, nx) if along_y[v, b] else (1, nx, ny)
            for group in range(first[v, b], last[v, b], STEPS):
                for t in range(STEPS):
                    i = min(group + t, last[v, b] - 1)
                    j, part = _split(cross[v, b] + i * cross_step[v, b])
                    used = group + t < last[v, b]
                    _mix(
                        image,
                        i * walk + j * side,
                        side,
                        used and 0 <= j < count,
                        used and -1 <= j < count - 1,
                        part,
                        rows[t],
                    )
                    offsets[t] = fraction[v, b] + i * fraction_step[v, b] - 0.5
                _project_rows(rows, voxels, offsets, axial, places, reach[v, b], planes, begin, upper)
            size = voxel[1] if along_y[v, b] else voxel[2]
            for s in range(start.size - 1):
                scale = _scale(reach[v, b], length[v, b], axial[4][s], size)
                for m in range(start[s + 1] - start[s]):
                    sinogram[v, b, start[s] + m] = scale * planes[places[s] + m]


@_jit
def adjoint_stripe(sinogram, voxels, shape, voxel, lines, axial, along, stripe, image):
    """Back project every line that walks along y (``along`` = 1) or x (0) into the planes [stripe[0], stripe[1]) of
    that axis of ``image`` (y * x, padded z). Stripes of one axis share no voxel: threads need no copies and no locks.
    """
    ny, nx = shape
    _, along_y, first, last, cross, cross_step, fraction, fraction_step, reach, length = lines
    start = axial[0]
    places = _places(start)
    planes = np.zeros(places[-1], np.float32)
    row = np.zeros(image.shape[1] + 2 * MARGIN + LANES, np.float32)
    margin, padded = np.uint64(MARGIN), np.uint64(image.shape[1])
    walk, side, count = (nx, 1, nx) if along else (1, nx, ny)
    size = voxel[1] if along else voxel[2]
    for v in range(first.shape[0]):
        for b in range(first.shape[1]):
            low, high = max(first[v, b], stripe[0]), min(last[v, b], stripe[1])
            if high <= low or along_y[v, b] != along:
                continue
            for s in range(start.size - 1):
                scale = _scale(reach[v, b], length[v, b], axial[4][s], size)
                for m in range(start[s + 1] - start[s]):
                    planes[places[s] + m] = scale * sinogram[v, b, start[s] + m]
            for i in range(low, high):
                j, upper = _split(cross[v, b] + i * cross_step[v, b])
                if j < -1 or j >= count:
                    continue
                lower = np.float32(1) - upper
                pixel = i * walk + j * side
                row[:] = 0
                offset = fraction[v, b] + i * fraction_step[v, b] - 0.5
                _backproject_row(planes, voxels, offset, axial, places, reach[v, b], row)
                if j >= 0:
                    p = np.uint64(pixel)
                    for z in range(padded):
                        image[p, z] += lower * row[margin + z]
                if j + 1 < count:
                    q = np.uint64(pixel + side)
                    for z in range(padded):
                        image[q, z] += upper * row[margin + z]


@_jit
def steep_lines(sinogram, voxels, shape, voxel, lines, axial, image, backward):
    """Lines more parallel to z than to x and y (short chords of steep segments), walked along z one by one.

    Adds to ``sinogram`` (forward) or to ``image`` (``backward``). Rare in real scanners, so kept simple.
    """
    ny, nx = shape
    live, along_y, first, _, cross, cross_step, fraction, fraction_step, reach, length = lines
    start, middle, spacing, slope, difference = axial
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
