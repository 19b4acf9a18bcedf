"""Dark spots in the MR images of training examples: what only MR shows, drawn anew in every step."""

import numpy as np
import pytest
from backends import needs_keras
from scipy.ndimage import label

from pettutor import networks
from pettutor.networks.training import data, mr_spots

SIZE = (5.0, 2.0, 3.0)  # mm


def brains(shape=(3, 60, 50)):
    """Images of a bright box that is not in the middle."""
    mr = np.full(shape, 0.2, np.float32)
    mr[..., 20:50, 5:30] = 0.8
    return mr


def test_spots_are_balls_of_their_size_in_the_brain():
    """One spot each: round in mm though the voxels are oblong, dark, and nothing else is changed."""
    seen = []
    for seed in range(40):
        mr = brains((1, 60, 50))
        (image,) = mr_spots.with_dark_spots(mr, 1, SIZE, np.random.default_rng(seed))
        changed = image != mr[0]
        if not changed.any():
            continue
        assert label(changed)[1] == 1
        assert (image[changed] < mr[0][changed]).all() and image.min() > mr_spots.DARK - 1e-6
        cover = (mr[0] - image) / (mr[0] - mr_spots.DARK)
        y, x = (np.average(n, weights=cover) for n in np.mgrid[:60, :50])
        assert 18 < y < 52 and 3 < x < 32
        area = cover.sum() * SIZE[1] * SIZE[2]
        diameter = np.sqrt(4 * area / np.pi)
        rows, columns = (np.flatnonzero(cover.max(axis)) for axis in (1, 0))
        for voxels, size in ((rows, SIZE[1]), (columns, SIZE[2])):
            assert len(voxels) * size == pytest.approx(diameter, abs=2.6 * SIZE[2])
        seen.append(diameter)
    assert 10 < len(seen) < 35 and 4 < min(seen) < 8 and 13 < max(seen) < 17.5


def test_volumes_and_images_without_brain():
    volume = np.full((2, 9, 40, 30), 0.8, np.float32)
    volume[1] = 0.1
    changed = mr_spots.with_dark_spots(volume, 3, SIZE, np.random.default_rng(4)) != volume
    assert not changed[1].any() and 1 < changed[0].any(axis=(1, 2)).sum() < 9
    assert (volume[0] == np.float32(0.8)).all()  # the argument is as it was


def test_the_number_of_spots():
    wide = np.full((300, 90, 90), 0.8, np.float32)
    images = mr_spots.with_dark_spots(wide, 2, (1.0, 4.0, 4.0), np.random.default_rng(0))
    counts = np.bincount([label(image < 0.7)[1] for image in images], minlength=4)
    assert counts[3:].sum() == 0 and (counts[:3] > 60).all()


@needs_keras
def test_batches_get_spots_in_mr_alone_and_the_same_ones_again():
    rng = np.random.default_rng(0)
    pet, target = rng.random((2, 6, 60, 50), dtype=np.float32)
    mr = brains((6, 60, 50))
    one = data.Examples({"image": np.stack([pet, mr], axis=-1)}, target[..., None])
    two = data.Examples({"image": pet[..., None], "mr": mr[..., None]}, target[..., None], single=False)
    plain = data.batch_stream(one, 4, 5, 3)
    for first in (0, 5):
        streams = [data.batch_stream(examples, 4, 5, 3, 4, SIZE) for examples in (one, two, one)]
        plain.first = first
        for stream in streams:
            stream.first = first
        (image, y), (inputs, _), (again, _) = (stream[2] for stream in streams)
        before, expected = plain[2]
        np.testing.assert_array_equal(image[..., 0], before[..., 0])
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(inputs["mr"][..., 0], image[..., 1])
        np.testing.assert_array_equal(inputs["image"][..., 0], image[..., 0])
        assert (image[..., 1] != before[..., 1]).any()
        assert (streams[0][3][0][..., 1] != image[..., 1]).any()
    for index in range(5):
        assert (plain[index][0][..., 1] == mr[0]).all()


@needs_keras
@pytest.mark.parametrize(
    ("most", "channels", "words"),
    [(-1, 2, "whole number >= 0, got -1"), (1.0, 2, "got 1.0"), (2, 1, "0 for a network that sees no MR, got 2")],
)
def test_bad_numbers_of_spots(most, channels, words):
    model = networks.ced((128, 128, channels))
    with pytest.raises(ValueError, match=f"mr_spots: expected .*{words}"):
        data.check_spots(most, model)
    data.check_spots(0, model)
