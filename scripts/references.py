"""Write docs/references.md from docs/references.bib.

python scripts/references.py
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
VENUES = ("journal", "booktitle", "howpublished", "school")
KINDS = {"phdthesis": "PhD thesis", "mastersthesis": "Master's thesis"}


def entries(text: str) -> dict[str, dict[str, str]]:
    """Return the entries of a BibTeX file by key, each with its fields and its ``kind``; one field per line."""
    found = {}
    for kind, key, body in re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}$", text, re.DOTALL | re.MULTILINE):
        found[key] = {"kind": kind, **dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE))}
    return found


def reference(entry: dict[str, str]) -> str:
    """Return an entry as Markdown."""
    authors = [" ".join(reversed(name.split(", "))) for name in entry["author"].split(" and ")]
    names = ", ".join(authors[:-1]) + " and " + authors[-1] if len(authors) > 1 else authors[0]
    title = f"[{entry['title']}]({entry['url']})" if "url" in entry else entry["title"]
    venue = next(entry[field] for field in VENUES if field in entry)
    venue = f"{KINDS[entry['kind']]}, {venue}" if entry["kind"] in KINDS else venue
    return f"{names} ({entry['year']}): {title}. {venue}."


def page(text: str) -> str:
    """Return the page for a BibTeX file."""
    lines = [
        f"- {reference(entry)}"
        for _, entry in sorted(entries(text).items(), key=lambda item: item[0].lower())
    ]
    introduction = (
        "Docstrings cite these sources by author and year. As BibTeX: [references.bib](references.bib)."
    )
    return "\n".join(["# References", "", introduction, "", *lines, ""])


if __name__ == "__main__":
    (DOCS / "references.md").write_text(
        page((DOCS / "references.bib").read_text(encoding="utf-8")), encoding="utf-8"
    )
