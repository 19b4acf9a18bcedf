"""Checks of lesson 2: the trace of a point, the bins that are lost with a block, the sensitivity."""

from types import SimpleNamespace

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, describe, exercise, near, numbers, recognise

LESSON = "02_scanner_and_sinogram"


@exercise(
    LESSON,
    "the trace of a point",
    "The line of direction φ through a point has s = x cos φ + y sin φ: put the point's x and y there.",
    "`x0 * np.cos(phi) + y0 * np.sin(phi)`. (`phi` is in radians, as NumPy wants it.)",
)
def point_trace(trace):
    """Check the trace of a point in the sinogram: ``trace(y0, x0, phi)`` gives its s in every direction.

    Parameters
    ----------
    trace : function
        y0, x0: mm; phi: (views,), radians; gives (views,), mm.

    Returns
    -------
    Verdict
    """
    phi = np.linspace(-1.4, 1.5, 23)
    for y0, x0 in ((60.0, -25.0), (-7.0, 90.0)):
        got = numbers(call(trace, y0, x0, phi.copy()), "the trace", phi.shape)
        right = x0 * np.cos(phi) + y0 * np.sin(phi)
        if near(got, right, 1e-6):
            continue
        if not np.any(got):
            raise NotYet("The trace is still 0 in all directions.")
        radius = np.hypot(y0, x0)
        recognise(
            got,
            {
                "x and y are exchanged: the cosine belongs to x, the sine to y.": y0 * np.cos(phi) + x0 * np.sin(phi),
                "The sign of the second term is wrong: both are added.": x0 * np.cos(phi) - y0 * np.sin(phi),
                "This is the place *along* the line. s is the distance of the line from the middle.": y0 * np.cos(phi)
                - x0 * np.sin(phi),
                "`phi` is in radians already, as NumPy wants it: no conversion.": x0 * np.cos(np.deg2rad(phi))
                + y0 * np.sin(np.deg2rad(phi)),
                "`phi` is in radians already, as NumPy wants it: no conversion to degrees.": x0
                * np.cos(np.rad2deg(phi))
                + y0 * np.sin(np.rad2deg(phi)),
                "s has a sign: it is negative on the other side of the middle.": np.abs(right),
                "This is the distance of the point from the middle, the same in all directions.": radius + 0 * phi,
                "The term of y is missing.": x0 * np.cos(phi),
                "The term of x is missing.": y0 * np.sin(phi),
            },
            1e-6,
        )
        raise Mistake("This is not x₀ cos φ + y₀ sin φ for every direction.")
    return "Half a period of a sine: amplitude and phase are the place of the point."


@exercise(
    LESSON,
    "a broken block",
    "`np.isin(scanner.bin_crystals, dead)` says of both ends of every bin whether their crystal is dead.",
    "A bin is lost if *one* of its ends is dead: `.any(axis=-1)`. What was a gap before is not lost: `& live_bins`.",
)
def lost_bins(lost_bins):
    """Check the bins that are lost with a block: ``lost_bins(scanner, block)``.

    Parameters
    ----------
    lost_bins : function
        scanner: with ``bin_crystals`` (view, bin, 2), ``live_bins`` (view, bin) and ``positions_per_block``; block:
        int, from 0; gives bool (view, bin).

    Returns
    -------
    Verdict
    """
    scanner = _small_scanner()
    for block in (5, 2):
        found = call(lost_bins, scanner, block)
        got = np.asarray(found)
        if got.shape != scanner.live_bins.shape:
            raise Mistake(
                f"Expected yes or no for each (view, bin), shape {scanner.live_bins.shape}, got {describe(found)}. "
                "(Is `.any(axis=-1)` over the two ends missing?)"
            )
        if got.dtype != bool:
            got = numbers(found, "the lost bins", got.shape) != 0
        if not got.any():
            raise NotYet("No bin is lost yet.")
        _explain_lost(got, scanner, block)
    return "A bin is lost when one of its two ends is, and what was a gap before does not count."


