"""Time of flight in numba: the share of every row of a line that falls into a bin along the line.

``time`` is (edges of the bins in mm from the line's middle, none without time of flight; table of the cut-off
Gaussian's cumulative shares; its reach in mm).
"""

import math

import numpy as np

from pettutor.projector.compiling import compiled
from pettutor.projector.tracing import BATCH


def time_table(tof):
    """``time`` for a `TimeOfFlight`, or for None."""
    if tof is None:
        return np.zeros(0), np.zeros(2), 1.0
    return tof.edges, tof.cumulative(np.linspace(-tof.reach, tof.reach, 2049)), tof.reach


@compiled
def cumulative(distance, time):
    """Share of the time-of-flight Gaussian below ``distance`` mm, by linear interpolation in a table (error < 1e-6)."""
    _, table, reach = time
    at = (distance + reach) / (2 * reach) * (table.size - 1)
    if at <= 0:
        return 0.0
    if at >= table.size - 1:
        return 1.0
    whole = int(at)
    return table[whole] + (at - whole) * (table[whole + 1] - table[whole])


@compiled
def time_bins(time):
    """Number of time-of-flight bins; 1 where there is no time of flight (no edges)."""
    return max(1, time[0].size - 1)


@compiled
def weigh_by_time(time, t, line, segments, rows, count, each, taps, timed):
    """timed = weights x share of every row in time-of-flight bin ``t``: returns the rows [first, last) that it sees.

    They begin at a multiple of BATCH; rows of the first and last batch that it does not see get the weight 0.
    """
    edges, _, reach = time
    near, far = rows[3], rows[4]
    capacity = near.size
    shortest, longest = np.inf, 0.0
    for s in range(segments.size):
        length = math.hypot(line.length, segments[s].difference)
        shortest, longest = min(shortest, length), max(longest, length)
    first, last = count, 0
    for r in range(count):
        middle = 0.5 * (near[r] + far[r])
        one, other = middle * shortest, middle * longest  # between them lie the distances in all segments
        if min(one, other) < edges[t + 1] + reach and max(one, other) > edges[t] - reach:
            first, last = min(first, r), r + 1
    if last == 0:
        return 0, 0
    first = first // BATCH * BATCH
    last = min(count, (last + BATCH - 1) // BATCH * BATCH)
    share = taps[3][0]
    for s in range(segments.size):
        length = math.hypot(line.length, segments[s].difference)
        for r in range(first, last):
            distance = 0.5 * (near[r] + far[r]) * length
            share[r] = np.float32(cumulative(edges[t + 1] - distance, time) - cumulative(edges[t] - distance, time))
        for n in range(each):
            entry = (s * each + n) * capacity
            for r in range(first, last):
                timed[entry + r] = taps[2][entry + r] * share[r]
    return first, last
