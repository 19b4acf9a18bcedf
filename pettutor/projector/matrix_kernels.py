"""The stored system matrix in numba: writing a line's weights down, and multiplying with them.

Inside a segment every plane has the same weights, moved along z. So each (line, segment, time-of-flight bin) gives one
*list*: all voxels of all its planes, as if the planes stood on top of each other, in the order of the image. A plane
takes the stretch of the list that lies inside the image.
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.footprints import POINT
from pettutor.projector.steep import steep_lines
from pettutor.projector.timing import cumulative, time_bins
from pettutor.projector.tracing import axial_taps, new_rows, new_taps, trace
from pettutor.projector.vectors import IMAGES, gather_images, scatter_images

# No fastmath: whether a weight is zero has to come out the same when weights are counted and when they are stored.
exact = compiled(fastmath=False)


@exact
def _trace_rays(kind, lines, v, b, shape, rows, joined, ray_of):
    """Join the rows of all rays of a bin: returns their number. Addresses are those of a (y, x) image."""
    begin, pixels, shares, near, far = joined
    count = 0
    begin[0] = 0
    for ray in range(lines.shape[0]):
        line = lines[ray, v, b]
        for r in range(trace(kind, line, line.first, line.last, shape, (shape[1], 1), rows)):
            entry = begin[count]
            for e in range(rows[0][r], rows[0][r + 1]):
                pixels[entry], shares[entry] = rows[1][e], rows[2][e]
                entry += 1
            near[count], far[count], ray_of[count] = rows[3][r], rows[4][r], ray
            count += 1
            begin[count] = entry
    return count


@exact
def _by_pixel(joined, count, row_of):
    """The entries of the joined rows in the order of their pixels, and (``row_of``) the row of each."""
    begin, pixels = joined[:2]
    for r in range(count):
        row_of[begin[r] : begin[r + 1]] = r
    return np.argsort(pixels[: begin[count]], kind="mergesort")


@exact
def _factors(s, t, lines, v, b, segments, time, joined, ray_of, count, factors):
    """mm that a row's weights are multiplied with: its ray's length, shared among the rays and time-of-flight bins."""
    near, far = joined[3:]
    for r in range(count):
        length = math.hypot(lines[ray_of[r], v, b].length, segments[s].difference)
        factor = np.float32(length / lines.shape[0])
        if time[0].size:
            distance = 0.5 * (near[r] + far[r]) * length
            upper, lower = time[0][t + 1] - distance, time[0][t] - distance
            factor *= np.float32(cumulative(upper, time) - cumulative(lower, time))
        factors[r] = factor


@exact
def _list_of_rows(s, segments, footprint, shape, joined, order, row_of, taps, factors, out):
    """The list of one segment: a counting sort of the rows' voxels by z; rays that share a voxel are added up.

    ``out``: edges (voxels of layer k are edges[k]:edges[k + 1]), columns and weights. Layer 0 is the lowest that the
    segment's planes can bring into the image: plane m sees the layers from ``phases * (size - 1 - m)`` on.
    """
    pixels, shares = joined[1], joined[2]
    addresses, axial = taps[1], taps[2]
    edges, ends, columns, weights = out
    phases, capacity = footprint.phases, joined[3].size
    lowest = phases * (segments[s].size - 1)
    layers, pixels_in_layer = shape[0] + lowest, shape[1] * shape[2]
    edges[: layers + 1] = 0
    for storing in range(2):
        for e in order:
            r = row_of[e]
            if factors[r] == 0:
                continue
            weight_in_layer = factors[r] * shares[e]
            for phase in range(phases):
                for tap in range(footprint.taps):
                    entry = ((s * phases + phase) * footprint.taps + tap) * capacity + r
                    weight = weight_in_layer * axial[entry]
                    layer = phases * addresses[entry] + phase + lowest
                    if weight == 0 or layer < 0 or layer >= layers:
                        continue
                    if not storing:
                        edges[layer + 1] += 1
                        continue
                    column, place = layer * pixels_in_layer + pixels[e], ends[layer]
                    if place > edges[layer] and columns[place - 1] == column:
                        weights[place - 1] += weight
                    else:
                        columns[place], weights[place] = column, weight
                        ends[layer] += 1
        if not storing:
            for layer in range(layers):
                edges[layer + 1] += edges[layer]
                ends[layer] = edges[layer]
    # close the gaps that voxels shared by several rays have left
    place = 0
    for layer in range(layers):
        begin, end = edges[layer], ends[layer]
        edges[layer] = place
        if place == begin:
            place = end
            continue
        for e in range(begin, end):
            columns[place], weights[place] = columns[e], weights[e]
            place += 1
    edges[layers] = place


@exact
def _list_of_steep_line(s, t, lines, v, b, voxel, segments, footprint, time, shape, tall, one_bin, out):
    """The list of a line that Joseph's method walks along z: back project a 1 from plane 0 into a taller image."""
    edges, _, columns, weights = out
    segment, line = segments[s : s + 1].copy(), lines[:, v : v + 1, b : b + 1].copy()
    lowest = footprint.phases * (segments[s].size - 1)
    layers, pixels = shape[0] + lowest, shape[1] * shape[2]
    segment[0].middle += lowest
    segment[0].start, segment[0].size = 0, 1
    one_bin[:] = 0
    one_bin[0, 0, t, 0] = 1
    image = tall[:layers]
    image[:] = 0
    steep_lines(one_bin, voxel, (layers, shape[1], shape[2]), footprint, time, line, segment, image, True)
    place = 0
    flat = image.reshape(layers * pixels)
    for layer in range(layers):
        edges[layer] = place
        for column in range(layer * pixels, (layer + 1) * pixels):
            if flat[column] != 0:
                columns[place], weights[place] = column, flat[column]
                place += 1
    edges[layers] = place


