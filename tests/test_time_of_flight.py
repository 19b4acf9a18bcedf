"""Time of flight: bins against the normal distribution, one hot voxel against its place, and the sum over the bins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import off_centre_grid, small_scanner
from scipy.stats import truncnorm

import pettutor as pt

MODELS = ("siddon", "multi_ray", "joseph", "distance_driven")
WIDE = pt.TimeOfFlight(15, 13.0, 31.0)  # covers every line of the small scanner and three standard deviations more


def projector(model="joseph", tof=WIDE, grid=None, **scanner):
    return pt.Projector(small_scanner(**scanner), grid or off_centre_grid(), model=model, device="cpu", tof=tof)


@given(bins=st.integers(1, 9), width=st.floats(3, 60), resolution=st.floats(5, 90), distance=st.floats(-80, 80))
def test_weights_are_those_of_a_truncated_normal_distribution(bins, width, resolution, distance):
    tof = pt.TimeOfFlight(bins, width, resolution)
    sigma = resolution / np.sqrt(8 * np.log(2))
    edges = (np.arange(bins + 1) - bins / 2) * width
    expected = np.diff(truncnorm.cdf(edges, -3, 3, loc=distance, scale=sigma))
    assert tof.weights(distance) == pytest.approx(expected, abs=1e-9)
    assert tof.weights(np.full((2, 3), distance)).shape == (2, 3, bins)


def test_picoseconds():
    """550 ps blur the position by half of the way that light goes: 82.4 mm."""
    tof = pt.TimeOfFlight.from_picoseconds(13, 312, 550)
    assert tof.resolution == pytest.approx(82.44, abs=0.01)
    assert tof.width == pytest.approx(46.77, abs=0.01)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scanner", [{}, {"span": 1}, {"ring_pitch": 19.0}], ids=["span 3", "span 1", "steep"])
def test_sum_over_the_bins_is_the_projection_without(model, scanner):
    tof = WIDE if "ring_pitch" not in scanner else pt.TimeOfFlight(31, 13.0, 31.0)
    X = projector(model, tof, **scanner)
    image = np.random.default_rng(0).random(X.in_shape, dtype=np.float32)
    plain = X.without_tof(image)
    assert X.out_shape == (*plain.shape, tof.bins) and plain.max() > 10
    assert X(image).sum(axis=-1) == pytest.approx(plain, rel=1e-5, abs=1e-5 * float(plain.max()))
    assert pt.adjoint_mismatch(X)[0] < 1e-5


def chord_middle(start, end, low, high):
    """Signed distance (mm) from a line's middle to the middle of its chord in a box, and the chord's length."""
    step = end - start
    with np.errstate(divide="ignore"):
        one, other = (low - start) / step, (high - start) / step
    enter, leave = np.minimum(one, other).max(), np.maximum(one, other).min()
    length = np.linalg.norm(step)
    return (0.5 * (enter + leave) - 0.5) * length, max(leave - enter, 0) * length


def test_a_hot_voxel_is_seen_where_it_is():
    """Siddon's chord of one voxel, put into the bins by its distance from the middle, towards the second end: that of
    the middle of the line's part in the voxel's column (y, x).
    """
    X = projector("siddon", pt.TimeOfFlight(7, 11.0, 19.0))
    voxel = (4, 8, 11)
    image = np.zeros(X.in_shape, np.float32)
    image[voxel] = 3
    sinogram = X(image)
    starts, ends = X.scanner.lor_endpoints()
    centre = np.array([axis[i] for axis, i in zip(X.grid.coordinates(), voxel, strict=True)])
    half = 0.5 * np.array(X.grid.voxel_size)
    column = np.array([1e6, *half[1:]])
    seen, off_middle = 0, 0
    for index in np.argwhere(X.without_tof(image) > 0.3):
        index = tuple(index)
        _, length = chord_middle(starts[index], ends[index], centre - half, centre + half)
        distance, _ = chord_middle(starts[index], ends[index], centre - column, centre + column)
        assert sinogram[index] == pytest.approx(3 * length * X.tof.weights(distance), rel=2e-4, abs=2e-4)
        seen, off_middle = seen + 1, off_middle + (abs(distance) > 8)
    assert seen > 30 and off_middle > 15


def test_joseph_samples_on_the_voxel_plane():
    """The only plane across the walk axis that the hot voxel is on gives the distance."""
    X = projector("joseph", pt.TimeOfFlight(7, 11.0, 19.0))
    voxel = (2, 4, 9)
    image = np.zeros(X.in_shape, np.float32)
    image[voxel] = 1
    sinogram, plain = X(image), X.without_tof(image)
    starts, ends = X.scanner.lor_endpoints()
    centre = np.array([axis[i] for axis, i in zip(X.grid.coordinates(), voxel, strict=True)])
    for index in np.argwhere(plain > 0.3):
        index = tuple(index)
        step = ends[index] - starts[index]
        walk = 1 if abs(step[1]) > abs(step[2]) else 2
        part = (centre[walk] - starts[index][walk]) / step[walk] - 0.5
        weights = X.tof.weights(part * np.linalg.norm(step))
        assert sinogram[index] == pytest.approx(plain[index] * weights, rel=1e-4, abs=1e-5)
    assert (plain > 0.3).sum() > 50


def test_what_lies_outside_the_bins_is_not_seen():
    X = projector("siddon", pt.TimeOfFlight(1, 2.0, 3.0))
    image = np.ones(X.in_shape, np.float32)
    # 2 mm and at most three standard deviations (3.8 mm) beyond each end: a part of every chord
    assert 0 < X(image).max() < 2 + 0.1 + 2 * X.grid.voxel_size[1]
    assert X.without_tof(image).max() > 20


def test_subset_and_layout():
    X = projector()
    x = np.random.default_rng(1).random(X.in_shape, dtype=np.float32)
    y = X(x)
    assert np.array_equal(X.subset(1, 3)(x), y[:, 1::3])
    assert np.array_equal(X.T(np.ascontiguousarray(y)), X.T(y))
    assert "time of flight" in repr(X) and "time of flight" not in repr(X.without_tof)


def test_acquisition_model_takes_factors_for_all_bins_at_once():
    X = projector()
    factor = np.random.default_rng(2).random(X.out_shape[:3], dtype=np.float32)
    full = np.ascontiguousarray(np.broadcast_to(factor[..., None], X.out_shape))
    A, B = pt.AcquisitionModel(X, attenuation=factor), pt.AcquisitionModel(X, attenuation=full)
    x = np.random.default_rng(3).random(X.in_shape, dtype=np.float32)
    assert np.array_equal(A(x), B(x)) and pt.adjoint_mismatch(A)[0] < 1e-5
    assert np.array_equal(A.subset(0, 2)(x), A(x)[:, ::2])
    with pytest.raises(ValueError, match="attenuation"):
        pt.AcquisitionModel(X, attenuation=factor[..., :4])


def test_simulated_scan_with_time_of_flight():
    scanner = pt.Scanner.preset("slab")
    grid = scanner.image_grid((1, 40, 40), (4.0, 8.0, 8.0))
    truth = pt.load_subject("mni:0").on(grid)
    tof = pt.TimeOfFlight.from_picoseconds(13, 300, 400)
    plain, timed = (pt.Projector(scanner, grid, device="cpu", tof=t) for t in (None, tof))
    one, two = (
        pt.simulate(truth, X, counts=2e5, randoms_fraction=0.3, scatter_fraction=0.1, seed=4) for X in (plain, timed)
    )
    assert two.prompts.shape == timed.out_shape
    assert np.array_equal(one.attenuation, two.attenuation)
    for name in ("trues", "randoms", "scatter"):
        together = getattr(two, name).sum(axis=-1)
        assert together == pytest.approx(getattr(one, name), rel=1e-3, abs=1e-3 * float(together.max()))
    A = pt.AcquisitionModel(
        timed, attenuation=two.attenuation, normalisation=two.normalisation, background=two.background
    )
    assert A.expected(np.ascontiguousarray(truth.pet)).sum() == pytest.approx(two.prompts.sum(), rel=0.1)


@settings(max_examples=20, deadline=None)
@given(
    bins=st.integers(1, 8),
    width=st.floats(1, 40),
    resolution=st.floats(1, 80),
    model=st.sampled_from(MODELS),
    seed=st.integers(0, 99),
)
def test_any_bins(bins, width, resolution, model, seed):
    X = projector(model, pt.TimeOfFlight(bins, width, resolution))
    assert pt.adjoint_mismatch(X, seed)[0] < 1e-5


def test_refusals():
    for settings_ in ((0, 1.0, 1.0), (3, 0.0, 1.0), (3, 1.0, -1.0), (3, 1.0, float("nan"))):
        with pytest.raises(ValueError, match=r"(bins|width|resolution): expected"):
            pt.TimeOfFlight(*settings_)
    with pytest.raises(TypeError, match=r"tof: expected a pettutor\.TimeOfFlight or None, got 13"):
        projector(tof=13)
