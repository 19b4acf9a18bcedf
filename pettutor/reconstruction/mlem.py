"""Maximum-likelihood expectation maximisation."""

from pettutor.reconstruction.passes import run_passes


def mlem(
    y,
    A,
    *,
    iterations=11,
    background=None,
    start=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
):
    """Reconstruct by MLEM: ``x ← x / (Aᵀ1) · Aᵀ(y / (A x + r))``.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
        Anything with the contract ``A(x)``, ``A.T(y)``, ``in_shape``, ``out_shape``.
    iterations : int
        From ``start``; 10 and then 20 more from the result are the same as 30, bit for bit.
    background : array or float, optional
        Expected randoms and scatter r; by default ``A.background`` where the operator has one, else 0.
    start : array of ``A.in_shape``, optional
        First image, >= 0 (default: all 1). Also how to resume.
    mask : bool array of ``A.in_shape``, optional
        Voxels to reconstruct; the others stay 0.
    sensitivity : array of ``A.in_shape``, optional
        s, by default ``Aᵀ1``. For list mode, where A holds the lines of the detected events and y is 1 for each: the
        back projection of 1 on all lines that the scanner could have seen.
    record : Record, optional
        Grows with log-likelihood and seconds of each iteration.
    callback : callable, optional
        ``callback(iteration, image)`` after every iteration, counted from 1; the image is that iteration's own array.
    progress : bool
        Show a progress bar.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        Arrays of the wrong shape or dtype, negative or non-finite values, fewer than one iteration.

    References
    ----------
    L. A. Shepp, Y. Vardi, IEEE Trans. Med. Imaging 1(2):113, 1982; K. Lange, R. Carson, J. Comput. Assist. Tomogr.
    8(2):306, 1984.
    """
    return run_passes(
        "MLEM", y, A, subsets=1, order=lambda finished: (0,), iterations=iterations, background=background, start=start,
        mask=mask, sensitivity=sensitivity, record=record, callback=callback, progress=progress,
    )  # fmt: skip
