"""The one line that every examination gives."""

from dataclasses import dataclass

YES, WARN, NO = "yes", "warn", "no"


@dataclass(frozen=True)
class Check:
    """One line of the examination.

    Attributes
    ----------
    name, detail : str
        What was looked at, and what was found.
    state : {"yes", "warn", "no"}
        Works; works with a restriction, or could not be told; does not work.
    mend : str
        The command (or the deed) that mends a "no".
    needed : bool
        Whether the course on the CPU needs it.
    """

    name: str
    state: str
    detail: str
    mend: str = ""
    needed: bool = False
