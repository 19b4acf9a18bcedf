"""Hints in steps, and solutions, both by the exercise's name; solutions are read from the lessons' own sources."""

import ast
import functools
import re
import textwrap
import types

from pettutor.course.check import progress

_given = {}  # name -> how many hints were shown in this session


class Guidance:
    """A piece of help that shows as text."""

    def __init__(self, title, words, code=False):
        self.title, self.words, self.code = title, words, code

    def __str__(self):
        return f"{self.title}\n{textwrap.indent(self.words, '    ') if self.code else self.words}"

    __repr__ = __str__

    def _repr_markdown_(self):
        return f"**{self.title}**\n\n" + (f"```python\n{self.words}\n```" if self.code else self.words)


def hint(name):
    """The next hint for an exercise: each call gives one more, and after the last it begins again.

    Parameters
    ----------
    name : str
        Of the exercise, as in ``pt.course.check.<name>``.

    Returns
    -------
    Guidance
        Shows as text.

    Raises
    ------
    ValueError
        No such exercise; the message names those that there are.
    """
    hints = _exercise(name).hints
    number = _given.get(name, 0) % len(hints)
    _given[name] = number + 1
    progress.record(name, hints=number + 1)
    last = f" It was the last one; the solution is `pt.course.solution({name!r})`." if number + 1 == len(hints) else ""
    return Guidance(f"Hint {number + 1} of {len(hints)} for {name}", hints[number] + last)


def solution(name):
    """The solution of an exercise, from the lesson's own source.

    Parameters
    ----------
    name : str
        Of the exercise, as in ``pt.course.check.<name>``.

    Returns
    -------
    Guidance
        Shows as code: the lines that stand in place of the placeholder.

    Raises
    ------
    ValueError
        No such exercise; the message names those that there are.
    FileNotFoundError
        This installation carries no sources of the lessons.
    """
    which = _exercise(name)
    code = solution_lines(which)
    progress.record(name, solution=True)
    return Guidance(f"Solution of {name} (lesson {int(which.lesson[:2])}, {which.title})", code, code=True)


def _exercise(name):
    from pettutor.course.check.exercise import EXERCISES

    if name not in EXERCISES:
        raise ValueError(f"name: expected an exercise ({', '.join(EXERCISES)}), got {name!r}")
    return EXERCISES[name]


# ---- the lessons' sources ----


def cell_of(which):
    """The code cell of an exercise with all its marks: the last one with a solution before its check.

    Raises
    ------
    FileNotFoundError
        The source is missing.
    ValueError
        The lesson never calls the check, or holds no solution before it.
    """
    from pettutor.course.folder import lessons_folder

    source = lessons_folder() / "source" / f"{which.lesson}.py"
    before, found, _ = source.read_text(encoding="utf-8").partition(f"pt.course.check.{which.name}(")
    if not found:
        raise ValueError(f"{source.name}: expected a cell that calls pt.course.check.{which.name}, got none")
    cells = [cell for cell in re.split(r"^# %%.*\n", before, flags=re.M) if "# solution:" in cell]
    if not cells:
        raise ValueError(f"{source.name}: expected a solution before pt.course.check.{which.name}, got none")
    return cells[-1].strip("\n")


def solution_lines(which):
    """The lines of a solution alone, without indent."""
    from pettutor.course.build import CLOSE, OPEN, STUB

    lines, inside = [], False
    for line in cell_of(which).splitlines():
        mark = line.strip()
        if mark in (OPEN, CLOSE):
            inside = mark == OPEN
        elif inside and not mark.startswith(STUB):
            lines.append(line)
    return textwrap.dedent("\n".join(lines))


def version_of_cell(which, *, solved):
    """The exercise's cell as the student's or as the solved notebook has it."""
    from pettutor.course.build import notebook_code

    return notebook_code(cell_of(which), which.lesson, solved=solved)


@functools.cache
def _stub_codes(which):
    """Compiled functions of the untouched cell, by their names; empty where the sources are missing."""
    try:
        module = compile(version_of_cell(which, solved=False), "stub", "exec")
    except (OSError, ValueError, SyntaxError):
        return {}
    return _nested(module)


def _nested(code):
    found = {}
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            found[part.co_qualname] = part
            found |= _nested(part)
    return found


def codes_of(answer):
    """Code objects of a function, or of a class's methods and properties, by their names."""
    answer = getattr(answer, "answer", answer)  # a check's own function that stands for the student's
    if isinstance(answer, type):
        members = [getattr(value, "fget", None) or value for value in vars(answer).values()]
        return {name: code for member in members for name, code in codes_of(member).items()}
    code = getattr(answer, "__code__", None)
    return {code.co_qualname: code} if code is not None else {}


def is_stub(which, answer):
    """Whether a function (or class) is still the one of the student's notebook, whatever its comments say."""
    mine, stubs = codes_of(answer), _stub_codes(which)
    return bool(mine) and all(name in stubs and _same(code, stubs[name]) for name, code in mine.items())


def _same(one, other):
    def essence(code):
        inner = [essence(c) for c in code.co_consts if isinstance(c, types.CodeType)]
        first, *others = code.co_consts or (None,)
        told = [] if first is None or isinstance(first, str) else [first]  # the first text is the docstring
        constants = [c for c in told + others if not isinstance(c, types.CodeType)]
        return code.co_code, repr(constants), code.co_names, code.co_varnames, inner

    return essence(one) == essence(other)


def names_in(answer):
    """Global names and attributes that a function uses: tells a call of the library from a hand-made update."""
    waiting, names = list(codes_of(answer).values()), set()
    while waiting:
        code = waiting.pop()
        names |= set(code.co_names)
        waiting += [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return names


def defines(cell, name):
    """The text of a function or class that a cell defines, with its decorators."""
    tree = ast.parse(cell)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_source_segment(cell, node)
    raise ValueError(f"expected a cell that defines {name}, got none")
