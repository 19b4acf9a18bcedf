"""Checks of lesson 8: the kernel EM update, orthogonal matching pursuit, the noise at a contrast."""

import itertools

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, exercise, near, number, numbers, recognise
from pettutor.course.check.guidance import names_in

LESSON = "08_kernel_dictionary"


@exercise(
    LESSON,
    "the kernel EM update",
    "It is MLEM's update with A K in place of A: project `K(alpha)`, compare with the counts, "
    "go back with `A.T` and `K.T`.",
    "The transpose of A K is `K.T(A.T(...))`: in the other order, for the ratio and for the sensitivity alike.",
    "`alpha * ratio(K.T(A.T(compared)), K.T(s))`, with `compared = ratio(y, A.expected(K(alpha)))`.",
)
def kernel_em_update(my_kernel_em):
    """Check a kernel EM: ``my_kernel_em(y, A, K, iterations)`` gives the image K α.

    With a kernel that is far from symmetric: the likelihood never falls, and without background the counts are kept.

    Parameters
    ----------
    my_kernel_em : function
        y: float32 (plane, view, bin); A: acquisition model; K: kernel, with ``K(...)`` and ``K.T(...)``; gives float32
        (z, y, x).

    Returns
    -------
    Verdict
    """
    if names_in(my_kernel_em) & {"kernel_em", "mlem"}:
        raise NotYet("The update is still the library's own. Write yours, from `A`, `K` and their transposes.")
    scan, K = bench.scan(), bench.kernel()
    y, A = scan.y, scan.A
    by_zero = "Somewhere a number was divided by 0: use `ratio`."
    images = [numbers(call(my_kernel_em, y.copy(), A, K, n), "the image", A.in_shape, by_zero) for n in (1, 2, 3, 10)]
    ones = np.ones(A.in_shape, np.float32)
    if near(images[0], ones, 1e-5) and near(images[3], ones, 1e-5):
        raise NotYet("The coefficients are still all 1.")
    recognise(images[1], _wrong_images(y, A, K), 1e-4)
    if near(images[0], images[1], 1e-6):
        raise Mistake("1 and 2 iterations give the same image: is `return` inside the loop, or `alpha` never replaced?")
    matrix = bench.dense(A)
    values = [bench.log_likelihood(y, matrix, A.background, image) for image in images]
    if any(later < earlier for earlier, later in itertools.pairwise(values)):
        raise Mistake("The likelihood falls. Kernel EM is MLEM of A K and never lets it fall: is each transpose there?")
    clean = bench.scan(randoms=False)
    projected = clean.A(np.asarray(call(my_kernel_em, clean.y, clean.A, K, 2), np.float32)).sum(dtype=float)
    if abs(projected / clean.y.sum() - 1) > 1e-3:
        raise Mistake(
            f"Without background the counts should be preserved: expected {clean.y.sum():.0f} in the projection of the "
            f"image, got {projected:.0f}. Does `K.T` stand in both places?"
        )
    if not near(images[1], _run(y, A, K), 1e-4):
        raise Mistake("Likelihood and counts are as they should be, but the image is not that of kernel EM.")
    return "The likelihood never falls, and the counts are preserved: the transposes are right in both places."


def _run(y, A, K, *, forward=None, back=None, below=None, update=None, finish=None):
    """Two iterations from ones, with some part exchanged."""
    alpha, s = np.ones(K.in_shape, np.float32), bench.sensitivity(A)
    forward, back, finish = forward or (lambda a: A.expected(K(a))), back or K.T, finish or K
    below = K.T(s) if below is None else below
    for _ in range(2):
        factor = bench.divided(back(A.T(bench.divided(y, forward(alpha)))), below)
        alpha = (alpha * factor if update is None else update(alpha, factor)).astype(np.float32)
    return finish(alpha)


