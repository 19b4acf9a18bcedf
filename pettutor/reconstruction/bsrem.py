"""Block-sequential regularised expectation maximisation: fast as ordered subsets, and it goes to the maximum."""

from pettutor.reconstruction.inputs import check_number, check_prior
from pettutor.reconstruction.passes import order_of_passes, run_passes
from pettutor.reconstruction.poisson import gradient_update, preconditioner

# δ over the mean activity: what a voxel counts for, at least, when its step is chosen
SMALLEST = 1e-3


def bsrem(
    y,
    A,
    prior,
    *,
    iterations=20,
    subsets=16,
    relaxation=0.1,
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
    """Maximise ``Σ y log ȳ - ȳ - U(x)``, ``ȳ = A x + r``, by steps along the gradient of one subset after the other.

    ``x ← [x + α_n D (K (A_kᵀ(y_k / ȳ_k) - s_k) - ∇U(x))]₊``, k = all K subsets in turn. For the image that enters the
    pass, ``D = (x + δ) / (s + (x + δ) c)``: one over the likelihood's curvature s/x and the prior's c. (With one
    subset, U = 0, δ = 0 and α = 1 this is MLEM.) The relaxation ``α_n = 1 / (1 + relaxation · n)``, n = finished
    passes, falls to 0 slowly enough (its sum has no bound), so the cycle in which `osem` ends shrinks onto the maximum.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
        With ``A.subset(k, n)`` for more than one subset.
    prior
        `RelativeDifference`, `Smoothness`, `Bowsher`, `Reference`, or anything with ``value``, ``gradient`` and
        ``curvature`` as they have.
    iterations : int
        Passes over all data, from ``start``. A uniform start takes a few passes to find the image's scale: one pass of
        `osem` before saves them.
    subsets : int
        More are faster at first, but need a stronger relaxation in the end.
    relaxation : float
        >= 0. With 0 the image ends in a cycle. n is counted by ``record``, so that continuing with the same record is
        one long run, bit for bit.
    order, seed
        As for `osem`.
    background, start, mask, sensitivity, callback, progress
        As for `mlem`; ``callback`` comes after every pass.
    record : Record, optional
        Its log-likelihood is the sum over the subsets, each at the image that enters it; the objective is that less the
        penalty of the image that enters the pass.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the image after the last finished pass and says so.

    Raises
    ------
    TypeError, ValueError
        As `osem`; a prior that is none, a negative relaxation.
    NotImplementedError
        An operator without subsets.

    References
    ----------
    S. Ahn, J. A. Fessler, IEEE Trans. Med. Imaging 22(5):613, 2003 (BSREM-II, modified; there D is s/x alone, and an
    upper bound of the image keeps it in range, as the prior's curvature does here).
    """
    check_prior(prior, "value", "gradient", "curvature")
    relaxation = check_number(relaxation, "relaxation: expected a number >= 0")

    def steps(finished, image, parts):
        counts = sum(float(part.counts.sum(dtype="float64")) for part in parts)
        seen = sum(part.sensitivity for part in parts)
        total = float(seen.sum(dtype="float64"))
        delta = SMALLEST * counts / total if total > 0 else 0.0  # Σ y / Σ s is about the mean activity
        scale = preconditioner(image, seen, prior.curvature(image), delta)
        scale *= 1 / (1 + relaxation * finished)

        def step(image, back, seen_by_part):
            return gradient_update(image, scale, len(parts) * (back - seen_by_part) - prior.gradient(image))

        return step

    return run_passes(
        "BSREM", y, A, subsets=subsets, order=order_of_passes(subsets, order, seed), iterations=iterations,
        background=background, start=start, mask=mask, sensitivity=sensitivity, record=record, callback=callback,
        progress=progress, prior=prior, steps=steps,
    )  # fmt: skip
