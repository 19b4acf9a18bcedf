"""Checks of lesson 11: the gradient of an EM step, the step of EM-Net."""

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, exercise, near, numbers, recognise, unchanged

LESSON = "11_em_net"
DIVIDED_BY_ZERO = "Somewhere a number was divided by 0 (in a gap, or in a corner that no line crosses): use `over`."


@exercise(
    LESSON,
    "the gradient of an EM step",
    "The first term is there: g times the ratio that is back-projected, over s. The second one is subtracted from it.",
    "From the inside out: `g * over(x, s)` is an image. Project it with `A(...)` (that is linear: no background).",
    "Weight that sinogram by `over(y, expected**2)` and back-project it with `A.T(...)`.",
)
def em_gradient(em_gradient):
    """Check a vector-Jacobian product: ``em_gradient(y, A, s, x, g)`` of one EM step.

    On a small scan with gaps, blur and randoms it has to agree with finite differences, in float64, along images of all
    kinds.

    Parameters
    ----------
    em_gradient : function
        y: float32 (plane, view, bin); A: acquisition model; s: sensitivity, x: image, g: gradient of the loss by the
        output, all float32 (z, y, x); gives the gradient by x.

    Returns
    -------
    Verdict
    """
    scan = bench.scan()
    y, A, rng = scan.y, scan.A, np.random.default_rng(4)
    s = bench.sensitivity(A)
    x = (scan.truth + rng.uniform(0.5, 4, scan.truth.shape)).astype(np.float32)
    g = rng.normal(0.3, 1, x.shape).astype(np.float32)
    given = [array.copy() for array in (y, s, x, g)]
    got = numbers(call(em_gradient, given[0], A, *given[1:]), "the gradient", A.in_shape, DIVIDED_BY_ZERO)
    for before, after, name in zip((y, s, x, g), given, "ysxg", strict=True):
        unchanged(before, after, name)
    first = g * bench.divided(A.T(bench.divided(y, A.expected(x))), s)
    if near(got, first, 1e-4):
        raise NotYet("This is still the naive gradient, the first term alone. The ratio has its say, too.")
    _agrees(scan, x, g, got, first)
    zero = numbers(call(em_gradient, y, A, s, x, np.zeros_like(g)), "the gradient", A.in_shape, DIVIDED_BY_ZERO)
    if np.any(zero):
        raise Mistake("Where the loss does not depend on the output (g = 0) the gradient should be 0.")
    return "It agrees with finite differences along every image that was tried, also in gaps and dead corners."


def _agrees(scan, x, g, got, first):
    """Compare with finite differences; only what differs from them is looked up among the mistakes."""
    matrix, s = bench.dense(scan.A), bench.sensitivity(scan.A).astype(float).ravel()
    background, counts = np.ravel(scan.A.background).astype(float), scan.y.astype(float).ravel()

    def output(image):
        expected = matrix @ image.ravel() + background
        return image.ravel() * bench.divided(matrix.T @ bench.divided(counts, expected), s)

    def slope(d):
        up, down = (output(x.astype(float) + e * d) for e in (1e-3, -1e-3))
        return float(g.ravel().astype(float) @ (up - down)) / 2e-3

    rng = np.random.default_rng(1)
    directions = [rng.normal(0, 1, x.shape) for _ in range(3)] + [np.ones(x.shape), scan.truth.astype(float)]
    directions += [np.eye(x.size)[k].reshape(x.shape) for k in np.flatnonzero(s > 0)[5::29]]
    wanted = np.array([slope(d) for d in directions])
    if near([float((got * d).sum()) for d in directions], wanted, 2e-3):
        return
    recognise(got, _wrong_gradients(scan, x, g, first), 1e-4)
    raise Mistake(
        "Finite differences give another gradient. Transpose each of its factors, and turn their order round: what is "
        "done last on the way out is done first on the way back."
    )


def _wrong_gradients(scan, x, g, first):
    y, A, s = scan.y, scan.A, bench.sensitivity(scan.A)
    mean, trues = A.expected(x), A(x)
    inner = g * bench.divided(x, s)
    weights = bench.divided(y, mean**2)
    second = A.T(weights * A(inner))
    return {
        "The second term is subtracted: when the expected counts grow, the ratio falls.": first + second,
        "This is the second term alone. The first one, g times the ratio over s, is missing.": second,
        "This is the second term alone, and without its minus sign.": -second,
        "The expected counts stand below the line *squared*: y / ȳ².": first - A.T(bench.divided(y, mean) * A(inner)),
        "y is missing in the second term: y / ȳ².": first - A.T(bench.divided(np.ones_like(y), mean**2) * A(inner)),
        "The 1/s is missing in the second term: `g * over(x, s)`.": first - A.T(weights * A(g * x)),
        "The x is missing in the second term: `g * over(x, s)`.": first
        - A.T(weights * A(g * bench.divided(np.ones_like(s), s))),
        "The g is missing in the second term: `g * over(x, s)`.": first - A.T(weights * A(bench.divided(x, s))),
        "x / s stands outside: this is the change of the output, J d. On the way *back* the order turns round: x / s "
        "comes first, then A, the weights, and A.T.": first - bench.divided(x, s) * A.T(weights * A(g)),
        "A change of the image is projected without the background: `A(...)`, not `A.expected(...)`.": first
        - A.T(weights * A.expected(inner.astype(np.float32))),
        "The background is forgotten in the expected counts: `A.expected(x)`.": g
        * bench.divided(A.T(bench.divided(y, trues)), s)
        - A.T(bench.divided(y, trues**2) * A(inner)),
        "In the first term the division by s is missing.": first * s - second,
    }


