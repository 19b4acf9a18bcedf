"""Checks of lesson 7: the stable root, De Pierro's step, the relative difference, where a shifted MR stops helping."""

import itertools

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, exercise, near, numbers, recognise, unchanged
from pettutor.course.check.guidance import names_in

LESSON = "07_map"


@exercise(
    LESSON,
    "the stable root",
    "With c = s · x_em, b = s - ρ z and d = √(b² + 4 ρ c): multiply (d - b) / (2 ρ) above and below by d + b.",
    "(d - b)(d + b) = d² - b² = 4 ρ c, so the other form is 2 c / (d + b). It adds where b > 0.",
    "`np.where(b > 0, one form, other form)`: for b ≤ 0 keep (d - b) / (2 ρ).",
)
def stable_root(stable_root):
    """Check the positive root of ρ x² + (s - ρ z) x - s x_em = 0: ``stable_root(x_em, s, rho, z)``.

    In float32 and float64, for weak and strong priors, it has to solve the equation to the last digits.

    Parameters
    ----------
    stable_root : function
        Four arrays of one shape; gives an array of that shape.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(6)
    mild = [rng.uniform(1, 5, 40), rng.uniform(1, 3, 40), rng.uniform(0.2, 4, 40), rng.uniform(0, 9, 40)]
    b, c, d = _parts(*mild)
    got = numbers(call(stable_root, *(v.copy() for v in mild)), "the root", (40,))
    x_em, s, rho, z = mild
    wrong_b = rho * z - s
    recognise(
        got,
        {
            "This is the negative root: the sign before the square root should be plus.": -(b + d) / (2 * rho),
            "The sign of b is wrong: b = s - ρ z.": (np.sqrt(wrong_b**2 + 4 * rho * c) - wrong_b) / (2 * rho),
            "Under the root the sensitivity is missing: 4 ρ s x_em.": (np.sqrt(b**2 + 4 * rho * x_em) - b) / (2 * rho),
            "Under the root it is 4 ρ s x_em: the 4 is missing.": (np.sqrt(b**2 + rho * c) - b) / (2 * rho),
            "Twice too large: the denominator is 2 ρ, and the other form has 2 s x_em above.": (d - b) / rho,
            "Half of it: the other form is 2 s x_em / (d + b).": c / (d + b),
            "This is the textbook's numerator: the division by 2 ρ is missing.": d - b,
        },
    )
    if not near(got, (d - b) / (2 * rho), 1e-6):
        raise Mistake("Already with harmless numbers this is not the root of ρ x² + (s - ρ z) x - s x_em = 0.")
    _in_every_corner(stable_root)
    return "It solves the equation in float32 and float64, from ρ = 0 (MLEM) to priors that are all that counts."


def _parts(x_em, s, rho, z):
    b, c = s - rho * z, s * x_em
    return b, c, np.sqrt(b * b + 4 * rho * c)


def _in_every_corner(root):
    cases = {
        "a weak prior": ([1e-3, 5.0, 80.0], [1e4, 1e3, 2e3], [3e-3, 1e-4, 1e-6], [0.0, 3.0, 50.0], "float32"),
        "a strong prior": ([1e-3, 0.01, 2.0], [1.0, 1e-3, 1e-2], [50.0, 1e3, 1e4], [40.0, 60.0, 9.0], "float32"),
        "no prior (rho = 0)": ([1e-3, 5.0], [1e4, 3.0], [0.0, 0.0], [4.0, 70.0], "float32"),
        "a very weak prior in float64": ([1e-3, 2.0], [1e4, 1e3], [1e-13, 1e-14], [1.0, 3.0], "float64"),
    }
    words = {
        "a weak prior": "b > 0, and `d - b` subtracts two nearly equal numbers: take 2 s x_em / (d + b).",
        "a strong prior": "b < 0, and `d + b` subtracts two nearly equal numbers: take (d - b) / (2 ρ) there.",
        "no prior (rho = 0)": "the root is x_em: where b > 0 nothing should be divided by ρ.",
        "a very weak prior in float64": "more digits only hide the problem: it is the form that has to change.",
    }
    for name, (*values, dtype) in cases.items():
        given = [np.array(v, dtype) for v in values]
        got = np.asarray(call(root, *given), float)
        x_em, s, rho, z = (v.astype(float) for v in given)
        rest = rho * got**2 + (s - rho * z) * got - s * x_em
        size = rho * got**2 + np.abs(s - rho * z) * np.abs(got) + s * x_em
        tolerance = 1e-5 if dtype == "float32" else 1e-10
        if got.shape != x_em.shape or not np.isfinite(got).all() or (np.abs(rest) > tolerance * size).any():
            raise Mistake(f"With {name} the equation is not solved: {words[name]}")


@exercise(
    LESSON,
    "De Pierro's algorithm",
    "Three lines: the EM image from the present one, ρ and z from the present one, and the root of both.",
    "`pt.mlem(y, A, iterations=1, start=x)` and `prior.surrogate(x)`: both anew in every iteration.",
    "`root(x_em, s, rho, z)`, and 0 where s is 0; keep it float32.",
)
def map_em_step(my_map_em):
    """Check a MAP-EM: ``my_map_em(y, A, prior, iterations, root, start)`` gives the image.

    With a prior that is neither weak nor quadratic the objective never falls, and the step uses the present image.

    Parameters
    ----------
    my_map_em : function
        y: float32 (plane, view, bin); A: acquisition model; prior: with ``surrogate``; root: function of x_em, s, rho,
        z; start: float32 (z, y, x); gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    if "map_em" in names_in(my_map_em):
        raise NotYet("The step is still the library's own `pt.map_em`. Write yours in its place.")
    from pettutor.reconstruction import priors

    scan = bench.scan()
    y, A = scan.y, scan.A
    s = bench.sensitivity(A)
    prior = priors.RelativeDifference(float(0.3 * s.mean()), voxel_size=scan.grid.voxel_size)
    start = (1 + 0.04 * np.arange(s.size, dtype=np.float32)).reshape(s.shape)
    images, calls = [], []

    def root(*values):
        calls.append(values)
        return _root(*values)

    for iterations in (1, 2, 4):
        given = start.copy()
        image = call(my_map_em, y, A, prior, iterations, root, given)
        image = numbers(
            image, "the image", A.in_shape, "Is it 0 where no line crosses (s = 0)? Use `np.where(s > 0, ...)`."
        )
        images.append(image)
        unchanged(start, given, "start")
    if near(images[0], start, 1e-6) and near(images[2], start, 1e-6):
        raise NotYet("The image is still the one that it started from.")
    if near(images[1], _steps(y, A, s, prior, start, 2), 1e-4):
        return _rising(scan, prior, start, images)
    recognise(images[1], _wrong_steps(y, A, s, prior, start), 1e-4)
    if near(images[0][s > 0], _steps(y, A, s, prior, start, 1)[s > 0], 1e-4) and not near(images[0], images[1], 1e-6):
        raise Mistake("Where no line crosses (s = 0) the image should be 0: `np.where(s > 0, ..., 0)`.")
    if not calls:
        raise Mistake("The argument `root` is not used: it makes the new image of x_em, s, rho and z.")
    if near(images[0], images[1], 1e-6):
        raise Mistake("1 and 2 iterations give the same image: is `return` inside the loop, or `x` never replaced?")
    raise Mistake("This is not the root for the EM image, the sensitivity, and rho and z, all of the present image.")


