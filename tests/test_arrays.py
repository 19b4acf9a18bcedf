"""What lies under everything: said once, and where it is read."""

import io
import math
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
from tqdm import tqdm

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


def test_what_runs_has_a_line_of_its_own_beside_a_progress_bar(monkeypatch):
    monkeypatch.setattr(arrays, "_announced", set())
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with tqdm(total=2, desc="simulating", file=stream, ncols=60) as bar:
        bar.update()
        arrays.announce_once("projecting somewhere")
    lines = [line.split("\r")[-1] for line in stream.getvalue().split("\n")]
    assert "pettutor: projecting somewhere" in lines
    assert lines[-2].startswith("simulating: ")  # drawn again


@pytest.mark.parametrize("value", [3, 3.0, np.int16(3), np.float32(3), np.float64(3), np.array(3), Fraction(3)])
def test_what_is_a_number(value):
    number = arrays.check_number(value, "width: expected a number")
    assert number == 3 and type(number) is float


class Vector(np.ndarray):
    """Is read as a number where it holds but one, as CuPy's arrays are, and NumPy's were before 2.4."""

    def __float__(self):
        return float(self[0])


@pytest.mark.parametrize(
    "value",
    [None, True, np.True_, np.array(True), "3", b"3", np.array("3"), [3], np.ones(1), np.ones(1).view(Vector),
     [[1], [1, 2]], 3j, np.complex64(3), float("nan"), float("inf"), -1, pytest.param(10**400, id="too large")],
)  # fmt: skip
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=re.escape(f"width: expected a number >= 0, got {value!r:.80}")):
        arrays.check_number(value, "width: expected a number >= 0")


def test_the_ends_of_a_number():
    assert arrays.check_number(-2, "angle: expected a number", least=-math.inf) == -2
    assert arrays.check_number(0, "share: expected 0 … 1 (1 excluded)", below=1) == 0
    for value, ends in ((0, dict(zero=False)), (1, dict(below=1)), (-math.inf, dict(least=-math.inf))):
        with pytest.raises(ValueError, match=f"share: expected another, got {value}"):
            arrays.check_number(value, "share: expected another", **ends)