@exercise(
    LESSON,
    "the step of EM-Net",
    "Three terms: `(1 - alpha) * x`, `alpha * x_em`, and what the CNN says, with a minus sign.",
    "The last one is `alpha * over(x, s) * f`. `np.maximum(..., 0)` around all of it keeps the image positive.",
)
def em_net_step(em_net_step):
    """Check a step of EM-Net: ``em_net_step(x, x_em, f, alpha, s)``.

    With f = 0 and alpha = 1 it has to be MLEM, with alpha = 0 nothing moves, and the image is never negative.

    Parameters
    ----------
    em_net_step : function
        x, x_em, f, s: float32 (z, y, x), the image, its EM update, what the CNN gives, the sensitivity over its mean;
        alpha: float; gives the new image.

    Returns
    -------
    Verdict
    """
    scan, rng = bench.scan(), np.random.default_rng(5)
    s = bench.sensitivity(scan.A)
    s = s / s[s > 0].mean()
    x = (1 + scan.truth + rng.uniform(0, 3, s.shape)).astype(np.float32)
    x_em = bench.em_step(scan.y, scan.A, x).astype(np.float32)
    f = rng.normal(0.2, 1, s.shape).astype(np.float32)
    given = [array.copy() for array in (x, x_em, f, s)]
    got = _stepped(em_net_step, *given[:3], 0.6, given[3])
    for before, after, name in zip((x, x_em, f, s), given, ("x", "x_em", "f", "s"), strict=True):
        unchanged(before, after, name)
    if near(got, x_em, 1e-5):
        raise NotYet("This is still MLEM: neither `alpha` nor `f` is used.")
    if near(got, x, 1e-5):
        raise NotYet("The image is still the one that came in.")
    _explain_step(got, x, x_em, f, 0.6, s)
    return "With a CNN that says 0 and α = 1 it is MLEM; the CNN pulls where x/s is large; nothing gets negative."


def _stepped(step, x, x_em, f, alpha, s):
    return numbers(call(step, x, x_em, f, alpha, s), "the new image", x.shape, DIVIDED_BY_ZERO)


def _explain_step(got, x, x_em, f, alpha, s):
    x, x_em, f, s = (array.astype(float) for array in (x, x_em, f, s))
    pull = bench.divided(x, s) * f
    before = (1 - alpha) * x + alpha * x_em - alpha * pull
    if near(got, np.maximum(before, 0), 1e-5):
        return
    recognise(
        got,
        {
            "The image gets negative: `np.maximum(..., 0)` around all of it.": before,
            "Not an absolute value: what would be negative becomes 0, by `np.maximum(..., 0)`.": np.abs(before),
        },
        1e-5,
    )
    wrong = {
        "The CNN stands for the gradient of a *penalty*, so its term is subtracted.": before + 2 * alpha * pull,
        "alpha is missing in front of the CNN's term.": before - (1 - alpha) * pull,
        "alpha is missing in front of x_em.": before + (1 - alpha) * x_em,
        "The weights alpha and 1 - alpha are exchanged.": alpha * x + (1 - alpha) * x_em - alpha * pull,
        "The old image is missing: (1 - alpha) x.": before - (1 - alpha) * x,
        "x has to be weighted by 1 - alpha.": before + alpha * x,
        "The CNN's term is missing.": before + alpha * pull,
        "x / s is missing in the CNN's term: `alpha * over(x, s) * f`.": before + alpha * pull - alpha * f,
        "In the CNN's term x is multiplied by s. Divide: `over(x, s)`.": before + alpha * pull - alpha * x * s * f,
        "In the CNN's term the x is missing: `over(x, s) * f`.": before
        + alpha * pull
        - alpha * bench.divided(np.ones_like(s), s) * f,
        "In the CNN's term the 1 / s is missing: `over(x, s) * f`.": before + alpha * pull - alpha * x * f,
    }
    both = {}
    for words, image in wrong.items():
        both[words] = np.maximum(image, 0)
        both[words + " (And the image gets negative.)"] = image
    recognise(got, both, 1e-5)
    if near(np.minimum(got, 0), np.minimum(before, 0), 1e-5) and got.min() < 0:
        raise Mistake("The image gets negative, and somewhere else it is not the step of EM-Net either.")
    raise Mistake("This is not (1 - α) x + α x_em - α (x / s) f, with what is negative set to 0.")
