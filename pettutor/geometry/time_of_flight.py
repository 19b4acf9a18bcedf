"""Time of flight: where along its line of response an event is thought to have happened."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pettutor.geometry.checks import check_count, check_length

# Light travels this far in a picosecond; an event moves by half of it for every picosecond between its two photons.
LIGHT_MM_PER_PICOSECOND = 0.299792458


@dataclass(frozen=True)
class TimeOfFlight:
    """Time-of-flight bins along every line of response.

    Parameters
    ----------
    bins : int
    width : float
        Width of a bin along the line, mm.
    resolution : float
        Full width at half maximum of the Gaussian that an event's position is smeared with, mm.

    Bin t covers the distances from ``edges[t]`` to ``edges[t + 1]`` from the line's middle, positive towards its second
    end. The Gaussian is cut off at 3 standard deviations and normalised again, so that the sum over the bins is the
    projection without time of flight for everything that lies at least 3 standard deviations inside the outermost
    edges; what lies further out is only partly seen, or not at all. A voxel counts with the position of the
    middle of the line's part in its column (y, x); for Joseph's method and the distance-driven one, with the position
    on the plane through its middle.

    Raises
    ------
    TypeError, ValueError
        Fewer than 1 bin; a width or resolution that is not a length > 0.

    Examples
    --------
    >>> TimeOfFlight.from_picoseconds(bins=13, width=312, resolution=550).width
    46.767623448
    """

    bins: int
    width: float
    resolution: float

    def __post_init__(self):
        check_count(self.bins, "bins")
        check_length(self.width, "width")
        check_length(self.resolution, "resolution")

    @classmethod
    def from_picoseconds(cls, bins, width, resolution):
        """Bins of ``width`` and a resolution (FWHM) given as differences of arrival times, in picoseconds."""
        half = 0.5 * LIGHT_MM_PER_PICOSECOND
        return cls(bins, half * width, half * resolution)

    @property
    def sigma(self):
        """Standard deviation of the Gaussian, mm."""
        return self.resolution / (2 * math.sqrt(2 * math.log(2)))

    @property
    def reach(self):
        """Where the Gaussian is cut off: 3 standard deviations, mm."""
        return 3 * self.sigma

    @cached_property
    def edges(self):
        """float64 (bins + 1,): borders of the bins, mm from the middle of the line."""
        return (np.arange(self.bins + 1) - 0.5 * self.bins) * self.width

    def cumulative(self, distance):
        """Share of the cut-off Gaussian below ``distance`` (mm, an array of any shape): 0 below -reach, 1 above."""
        erf = np.vectorize(math.erf, otypes=[float])
        part = np.clip(np.asarray(distance, dtype=float) / self.sigma, -3, 3)
        return 0.5 * (1 + erf(part / math.sqrt(2)) / math.erf(3 / math.sqrt(2)))

    def weights(self, distance):
        """Share of an event at ``distance`` (mm from the line's middle, any shape) in each bin: shape (…, bins)."""
        return np.diff(self.cumulative(self.edges - np.asarray(distance, dtype=float)[..., None]), axis=-1)
