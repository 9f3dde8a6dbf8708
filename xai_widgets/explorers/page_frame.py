"""An exported page in the output of a cell."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xai_widgets.core.writing import atomic_write

#: The frame is an origin of its own: the page cannot read the notebook. What it needs is allowed one by one.
FRAME = """<div><iframe srcdoc="{page}" title="{title}" sandbox="allow-scripts allow-downloads allow-popups" \
allow="fullscreen *; clipboard-write *" style="display: block; width: 100%; height: {height}px; border: 0"></iframe>
<script>(() => {{
  const frame = new WeakRef(document.currentScript.previousElementSibling);
  const themeOf = (node) => {{
    for (; node; node = node.parentElement) {{
      const color = getComputedStyle(node).backgroundColor;
      const [r, g, b, alpha = 1] = color.startsWith("rgb") ? color.match(/[0-9.]+/g).map(Number) : [0, 0, 0, 0];
      if (alpha > 0.5) return 0.299 * r + 0.587 * g + 0.114 * b < 128 ? "dark" : "light";
    }}
  }};
  const show = () => {{
    const found = frame.deref();
    if (!found) return observer.disconnect();
    found.contentWindow?.postMessage({{ xaiWidgetsTheme: themeOf(found.parentElement) }}, "*");
  }};
  const later = () => requestAnimationFrame(show);
  const observer = new MutationObserver(later);
  for (const node of [document.documentElement, document.body]) observer.observe(node, {{ attributes: true }});
  frame.deref().addEventListener("load", show);
  addEventListener("message", ({{ source, data }}) => {{
    const found = frame.deref();
    if (!found || source !== found.contentWindow || !(data?.xaiWidgetsHeight > 0)) return;
    found.style.height = `${{Math.ceil(data.xaiWidgetsHeight)}}px`;
    show();
  }});
}})()</script></div>"""


@dataclass(frozen=True)
class Page:
    """A page that the output of a cell shows, from :func:`xai_widgets.page`.

    Attributes
    ----------
    html : str
        The page, which can be written to a file or given to a host that shows HTML.
    title : str
    height : int
        Height of its frame in CSS px until the page reports its own.
    """

    html: str = field(repr=False)
    title: str
    height: int

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.html.encode("utf-8"))

    def save(self, path: str | Path) -> None:
        """Write the page to a file; an existing one is replaced."""
        with atomic_write(Path(path)) as partial:
            partial.write_text(self.html, encoding="utf-8")

    def frame(self) -> str:
        """Return the HTML of the output: the page in a frame."""
        return FRAME.format(page=html.escape(self.html), title=html.escape(self.title), height=self.height)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.frame(), "text/plain": str(self)}

    def __str__(self) -> str:
        return f"{self.title}: a page of {self.size / 1e6:.2f} MB"
