"""Reconstruction algorithms: each knows only the operator contract, never the projector."""

from pettutor.reconstruction.map_em import map_em
from pettutor.reconstruction.mlem import mlem
from pettutor.reconstruction.osem import osem
from pettutor.reconstruction.priors import Bowsher, Reference, Smoothness
from pettutor.reconstruction.record import Record

__all__ = ["Bowsher", "Record", "Reference", "Smoothness", "map_em", "mlem", "osem"]
