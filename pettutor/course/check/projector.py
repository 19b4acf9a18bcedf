"""Checks of lesson 3: Joseph's shares, the number of rays, an unmatched pair, the size of a stored matrix."""

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import (
    UNTOUCHED,
    Mistake,
    NotYet,
    call,
    describe,
    exercise,
    near,
    number,
    numbers,
    recognise,
)

LESSON = "03_projector"


@exercise(
    LESSON,
    "Joseph's method",
    "`voxels - at` is the distance of every voxel from the crossing, with a sign: shape (rows, voxels).",
    "The nearer, the more: 1 at no distance, 0 at the distance 1, a straight line between, and never less than 0.",
)
def joseph_weights(joseph):
    """Check Joseph's shares: ``joseph(at, voxels)`` gives what every voxel of each row has of the line.

    They are not negative, at most two in a row, sum to 1 inside, have their centre at the crossing, and move with it.

    Parameters
    ----------
    joseph : function
        at: (rows, 1), crossings in voxels; voxels: (n,), their numbers; gives (rows, n).

    Returns
    -------
    Verdict
    """
    at = np.array([[2.3], [4.0], [0.85], [6.5], [-0.4], [8.25], [-3.0], [5.999]])
    voxels = np.arange(9)
    got = numbers(call(joseph, at.copy(), voxels.copy()), "the shares", (8, 9), "Is a row without voxels normalised?")
    distance = np.abs(voxels - at)
    inside = slice(0, 4)
    if near(got, 1.0 * (distance <= 0.5)):
        raise NotYet("All still goes to the nearest voxel. Share it between the two nearest.")
    recognise(
        got,
        {
            "Some shares are negative: voxels farther away than 1 get nothing, so cut off below 0 (`np.clip`).": 1
            - distance,
            "The farther of the two voxels gets the larger share: 1 at no distance, 0 at the distance 1.": distance
            * (distance < 1),
            "Only one side is right: the absolute value of the distance is missing (`np.abs`).": np.clip(
                1 - (voxels - at), 0, None
            ),
            "Only one side is right: take the absolute value of the distance (`np.abs`).": np.clip(
                1 + (voxels - at), 0, None
            ),
            "The line is shared among more than two voxels: the share has to be 0 at the distance 1.": np.clip(
                1 - distance / 2, 0, None
            )
            / 2,
            "All goes to a single voxel, the one before the crossing. Share it between the two nearest.": 1.0
            * (voxels == np.floor(at)),
            "The share falls with the square of the distance; interpolation is linear.": np.clip(
                1 - distance**2, 0, None
            ),
        },
    )
    if got.min() < -1e-6:
        raise Mistake("Some shares are negative: cut off below 0.")
    if np.abs(got[inside].sum(axis=1) - 1).max() > 1e-4:
        raise Mistake("The shares of a row inside the image should sum to 1: the line is as long as before.")
    if np.abs(got[inside] @ voxels - at[inside, 0]).max() > 1e-4:
        raise Mistake("The two voxels should balance at the crossing: the nearer one gets the larger share.")
    if (got > 1e-6).sum(axis=1).max() > 2:
        raise Mistake("The line is shared among more than two voxels of a row.")
    if not np.allclose(got[4:], np.clip(1 - distance[4:], 0, None), atol=1e-6):
        raise Mistake(
            "At the rim a part of the line falls outside the image and is lost there. Have you normalised each row, or "
            "cut off the crossing?"
        )
    return "Two voxels a row, shares that sum to 1 and balance at the crossing, and nothing invented at the rim."


@exercise(
    LESSON,
    "how many rays are enough",
    "Begin with 1 ray and go on until `ripple_of(rays)` is below 1 (per cent): a `while` loop.",
    "The ripple need not fall with every ray more, so try them one after the other and stop at the first.",
)
def enough_rays(enough_rays):
    """Check a search: ``enough_rays(ripple_of)`` gives the smallest number of rays with a ripple below 1 %.

    Parameters
    ----------
    enough_rays : function
        ``ripple_of(rays)`` is the ripple in per cent; gives a whole number.

    Returns
    -------
    Verdict
    """
    tables = (
        [9.0, 8.5, 2.0, 0.7, 0.9, 0.2],
        [5.0, 0.5, 3.0, 0.9, 0.1],
        [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 0.6, 0.3, 0.005],
    )
    for table, right in zip(tables, (4, 2, 7), strict=True):
        asked = []

        def ripple_of(rays, table=table, asked=asked):
            asked.append(rays)
            return table[int(rays) - 1] if rays <= len(table) else 0.001

        try:
            answer = call(enough_rays, ripple_of)
        except NotYet:
            if not asked:
                raise
            raise Mistake(
                f"The search ended without an answer after {max(asked)} rays, where {right} were needed: go on until "
                "the ripple is below 1 %."
            ) from None
        if not asked:
            raise NotYet("Your function never asks for a ripple: let it try numbers of rays with `ripple_of(...)`.")
        _explain_rays(number(answer, "the number of rays"), right, table, asked)
    return "It finds the first number of rays below 1 %, also where the ripple does not fall steadily."


