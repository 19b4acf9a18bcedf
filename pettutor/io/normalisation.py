"""The normalisation of the Siemens Biograph mMR: its file of components, and the factor of every bin."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pettutor.arrays import random_generator
from pettutor.files import existing_file, whole_file
from pettutor.geometry.ring_pairs import ring_pair_sums
from pettutor.io import mmr

SHAPES = {  # in the order of the file
    "geometric": (127, mmr.BINS),
    "crystal_interference": (mmr.BINS, 9),
    "crystal_efficiencies": (mmr.RINGS, mmr.CRYSTALS),
    "axial_effects": (837,),
    "paralysing_dead_time": (mmr.RINGS,),
    "non_paralysing_dead_time": (mmr.RINGS,),
    "crystal_dead_time": (9,),
    "additional_axial_effects": (837,),
}
BYTES = 4 * sum(int(np.prod(shape)) for shape in SHAPES.values())  # 323,404


@dataclass(frozen=True, eq=False, repr=False)
class Normalisation:
    """Components of a normalisation; all float32.

    Attributes
    ----------
    geometric : numpy.ndarray
        (127, 344): by the sum of the two rings, and by bin.
    crystal_interference : numpy.ndarray
        (344, 9): by bin, and by view modulo 9, the positions of a block.
    crystal_efficiencies : numpy.ndarray
        (64, 504): by ring and crystal position.
    axial_effects : numpy.ndarray
        (837,): by plane with span 11, in the order of the file; these *divide*.
    paralysing_dead_time, non_paralysing_dead_time : numpy.ndarray
        (64,): by ring, s.
    crystal_dead_time, additional_axial_effects : numpy.ndarray
        (9,) and (837,): kept for the way back to a file, and not used. Their meaning is not known to us, and NiftyPET
        does not use them either.

    Raises
    ------
    ValueError
        Another shape, values that are not finite, efficiencies below 0 or axial effects that are not above 0.
    """

    geometric: np.ndarray
    crystal_interference: np.ndarray
    crystal_efficiencies: np.ndarray
    axial_effects: np.ndarray
    paralysing_dead_time: np.ndarray
    non_paralysing_dead_time: np.ndarray
    crystal_dead_time: np.ndarray
    additional_axial_effects: np.ndarray

    def __post_init__(self):
        for name, shape in SHAPES.items():
            values = np.asarray(getattr(self, name), dtype=np.float32)
            if values.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{name}: expected finite values, got {int((~np.isfinite(values)).sum())} that are not"
                )
            object.__setattr__(self, name, values)
        for name in ("geometric", "crystal_interference", "crystal_efficiencies"):
            if (lowest := float(getattr(self, name).min())) < 0:
                raise ValueError(f"{name}: expected values >= 0, got {lowest:g}")
        if (lowest := float(self.axial_effects.min())) <= 0:
            raise ValueError(f"axial_effects: expected values above 0, got {lowest:g}")

    def live_times(self, bucket_singles):
        """Share of the time that each crystal can see, from the singles rate b of its bucket.

        ``exp(½ b p / (1 + ½ b n)) / (1 + ½ b n)``, with the ring's paralysing and non-paralysing dead times p and n.

        Parameters
        ----------
        bucket_singles : array (224,)
            Counts per second, as in ``ListMode.bucket_singles``.

        Returns
        -------
        float64 (ring, crystal position) of the whole mMR

        Raises
        ------
        ValueError
            Another shape; rates below 0, or NaN where a bucket has not reported.
        """
        rates = np.asarray(bucket_singles, dtype=float)
        if rates.shape != (mmr.BUCKETS,):
            raise ValueError(f"bucket_singles: expected {mmr.BUCKETS} rates, got shape {rates.shape}")
        if not (np.isfinite(rates) & (rates >= 0)).all():
            wrong = int((~np.isfinite(rates) | (rates < 0)).sum())
            raise ValueError(
                f"bucket_singles: expected rates >= 0, got {wrong} that are not (a file that reports none has NaN: "
                f"pass None, and dead time is left out)"
            )
        half = 0.5 * rates[mmr.buckets_of_crystals()]
        slowed = 1 + half * self.non_paralysing_dead_time[:, None]
        return np.exp(half * self.paralysing_dead_time[:, None] / slowed) / slowed

    def factors(self, scanner, bucket_singles=None, *, first_ring=None):
        """The normalisation sinogram: relative sensitivity of every bin, which *multiplies* what is expected.

        The factor of a ring pair is geometric · interference · efficiency of c0 · efficiency of c1 · both live times
        / axial effects. A plane counts the events of all its ring pairs, so theirs are added. Gaps are 0.

        It is the ``normalisation`` of an `AcquisitionModel`, up to the scan's calibration, which the file does not
        hold: images come out in arbitrary units.

        Parameters
        ----------
        scanner : Scanner
            ``Scanner.preset("mmr")`` with any span, or some of its rings. With another span than 11 a ring pair has
            the axial effects of its plane with span 11: the file holds no finer ones.
        bucket_singles : array (224,), optional
            For the dead time; without it, none is assumed.
        first_ring : int, optional
            As for :func:`read_listmode`.

        Returns
        -------
        float32 (plane, view, bin), a transposed view of memory laid out (view, bin, plane)

        Raises
        ------
        TypeError, ValueError
            A scanner of another make; rates of another shape, or that are not there.
        """
        first_ring = mmr.check_scanner(scanner, first_ring)
        crystals = self.crystal_efficiencies.astype(float)
        if bucket_singles is not None:
            crystals *= self.live_times(bucket_singles)
        rings = slice(first_ring, first_ring + scanner.rings)
        axial = self.axial_effects[mmr.pairs_in_file(mmr.plane_in_file(11), scanner, first_ring)]
        table = ring_pair_sums(scanner, crystals[rings], 1 / axial.astype(float)).transpose(1, 2, 0)

        plane_of = scanner.plane_of_ring_pair
        ring0, ring1 = np.nonzero(plane_of >= 0)
        sum_of_rings = np.zeros(table.shape[-1], int)  # the same for all ring pairs of a plane
        sum_of_rings[plane_of[ring0, ring1]] = ring0 + ring1 + 2 * first_ring
        geometric = self.geometric[sum_of_rings].T  # (bin, plane)
        for view in range(scanner.views):
            table[view] *= geometric * self.crystal_interference[:, view % 9, None]
        return table.transpose(2, 0, 1)

    def __repr__(self):
        seen = self.crystal_efficiencies[self.crystal_efficiencies > 0]
        spread = f", spread {seen.std() / seen.mean():.1%}" if len(seen) else ""
        return f"<Normalisation of the mMR: {len(seen)} crystals with an efficiency{spread}>"


def read_normalisation(path):
    """Read the components of an mMR's normalisation file (``.n``, or ``.bf`` beside a DICOM header).

    Returns
    -------
    Normalisation

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file, or a folder of that name.
    ValueError
        A file of another size than 323,404 bytes, or components that cannot be.
    """
    path = existing_file(path, "a normalisation file")
    if path.stat().st_size != BYTES:
        raise ValueError(f"{path}: expected the {BYTES} bytes of an mMR's normalisation, got {path.stat().st_size}")
    values = np.fromfile(path, "<f4")
    parts = np.split(values, np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1])
    return Normalisation(**{name: part.reshape(SHAPES[name]) for name, part in zip(SHAPES, parts, strict=True)})


def write_normalisation(path, normalisation):
    """Write the components as the scanner's own file; a file of that name is replaced, only by a whole new one.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    TypeError
        No `Normalisation`.
    FileNotFoundError
        There is no such folder.
    """
    if not isinstance(normalisation, Normalisation):
        raise TypeError(f"normalisation: expected a pettutor.io.Normalisation, got {normalisation!r:.80}")
    with whole_file(path) as file:
        for name in SHAPES:
            getattr(normalisation, name).astype("<f4").tofile(file)
    return Path(path)


def example_normalisation(seed):
    """A made-up normalisation with features of a real one's size: for lessons and tests.

    Crystals differ by 10 % at random, those at the edge of a block see 15 % less; interference and axial effects are
    2 and 4 %; bins gain towards the edge; a bucket with 100,000 singles a second is blind for 5 % of the time.

    Parameters
    ----------
    seed : int or numpy.random.Generator

    Returns
    -------
    Normalisation
    """
    rng = random_generator(seed)

    def around_one(shape, spread):
        return np.exp(spread * rng.standard_normal(shape))

    place = np.arange(mmr.CRYSTALS) % 9
    edges = np.where(np.isin(place, (0, 7)), 0.85, 1.0) * (place < 8)  # 8: the gap
    offset = (np.arange(mmr.BINS) - mmr.BINS / 2) / (mmr.BINS / 2)
    return Normalisation(
        geometric=(1 + 0.2 * offset**2) * around_one((127, 1), 0.01),
        crystal_interference=around_one((mmr.BINS, 9), 0.02),
        crystal_efficiencies=edges * around_one((mmr.RINGS, mmr.CRYSTALS), 0.1),
        axial_effects=around_one(837, 0.04),
        paralysing_dead_time=np.zeros(mmr.RINGS),
        non_paralysing_dead_time=np.full(mmr.RINGS, 1.05e-6),
        crystal_dead_time=np.zeros(9),
        additional_axial_effects=np.ones(837),
    )
