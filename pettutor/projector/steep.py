"""Joseph's method for lines more parallel to z than to x and y: short chords of steep segments.

Rare in real scanners, so kept simple: one line after the other, walked along z.
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.footprints import POINT
from pettutor.projector.timing import cumulative, time_bins


def any_steep(lines, segments, footprint):
    """Whether Joseph's method has to walk along z for a line of the scanner; the other models never do."""
    reach = lines["reach"][lines["live"] > 0]
    return footprint.kind == POINT and float(segments["difference"].max()) > float(reach.min(initial=np.inf))


@compiled
def steep_lines(sinogram, voxel, shape, footprint, time, lines, segments, image, backward):
    """Add to ``sinogram`` (view, bin, time-of-flight bin, plane), or (``backward``) to ``image`` (z, y, x).

    ``voxel``: its axial size in mm. On every voxel plane across z, bilinear interpolation times the line's length per
    plane, ``voxel / |cos|``.
    """
    nz, ny, nx = shape
    for v in range(lines.shape[1]):
        for b in range(lines.shape[2]):
            line = lines[0, v, b]
            if not line.live:
                continue
            for segment in segments:
                if segment.difference <= line.reach:
                    continue
                length = math.hypot(line.length, segment.difference)
                scale = np.float32(voxel * length / segment.difference)
                for m in range(segment.size):
                    plane = segment.start + m * segment.step
                    centre = segment.middle + m * footprint.phases
                    for k in range(nz):
                        from_middle = (k - centre) / segment.slope  # fraction of the line
                        if abs(from_middle) > 0.5:
                            continue
                        step = (from_middle + 0.5 - line.fraction) / line.fraction_step
                        at = line.cross + step * line.cross_step
                        i, j = int(np.floor(step)), int(np.floor(at))
                        along, across = np.float32(step - i), np.float32(at - j)
                        for t in range(time_bins(time)):
                            share = scale
                            if time[0].size:
                                d = from_middle * length
                                share *= cumulative(time[0][t + 1] - d, time) - cumulative(time[0][t] - d, time)
                                if share == 0:
                                    continue
                            value, total = sinogram[v, b, t, plane] * share, np.float32(0)
                            for di in range(2):
                                for dj in range(2):
                                    y, x = (i + di, j + dj) if line.along_y else (j + dj, i + di)
                                    if y < 0 or y >= ny or x < 0 or x >= nx:
                                        continue
                                    weight = (along if di else 1 - along) * (across if dj else 1 - across)
                                    if backward:
                                        image[k, y, x] += weight * value
                                    else:
                                        total += weight * image[k, y, x]
                            if not backward:
                                sinogram[v, b, t, plane] += total * share
