"""The projector: line integrals through an image along a scanner's lines of response, and their adjoint."""

from pettutor.projector.events import CrystalFaces
from pettutor.projector.footprints import MODELS
from pettutor.projector.listmode import ListmodeProjector, lines_of_bins
from pettutor.projector.matrix import StoredMatrix
from pettutor.projector.projector import Projector

__all__ = ["MODELS", "CrystalFaces", "ListmodeProjector", "Projector", "StoredMatrix", "lines_of_bins"]
