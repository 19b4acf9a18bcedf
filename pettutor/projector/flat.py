"""The projector's numba kernels for a single plane: an image of one, and lines that stay in theirs.

In `kernels` the planes go through the processor's vector registers side by side. Where there is only one, the rest of
every register is empty, and every voxel takes the memory of LANES of them. Here a line is the sum over its pixels

    y_i = length_i w sum_j s_ij x_j

with the shares s of `tracing.trace` and the axial footprint w, which is one number for all lines. Its results are those
of `kernels` but for rounding.
"""

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.tracing import axial_taps, new_rows, new_taps, row_pitch, trace


def is_flat(geometry):
    """Whether image and sinogram have one plane only (that of a single ring: no line of response is oblique)."""
    grid, _, segments, _, tof = geometry
    return tof is None and grid.shape[0] == 1 and segments["size"].sum() == 1


@compiled
def share_of_plane(shape, footprint, segments):
    """The axial footprint: what share of the sinogram's plane the image's takes."""
    rows = new_rows(shape, footprint.pixels)  # of a line in the middle: near and far are 0
    capacity = rows[3].size
    taps = new_taps(segments, footprint, capacity)
    axial_taps(segments, footprint, rows, 1, (np.zeros(1, np.int64), 0, 0, 1), taps)
    _, addresses, weights, _ = taps
    share = np.float32(0)
    for tap in range(footprint.taps):
        if addresses[tap * capacity] == 0:
            share += weights[tap * capacity]
    return share


@compiled
def forward_flat(image, shape, footprint, lines, share, views, sinogram):
    """Project ``image`` (flat; y, x) into the views [views[0], views[1]) of ``sinogram`` (view, bin)."""
    strides, rows = (row_pitch(shape[1]), 1), new_rows(shape, footprint.pixels)
    begin, pixels, shares, _, _ = rows
    for v in range(views[0], views[1]):
        for b in range(lines.shape[2]):
            sinogram[v, b] = 0
            for ray in range(lines.shape[0]):
                line = lines[ray, v, b]
                count = trace(footprint.kind, line, line.first, line.last, shape, strides, rows)
                total = np.float32(0)
                for entry in range(begin[count]):
                    total += shares[entry] * image[pixels[entry]]
                sinogram[v, b] += share * np.float32(line.length / lines.shape[0]) * total


@compiled
def adjoint_stripe_flat(sinogram, shape, footprint, lines, share, along_y, stripe, image):
    """Back project every line that walks along y (or x) into the columns [stripe[0], stripe[1]) of that axis of
    ``image`` (flat; y, x). Stripes of one axis share no pixel: threads need no copies and no locks.
    """
    strides, rows = (row_pitch(shape[1]), 1), new_rows(shape, footprint.pixels)
    begin, pixels, shares, _, _ = rows
    for v in range(lines.shape[1]):
        for b in range(lines.shape[2]):
            for ray in range(lines.shape[0]):
                line = lines[ray, v, b]
                low, high = max(line.first, stripe[0]), min(line.last, stripe[1])
                if high <= low or line.along_y != along_y:
                    continue
                count = trace(footprint.kind, line, low, high, shape, strides, rows)
                value = share * np.float32(line.length / lines.shape[0]) * sinogram[v, b]
                for entry in range(begin[count]):
                    image[pixels[entry]] += shares[entry] * value
