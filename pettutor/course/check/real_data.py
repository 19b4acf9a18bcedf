"""Checks of lesson 16: a word of list mode, singles from the fan sums, the normalisation of a bin."""

from types import SimpleNamespace

import numpy as np

from pettutor.course.check.exercise import Mistake, NotYet, call, describe, exercise, near, number, numbers, recognise

LESSON = "16_real_data"
PLANE, BINS = 86_688, 344


@exercise(
    LESSON,
    "a word of list mode",
    "Look at the highest bit first: `word >> 31` is 0 for an event. If it is 1, `word >> 29` is 4 for a time, 5 for "
    "singles.",
    "`word & (2**29 - 1)` keeps the lowest 29 bits, `value >> 19` drops the lowest 19. An address has 30 bits.",
    "`plane, rest = divmod(address, 86688)`, then `view, bin = divmod(rest, 344)`.",
)
def decode_word(decode):
    """Check the decoding of the mMR's list mode: ``decode(word)``.

    Parameters
    ----------
    decode : function
        word: int, 0 … 2³² - 1; gives ``("time", milliseconds)``, ``("singles", bucket, rate)``,
        ``("prompt", plane, view, bin)`` or ``("delayed", plane, view, bin)``.

    Returns
    -------
    Verdict
    """
    for right, word in (
        (("time", 73_291), 0b100 << 29 | 73_291),
        (("prompt", 41, 17, 203), 1 << 30 | 41 * PLANE + 17 * BINS + 203),
        (("delayed", 63, 250, 8), 63 * PLANE + 250 * BINS + 8),
        (("prompt", 4000, 0, 343), 1 << 30 | 4000 * PLANE + 343),
        (("singles", 201, 8 * 11_402), 0b101 << 29 | 201 << 19 | 11_402),
        (("singles", 5, 8 * 400_000), 0b101 << 29 | 5 << 19 | 400_000),
        (("time", 400_000_000), 0b100 << 29 | 400_000_000),
    ):
        got = call(decode, word)
        if not isinstance(got, tuple | list) or not len(got) or not isinstance(got[0], str):
            raise Mistake(f"Return a tuple that begins with a word, such as ('time', 73291). You gave {describe(got)}.")
        if got[0] != right[0]:
            _explain_kind(got[0], right[0], word)
        values = [number(value, "each number of the tuple") for value in got[1:]]
        if values != list(right[1:]):
            {"time": _explain_time, "singles": _explain_singles}.get(right[0], _explain_event)(values, right, word)
    return "All four kinds of words, and every bit in its place."


def _explain_kind(got, right, word):
    bits = f"{word:032b}"
    if {got, right} == {"prompt", "delayed"}:
        raise Mistake("Prompts and delayeds are exchanged: bit 30 is 1 for a prompt.")
    if got not in ("time", "singles", "prompt", "delayed"):
        raise Mistake(f"The first entry is one of 'time', 'singles', 'prompt' and 'delayed', not {got!r}.")
    if right in ("prompt", "delayed"):
        raise Mistake(f"{bits[0]}… is an event, since its highest bit is 0. You took it for {got}.")
    if got in ("prompt", "delayed"):
        raise Mistake(f"{bits[:3]}… begins with 1, so it is no event. Look at the highest bit before the one after it.")
    raise Mistake(f"{bits[:3]}… is a word of {right}: 100 is a time, 101 are singles. You took it for {got}.")


def _explain_time(values, right, word):
    if len(values) != 1:
        raise Mistake(f"A time has one number behind its word, the milliseconds. You gave {len(values)}.")
    usual = {
        word: "The three bits on top are still in the time: keep the lowest 29 only.",
        right[1] / 1000: "This is in seconds. Milliseconds are wanted.",
        right[1] % (1 << 19): "You kept 19 bits. A time has 29.",
    }
    raise Mistake(usual.get(values[0], f"The time in {word:032b}: expected {right[1]} ms, got {values[0]:g}."))