def _small_scanner():
    rng = np.random.default_rng(14)
    ends = np.stack([rng.permutation(np.arange(63) % 32)[:63].reshape(7, 9) for _ in range(2)], axis=-1)
    ends[0, 0], ends[1, 2], ends[3, 5] = (20, 22), (8, 9), (21, 23)  # some lines begin and end in one block
    live = np.arange(32) % 4 != 3  # eight blocks of three crystals and a gap
    return SimpleNamespace(
        bin_crystals=ends, live_crystals=live, live_bins=live[ends].all(axis=-1), positions_per_block=4,
        crystal_positions=32, crystals_per_block=3, blocks=8, views=7, bins=9,
    )  # fmt: skip


def _explain_lost(got, scanner, block):
    ends, live = scanner.bin_crystals, scanner.live_bins

    def touched(k, how=np.any):
        return how(ends // scanner.positions_per_block == k, axis=-1)

    dead = touched(block)
    if np.array_equal(got, dead & live):
        return
    wrong = {
        "Gaps are counted as well. They were no measurements before: `& scanner.live_bins`.": dead,
        "Only bins with *both* ends in the block are marked. One dead end is enough: `.any(axis=-1)`.": touched(
            block, np.all
        ),
        "Only bins with both ends in the block are marked, though one is enough: `.any(axis=-1)`.": touched(
            block, np.all
        )
        & live,
        "Only the first end of each line is looked at. A line has two.": (ends[..., 0] // 4 == block) & live,
        "Only the second end of each line is looked at. A line has two.": (ends[..., 1] // 4 == block) & live,
        "These are the bins that are left. The lost ones are wanted.": ~dead & live,
        "These are all live bins: which of them has an end in the block?": live,
        "This is the block after it. Blocks are counted from 0.": touched(block + 1) & live,
        "This is the block before it. Blocks are counted from 0.": touched(block - 1) & live,
        "One position too many: the block ends before the next one begins.": (
            dead | (ends == (block + 1) * 4).any(axis=-1)
        )
        & live,
        "One position too few: `np.arange(first, first + n)` has n positions, from `first` on.": (
            (ends // 4 == block) & (ends % 4 != 3) & (ends % 4 != 2)
        ).any(axis=-1)
        & live,
        "This is block 5, whatever was asked for: use `block`.": touched(5) & live,
    }
    for words, bins in wrong.items():
        if np.array_equal(got, bins):
            raise Mistake(words)
    lost = dead & live
    raise Mistake(
        f"With block {block} {int(lost.sum())} bins are lost. You found {int((got & lost).sum())} of them, and marked "
        f"{int((got & ~lost).sum())} others."
    )


@exercise(
    LESSON,
    "the sensitivity",
    "Back projection is `X.T(...)`, and it takes a sinogram: `X.out_shape` is its shape.",
    "`X.T(np.ones(X.out_shape, np.float32))`.",
)
def sensitivity(sensitivity):
    """Check the sensitivity Xᵀ1: ``sensitivity(X)``.

    Parameters
    ----------
    sensitivity : function
        X: projector; gives float32 (z, y, x), mm.

    Returns
    -------
    Verdict
    """
    X = bench.projector()
    found = call(sensitivity, X)
    lines = X(np.ones(X.in_shape, np.float32))
    if np.shape(found) == X.out_shape:
        raise Mistake("This is a sinogram, so you projected. Back-project a sinogram of ones: `X.T(...)`.")
    got = numbers(found, "the sensitivity", X.in_shape)
    if not np.any(got):
        raise NotYet("The sensitivity is still 0: the sinogram should be 1 everywhere.")
    right = X.T(np.ones(X.out_shape, np.float32))
    if near(got, right, 1e-5):
        return "Each voxel has the length of all lines in it; the corner that no line crosses has 0."
    recognise(
        got,
        {
            "This is the back projection of a projection. The sinogram should be 1 everywhere.": X.T(lines),
            "It is over its maximum. The sensitivity is a length in mm: leave it as it is.": right / right.max(),
            "It is over its mean. The sensitivity is a length in mm: leave it as it is.": right / right.mean(),
            "It is over the number of lines. The sensitivity is a sum, not a mean.": right / np.prod(X.out_shape),
            "This is 1 in every voxel. Back-project a *sinogram* of ones: `X.T(np.ones(X.out_shape, ...))`.": np.ones(
                X.in_shape
            ),
        },
        1e-5,
    )
    if near(got / got.max(), right / right.max(), 1e-4):
        raise Mistake("Up to a factor it is right: is the sinogram 1 everywhere?")
    raise Mistake("This is not the back projection of a sinogram that is 1 everywhere.")
