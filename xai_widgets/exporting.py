"""Export of widgets and dashboards as self-contained HTML pages, which need neither a kernel nor a server."""

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
from xai_widgets.views.static_repr import walk_widgets
from xai_widgets.views.traits import finite

#: Texts of traits of at least this length, such as the programs of views, are stored once for all models.
SHARED = 512

#: Content security policy: a page can run its own scripts, but cannot load anything.
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
<noscript>This page shows interactive views of a network, which need JavaScript.</noscript>
<script type="application/gzip" id="program">{program}</script>
<script type="application/gzip" id="widgets-data">{data}</script>
<script type="module">
async function unzip(id) {{
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}}
const root = document.getElementById("widgets");
try {{
  const program = new Blob([await (await unzip("program")).text()], {{ type: "text/javascript" }});
  const {{ show }} = await import(URL.createObjectURL(program));
  const data = await (await unzip("widgets-data")).arrayBuffer();
  document.getElementById("state").remove();
  await show(data, root);
}} catch (error) {{
  root.prepend(`This page could not be shown: ${{error}}`);
  throw error;
}} finally {{
  root.removeAttribute("aria-busy");
}}
</script>
</body>
</html>
"""


@dataclass(frozen=True)
class Exported:
    """Path and size of an exported page.

    Attributes
    ----------
    path : Path
        File of the page.
    size : int
        Size in bytes.
    data : int
        Size of the compressed states and arrays in bytes; the rest is the program and the HTML of the page.
    widgets : int
        Number of widgets, including boxes and controls.
    """

    path: Path
    size: int
    data: int
    widgets: int

    def __str__(self) -> str:
        return f"{self.path}: {self.size / 1e6:.2f} MB, including {self.data / 1e6:.2f} MB of data"


def export(widget: DOMWidget, path: str | Path, *, title: str = "") -> Exported:
    """Export a widget as a self-contained HTML page, which opens from disk.

    Views, sliders, hover, cursors and links work as in a notebook, because they run in the browser on arrays that the
    page contains. Controls that need a kernel, such as the Run button, are disabled, with a note.

    Parameters
    ----------
    widget : ipywidgets.DOMWidget
        A view, an explorer, a dashboard, or any box of widgets of ``ipywidgets`` and ``anywidget``.
    path : str or Path
        File to write, such as "page.html"; its folder must exist. An existing file is replaced.
    title : str, optional
        Title of the page. Default: the title of the widget, or the name of its class.

    Returns
    -------
    Exported
        Path and size of the page. It contains the results computed so far; a warning names computations that are
        running.

    Raises
    ------
    TypeError
        If ``widget`` is not a widget.
    ValueError
        If it contains a widget of another library, or if the path is not a file in an existing folder.
    OSError
        If the page cannot be written, for instance on a full disk; an existing file is kept.
    """
    if not isinstance(widget, DOMWidget):
        raise TypeError(
            f"expected widget to be a view, an explorer or a box of widgets, got {type(widget).__name__}"
        )
    path = _file(path)
    running = [part for part in walk_widgets(widget) if isinstance(part, RunBar) and part.status == "running"]
    if running:
        warn(
            f"expected finished computations, got {len(running)} running: the page contains their results so far"
        )
    states = dependency_state([widget], drop_defaults=False)
    packed = gzip.compress(_pack(widget, states), mtime=0)
    title = title or getattr(widget, "title", "") or _words(type(widget).__name__)
    # A file name that is not valid UTF-8 contains characters that cannot be written.
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
    """Return the path of a page; raise ValueError if no file can be written there."""
    try:
        file = Path(path)
        valid = file.name and not file.is_dir() and file.parent.is_dir()
    except OSError as error:
        raise ValueError(
            f"expected path to be a valid file name, got {brief(str(path))} ({error.strerror})"
        ) from error
    if not valid:
        raise ValueError(
            f"expected path to be a file in an existing folder, such as 'page.html', got {str(path)!r}"
        )
    return file


def _words(name: str) -> str:
    """Return the name of a class in words, such as "Deletion explorer" for "DeletionExplorer"."""
    return re.sub(r"(?<=[a-z])[A-Z]", lambda letter: f" {letter[0].lower()}", name)


def _pack(widget: DOMWidget, states: dict[str, dict[str, Any]]) -> bytes:
    """Pack the models of a page: the length of a JSON header, the header, and the bytes of each distinct array."""
    blobs: dict[bytes, tuple[int, bytes]] = {}
    texts: dict[str, int] = {}
    positions: list[tuple[str, list[Any], int]] = []
    long_texts: list[tuple[str, str, int]] = []
    models: dict[str, dict[str, Any]] = {}
    for name, source in states.items():
        if source["model_module"] not in ("anywidget", "@jupyter-widgets/base", "@jupyter-widgets/controls"):
            raise ValueError(
                "expected only widgets of ipywidgets and anywidget, "
                f"got {source['model_name']} of {source['model_module']}"
            )
        # Widgets of ipywidgets may hold NaN, which JSON does not have.
        state = finite(_titled(dict(source["state"])))
        for buffer in source.get("buffers", ()):
            data = base64.b64decode(buffer["data"])
            index, _ = blobs.setdefault(hashlib.sha256(data).digest(), (len(blobs), data))
            positions.append((name, buffer["path"], index))
        for key, value in list(state.items()):
            if isinstance(value, str) and len(value) >= SHARED:
                long_texts.append((name, key, texts.setdefault(value, len(texts))))
                del state[key]
        models[name] = {**{key: source[key] for key in source if key.startswith("model_")}, "state": state}
    header = {
        "shown": [widget.model_id],
        "disabled": sorted(_disabled(widget)),
        "models": models,
        "texts": list(texts),
        "blobs": [len(data) for _, data in blobs.values()],
        "positions": positions,
        "long_texts": long_texts,
    }
    head = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([struct.pack("<I", len(head)), head, *(data for _, data in blobs.values())])


def _titled(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with the titles of tabs as a list, as in ipywidgets 8; ipywidgets 7 has a dictionary by index."""
    if "_titles" in state and "titles" not in state:
        titles = state.pop("_titles")
        state["titles"] = [titles.get(str(number), "") for number in range(len(state["children"]))]
    return state


def _disabled(widget: DOMWidget) -> set[str]:
    """Return the ids of the models that need a kernel."""
    every = list(walk_widgets(widget))
    parts = [getattr(each, name) for each in every for name in getattr(each, "kernel_controls", ())]
    # A run bar outside of its explorer needs the kernel, too.
    parts += [each for each in every if isinstance(each, RunBar)]
    return {part.model_id for part in parts}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
