"""What the course says of itself: the glossary, the teacher's notes and the teacher's guide agree with the lessons."""

import json
import re
from pathlib import Path

import pytest
from test_notebooks import code_of
from test_stored_study import at_least_error

import pettutor as pt
from pettutor.course import build

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(path.stem for path in (NOTEBOOKS / "source").glob("*.py"))
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")


def markdown(path):
    """The words of a notebook, cell by cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]


def words(lesson):
    return "\n".join("".join(source) for source in markdown(NOTEBOOKS / f"{lesson}.ipynb"))


# ---- glossary ----


def entries(text=GLOSSARY):
    """(symbols or terms, meaning, unit, lesson) of each row."""
    for line in text.splitlines():
        found = re.fullmatch(r"\| (\$.+?\$|\*\*.+?\*\*(?:, \*\*.+?\*\*)*) \| (.+?) \|(.*?)\| \[\d+\]\((.+?)\) \|", line)
        if found:
            names = re.findall(r"\*\*(.+?)\*\*|\$(.+?)\$", found[1])
            yield [term or f"${symbol}$" for term, symbol in names], found[2], found[3].strip(), found[4]


def missing_names(names, text):
    """Those that a lesson does not have: a symbol is looked for in formulas, a term in all words."""
    formulas = " ".join(re.findall(r"\$\$.+?\$\$|\$[^$]+?\$", text, re.S))
    plain = " ".join(text.lower().split())
    for name in names:
        if name.startswith("$"):
            pieces = re.findall(r"\\[a-zA-Z]+|\S", name.strip("$"))
            pattern = r"\s*".join(map(re.escape, pieces))
            before = "" if pieces[0].startswith("\\") else r"(?<![a-zA-Z\\])"
            after = r"(?![a-zA-Z])" if pieces[-1][-1].isalpha() else ""
            if not re.search(before + pattern + after, formulas):
                yield name
        elif name.lower() not in plain:
            yield name


def test_every_entry_occurs_in_the_lesson_that_it_names():
    found = list(entries())
    rows = [line for line in GLOSSARY.splitlines() if re.match(r"\| [$*]", line)]
    assert len(found) == len(rows) > 100, "rows that could not be read"
    lost = []
    for names, _, _, link in found:
        lesson = link.removeprefix("../notebooks/").removesuffix(".ipynb")
        assert lesson in LESSONS, link
        lost += [f"{name} is not in {lesson}" for name in missing_names(names, words(lesson))]
    assert not lost, "\n".join(lost)


def test_the_numbers_of_the_links_are_those_of_the_lessons():
    for number, name in re.findall(r"\[(\d+)\]\(\.\./notebooks/(\d\d)_", GLOSSARY):
        assert int(number) == int(name)


def test_a_made_up_glossary():
    text = r"the $\alpha_k$ of a **pass**, $x = K\alpha$, $\bar y$"
    assert list(missing_names(["$K$", r"$\bar y$", "pass", r"$\alpha$"], text)) == []
    assert list(missing_names(["$y_k$", "atom", r"$\alph$", "$a$"], text)) == ["$y_k$", "atom", r"$\alph$", "$a$"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_lesson_links_to_the_glossary_in_one_line(lesson):
    for place, link in (("", "glossary.ipynb"), ("solutions", "../glossary.ipynb"), ("teacher", "../glossary.ipynb")):
        first = "".join(markdown(NOTEBOOKS / place / f"{lesson}.ipynb")[0])
        assert re.findall(r"^Words and symbols: \[glossary\]\((.+)\)\.$", first, re.M) == [link]
        assert (NOTEBOOKS / place / link).resolve().is_file()


# ---- the teacher's notes ----


def notes(lesson):
    cells = markdown(NOTEBOOKS / "teacher" / f"{lesson}.ipynb")
    return [text for text in map("".join, cells) if text.startswith(build.NOTE.partition("{}")[0])]


def minutes(lesson):
    """In class as a whole, and of each part."""
    text = "\n".join(notes(lesson))
    return (
        [int(m) for m in re.findall(r"\*\*In class (\d+) minutes\.\*\*", text)],
        [int(m) for m in re.findall(r"\*\*(\d+) minutes, ", text)],
    )


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_teacher_has_the_solved_lesson_and_notes(lesson):
    teacher, solved = (NOTEBOOKS / place / f"{lesson}.ipynb" for place in ("teacher", "solutions"))
    assert code_of(teacher) == code_of(solved), "what runs is the same, so the tests run it once"
    assert 4 <= len(notes(lesson)) <= 8
    assert [text for text in markdown(teacher) if "".join(text) not in notes(lesson)] == markdown(solved)
    assert not any("For the teacher" in "".join(text) for text in markdown(solved))
    whole, parts = minutes(lesson)
    assert len(whole) == 1 and sum(parts) == whole[0], f"{whole} in class, parts {parts}"


# ---- the teacher's guide ----


def test_the_guide_has_every_lesson_with_its_minutes():
    rows = dict(re.findall(r"^\| \[\d+ · [^\]]+\]\(\.\./notebooks/(\w+)\.ipynb\) \| (\d+) \|", GUIDE, re.M))
    assert rows == {lesson: str(minutes(lesson)[0][0]) for lesson in LESSONS}


def test_the_plans_of_the_guide_add_up():
    """Every row begins where the one before has ended."""
    plans = re.findall(r"(?:^\| \d\d:\d\d \|.+\n)+", GUIDE, re.M)
    assert len(plans) == 2, "a day and half a day"
    for plan in plans:
        rows = re.findall(r"^\| (\d\d):(\d\d) \| (\d+|–) \|", plan, re.M)
        assert rows[-1][2] == "–" and len(rows) == plan.count("\n")
        starts = [60 * int(hour) + int(minute) for hour, minute, _ in rows]
        for start, (_, _, length), following in zip(starts, rows, starts[1:], strict=False):
            assert start + int(length) == following, f"{start // 60}:{start % 60:02} and {length} minutes"


def test_the_map_of_lesson_0_leads_to_every_other_lesson():
    text = words(LESSONS[0])
    assert [lesson for lesson in LESSONS[1:] if f"]({lesson}.ipynb)" not in text] == []


def test_numbers_to_expect_are_those_of_the_stored_studies():
    """What the guide and lesson 10's notes quote of the study "ablation", and of what a training step costs."""
    rows = pt.course.stored_rows("ablation").fillna({"mr_shift": 0})
    best = at_least_error(rows[rows["mr_shift"] == 0]).droplevel([1, 2, 3])
    names = ("DIPRecon", "DIPRecon, Adam that forgets", "DIPRecon, long fit to the start")
    plain, forgets, fitted = (f"{best.loc[name, 'nrmse']:.1f} %" for name in names)
    before, after = (f"{best.loc[name, 'lesion']:.2f}" for name in names[:2])
    assert f"an Adam that forgets: {forgets} NRMSE against {plain} (stored study)" in GUIDE
    text = " ".join("\n".join(notes("10_dip_recon")).split())
    assert f"the contrast of the 16 mm lesion falls from {before} to {after}." in text
    assert f"The NRMSE is {forgets} against {plain} (only a long fit to the start is worse, {fitted})." in text
    costs = pt.course.stored_step_costs().set_index(["scanner", "graph"])["peak_mb"]["ten rings"]
    outside, inside = costs["images only"], costs["sinograms in the graph"]
    assert f"with ten rings: {outside:,.0f} MB, with sinograms in the graph {inside:,.0f} MB" in GUIDE


