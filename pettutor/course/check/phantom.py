"""Checks of lesson 1: contrast in coarse voxels, an attenuation map without marrow, a lesion of one's own."""

import functools
from types import SimpleNamespace

import numpy as np

from pettutor.course.check.exercise import Mistake, NotYet, call, describe, exercise, near, number, numbers, recognise

LESSON = "01_phantom"
GREY, WHITE, MARROW = 2, 3, 11


@exercise(
    LESSON,
    "contrast in coarse voxels",
    "`labels == 2` is the mask of the voxels in which grey matter prevails, `labels == 3` that of white matter.",
    "`pt.measures.contrast(image, region, background)` is the mean of the one over the mean of the other.",
)
def coarse_contrast(contrast_of):
    """Check a contrast: ``contrast_of(image, labels)`` is the mean over grey matter over that over white matter.

    Parameters
    ----------
    contrast_of : function
        image: float32 (z, y, x); labels: uint8 (z, y, x); gives a number.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(15)
    labels = rng.choice([0, 1, GREY, WHITE, 6], (2, 9, 11), p=[0.3, 0.1, 0.2, 0.3, 0.1]).astype(np.uint8)
    answers = []
    for grey, white in ((97.0, 41.0), (55.0, 61.0)):
        image = (np.choose(np.minimum(labels, 4), [0.5, 5, grey, white, 16]) + rng.uniform(-4, 4, labels.shape)).clip(0)
        answers.append((image.astype(np.float32), number(call(contrast_of, image.astype(np.float32), labels), "it")))
    if answers[0][1] == answers[1][1] == 4:
        raise NotYet("This is the contrast that was painted. Measure that of the image.")
    for image, got in answers:
        _explain_contrast(got, image, labels)
    return "Mean over mean, in the voxels in which the tissue prevails."


def _explain_contrast(got, image, labels):
    g, w = image[labels == GREY].astype(float), image[labels == WHITE].astype(float)
    usual = {
        "The two are exchanged: grey matter over white matter.": w.mean() / g.mean(),
        "This is the relative difference. Contrast is here the ratio of the means.": g.mean() / w.mean() - 1,
        "This is the difference of the means. The ratio is wanted.": g.mean() - w.mean(),
        "This is the ratio of the sums, so it depends on the number of voxels. Take means.": g.sum() / w.sum(),
        "This is the ratio of the maxima. A single voxel says little: take means.": g.max() / w.max(),
        "Label 1 is taken. Grey matter is 2, white matter is 3.": image[labels == 1].mean() / g.mean(),
        "Below the line is everything but grey matter. It is white matter alone, `labels == 3`.": g.mean()
        / image[labels != GREY].mean(),
        "Below the line is the whole image. It is white matter alone, `labels == 3`.": g.mean() / image.mean(),
        "This is the mean of grey matter alone. Divide by that of white matter.": g.mean(),
        "This is the ratio of the medians. Take means.": np.median(g) / np.median(w),
    }
    right = g.mean() / w.mean()
    if abs(got - right) < 1e-4 * right:
        return
    for words, wrong in usual.items():
        if abs(got - wrong) < 1e-4 * abs(wrong):
            raise Mistake(words)
    raise Mistake(
        f"In a small image with means of {g.mean():.1f} and {w.mean():.1f}: expected {right:.2f}, got {got:.4g}."
    )


@exercise(
    LESSON,
    "an attenuation map without marrow",
    "Work on a copy, `wrong = mu.copy()`, so that the right map stays as it is.",
    "`wrong[labels == 11] = 0` sets all voxels of the marrow, then `return wrong`.",
)
def forgotten_marrow(without_marrow):
    """Check a wrong map: ``without_marrow(mu, labels)`` is a new map with 0 where the label is 11.

    Parameters
    ----------
    without_marrow : function
        mu: float32 (z, y, x), 1/cm; labels: uint8 (z, y, x); gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(16)
    labels = rng.integers(0, 14, (2, 7, 9)).astype(np.uint8)
    mu = (0.08 + 0.005 * labels + rng.uniform(0, 0.004, labels.shape)).astype(np.float32)
    given, kept = mu.copy(), labels.copy()
    got = numbers(call(without_marrow, given, kept), "the map", mu.shape)
    if not np.array_equal(kept, labels):
        raise Mistake("Your function changes the labels. They say which tissue it is; set µ there.")
    marrow = labels == MARROW
    if not np.array_equal(given, mu):
        raise Mistake("Your function changes the map that it is given, and then there is no right one: `mu.copy()`.")
    if near(got, mu, 1e-6):
        raise NotYet("The map is still the right one.")
    recognise(
        got,
        {
            "Everything but the marrow is 0. It should be the other way round: `labels == 11`.": np.where(
                marrow, mu, 0
            ),
            "This is only a mask. Everywhere else the map keeps its µ.": marrow,
            "This is only a mask. Everywhere but in the marrow the map keeps its µ.": ~marrow,
            "All labels from 11 on are set to 0: `labels == 11`.": np.where(labels >= MARROW, 0, mu),
            "All labels up to 11 are set to 0: `labels == 11`.": np.where(labels <= MARROW, 0, mu),
            "The marrow got the value of water. A forgotten label has µ = 0.": np.where(marrow, np.float32(0.096), mu),
            "Slice or row number 11 is not the marrow: take the mask `labels == 11`.": np.where(
                np.arange(9) == 8, 0, mu
            ),
            "The labels are set to 0 as a map. It is µ that is 0 there.": np.where(marrow, 0, labels),
        },
        1e-6,
    )
    if not near(got[marrow], 0 * got[marrow], 1e-6) or np.any(got[marrow]):
        raise Mistake(f"In the marrow (label 11) µ should be 0: in {int((got[marrow] != 0).sum())} voxels it is not.")
    if not near(got[~marrow], mu[~marrow], 1e-6):
        others = sorted({int(k) for k in labels[~marrow & ~np.isclose(got, mu)]})
        raise Mistake(f"Outside the marrow µ should stay as it is: it changed where the label is {others}.")
    return "µ is 0 in the marrow and as before everywhere else, and the right map is still there."


