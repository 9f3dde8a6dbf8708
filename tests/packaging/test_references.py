"""Every source that the package cites has an entry in docs/references.bib; docs/references.md is generated from it."""

import ast
import importlib.util
import re
import unicodedata
from pathlib import Path

import pytest

from xai_widgets.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
BIBLIOGRAPHY = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")

_spec = importlib.util.spec_from_file_location("references_script", ROOT / "scripts" / "references.py")
assert _spec is not None
assert _spec.loader is not None
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)

ENTRIES = script.entries(BIBLIOGRAPHY)
NAME = r"[A-Z][\w'-]+"
CITATION = re.compile(rf"({NAME}(?:, {NAME})*(?: and {NAME}| et al\.)?),?\s+\(?((?:19|20)\d\d)\b")
#: Capitalized words before a year that are not authors.
OTHERS = {
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December", "University",
}  # fmt: skip


def plain(name):
    """Return a name without accents and apostrophes, as in the keys."""
    return re.sub(r"[^A-Za-z-]", "", unicodedata.normalize("NFKD", name))


def first_author(entry):
    return plain(entry["author"].split(",")[0])


SOURCES = {(first_author(entry), entry["year"]) for entry in ENTRIES.values()}


def unresolved(text):
    """Return the citations in a text, such as "Bach et al. 2015", that have no entry."""
    text = " ".join(text.split())
    missing = []
    for names, year in CITATION.findall(text):
        authors = [plain(name) for name in re.findall(NAME, names.removesuffix(" et al."))]
        if not any((author, year) in SOURCES for author in authors) and not OTHERS & set(authors):
            missing.append(f"{names} {year}")
    return missing


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_complete(key):
    entry = ENTRIES[key]
    assert {"author", "title", "year"} <= set(entry)
    assert any(field in entry for field in script.VENUES)
    # A letter distinguishes sources of one author and year.
    assert re.fullmatch(first_author(entry).replace("-", "") + entry["year"] + "[b-z]?", key)


def test_every_entry_is_read():
    assert len(ENTRIES) == BIBLIOGRAPHY.count("\n@") > 50


@pytest.mark.parametrize("name", METHODS)
def test_the_source_of_a_method_has_an_entry(name):
    source = METHODS[name].source
    assert CITATION.search(source) or source == "none"
    assert unresolved(source) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "xai_widgets").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_citations_of_docstrings_have_entries(path):
    assert [citation for text in docstrings(path) for citation in unresolved(text)] == []


def test_an_unknown_citation_is_found():
    assert unresolved("Bach et al. 2015; Nobody and Noone (2015), Fong, Patrick and Vedaldi 2019.") == [
        "Nobody and Noone 2015"
    ]


def test_the_page_is_up_to_date():
    page = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    assert page == script.page(BIBLIOGRAPHY), "run python scripts/references.py"
