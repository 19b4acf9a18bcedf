"""Files that have to be there: every reader names what was expected and what came."""

from pathlib import Path

import pytest

import pettutor as pt
from pettutor.files import existing_file
from pettutor.networks.training.bcd_files import read_network


def test_an_existing_file_is_given_back_as_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "scan.bf").touch()
    assert existing_file("~/scan.bf", "a scan") == existing_file(tmp_path / "scan.bf", "a scan") == tmp_path / "scan.bf"
    assert isinstance(existing_file(str(tmp_path / "scan.bf"), "a scan"), Path)


@pytest.mark.parametrize(
    ("read", "name", "what"),
    [
        (lambda path: existing_file(path, "a scan"), "scan.bf", "a scan"),
        (pt.io.load_nifti, "image.nii.gz", "a NIfTI image"),
        (read_network, "bcd.npz", "the file of a BCD-Net"),
        (pt.StoredMatrix.load, "matrix.npz", "a stored system matrix"),
    ],
)
def test_a_missing_file_and_a_folder_are_told_apart(tmp_path, read, name, what):
    with pytest.raises(FileNotFoundError, match=f"{name}: expected {what}, got no such file"):
        read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match=f"{name}: expected {what}, got a folder"):
        read(tmp_path / name)
