"""Hooks of MkDocs that ``mkdocs.yml`` names.

Notebooks become pages, with the outputs that ``scripts/live.py`` wrote, or else with those that are stored in them.
The changelog becomes a page, and a section of the README a part of one. Headings have the anchors that GitHub gives
them, so that links work on both sites. Links of docstrings that are written for other tools become plain code.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
#: The outputs of notebooks, as `scripts/live.py` wrote them.
OUTPUTS = ROOT / "docs" / "live" / "outputs.json"
#: ``:class:`~xai_widgets.views.View``` after Markdown made code of its second half.
ROLE = re.compile(r":(?:func|meth|class|mod|attr|data|exc):<code>~?([^<]*)</code>")
#: A heading, or the edge of a block of code, whose lines are never headings.
HEADING = re.compile(r"^(#{2,6}) (.*\S)\s*$|^(```)", re.MULTILINE)
#: A link from a notebook or the changelog to a file of the repository.
LINK = re.compile(r"\]\((?:\.\./)?docs/([^)\s]+)\)")
#: Where the body of a section of the README is to stand.
SECTION = re.compile(r"^<!-- README: (.*) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, as pages and as files to download, and the changelog."""
    outputs = json.loads(OUTPUTS.read_text(encoding="utf-8")) if OUTPUTS.exists() else {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        text = notebook_page(notebook, path.name, outputs.get(path.stem) or stored(notebook, path.stem))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, image in images(notebook, path.stem).items():
            if f"({name})" in text:
                files.append(File.generated(config, f"notebooks/{name}", content=image))
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=LINK.sub(r"](\1)", changes)))
    outputs_file = files.get_file_from_path("live/outputs.json")
    if outputs_file is not None:
        files.remove(outputs_file)
    return files


def stored(notebook: dict[str, Any], stem: str) -> dict[str, dict[str, str]]:
    """Return the outputs that a notebook holds: by the id of a cell, its ``text`` and the name of its ``image``."""
    found: dict[str, dict[str, str]] = {}
    for cell in notebook["cells"]:
        shown, texts = {}, []
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                shown["image"] = image_name(stem, cell)
            texts += output.get("text", () if "image/png" in data else data.get("text/plain", ()))
        if "".join(texts).strip():
            shown["text"] = "".join(texts).rstrip()
        if shown:
            found[cell["id"]] = shown
    return found


def image_name(stem: str, cell: dict[str, Any]) -> str:
    """Return the name of the file of the image of a cell."""
    return f"{stem}-{cell['id']}.png"


def images(notebook: dict[str, Any], stem: str) -> dict[str, bytes]:
    """Return the stored images of a notebook by the names of their files."""
    return {
        image_name(stem, cell): base64.b64decode(output["data"]["image/png"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    }


def notebook_page(notebook: dict[str, Any], name: str, outputs: dict[str, dict[str, str]]) -> str:
    """Return a notebook as Markdown.

    Parameters
    ----------
    notebook : dict
        The parsed ``.ipynb``.
    name : str
        Its file name, for the link that downloads it.
    outputs : dict of str to dict
        By the id of a cell, the ``text`` that it printed, and the ``page`` or the ``image`` of its widget.
    """
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(LINK.sub(r"](../\1)", source))
            continue
        parts.append(f"```python\n{source}\n```")
        shown = outputs.get(cell["id"], {})
        if "text" in shown:
            parts.append(f'<pre class="printed">{html.escape(shown["text"])}</pre>')
        if "page" in shown:
            parts.append(frame(f"../live/{shown['page']}", f"Output of cell {cell['id']}"))
        if "image" in shown:
            parts.append(f"![Output of cell {cell['id']}]({shown['image']})")
    title, *rest = parts
    heading, _, introduction = title.partition("\n")
    note = f"[Download this notebook]({name}){{ .download download }}"
    return "\n\n".join([heading, note, introduction.strip(), *rest]) + "\n"


def frame(address: str, title: str) -> str:
    """Return a frame with a live page, which is loaded when the reader comes near."""
    return (
        f'<iframe class="live" src="{address}" title="{html.escape(title)}" loading="lazy"></iframe>\n'
        f'<p class="live-note"><a href="{address}">Open it alone</a>. It runs in this browser; '
        "controls that need the network are disabled.</p>"
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert sections of the README, and give headings the anchors that GitHub gives them."""
    return with_anchors(SECTION.sub(lambda found: section(found[1]), markdown))


def section(heading: str) -> str:
    """Return the body of a section of the README, with links of the site."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n+(.*?)\n+(?=## |\Z)", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"expected a heading of README.md, got {heading!r}")
    return re.sub(r"\]\((notebooks/\w+)\.ipynb\)", r"](\1.md)", LINK.sub(r"](\1)", found[1]))


def with_anchors(markdown: str) -> str:
    """Headings below the first level with their anchors: small letters, hyphens for spaces, a number if one recurs."""
    seen: Counter[str] = Counter()
    in_code = False

    def anchored(found: re.Match[str]) -> str:
        nonlocal in_code
        if found[3]:
            in_code = not in_code
        if found[3] or in_code:
            return found[0]
        slug = re.sub(r"[^\w\- ]", "", found[2].lower()).replace(" ", "-")
        number = seen[slug]
        seen[slug] += 1
        return f"{found[1]} {found[2]} {{ #{slug}{f'-{number}' if number else ''} }}"

    return HEADING.sub(anchored, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the links of docstrings as code, by the last part of their names where that is meant."""
    return ROLE.sub(lambda found: f"<code>{found[1].rpartition('.')[2]}</code>", content)
