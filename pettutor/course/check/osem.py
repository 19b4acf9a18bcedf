"""Checks of lesson 6: the order of the subsets, bias and noise over realisations, filters at equal noise."""

import functools

import numpy as np

from pettutor.course.check.exercise import (
    Mistake,
    NotYet,
    call,
    describe,
    exercise,
    near,
    number,
    numbers,
    pair,
    recognise,
)

LESSON = "06_osem"


@exercise(
    LESSON,
    "the order of the subsets",
    '`sorted(range(n), key=...)` sorts the numbers by what the key makes of each. `f"{k:08b}"` is k in binary digits.',
    '`[::-1]` reads the text backwards: the key is `lambda k: f"{k:08b}"[::-1]`.',
)
def subset_order(far_apart):
    """Check an order of subsets: ``far_apart(n)`` gives 0 … n - 1, neighbours in time far apart.

    After 2, 4, 8 … of 16 subsets, those that were used lie evenly round the scanner.

    Parameters
    ----------
    far_apart : function
        n: int; gives a sequence of n whole numbers.

    Returns
    -------
    Verdict
    """
    for n in (8, 1, 2, 4, 16, 6, 12, 48):
        order = call(far_apart, n)
        if isinstance(order, range | map | filter) or hasattr(order, "__next__"):
            order = list(order)
        order = numbers(order, f"the order of {n} subsets", np.shape(order))
        if order.shape != (n,) or sorted(order) != list(range(n)):
            _explain_numbers(order, n)
        if n > 2 and list(order) == list(range(n)):
            raise Mistake("This is the plain order 0, 1, 2 …: are the digits read backwards (`[::-1]`)?")
        if n in (4, 8, 16):
            _even(order, n)
    return "Every subset once, and at any time those used so far lie evenly round the head."


def _explain_numbers(order, n):
    backwards = [int(f"{k:08b}"[::-1], 2) for k in range(n)]
    short = [int(f"{k:0{max(1, (n - 1).bit_length())}b}"[::-1], 2) for k in range(n)]
    if order.shape == (n,) and (list(order) == backwards or list(order) == short):
        raise Mistake("These are the reversed digits as numbers. Sort the subsets *by* them: `sorted(..., key=...)`.")
    if order.ndim == 1 and set(order) < set(range(n)):
        raise Mistake(f"Of {n} subsets some are missing, or come twice: {[int(k) for k in order]}.")
    raise Mistake(f"Expected the whole numbers 0 … {n - 1}, each once, got {[float(k) for k in order.ravel()]}.")


def _even(order, n):
    used = 2
    while used < n:
        gaps = np.diff(np.sort(order[:used]), append=np.sort(order)[0] + n + order[:used].min())
        if np.ptp(gaps) > 0:
            if list(order) == list(range(n))[::-1]:
                raise Mistake(
                    "This is the order turned round: subset 6 follows 7, its neighbour. Turn the digits round."
                )
            if list(order) == [*range(0, n, 2), *range(1, n, 2)]:
                raise Mistake("First all even, then all odd: neighbours in time are still only two subsets apart.")
            raise Mistake(
                f"Neighbours in time should lie far apart. Of {n} subsets your first {used} are "
                f"{[int(k) for k in order[:used]]}: they do not lie evenly round the scanner."
            )
        used *= 2


