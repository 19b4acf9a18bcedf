"""Checks of lesson 9: the layers of CED, sets made of subjects, an MR out of place."""

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import Mistake, NotYet, call, describe, exercise, near, numbers, recognise

LESSON = "09_ced"
ENCODER = [(1, 2), (2, 4), (4, 8), (8, 16)]
DECODER = [(16 + 8, 8), (8 + 4, 4), (4 + 2, 2), (2 + 1, 1)]


@exercise(
    LESSON,
    "the layers of CED",
    "The decoder has 8, 4, 2 and 1 output channels. What does its first convolution read? The 16 channels from below, "
    "and the encoder's map of the size that it has just been enlarged to.",
    "That is (16 + 8, 8). At the next size the encoder had 4 channels, then 2, and at the end there is the image.",
)
def ced_layers(channels):
    """Check the (input channels, output channels) of the eight convolutions of CED, in order.

    Parameters
    ----------
    channels : list of pairs

    Returns
    -------
    Verdict
    """
    if not isinstance(channels, list | tuple | np.ndarray):
        raise Mistake(f"Expected a list of pairs (input channels, output channels), got {describe(channels)}.")
    table = numbers(channels, "channels", (len(channels), 2))
    pairs = [(int(c), int(d)) for c, d in table]
    if pairs == ENCODER:
        raise NotYet("The encoder is there. Add the four convolutions of the decoder.")
    wrong = {
        "The joins are missing: a convolution of the decoder reads what comes from below *and* the encoder's map of "
        "its size.": [(16, 8), (8, 4), (4, 2), (2, 1)],
        "The joins are one size off: after the enlarging, the map of the *larger* size is joined.": [
            (16 + 16, 8),
            (8 + 8, 4),
            (4 + 4, 2),
            (2 + 2, 1),
        ],
        "The last join is missing: the image itself is joined at the end.": [*DECODER[:3], (2, 1)],
        "The maps are joined in the encoder's own order. The decoder goes back: the smallest picture first.": [
            (16 + 1, 8),
            (8 + 2, 4),
            (4 + 4, 2),
            (2 + 8, 1),
        ],
    }
    for words, decoder in wrong.items():
        if pairs == ENCODER + decoder:
            raise Mistake(words)
    if pairs == [(d, c) for c, d in ENCODER + DECODER]:
        raise Mistake("The two are exchanged: first the input channels, then the output channels.")
    _explain_layers(pairs)
    weights = sum((9 * c + 1) * d for c, d in pairs)
    return f"Eight convolutions, {weights:,} parameters: the joins bring a third of those of the decoder."


def _explain_layers(pairs):
    if len(pairs) != 8:
        raise Mistake(f"CED has eight convolutions, four in the encoder and four in the decoder: got {len(pairs)}.")
    for number, (got, right) in enumerate(zip(pairs, ENCODER + DECODER, strict=True), 1):
        if got[1] != right[1]:
            raise Mistake(f"Convolution {number} gives {right[1]} channels in the table above, not {got[1]}.")
        if got[0] != right[0]:
            joined = " and the map that is joined" if number > 4 else ""
            raise Mistake(f"Convolution {number} does not read {got[0]} channels: count what comes in{joined}.")


HEADS = (
    ["mni:1"] * 3 + ["mni:10"] * 2 + ["mni:3"] * 4 + ["mni:0"] * 2 + ["mni:12", "mni:1", "mni:3", "mni:10", "mni:0"],
    ["mni:0", "mni:207", "mni:207", "mni:41", "mni:0", "mni:41", "mni:207", "mni:5"],
)


@exercise(
    LESSON,
    "sets made of subjects",
    "First distribute the *heads*: `sorted(set(subjects))` is a list of them, each once. Only then the slices.",
    "The test set: `[k for k, head in enumerate(subjects) if head == 'mni:0']`. The others likewise.",
    'With `heads = sorted(set(subjects) - {"mni:0"})`: `heads[0]` for validation and `heads[1:]` to train.',
)
def split_by_subject(split):
    """Check a split: ``split(subjects)`` gives the numbers of the slices to train, to validate and to test.

    No slice is lost or used twice, no head is in two sets, and ``mni:0`` alone is the test set.

    Parameters
    ----------
    split : function
        subjects: list of str, the head of every slice; gives three lists of int.

    Returns
    -------
    Verdict
    """
    for heads in HEADS:
        sets = _sets(call(split, list(heads)), len(heads))
        if not any(sets):
            raise NotYet("All three sets are still empty.")
        _explain_sets(sets, heads)
    return "Every slice is in one set, every head in one set only, and the test head is seen by nobody before the end."


