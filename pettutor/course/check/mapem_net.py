"""Checks of lesson 12: the derivatives of a MAP-EM step, the untrained MAPEM-Net, a curve read at a network's noise."""

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import (
    Mistake,
    NotYet,
    call,
    describe,
    exercise,
    near,
    numbers,
    recognise,
    unchanged,
)
from pettutor.course.check.guidance import names_in

LESSON = "12_mapem_net"


@exercise(
    LESSON,
    "the derivatives of a MAP-EM step",
    "All three have the same denominator, D = 2 ρ x + s - ρ z.",
    "Above the line stand s, ρ x and x (z - x), in this order. Where D is 0, `over` gives 0.",
)
def map_em_derivatives(derivatives):
    """Check the derivatives of the positive root of ρ x² + (s - ρ z) x - s x_em = 0: ``derivatives(x, s, z, rho)``.

    By finite differences in float64, for voxels where the counts or the reference prevail; and finite where no line
    crosses and D = 0.

    Parameters
    ----------
    derivatives : function
        x, the root, s, z, rho: arrays of one shape; gives three arrays, by x_em, by z and by rho.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(3)
    x_em, s, z, rho = (rng.uniform(0.1, 3, 60) for _ in range(4))
    s[:6], z[6:12], rho[12:18] = 40.0, 60.0, 1e-3
    x = _root(x_em, s, z, rho)
    given = [array.copy() for array in (x, s, z, rho)]
    got = _three(call(derivatives, *given), x.shape)
    for before, after, name in zip((x, s, z, rho), given, ("x", "s", "z", "rho"), strict=True):
        unchanged(before, after, name)
    if not np.any(got):
        raise NotYet("All three derivatives are still 0.")
    wanted = _finite_differences(x_em, s, z, rho)
    if any(not near(mine, right, 1e-5) for mine, right in zip(got, wanted, strict=True)):
        _explain_derivatives(got, wanted, x, s, z, rho)
    corner = np.zeros(3)
    mine = _three(call(derivatives, corner.copy(), corner.copy(), corner.copy(), np.full(3, 0.3)), (3,))
    if np.any(mine):
        raise Mistake("Where x, s and z are 0 all three derivatives should be 0.")
    return "Finite differences agree, by all three, and where no line crosses the derivative is 0, not 0 / 0."


def _root(x_em, s, z, rho):
    b = s - rho * z
    d = np.sqrt(b * b + 4 * rho * s * x_em)
    return np.where(b > 0, 2 * s * x_em / (d + np.abs(b)), (d - b) / (2 * rho))


def _finite_differences(x_em, s, z, rho):
    parts, found = [x_em, s, z, rho], []
    for moved in (0, 2, 3):
        step = 1e-5 * parts[moved]
        up, down = (_root(*(p + e * (k == moved) for k, p in enumerate(parts))) for e in (step, -step))
        found.append((up - down) / (2 * step))
    return found


def _three(found, shape):
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Mistake(f"Return three derivatives, by x_em, by z and by rho: got {describe(found)}.")
    corner = "D is 0 there: use `over`, which gives 0." if shape == (3,) else ""
    return [numbers(part, f"the derivative by {name}", shape, corner)
            for part, name in zip(found, ("x_em", "z", "rho"), strict=True)]  # fmt: skip


def _explain_derivatives(got, wanted, x, s, z, rho):
    if all(any(near(mine, right, 1e-5) for right in wanted) for mine in got):
        raise Mistake("The derivatives are right, but in another order: by x_em, by z, by rho.")
    denominators = {
        "The 2 is missing in D = 2 ρ x + s - ρ z.": rho * x + s - rho * z,
        "The sign of ρ z is wrong: D = 2 ρ x + s - ρ z.": 2 * rho * x + s + rho * z,
        "ρ z is missing: D = 2 ρ x + s - ρ z.": 2 * rho * x + s,
        "s is missing: D = 2 ρ x + s - ρ z.": 2 * rho * x - rho * z,
        "ρ is missing in the first term: D = 2 ρ x + s - ρ z.": 2 * x + s - rho * z,
        "The derivatives are multiplied by D. Divide by it.": 1 / (2 * rho * x + s - rho * z),
    }
    for words, other in denominators.items():
        if all(near(mine, above / other, 1e-5) for mine, above in zip(got, (s, rho * x, x * (z - x)), strict=True)):
            raise Mistake(words)
    D = 2 * rho * x + s - rho * z
    by_part = (
        {"By x_em: above the line stands s alone.": s * x / D, "By x_em: the s above the line is missing.": 1 / D},
        {
            "By z: the ρ above the line is missing.": x / D,
            "By z: the x above the line is missing.": rho / D,
            "By z: the sign. A larger reference pulls x up.": -rho * x / D,
        },
        {
            "By ρ: the sign. A stronger pull moves x towards z: x (z - x).": x * (x - z) / D,
            "By ρ: the x above the line is missing.": (z - x) / D,
            "By ρ: the square of x is missing: x (z - x) = x z - x².": x * z / D,
            "By ρ: there is no ρ above the line.": rho * x * (z - x) / D,
        },
    )
    for mine, mistakes in zip(got, by_part, strict=True):
        recognise(mine, mistakes, 1e-5)
    names = [name for mine, right, name in zip(got, wanted, ("x_em", "z", "rho"), strict=True)
             if not near(mine, right, 1e-5)]  # fmt: skip
    raise Mistake(f"Finite differences give another derivative by {' and '.join(names)}.")


@exercise(
    LESSON,
    "the untrained MAPEM-Net",
    "An untrained CNN gives z = x + μ, so μ + x - z is 0 and stays so: every block has its own start as the reference.",
    "One line: `pt.map_em(y, A, pt.priors.Reference(x, rho), iterations=steps, start=x)`.",
)
def untrained_mapem_net(untrained_loop):
    """Check a loop: ``untrained_loop(y, A, start, rho, unrolls, steps)`` is MAPEM-Net with a CNN that changes nothing.

    Parameters
    ----------
    untrained_loop : function
        y: float32 (plane, view, bin); A: acquisition model; start: float32 (z, y, x); rho: float; unrolls, steps: int;
        gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    scan = bench.scan()
    y, A, rng = scan.y, scan.A, np.random.default_rng(8)
    start = rng.uniform(1, 12, A.in_shape).astype(np.float32)
    rho = bench.strength(0.7)
    given = start.copy()
    got = numbers(call(untrained_loop, y, A, given, rho, 3, 2), "the image", A.in_shape)
    unchanged(start, given, "start")
    if near(got, start, 1e-6):
        raise NotYet("The image is still the one that it started from.")
    if not near(got, _blocks(y, A, start, rho, 3, 2), 1e-4):
        _explain_loop(got, y, A, start, rho)
    if not near(
        numbers(call(untrained_loop, y, A, start, rho, 2, 3), "the image", A.in_shape),
        _blocks(y, A, start, rho, 2, 3),
        1e-4,
    ):
        raise Mistake("With 3 unrolls of 2 steps it is right, with 2 of 3 it is not: is a number fixed in it?")
    return "Every block is held back by the image that the one before has left: MLEM with a brake, and no μ."


