"""Checks of lesson 4: attenuation in the right units, expected counts by hand, noise-equivalent counts."""

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, exercise, near, number, numbers, recognise
from pettutor.course.check.guidance import names_in

LESSON = "04_simulation"
THROUGH_WATER = 0.096 * 20  # attenuation lengths along the diameter


@exercise(
    LESSON,
    "attenuation of a water cylinder",
    "The smallest factor belongs to the longest line, through the middle. How long is it in the water?",
    "The factor is exp(-μ · length), with both in the same unit: μ is given per cm.",
)
def water_attenuation(predicted):
    """Check the smallest attenuation factor of 200 mm of water, μ = 0.096 per cm.

    Parameters
    ----------
    predicted : float
        A share, 0 … 1.

    Returns
    -------
    Verdict
    """
    value = number(predicted, "predicted")
    usual = {
        "The length is in mm, but μ is per cm: 200 mm are 20 cm.": np.exp(-10 * THROUGH_WATER),
        "This is the radius. The longest line crosses the whole cylinder, 20 cm.": np.exp(-THROUGH_WATER / 2),
        "The sign is missing: a share that survives is at most 1.": np.exp(THROUGH_WATER),
        "This is the share of pairs that are lost. The attenuation factor is the share that survives.": 1
        - np.exp(-THROUGH_WATER),
        "This is the integral of μ along the line. The factor is exp of minus that.": THROUGH_WATER,
        "You counted the line twice. The two photons share it: together they cross it once.": np.exp(
            -2 * THROUGH_WATER
        ),
        "The base is e, not 10: `np.exp(...)`.": 10**-THROUGH_WATER,
        "The base is e, not 2: `np.exp(...)`.": 2**-THROUGH_WATER,
    }
    if abs(value / np.exp(-THROUGH_WATER) - 1) > 0.02:
        for words, wrong in usual.items():
            if abs(value / wrong - 1) < 0.02:
                raise Mistake(words)
        raise Mistake(f"Expected a share between 0 and 1, exp(-μ · length of the longest line), got {value:.4g}.")
    return f"exp(-0.096 · 20) = {np.exp(-THROUGH_WATER):.4f}: about one pair in seven gets out."


@exercise(
    LESSON,
    "the expected counts by hand",
    "From right to left: blur the image, project it, multiply by attenuation and normalisation, add the background.",
    "`pt.gaussian_filter(image, 4.5, X.grid)` is H x, `X(...)` projects it; the factors are in `data`.",
    "The background (`data.randoms`) is added last, outside all factors: it is in counts already.",
)
def expected_counts(by_hand):
    """Check the expected counts: ``by_hand(image, data, X)`` gives N · A_µ · X · H x + r with a blur of 4.5 mm.

    Parameters
    ----------
    by_hand : function
        image: float32 (z, y, x); data: `pettutor.Simulation`; X: projector with a ``.grid``; gives counts
        (plane, view, bin).

    Returns
    -------
    Verdict
    """
    if "expected" in names_in(by_hand):
        raise NotYet("This is still `A.expected`. Build the counts from `data`, `X` and `pt.gaussian_filter`.")
    from pettutor.acquisition import gaussian_filter

    scan = bench.scan()
    data, X, image = scan.data, scan.A.projector, scan.truth
    n, a, r = data.normalisation, data.attenuation, data.randoms
    given = image.copy()
    got = numbers(call(by_hand, given, data, X), "the expected counts", X.out_shape)
    if not np.array_equal(given, image):
        raise Mistake("Your function changes the image that it is given. Make a new one.")
    lines = X(gaussian_filter(image, 4.5, X.grid))
    if near(got, n * a * lines + r, 1e-5):
        half = numbers(call(by_hand, (0.5 * image).astype(np.float32), data, X), "the expected counts", X.out_shape)
        if not near(half, 0.5 * n * a * lines + r, 1e-5):
            raise Mistake("With half the activity there should be half the trues and the same background.")
        return "Blur, line integrals, attenuation, normalisation, and the background added in counts."
    recognise(
        got,
        {
            "The blur is missing: project `pt.gaussian_filter(image, 4.5, X.grid)`.": n * a * X(image) + r,
            "The attenuation is missing: multiply by `data.attenuation`.": n * lines + r,
            "The normalisation is missing: multiply by `data.normalisation`.": a * lines + r,
            "The background is missing: add `data.randoms`.": n * a * lines,
            "The background is inside the brackets. It is in counts already: add it after the factors.": n
            * a
            * (lines + r),
            "You divided by the attenuation. It is the share that survives: multiply.": n / np.maximum(a, 1e-9) * lines
            + r,
            "The blur has another width: the scanner's is 4.5 mm.": n * a * X(gaussian_filter(image, 2.5, X.grid)) + r,
            "The prompts are added. They are what was measured, with noise; the background is `data.randoms`.": n
            * a
            * lines
            + data.prompts,
            "The prompts are what was measured; the image does not matter for them.": data.prompts,
            "These are line integrals. The factors, and the background, are missing.": lines,
        },
        1e-4,
    )
    zero = numbers(call(by_hand, np.zeros_like(image), data, X), "the expected counts", X.out_shape)
    if not near(zero, r):
        raise Mistake(
            "Without any activity the expected counts should be the background, `data.randoms`: yours are not."
        )
    raise Mistake(
        "Without activity the counts are right, with activity they are not: look at the factors and at the blur."
    )


