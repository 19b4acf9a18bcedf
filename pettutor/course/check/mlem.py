"""Checks of lesson 5: the MLEM update, the search for a filter, a pass through ordered subsets."""

import itertools

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, exercise, near, numbers, recognise, unchanged
from pettutor.course.check.guidance import names_in

LESSON = "05_mlem"
DIVIDED_BY_ZERO = "Somewhere a number was divided by 0 (in a gap, or in a corner that no line crosses): use `ratio`."


@exercise(
    LESSON,
    "the MLEM update",
    "Four steps, from the inside out: project, compare, back-project, multiply. The first is `A.expected(x)`.",
    "Compare by division: `ratio(y, A.expected(x))`, a sinogram that is 1 where the image explains the counts.",
    "Back-project that with `A.T(...)`, divide by the sensitivity `s` (with `ratio` again), and multiply `x` by it.",
)
def em_update(my_mlem):
    """Check an MLEM: ``my_mlem(y, A, iterations)`` gives the image.

    On a small scan with attenuation, gaps, blur and randoms: the image stays positive, the likelihood never falls, each
    step is the gradient of the likelihood times x / s (by finite differences in float64), and without background the
    counts are preserved.

    Parameters
    ----------
    my_mlem : function
        y: float32 (plane, view, bin); A: acquisition model; gives float32 (z, y, x), from a start image of ones.

    Returns
    -------
    Verdict
    """
    scan = bench.scan()
    y, A = scan.y, scan.A
    if "mlem" in names_in(my_mlem):
        raise NotYet("The update is still the library's own `pt.mlem`. Write yours in its place, from `A` and `A.T`.")
    images = _images(my_mlem, y, A, (1, 2, 3, 8))
    ones = np.ones(A.in_shape, np.float32)
    if near(images[0], ones, 1e-6) and near(images[2], ones, 1e-6):
        raise NotYet("The image is still the one that it started from: all 1.")
    # the second step: after the first from an image of ones, some mistakes cannot be told from the right one
    recognise(images[1], wrong_updates(y, A, images[0].astype(np.float32)))
    if near(images[0], images[1], 1e-6):
        raise Mistake("1 and 2 iterations give the same image: is `return` inside the loop, or `x` never replaced?")
    if min(image.min() for image in images) < 0:
        raise Mistake("The image has negative voxels. MLEM only multiplies by positive numbers: what is subtracted?")
    _rises(scan, images, "8 iterations")
    _follows_the_gradient(scan, images[0], images[1])
    clean = bench.scan(randoms=False)
    projected = clean.A(np.asarray(call(my_mlem, clean.y, clean.A, 2), np.float32)).sum(dtype=float)
    if abs(projected / clean.y.sum() - 1) > 1e-3:
        raise Mistake(
            f"Without background MLEM preserves the counts: expected {clean.y.sum():.0f} in the projection of the "
            f"image, got {projected:.0f}."
        )
    return (
        "The image stays positive, the likelihood rises in every iteration, each step follows its gradient, and "
        "without background the counts are preserved."
    )


def _images(my_mlem, y, A, iterations):
    images = []
    for count in iterations:
        given = y.copy()
        images.append(numbers(call(my_mlem, given, A, count), "the image", A.in_shape, DIVIDED_BY_ZERO))
        unchanged(y, given, "y")
    return images


def wrong_updates(y, A, x):
    """What the usual mistakes make of an image in one update, by the words that name them."""
    s, mean = bench.sensitivity(A), A.expected(x)
    r = np.broadcast_to(np.float32(A.background), y.shape)
    compared = bench.divided(y, mean)
    back = A.T(compared)
    times = bench.divided(x, s)
    bare = A.projector.T(compared)
    weighted = A.projector.T(compared * A.factors)
    return {
        "You added the randoms after the division. They are expected counts: add them to the projection, "
        "`A.expected(x)`, before you divide.": times * A.T(bench.divided(y, A(x)) + r),
        "The background is forgotten: `A(x)` is the trues alone. Compare with `A.expected(x)`.": times
        * A.T(bench.divided(y, A(x))),
        "You subtracted the randoms from the counts. Leave the data alone and put them into the model: "
        "`A.expected(x)`.": times * A.T(bench.divided(np.maximum(y - r, 0), A(x))),
        "The comparison is upside down: measured over expected, `ratio(y, A.expected(x))`.": times
        * A.T(bench.divided(mean, y)),
        "The division by the sensitivity `s` is missing.": x * back,
        "You multiplied by the sensitivity `s`. Divide by it.": x * back * s,
        "The old image is missing: the back-projected ratio is a factor, so multiply `x` by it.": bench.divided(
            back, s
        ),
        "You back-project the counts themselves. First divide them by the counts that the image explains, "
        "`A.expected(x)`.": times * A.T(y),
        "You compare by subtraction. MLEM compares by division and multiplies.": x + bench.divided(A.T(y - mean), s),
        "You add the correction to the image. It is a factor: multiply.": x + bench.divided(back, s),
        "The blur is missing from the adjoint: `A.T` holds it, the projector's own `.T` does not.": times * weighted,
        "Attenuation, normalisation and blur are missing from the adjoint: back-project with `A.T`.": times * bare,
        "The sensitivity is that of the projector alone: it has to be `A.T` of ones.": bench.divided(
            x, A.projector.T(np.ones_like(y))
        )
        * back,
    }


