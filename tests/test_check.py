"""The checks of the exercises: they pass the lessons' solutions, are polite to stubs, and name the usual mistakes.

A wrong answer is the lesson's own cell with other lines where the solution stands, so it is just what a student writes.
"""

import ast
import functools
import html
import inspect
import os
import re
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from wrong_answers import WRONG

import pettutor as pt
from pettutor.course.check import guidance
from pettutor.course.check.exercise import EXERCISES, Mistake, call, numbers
from pettutor.course.check.verdict import NOT_YET, RIGHT, Verdict
from pettutor.course.check.verdict import WRONG as NOT_RIGHT

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SECONDS = 20  # that a check may take, on a busy machine


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("PETTUTOR_PROGRESS", str(tmp_path / "progress.json"))


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """The projector is compiled, once on a new machine: that is not the time of a check."""
    X = pt.Projector(pt.Scanner.preset("slab"), pt.ImageGrid((1, 8, 8), (4.0, 20.0, 20.0)), device="cpu")
    X(np.ones(X.in_shape, np.float32))


def source(which):
    return (NOTEBOOKS / "source" / f"{which.lesson}.py").read_text(encoding="utf-8")


def answer_name(which):
    """What the lesson hands over to the check."""
    return re.search(rf"^pt\.course\.check\.{which.name}\((\w+)\)$", source(which), re.M).group(1)


def answer_of(which, cell):
    """What a cell defines for the check; only definitions, and the lines of the answer itself, are run."""
    names = {"np": np, "pt": pt, "ratio": ratio, "convolve2d": convolve2d, "over": ratio}
    if re.search(r"\bops\.", cell):
        names["ops"] = pt.networks.load_keras().ops
    name = answer_name(which)
    for node in ast.parse(cell).body:
        targets = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
        needed = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom)
        if needed or (targets and isinstance(node, ast.Assign) and name not in names):
            try:
                exec(compile(ast.Module([node], []), "<cell>", "exec"), names)
            except NameError:  # works with the lesson's data, which an answer in a function does not need
                assert name not in targets, f"{name} needs the lesson's data"
    return names[name]


def ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(b), where=b > 0)


def with_lines(which, lines):
    """The exercise's cell with other lines in place of the solution."""
    before, rest = guidance.cell_of(which).split("# solution:", 1)
    after = rest.split("# end of solution", 1)[1]
    indent = before.rpartition("\n")[2]
    return before.rpartition("\n")[0] + "\n" + textwrap.indent(textwrap.dedent(lines).strip("\n"), indent) + after


def check(which, answer):
    start = time.perf_counter()
    verdict = getattr(pt.course.check, which.name)(answer)
    assert isinstance(verdict, Verdict) and time.perf_counter() - start < SECONDS
    return verdict


@functools.cache
def verdict_on(which, lines):
    """Of the exercise's cell with these lines in place of the solution; two tests look at it."""
    return check(which, answer_of(which, with_lines(which, lines)))


each = pytest.mark.parametrize("which", EXERCISES.values(), ids=EXERCISES)


@each
def test_the_solution_is_right(which):
    verdict = check(which, answer_of(which, guidance.version_of_cell(which, solved=True)))
    assert verdict and verdict.kind == RIGHT, verdict


@each
def test_the_untouched_stub_is_not_yet(which):
    verdict = check(which, answer_of(which, guidance.version_of_cell(which, solved=False)))
    assert not verdict and verdict.kind == NOT_YET and f"pt.course.hint('{which.name}')" in str(verdict), verdict


@each
@pytest.mark.parametrize("lines", ["pass", "...", "raise NotImplementedError", "return None", "return ..."])
def test_an_empty_function_is_not_yet(which, lines):
    """Also one that returns its start value, as a loop with nothing in it does."""
    answer = answer_of(which, guidance.version_of_cell(which, solved=False))
    if not callable(answer):
        lines, answer = "...", ...
        assert check(which, answer).kind == NOT_YET and check(which, None).kind == NOT_YET
        return
    verdict = check(which, answer_of(which, with_lines(which, lines)))
    assert verdict.kind == NOT_YET, verdict


@pytest.mark.parametrize(
    "which, lines, words",
    [
        pytest.param(EXERCISES[name], lines, words, id=f"{name}-{number}")
        for name, wrong in WRONG.items()
        for number, (lines, words) in enumerate(wrong, 1)
    ],
)
def test_a_wrong_answer_is_named(which, lines, words):
    verdict = verdict_on(which, lines)
    assert not verdict and verdict.kind == NOT_RIGHT and re.search(words, verdict.words), verdict


