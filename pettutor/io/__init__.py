"""Reading and writing images in the formats that other PET programs use."""

from pettutor.io.nifti import from_nibabel, load_nifti, save_nifti

__all__ = ["from_nibabel", "load_nifti", "save_nifti"]