@exercise(
    LESSON,
    "noise-equivalent counts",
    "With f times the activity, put f T for the trues and f² R for the randoms into the formula. There is no scatter.",
    "The numerator is the square of all of f T.",
)
def noise_equivalent_counts(nec):
    """Check the worth of a scan: ``nec(f, T, R)`` with f times the activity.

    Parameters
    ----------
    nec : function
        f: (n,), activity over the present one; T, R: trues and randoms at present; gives counts (n,).

    Returns
    -------
    Verdict
    """
    f, T, R = np.array([0.2, 0.7, 1.0, 1.9, 6.0]), 3.1e5, 1.3e5
    got = numbers(call(nec, f.copy(), T, R), "the noise-equivalent counts", f.shape)
    if near(got, f * T):
        raise NotYet("These are the trues alone. Replace them by the noise-equivalent counts.")
    right = (f * T) ** 2 / (f * T + f**2 * R)
    if near(got, right, 1e-6):
        if not near(numbers(call(nec, f.copy(), T, 0.0), "the noise-equivalent counts", f.shape), f * T):
            raise Mistake("Without randoms every count is worth one, so the result should be f T.")
        return "More activity helps less and less: the randoms grow with its square, and T²/R is the end."
    recognise(
        got,
        {
            "Randoms need two decays: with f times the activity there are f² R of them, not f R.": (f * T) ** 2
            / (f * T + f * R),
            "The randoms grow, too: with f times the activity there are f² R.": (f * T) ** 2 / (f * T + R),
            "The square of the trues is missing above the line.": f * T / (f * T + f**2 * R),
            "Square the whole of f T, not T alone.": f * T**2 / (f * T + f**2 * R),
            "You subtract the randoms. That takes away their mean, but not their noise: use the formula.": f * T
            - f**2 * R,
            "With 2 R this is the formula for randoms that are measured and subtracted. Ours has R.": (f * T) ** 2
            / (f * T + 2 * f**2 * R),
            "The trues are missing below the line: trues + randoms.": (f * T) ** 2 / (f**2 * R),
            "This is the root: a signal to noise ratio. NEC are counts.": np.sqrt(right),
        },
        1e-6,
    )
    if near(got[2], T**2 / (T + R), 1e-6):
        raise Mistake(
            "At the present activity it is right, with other activities it is not: where has each f to stand?"
        )
    raise Mistake("This is not (trues)² / (trues + randoms) with trues f T and randoms f² R.")