# ---- links ----

PAGES = [path for pattern in ("*.md", "docs/*.md", "data_scripts/*.md") for path in ROOT.glob(pattern)]
PAGES += [path for place in build.PLACES for path in (NOTEBOOKS / place).glob("*.ipynb")]
# beside papers, which are named by their DOI: programs that the pages speak of
PROGRAMS = {
    "https://anywidget.dev",
    "https://github.com/SyneRBI/SIRF-Exercises",
    "https://mybinder.org",
    "https://semver.org",
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_a_file_that_is_here_a_heading_or_a_paper(path):
    text = "\n".join("".join(cell) for cell in markdown(path)) if path.suffix == ".ipynb" else path.read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"""(?<!\()https?://[^\s)<>"'`\]]+""", text):
        if link.startswith(("http:", "https:")):
            assert re.match(r"https://doi\.org/10\.\d{4,}/\S", link) or link in PROGRAMS, link
            continue
        file, _, heading = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{link}: there is no {target.relative_to(ROOT)}"
        if heading and target.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{link}: no such heading"


# ---- Markdown ----


def accidental_lists(text):
    """Lines that begin a list in the middle of a sentence: a number or a sign was wrapped to their start."""
    inside, fence = None, False  # kind of list or paragraph that a line goes on with
    for line in text.splitlines():
        fence ^= line.startswith("```")
        if fence or not line.strip() or re.match(r"```|\||#+ |<|\$\$", line):
            inside = None
            continue
        marker = re.match(r"([-+*]|\d+[.)]|\s+\d+[.)])(\s|$)", line)
        kind = marker and ("number" if marker[1].strip()[0].isdigit() else marker[1])
        if kind and inside not in (None, kind):
            yield line
        elif not line.startswith(" "):
            inside = kind or inside or "paragraph"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- one\n- two\n  and more\n- three", []),
        ("- A. Author,\n2019.\n- B. Author", ["2019."]),
        ("- A. Author,\n  2019. doi\n- B. Author", ["  2019. doi"]),
        ("as good as MLEM\n+ Gaussian", ["+ Gaussian"]),
        ("words:\n\n1. one\n2. two\n\nwords", []),
        ("```\nx\n- 2\n```\n| a |\n\n- one", []),
    ],
)
def test_accidental_lists_are_found(text, found):
    assert list(accidental_lists(text)) == found


