"""What a check says: right, not yet, or wrong with the mistake that it recognised."""

import html
import re

RIGHT, NOT_YET, WRONG = "right", "not yet", "wrong"

# One line colour and one faint tint of it: the text keeps the notebook's own colour, so dark themes stay readable.
_LOOKS = {
    RIGHT: ("✔", "Right", "46, 160, 67"),
    NOT_YET: ("…", "Not yet", "56, 132, 222"),
    WRONG: ("✘", "Not right", "219, 109, 40"),
}


class Verdict:
    """The result of a check; true only when the answer is right.

    Parameters
    ----------
    exercise : str
        Name of the exercise.
    kind : {"right", "not yet", "wrong"}
    words : str
        A sentence or two; code in `backticks`, a word in *stars* for emphasis.
    note : str
        Something beside the answer, such as a progress file that could not be written.

    Raises
    ------
    ValueError
        Another kind.
    """

    def __init__(self, exercise, kind, words, note=""):
        if kind not in _LOOKS:
            raise ValueError(f"kind: expected one of {', '.join(map(repr, _LOOKS))}, got {kind!r}")
        self.exercise, self.kind, self.words, self.note = exercise, kind, words, note

    def __bool__(self):
        return self.kind == RIGHT

    def __str__(self):
        mark, title, _ = _LOOKS[self.kind]
        note = f"\n({self.note})" if self.note else ""
        return f"{mark} {title} ({self.exercise}): {self.words}{note}"

    __repr__ = __str__

    def _repr_html_(self):
        mark, title, colour = _LOOKS[self.kind]
        note = f'<div style="opacity: 0.75; font-size: 90%">{_marked_up(self.note)}</div>' if self.note else ""
        return (
            f'<div style="border-left: 5px solid rgb({colour}); background: rgba({colour}, 0.13); color: inherit; '
            f'padding: 0.5em 0.9em; margin: 0.3em 0; border-radius: 3px; max-width: 60em">'
            f"<b>{mark} {title}</b> · {_marked_up(self.words)}{note}</div>"
        )


def _marked_up(words):
    """Text as HTML: escaped, what stands in backticks as code, and a *word* between stars as emphasis."""
    parts = re.split(r"`([^`]+)`", html.escape(words, quote=False))  # text and code by turns
    return "".join(
        f"<code>{part}</code>" if number % 2 else re.sub(r"(?<![\w*])\*(\w+)\*(?![\w*])", r"<em>\1</em>", part)
        for number, part in enumerate(parts)
    )
