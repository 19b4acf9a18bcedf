"""Ordered-subsets expectation maximisation."""

from pettutor.reconstruction.passes import order_of_passes, run_passes


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
    return run_passes(
        "OSEM", y, A, subsets=subsets, order=order_of_passes(subsets, order, seed), iterations=iterations,
        background=background, start=start, mask=mask, sensitivity=sensitivity, record=record, callback=callback,
        progress=progress,
    )  # fmt: skip
