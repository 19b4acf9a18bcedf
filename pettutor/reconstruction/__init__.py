"""Reconstruction algorithms: each knows only the operator contract, never the projector."""

from pettutor.reconstruction.mlem import mlem
from pettutor.reconstruction.record import Record

__all__ = ["Record", "mlem"]