def _wrong_images(y, A, K):
    s = bench.sensitivity(A)

    def same(image):
        return image

    return {
        "K stands in for its transpose in both places. K is not symmetric: `K.T`.": _run(y, A, K, back=K, below=K(s)),
        "K stands in for its transpose in the back projection: `K.T(A.T(...))`.": _run(y, A, K, back=K),
        "K stands in for its transpose below the line: divide by `K.T(s)`.": _run(y, A, K, below=K(s)),
        "You divide by s. The sensitivity of the coefficients is `K.T(s)`.": _run(y, A, K, below=s),
        "The back projection ends at the image: `K.T` of it is missing.": _run(y, A, K, back=same),
        "`K.T` is missing twice: this is MLEM's update on the coefficients.": _run(y, A, K, back=same, below=s),
        "The background is forgotten: `A.expected(K(alpha))`.": _run(y, A, K, forward=lambda a: A(K(a))),
        "You project alpha. The image is `K(alpha)`.": _run(y, A, K, forward=A.expected),
        "You return the coefficients. The image is `K(alpha)`.": _run(y, A, K, finish=same),
        "You multiply the image, not the coefficients: `alpha * ...`, not `K(alpha) * ...`.": _run(
            y, A, K, update=lambda a, factor: K(a) * factor
        ),
        "The old coefficients are missing: multiply `alpha` by the ratio.": _run(
            y, A, K, update=lambda a, factor: factor
        ),
        "This is plain MLEM: K is not used.": _run(y, A, K, forward=A.expected, back=same, below=s, finish=same),
    }


