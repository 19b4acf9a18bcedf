"""Checks of lesson 10: the windowed variance, an iteration of DIPRecon, the mean of the last images."""

import numpy as np

from pettutor.course.check.exercise import Mistake, NotYet, call, describe, exercise, near, numbers, recognise
from pettutor.course.check.guidance import names_in

LESSON = "10_dip_recon"


@exercise(
    LESSON,
    "the windowed variance",
    "Step by step: `last = images[k - window : k]` are the images of the window that ends with image k (counted from "
    "1), for k from `window` to `len(images)`.",
    "Their mean is an image: `last.mean(axis=0)`. Sum the squares of `last - last.mean(axis=0)` over everything.",
    "Divide by `window`, and by the energy of the last image, `(images[k - 1] ** 2).sum()`.",
)
def windowed_variance(windowed_variance):
    """Check a stopping rule: ``windowed_variance(images, window)`` gives V of every full window.

    Parameters
    ----------
    windowed_variance : function
        images: float32 (step, z, y, x); window: int; gives (steps - window + 1,), without unit.

    Returns
    -------
    Verdict
    """
    if "WindowedVariance" in names_in(windowed_variance):
        raise NotYet("This is still the library's own rule. Write the formula in its place.")
    rng = np.random.default_rng(2)
    images = rng.uniform(1, 4, (1, 1, 4, 5)) + rng.normal(0, 1, (9, 1, 4, 5)) * np.array(
        [2.0, 1.5, 0.9, 0.5, 0.3, 0.25, 0.4, 0.8, 1.1]
    ).reshape(-1, 1, 1, 1)
    images = images.astype(np.float32)
    for window in (4, 2):
        given = images.copy()
        found = call(windowed_variance, given, window)
        if not np.array_equal(given, images):
            raise Mistake("Your function changes the images that it is given.")
        _explain_variance(found, images, window)
    return "One number a full window, least where the images hardly move: the rule needs no truth."


def _variance(images, window):
    """V with its parts exchangeable: spread of each window and energy of its last image."""
    windows = [images[k - window : k].astype(float) for k in range(window, len(images) + 1)]
    spread = np.array([((w - w.mean(axis=0)) ** 2).sum() for w in windows]) / window
    return windows, spread, np.array([(w[-1] ** 2).sum() for w in windows])


def _explain_variance(found, images, window):
    if isinstance(found, list | tuple) and len(found) == 0:
        raise NotYet("The list of variances is still empty.")
    windows, spread, energy = _variance(images, window)
    size = np.shape(found)
    if len(size) == 1 and size[0] in (len(images), len(windows) - 1, len(windows) + 1) and size[0] != len(windows):
        raise Mistake(
            f"{len(images)} images have {len(windows)} windows of {window}: expected as many numbers, got {size[0]}. "
            "The first window ends with image number `window`, the last one with the last image."
        )
    got = numbers(found, "the variances", (len(windows),))
    right = spread / energy
    if near(got, right):
        return
    pixels = images[0].size
    whole = ((images - images.mean(axis=0)) ** 2).sum(axis=(1, 2, 3))
    recognise(
        got,
        {
            "The energy is missing: divide by the sum of squares of the window's last image.": spread,
            "The 1/W is missing: the mean over the window, not the sum.": right * window,
            "It is the mean over the window, 1/W: without `ddof=1`.": right * window / (window - 1),
            "This is a standard deviation. V is its square.": np.sqrt(right),
            "You took the mean over the voxels as well. Above the line it is a sum over them.": right / pixels,
            "Without the energy, and with a mean over the voxels: above the line it is a sum.": spread / pixels,
            "The mean is taken over the voxels of each image. x̄ is an image, the mean over the window: `axis=0`.": [
                ((w - w.mean(axis=(1, 2, 3), keepdims=True)) ** 2).sum() / window / e
                for w, e in zip(windows, energy, strict=True)
            ],
            "x̄ is the mean of the *window*, not of all images.": np.convolve(whole, np.ones(window), "valid")
            / window
            / energy,
            "These are the steps from one image to the next. V measures the spread about the window's mean.": [
                (np.diff(w, axis=0) ** 2).sum() / window / e for w, e in zip(windows, energy, strict=True)
            ],
            "The energy is that of the window's first image. Take its last one.": [
                s / (w[0] ** 2).sum() for s, w in zip(spread, windows, strict=True)
            ],
        },
    )
    raise Mistake(
        f"With windows of {window} this is not the sum of squares about the window's mean, over W and over the energy."
    )


