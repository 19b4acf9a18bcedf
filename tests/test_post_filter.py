"""Gaussian filters after the reconstruction: the best one against a scan of widths, the one of a given noise."""

import numpy as np
import pytest

import pettutor as pt
from pettutor import ImageGrid, measures
from pettutor.reconstruction.post_filter import best_gaussian, gaussian_at_noise

GRID = ImageGrid((3, 32, 40), (3.0, 2.0, 2.5))


def box():
    """A truth, its noisy image and a mask."""
    truth = np.zeros(GRID.shape, np.float32)
    truth[:, 8:24, 10:30] = 3
    mask = np.zeros(GRID.shape, bool)
    mask[:, 4:28, 4:36] = True
    return truth, noisy(truth, 2.0, 0), mask


def noisy(truth, deviation, seed):
    return (truth + np.random.default_rng(seed).normal(0, deviation, truth.shape)).astype(np.float32)


def error(image, truth, mask=None, normaliser="rms"):
    return measures.nrmse(image, truth, normaliser=normaliser, mask=mask)


def test_the_best_is_the_best_of_a_scan_of_widths():
    truth, image, mask = box()
    tried = []
    fwhm, best = best_gaussian(image, truth, GRID, mask=mask, callback=lambda *pair: tried.append(pair))
    widths = np.arange(0, 15, 0.5)
    errors = [error(pt.gaussian_filter(image, w, GRID), truth, mask) for w in widths]
    assert 1 < fwhm < 14 and error(best, truth, mask) <= min(errors) + 1e-4
    assert fwhm == pytest.approx(widths[np.argmin(errors)], abs=0.5)
    assert np.array_equal(best, pt.gaussian_filter(image, fwhm, GRID))
    assert (fwhm, error(best, truth, mask)) in tried and tried[-1][0] == 0


def test_a_perfect_image_needs_no_filter():
    truth, _, mask = box()
    fwhm, best = best_gaussian(truth, truth, GRID, mask=mask)
    assert fwhm == 0 and np.array_equal(best, truth)


def test_mask_and_widest_count():
    truth, image, mask = box()
    inner = np.zeros_like(mask)
    inner[1, 14:18, 16:24] = True  # flat: any filter is good for it
    assert best_gaussian(image, truth, GRID, mask=inner)[0] > best_gaussian(image, truth, GRID, mask=mask)[0] + 0.5
    assert best_gaussian(image, truth, GRID, mask=inner, widest=2.0)[0] == pytest.approx(2, abs=0.1)


def test_several_images_share_one_filter():
    truth, image, mask = box()
    other = np.roll(truth, 5, axis=2) / 2
    images, truths, masks = [image, noisy(other, 0.3, 1)], [truth, other], [mask, np.roll(mask, 2, axis=2)]
    tried = []
    fwhm, filtered = best_gaussian(
        images, truths, GRID, mask=masks, normaliser="mean", callback=lambda *pair: tried.append(pair)
    )

    def mean_error(w):
        return np.mean(
            [error(pt.gaussian_filter(i, w, GRID), t, m, "mean") for i, t, m in zip(images, truths, masks, strict=True)]
        )

    widths = np.arange(0, 10, 0.25)
    assert all(error_of == pytest.approx(mean_error(w), rel=1e-9) for w, error_of in tried)
    assert mean_error(fwhm) <= min(mean_error(w) for w in widths) + 1e-4
    alone = [best_gaussian(i, t, GRID, mask=m)[0] for i, t, m in zip(images, truths, masks, strict=True)]
    assert alone[1] + 0.5 < fwhm < alone[0] - 0.5
    assert isinstance(filtered, list)
    assert all(np.array_equal(f, pt.gaussian_filter(i, fwhm, GRID)) for f, i in zip(filtered, images, strict=True))
    one, stack = best_gaussian(np.stack(images), truth, GRID, mask=mask)
    assert stack.shape == (2, *GRID.shape) and one == best_gaussian(images, [truth, truth], GRID, mask=[mask, mask])[0]


def realisations(deviation=1.0):
    """Twenty realisations of white noise about 10; the flat middle is the background."""
    background = np.zeros(GRID.shape, bool)
    background[1, 10:22, 12:28] = True
    flat = np.full(GRID.shape, 10, np.float32)
    return np.stack([noisy(flat, deviation, seed) for seed in range(20)]), background


def test_filter_of_a_given_noise():
    images, background = realisations()
    fwhm, filtered = gaussian_at_noise(images, 0.03, background, GRID)
    assert measures.background_std(filtered, background) == pytest.approx(0.03, rel=0.01)
    assert np.array_equal(filtered[4], pt.gaussian_filter(images[4], fwhm, GRID))
    # white noise of deviation 1 after a filter with weights w: sqrt(sum w²)
    impulse = np.zeros(GRID.shape)
    impulse[1, 16, 20] = 1
    assert np.sqrt((pt.gaussian_filter(impulse, fwhm, GRID) ** 2).sum()) / 10 == pytest.approx(0.03, rel=0.05)


def test_the_noise_that_the_images_have_needs_no_filter():
    images, background = realisations()
    fwhm, filtered = gaussian_at_noise(images, measures.background_std(images, background), background, GRID)
    assert fwhm == 0 and np.array_equal(filtered, images)


@pytest.mark.parametrize(
    ("make", "error_type", "message"),
    [
        (lambda i, b: gaussian_at_noise(i, 0.2, b, GRID), ValueError, r"noise: expected at most 0\.\d+, .* got 0\.2"),
        (lambda i, b: gaussian_at_noise(i, 1e-4, b, GRID), ValueError, r"noise: expected at least 0\.\d+, .* 30 mm"),
        (lambda i, b: gaussian_at_noise(i, 0, b, GRID), ValueError, "noise: expected a fraction > 0, got 0"),
        (lambda i, b: gaussian_at_noise(i[0], 0.03, b, GRID), ValueError, "images: expected 4 dimensions"),
        (lambda i, b: gaussian_at_noise(i[:1], 0.03, b, GRID), ValueError, "images: expected at least two"),
        (lambda i, b: best_gaussian([], i[0], GRID), ValueError, "image: expected at least one, got none"),
        (lambda i, b: best_gaussian(i, [i[0]], GRID), ValueError, "truth: expected one for each of 20 images, got 1"),
        (lambda i, b: best_gaussian(i[0], i[0], GRID, widest=0), ValueError, "widest: expected a width > 0 mm, got 0"),
        (lambda i, b: best_gaussian(i[0], i[0, :2], GRID), ValueError, r"image: expected shape \(2, 32, 40\)"),
        (lambda i, b: best_gaussian(i[0], i[0], "grid"), TypeError, "grid: expected a pettutor.ImageGrid, got 'grid'"),
    ],
)
def test_refuses(make, error_type, message):
    with pytest.raises(error_type, match=message):
        make(*realisations())
