"""NIfTI: round trips, and what nibabel itself says of the files."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pettutor.geometry import ImageGrid
from pettutor.io import load_nifti, save_nifti

nibabel = pytest.importorskip("nibabel")
GRID = ImageGrid((4, 6, 5), (2.03125, 2.08626, 1.5), (10.0, -20.5, 3.25))


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    voxel_size=st.tuples(*[st.integers(1000, 90000).map(lambda n: n / 10000)] * 3),
    centre=st.tuples(*[st.integers(-500000, 500000).map(lambda n: n / 1000)] * 3),
    frames=st.sampled_from([None, 1, 3]),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_round_trip(tmp_path_factory, shape, voxel_size, centre, frames, suffix):
    grid = ImageGrid(shape, voxel_size, centre)
    image = drawn(shape if frames is None else (frames, *shape))
    path = save_nifti(tmp_path_factory.mktemp("nifti") / f"image{suffix}", image, grid)
    back, there = load_nifti(path)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, image)
    assert there.shape == grid.shape
    assert there.voxel_size == grid.voxel_size
    np.testing.assert_allclose(there.centre, grid.centre, atol=2e-4)


def test_another_program_finds_every_voxel_where_it_is(tmp_path):
    """World of NIfTI: x to the right, y to the front, z up; our y goes to the back."""
    image = drawn(GRID.shape)
    volume = nibabel.load(save_nifti(tmp_path / "a.nii.gz", image, GRID))
    assert volume.header.get_xyzt_units()[0] == "mm"
    assert nibabel.aff2axcodes(volume.affine) == ("R", "P", "S")
    for k, j, i in ((0, 0, 0), (3, 1, 4), (2, 5, 0)):
        z, y, x = (c[n] for c, n in zip(GRID.coordinates(), (k, j, i), strict=True))
        voxel = np.linalg.inv(volume.affine) @ (x, -y, z, 1)
        index = tuple(np.rint(voxel[:3]).astype(int))
        np.testing.assert_allclose(voxel[:3], index, atol=1e-4)
        assert volume.get_fdata()[index] == pytest.approx(image[k, j, i])


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_files_of_any_orientation_are_read_alike(tmp_path, codes):
    image = drawn(GRID.shape)
    volume = nibabel.load(save_nifti(tmp_path / "a.nii", image, GRID))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(volume.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    nibabel.save(volume.as_reoriented(turn), tmp_path / "b.nii")
    back, grid = load_nifti(tmp_path / "b.nii")
    np.testing.assert_array_equal(back, image)
    assert grid == GRID


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_and_labels(tmp_path, dtype):
    mask = drawn(GRID.shape) > 0.3
    path = save_nifti(tmp_path / "mask.nii.gz", mask.astype(dtype), GRID)
    assert nibabel.load(path).get_data_dtype() == np.uint8
    np.testing.assert_array_equal(load_nifti(path)[0] > 0, mask)


def test_errors_when_saving(tmp_path):
    image = drawn(GRID.shape)
    with pytest.raises(ValueError, match=r"path: expected a name that ends in \.nii or \.nii\.gz, got 'a\.img'"):
        save_nifti(tmp_path / "a.img", image, GRID)
    with pytest.raises(ValueError, match=r"image: expected shape \(4, 6, 5\) of the grid.*got \(6, 4, 5\)"):
        save_nifti(tmp_path / "a.nii", drawn((6, 4, 5)), GRID)
    with pytest.raises(ValueError, match="image: expected shape"):
        save_nifti(tmp_path / "a.nii", drawn((2, 2, *GRID.shape)), GRID)
    with pytest.raises(TypeError, match="image: expected dtype float32"):
        save_nifti(tmp_path / "a.nii", image.astype(float), GRID)
    with pytest.raises(FileNotFoundError, match="expected a folder"):
        save_nifti(tmp_path / "none" / "a.nii", image, GRID)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = save_nifti(tmp_path / "a.nii.gz", drawn(GRID.shape), GRID)
    before = path.read_bytes()

    def full(volume, name):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nibabel, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_nifti(path, drawn(GRID.shape, 1), GRID)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.nii.gz"]


def test_errors_when_loading(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a NIfTI image, got no such file"):
        load_nifti(tmp_path / "a.nii")
    path = save_nifti(tmp_path / "a.nii.gz", drawn((40, 30, 20)), ImageGrid((40, 30, 20), (1, 2, 3)))
    whole = path.read_bytes()
    for name, content in (("page.nii", b"<html>"), ("cut.nii.gz", whole[: len(whole) // 2]), ("empty.nii", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="expected a NIfTI image, got a file that cannot be read"):
            load_nifti(tmp_path / name)
    c, s = np.cos(0.3), np.sin(0.3)
    oblique = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(drawn((3, 4, 5)), oblique), tmp_path / "oblique.nii")
    with pytest.raises(ValueError, match="oblique affine"):
        load_nifti(tmp_path / "oblique.nii")
    nibabel.save(nibabel.Nifti1Image(drawn((3, 4)), np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(ValueError, match="expected a 3-D or 4-D image, got 2 dimensions"):
        load_nifti(tmp_path / "flat.nii")
