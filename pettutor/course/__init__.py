"""The course around the library: the lessons, where they are, and the size they run at.

``pettutor.course.build`` (for authors) makes the notebooks from their percent scripts.
"""

from pettutor.course.folder import CopyReport, copy_lessons, lessons, lessons_folder
from pettutor.course.settings import SIZES, size
from pettutor.course.stored import stored_curves, stored_regimes, stored_rows, study_file

__all__ = [
    "SIZES",
    "CopyReport",
    "copy_lessons",
    "lessons",
    "lessons_folder",
    "size",
    "stored_curves",
    "stored_regimes",
    "stored_rows",
    "study_file",
]
