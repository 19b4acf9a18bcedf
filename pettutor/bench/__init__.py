"""``pettutor bench``: how fast projector and reconstruction are on this machine, their memory, and what bounds them.

Every case runs in a fresh process (`worker`), so that its peak memory is its own and nothing is warm by accident. What
comes back are flat records (`report`), kept as JSON or shown as tables (`tables`). Nothing here passes or fails.
"""

from pettutor.bench.plan import PARTS, Plan
from pettutor.bench.report import load_report, run_bench
from pettutor.bench.tables import as_markdown, as_text

__all__ = ["PARTS", "Plan", "as_markdown", "as_text", "load_report", "run_bench"]