def _explain_rays(answer, right, table, asked):
    if answer == right:
        return
    if answer != round(answer):
        raise Mistake("This is no number of rays. Is it the ripple itself?")
    if not set(range(1, right)) <= set(asked):
        raise Mistake("Some numbers of rays were left out: try 1, 2, 3 and so on.")
    if answer > len(table) or table[int(answer) - 1] < 0.01:
        raise Mistake("You went on too far. Is your limit 0.01? The ripple is in per cent, so it is 1.")
    if answer == right - 1:
        raise Mistake(f"This is one too few: {answer:g} rays still have a ripple of {table[right - 2]:g} %.")
    if answer in asked and table[int(answer) - 1] == min(table[int(rays) - 1] for rays in asked):
        raise Mistake("This number has the least ripple of those tried. The smallest number below 1 % is wanted.")
    if answer == right + 1:
        raise Mistake(f"This is one too many: {right} rays already have a ripple below 1 %.")
    ripples = ", ".join(map(str, table))
    raise Mistake(f"With ripples of {ripples} % for 1, 2, 3 … rays, expected {right}, got {answer:g}.")


@exercise(
    LESSON,
    "a pair that does not belong together",
    "`.T` is what the pair back-projects with. Which of its two models should that be?",
    "The back projection of a model is its `.T`, which is an operator too: nothing has to be called.",
)
def unmatched_pair(Pair):
    """Check a pair: ``Pair(forward, back)`` projects with one model and back-projects with the other.

    Parameters
    ----------
    Pair : class
        Its instances have a call, ``.T``, ``in_shape``, ``out_shape``.

    Returns
    -------
    Verdict
    """
    one = bench.projector()
    rng = np.random.default_rng(2)
    other = bench.MatrixProjector(one.matrix * rng.uniform(0.5, 1.5, one.matrix.shape), one.grid)
    image, sinogram = (rng.random(shape, dtype=np.float32) for shape in (one.in_shape, one.out_shape))
    pair = call(Pair, one, other)
    projected = numbers(call(_forward(Pair, pair), image), "the projection", one.out_shape)
    if not near(projected, one(image)):
        raise Mistake("The pair should project with its first model; its call was right before you changed it.")
    back = call(_transpose(Pair, pair))
    if not callable(back):
        raise Mistake(f"`.T` should be an operator, such as `model.T`, got {describe(back)}.")
    if getattr(back, "in_shape", sinogram.shape) == one.in_shape:
        raise Mistake(
            "`.T` projects instead of back-projecting: it takes an image. The back projection of a model is `.T`."
        )
    got = numbers(call(back, sinogram), "the back projection", one.in_shape)
    if near(got, one.T(sinogram)):
        raise NotYet("The pair still back-projects with the model that it projects with, so it is a true pair.")
    if near(got, 0.5 * (one.T(sinogram) + other.T(sinogram))):
        raise Mistake("Your back projection mixes both models. It should be that of the second alone.")
    if not near(got, other.T(sinogram)):
        raise Mistake("This is not the back projection of the second model.")
    true_pair = call(_transpose(Pair, call(Pair, other, other)))(sinogram)
    left, right = float((other(image) * sinogram).sum()), float((image * true_pair).sum())
    if abs(left / right - 1) > 1e-4:
        raise Mistake("With the same model twice it should be a true pair, and pass the adjoint test. It does not.")
    return "It projects with the first model and back-projects with the second, so the adjoint test must notice it."


def _forward(Pair, pair):
    """The pair as a function that keeps the lines of the student's class for messages."""

    def project(image):
        return pair(image)

    return _as(Pair, project)


def _transpose(Pair, pair):
    return _as(Pair, lambda: pair.T)


class _as:
    """A function of the check that counts as the student's class where an error has to be placed."""

    def __init__(self, answer, function):
        self.answer, self.function = answer, function

    def __call__(self, *arguments):
        return self.function(*arguments)


GIGABYTES = 68_516 * 837 * 250 * 4 * 8 / 1e9


@exercise(
    LESSON,
    "the matrix of the mMR",
    "How many weights has one line? It crosses about 250 rows, and touches four voxels in each.",
    "Live bins × planes × weights of a line × 8 bytes (4 for the weight, 4 for the number of its voxel); then / 10⁹.",
)
def matrix_memory(gigabytes):
    """Check the size of the stored matrix of the mMR.

    Parameters
    ----------
    gigabytes : float
        In units of 10⁹ bytes.

    Returns
    -------
    Verdict
    """
    value = number(gigabytes, "gigabytes")
    if value == 0:
        raise NotYet(UNTOUCHED)
    usual = {
        "This is in bytes: divide by 10⁹.": 1e9,
        "This is in megabytes: divide by 10⁹.": 1e3,
        "This is in gibibytes (2³⁰ bytes). A gigabyte is 10⁹ bytes.": 1e9 / 2**30,
        "This is one plane: there are 837 planes of lines.": 1 / 837,
        "A line touches four voxels in each row, not one.": 1 / 4,
        "The weights alone: the number of its voxel is stored with each of them, another 4 bytes.": 1 / 2,
        "These are all bins. Only 68,516 of the 252 × 344 are live.": 252 * 344 / 68_516,
        "This is in gigabits: a byte has 8 bits, and memory is counted in bytes.": 8,
    }
    if abs(value / GIGABYTES - 1) > 0.02:
        for words, factor in usual.items():
            if abs(value / (GIGABYTES * factor) - 1) < 0.02:
                raise Mistake(words)
        raise Mistake("Multiply five numbers: live bins, planes, rows, voxels in a row, bytes. Then divide by 10⁹.")
    return f"{GIGABYTES:,.0f} GB: far more than any memory, and more than a minute to read, for every projection."