@each
def test_three_typical_mistakes_have_words_of_their_own(which):
    assert len({words for _, words in WRONG[which.name]}) >= 3
    said = [verdict_on(which, lines).words for lines, _ in WRONG[which.name]]
    assert len(set(said)) >= 3


class Odd:
    """Whatever is asked of it, it fails in a way that nobody expects."""

    def __array__(self, *arguments, **settings):
        raise RuntimeError("odd")

    def __call__(self, *arguments):
        return self

    def __len__(self):
        raise RuntimeError("odd")


@each
@pytest.mark.parametrize(
    "answer",
    [
        Odd(),
        lambda *arguments: Odd(),
        1e30,
        -1.0,
        "text",
        [],
        {},
        (),
        np.zeros((2, 3)),
        object(),
        print,
        int,
        lambda: 0,
    ],
)
def test_a_check_never_raises(which, answer):
    assert not check(which, answer)


@each
def test_an_error_in_the_answer_becomes_words_with_its_line(which):
    answer = answer_of(which, guidance.version_of_cell(which, solved=True))
    if not callable(answer):
        pytest.skip("the answer is a number")
    verdict = check(which, answer_of(which, with_lines(which, "return no_such_name")))
    line = guidance.cell_of(which).split("# solution:")[0].count("\n") + 1
    assert verdict.kind == NOT_RIGHT and f"line {line} of its cell" in verdict.words, verdict
    assert "NameError: name 'no_such_name' is not defined" in verdict.words


# ---- the lessons ----


@functools.cache
def code_cells(path):
    import nbformat

    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@each
def test_every_check_has_its_cell_in_both_notebooks(which):
    for folder in (NOTEBOOKS, NOTEBOOKS / "solutions"):
        cells = code_cells(folder / f"{which.lesson}.ipynb")
        assert cells.count(f"pt.course.check.{which.name}({answer_name(which)})") == 1


