"""Geometry: where voxels and crystals are. Lengths in mm, world axes (z, y, x), origin at the scanner's centre."""

from pettutor.geometry.grid import ImageGrid
from pettutor.geometry.scanner import Scanner, Segment

__all__ = ["ImageGrid", "Scanner", "Segment"]
