"""The classroom kit: all that a machine without a network needs for the course, in one folder or on a stick.

`make_kit` gathers it, `check_kit` says what of it is missing or damaged. ``pettutor kit`` is their command.
"""

from pettutor.course.kit.make import check_kit, make_kit
from pettutor.course.kit.targets import EXTRAS, PLATFORMS, PYTHONS

__all__ = ["EXTRAS", "PLATFORMS", "PYTHONS", "check_kit", "make_kit"]