def test_lessons_call_only_checks_that_there_are_and_speak_of_help_once():
    called = {}
    for path in sorted((NOTEBOOKS / "source").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        names = re.findall(r"^pt\.course\.check\.(\w+)\(", text, re.M)
        called |= dict.fromkeys(names, path.stem)
        if names:
            for helper in ("hint", "solution"):
                assert len(re.findall(rf"pt\.course\.{helper}\(", text)) == 1, f"{path.name}: {helper}"
    assert called == {which.name: which.lesson for which in EXERCISES.values()}


def test_the_list_in_the_docstring_is_complete():
    assert set(EXERCISES) == set(pt.course.check.__all__) - {"Verdict"}
    for name in EXERCISES:
        assert f"`{name}`" in pt.course.check.__doc__


def test_the_list_in_the_documentation_is_complete():
    text = (NOTEBOOKS.parent / "docs" / "exercises.md").read_text(encoding="utf-8")
    listed = {name: int(row[1]) for row in re.finditer(r"^\| (\d+) .*?\| (.*) \|$", text, re.M)
              for name in re.findall(r"`(\w+)`", row[2])}  # fmt: skip
    assert listed == {name: int(which.lesson[:2]) for name, which in EXERCISES.items()}


# ---- hints and solutions ----


@each
def test_hints_come_one_by_one_and_begin_again(which, monkeypatch):
    monkeypatch.setattr(guidance, "_given", {})
    shown = [str(pt.course.hint(which.name)) for _ in range(len(which.hints) + 1)]
    assert len(which.hints) >= 2 and shown[0] == shown[-1] and len(set(shown)) == len(which.hints)
    assert all(hint in words for hint, words in zip(which.hints, shown, strict=False))
    assert f"pt.course.solution('{which.name}')" in shown[-2] and "solution" not in shown[0]


@each
def test_the_solution_comes_from_the_lesson(which):
    solved = guidance.version_of_cell(which, solved=True)
    shown = pt.course.solution(which.name)
    assert "stub" not in shown.words and shown.words == textwrap.dedent(shown.words)
    for line in shown.words.splitlines():
        assert line.strip() in solved
    assert shown.words in str(shown).replace("\n    ", "\n") and "```python" in shown._repr_markdown_()


@pytest.mark.parametrize("function", [pt.course.hint, pt.course.solution])
def test_help_for_an_unknown_exercise(function):
    with pytest.raises(ValueError, match=r"name: expected an exercise \(.*em_update.*\), got 'nothing'"):
        function("nothing")


def test_without_sources_checks_work_and_solutions_say_so(monkeypatch, tmp_path):
    from pettutor.course import folder

    (tmp_path / "00_a.ipynb").write_text("{}")
    monkeypatch.setattr(folder, "lessons_folder", lambda: tmp_path)
    guidance._stub_codes.cache_clear()
    try:
        assert pt.course.check.filter_search(lambda error_of: (10, 0.0)).kind == NOT_YET
        with pytest.raises(FileNotFoundError):
            pt.course.solution("em_update")
    finally:
        guidance._stub_codes.cache_clear()


# ---- verdicts, and calling a student's function ----


def test_verdicts_are_text_and_boxes_without_markup_of_the_answer():
    verdict = Verdict("x", NOT_RIGHT, "use `a < b` & <script>", note="kept <aside>")
    assert str(verdict) == repr(verdict) == "✘ Not right (x): use `a < b` & <script>\n(kept <aside>)"
    shown = verdict._repr_html_()
    assert "<code>a &lt; b</code> &amp; &lt;script&gt;" in shown and html.escape("kept <aside>") in shown
    marked = Verdict("x", NOT_RIGHT, "take *both*, `a *b* c`, not 2 * 3 * 4 or **c**")._repr_html_()
    assert "take <em>both</em>, <code>a *b* c</code>, not 2 * 3 * 4 or **c**" in marked
    assert "color: inherit" in shown and "background: rgba(" in shown  # the notebook's own text colour, dark or light
    assert [bool(Verdict("x", kind, "")) for kind in (RIGHT, NOT_YET, NOT_RIGHT)] == [True, False, False]
    with pytest.raises(ValueError, match="kind: expected one of 'right', 'not yet', 'wrong', got 'good'"):
        Verdict("x", "good", "")


def joseph(at, voxels):
    return np.clip(1 - np.abs(voxels - at), 0, None)


@settings(deadline=None, max_examples=40)
@given(scale=st.floats(0.1, 3), shift=st.floats(-2, 2))
def test_shares_that_are_scaled_or_shifted_are_noticed(scale, shift):
    near = abs(scale - 1) < 1e-7 and abs(shift) < 1e-7
    far = abs(scale - 1) > 0.01 or abs(shift) > 0.01
    verdict = pt.course.check.joseph_weights(lambda at, voxels: scale * joseph(at + shift, voxels))
    assert verdict or not near
    assert not verdict or not far


def test_ctrl_c_works():
    def interrupted(y, A, iterations):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pt.course.check.em_update(interrupted)


def test_exit_in_an_answer_does_not_end_the_notebook():
    def leaving(y, A, iterations):
        raise SystemExit(3)

    assert "SystemExit: 3" in pt.course.check.em_update(leaving).words


@pytest.mark.parametrize("value", ["a", ["a"], None, object(), [[1], [1, 2]], np.zeros(3, complex), np.zeros((2, 2))])
def test_numbers_are_asked_for_in_words(value):
    with pytest.raises(Mistake, match="x: expected"):
        numbers(value, "x", (3,))


def test_calls_name_what_was_handed_over():
    with pytest.raises(Mistake, match=r"Expected the function itself, got an array of shape \(2,\)"):
        call(np.zeros(2))
    with pytest.raises(Mistake, match="uses `yield`"):
        call(lambda: (yield 3))
    with pytest.raises(Mistake, match="could not be called: TypeError"):
        call(lambda x: x)


def test_an_answer_that_gives_nothing_back_is_told_so():
    assert "is a `return` missing?" in pt.course.check.em_update(lambda y, A, iterations: None).words
    assert "gives NaN" in pt.course.check.noise_at_contrast(lambda curve, crc: float("nan")).words


def test_a_check_that_needs_keras_says_so_where_there_is_none(monkeypatch):
    def missing():
        raise ImportError("expected a backend for Keras, found none")

    monkeypatch.setattr("pettutor.networks.backend.load_keras", missing)
    verdict = pt.course.check.dual_correction(lambda ratio, c, dual: ratio)
    assert verdict.kind == NOT_YET and "needs Keras, which is not here: expected a backend" in verdict.words


def test_the_signature_and_the_docstring_stay():
    assert list(inspect.signature(pt.course.check.em_update).parameters) == ["my_mlem"]
    for name in EXERCISES:
        words = getattr(pt.course.check, name).__doc__
        assert "Parameters\n" in words and "Returns\n" in words


def test_checks_need_numpy_and_scipy_only():
    from processes import run_python

    code = "import sys, pettutor as pt; pt.course.check.em_update(None); print(' '.join(sys.modules))"
    loaded = set(run_python(code, PETTUTOR_PROGRESS="off").split())
    assert not loaded & {"numba", "keras", "tensorflow", "matplotlib", "pandas", "sklearn", "cupy"}
    assert os.environ["PETTUTOR_PROGRESS"] != "off"
