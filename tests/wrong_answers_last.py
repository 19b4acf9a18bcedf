"""Typical wrong answers to the exercises of lesson 16: lines in place of the solution, and a pattern of words."""

WRONG = {}

DECODE = """if word >> 31:
    value = word & (2**29 - 1)
    if word >> 29 == 4:
        return {time}
    return {singles}
plane, rest = divmod({address}, 86688)
return {kind}, {place}
"""
RIGHT = {
    "time": '"time", value',
    "singles": '"singles", value >> 19, 8 * (value & (2**19 - 1))',
    "address": "word & (2**30 - 1)",
    "kind": '"prompt" if word >> 30 else "delayed"',
    "place": "plane, rest // 344, rest % 344",
}


def _decode(**changes):
    return DECODE.format(**RIGHT | changes)


WRONG["decode_word"] = [
    (_decode(kind='"delayed" if word >> 30 else "prompt"'), "Prompts and delayeds are exchanged"),
    (_decode(address="word"), "Bit 30, the one that marks a prompt, is still in the address"),
    (_decode(place="plane, rest % 344, rest // 344"), "View and bin are exchanged"),
    (_decode(place="plane, rest % 252, rest // 252"), "344 bins"),
    (_decode(place="plane + 1, rest // 344 + 1, rest % 344 + 1"), "counted from 0"),
    (_decode(place="plane"), "three numbers"),
    (_decode(time='"time", word'), "three bits on top are still in the time"),
    (_decode(time='"time", value / 1000'), "in seconds"),
    (_decode(singles='"singles", value >> 19, value & (2**19 - 1)'), "stored over 8"),
    (_decode(singles='"singles", word >> 19, 8 * (value & (2**19 - 1))'), "on top are still in the bucket"),
    (_decode(singles='"singles", value >> 19, 8 * value'), "bucket is still in the rate"),
    (_decode(singles='"singles", 8 * (value & (2**19 - 1)), value >> 19'), "Bucket and rate are exchanged"),
    (_decode().replace("word >> 29 == 4", "word >> 29 == 5"), "100 is a time, 101 are singles"),
    (_decode().replace("if word >> 31:", "if word >> 30:"), "is an event, since its highest bit is 0"),
    ('return "prompt" if word >> 30 else "delayed"', "Return a tuple"),
    ('return ("prompt" if word >> 30 else "delayed"), 0, 0, 0', "so it is no event"),
]

UPDATE = "q = np.ones_like(F)\nfor _ in range({}):\n    q = {}\nreturn q"
ROOT = "np.sqrt(q * F / (C @ q))"
WRONG["crystal_singles"] = [
    (UPDATE.format(50, "F / (C @ q)"), "Up to one factor it is right. The plain update swings"),
    (UPDATE.format(1, ROOT), "This is one round"),
    (UPDATE.format(1, "F / (C @ q)"), "mean of a fan"),
    (UPDATE.format(4, ROOT), "Nearly: .* More rounds"),
    ("return np.sqrt(F)", "root of a fan sum"),
    ("return F / np.sqrt(F.sum())", "if every crystal saw all others"),
    (UPDATE.format(50, ROOT) + " * (C @ q)", "These are the fan sums"),
    ("return 3 * F + 1", "should be F"),
    ("F /= C.sum(axis=1)\nreturn F", "belong to its caller"),
    ("return F.sum()", r"the singles: expected shape \(18,\)"),
]

FACTOR = "return {} * n.crystal_interference[bin, view % 9] * {} / n.axial_effects[{}]"
GEOMETRIC, BOTH = "n.geometric[2 * ring, bin]", "n.crystal_efficiencies[ring, c0] * n.crystal_efficiencies[ring, c1]"
WRONG["bin_factor"] = [
    (FACTOR.format(GEOMETRIC, BOTH, "2 * ring").replace("/ n.", "* n."), "axial effects multiply here. They divide"),
    (FACTOR.format(GEOMETRIC, BOTH, "2 * ring").split(" / ")[0], "axial effects are missing"),
    (FACTOR.format(GEOMETRIC, BOTH, "ring"), "Of the axial effects the plane"),
    (FACTOR.format("n.geometric[ring, bin]", BOTH, "2 * ring"), r"the \*sum\* of the two rings"),
    (FACTOR.format("n.geometric[ring, bin]", BOTH, "ring"), "meant for both"),
    (FACTOR.format(GEOMETRIC, BOTH, "2 * ring").replace("% 9", "% 8"), "A block has 9 positions"),
    (FACTOR.format(GEOMETRIC, "n.crystal_efficiencies[ring, c0]", "2 * ring"), "Only the first crystal"),
    (FACTOR.format(GEOMETRIC, "n.crystal_efficiencies[ring, c0] ** 2", "2 * ring"), "taken twice"),
    (FACTOR.format(GEOMETRIC, f"({BOTH.replace('*', '+')})", "2 * ring"), "efficiencies are added"),
    (FACTOR.format("1", BOTH, "2 * ring"), "geometric factor is missing"),
    (FACTOR.format(GEOMETRIC, BOTH, "2 * ring").replace("n.crystal_interference[bin, view % 9]", "1"),
     "interference of the crystals is missing"),
    (FACTOR.format(GEOMETRIC, BOTH, "2 * ring").replace("return ", "return 1 / (") + ")", "1 over the factor"),
    (FACTOR.format(GEOMETRIC, BOTH, "2 * ring").replace("view % 9", "view"), "line 2 of its cell.*IndexError"),
    ("return 7.0", "made-up components: expected"),
]  # fmt: skip
