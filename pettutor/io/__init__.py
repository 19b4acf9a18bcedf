"""Reading and writing images and raw data in the formats that scanners and other PET programs use."""

from pettutor.io.listmode import ListMode, read_listmode
from pettutor.io.listmode_writing import write_listmode
from pettutor.io.nifti import from_nibabel, load_nifti, save_nifti
from pettutor.io.normalisation import Normalisation, example_normalisation, read_normalisation, write_normalisation

__all__ = [
    "ListMode",
    "Normalisation",
    "example_normalisation",
    "from_nibabel",
    "load_nifti",
    "read_listmode",
    "read_normalisation",
    "save_nifti",
    "write_listmode",
    "write_normalisation",
]