def _explain_singles(values, right, word):
    if len(values) != 2:
        raise Mistake(f"Singles have two numbers behind their word, bucket and rate. You gave {len(values)}.")
    _, bucket, rate = right
    if values == [rate, bucket]:
        raise Mistake("Bucket and rate are exchanged.")
    if values[0] == word >> 19:
        raise Mistake("The three bits on top are still in the bucket: keep the lowest 29 bits before you shift.")
    if values[0] != bucket:
        raise Mistake(f"The bucket in {word:032b}: expected {bucket} (bits 19 to 28), got {values[0]:g}.")
    if values[1] == rate // 8:
        raise Mistake("The rate is stored over 8. Multiply, or shift by 3 to the left.")
    if values[1] == 8 * (word & (2**29 - 1)):
        raise Mistake("The bucket is still in the rate: keep the lowest 19 bits only.")
    raise Mistake(f"The rate in {word:032b}: expected {rate} per second, got {values[1]:g}.")


def _explain_event(values, right, word):
    if len(values) != 3:
        raise Mistake(f"An event has three numbers behind its word: plane, view, bin. You gave {len(values)}.")
    plane, view, w = right[1:]
    address = word & (2**30 - 1)
    rest = address % PLANE
    usual = [
        ([plane, w, view], "View and bin are exchanged: the bin runs fastest."),
        ([w, view, plane], "The order is plane, view, bin."),
        ([plane, rest % 252, rest // 252], "A view has 344 bins: divide the rest by 344, not by the 252 views."),
        ([plane, rest // 252, rest % 252], "A view has 344 bins: divide the rest by 344, not by the 252 views."),
        ([plane + 1, view + 1, w + 1], "Planes, views and bins are counted from 0."),
        ([plane, address // BINS, w], "The plane is still in the view: go on with the rest of the first division."),
        ([word // PLANE, word % PLANE // BINS, word % PLANE % BINS],
         "Bit 30, the one that marks a prompt, is still in the address: keep the lowest 30 bits only."),
        ([address // BINS // 252, address // BINS, address % BINS],
         "The plane is still in the view: a view is the rest of a division by 252."),
    ]  # fmt: skip
    for wrong, words in usual:
        if values == wrong:
            raise Mistake(words)
    raise Mistake(f"The address {address}: expected plane {plane}, view {view}, bin {w}, got {values}.")


@exercise(
    LESSON,
    "singles from the fan sums",
    "Start with ones. `C @ q` is, for every crystal, the sum of q over its partners; q times that should become F.",
    "`q = F / (C @ q)` alone swings between two answers. Take the geometric mean of old and new, and repeat that: "
    "`q = np.sqrt(q * F / (C @ q))`.",
)
def crystal_singles(singles):
    """Check the singles of a ring: ``singles(F, C)`` gives q with ``q_i Σ_j C_ij q_j = F_i``.

    Parameters
    ----------
    singles : function
        F: fan sums, (crystals,), > 0; C: (crystals, crystals), 1 where two crystals are in coincidence, else 0; gives
        (crystals,).

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(16)
    for n in (18, 25):
        apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        C = (np.minimum(apart, n - apart) > n // 5).astype(float)
        right = rng.uniform(0.5, 2.5, n)
        F = right * (C @ right)
        given = F.copy(), C.copy()
        got = numbers(call(singles, *given), "the singles", (n,), "Was a sum of 0 divided by?")
        if not (np.array_equal(given[0], F) and np.array_equal(given[1], C)):
            raise Mistake("Your function changes what it is given: `F` and `C` belong to its caller.")
        _explain_singles_of_fans(got, right, F, C)
    return "As many numbers as crystals explain all pairs of them."


def _explain_singles_of_fans(got, right, F, C):
    if near(got * (C @ got), F, 1e-3):
        return
    if near(got, np.ones_like(F)):
        raise NotYet("These are still the ones of the start.")
    recognise(
        got,
        {
            "These are the fan sums, q times the sum of q over all partners. q itself is wanted.": F,
            "This is the mean of a fan: its partners are not all alike. Use the result as the next q, and go on.": F
            / C.sum(axis=1),
            "This is one round. Use the result as the next q, and go on until it stays.": np.sqrt(F / C.sum(axis=1)),
            "This would be right if every crystal saw all others and itself. A fan sees the other side only.": F
            / np.sqrt(F.sum()),
            "The root of a fan sum is not q: the partners' sum is not q itself.": np.sqrt(F),
        },
        1e-4,
    )
    if near(got / got.mean(), right / right.mean(), 2e-3):
        raise Mistake(
            "Up to one factor it is right. The plain update swings between two answers, one too large and one too "
            "small: take the root, `np.sqrt(q * F / (C @ q))`."
        )
    off = np.abs(got * (C @ got) / F - 1).max()
    if off < 0.2:
        raise Mistake(f"Nearly: the fan sums of your q are off by up to {off:.1%}. More rounds?")
    raise Mistake(f"The fan sums of your q, `q * (C @ q)`, should be F; they are off by up to {off:.0%}.")


@exercise(
    LESSON,
    "the normalisation of a bin",
    "Efficiencies multiply, axial effects divide. Both crystals count: `n.crystal_efficiencies[ring, c0]`, and of c1.",
    "The two rings are the same, so their sum is `2 * ring`; `n.crystal_interference[bin, view % 9]`.",
)
def bin_factor(factor):
    """Check the normalisation of a bin of a direct plane: ``factor(n, ring, c0, c1, view, bin)``.

    Parameters
    ----------
    factor : function
        n: components, as ``pt.io.Normalisation``; ring: of both crystals; c0, c1: their positions; gives a number.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(61)
    shapes = {"geometric": (127, BINS), "crystal_interference": (BINS, 9), "crystal_efficiencies": (64, 504)}
    n = SimpleNamespace(
        **{name: rng.uniform(0.5, 2, shape) for name, shape in (shapes | {"axial_effects": 837}).items()}
    )
    for ring, c0, c1, view, w in ((31, 300, 51, 20, 171), (7, 499, 240, 251, 9), (60, 12, 270, 5, 330)):
        got = number(call(factor, n, ring, c0, c1, view, w), "the factor")
        _explain_factor(got, n, ring, c0, c1, view, w)
    return "Geometry, interference and two crystals multiply, axial effects divide."


def _explain_factor(got, n, ring, c0, c1, view, w):
    geometric, interference = n.geometric[2 * ring, w], n.crystal_interference[w, view % 9]
    first, second = n.crystal_efficiencies[ring, c0], n.crystal_efficiencies[ring, c1]
    axial = n.axial_effects[2 * ring]
    right = geometric * interference * first * second / axial
    recognised = {
        "The axial effects multiply here. They divide.": right * axial**2,
        "The axial effects are missing.": right * axial,
        "The geometric factor is missing.": right / geometric,
        "The interference of the crystals is missing.": right / interference,
        "Only the first crystal's efficiency is in it. A pair needs both.": right / second,
        "Only the second crystal's efficiency is in it. A pair needs both.": right / first,
        "The first crystal's efficiency is taken twice.": right * first / second,
        "The two efficiencies are added. Both photons have to be seen, so they multiply.": geometric
        * interference
        * (first + second)
        / axial,
        "Of the axial effects the plane is wanted: that of two equal rings is `2 * ring`.": right
        * axial
        / n.axial_effects[ring],
        "Of the geometric factors the row is the *sum* of the two rings, `2 * ring`.": right
        / geometric
        * n.geometric[ring, w],
        "A block has 9 positions, its gap included: `view % 9`.": right
        / interference
        * n.crystal_interference[w, view % 8],
        "This is 1 over the factor. It multiplies what is expected, so the efficiencies stand above.": 1 / right,
        "`2 * ring` is meant for both, the geometric factor and the axial effects.": right
        / geometric
        * n.geometric[ring, w]
        * axial
        / n.axial_effects[ring],
    }
    if near(got, right, 1e-6):
        return
    recognise(got, recognised, 1e-6)
    raise Mistake(f"Ring {ring}, view {view}, bin {w} of made-up components: expected {right:.4f}, got {got:.4g}.")