def _sets(found, count):
    if not isinstance(found, tuple | list) or len(found) != 3 or all(isinstance(part, int) for part in found):
        raise Mistake(f"Return three lists, training, validation and test: got {describe(found)}.")
    sets = []
    for part, name in zip(found, ("training", "validation", "test"), strict=True):
        part = list(part) if isinstance(part, set | range | filter | map) else part
        if not isinstance(part, list | tuple | np.ndarray):
            raise Mistake(f"The {name} set: expected a list of numbers, got {describe(part)}.")
        if len(part) and isinstance(part[0], str):
            raise Mistake(f"The {name} set holds names of heads. The numbers of the slices are wanted.")
        array = numbers(part, f"the {name} set", (len(part),))
        if len(part) == count and np.asarray(part).dtype == bool:
            raise Mistake(f"The {name} set is a mask. The numbers of the slices are wanted: `np.flatnonzero(...)`.")
        if any(k != int(k) or not 0 <= k < count for k in array):
            raise Mistake(f"The {name} set: expected numbers from 0 to {count - 1}, got {sorted(set(array))}.")
        sets.append([int(k) for k in array])
    return sets


def _explain_sets(sets, heads):
    training, validation, test = sets
    every = [k for part in sets for k in part]
    owners = [{heads[k] for k in part} for part in sets]
    if "mni:0" in owners[0] | owners[1]:
        where = "training" if "mni:0" in owners[0] else "validation"
        raise Mistake(f"Slices of the test head `mni:0` are in the {where} set: the test would measure memory.")
    for one, other, names in ((0, 1, "training and validation"), (0, 2, "training and test"), (1, 2, "the last two")):
        both = sorted(owners[one] & owners[other])
        if both:
            raise Mistake(
                f"{', '.join(both)}: slices of one head are in two sets ({names}). Neighbouring slices are almost "
                "alike, so split by head, not by slice."
            )
    if len(every) != len(set(every)):
        raise Mistake("A slice comes twice in a set.")
    if owners[2] - {"mni:0"}:
        raise Mistake(f"The test set holds {', '.join(sorted(owners[2] - {'mni:0'}))} as well. It is `mni:0` alone.")
    for part, name in ((test, "test"), (validation, "validation"), (training, "training")):
        if not part:
            raise Mistake(f"With the heads {', '.join(sorted(set(heads)))} the {name} set is empty.")
    if len(owners[1]) > 1:
        raise Mistake(
            f"The validation set holds {', '.join(sorted(owners[1]))}. One head was wanted. (`mni:1` and `mni:10` are "
            "two heads: compare whole names.)"
        )
    lost = sorted({heads[k] for k in range(len(heads)) if k not in every})
    if lost:
        raise Mistake(f"Slices of {', '.join(lost)} are in no set.")


@exercise(
    LESSON,
    "an MR that is out of place",
    "How many voxels are `mm` millimetres along x? `grid.voxel_size` is (z, y, x) in mm, and `round` gives an int.",
    "`np.roll(t1, voxels, axis=2)` moves an image (z, y, x) by whole voxels towards larger x.",
)
def displaced_mr(displaced):
    """Check a displacement: ``displaced(t1, mm, grid)`` moves an image along x, by the nearest number of voxels.

    Parameters
    ----------
    displaced : function
        t1: float32 (z, y, x); mm: float, positive towards larger x; grid: ImageGrid; gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    grid = bench.projector().grid  # voxels of 4.0, 3.0 and 2.5 mm
    image = np.zeros(grid.shape, np.float32)
    image[0, 3:6, 5:8] = np.arange(1, 10).reshape(3, 3)
    for mm, voxels in ((15.0, 6), (-7.5, -3), (4.5, 2), (0.0, 0)):
        given = image.copy()
        got = numbers(call(displaced, given, mm, grid), "the displaced image", grid.shape)
        if not np.array_equal(given, image):
            raise Mistake("Your function changes the image that it is given. Make a new one.")
        if near(got, np.roll(image, voxels, axis=2)):
            continue
        if near(got, image):
            raise NotYet(f"The image has not moved, though {mm:g} mm were asked for.")
        z, y, _ = (round(mm / size) for size in grid.voxel_size)
        recognise(
            got,
            {
                "Round to the nearest voxel: `int` cuts off, `round` does not.": np.roll(
                    image, int(mm / grid.voxel_size[2]), axis=2
                ),
                "The image moved to the other side: positive is towards larger x.": np.roll(image, -voxels, axis=2),
                f"You moved by {mm:g} voxels. These are millimetres: divide by the voxel size along x.": np.roll(
                    image, int(mm), axis=2
                ),
                "You moved along y, the second axis. x is the last one.": np.roll(image, voxels, axis=1),
                "You moved along y, and by its voxel size. x is the last of (z, y, x).": np.roll(image, y, axis=1),
                "The voxel size along x is the last, `grid.voxel_size[2]`: you took that along y.": np.roll(
                    image, y, axis=2
                ),
                "The voxel size along x is the last, `grid.voxel_size[2]`: you took that along z.": np.roll(
                    image, z, axis=2
                ),
                "You multiplied by the voxel size. Millimetres over the voxel size are voxels.": np.roll(
                    image, round(mm * grid.voxel_size[2]), axis=2
                ),
                "Without an axis `np.roll` moves the flattened image: `axis=2`.": np.roll(image, int(mm)),
            },
        )
        raise Mistake(f"{mm:g} mm are {voxels} voxels of 2.5 mm along x (the last axis): yours moved otherwise.")
    return "Millimetres over the voxel size along x, rounded, and in the right direction."
