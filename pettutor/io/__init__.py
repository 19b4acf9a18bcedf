"""Reading and writing images in the formats that other PET programs use."""

from pettutor.io.nifti import load_nifti, save_nifti

__all__ = ["load_nifti", "save_nifti"]
