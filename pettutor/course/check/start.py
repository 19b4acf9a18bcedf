"""Checks of lesson 0: another head on the same grid, and a scan with a tenth of the counts."""

import functools

import numpy as np

from pettutor.course.check.exercise import Mistake, NotYet, call, describe, exercise

LESSON = "00_start_here"
TRUES = 3e5  # of the check's own scan


@exercise(
    LESSON,
    "another patient",
    "The first cell of *The object* loads subject 0: `pt.load_subject(...)`, and puts it on a grid: `.on(grid)`.",
    '`return pt.load_subject("mni:1").on(grid)`.',
)
def another_patient(another_patient):
    """Check a phantom: ``another_patient(grid)`` gives subject "mni:1" on that grid.

    Parameters
    ----------
    another_patient : function
        grid: ImageGrid; gives a Phantom.

    Returns
    -------
    Verdict
    """
    grid = _grid()
    found = call(another_patient, grid)
    if hasattr(found, "on"):
        raise Mistake("This is the subject itself, a head without voxels. Put it on the grid: `.on(grid)`.")
    if not hasattr(found, "subject") or not hasattr(found, "grid"):
        raise Mistake(f"Return the whole phantom that `.on(grid)` gives, not one of its images: got {describe(found)}.")
    if found.grid != grid:
        raise Mistake("It is on another grid. Use the one that your function is given: `.on(grid)`.")
    if found.subject.name == "mni:0":
        raise Mistake('This is subject 0 again: the other one is called "mni:1".')
    if found.subject.name != "mni:1":
        raise Mistake(f"This is subject {found.subject.name}. Subject mni:1 was asked for.")
    if found.lesions:
        raise Mistake("There are lesions in it. The plain head was asked for, without `with_lesions`.")
    return "Another head, in the same voxels as the first, so that the two can be compared side by side."


@exercise(
    LESSON,
    "fewer counts",
    "As in *What the scanner counts*, but with `counts=`: a tenth of the trues that the function is given.",
    "`return pt.simulate(truth, X, counts=trues / 10, seed=1)`.",
)
def short_scan(short_scan):
    """Check a scan: ``short_scan(truth, X, trues)`` is one with a tenth of the trues.

    Parameters
    ----------
    short_scan : function
        truth: Phantom; X: projector; trues: float, expected true pairs of the long scan; gives a Simulation.

    Returns
    -------
    Verdict
    """
    truth, X, right = _long_scan()
    found = call(short_scan, truth, X, TRUES)
    if not hasattr(found, "trues") or not hasattr(found, "prompts"):
        raise Mistake(f"Return the whole scan that `pt.simulate` gives: got {describe(found)}.")
    if found.prompts.shape != X.out_shape:
        raise Mistake(f"Simulate with the X that is given: expected {X.out_shape}, got {found.prompts.shape}.")
    _explain_counts(float(found.trues.sum(dtype=np.float64)) / TRUES)
    if not np.array_equal(found.prompts, np.rint(found.prompts)):
        raise Mistake("The prompts are not whole numbers: a short scan is counted anew, not an old one divided.")
    if np.allclose(found.trues, right.trues, rtol=1e-4, atol=1e-6):
        return "A tenth of the trues, of the same head in the same scanner: only the noise is another."
    raise Mistake(
        "A tenth of the trues, but other lines see them: another seed makes other detectors, and another head, blur or "
        "attenuation another scan. Change nothing but `counts`: `seed=1`."
    )


def _explain_counts(part):
    usual = {
        "These are all the counts again: expected a tenth, `counts=trues / 10`.": 1,
        "These are ten times as many. A tenth: divide by 10.": 10,
        "This is a hundredth of the trues: expected a tenth.": 0.01,
        "Nine tenths are left. A tenth was wanted.": 0.9,
        "`counts=` is missing, so this is the usual scan of this scanner.": 5e5 / TRUES,
        "This is a tenth of the usual scan of this scanner. Take a tenth of `trues`.": 5e4 / TRUES,
    }
    if abs(part / 0.1 - 1) < 1e-3:
        return
    for words, wrong in usual.items():
        if abs(part / wrong - 1) < 1e-3:
            raise Mistake(words)
    if part == 0:
        raise NotYet("There are no trues in it yet.")
    raise Mistake(f"Expected {TRUES / 10:,.0f} trues, a tenth of {TRUES:,.0f}, got {part * TRUES:,.0f}.")


def _grid():
    from pettutor.geometry import ImageGrid

    return ImageGrid((1, 42, 39), (4.0, 5.0, 5.0), (1.0, 3.0, -2.0))


@functools.cache
def _long_scan():
    """A head, a projector, and the short scan that should come out."""
    from pettutor.geometry import Scanner
    from pettutor.phantoms import load_subject
    from pettutor.projector import Projector
    from pettutor.simulation import simulate

    truth = load_subject("mni:0").on(_grid())
    X = Projector(Scanner.preset("slab"), truth.grid, device="cpu")
    return truth, X, simulate(truth, X, counts=TRUES / 10, seed=1)