def _rises(scan, images, words):
    matrix = bench.dense(scan.A)
    values = [bench.log_likelihood(scan.y, matrix, scan.A.background, image) for image in images]
    if any(later < earlier for earlier, later in itertools.pairwise(values)):
        raise Mistake(
            f"The likelihood falls within {words}. MLEM never lets it fall: do `A` and its transpose belong together, "
            "and is the ratio measured over expected?"
        )


def _follows_the_gradient(scan, before, after):
    """EM moves by x / s times the gradient of the likelihood: compared with finite differences in some voxels."""
    matrix, s = bench.dense(scan.A), bench.sensitivity(scan.A).astype(float)
    voxels = [(0, 7, 9), (0, 4, 11), (0, 10, 3), (0, 9, 5), (0, 2, 9)]
    wanted = [
        bench.slope(lambda x: bench.log_likelihood(scan.y, matrix, scan.A.background, x), before, voxel, 1e-3)
        for voxel in voxels
    ]
    got = [(after - before)[voxel] * s[voxel] / before[voxel] for voxel in voxels]
    if not near(got, wanted, 0.02):
        raise Mistake(
            "The step is not the one of MLEM: the change of a voxel should be `x / s` times the slope of the "
            "log-likelihood, and finite differences give another slope."
        )


WIDTHS, ITERATIONS = np.arange(0, 8.1, 0.5), (10, 20, 30, 40)


@exercise(
    LESSON,
    "iterations and filter",
    "There are 4 × 17 pairs: few enough to try them all, with two loops or one list of pairs.",
    "`min(pairs, key=...)` gives the pair for which a function of it is least.",
)
def filter_search(search):
    """Check a search: ``search(error_of)`` gives the iterations and the width (mm) with the least error.

    On made-up errors whose best pair is known, among them one where the two depend on each other.

    Parameters
    ----------
    search : function
        ``error_of(iterations, width)`` is defined for 10, 20, 30 or 40 iterations and 0 … 8 mm in steps of 0.5; gives
        a pair of numbers.

    Returns
    -------
    Verdict
    """
    for best in ((20, 1.0), (30, 3.5), (40, 8.0), (10, 0.0)):
        asked = []

        def error_of(iterations, width, best=best, asked=asked):
            if iterations not in ITERATIONS or not np.any(np.isclose(WIDTHS, width)):
                raise ValueError(f"expected 10, 20, 30 or 40 iterations and 0 … 8 mm, got {iterations}, {width}")
            asked.append((iterations, float(width)))
            return 20 + _valley(iterations, width, best)

        chosen = call(search, error_of)
        if not asked:
            raise NotYet("Your function never asks for an error: let it try the pairs with `error_of(...)`.")
        if np.ndim(chosen) == 0 or np.shape(chosen) != (2,):
            raise Mistake("Return two numbers: the iterations and the width in mm.")
        _explain_choice(tuple(float(part) for part in chosen), best, asked)
    return "It finds the best of all 68 pairs, also where the best width depends on the iterations."


def _valley(iterations, width, best):
    """A narrow valley that runs across the table: neither number can be found without the other."""
    along, across = (iterations - best[0]) / 10 + (width - best[1]), (iterations - best[0]) / 10 - (width - best[1])
    return 0.3 * abs(along) + 3 * abs(across)