@exercise(
    LESSON,
    "bias and noise over realisations",
    "The realisations are the first axis: `images.mean(axis=0)`, `images.std(axis=0, ...)`.",
    "The bias is the mean less the truth, with its sign. `ddof=1` divides by the realisations less one.",
)
def bias_and_noise(bias_and_std):
    """Check two images over realisations: ``bias_and_std(images, truth)`` gives the bias and the standard deviation.

    Parameters
    ----------
    bias_and_std : function
        images: (realisation, pass, z, y, x); truth: (z, y, x); gives two arrays (pass, z, y, x).

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(5)
    truth = rng.uniform(1, 9, (1, 4, 6))
    images = truth * np.array([0.6, 0.8, 1.3])[:, None, None, None] + rng.normal(0, 1, (5, 3, 1, 4, 6))
    given = images.copy()
    found = call(bias_and_std, given, truth.copy())
    bias, std = pair(found, "first the bias, then the standard deviation")
    bias = numbers(bias, "the bias", (3, 1, 4, 6))
    std = numbers(std, "the standard deviation", (3, 1, 4, 6))
    if not np.any(bias) and not np.any(std):
        raise NotYet("Both images are still 0.")
    right_bias, right_std = images.mean(axis=0) - truth, images.std(axis=0, ddof=1)
    if near(bias, right_std) and near(std, right_bias):
        raise Mistake("The two are exchanged: first the bias, then the standard deviation.")
    recognise(
        bias,
        {
            "The bias has the wrong sign: it is the mean less the truth, so too low is negative.": -right_bias,
            "The bias keeps its sign: no absolute value.": np.abs(right_bias),
            "The truth is missing: the bias is the mean less the truth.": images.mean(axis=0),
            "This is the bias over the truth. Here it is wanted in units of activity.": right_bias / truth,
            "This is the error of a single realisation. The bias is that of the mean of all.": images[0] - truth,
            "The truth is to be subtracted once, after the mean: is it a sum over realisations?": right_bias
            * len(images),
        },
    )
    if not near(bias, right_bias):
        raise Mistake("The bias should be the mean over the realisations (the first axis) less the truth.")
    recognise(
        std,
        {
            "Without `ddof=1` the standard deviation is too small: the mean comes from the same images.": images.std(
                axis=0
            ),
            "This is the variance. The standard deviation is its root.": images.var(axis=0, ddof=1),
            "This is the variance, and without `ddof=1`.": images.var(axis=0),
            "This is the standard deviation of the mean. Noise is that of one image.": right_std / np.sqrt(len(images)),
            "This is relative to the mean. Here it is wanted in units of activity.": right_std / images.mean(axis=0),
        },
    )
    if not near(std, right_std):
        raise Mistake("The standard deviation should be taken over the realisations, which are the first axis.")
    return "Mean less truth, with its sign, and the standard deviation over realisations with `ddof=1`."


@functools.cache
def _noisy():
    """Realisations of a slice at five passes, noise growing: (realisation, pass, z, y, x), region, grid."""
    from pettutor.acquisition import gaussian_filter
    from pettutor.geometry import ImageGrid

    grid, rng = ImageGrid((1, 18, 22), (4.0, 3.0, 2.0), (0.0, 5.0, -7.0)), np.random.default_rng(4)
    truth = np.full(grid.shape, 10.0, np.float32)
    truth[0, 3:9, 12:20] = 30.0
    region = np.zeros(grid.shape, bool)
    region[0, 10:16, 2:10] = True
    weight = np.where(region, 1.0, 0.4)
    noise = rng.normal(0, 1, (4, 1, *grid.shape))
    passes = np.array([1.0, 1.8, 2.6, 3.2, 4.0])[None, :, None, None, None]
    stack = (truth + weight * passes * noise).astype(np.float32)
    smooth = np.stack([gaussian_filter(image, 6.0, grid) for image in stack[:, 4]])
    smooth += (np.where(region, 0.3, 1.2) * rng.normal(0, 1, smooth.shape)).astype(np.float32)  # noisier elsewhere
    return stack, smooth, region, grid


def _two(found, shape):
    """A width and filtered images out of what was returned."""
    fwhm, images = pair(found, "the width in mm and the filtered images")
    if np.ndim(fwhm) > 0 and np.ndim(images) == 0:
        raise Mistake("The two are exchanged: first the width in mm, then the filtered images.")
    return number(fwhm, "the width"), numbers(images, "the filtered images", shape)


def _is_filtered(images, fwhm, filtered, grid):
    from pettutor.acquisition import gaussian_filter

    return near(filtered, [gaussian_filter(image, fwhm, grid) for image in images], 1e-3)


@exercise(
    LESSON,
    "a Gaussian of equal noise",
    "Which noise is wanted? That of the rival: `pt.measures.background_std(rival, region)`.",
    "`pt.gaussian_at_noise(images, noise, region, grid)` finds the width, and gives it with the filtered images.",
)
def equal_noise(fair_gaussian):
    """Check a fair opponent: ``fair_gaussian(images, rival, region, grid)`` filters images down to the rival's noise.

    Parameters
    ----------
    fair_gaussian : function
        images, rival: float32 (realisation, z, y, x); region: bool (z, y, x); grid: ImageGrid; gives the width in mm
        and the filtered images.

    Returns
    -------
    Verdict
    """
    from pettutor.measures import background_std, spatial_variation

    stack, rival, region, grid = _noisy()
    images = stack[:, 4]
    found = call(fair_gaussian, images.copy(), rival.copy(), region.copy(), grid)
    fwhm, filtered = _two(found, images.shape)
    if fwhm == 0 and near(filtered, images):
        raise NotYet("The images are not filtered yet.")
    if near(filtered, rival):
        raise Mistake("You returned the rival itself. Filter `images` until they have its noise.")
    if not _is_filtered(images, fwhm, filtered, grid):
        if any(_is_filtered(other, fwhm, filtered, grid) for other in (rival, images[::-1])):
            raise Mistake("You filtered the rival. It is `images` that the Gaussian has to filter.")
        raise Mistake(
            f"These are not the images after a Gaussian of {fwhm:.2f} mm: do width and images belong together?"
        )
    noise, wanted = background_std(filtered.astype(np.float32), region), background_std(rival, region)
    if abs(noise / wanted - 1) > 0.01:
        everywhere = np.ones_like(region)
        if abs(background_std(filtered.astype(np.float32), everywhere) / background_std(rival, everywhere) - 1) < 0.01:
            raise Mistake("The noise is equal over all voxels, not in `region`. Measure and match it there.")
        rough = spatial_variation(rival[0], region)
        if abs(noise / rough - 1) < 0.01:
            raise Mistake(
                "You matched the roughness of one image of the rival. Noise is the standard deviation over "
                "realisations: `pt.measures.background_std`."
            )
        raise Mistake(f"In the region the rival has {wanted:.1%} noise, your filtered images have {noise:.1%}.")
    return f"The Gaussian of {fwhm:.1f} mm has the rival's noise in the region: now the comparison is fair."


@exercise(
    LESSON,
    "from which pass to filter",
    "The image after p passes is number p - 1 of the second axis: `stack[:, p - 1]`.",
    "`pt.gaussian_at_noise(...)` of these images, with the wanted noise, gives both results.",
)
def filtered_pass(filtered_from):
    """Check a filter after some passes: ``filtered_from(stack, p, noise, region, grid)``.

    Parameters
    ----------
    filtered_from : function
        stack: float32 (realisation, pass, z, y, x); p: passes, from 1; noise: a fraction; region: bool (z, y, x); grid:
        ImageGrid; gives the width in mm and the filtered images (realisation, z, y, x).

    Returns
    -------
    Verdict
    """
    from pettutor.measures import background_std

    stack, _, region, grid = _noisy()
    noise = 0.6 * background_std(stack[:, 0], region)
    for p in (3, 5):
        found = call(filtered_from, stack.copy(), p, noise, region.copy(), grid)
        fwhm, filtered = pair(found, "the width in mm and the filtered images")
        if np.ndim(filtered) == 5:
            raise Mistake("These are the images of all passes. Take those after p passes: `stack[:, p - 1]`.")
        if np.shape(filtered) == stack[0].shape and stack[0].shape != stack[:, 0].shape:
            raise Mistake(
                f"The first axis is the realisation, the second the pass: `stack[:, ...]`, {describe(filtered)}."
            )
        fwhm, filtered = _two(found, stack[:, 0].shape)
        if fwhm == 0:
            raise NotYet("The images are not filtered yet.")
        _explain_pass(stack, p, fwhm, filtered, grid)
        got = background_std(filtered.astype(np.float32), region)
        if abs(got / noise - 1) > 0.01:
            raise Mistake(f"In the region a noise of {noise:.1%} is wanted, your filtered images have {got:.1%}.")
    return "The right pass, filtered down to the wanted noise, in all realisations."


def _explain_pass(stack, p, fwhm, filtered, grid):
    if _is_filtered(stack[:, p - 1], fwhm, filtered, grid):
        return
    for q in range(stack.shape[1]):
        if _is_filtered(stack[:, q], fwhm, filtered, grid):
            if q == p:
                raise Mistake(
                    "One pass too far: Python counts from 0, so the image after p passes is `stack[:, p - 1]`."
                )
            raise Mistake(f"Asked for {p} passes, you filtered the images after {q + 1}.")
    raise Mistake(f"These are not the images after {p} passes, filtered by {fwhm:.2f} mm.")
