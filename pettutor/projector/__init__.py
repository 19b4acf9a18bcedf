"""The projector: line integrals through an image along a scanner's lines of response, and their adjoint."""

from pettutor.projector.projector import MODELS, Projector

__all__ = ["MODELS", "Projector"]
