"""What every check shares: calling a student's function without falling over it, and finding words for what it did."""

import functools
import inspect
import linecache
import traceback
import warnings
from dataclasses import dataclass
from numbers import Number

import numpy as np

from pettutor.course.check import guidance, progress
from pettutor.course.check.verdict import NOT_YET, RIGHT, WRONG, Verdict

EXERCISES = {}  # name -> Exercise, in the order of the lessons
UNTOUCHED = "This is still the placeholder. Write your own in its place and run the cells again."


@dataclass(frozen=True)
class Exercise:
    """Name of the check, stem of its lesson's file, a short title, and the hints, one after the other."""

    name: str
    lesson: str
    title: str
    hints: tuple


class Mistake(Exception):
    """The answer is wrong; the message says how."""


class NotYet(Exception):
    """There is no answer yet."""


def exercise(lesson, title, *hints):
    """Make a check of a function: it returns words of praise, or raises `Mistake` or `NotYet`.

    The check gives a `Verdict` and never raises on an answer; Ctrl-C goes through.
    """

    def decorate(body):
        name = body.__name__
        EXERCISES[name] = Exercise(name, lesson, title, hints)

        @functools.wraps(body)
        def check(*answers):
            verdict = _judge(EXERCISES[name], body, answers)
            verdict.note = progress.record(name, state=verdict.kind)
            return verdict

        return check

    return decorate


def _judge(which, body, answers):
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if any(_is_blank(answer) or guidance.is_stub(which, answer) for answer in answers):
                raise NotYet(UNTOUCHED)
            return Verdict(which.name, RIGHT, body(*answers))
    except NotYet as found:
        return Verdict(which.name, NOT_YET, f"{found} The first hint: `pt.course.hint({which.name!r})`.")
    except Mistake as found:
        return Verdict(which.name, WRONG, str(found))
    except Exception as error:  # an answer of a kind that nobody thought of
        words = f"This answer could not be examined: {type(error).__name__}: {error}"
        return Verdict(which.name, WRONG, words)


def _is_blank(value):
    """Whether this is no answer: None, ..., or a number that is none."""
    if isinstance(value, tuple):
        return any(_is_blank(part) for part in value)
    return value is None or value is Ellipsis or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def call(function, *arguments):
    """What a student's function returns.

    Raises
    ------
    NotYet
        It returns nothing, ``...`` or not a number, or raises NotImplementedError.
    Mistake
        It is no function, or it stopped with an error, which is named together with its line.
    """
    if not callable(function):
        raise Mistake(
            f"Expected the function itself, got {describe(function)}: hand over its name, without brackets behind it."
        )
    try:
        result = function(*arguments)
    except NotImplementedError:
        raise NotYet(UNTOUCHED) from None
    except (Exception, SystemExit) as error:
        raise Mistake(_stopped(error, function)) from None
    if inspect.isgenerator(result):
        raise Mistake("Your function is a generator: it uses `yield`, where `return` is needed.")
    if _is_blank(result):
        is_nan = isinstance(result, float | np.floating)
        raise NotYet(
            "So far it gives NaN, which is not a number."
            if is_nan
            else "So far nothing comes back: is it not written yet, or is a `return` missing?"
        )
    return result


def _stopped(error, function):
    """An error inside a student's function in words, with its line."""
    files = {code.co_filename for code in guidance.codes_of(function).values()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    if "expected finite" in message:
        message += ". A number was divided by 0 just before, in a gap or where no line crosses: use `ratio`"
    if "shape" in message:
        message += ". (The check has small data of its own, so its shapes are not those of the lesson)"
    if not frames:
        return f"Your code could not be called: {message}"
    frame = frames[-1]
    line = linecache.getline(frame.filename, frame.lineno).strip()
    return f"Your code stopped in line {frame.lineno} of its cell{f', `{line}`' if line else ''}: {message}"


def keras_here():
    """Keras, for the checks of what works on its tensors.

    Raises
    ------
    NotYet
        It is not here, or does not start.
    """
    from pettutor.networks.backend import load_keras

    try:
        return load_keras()
    except ImportError as error:
        raise NotYet(f"This check needs Keras, which is not here: {error}.") from None


def describe(value):
    """A value in a few words, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, Number | str | None):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def numbers(value, name, shape, not_finite=""):
    """A student's array in float64.

    Raises
    ------
    Mistake
        No numbers, another shape, or values that are not finite (``not_finite`` says what is likely behind it).
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise Mistake(f"{name}: expected an array of numbers, got {describe(value)}.") from None
    if array.shape != tuple(shape):
        raise Mistake(f"{name}: expected shape {tuple(shape)}, got {array.shape}.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise Mistake(f"{name}: expected finite numbers, got {bad} that are infinite or not a number. {not_finite}")
    return array


def number(value, name):
    """A student's number as a float.

    Raises
    ------
    Mistake
        It is no single number, or not finite.
    NotYet
        It is not a number at all (NaN).
    """
    value = numbers(value, name, ()) if not _is_blank(value) else _no_answer()
    return float(value)


def _no_answer():
    raise NotYet(UNTOUCHED)


def pair(value, names):
    """Two values that a student's function returns together; ``names`` says which, for the message."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        got = f"{len(value)} of them" if isinstance(value, tuple | list) else describe(value)
        raise Mistake(f"Return two values, {names}: got {got}.")
    return tuple(value)


def near(got, wanted, tolerance=1e-3):
    """Whether two arrays agree to a part of the largest absolute value of the second."""
    got, wanted = np.asarray(got, float), np.asarray(wanted, float)
    if got.shape != wanted.shape or not np.isfinite(wanted).all():
        return False
    return bool(np.abs(got - wanted).max() <= tolerance * max(np.abs(wanted).max(), 1e-30))


def recognise(got, mistakes, tolerance=1e-3):
    """Raise the `Mistake` whose result this is; ``mistakes`` gives the result by the words. Else do nothing."""
    for words, result in mistakes.items():
        if near(got, result, tolerance):
            raise Mistake(words)


def unchanged(before, after, name):
    """Raise a `Mistake` if a function has changed an array that was given to it."""
    if not np.array_equal(before, after):
        raise Mistake(
            f"Your function changes `{name}`, which belongs to its caller: `{name} *= ...` writes into the array. "
            f"Write `{name} = {name} * ...`, which makes a new one."
        )
