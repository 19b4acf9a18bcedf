"""Ordered-subsets expectation maximisation."""

import numpy as np

from pettutor.reconstruction.passes import run_passes

ORDERS = ("interleaved", "random")


def osem(
    y,
    A,
    *,
    iterations=3,
    subsets=8,
    order="interleaved",
    seed=0,
    background=None,
    start=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
):
    """Reconstruct by OSEM: MLEM's update for one subset of the views after the other.

    ``x ← x / (A_kᵀ1) · A_kᵀ(y_k / (A_k x + r_k))``, k = all subsets in turn. A pass costs about as much as an iteration
    of MLEM and, early on, gains as much as ``subsets`` of them. It does not converge to the maximum of the likelihood
    but ends in a cycle near it, the further off the fewer counts a subset has.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
        With ``A.subset(k, n)``: a projector, an acquisition model, a list-mode projector, a stored matrix.
    iterations : int
        Passes over all data, from ``start``.
    subsets : int
        Subset k holds the views k, k + subsets, k + 2 subsets … (for list mode, the events). 1 is MLEM.
    order : str
        ``"interleaved"``: the same in every pass, views far from those just used come next (bit reversal:
        0 4 2 6 1 5 3 7). ``"random"``: drawn anew for every pass.
    seed : int or numpy.random.Generator
        Draws the random order. With an int it depends on the passes that ``record`` holds already, so that
        continuing with the same record is one long run.
    background, start, mask, sensitivity, callback, progress
        As for `mlem`; ``callback`` comes after every pass.
    record : Record, optional
        Its log-likelihood is the sum over the subsets, each at the image that enters it.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the image after the last finished pass and says so.

    Raises
    ------
    TypeError, ValueError
        As `mlem`; subsets out of range; an unknown order.
    NotImplementedError
        An operator without subsets.

    References
    ----------
    H. M. Hudson, R. S. Larkin, IEEE Trans. Med. Imaging 13(4):601, 1994.
    """
    if isinstance(subsets, bool) or not isinstance(subsets, (int, np.integer)) or subsets < 1:
        raise ValueError(f"subsets: expected a whole number >= 1, got {subsets!r}")
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {', '.join(map(repr, ORDERS))}, got {order!r}")

    def order_of_pass(finished):
        if order == "interleaved":
            return interleaved_order(subsets)
        drawn = seed if isinstance(seed, np.random.Generator) else np.random.default_rng((seed, finished))
        return drawn.permutation(subsets).tolist()

    return run_passes(
        "OSEM", y, A, subsets=int(subsets), order=order_of_pass, iterations=iterations, background=background,
        start=start, mask=mask, sensitivity=sensitivity, record=record, callback=callback, progress=progress,
    )  # fmt: skip


def interleaved_order(subsets):
    """range(subsets) so that neighbours in time lie far apart: by their binary digits read backwards."""
    digits = max(1, (subsets - 1).bit_length())
    return sorted(range(subsets), key=lambda k: int(f"{k:0{digits}b}"[::-1], 2))