def _blocks(y, A, start, rho, unrolls, steps, reference=lambda start, block, x: block, again=False):
    """Blocks of MAP-EM steps; ``reference`` chooses among the start image, the block's first and the present one."""
    x = start
    for _ in range(unrolls):
        block = x
        x = start if again else x
        for _ in range(steps):
            x = bench.map_step(y, A, x, reference(start, block, x), rho)
    return x


def _explain_loop(got, y, A, start, rho):
    if near(got, bench.em_steps(y, A, start, 6), 1e-4):
        raise NotYet("These are still steps of MLEM: the reference is missing.")
    recognise(
        got,
        {
            "The reference is always the start image. Every block has its own: the image that the one before has left."
            "": _blocks(y, A, start, rho, 3, 2, lambda start, block, x: start),
            "Every block begins at the start image: `start=x`.": _blocks(y, A, start, rho, 3, 2, again=True),
            "The reference moves within a block. It is the image at the block's beginning, for all its steps.": _blocks(
                y, A, start, rho, 6, 1
            ),
            "One step a block, where `steps` were asked for.": _blocks(y, A, start, rho, 3, 1),
            "rho is halved. `pt.priors.Reference(x, rho)` takes it as it is.": _blocks(y, A, start, rho / 2, 3, 2),
            "rho is doubled. `pt.priors.Reference(x, rho)` takes it as it is.": _blocks(y, A, start, 2 * rho, 3, 2),
            "Only one block was made: is `return` inside the loop?": _blocks(y, A, start, rho, 1, 2),
            "One block too many.": _blocks(y, A, start, rho, 4, 2),
        },
        1e-4,
    )
    raise Mistake("These are not blocks of MAP-EM steps, each towards the image that it begins with.")


