"""The report of the demo: a page that opens offline, a figure, and the verdict in words."""

from pettutor.report.page import write_report
from pettutor.report.verdict import verdict

__all__ = ["verdict", "write_report"]
