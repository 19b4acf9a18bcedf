"""Circles, lines, overlays and differences: what Python has of them, against sums written out here."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from pettutor import measures
from pettutor.geometry import ImageGrid
from pettutor.view import Roi, volshow

RNG = np.random.default_rng(3)
GRID = ImageGrid((5, 12, 14), (4.0, 2.0, 1.5), (2.0, 0.0, -3.0))
TRUTH = RNG.uniform(1, 2, GRID.shape).astype(np.float32)
TRUTH[2, 3:7, 4:9] += 4
IMAGE = (TRUTH * RNG.uniform(0.8, 1.2, GRID.shape)).astype(np.float32)


def slow_mask(grid, plane, centre, radius):
    """Voxel by voxel."""
    across = {"axial": 0, "coronal": 1, "sagittal": 2}[plane]
    mask = np.zeros(grid.shape, bool)
    for voxel in np.ndindex(*grid.shape):
        place = np.array(grid.origin) + np.array(voxel) * grid.voxel_size
        off = place - centre
        in_slice = -0.5 * grid.voxel_size[across] < off[across] <= 0.5 * grid.voxel_size[across]
        mask[voxel] = in_slice and np.hypot(*np.delete(off, across)) <= radius
    return mask


@pytest.mark.parametrize(
    ("plane", "centre", "radius"),
    [("axial", (3.1, -2.2, -4.0), 4.2), ("coronal", (0.3, 1.7, 0.0), 6.0), ("sagittal", (9.0, 3.0, -6.4), 5.0)],
)
def test_masks_and_numbers_of_a_circle(plane, centre, radius):
    viewer = volshow({"truth": TRUTH, "MLEM": np.stack([IMAGE, IMAGE**2])}, grid=GRID)
    viewer.rois = [Roi("axial", (0, 0, 0), 1), Roi(plane, centre, radius)]
    roi = viewer.roi
    mask = slow_mask(GRID, plane, centre, radius)
    assert 5 < mask.sum() < 60
    np.testing.assert_array_equal(roi.masks["truth"], mask)
    assert roi.mean["truth"] == pytest.approx(TRUTH[mask].mean(dtype=float))
    assert roi.sd["truth"] == pytest.approx(TRUTH[mask].std(ddof=1, dtype=float))
    assert roi.max["truth"] == TRUTH[mask].max()
    np.testing.assert_allclose(roi.mean["MLEM"], [IMAGE[mask].mean(dtype=float), (IMAGE**2)[mask].mean(dtype=float)])
    assert len(viewer.rois) == 2
    viewer.rois = []
    assert viewer.roi is None


def test_a_circle_on_panels_of_different_grids_and_outside_of_one():
    small = ImageGrid((2, 6, 7), (4.0, 2.0, 1.5), (20.0, 0.0, -3.0))
    viewer = volshow([(TRUTH, GRID), (TRUTH[:2, :6, :7], small)], titles=["a", "a"])
    viewer.rois = [Roi("axial", (2, 0, -3), 4)]
    masks = viewer.roi.masks
    assert list(masks) == ["a", "a (2)"] and masks["a"].any() and not masks["a (2)"].any()
    assert np.isnan(viewer.roi.mean["a (2)"]) and np.isnan(viewer.roi.sd["a (2)"]) and np.isnan(viewer.roi.max["a (2)"])


def test_contrast_recovery_is_that_of_the_measures():
    viewer = volshow({"truth": TRUTH, "MLEM": IMAGE}, grid=GRID, reference="truth")
    viewer.rois = [Roi("axial", (2, -2, -3.5), 3), Roi("axial", (2, 6, 3), 4)]
    region, background = (roi.masks["truth"] for roi in viewer.rois)
    assert viewer.crc["MLEM"] == pytest.approx(measures.crc(IMAGE[None], TRUTH, region, background), rel=1e-5)
    assert viewer.crc["truth"] == 1
    assert viewer.contrast["MLEM"] == pytest.approx(measures.contrast(IMAGE, region, background) - 1, rel=1e-5)
    viewer.rois = viewer.rois[:1]
    with pytest.raises(ValueError, match="rois: expected two, the region and its background, got 1"):
        _ = viewer.contrast
    with pytest.raises(ValueError, match="crc: expected a viewer with reference="):
        _ = volshow(TRUTH).crc


def test_bad_circles_and_lines_are_named():
    viewer = volshow(TRUTH)
    for wrong, error, message in [
        (lambda: Roi("oblique", (0, 0, 0), 1), ValueError, "plane: expected one of 'axial'.*got 'oblique'"),
        (
            lambda: Roi("axial", (0, 0), 1),
            ValueError,
            r"centre: expected three finite .*, got \(0, 0\)",
        ),
        (lambda: Roi("axial", (0, 0, np.nan), 1), ValueError, "centre: expected three finite numbers"),
        (lambda: Roi("axial", (0, 0, 0), 0), ValueError, "radius: expected a positive length, got 0"),
        (lambda: setattr(viewer, "rois", ["circle"]), TypeError, "rois: expected a list of Roi, got str 'circle'"),
        (lambda: setattr(viewer, "line", ((0, 0, 0),)), ValueError, r"line: expected \(start, end\)"),
        (lambda: setattr(viewer, "line", ((0, 0, 0), (1, 2))), ValueError, "line: expected three finite numbers"),
        (lambda: setattr(viewer, "opacity", 1.5), ValueError, "opacity: expected a number from 0 to 1, got 1.5"),
        (lambda: setattr(viewer, "difference", True), ValueError, "difference: expected a viewer with reference="),
    ]:
        with pytest.raises(error, match=message):
            wrong()


def test_profile_is_linear_interpolation():
    viewer = volshow({"truth": TRUTH, "MLEM": np.stack([IMAGE, IMAGE**2])}, grid=GRID)
    start, end = np.array([-5.0, -9.0, -11.0]), np.array([8.0, 7.0, 4.5])
    viewer.line = (start, end)
    distance, values = viewer.profile
    assert distance[0] == 0 and distance[-1] == pytest.approx(np.linalg.norm(end - start))
    assert np.diff(distance).max() <= 0.75
    points = start + distance[:, None] / distance[-1] * (end - start)
    index = (points - GRID.origin) / GRID.voxel_size
    expected = map_coordinates(TRUTH.astype(float), index.T, order=1, mode="nearest")
    np.testing.assert_allclose(values["truth"], expected, atol=1e-6)
    assert values["MLEM"].shape == (2, len(distance))
    viewer.line = ((2, 0, -12), (2, 0, -20))  # the outer edge is at -13.5
    outside = viewer.profile
    x = -12 - outside.distance
    np.testing.assert_array_equal(np.isnan(outside.values["truth"]), x < -13.5)
    viewer.line = None
    assert viewer.profile is None and viewer.line is None


def test_a_value_that_is_not_finite_beside_the_line_does_not_reach_it():
    image = TRUTH.copy()
    image[2, [5, 7], :] = np.nan
    viewer = volshow(image, grid=GRID)
    y = GRID.coordinates()[1]
    viewer.line = ((2, y[6], -10), (2, y[6], 2))
    assert np.isfinite(viewer.profile.values["panel 1"]).all()
    viewer.line = ((2, y[5], -10), (2, y[5], 2))
    assert np.isnan(viewer.profile.values["panel 1"]).all()


def test_overlaid_regions_are_labels_of_which_the_smaller_lie_on_top():
    big, small = TRUTH > 0, TRUTH > 4
    viewer = volshow([TRUTH, IMAGE], grid=GRID, overlay={"lesion": small, "head": big}, opacity=0.25)
    over = viewer.panels[0].overlay
    assert over is viewer.panels[1].overlay and over.names == ("lesion", "head")
    np.testing.assert_array_equal(over.frames[0], np.where(small, 1, 2))
    described = viewer.payload()[0]
    assert described["opacity"] == 0.25 and described["panels"][1]["overlay"]["names"] == ["lesion", "head"]
    assert len(viewer.payload()[1]) == 3  # two volumes, and the overlay once


def test_an_overlaid_volume_may_have_its_own_grid_and_only_some_panels_have_one():
    fine = ImageGrid((3, 24, 20), (2.0, 1.0, 1.0))
    pet = RNG.random(fine.shape)
    viewer = volshow([TRUTH, IMAGE], grid=GRID, overlay=[None, (pet, fine)], overlay_vmaxs=0.5, overlay_cmaps="viridis")
    assert viewer.panels[0].overlay is None
    over = viewer.panels[1].overlay
    assert over.grid is fine and over.window[1] == 0.5 and over.cmap.name == "viridis"


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ([None], "overlay: expected one for each of 2 panels or one for all, got 1"),
        (
            TRUTH[:2],
            r"overlay: expected the panel's shape \(5, 12, 14\), or a pair \(array, ImageGrid\), got",
        ),
        ({}, "overlay: expected 1 to 252 regions, got 0"),
        ({"hot": TRUTH}, "overlay 'hot': expected a bool mask of shape"),
        ({"hot": TRUTH[1:] > 1}, "overlay 'hot': expected a bool mask of shape"),
        (np.stack([TRUTH] * 3), "overlay: expected 1 or 1 frames, got 3"),
    ],
)
def test_bad_overlays_are_named(overlay, message):
    with pytest.raises(ValueError, match=message):
        volshow([TRUTH, IMAGE], grid=GRID, overlay=overlay)


def test_the_figure_has_differences_overlays_circles_and_the_line():
    viewer = volshow({"truth": TRUTH, "MLEM": IMAGE}, grid=GRID, reference=0, overlay={"hot": TRUTH > 4})
    viewer.rois = [Roi("axial", (2, 0, -3), 4), Roi("axial", (10, 0, -3), 4)]
    viewer.line = ((2, 0, -8), (2, 3, 2))
    viewer.difference = True
    truth, image = (ax for ax in viewer.to_figure().axes if ax.images)
    np.testing.assert_allclose(truth.images[0].get_array(), TRUTH[2])
    np.testing.assert_allclose(image.images[0].get_array(), IMAGE[2].astype(float) - TRUTH[2])
    low, high = image.images[0].get_clim()
    assert -low == high > 0 and image.images[0].cmap.name == "RdBu_r"
    np.testing.assert_array_equal(image.images[1].get_array().mask, ~(TRUTH[2] > 4))
    circle = image.patches[0]
    assert len(image.patches) == 1 and circle.center == (-3, 0) and circle.radius == 4
    np.testing.assert_allclose(image.lines[0].get_xydata(), [[-8, 0], [2, 3]])


def test_a_difference_between_grids_is_taken_at_the_nearest_voxels():
    coarse = ImageGrid((3, 6, 4), (4.0, 4.0, 3.0), (2.0, 0.0, -3.0))
    values = RNG.random(coarse.shape)
    viewer = volshow({"fine": (TRUTH, GRID), "coarse": (values, coarse)}, reference="coarse")
    found = viewer.panels[0].minus(viewer.panels[1], 0)
    for voxel in [(1, 0, 3), (2, 5, 7), (3, 11, 10)]:
        place = np.array(GRID.origin) + np.array(voxel) * GRID.voxel_size
        index = np.floor((place - coarse.origin) / coarse.voxel_size + 0.5).astype(int)
        assert found[voxel] == pytest.approx(TRUTH[voxel] - values[tuple(index)])
    assert np.isnan(found[0]).all() and np.isnan(found[:, :, 0]).all() and np.isfinite(found[1:4, :, 3:11]).all()


def test_reference_and_shared_window_are_checked():
    viewer = volshow(
        {"a": TRUTH, "b": IMAGE * 2}, shared_window=True, vmins=[0.5, None], reference="b", difference=True
    )
    assert viewer.panels[0].window == viewer.panels[1].window and viewer.panels[0].window[1] > 8
    assert viewer.reference == 1 and viewer.payload()[0]["difference"]
    for wrong in ("c", 2, -1, True):
        with pytest.raises(ValueError, match=r"reference: expected a title of \['a', 'b'\] or a number below 2, got"):
            volshow({"a": TRUTH, "b": IMAGE}, reference=wrong)
    with pytest.raises(ValueError, match="difference: expected reference="):
        volshow([TRUTH, IMAGE], difference=True)


def test_the_planes_of_a_sinogram_are_called_after_the_axis_that_is_stepped_through():
    viewer = volshow(TRUTH, sinogram=True, plane="view")
    assert viewer.plane == "coronal" and viewer.payload()[0]["axes"] == ["plane", "view", "bin"]
    viewer.plane = "bin"
    assert viewer.plane == "sagittal"
    assert "view = 6" in viewer.to_figure(plane="view").axes[0].get_title()
    with pytest.raises(ValueError, match="plane: expected one of"):
        volshow(TRUTH, plane="view")
    with pytest.raises(ValueError, match="plane: expected one of"):
        volshow(TRUTH).plane = "view"
