"""Expected randoms from the delayeds: few singles rates instead of many noisy bins."""

import numpy as np

from pettutor.arrays import check_array
from pettutor.geometry import Scanner
from pettutor.geometry.ring_pairs import ring_pair_sums


def fan_sums(counts, scanner):
    """For each crystal the counts of all bins that it is an end of.

    Parameters
    ----------
    counts : real array (plane, view, bin)
    scanner : Scanner
        With span 1: in a plane of several ring pairs nobody can tell any more which crystals it were. (A list-mode file
        can: ``pt.io.read_listmode(...).delayed_fans``, for any span.)

    Returns
    -------
    float64 (ring, crystal position)

    Raises
    ------
    TypeError, ValueError
        Another shape than the scanner's sinogram, or a span that is not 1.
    """
    _check_scanner(scanner)
    check_array(counts, "counts", shape=scanner.sinogram_shape, dtype=None)
    if scanner.span != 1:
        raise ValueError(
            f"scanner: expected span 1, got span {scanner.span}; for a list-mode file take its delayed_fans"
        )
    fans = np.zeros((scanner.rings, scanner.crystal_positions))
    ends = scanner.bin_crystals.reshape(-1, 2)
    ring0, ring1 = np.nonzero(scanner.plane_of_ring_pair >= 0)
    for rings in zip(ring0, ring1, strict=True):
        plane = counts[scanner.plane_of_ring_pair[rings]].reshape(-1)
        for end, ring in enumerate(rings):
            fans[ring] += np.bincount(ends[:, end], plane, minlength=scanner.crystal_positions)
    return fans


def smooth_randoms(fans, scanner, *, tolerance=1e-7, iterations=200):
    """Expected randoms by the product model: in every pair of crystals ``q_i q_j``, with one number q a crystal.

    Two singles that meet by chance know nothing of each other, so their rate is the product of the two singles rates
    (times the width of the time window, which q takes in). The delayeds of the mMR have millions of bins with a handful
    of counts in each; one number for each of 28,672 crystals explains them all. The maximum-likelihood estimate solves
    ``q_i Σ_j q_j = F_i`` for every crystal i with the fan sum F_i of its delayeds, over all crystals j that i is in
    coincidence with. It is found by ``q ← √(q F / Σ q)``, which converges.

    Parameters
    ----------
    fans : array (ring, crystal position)
        Delayeds that each crystal took part in: ``ListMode.delayed_fans``, or :func:`fan_sums`.
    scanner : Scanner
        Any span.
    tolerance : float
        The iteration ends when no q has changed by more than this share of it.
    iterations : int
        Most that are made.

    Returns
    -------
    float32 (plane, view, bin)
        In counts, 0 in the gaps; a transposed view of memory laid out (view, bin, plane).

    Raises
    ------
    TypeError, ValueError
        Another shape; fan sums that are negative, not finite, or above 0 in a gap.
    RuntimeError
        The iteration has not come to its end.

    References
    ----------
    M. E. Casey, E. J. Hoffman, J. Comput. Assist. Tomogr. 10(5):845, 1986: randoms from smoothed estimates of the
    singles.
    """
    _check_scanner(scanner)
    shape = (scanner.rings, scanner.crystal_positions)
    fans = check_array(np.asarray(fans), "fans", shape=shape, dtype=None, nonnegative=True).astype(float)
    if in_gaps := float(fans[:, ~scanner.live_crystals].sum()):
        raise ValueError(f"fans: expected 0 where there is no crystal, got {in_gaps:g} counts in gaps")
    seen_by = _fan_matrix(scanner)
    together = (scanner.plane_of_ring_pair >= 0).astype(float)  # (ring, ring), symmetric
    singles = fans / np.sqrt(max(fans.sum(), 1.0))
    for _ in range(iterations):
        partners = together @ singles @ seen_by
        better = np.sqrt(singles * np.divide(fans, partners, out=np.zeros_like(fans), where=partners > 0))
        done = np.abs(better - singles).max() <= tolerance * better.max()
        singles = better
        if done:
            return ring_pair_sums(scanner, singles)
    raise RuntimeError(
        f"smooth_randoms: expected convergence within {iterations} iterations to {tolerance:g}, got none"
    )


def _fan_matrix(scanner):
    """float64 (position, position): how many bins of a plane join two crystals."""
    ends = scanner.bin_crystals[scanner.live_bins]
    matrix = np.zeros((scanner.crystal_positions,) * 2)
    for one, other in ((0, 1), (1, 0)):
        np.add.at(matrix, (ends[:, one], ends[:, other]), 1.0)
    return matrix


def _check_scanner(scanner):
    if not isinstance(scanner, Scanner):
        raise TypeError(f"scanner: expected a pettutor.Scanner, got {scanner!r:.80}")
