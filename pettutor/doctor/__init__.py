"""What works on this machine and what does not, each fault with the command that mends it.

Heavy or breakable things (frameworks, compilers, GPU drivers) are tried in processes of their own, all at once and with
a time limit, so that a broken one cannot take the examination down with it.
"""

from pettutor.doctor.examination import TIME_LIMIT, course_runs, examine, report
from pettutor.doctor.findings import NO, WARN, YES, Check
from pettutor.doctor.mending import install_extra, pip_command, tensorflow_builds

__all__ = [
    "NO",
    "TIME_LIMIT",
    "WARN",
    "YES",
    "Check",
    "course_runs",
    "examine",
    "install_extra",
    "pip_command",
    "report",
    "tensorflow_builds",
]
