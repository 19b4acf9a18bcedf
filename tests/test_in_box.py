"""A network on a box of the image, with 0 around it."""

import numpy as np
import pytest
from registry import MatrixOperator
from test_networks import needs_keras

from pettutor import networks
from pettutor.arrays import bounding_box
from pettutor.networks.fitting.deep_image_prior import DeepImagePrior
from pettutor.networks.parts.box import in_box

pytestmark = needs_keras


@pytest.mark.parametrize(
    ("shape", "box"),
    [((13, 9), (slice(2, 10), slice(0, 7))), ((5, 13, 9), (slice(1, 4), slice(5, 13), slice(2, 8)))],
)
def test_the_network_sees_the_box_and_no_more(shape, box):
    inner = networks.dip_unet((*np.empty(shape)[box].shape, 2), (2, 3))
    sizes = []
    model = in_box(lambda size: sizes.append(size) or inner, shape, box)
    assert sizes == [inner.input_shape[1:-1]]
    image = np.random.default_rng(1).random((2, *shape, 2), dtype=np.float32)
    out = model.predict_on_batch(image)
    inside = (slice(None), *box)
    expected = np.zeros((2, *shape, 1), np.float32)
    expected[inside] = inner.predict_on_batch(image[inside])
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    assert (out[inside] > 0).all() and model.name == inner.name
    assert all(a is b for a, b in zip(model.trainable_variables, inner.trainable_variables, strict=True))


def test_the_whole_image_needs_no_box():
    inner = networks.dip_unet((8, 6, 1), (2, 3))
    assert in_box(lambda size: inner, (8, 6), (slice(None), slice(0, 6))) is inner


@pytest.mark.parametrize(
    ("shape", "box", "words"),
    [
        ((13, 9), (slice(2, 10), slice(0, 7)), r"input of the box's size \(8, 7\), got \(8, 6\)"),
        ((13, 9), (slice(2, 10),), "a slice for each"),
        ((13,), (slice(2, 10),), "a slice for each"),
    ],
)
def test_a_box_that_does_not_fit(shape, box, words):
    with pytest.raises(ValueError, match=words):
        in_box(lambda size: networks.dip_unet((8, 6, 1), (2, 3)), shape, box)


def test_not_a_network():
    with pytest.raises(TypeError, match=r"a function that gives a keras\.Model"):
        in_box(lambda size: np.ones(size), (3, 3), (slice(3), slice(3)))


def test_the_default_network_covers_the_mask():
    mr = np.random.default_rng(0).random((6, 17, 14)).astype(np.float32)
    mask = np.zeros(mr.shape, bool)
    mask[1:5, 4, 3:11] = mask[2, 4:12, 3] = True
    prior = DeepImagePrior(mr.shape, mr, filters=(2, 3), mask=mask)
    image = prior.image(prior.start)
    box = np.zeros(mr.shape, bool)
    box[1:5, 4:12, 3:11] = True
    assert (image[box] > 0).all() and (image[~box] == 0).all()
    with pytest.raises(ValueError, match="expected some voxels, got none"):
        DeepImagePrior(mr.shape, mr, filters=(2, 3), mask=mask & False)
    with pytest.raises(ValueError, match="mask"):
        DeepImagePrior(mr.shape, mr, filters=(2, 3), mask=mask[1:])


def test_bounding_box():
    mask = np.zeros((5, 6, 7), bool)
    mask[1, 2, 5] = mask[2, 4, 3] = True
    assert bounding_box(mask) == (slice(1, 3), slice(2, 5), slice(3, 6))
    assert bounding_box(mask, 2) == (slice(0, 5), slice(0, 6), slice(1, 7))
    with pytest.raises(ValueError, match="got none"):
        bounding_box(mask & False)


@pytest.mark.parametrize("method", ["diprecon", "end_to_end_dip"])
def test_methods_with_a_mask_cover_no_more_than_it(method, monkeypatch):
    boxes, whole = [], in_box

    def spy(build, shape, box):
        boxes.append((shape, box))
        return whole(build, shape, box)

    monkeypatch.setattr("pettutor.networks.parts.box.in_box", spy)
    rng = np.random.default_rng(2)
    A = MatrixOperator(rng.random((40, 2 * 9 * 7)).astype(np.float32), (2, 9, 7), (40,))
    mr, y = rng.random(A.in_shape).astype(np.float32), A(np.ones(A.in_shape, np.float32))
    mask = np.zeros(A.in_shape, bool)
    mask[:, 2:8, 1:5] = True
    few = {"start_fit": 1, "iterations": 1, "filters": (2, 3), "mask": mask}
    image = getattr(networks, method)(y, A, mr, **few)
    assert boxes == [((2, 9, 7), (slice(0, 2), slice(2, 8), slice(1, 5)))]
    assert (image[~mask] == 0).all() and (image[mask] > 0).any()