@exercise(
    LESSON,
    "orthogonal matching pursuit",
    "`atoms @ left` says how alike each atom is to what is left. An atom may also be taken with a negative weight.",
    "Fit *all* chosen atoms anew: `np.linalg.lstsq(atoms[chosen].T, wanted, rcond=None)[0]` are their weights.",
    "What is left is `wanted` less the fit, `atoms[chosen].T @ weights`.",
)
def matching_pursuit(my_omp):
    """Check a sparse coding: ``my_omp(patch, atoms, sparsity)`` gives the patch as its mean and a few atoms.

    What is left is orthogonal to as many atoms as were allowed, gets smaller with each, and a patch that is made of two
    atoms comes out whole.

    Parameters
    ----------
    my_omp : function
        patch: (n,); atoms: (atom, n), of mean 0 and length 1; sparsity: int; gives (n,).

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(11)
    atoms = rng.normal(0, 1, (9, 14)) + 0.9 * np.sin(np.arange(14))
    atoms -= atoms.mean(axis=1, keepdims=True)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    patches = [rng.normal(20, 6, 14) for _ in range(3)]
    patches[0] = 20 - 9 * atoms[4] + 0.3 * patches[0] - 0.3 * patches[0].mean()  # its first atom has a negative weight
    blank = True
    for patch in patches:
        for sparsity in (1, 2, 4):
            given = patch.copy()
            got = numbers(call(my_omp, given, atoms.copy(), sparsity), "the approximation", patch.shape)
            if not np.array_equal(given, patch):
                raise Mistake("Your function changes `patch`, which belongs to its caller. Make a new array.")
            blank = blank and np.allclose(got, patch.mean())
            if not np.allclose(got, patch.mean()) or sparsity > 1:
                if blank:
                    continue
                _explain_code(got, patch, atoms, sparsity)
    if blank:
        raise NotYet("The approximation is still the mean alone: no atom was taken.")
    return "It takes the atom most alike, of either sign, and fits all of them anew each time."


def _pursuit(patch, atoms, sparsity, *, choose=None, refit="all"):
    wanted = patch - patch.mean()
    left, chosen = wanted, []
    for _ in range(sparsity):
        likeness = atoms @ (wanted if refit == "same" else left)
        chosen.append(int((choose or (lambda v: np.abs(v).argmax()))(likeness)))
        if refit == "last":
            left = left - (atoms[chosen[-1]] @ left) * atoms[chosen[-1]]
        elif refit == "whole":
            left = wanted - (atoms[chosen[-1]] @ wanted) * atoms[chosen[-1]]
        else:
            target = left if refit == "left" else wanted
            weights = np.linalg.lstsq(atoms[chosen].T, target, rcond=None)[0]
            left = wanted - atoms[chosen].T @ weights
    return patch - left


def _explain_code(got, patch, atoms, sparsity):
    right = _pursuit(patch, atoms, sparsity)
    if np.allclose(got, right, atol=1e-5):
        return
    wrong = {
        "Only the last atom is fitted. Fit all chosen so far anew, to the whole patch: least squares.": "last",
        "Each atom is fitted alone to the whole patch, and the others are forgotten.": "whole",
        "The weights are fitted to what is left. Fit them to `wanted`.": "left",
        "The same atom is chosen again and again: look at what is left, not at `wanted`.": "same",
    }
    recognise(got, {words: _pursuit(patch, atoms, sparsity, refit=how) for words, how in wrong.items()}, 1e-6)
    recognise(
        got,
        {
            "The sign decides: an atom with a large negative likeness fits just as well. Take `np.abs`.": _pursuit(
                patch, atoms, sparsity, choose=np.argmax
            ),
            "You take the atom that is least alike.": _pursuit(
                patch, atoms, sparsity, choose=lambda v: np.abs(v).argmin()
            ),
            "What is left is exchanged with the fit: `left = wanted - atoms[chosen].T @ weights`.": patch
            - (_pursuit(patch, atoms, sparsity) - patch.mean()),
            "The mean of the patch is missing.": right - patch.mean(),
        },
        1e-6,
    )
    if np.allclose(got, patch.mean()):
        raise Mistake(f"With {sparsity} atoms nothing but the mean comes out.")
    left = patch - got
    orthogonal = int((np.abs(atoms @ left) < 1e-6 * np.linalg.norm(patch)).sum())
    if orthogonal < sparsity:
        raise Mistake(
            f"With {sparsity} atoms what is left should be orthogonal to {sparsity} of them (that is what the fit of "
            f"all is for); yours is to {orthogonal}."
        )
    raise Mistake(f"With {sparsity} atoms other ones are chosen than those most alike to what is left.")


@exercise(
    LESSON,
    "the noise at a contrast",
    "`pt.measures.at_equal_noise(curve, std)` gives the CRC at a noise. Here it is the other way round.",
    'Exchange the names of two columns: `curve.rename(columns={"crc": "std", "std": "crc"})`.',
)
def noise_at_contrast(noise_at):
    """Check an interpolation: ``noise_at(curve, crc)`` gives the noise at which a curve has a contrast.

    Parameters
    ----------
    noise_at : function
        curve: table with the columns ``std`` and ``crc``, one row a point; crc: float; gives a fraction.

    Returns
    -------
    Verdict
    """
    import pandas as pd

    curve = pd.DataFrame({"std": [0.04, 0.07, 0.13, 0.7], "crc": [0.1, 0.3, 0.5, 0.62], "setting": [1, 2, 3, 4]})
    for crc in (0.4, 0.2, 0.57):
        kept, right = curve.copy(), float(np.interp(crc, curve["crc"], curve["std"]))
        got = number(call(noise_at, kept, crc), "the noise")
        if not kept.equals(curve):
            raise Mistake("Your function changes the table that it is given: `rename` makes a new one.")
        if abs(got - right) < 1e-6:
            continue
        nearest = int((curve["crc"] - crc).abs().argmin())
        usual = {
            "This is in per cent. Give the fraction, as in the column.": 100 * right,
            "This is the noise of the nearest point. Interpolate between two.": curve["std"][nearest],
            "This is a CRC: the columns are not exchanged, or the wrong one of them is read.": float(
                np.interp(crc, curve["std"], curve["crc"])
            ),
            "You gave back the CRC that was asked for.": crc,
            "This is a setting (a place on the curve). Read the column that holds the noise.": float(
                np.interp(crc, curve["crc"], curve["setting"])
            ),
            "This is the mean of the noise of the two neighbours. Interpolate: nearer points weigh more.": _between(
                curve, crc
            ),
        }
        for words, wrong in usual.items():
            if abs(got - wrong) < 1e-6:
                raise Mistake(words)
        raise Mistake(f"With CRC 0.3 at 7 % noise and 0.5 at 13 %, expected {right:.3f} at CRC {crc}, got {got:.4g}.")
    return "It interpolates along the curve, with the two columns exchanged."


def _between(curve, crc):
    after = int(np.searchsorted(curve["crc"], crc))
    return float(curve["std"][after - 1 : after].mean() + curve["std"][after]) / 2