ORDER = "First x, then f, then mu"


@exercise(
    LESSON,
    "an iteration of DIPRecon",
    "Three lines, in the order of the text: the new x, the new f, the new mu. Each uses the newest of the others.",
    "x is reconstructed towards the reference f - mu: `x = reconstruct(f - mu, x)`.",
    "The network is fitted to x + mu: `f = fit(x + mu)`; and the account grows: `mu = mu + x - f`.",
)
def diprecon_iteration(iteration):
    """Check one iteration of DIPRecon: ``iteration(x, f, mu, reconstruct, fit)`` gives the new x, f and mu.

    On a problem whose constrained solution is known from a formula: many iterations have to arrive there.

    Parameters
    ----------
    iteration : function
        x, f, mu: (z, y, x); ``reconstruct(reference, x)`` and ``fit(target)`` give images; gives three images.

    Returns
    -------
    Verdict
    """
    toy = _Toy()
    x, f, mu = (toy.rng.uniform(1, 3, toy.shape) * size for size in (2.0, 1.0, 0.4))
    given = [part.copy() for part in (x, f, mu)]
    toy.fits = toy.reconstructions = 0
    got = _three(call(iteration, *given, toy.reconstruct, toy.fit), toy.shape)
    if any(not np.array_equal(a, b) for a, b in zip(given, (x, f, mu), strict=True)):
        raise Mistake("Your function changes x, f or mu in place: write `mu = mu + ...`, not `mu += ...`.")
    if toy.fits == toy.reconstructions == 0:
        raise NotYet("Neither `reconstruct` nor `fit` is called yet.")
    counts = toy.reconstructions, toy.fits
    if near(got, _one(toy, x, f, mu), 1e-6):
        _counted(*counts)
        return _arrives(iteration, toy)
    recognise(got, _wrong_iterations(toy, x, f, mu), 1e-6)
    _counted(*counts)
    for part, name, right in zip(got, ("x", "f", "mu"), _one(toy, x, f, mu), strict=True):
        if not near(part, right, 1e-6):
            raise Mistake(f"The new {name} is not what its line says. {ORDER}, each from the newest of the others.")
    raise Mistake(f"This is not one iteration of DIPRecon. {ORDER}.")


def _counted(reconstructions, fits):
    for count, name in ((reconstructions, "reconstruct"), (fits, "fit")):
        if count != 1:
            raise Mistake(
                f"`{name}` is called {count} times in an iteration. Once: each call goes on from where the one before "
                "has ended."
            )


class _Toy:
    """Likelihood and network as simple as can be: weighted least squares, and images that a few shapes can make."""

    shape = (1, 2, 4)

    def __init__(self):
        self.rng = np.random.default_rng(11)
        self.measured = self.rng.uniform(1, 4, self.shape)
        self.weight = self.rng.uniform(0.3, 2.0, self.shape)
        shapes = self.rng.uniform(0, 1, (8, 3))
        self.shapes, self.projection = shapes, shapes @ np.linalg.pinv(shapes)
        self.fits = self.reconstructions = 0

    def reconstruct(self, reference, x):
        self.reconstructions += 1
        best = (self.weight * self.measured + reference) / (self.weight + 1)
        return 0.2 * np.asarray(x, float) + 0.8 * best

    def fit(self, target):
        self.fits += 1
        return (self.projection @ np.asarray(target, float).ravel()).reshape(self.shape)

    def solution(self):
        root = np.sqrt(self.weight.ravel())
        found = np.linalg.lstsq(root[:, None] * self.shapes, root * self.measured.ravel(), rcond=None)[0]
        return (self.shapes @ found).reshape(self.shape)


def _three(found, shape):
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Mistake(f"Return three images, x, f and mu: got {describe(found)}.")
    if any(part is None for part in found):
        raise NotYet("One of x, f and mu is still None.")
    return np.stack([numbers(part, name, shape) for part, name in zip(found, ("x", "f", "mu"), strict=True)])


def _one(toy, x, f, mu, *, reference=None, target=None, account=None, begin=None):
    """An iteration with one of its lines replaced."""
    new = toy.reconstruct(f - mu if reference is None else reference, x if begin is None else begin)
    made = toy.fit(new + mu if target is None else target(new))
    return new, made, mu + new - made if account is None else account(new, made)


