"""The projector on the CPU: lays the arrays out, shares the kernels' work out to threads, and lays the result back."""

import numpy as np

from pettutor.projector.compiling import first_call_told
from pettutor.projector.flat import adjoint_stripe_flat, forward_flat, is_flat, share_of_plane
from pettutor.projector.kernels import adjoint_stripe, forward_views
from pettutor.projector.steep import any_steep, steep_lines
from pettutor.projector.timing import time_table
from pettutor.projector.tracing import padded, row_pitch
from pettutor.threads import parts, reorder, share_out, thread_count

# Stripes of the image for each thread: fewer mean less repeated work, more a fairer share.
STRIPES = 3


def _empty_rows(grid, phases):
    """Zeros laid out as the kernels take an image, (y, x, phase, a), and the number of voxels of a phase."""
    nz, ny, nx = grid.shape
    voxels = -(-nz // phases)
    return np.zeros((ny, row_pitch(nx), phases, padded(voxels)), np.float32), voxels


@first_call_told(forward_views, adjoint_stripe, steep_lines, forward_flat, adjoint_stripe_flat)
def forward(image, geometry):
    """Project a float32 image (z, y, x) to a sinogram (plane, view, bin[, tof]).

    Its memory is laid out (view, bin[, tof], plane).
    """
    grid, lines, segments, footprint, tof = geometry
    if is_flat(geometry):
        return _forward_flat(image[0], geometry)
    rows, voxels = _empty_rows(grid, footprint.phases)
    nx = grid.shape[2]
    for phase in range(footprint.phases):
        part = image[phase :: footprint.phases]
        reorder(part.transpose(1, 2, 0), rows[:, :nx, phase, : len(part)])
    _, views, bins = lines.shape
    sinogram = np.empty((views, bins, tof.bins if tof else 1, int(segments["size"].sum())), np.float32)
    common = (voxels, grid.shape[1:], footprint, time_table(tof), lines, segments)
    share_out(lambda a, b: forward_views(rows.ravel(), *common, (a, b), sinogram), parts(views, 4 * thread_count()))
    if any_steep(lines, segments, footprint):
        steep_lines(sinogram, grid.voxel_size[0], grid.shape, *common[2:], image, False)
    return sinogram.transpose(3, 0, 1, 2) if tof else sinogram[:, :, 0].transpose(2, 0, 1)


@first_call_told(forward_views, adjoint_stripe, steep_lines, forward_flat, adjoint_stripe_flat)
def adjoint(sinogram, geometry):
    """Back project a float32 sinogram (plane, view, bin[, tof]) to an image (z, y, x)."""
    grid, lines, segments, footprint, tof = geometry
    if is_flat(geometry):
        return _adjoint_flat(sinogram[0], geometry)
    ny, nx = grid.shape[1:]
    by_view = np.moveaxis(sinogram, 0, -1)
    if not by_view.flags.c_contiguous:
        by_view = np.empty(by_view.shape, np.float32)
        reorder(np.moveaxis(sinogram, 0, -1), by_view)
    by_view = by_view.reshape(*by_view.shape[:2], -1, by_view.shape[-1])
    rows, voxels = _empty_rows(grid, footprint.phases)
    common = (voxels, grid.shape[1:], footprint, time_table(tof), lines, segments)
    _in_stripes(grid, lambda along_y, stripe: adjoint_stripe(by_view, *common, along_y, stripe, rows.ravel()))
    image = np.empty(grid.shape, np.float32)
    for phase in range(footprint.phases):
        part = image[phase :: footprint.phases]
        cube = rows[:, :nx, phase, : len(part)]
        share_out(
            lambda a, b, part=part, cube=cube: np.copyto(part[:, a:b], cube[a:b].transpose(2, 0, 1)),
            parts(ny, 4 * thread_count()),
        )
    if any_steep(lines, segments, footprint):
        steep_lines(by_view, grid.voxel_size[0], grid.shape, *common[2:], image, True)
    return image


def _in_stripes(grid, back_project):
    """Call ``back_project(along_y, stripe)`` for all stripes, those of one axis side by side."""
    for along_y, planes in ((0, grid.shape[2]), (1, grid.shape[1])):
        share_out(lambda a, b, along_y=along_y: back_project(along_y, (a, b)), parts(planes, STRIPES * thread_count()))


def _forward_flat(plane, geometry):
    """`forward` of the only plane of an image."""
    grid, lines, segments, footprint, _ = geometry
    ny, nx = grid.shape[1:]
    rows = np.zeros((ny, row_pitch(nx)), np.float32)
    rows[:, :nx] = plane
    sinogram = np.empty((*lines.shape[1:], 1), np.float32)
    common = ((ny, nx), footprint, lines, share_of_plane((ny, nx), footprint, segments))
    share_out(
        lambda a, b: forward_flat(rows.ravel(), *common, (a, b), sinogram[..., 0]),
        parts(len(sinogram), 4 * thread_count()),
    )
    return sinogram.transpose(2, 0, 1)


def _adjoint_flat(plane, geometry):
    """`adjoint` of the only plane of a sinogram."""
    grid, lines, segments, footprint, _ = geometry
    ny, nx = grid.shape[1:]
    rows, plane = np.zeros((ny, row_pitch(nx)), np.float32), np.ascontiguousarray(plane)
    common = ((ny, nx), footprint, lines, share_of_plane((ny, nx), footprint, segments))
    _in_stripes(grid, lambda along_y, stripe: adjoint_stripe_flat(plane, *common, along_y, stripe, rows.ravel()))
    return np.ascontiguousarray(rows[np.newaxis, :, :nx])
