"""What lies under everything: said once, and where it is read."""

import io
import sys

from pettutor import arrays


def test_what_runs_is_said_once_and_in_notebooks_not_as_an_error(monkeypatch):
    class NotebookStream(io.StringIO):
        __module__ = "ipykernel.iostream"

    def said(error_stream, *texts):
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        monkeypatch.setattr(sys, "stderr", error_stream)
        for text in texts:
            arrays.announce_once(text)
        return sys.stdout.getvalue(), sys.stderr.getvalue()

    monkeypatch.setattr(arrays, "_announced", set())
    assert said(io.StringIO(), "one", "one") == ("", "pettutor: one\n")
    assert said(NotebookStream(), "one", "two") == ("pettutor: two\n", "")
