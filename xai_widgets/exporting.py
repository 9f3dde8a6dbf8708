"""A widget, or a whole dashboard, as one page that needs no kernel, no server and no network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipywidgets import DOMWidget
from ipywidgets.embed import dependency_state

from xai_widgets._version import __version__
from xai_widgets.core.validation import brief
from xai_widgets.core.writing import atomic_write
from xai_widgets.errors import warn
from xai_widgets.views import RunBar
from xai_widgets.views.base import STATIC
from xai_widgets.views.shown import family
from xai_widgets.views.traits import finite

#: Texts of traits, such as the programs of views, that are kept once however many models have them, from this length.
SHARED = 512

#: What a page may do: run what is in it. It cannot load anything.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline' blob:; "
    "img-src data: blob:; font-src data:; connect-src data: blob:"
)

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="xai_widgets {version}">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1></header>
<main id="widgets" aria-busy="true"><p id="state">Opening.</p></main>
<footer>Made with xai_widgets {version}. Controls that need a kernel are disabled.</footer>
<noscript>This page shows interactive pictures of a network, and needs JavaScript.</noscript>
<script type="application/gzip" id="program">{program}</script>
<script type="application/gzip" id="widgets-data">{data}</script>
<script type="module">
async function unzip(id) {{
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}}
const place = document.getElementById("widgets");
try {{
  const program = new Blob([await (await unzip("program")).text()], {{ type: "text/javascript" }});
  const {{ show }} = await import(URL.createObjectURL(program));
  const data = await (await unzip("widgets-data")).arrayBuffer();
  document.getElementById("state").remove();
  await show(data, place);
}} catch (error) {{
  place.prepend(`This page could not be shown: ${{error}}`);
  throw error;
}} finally {{
  place.removeAttribute("aria-busy");
}}
</script>
</body>
</html>
"""


@dataclass(frozen=True)
class Exported:
    """A page that was written.

    Attributes
    ----------
    path : Path
        The file.
    size : int
        In bytes.
    data : int
        How many of them are states and arrays, compressed; the rest is the program and the frame of the page.
    widgets : int
        How many widgets it holds, boxes and controls among them.
    """

    path: Path
    size: int
    data: int
    widgets: int

    def __str__(self) -> str:
        return f"{self.path}: {self.size / 1e6:.2f} MB, of which data {self.data / 1e6:.2f} MB"


