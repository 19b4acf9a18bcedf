"""Maximum-a-posteriori reconstruction with a dictionary of patches."""

import numpy as np

from pettutor.reconstruction.dictionary import Dictionary, PatchCode, check_whole
from pettutor.reconstruction.passes import order_of_passes, run_passes
from pettutor.reconstruction.poisson import em_update, map_update
from pettutor.reconstruction.record import Record


def dictionary_map(
    y,
    A,
    dictionary,
    *,
    beta,
    sparsity=6,
    threshold=0.0,
    stride=1,
    updates_per_coding=1,
    iterations=60,
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
    """Maximise ``L(x) - β/2 Σ_p (|R_p x - m_p - D α_p|² + ν ‖α_p‖₀)`` over the image x and the codes α_p.

    L is the Poisson log-likelihood, R_p cuts out patch p, m_p is its mean, ``‖α_p‖₀`` the number of its atoms (at most
    ``sparsity``), ``ν = threshold²``. By turns:

    1. code the patches of the present image by orthogonal matching pursuit (`Dictionary.code`);
    2. MAP-EM with ``z = Σ R_pᵀ (m_p + D α_p) / Σ R_pᵀ R_p`` and ``ρ = β diag(Σ R_pᵀ R_p)`` (see `map_em`).

    A patch keeps its atoms where those found anew are no better, so the objective never falls (with one subset).

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
    dictionary : Dictionary
        From `learn_dictionary`.
    beta : float
        β >= 0 in 1/activity². A voxel lies in as many patches as a patch has voxels (for ``stride=1``), so
        ``priors.strength(kappa, sensitivity, activity) / number of voxels of a patch`` gives ρ the unit-free strength
        kappa.
    sparsity, threshold, stride
        Of `Dictionary.code`; the threshold is in activity. With none every patch gets all its atoms, and flat parts
        stay noisy; ``√(voxels of a patch)`` times the standard deviation of the noise is a good one to begin with. A
        larger stride is quicker in a volume, and shows the grid of the patches.
    updates_per_coding : int
        MAP-EM updates (iterations) with the same codes.
    subsets, order, seed
        As for `osem`; 1 for the algorithm that never lets the objective fall.
    start : array of ``A.in_shape``, optional
        First image, >= 0 (default: all 1; the result of a few iterations of MLEM saves time). To resume, give the same
        ``record`` too.
    record : Record, optional
        Grows with the log-likelihood and the objective of the image that enters each iteration (with the codes used
        there), and with seconds; ``record.coefficients`` is the last `PatchCode`.
    iterations, background, mask, sensitivity, callback, progress
        As for `mlem`.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        As `osem` and `Dictionary.code`; a strength < 0; a record of another method.
    NotImplementedError
        Subsets of an operator without.

    References
    ----------
    J. Tang, B. Yang, Y. Wang, L. Ying, Phys. Med. Biol. 61:6347, 2016, for the idea. That a patch's mean is free and
    the number of atoms limited is this library's choice.
    """
    if not isinstance(dictionary, Dictionary):
        raise TypeError(f"dictionary: expected one that learn_dictionary makes, got {dictionary!r:.80}")
    if isinstance(beta, bool) or np.ndim(beta) or not (np.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta: expected a strength >= 0, got {beta!r}")
    record = Record() if record is None else record
    prior = _Patches(dictionary, float(beta), {"sparsity": sparsity, "threshold": threshold, "stride": stride}, record)
    check_whole(updates_per_coding, "updates_per_coding", 1, None)

    def steps(finished, image, parts):
        if prior.codes is None or finished % updates_per_coding == 0:
            prior.code(image)
        rho, z = prior.rho() / len(parts), prior.codes.image

        def step(image, back, seen):
            elsewhere = 0 if len(parts) == 1 else image
            # the positive root of ρ x² + (s - ρ z) x - s x_EM = 0
            return map_update(em_update(image, back, seen, elsewhere), seen, rho, z, elsewhere)

        return step

    def after(iteration, image):
        record.coefficients = prior.codes
        if callback is not None:
            callback(iteration, image)

    return run_passes(
        "Dictionary MAP", y, A, subsets=subsets, order=order_of_passes(subsets, order, seed), iterations=iterations,
        background=background, start=start, mask=mask, sensitivity=sensitivity, record=record, callback=after,
        progress=progress, prior=prior, steps=steps,
    )  # fmt: skip


class _Patches:
    """``β/2 Σ_p (|R_p x - m_p - D α_p|² + ν ‖α_p‖₀)`` with codes that are held fixed until the next coding."""

    def __init__(self, dictionary, beta, settings, record):
        if record.coefficients is not None and not isinstance(record.coefficients, PatchCode):
            raise TypeError(f"record: expected one of dictionary_map, got coefficients {record.coefficients!r:.60}")
        self.dictionary, self.beta, self.settings = dictionary, beta, settings
        self.codes = record.coefficients

    def code(self, x):
        self.codes = self.dictionary.code(x, **self.settings, previous=self.codes)

    def rho(self):
        return self.codes.counts * self.codes.counts.dtype.type(self.beta)

    def value(self, x):
        atoms = int((self.codes.supports >= 0).sum())
        return 0.5 * self.beta * (self.codes.misfit(x) + self.settings["threshold"] ** 2 * atoms)