def _explain_choice(chosen, best, asked):
    if np.allclose(chosen, best):
        return
    errors = {pair: _valley(*pair, best) for pair in asked}
    table = {(k, float(w)): _valley(k, w, best) for k in ITERATIONS for w in WIDTHS}
    if np.allclose(chosen, max(table, key=table.get)):
        raise Mistake("This is the pair with the largest error. The least is wanted.")
    if np.allclose(chosen, best[::-1]):
        raise Mistake("The two are exchanged: first the iterations, then the width.")
    if chosen[0] not in ITERATIONS or not np.any(np.isclose(WIDTHS, chosen[1])):
        raise Mistake(
            f"Expected 10, 20, 30 or 40 iterations and a width of 0 … 8 mm, got {chosen}: are these places in a list, "
            "or errors, instead of the pair?"
        )
    if len({k for k, _ in errors}) < 4:
        raise Mistake("Not all of 10, 20, 30 and 40 iterations were tried.")
    if len({w for _, w in errors}) < len(WIDTHS):
        raise Mistake("Not all widths were tried: 0 to 8 mm in steps of 0.5, both ends included.")
    if len(errors) < len(table):
        raise Mistake(
            "You searched first one number, then the other. But the best width depends on the iterations: more of them "
            "want a wider filter. Try all pairs."
        )
    raise Mistake(f"All pairs were tried, but another one was returned: expected {best}, got {chosen}.")


@exercise(
    LESSON,
    "a pass through ordered subsets",
    "One line: MLEM's update with the counts and the model of subset k, starting from the image that there is.",
    "`pt.mlem(counts, model, iterations=1, start=x)`, with `y[:, k::n]` and `A.subset(k, n)`.",
)
def osem_pass(osem_pass):
    """Check a pass of OSEM: ``osem_pass(y, A, x, n)`` gives the image after n subsets, whatever their order.

    Parameters
    ----------
    osem_pass : function
        y: float32 (plane, view, bin); A: acquisition model; x: start image; n: subsets; gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    scan = bench.scan()
    y, A, x = scan.y, scan.A, (1 + 0.05 * np.arange(scan.truth.size, dtype=np.float32)).reshape(scan.truth.shape)
    given = x.copy()
    got = numbers(call(osem_pass, y, A, given, 3), "the image", A.in_shape, DIVIDED_BY_ZERO)
    unchanged(x, given, "x")
    if near(got, x, 1e-6):
        raise NotYet("The image is still the one that it started from: no update was made.")
    orders = list(itertools.permutations(range(3)))
    if not any(near(got, _pass(y, A, x, order), 1e-4) for order in orders):
        recognise(got, _wrong_passes(y, A, x), 1e-4)
        raise Mistake("This is not one update for each subset, each from the image of the one before.")
    one = numbers(call(osem_pass, y, A, x.copy(), 1), "the image", A.in_shape, DIVIDED_BY_ZERO)
    if not near(one, bench.em_step(y, A, x), 1e-4):
        raise Mistake("With a single subset a pass is one iteration of MLEM; yours is another. Is 3 or 6 fixed in it?")
    return "Each subset updates the image that the one before has left; with one subset it is MLEM."


def _seen_step(y, A, x):
    """MLEM's update; what no view of the subset sees waits for the others, as in `pt.mlem` it is 0."""
    return bench.em_step(y, A, x).astype(np.float32)


def _pass(y, A, x, order, views=None):
    n = len(order)
    for k in order:
        counts = y[:, k::n] if views is None else views(k)
        x = _seen_step(counts, A.subset(k, n), x)
    return x


def _wrong_passes(y, A, x):
    third = y.shape[1] // 3
    each = [_seen_step(y[:, k::3], A.subset(k, 3), x) for k in range(3)]
    whole, same, twice = x, x, x
    for k in range(3):
        whole = _seen_step(y, A, whole)
        same = _seen_step(y[:, 0::3], A.subset(0, 3), same)
        for _ in range(3):
            twice = _seen_step(y[:, k::3], A.subset(k, 3), twice)
    fresh = _pass(y, A, np.ones_like(x), range(3))
    return {
        "Every subset starts from the first image, so only the last one counts. Start from the `x` that the subset "
        "before has left: `x = ...`, `start=x`.": each[-1],
        "Every update still uses all views: take `y[:, k::n]` and `A.subset(k, n)`.": whole,
        "All updates use the same subset: `k` has to be in both `y[:, k::n]` and `A.subset(k, n)`.": same,
        "More than one iteration for each subset: `iterations=1`.": twice,
        "The updates are averaged. OSEM makes them one after the other.": np.mean(each, axis=0),
        "The pass forgets the image that it is given and starts from ones: `start=x`.": fresh,
        "Only the last subset was used, from an image of ones: `start=x` is missing.": _seen_step(
            y[:, 2::3], A.subset(2, 3), np.ones_like(x)
        ),
        "The counts are those of neighbouring views, the model is that of every n-th view: `y[:, k::n]`.": _pass(
            y, A, x, range(3), lambda k: y[:, k * third : (k + 1) * third]
        ),
        "`return x` stands inside the loop: only the first subset was used.": each[0],
    }
