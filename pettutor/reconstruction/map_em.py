"""Maximum-a-posteriori expectation maximisation with a separable surrogate."""

from pettutor.reconstruction.inputs import check_prior
from pettutor.reconstruction.passes import order_of_passes, run_passes
from pettutor.reconstruction.poisson import em_update, map_update


def map_em(
    y,
    A,
    prior,
    *,
    iterations=20,
    subsets=1,
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
    """Maximise ``Σ y log ȳ - ȳ - U(x)``, ``ȳ = A x + r``, by De Pierro's algorithm.

    An EM update gives ``x_EM``; then every voxel takes the positive root of ``ρ x² + (s - ρ z) x - s x_EM = 0``, where
    ``ρ/2 (x - z)²`` is the prior's surrogate at the present image. The objective never falls; with U = 0 this is MLEM.

    With several subsets each does this with its own counts and sensitivity and its share ρ/subsets of the prior. A pass
    then gains, early on, as much as ``subsets`` iterations; but, as OSEM, it ends in a cycle near the maximum, and the
    objective may fall. `bsrem` is as fast and goes to the maximum.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
    prior
        `Smoothness`, `Bowsher`, `RelativeDifference`, `Reference`, or anything with ``value``, ``gradient`` and
        ``surrogate`` as they have.
    subsets, order, seed
        As for `osem`; 1 for the algorithm that never lets the objective fall.
    iterations, background, start, mask, sensitivity, callback, progress
        As for `mlem`.
    record : Record, optional
        Grows with the log-likelihood and the objective of the image that enters each iteration, and with seconds. With
        subsets the likelihood is the sum over them, each at the image that enters it.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        As `osem`; a prior that is none.
    NotImplementedError
        Subsets of an operator without.

    References
    ----------
    A. R. De Pierro, IEEE Trans. Med. Imaging 14(1):132, 1995.
    """
    check_prior(prior, "value", "surrogate")

    def steps(finished, image, parts):
        def step(image, back, seen):
            elsewhere = 0 if len(parts) == 1 else image
            rho, z = prior.surrogate(image)
            # the positive root of ρ x² + (s - ρ z) x - s x_EM = 0
            return map_update(em_update(image, back, seen, elsewhere), seen, rho / len(parts), z, elsewhere)

        return step

    return run_passes(
        "MAP-EM", y, A, subsets=subsets, order=order_of_passes(subsets, order, seed), iterations=iterations,
        background=background, start=start, mask=mask, sensitivity=sensitivity, record=record, callback=callback,
        progress=progress, prior=prior, steps=steps,
    )  # fmt: skip