def _wrong_iterations(toy, x, f, mu):
    made = toy.fit(x + mu)
    first_f = toy.reconstruct(made - mu, x)
    return {
        "The reference of x has the wrong sign of mu: it is f - mu.": _one(toy, x, f, mu, reference=f + mu),
        "mu is missing in the reference of x: it is f - mu.": _one(toy, x, f, mu, reference=f),
        "The reconstruction starts from f. It goes on from x.": _one(toy, x, f, mu, begin=f),
        "mu is missing in the target of the fit: it is x + mu.": _one(toy, x, f, mu, target=lambda new: new),
        "The target of the fit has the wrong sign of mu: it is x + mu.": _one(
            toy, x, f, mu, target=lambda new: new - mu
        ),
        "The network is fitted to the old x. Fit it to the new one, plus mu.": _one(
            toy, x, f, mu, target=lambda new: x + mu
        ),
        "The account begins anew in every iteration: mu + x - f, not x - f.": _one(
            toy, x, f, mu, account=lambda new, made: new - made
        ),
        "The account has the wrong sign: mu + x - f.": _one(toy, x, f, mu, account=lambda new, made: mu + made - new),
        "The account takes the old f. Put it last, after the fit.": _one(
            toy, x, f, mu, account=lambda new, made: mu + new - f
        ),
        "The account takes the old x. Put it last, after both.": _one(
            toy, x, f, mu, account=lambda new, made: mu + x - made
        ),
        "mu has not changed: the third line is missing.": _one(toy, x, f, mu, account=lambda new, made: mu),
        f"The network is fitted before the reconstruction. {ORDER}.": (first_f, made, mu + first_f - made),
    }


def _arrives(iteration, toy):
    x = f = toy.measured
    mu = np.zeros(toy.shape)
    for _ in range(200):
        x, f, mu = call(iteration, x, f, mu, toy.reconstruct, toy.fit)
    if not (near(f, toy.solution(), 1e-4) and near(x, f, 1e-4)):
        raise Mistake(
            "One iteration is right, but many of them do not arrive at the solution: is something kept between calls?"
        )
    return "Where network and likelihood are simple, it arrives at the constrained solution, and x and f agree there."


@exercise(
    LESSON,
    "the mean of the last images",
    "Which iterations are the last third? Of K of them those with k > 2 K / 3, here `k > 2 * max(path) / 3`.",
    "`np.mean([path[k] for k in path if ...], axis=0)` is the mean of these images.",
)
def mean_of_last_third(mean_of_last_third):
    """Check a mean: ``mean_of_last_third(path)`` of the images of the last third of the iterations.

    Parameters
    ----------
    mean_of_last_third : function
        path: dict from the iteration, 1 … K, to the image (z, y, x); gives an image.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(9)
    for count in (12, 9):
        path = {k: rng.uniform(0, 5, (1, 3, 4)).astype(np.float32) for k in range(1, count + 1)}
        kept = {k: image.copy() for k, image in path.items()}
        got = numbers(call(mean_of_last_third, kept), "the mean", (1, 3, 4))
        if list(kept) != list(path) or any(not np.array_equal(kept[k], path[k]) for k in path):
            raise Mistake("Your function changes the images that it is given. Make a new one.")
        images, third = np.stack(list(path.values())).astype(float), count // 3
        last = images[-third:]
        if near(got, last.mean(axis=0), 1e-5):
            continue
        recognise(
            got,
            {
                "This is the last image alone.": images[-1],
                "This is the mean of all images. Take those of the last third.": images.mean(axis=0),
                "This is the mean of the *first* third.": images[:third].mean(axis=0),
                "These are the last two thirds.": images[third:].mean(axis=0),
                f"One image too many: of {count} iterations the last third are {third}.": images[-third - 1 :].mean(
                    axis=0
                ),
                f"One image too few: of {count} iterations the last third are {third}.": images[1 - third :].mean(
                    axis=0
                ),
                "The last image is left out.": images[-third:-1].mean(axis=0),
                "One iteration off: the keys of `path` begin at 1.": images[-third - 1 : -1].mean(axis=0),
                "This is the sum. Divide it by the number of images.": last.sum(axis=0),
                "The sum is divided by the number of *all* iterations.": last.sum(axis=0) / count,
                "This is the median. Take the mean.": np.median(last, axis=0),
            },
            1e-5,
        )
        raise Mistake(
            f"Of {count} iterations the last third are {count - third + 1} to {count}: yours is another mean."
        )
    return "The mean of the last third, whatever the number of iterations."