def export(widget: DOMWidget, path: str | Path, *, title: str = "") -> Exported:
    """Write a widget as one self-contained page, that opens from disk.

    Views, sliders, hover, cursors and links work as in a notebook: they compute in the browser, from arrays that are in
    the page. Controls that need a kernel, such as the button that computes, are disabled, with a note.

    Parameters
    ----------
    widget : ipywidgets.DOMWidget
        A view, an explorer, a dashboard, or any box of widgets of ``ipywidgets`` and ``anywidget``.
    path : str or Path
        The file, such as "page.html"; its folder has to exist. A file of that name is replaced.
    title : str, optional
        Of the page. Default: that of the widget, or its kind.

    Returns
    -------
    Exported
        The path, and the size in bytes. What is computed by then is in the page; a warning tells of a computation under
        way.

    Raises
    ------
    TypeError
        If ``widget`` is none.
    ValueError
        If it holds a widget of another library, by its name, or the path is no file in an existing folder.
    OSError
        If the page cannot be written, as on a full disk; a file that was there is as before then.
    """
    if not isinstance(widget, DOMWidget):
        raise TypeError(f"widget is {type(widget).__name__}, wanted a view, an explorer or a box of widgets")
    path = _file(path)
    running = [part for part in family(widget) if isinstance(part, RunBar) and part.status == "running"]
    if running:
        warn(
            f"{len(running)} of the computations still run: the page holds what is there, wait() for all of it"
        )
    states = dependency_state([widget], drop_defaults=False)
    packed = gzip.compress(_pack(widget, states), mtime=0)
    title = title or getattr(widget, "title", "") or _words(type(widget).__name__)
    # A name of a file that is no UTF-8 has letters that cannot be written.
    title = title.encode("utf-8", "replace").decode("utf-8")
    page = PAGE.format(
        version=__version__,
        policy=POLICY,
        title=html.escape(title),
        style=(STATIC / "page.css").read_text(encoding="utf-8"),
        program=_base64(gzip.compress((STATIC / "page.js").read_bytes(), mtime=0)),
        data=_base64(packed),
    )
    with atomic_write(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return Exported(path, path.stat().st_size, len(packed), len(states))


def _file(path: str | Path) -> Path:
    """The path of a page; ValueError if no file can be there."""
    try:
        made = Path(path)
        fits = made.name and not made.is_dir() and made.parent.is_dir()
    except OSError as error:
        raise ValueError(
            f"path is {brief(str(path))}, wanted a name that a file can have ({error.strerror})"
        ) from error
    if not fits:
        raise ValueError(f"path is {str(path)!r}, wanted a file in a folder that exists, such as 'page.html'")
    return made


def _words(name: str) -> str:
    """The name of a class as people write it: "DeletionExplorer" is "Deletion explorer"."""
    return re.sub(r"(?<=[a-z])[A-Z]", lambda letter: f" {letter[0].lower()}", name)


def _pack(widget: DOMWidget, states: dict[str, dict[str, Any]]) -> bytes:
    """The models of a page: a header in JSON behind its length, then the bytes of arrays, each kept once."""
    blobs: dict[bytes, tuple[int, bytes]] = {}
    texts: dict[str, int] = {}
    positions: list[tuple[str, list[Any], int]] = []
    spoken: list[tuple[str, str, int]] = []
    models: dict[str, dict[str, Any]] = {}
    for name, given in states.items():
        if given["model_module"] not in ("anywidget", "@jupyter-widgets/base", "@jupyter-widgets/controls"):
            raise ValueError(
                f"the page would hold {given['model_name']} of {given['model_module']}, wanted widgets of ipywidgets "
                "and anywidget only"
            )
        # Widgets of other libraries may hold numbers that JSON does not know.
        state = finite(_titled(dict(given["state"])))
        for buffer in given.get("buffers", ()):
            data = base64.b64decode(buffer["data"])
            index, _ = blobs.setdefault(hashlib.sha256(data).digest(), (len(blobs), data))
            positions.append((name, buffer["path"], index))
        for key, value in list(state.items()):
            if isinstance(value, str) and len(value) >= SHARED:
                spoken.append((name, key, texts.setdefault(value, len(texts))))
                del state[key]
        models[name] = {**{key: given[key] for key in given if key.startswith("model_")}, "state": state}
    header = {
        "shown": [widget.model_id],
        "disabled": sorted(_disabled(widget)),
        "models": models,
        "texts": list(texts),
        "blobs": [len(data) for _, data in blobs.values()],
        "positions": positions,
        "spoken": spoken,
    }
    head = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([struct.pack("<I", len(head)), head, *(data for _, data in blobs.values())])


def _titled(state: dict[str, Any]) -> dict[str, Any]:
    """A state with the titles of its tabs as a list: ipywidgets 7 has them by number, the page is that of 8."""
    if "_titles" in state and "titles" not in state:
        titles = state.pop("_titles")
        state["titles"] = [titles.get(str(number), "") for number in range(len(state["children"]))]
    return state


def _disabled(widget: DOMWidget) -> set[str]:
    """The models of the parts by which an explorer asks its kernel for something."""
    every = list(family(widget))
    parts = [getattr(each, name) for each in every for name in getattr(each, "kernel_controls", ())]
    # Taken out of its explorer the button asks as before.
    parts += [each for each in every if isinstance(each, RunBar)]
    return {part.model_id for part in parts}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