def _root(x_em, s, rho, z):
    """In float64, which is stable enough for the check's own numbers."""
    b, c, d = _parts(*(np.asarray(v, float) for v in (x_em, s, rho, z)))
    with np.errstate(all="ignore"):
        return np.where(b > 0, 2 * c / (d + b), (d - b) / (2 * np.asarray(rho, float)))


def _steps(y, A, s, prior, x, iterations, em=bench.em_step, root=_root, surrogate=None):
    for _ in range(iterations):
        rho, z = (surrogate or prior.surrogate)(x)
        x = np.where(s > 0, root(em(y, A, x), s, rho, z), 0).astype(np.float32)
    return x


def _wrong_steps(y, A, s, prior, start):
    def two(**changes):
        return _steps(y, A, s, prior, start, 2, **changes)

    frozen = prior.surrogate(start)
    em = start
    for _ in range(2):
        em = bench.em_step(y, A, em)
    return {
        "This is MLEM: the prior is not used.": np.where(s > 0, em, 0),
        "rho and z are those of the start image. Ask `prior.surrogate(x)` anew in every iteration.": two(
            surrogate=lambda x: frozen
        ),
        "The EM image starts from ones: `start=x` is missing.": two(
            em=lambda y, A, x: bench.em_step(y, A, np.ones_like(x))
        ),
        "The EM image is always made from the start image: `start=x`, the present one.": two(
            em=lambda y, A, x: bench.em_step(y, A, start)
        ),
        "The root gets the present image in place of the EM image.": two(em=lambda y, A, x: x),
        "rho and z are exchanged: `rho, z = prior.surrogate(x)`, `root(x_em, s, rho, z)`.": two(
            root=lambda x_em, s, rho, z: _root(x_em, s, z, rho)
        ),
        "The sensitivity s is missing in the root: with 1 in its place the prior is far too strong.": two(
            root=lambda x_em, s, rho, z: _root(x_em, np.ones_like(s), rho, z)
        ),
        "rho is halved. The surrogate's rho goes into the root as it is.": two(
            root=lambda x_em, s, rho, z: _root(x_em, s, rho / 2, z)
        ),
        "Only one iteration was made: `return` is inside the loop.": _steps(y, A, s, prior, start, 1),
    }


