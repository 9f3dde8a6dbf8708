"""Cards of methods: formula, cost, guarantees, limits, source and an example, from the registry."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path

#: Images of a scene and of the map of each method, written by ``scripts/methods.py``.
IMAGES = Path(__file__).parent / "images"


@dataclass(frozen=True)
class Card:
    """The facts of a method on a card, as HTML in a notebook and as text elsewhere.

    Attributes
    ----------
    title : str
        Title of the method.
    sentence : str
        The first paragraph of its documentation.
    facts : dict of str to str
        Formula, cost, guarantees, limits and source.
    example : str
        Name of the registered method whose example is shown; "" for none.
    """

    title: str
    sentence: str
    facts: dict[str, str]
    example: str = ""

    def image(self) -> bytes | None:
        """Return an example as a WebP file: a scene and the map of the method; None if there is none."""
        path = IMAGES / f"{self.example}.webp"
        return path.read_bytes() if self.example and path.exists() else None

    def __repr__(self) -> str:
        lines = [self.title, self.sentence, *(f"{name}: {text}" for name, text in self.facts.items())]
        return "\n".join(filter(None, lines))

    def _repr_html_(self) -> str:
        image = self.image()
        url = "" if image is None else f"data:image/webp;base64,{base64.b64encode(image).decode()}"
        shown = f'<img src="{url}" height="96" alt="A scene and its map">' if url else ""
        rows = "".join(
            f'<tr><th style="text-align:left;vertical-align:top">{name}</th>'
            f'<td style="text-align:left">{_formula(text) if name == "Formula" else escape(text)}</td></tr>'
            for name, text in self.facts.items()
        )
        return (
            f"<div><strong>{escape(self.title)}</strong><p>{escape(self.sentence)}</p>"
            f"{shown}<table>{rows}</table></div>"
        )


def summary(text: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def _formula(text: str) -> str:
    return f"<code>{escape(text)}</code>"
