"""What ``volshow`` takes besides NumPy arrays: CuPy, arrays with a grid, NIfTI, nibabel, too much of it."""

import nibabel
import numpy as np
import pytest

from pettutor.geometry import ImageGrid
from pettutor.io import save_nifti
from pettutor.view import inputs, volshow

IMAGE = np.random.default_rng(0).normal(5, 2, (4, 6, 9)).astype(np.float32)
GRID = ImageGrid((4, 6, 9), (3.0, 2.0, 1.5), (7.0, -2.0, 4.0))


class OnDevice:
    """As much of a CuPy array as the viewer may use: what would copy it silently is missing."""

    __module__ = "cupy._core"
    shape, dtype, ndim = IMAGE.shape, IMAGE.dtype, 3

    def get(self):
        return IMAGE

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


def test_arrays_on_the_gpu_are_fetched():
    panel = volshow({"on the GPU": OnDevice()}, grid=GRID).panels[0]
    np.testing.assert_array_equal(panel.frame(0), IMAGE)
    assert panel.grid is GRID


def test_files_and_nibabel_images_bring_their_grid(tmp_path):
    path = save_nifti(tmp_path / "activity.nii.gz", IMAGE, GRID)
    turned = nibabel.as_closest_canonical(nibabel.load(path))  # other directions in memory, the same place
    viewer = volshow({"file": path, "text": str(path), "nibabel": turned, "pair": (IMAGE, GRID)})
    for panel in viewer.panels:
        np.testing.assert_allclose(panel.frame(0), IMAGE, rtol=1e-6)
        np.testing.assert_allclose(panel.grid.origin, GRID.origin, atol=1e-4)
    assert viewer.in_mm
    assert volshow(path).panels[0].title == "activity.nii.gz"
    assert volshow((IMAGE, GRID)).panels[0].grid is GRID


def test_volumes_with_and_without_a_grid_of_their_own_line_up():
    other = ImageGrid((2, 3, 5), (6.0, 4.0, 3.0), (7.0, -2.0, 4.0))
    viewer = volshow({"own": (IMAGE[::2, ::2, ::2], other), "given": IMAGE}, grid=GRID)
    assert [p.grid for p in viewer.panels] == [other, GRID]
    with pytest.raises(ValueError, match="grid: expected the shape of the volume"):
        volshow([(IMAGE, other), IMAGE], grid=GRID)


def test_what_is_no_image_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a NIfTI image, got no such file"):
        volshow(tmp_path / "nowhere.nii")
    (tmp_path / "words.nii").write_text("no image")
    with pytest.raises(ValueError, match="expected a NIfTI image, got a file that cannot be read"):
        volshow(str(tmp_path / "words.nii"))
    with pytest.raises(ValueError, match=r"path: expected a name that ends in \.nii"):
        volshow({"title": "some words"})
    complex_image = nibabel.Nifti1Image(np.ones((2, 3, 4), np.complex64), np.eye(4))
    with pytest.raises(ValueError, match="vol 'k-space': expected real numbers, got a NIfTI image of complex64"):
        volshow({"k-space": complex_image})
    oblique = nibabel.Nifti1Image(IMAGE, [[1, 0.5, 0, 0], [-0.5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(ValueError, match="expected voxel axes along the world's"):
        volshow(oblique)


def test_too_many_voxels_are_thinned_and_the_panel_says_so(monkeypatch):
    monkeypatch.setattr(inputs, "MOST_VOXELS", 50)
    viewer = volshow(IMAGE, grid=GRID)
    panel = viewer.panels[0]
    assert panel.note == "too large: every 2nd voxel of each axis is shown"
    assert viewer.payload()[0]["panels"][0]["note"] == panel.note
    np.testing.assert_array_equal(panel.frame(0), IMAGE[::2, ::2, ::2])
    for thin, whole in zip(panel.grid.coordinates(), GRID.coordinates(), strict=True):
        np.testing.assert_allclose(thin, whole[::2])
    monkeypatch.setattr(inputs, "MOST_VOXELS", 8)
    assert volshow(IMAGE).panels[0].note.startswith("too large: every 4th voxel")
    monkeypatch.setattr(inputs, "MOST_VOXELS", IMAGE.size)
    assert volshow(IMAGE).panels[0].note == ""
