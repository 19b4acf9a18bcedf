"""Figures of merit against values worked out by hand, scikit-image and slow loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pettutor import measures


@pytest.fixture
def pair():
    rng = np.random.default_rng(5)
    truth = rng.uniform(1, 4, (3, 4, 5)).astype(np.float32)
    image = (truth + rng.normal(0, 0.3, truth.shape)).astype(np.float32)
    mask = rng.random(truth.shape) < 0.6
    return image, truth, mask


def test_nrmse_by_hand():
    truth = np.array([[[2.0, 4.0]]], np.float32)
    image = np.array([[[5.0, 8.0]]], np.float32)  # errors 3 and 4: RMSE = 5 / √2
    rmse = 5 / math.sqrt(2)
    assert measures.nrmse(image, truth, normaliser="mean") == pytest.approx(rmse / 3)
    assert measures.nrmse(image, truth, normaliser="rms") == pytest.approx(rmse / math.sqrt(10))
    assert measures.nrmse(image, truth, normaliser="range") == pytest.approx(rmse / 2)


def test_error_measures_agree_with_scikit_image(pair):
    metrics = pytest.importorskip("skimage.metrics")
    image, truth, mask = pair
    ours = measures.nrmse(image, truth, normaliser="rms")
    assert ours == pytest.approx(metrics.normalized_root_mse(truth, image, normalization="euclidean"), rel=1e-5)
    assert measures.psnr(image, truth, data_range=4.0) == pytest.approx(
        metrics.peak_signal_noise_ratio(truth, image, data_range=4.0), rel=1e-5
    )
    inside = metrics.normalized_root_mse(truth[mask], image[mask], normalization="mean")
    assert measures.nrmse(image, truth, normaliser="mean", mask=mask) == pytest.approx(inside, rel=1e-5)


@given(
    hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(0.125, 128, width=32)),
    st.floats(0.1, 10),
)
def test_nrmse_and_bias_do_not_depend_on_the_unit(truth, factor):
    image = truth[::-1].copy()
    for normaliser in ("mean", "rms"):
        a = measures.nrmse(image, truth, normaliser=normaliser)
        b = measures.nrmse(image * np.float32(factor), truth * np.float32(factor), normaliser=normaliser)
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    assert measures.bias(truth * np.float32(1.25), truth) == pytest.approx(0.25, abs=1e-5)


def test_perfect_image(pair):
    _, truth, mask = pair
    assert measures.nrmse(truth, truth, normaliser="mean") == 0
    assert measures.bias(truth, truth, mask=mask) == 0
    assert measures.psnr(truth, truth, data_range=1.0) == math.inf


def regions(shape):
    a, b = np.zeros(shape, bool), np.zeros(shape, bool)
    a[0, 1:3], b[1] = True, True
    return a, b


def test_contrast_and_crc_by_hand():
    a, b = regions((2, 4, 5))
    truth = np.where(a, 8.0, 2.0).astype(np.float32)  # contrast 4
    first, second = (np.where(a, hot, 2.0).astype(np.float32) for hot in (5.0, 6.5))  # contrasts 2.5 and 3.25
    assert measures.contrast(first, a, b) == pytest.approx(2.5)
    assert measures.crc(first, truth, a, b) == pytest.approx(1.5 / 3)
    assert measures.crc(np.stack([first, second]), truth, a, b) == pytest.approx((1.5 + 2.25) / 2 / 3)
    assert measures.crc(truth, truth, a, b) == pytest.approx(1)
    assert measures.region_mean(first, a) == pytest.approx(5)


def test_crc_is_the_mean_of_ratios_not_the_ratio_of_means():
    a, b = regions((2, 4, 5))
    truth = np.where(a, 8.0, 2.0).astype(np.float32)
    images = np.stack([np.where(a, 6.0, low).astype(np.float32) for low in (1.0, 3.0)])
    assert measures.crc(images, truth, a, b) == pytest.approx(((6 / 1 - 1) + (6 / 3 - 1)) / 2 / 3)


def test_background_std_against_a_loop():
    rng = np.random.default_rng(1)
    images = rng.gamma(20, 1, (7, 2, 4, 5)).astype(np.float32)
    _, b = regions((2, 4, 5))
    values = []
    for k in np.argwhere(b):
        samples = [float(image[tuple(k)]) for image in images]
        mean = sum(samples) / 7
        values.append(math.sqrt(sum((s - mean) ** 2 for s in samples) / 6) / mean)
    assert measures.background_std(images, b) == pytest.approx(sum(values) / len(values), rel=1e-6)


def test_background_std_sees_noise_alone():
    """A background with structure but no noise has none; `spatial_variation` sees the structure."""
    _, b = regions((2, 4, 5))
    image = np.linspace(1, 2, 40, dtype=np.float32).reshape(2, 4, 5)
    assert measures.background_std(np.stack([image] * 3), b) == 0
    assert measures.spatial_variation(image, b) == pytest.approx(np.std(image[b], ddof=1) / np.mean(image[b]), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, m: measures.nrmse(x, x[:1], normaliser="mean"), r"image: expected shape \(1, 4, 5\)"),
        (lambda x, m: measures.nrmse(x, x, normaliser="max"), "normaliser: expected one of 'mean', 'rms', 'range'"),
        (
            lambda x, m: measures.nrmse(x, x, normaliser="mean", mask=m & False),
            "expected at least one voxel, got an empty",
        ),
        (lambda x, m: measures.nrmse(x, 0 * x, normaliser="mean"), "expected a mean > 0 inside the mask, got 0"),
        (lambda x, m: measures.psnr(x, x, data_range=0), "data_range: expected a number > 0, got 0"),
        (lambda x, m: measures.background_std(x[:1], m[0]), "expected at least two realisations"),
        (lambda x, m: measures.crc(x, np.ones_like(x), m, ~m), "expected a contrast between region and background"),
        (lambda x, m: measures.crc(x[0], x, m, ~m), "images: expected 3 dimensions, or 4"),
        (lambda x, m: measures.region_mean(x, m[:, :3]), r"region: expected shape \(3, 4, 5\)"),
        (lambda x, m: measures.spatial_variation(x * np.nan, m), "image: expected finite values"),
    ],
)
def test_bad_input(pair, call, message):
    image, _, mask = pair
    with pytest.raises(ValueError, match=message):
        call(image, mask)


def test_nothing_is_left_to_a_default(pair):
    image, truth, _ = pair
    with pytest.raises(TypeError, match="normaliser"):
        measures.nrmse(image, truth)
    with pytest.raises(TypeError, match="data_range"):
        measures.psnr(image, truth)
    with pytest.raises(TypeError, match="mask: expected dtype bool"):
        measures.bias(image, truth, mask=np.ones_like(truth))
    with pytest.raises(TypeError, match="data_range: expected a number"):
        measures.psnr(image, truth, data_range="peak")


@pytest.mark.gpu
def test_cupy_agrees_with_numpy(pair):
    import cupy

    image, truth, mask = pair
    on_device = [cupy.asarray(a) for a in pair]
    for function in (
        lambda x, t, m: measures.nrmse(x, t, normaliser="rms", mask=m),
        lambda x, t, m: measures.psnr(x, t, data_range=4.0, mask=m),
        lambda x, t, m: measures.crc(x, t + m.astype("float32"), m, ~m),
        lambda x, t, m: measures.spatial_variation(x, m),
    ):
        assert function(*on_device) == pytest.approx(function(image, truth, mask), rel=1e-6)
