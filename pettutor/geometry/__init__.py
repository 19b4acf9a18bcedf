"""Geometry: where voxels and crystals are. Lengths in mm, world axes (z, y, x), origin at the scanner's centre."""

from pettutor.geometry.grid import ImageGrid
from pettutor.geometry.scanner import Scanner, Segment
from pettutor.geometry.time_of_flight import TimeOfFlight

__all__ = ["ImageGrid", "Scanner", "Segment", "TimeOfFlight"]
