"""Reconstruction algorithms: each knows only the operator contract, never the projector."""

from pettutor.reconstruction.bsrem import bsrem
from pettutor.reconstruction.dictionary import Dictionary, PatchCode, learn_dictionary
from pettutor.reconstruction.dictionary_map import dictionary_map
from pettutor.reconstruction.kernel_em import kernel_em
from pettutor.reconstruction.kernel_matrix import KernelMatrix, mr_kernel
from pettutor.reconstruction.likelihood import log_likelihood
from pettutor.reconstruction.map_em import map_em
from pettutor.reconstruction.mlem import mlem
from pettutor.reconstruction.osem import osem
from pettutor.reconstruction.post_filter import best_gaussian, gaussian_at_noise
from pettutor.reconstruction.priors import Bowsher, Reference, RelativeDifference, Smoothness
from pettutor.reconstruction.record import Record

__all__ = [
    "Bowsher",
    "Dictionary",
    "KernelMatrix",
    "PatchCode",
    "Record",
    "Reference",
    "RelativeDifference",
    "Smoothness",
    "best_gaussian",
    "bsrem",
    "dictionary_map",
    "gaussian_at_noise",
    "kernel_em",
    "learn_dictionary",
    "log_likelihood",
    "map_em",
    "mlem",
    "mr_kernel",
    "osem",
]
