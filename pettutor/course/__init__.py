"""The course around the library: the lessons, where they are, the size they run at, and the exercises' checks.

``pettutor.course.build`` (for authors) makes the notebooks from their percent scripts.
"""

from pettutor.course import check
from pettutor.course.check.guidance import hint, solution
from pettutor.course.check.overview import class_overview, progress
from pettutor.course.folder import CopyReport, copy_lessons, lessons, lessons_folder
from pettutor.course.raw_scan import RawScan, find_raw_scan, simulate_raw_scan
from pettutor.course.settings import SIZES, size, training_folder
from pettutor.course.stored import stored_curves, stored_regimes, stored_rows, stored_step_costs, study_file

__all__ = [
    "SIZES",
    "CopyReport",
    "RawScan",
    "check",
    "class_overview",
    "copy_lessons",
    "find_raw_scan",
    "hint",
    "lessons",
    "lessons_folder",
    "progress",
    "simulate_raw_scan",
    "size",
    "solution",
    "stored_curves",
    "stored_regimes",
    "stored_rows",
    "stored_step_costs",
    "study_file",
    "training_folder",
]