@functools.cache
def _head():
    """An egg of white matter in a shell of grey matter: a head that takes no time to make."""
    from pettutor.geometry import ImageGrid
    from pettutor.phantoms import Phantom

    grid = ImageGrid((13, 48, 42), (4.0, 4.0, 4.0), (0.0, 2.0, -1.0))
    z, y, x = np.meshgrid(*grid.coordinates(), indexing="ij", sparse=True)
    depth = np.sqrt((z / 60) ** 2 + (y / 84) ** 2 + (x / 68) ** 2)
    labels = np.select([depth < 0.8, depth < 0.95], [WHITE, GREY], 0).astype(np.uint8)
    values = {"pet": (128, 32), "mu": (0.0975, 0.0975), "t1": (100, 154), "t2": (120, 90)}
    images = {name: np.choose(labels, [0, 0, *two]).astype(np.float32) for name, two in values.items()}
    regions = {"grey matter": labels == GREY, "white matter": labels == WHITE, "csf": labels == 1,
               "brain": labels > 0, "head": labels > 0}  # fmt: skip
    subject = SimpleNamespace(name="egg", source="made by a formula", citation="none")
    return Phantom(**images, labels=labels, regions=regions, grid=grid, subject=subject)


@exercise(
    LESSON,
    "a lesion of your own",
    "`truth.with_lesions(lesions=[pt.Lesion(diameter, kind, where=..., centre=(z, y, x))])` gives a new phantom.",
    'The kinds are "hot" and "cold"; `where` is "pet", "mr" or "both". In the slice z = 0: `centre=(0.0, y, x)`.',
)
def cold_lesion(cold_lesion):
    """Check a lesion: ``cold_lesion(truth)`` is the phantom with one cold lesion of 16 mm, seen in PET only.

    Parameters
    ----------
    cold_lesion : function
        truth: Phantom; gives a Phantom.

    Returns
    -------
    Verdict
    """
    truth = _head()
    before = truth.pet.copy()
    mine = call(cold_lesion, truth)
    if not hasattr(mine, "lesions") or not hasattr(mine, "pet"):
        raise Mistake(f"Return the phantom that `truth.with_lesions(...)` gives: got {describe(mine)}.")
    if not np.array_equal(before, truth.pet):
        raise Mistake("The phantom that was given has changed. `with_lesions` makes a new one: return that.")
    if not mine.lesions:
        raise NotYet("There is no lesion yet.")
    if len(mine.lesions) > 1:
        raise Mistake(f"One lesion was wanted, got {len(mine.lesions)}: `lesions=[...]` with one entry.")
    lesion = mine.lesions[0]
    if lesion.kind != "cold":
        raise Mistake(f'The lesion is {lesion.kind}. A cold one was wanted: `pt.Lesion(16, "cold", ...)`.')
    if lesion.where != "pet":
        shown = "MR only" if lesion.where == "mr" else "PET and MR"
        raise Mistake(f'The lesion is seen in {shown}: `where="pet"` shows it in PET only.')
    if lesion.diameter != 16:
        half = " 8 mm is the radius." if lesion.diameter == 8 else ""
        raise Mistake(f"The diameter should be 16 mm, got {lesion.diameter:g}.{half}")
    return _seen(mine, truth, lesion)


def _seen(mine, truth, lesion):
    place = ", ".join(f"{c:g}" for c in lesion.centre)
    changed = np.abs(mine.pet - truth.pet) > 1e-3
    if abs(lesion.centre[0]) > 8:
        raise Mistake(f"The centre ({place}) mm is not in the slice z = 0: the order is (z, y, x).")
    mask = next(mask for name, mask in mine.regions.items() if name.startswith("lesion"))
    if not mask.any() or truth.pet[mask].mean() < 10:
        raise Mistake(f"At ({place}) mm there is no brain. The order is (z, y, x), in mm from the middle.")
    if not changed.any():
        raise Mistake("PET does not show the lesion.")
    activity, white = float(mine.pet[mask].mean()), float(truth.pet[truth.regions["white matter"]].mean())
    if activity >= white:
        raise Mistake(f"A cold lesion has less activity than white matter ({white:.0f}): yours has {activity:.0f}.")
    return f"A cold lesion at ({place}) mm, {activity:.0f} where white matter has {white:.0f}, and none of it in MR."