def _rising(scan, prior, start, images):
    matrix = bench.dense(scan.A)
    values = [
        bench.log_likelihood(scan.y, matrix, scan.A.background, x) - prior.value(np.asarray(x, float))
        for x in (np.where(bench.sensitivity(scan.A) > 0, start, 0), *images)
    ]
    if any(later < earlier for earlier, later in itertools.pairwise(values)):
        raise Mistake("The objective, likelihood less penalty, falls. De Pierro's step never lets it fall.")
    return "The objective never falls, and each step uses the EM image, rho and z of the present image."


@exercise(
    LESSON,
    "the relative difference prior",
    "Above the line is the square of the difference, below it is a sum of four terms.",
    "Two things are missing below: gamma times the absolute difference, and epsilon.",
)
def relative_difference(phi):
    """Check the penalty of a pair: ``phi(a, b, gamma, epsilon)``.

    It is symmetric, 0 for equal values, grows with the first power of the activity, is defined at 0, and its slope is
    that of the library's prior (finite differences in float64).

    Parameters
    ----------
    phi : function
        a, b: arrays or numbers >= 0; gamma, epsilon: numbers; gives the penalty of each pair.

    Returns
    -------
    Verdict
    """
    from pettutor.reconstruction import priors

    rng = np.random.default_rng(8)
    a, b, gamma, epsilon = rng.uniform(1, 90, 30), rng.uniform(1, 90, 30), 3.0, 0.7
    below = a + b + gamma * np.abs(a - b) + epsilon
    got = numbers(call(phi, a.copy(), b.copy(), gamma, epsilon), "phi", a.shape)
    square = (a - b) ** 2
    recognise(
        got,
        {
            "gamma |a - b| and epsilon are missing below the line.": square / (a + b),
            "gamma |a - b| is missing below the line.": square / (a + b + epsilon),
            "epsilon is missing below the line: two voxels with 0 would give 0 / 0.": square / (below - epsilon),
            "The absolute value is missing: gamma |a - b|. Otherwise it matters which of the two is larger.": square
            / (a + b + gamma * (a - b) + epsilon),
            "Below the line the difference is not squared: gamma |a - b|.": square / (a + b + gamma * square + epsilon),
            "The square is missing above the line.": np.abs(a - b) / below,
            "The square is missing above the line, and so the sign stays.": (a - b) / below,
            "This is the quadratic penalty: nothing is relative.": square,
            "gamma multiplies the sum a + b instead of the difference.": square
            / (gamma * (a + b) + np.abs(a - b) + epsilon),
            "It is half of the penalty: there is no factor 1/2 in it.": square / below / 2,
        },
        1e-6,
    )
    if not near(got, numbers(call(phi, b.copy(), a.copy(), gamma, epsilon), "phi", a.shape), 1e-9):
        raise Mistake("phi(a, b) and phi(b, a) differ. The pair has no order.")
    zero = numbers(call(phi, np.zeros(1), np.zeros(1), gamma, epsilon), "phi(0, 0)", (1,), "Is epsilon there?")
    if zero[0] != 0 or np.any(numbers(call(phi, a.copy(), a.copy(), gamma, epsilon), "phi", a.shape)):
        raise Mistake("Two equal voxels should cost nothing.")
    prior = priors.RelativeDifference(1.0, gamma, epsilon)
    slopes = prior.gradient(np.stack([a, b], axis=-1)[:, None, :].reshape(30, 1, 2)[:1])[0, 0, 0]
    finite = (call(phi, a[:1] + 1e-4, b[:1], gamma, epsilon) - call(phi, a[:1] - 1e-4, b[:1], gamma, epsilon)) / 2e-4
    if not near(finite, [slopes], 1e-3):
        raise Mistake("The slope of phi (by finite differences) is not that of the relative difference prior.")
    return "Symmetric, 0 for equal voxels, defined at 0, and with the slope of the library's prior."