PAGES = [*(f"notebooks/teacher/{lesson}.ipynb" for lesson in LESSONS), "README.md", "CONTRIBUTING.md",
         *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_becomes_a_list(page):
    path = ROOT / page
    texts = map("".join, markdown(path)) if path.suffix == ".ipynb" else [path.read_text(encoding="utf-8")]
    assert [line for text in texts for line in accidental_lists(text)] == []


# ---- what every lesson has ----


def source_of(lesson):
    """The words of a lesson for students, and its code with the solutions."""
    code = "\n".join(code_of(NOTEBOOKS / "solutions" / f"{lesson}.ipynb"))
    return words(lesson), code


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_says_what_it_is_for_and_how_long_it_takes(lesson):
    text, _ = source_of(lesson)
    flat = " ".join(text.split())
    assert "**Purpose:**" in text and re.search(r"\*\*Time:\*\* about \d+ minutes of reading", flat)
    assert re.search(r"(minute|minutes|seconds?) of computing", flat)
    objectives = re.search(r"\*\*After this lesson you can\*\*\n\n((?:\d\. .+\n(?:   .+\n)*)+)", text)
    numbers = re.findall(r"^(\d)\. ", objectives[1], re.M)
    assert len(numbers) >= 3 and numbers == [str(k) for k in range(1, len(numbers) + 1)]
    assert "](glossary.ipynb)" in text
    for part in ("\n## Questions\n", "\n## Summary\n", "**What next:**", "\n## Further reading\n"):
        assert text.count(part) == 1, part
    assert "https://doi.org/" in text.split("\n## Further reading\n")[1]


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_asks_before_it_shows_and_has_formulas_and_pictures_to_move(lesson):
    text, code = source_of(lesson)
    assert re.search(r"[*_](Before you run|Predict)", text) and "$" in text
    assert re.search(r"pt\.(volshow|explore_lines)\(", code)
    assert re.search(r"(?i)\bnaive\b|## How not to do it", text), "a naive way that fails"


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_exercise_has_its_check_and_there_are_two_to_four(lesson):
    text, code = source_of(lesson)
    exercises = re.findall(r"(?:^### |\*\*)Exercise (\d)", text, re.M)
    checks = re.findall(r"^pt\.course\.check\.(\w+)\(", code, re.M)
    assert exercises == [str(k) for k in range(1, len(checks) + 1)]
    assert 2 <= len(exercises) <= 4
    for number in re.findall(r"[Ee]xercises? (\d)(?! to)", text.replace("lesson 8, exercise", "")):
        assert number in exercises, f"exercise {number} is not in this lesson"
