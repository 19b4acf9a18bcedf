"""CITATION.cff: whoever uses a method of the package finds its papers there."""

import re
from pathlib import Path

import pytest
import yaml

from pettutor.phantoms import brainweb, mni

ROOT = Path(__file__).parents[1]
CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
PAGES = {(str(paper.get("volume")), str(paper.get("start"))) for paper in CITED}
# "K. T. Chen" or "A. R. De Pierro", before a comma or "et al."; not "J. Comput. Assist. Tomogr."
AUTHOR = re.compile(r"((?:[A-Z]\. )+(?:(?:De|El) )?[A-Z][\w-]+)(?=,| et al\.)")
VOLUME_AND_PAGE = re.compile(r"\b(\d+)(?:\(\w+\))?:(S?\d+\w*)")
ARXIV = re.compile(r"arXiv:(\d+\.\d+)")


def references_sections():
    """Where, and the text: each section "References" of a docstring in the package, as one line."""
    found = []
    for path in sorted((ROOT / "pettutor").rglob("*.py")):
        for text in re.findall(r'References\n +-{5,}\n(.*?)"""', path.read_text(encoding="utf-8"), re.S):
            found.append(pytest.param(" ".join(text.split()), id=f"{path.relative_to(ROOT)}-{len(found)}"))
    return found


def authors(paper):
    return {f"{author['given-names']} {author['family-names']}" for author in paper["authors"]}


@pytest.mark.parametrize("paper", CITED, ids=lambda paper: paper["title"][:30])
def test_a_reference_says_what_it_is(paper):
    assert paper["title"] and authors(paper) and 1900 < paper["year"] < 2100
    # some way to find it: a DOI, a page of a volume, a report's number, or at least the conference
    assert "doi" in paper or {"volume", "start"} <= set(paper) or "number" in paper or "conference" in paper
    assert re.fullmatch(r"10\.\d{4,}/\S+", paper.get("doi", "10.1000/none"))


def test_nothing_is_listed_twice():
    for what in ("title", "doi"):
        listed = [paper[what].lower() for paper in CITED if what in paper]
        assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("text", references_sections())
def test_papers_of_the_docstrings_are_cited(text):
    named = set(AUTHOR.findall(text))
    assert named and named <= set().union(*map(authors, CITED))
    assert set(VOLUME_AND_PAGE.findall(text)) <= PAGES
    assert all(f"arXiv.{number}" in str(CITED) for number in ARXIV.findall(text))


@pytest.mark.parametrize(("source", "count"), [(brainweb, 3), (mni, 2)], ids=["brainweb", "mni"])
def test_papers_of_the_heads_are_cited(source, count):
    found = VOLUME_AND_PAGE.findall(source.CITATION)
    assert len(found) == count and set(found) <= PAGES


def test_papers_are_read_from_a_docstring():
    text = (
        "L. A. Shepp, Y. Vardi, IEEE Trans. Med. Imaging 1(2):113, 1982; K. Lange, J. Comput. Assist. Tomogr. "
        "8(2):306, 1984 (after A. R. De Pierro, Proc. SPIE 11072:110720O); H. Wang et al., arXiv:2112.06074."
    )
    assert AUTHOR.findall(text) == ["L. A. Shepp", "Y. Vardi", "K. Lange", "A. R. De Pierro", "H. Wang"]
    assert VOLUME_AND_PAGE.findall(text) == [("1", "113"), ("8", "306"), ("11072", "110720O")]
    assert ARXIV.findall(text) == ["2112.06074"]