@exercise(
    LESSON,
    "from which shift on the MR does not help",
    "Go through the shifts in order, `for mm, error in errors.items()`, and compare each error with `without_mr`.",
    "The first that is larger is the answer; if none is, return None at the end.",
)
def first_worse_shift(first_worse):
    """Check a search: ``first_worse(errors, without_mr)`` gives the first shift whose error is larger, or None.

    Parameters
    ----------
    first_worse : function
        errors: dict from the shift (mm, rising) to the error (per cent); without_mr: the error to beat; gives a shift
        in mm, or None.

    Returns
    -------
    Verdict
    """
    errors = {0: 17.5, 1: 18.25, 3: 21.5, 5: 20.75, 9: 26.0}
    cases = ((20.0, 3), (18.0, 1), (17.0, 0), (22.0, 9), (30.0, None), (26.0, None))
    answers = [_shift(first_worse, errors, limit) for limit, _ in cases]
    if all(answer is None for answer in answers):
        raise NotYet("Your function gives no shift yet.")
    for answer, (limit, right) in zip(answers, cases, strict=True):
        if answer == right:
            continue
        worse = [mm for mm, error in errors.items() if error > limit]
        got = f"With the errors {errors} and {limit} % without MR"
        if answer in errors.values() and answer not in errors:
            raise Mistake("This is an error in per cent. The shift in mm is wanted.")
        if right is None:
            equal = "equal is not worse" if limit in errors.values() else "no shift is worse: return None"
            raise Mistake(f"{got} {equal}, but you gave {answer}.")
        if answer is None:
            raise Mistake(f"{got} the shift of {right} mm is worse, but you gave None.")
        if answer == worse[-1] and len(worse) > 1:
            raise Mistake("This is the last shift that is worse. The first is wanted.")
        if answer == max((mm for mm in errors if mm < right), default=None):
            raise Mistake("This is the last shift that still helps. The first that does not is wanted.")
        if answer == list(errors).index(right):
            raise Mistake("This is the place in the list. The shift in mm is wanted.")
        if answer == min(mm for mm, error in errors.items() if error < limit) or answer == 0:
            raise Mistake("Is the comparison the wrong way round? A larger error is worse.")
        raise Mistake(f"{got} expected {right} mm, got {answer}.")
    return "The first shift with a larger error, None where there is none, and equal does not count as worse."


def _shift(first_worse, errors, limit):
    try:
        answer = call(first_worse, dict(errors), limit)
    except NotYet:
        return None
    if isinstance(answer, bool | np.bool_) or np.ndim(answer) > 0:
        raise Mistake("Return one shift in mm, or None: not a list, and not True or False.")
    return float(numbers(answer, "the shift", ()))