@exact
def write_views(voxel, shape, footprint, time, lines, segments, steep, views, pointers, columns, weights):
    """Count the weights of every row of the views [views[0], views[1]) into ``pointers`` (row r's count is entry
    r + 1), or, where there is room in ``columns`` and ``weights``, store them where ``pointers`` says.

    Rows are in the order (view, bin, time-of-flight bin, plane). ``voxel``: its axial size in mm, ``shape``: (z, y, x)
    of the image, ``steep``: whether Joseph's method has to walk along z for some lines.
    """
    storing = columns.size > 0
    rays, _, bins = lines.shape
    phases, times = footprint.phases, time_bins(time)
    planes, most = 0, 0
    for s in range(segments.size):
        planes, most = planes + segments[s].size, max(most, segments[s].size)
    layers, pixels = shape[0] + phases * (most - 1), shape[1] * shape[2]
    rows = new_rows(shape[1:], footprint.pixels)
    capacity, entries = rays * rows[3].size, rays * rows[1].size
    joined = (
        np.zeros(capacity + 1, np.int64),
        np.zeros(entries, np.int64),
        np.zeros(entries, np.float32),
        np.zeros(capacity, np.float64),
        np.zeros(capacity, np.float64),
    )
    ray_of, row_of, factors = np.zeros(capacity, np.int64), np.zeros(entries, np.int64), np.zeros(capacity, np.float32)
    taps = new_taps(segments, footprint, capacity)
    # a steep line meets four pixels in every layer
    room = max(entries * phases * footprint.taps, 4 * layers)
    out = (
        np.zeros(layers + 1, np.int64), np.zeros(layers + 1, np.int64), np.zeros(room, np.int64),
        np.zeros(room, np.float32),
    )  # fmt: skip
    edges, _, listed_columns, listed_weights = out
    tall = np.zeros((layers if steep else 0, shape[1], shape[2]), np.float32)
    one_bin = np.zeros((1, 1, times, 1), np.float32)
    nowhere = np.zeros(segments.size + 1, np.int64)  # addresses are to be voxels, not places in memory
    for v in range(views[0], views[1]):
        for b in range(bins):
            if not lines[0, v, b].live:
                continue
            count = _trace_rays(footprint.kind, lines, v, b, shape[1:], rows, joined, ray_of)
            if count == 0 and not steep:
                continue
            axial_taps(segments, footprint, joined, count, (nowhere, 0, 0, 1), taps)
            order = _by_pixel(joined, count, row_of)
            for s in range(segments.size):
                size = segments[s].size
                for t in range(times):
                    if steep and footprint.kind == POINT and segments[s].difference > lines[0, v, b].reach:
                        _list_of_steep_line(
                            s, t, lines, v, b, voxel, segments, footprint, time, shape, tall, one_bin, out
                        )
                    else:
                        _factors(s, t, lines, v, b, segments, time, joined, ray_of, count, factors)
                        _list_of_rows(s, segments, footprint, shape, joined, order, row_of, taps, factors, out)
                    first = ((v * bins + b) * times + t) * planes + segments[s].start
                    for m in range(size):
                        row = first + m * segments[s].step
                        layer = phases * (size - 1 - m)
                        begin, end = edges[layer], edges[layer + shape[0]]
                        if not storing:
                            pointers[row + 1] = end - begin
                            continue
                        place, above = pointers[row], layer * pixels
                        column, weight = columns[place : place + end - begin], weights[place : place + end - begin]
                        listed_column, listed_weight = listed_columns[begin:end], listed_weights[begin:end]
                        for e in range(end - begin):
                            column[e], weight[e] = listed_column[e] - above, listed_weight[e]


@compiled
def multiply_views(pointers, columns, weights, rows, views, image, sinogram):
    """sinogram[n] = the ``rows`` rows of the view views[n], times the image (flat).

    Here and below a row is a slice: numba then tests no index for being negative, and LLVM makes vector code of it.
    """
    for n in range(views.size):
        for r in range(rows):
            begin, end = pointers[views[n] * rows + r], pointers[views[n] * rows + r + 1]
            column, weight = columns[begin:end], weights[begin:end]
            total = np.float32(0)
            for e in range(column.size):
                total += weight[e] * image[column[e]]
            sinogram[n, r] = total


@compiled
def spread_views(pointers, columns, weights, rows, views, sinogram, image):
    """Add the transposed rows of the views, times ``sinogram`` (view, row), to the image (flat)."""
    for n in range(views.size):
        for r in range(rows):
            value = sinogram[n, r]
            if value == 0:
                continue
            begin, end = pointers[views[n] * rows + r], pointers[views[n] * rows + r + 1]
            column, weight = columns[begin:end], weights[begin:end]
            for e in range(column.size):
                image[column[e]] += weight[e] * value


@compiled
def multiply_views_many(pointers, columns, weights, rows, views, images, sinograms):
    """As `multiply_views` for IMAGES images: ``images`` (voxel, image) flat, ``sinograms`` (view, row, image) flat."""
    for n in range(views.size):
        for r in range(rows):
            row = views[n] * rows + r
            gather_images(
                sinograms, (n * rows + r) * IMAGES, images, columns, weights, pointers[row], pointers[row + 1]
            )


@compiled
def spread_views_many(pointers, columns, weights, rows, views, sinograms, images):
    """As `spread_views` for IMAGES sinograms (view, row, image), flat, into images (voxel, image), flat."""
    for n in range(views.size):
        for r in range(rows):
            row = views[n] * rows + r
            scatter_images(
                sinograms, (n * rows + r) * IMAGES, images, columns, weights, pointers[row], pointers[row + 1]
            )
