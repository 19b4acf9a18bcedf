"""Figures of merit against values worked out by hand, scikit-image and slow loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pettutor as pt
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


def ssim_by_loop(x, t, peak):
    """Wang's formula, voxel by voxel in float64: weights of a Gaussian of 1.5 voxels, cut off at 5, edges mirrored."""
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    offsets = np.indices((11,) * x.ndim) - 5
    weights = np.exp(-(offsets**2).sum(axis=0) / (2 * 1.5**2))
    weights /= weights.sum()
    (px, pt), result = (np.pad(a, 5, mode="symmetric") for a in (x, t)), np.zeros(x.shape)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    for place in np.ndindex(x.shape):
        a, b = (p[tuple(slice(k, k + 11) for k in place)] for p in (px, pt))
        ma, mb = (weights * a).sum(), (weights * b).sum()
        va, vb, ab = (
            (weights * (a - ma) ** 2).sum(),
            (weights * (b - mb) ** 2).sum(),
            (weights * (a - ma) * (b - mb)).sum(),
        )
        result[place] = (2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return result


@pytest.mark.parametrize("shape", [(12, 11, 13), (1, 14, 12), (3, 11, 12)])
def test_ssim_against_the_formula(shape):
    """From 11 slices on the windows are cubes; below, every slice is seen by itself."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 3, shape).astype(np.float32)
    image = (0.7 * truth + rng.normal(0, 0.4, shape)).astype(np.float32)
    mask = rng.random(shape) < 0.3
    if shape[0] >= 11:
        expected = ssim_by_loop(image, truth, 2.5)
    else:
        expected = np.stack([ssim_by_loop(a, b, 2.5) for a, b in zip(image, truth, strict=True)])
    assert measures.ssim(image, truth, data_range=2.5) == pytest.approx(expected.mean(), rel=1e-9)
    assert measures.ssim(image, truth, data_range=2.5, mask=mask) == pytest.approx(expected[mask].mean(), rel=1e-9)
    assert measures.ssim(truth, truth, data_range=2.5) == pytest.approx(1)


def test_ssim_of_constants_is_the_ratio_of_means():
    """Without structure what is left is ``(2 a b + c) / (a² + b² + c)``."""
    a, b = (np.full((1, 12, 12), value, np.float32) for value in (2.0, 5.0))
    c = (0.01 * 10) ** 2
    assert measures.ssim(a, b, data_range=10) == pytest.approx((20 + c) / (29 + c))


def test_bias_over_realisations_is_that_of_the_mean_image():
    truth = np.full((1, 2, 3), 2.0, np.float32)
    mask = truth > 0
    mask[0, 0] = False
    images = np.stack([truth * 1.5, truth * 0.75, truth * 1.5])
    images[:, 0, 0] = 99  # outside the mask
    assert measures.bias(images, truth, mask=mask) == pytest.approx((1.5 + 0.75 + 1.5) / 3 - 1)


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


def test_contrast_recovery_has_a_value_for_every_realisation():
    a, b = regions((2, 4, 5))
    truth = np.where(a, 8.0, 2.0).astype(np.float32)
    images = np.stack([np.where(a, hot, 2.0).astype(np.float32) for hot in (5.0, 6.5, 2.0)])
    found = measures.contrast_recovery(images, truth, a, b)
    assert found == pytest.approx([1.5 / 3, 2.25 / 3, 0]) and found.dtype == np.float64
    assert measures.crc(images, truth, a, b) == pytest.approx(found.mean())


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
        (lambda x, m: measures.ssim(x, x, data_range=1), "expected shape .z, y, x. with at least 11 rows and columns"),
        (lambda x, m: measures.ssim(x, x, data_range=-1), "data_range: expected a number > 0, got -1"),
        (lambda x, m: measures.bias(np.stack([x, x])[None], x), r"image: expected shape \(3, 4, 5\)"),
        (lambda x, m: measures.crc(np.zeros((0, 3, 4, 5)), x, m, ~m), "images: expected at least one realisation"),
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


# ---- regions ----


@pytest.fixture(scope="module")
def phantom():
    grid = pt.ImageGrid((3, 64, 60), (4.0, 4.0, 4.0))
    lesions = [pt.Lesion(16, where=where) for where in ("pet", "mr", "both")]
    return pt.load_subject("mni:0").on(grid).with_lesions(seed=1, lesions=lesions)


def test_erosion_against_a_loop():
    mask = np.random.default_rng(2).random((4, 9, 8)) < 0.85
    expected = mask.copy()
    for place in np.argwhere(mask):
        for axis in range(3):
            for step in (-1, 1):
                neighbour = place.copy()
                neighbour[axis] += step
                if 0 <= neighbour[axis] < mask.shape[axis]:
                    expected[tuple(place)] &= mask[tuple(neighbour)]
    assert (measures.eroded(mask) == expected).all() and mask.sum() > expected.sum() > 10
    assert (measures.eroded(mask, 2) == measures.eroded(expected)).all()
    assert measures.eroded(mask, 0) is mask
    assert measures.eroded(np.ones((1, 3, 3), bool), 5).all(), "beyond the edges counts as inside"


def test_regions_of_a_phantom(phantom):
    found = measures.regions(phantom, erode=1)
    assert list(found) == ["grey matter", "lesion 1 (pet only)", "lesion 3"], "MR-only lesions have no contrast"
    white = phantom.regions["white matter"]
    for name, (region, background) in found.items():
        assert (region == phantom.regions[name]).all()
        assert (background == measures.eroded(white, 1)).all() and not (region & background).any()
        assert measures.crc(phantom.pet, phantom.pet, *found[name]) == pytest.approx(1)
    assert found["grey matter"].background.sum() < measures.regions(phantom)["grey matter"].background.sum()


def test_a_local_background_is_near_its_lesion(phantom):
    found = measures.regions(phantom, reach=20.0)
    assert (found["grey matter"].background == phantom.regions["white matter"]).all()
    lesion, near = found["lesion 3"]
    places = np.argwhere(lesion) * 4.0
    distance = [np.sqrt(((places - 4.0 * k) ** 2).sum(axis=1)).min() for k in np.argwhere(near)]
    assert max(distance) <= 20 and len(distance) > 5
    rest = phantom.regions["white matter"] & ~near
    assert min(np.sqrt(((places - 4.0 * k) ** 2).sum(axis=1)).min() for k in np.argwhere(rest)) > 20


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda p: measures.regions(p, erode=40),
            ValueError,
            "white matter: expected at least one voxel after erosion by",
        ),
        (lambda p: measures.regions(p, erode=1.5), ValueError, "white matter: expected a whole number >= 0"),
        (lambda p: measures.regions(p, reach=0), ValueError, "reach: expected a distance > 0 in mm, got 0"),
        (
            lambda p: measures.regions(p, reach=0.5),
            ValueError,
            "reach: expected white matter within 0.5 mm of lesion 1",
        ),
        (lambda p: measures.regions(p.pet), TypeError, "truth: expected a phantom"),
        (lambda p: measures.eroded(p.labels), TypeError, "mask: expected dtype bool"),
        (lambda p: measures.eroded(p.labels > 99), ValueError, "mask: expected at least one voxel after erosion by 1"),
    ],
)
def test_regions_that_cannot_be(phantom, call, error, message):
    with pytest.raises(error, match=message):
        call(phantom)


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