@exercise(
    LESSON,
    "a curve at a network's noise",
    "`np.interp(x, xp, fp)` reads a curve at x: `xp` is the noise of the curve's points, `fp` their contrast.",
    '`np.interp` wants rising noise: `curve.sort_values("noise %")` first. `left=np.nan, right=np.nan` for outside.',
)
def contrast_at_noise(gaussian_at):
    """Check an interpolation: ``gaussian_at(curve, region, noise)`` gives the contrast of a curve at a noise.

    Parameters
    ----------
    gaussian_at : function
        curve: table with the column ``noise %`` and one a region, falling noise; region: str; noise: float; gives a
        number, NaN outside the curve.

    Returns
    -------
    Verdict
    """
    import pandas as pd

    table = {
        "CRC grey": [0.62, 0.55, 0.31, 0.1],
        "noise %": [40.0, 22.0, 9.0, 3.0],
        "CRC lesions": [0.8, 0.5, 0.4, 0.2],
    }
    curve = pd.DataFrame(table)
    rising = curve.sort_values("noise %")
    answers = []
    for region, noise in (("CRC grey", 12.0), ("CRC lesions", 30.0), ("CRC grey", 4.0)):
        kept = curve.copy()
        answers.append((region, noise, _or_nan(gaussian_at, kept, region, noise)))
        if not kept.equals(curve):
            raise Mistake("Your function changes the table that it is given: `sort_values` makes a new one.")
    outside = [_or_nan(gaussian_at, curve.copy(), "CRC grey", noise) for noise in (2.0, 50.0)]
    if np.isnan([answer for *_, answer in answers] + outside).all():
        if "interp" in names_in(gaussian_at):
            raise Mistake(
                "It gives NaN everywhere: `np.interp` wants rising noise, and the curve's falls. Sort it first."
            )
        raise NotYet("It still gives NaN everywhere.")
    for region, noise, got in answers:
        right = float(np.interp(noise, rising["noise %"], rising[region]))
        _explain_point(got, right, curve, rising, region, noise)
    if not np.isnan(outside).all():
        raise Mistake("Outside the curve there is no answer: `left=np.nan, right=np.nan`, not the contrast of its end.")
    return "It interpolates along the rising noise, and says nothing where the curve does not reach."


def _or_nan(function, *arguments):
    try:
        found = call(function, *arguments)
    except NotYet:
        return float("nan")
    return float(numbers(found, "the contrast", ()))


def _explain_point(got, right, curve, rising, region, noise):
    if abs(got - right) < 1e-6:
        return
    other = "CRC lesions" if region == "CRC grey" else "CRC grey"
    nearest = int((curve["noise %"] - noise).abs().argmin())
    usual = {
        "`np.interp` wants rising noise, and the curve's falls: sort it first.": np.interp(
            noise, curve["noise %"], curve[region]
        ),
        "Only one column is sorted. Sort the whole table, so that each contrast stays with its noise.": np.interp(
            noise, np.sort(curve["noise %"]), curve[region]
        ),
        "Noise and contrast are exchanged: read the contrast at a noise.": np.interp(
            noise, rising[region], rising["noise %"]
        ),
        "This is the contrast of the nearest point. Interpolate between two.": curve[region][nearest],
        "This is the contrast of another region: read the column `region`.": np.interp(
            noise, rising["noise %"], rising[other]
        ),
        "You gave back the noise that was asked for.": noise,
    }
    for words, wrong in usual.items():
        if abs(got - wrong) < 1e-6:
            raise Mistake(words)
    if np.isnan(got):
        raise Mistake(f"A noise of {noise:g} % is on the curve (3 to 40 %), and you gave NaN: is the noise sorted?")
    raise Mistake(f"{region} at {noise:g} % noise: expected {right:.3f}, got {got:.4g}.")
