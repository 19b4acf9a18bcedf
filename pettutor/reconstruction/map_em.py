"""Maximum-a-posteriori expectation maximisation with a separable surrogate."""

from pettutor.reconstruction.passes import run_passes


def map_em(
    y,
    A,
    prior,
    *,
    iterations=20,
    background=None,
    start=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
):
    """Maximise ``Σ y log ȳ - ȳ - U(x)``, ``ȳ = A x + r``, by De Pierro's algorithm.

    An EM update gives ``x_EM``; then every voxel takes the positive root of ``ρ x² + (s - ρ z) x - s x_EM = 0``, where
    ``ρ/2 (x - z)²`` is the prior's surrogate at the present image. The objective never falls; with U = 0 this is MLEM.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
    prior
        `Smoothness`, `Bowsher`, `Reference`, or anything with ``value``, ``gradient`` and ``surrogate`` as they have.
    iterations, background, start, mask, sensitivity, callback, progress
        As for `mlem`.
    record : Record, optional
        Grows with the log-likelihood and the objective of the image that enters each iteration, and with seconds.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        As `mlem`; a prior that is none.

    References
    ----------
    A. R. De Pierro, IEEE Trans. Med. Imaging 14(1):132, 1995.
    """
    missing = [name for name in ("value", "surrogate") if not callable(getattr(prior, name, None))]
    if missing:
        raise TypeError(f"prior: expected an object with {' and '.join(missing)}, got {prior!r:.80}")
    return run_passes(
        "MAP-EM", y, A, subsets=1, order=lambda finished: (0,), iterations=iterations, background=background,
        start=start, mask=mask, sensitivity=sensitivity, record=record, callback=callback, progress=progress,
        prior=prior,
    )  # fmt: skip
