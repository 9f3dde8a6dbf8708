"""Export of widgets and dashboards as self-contained HTML pages, which need neither a kernel nor a server."""

from __future__ import annotations

import base64
import datetime
import gzip
import html
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ipywidgets import DOMWidget
from ipywidgets.embed import dependency_state

from xai_widgets._version import __version__
from xai_widgets.core.onnx_export import NetworkFile
from xai_widgets.core.validation import brief, choice, integer
from xai_widgets.core.writing import atomic_write
from xai_widgets.errors import checked_keywords, warn
from xai_widgets.explorers import facts
from xai_widgets.explorers.page_frame import Page
from xai_widgets.explorers.page_network import PageNetwork, page_network
from xai_widgets.explorers.page_packing import pack
from xai_widgets.explorers.page_states import (
    boards,
    frames,
    leave_out_tabs,
    open_tabs,
    owner,
    wait_for_quick,
)
from xai_widgets.views import RunBar
from xai_widgets.views.base import STATIC
from xai_widgets.views.static_repr import walk_widgets

Theme = Literal["auto", "light", "dark"]

#: Size of a page that browsers still open at once, in bytes.
LARGE = 50_000_000
#: Content security policy: a page can run its own scripts, but cannot load anything.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline' blob:; "
    "img-src data: blob:; font-src data:; connect-src data: blob:; worker-src blob:"
)

PAGE = """<!DOCTYPE html>
<html lang="en" data-xw-page>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="xai_widgets {version}">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body{theme}>
<script>
(() => {{
  const {{ body }} = document;
  const given = body.dataset.theme;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let host;
  const show = () => {{
    body.dataset.jpThemeLight = (given ?? host ?? (system.matches ? "dark" : "light")) === "light";
  }};
  show();
  system.addEventListener("change", show);
  if (window.parent !== window) addEventListener("message", ({{ source, data }}) => {{
    if (source !== window.parent || !["light", "dark"].includes(data?.xaiWidgetsTheme)) return;
    host = data.xaiWidgetsTheme;
    show();
  }});
}})();
</script>
<header><h1>{title}</h1>
<p id="caption">{caption}</p>{notes}</header>
<main id="widgets" aria-busy="true"><p id="state">Opening.</p></main>
<noscript>This page shows interactive views of a network, which need JavaScript.</noscript>
<footer class="page-licenses"><details><summary>Licenses of the libraries in this page</summary>
<pre tabindex="0">{licenses}</pre></details></footer>
<script type="application/gzip" id="program">{program}</script>
<script type="application/gzip" id="widgets-data">{data}</script>
{network}<script type="module">
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
  await show(data, root, unzip);
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
    network : NetworkFile or None
        The network in the page, with its size, precision and largest difference from the scores of torch.
    """

    path: Path
    size: int
    data: int
    widgets: int
    network: NetworkFile | None = None

    def __str__(self) -> str:
        network = "" if self.network is None else f" and the network ({self.network})"
        return f"{self.path}: {self.size / 1e6:.2f} MB, including {self.data / 1e6:.2f} MB of data{network}"


@checked_keywords
def export(
    widget: DOMWidget,
    path: str | Path,
    *,
    title: str = "",
    tabs: Literal["opened", "all"] = "opened",
    images: Literal["shown", "all"] = "shown",
    network: bool | Literal["half"] = False,
    theme: Theme = "auto",
) -> Exported:
    """Export a widget as a self-contained HTML page, which opens from disk.

    Views, sliders, hover, cursors and links work as in a notebook, because they run in the browser on arrays that the
    page contains. Controls that need a kernel, such as the Run button, are left out; a line below the title names the
    network, the image, the class with its probability, the methods, the version and the date.

    Parameters
    ----------
    widget : ipywidgets.DOMWidget
        A view, an explorer, a dashboard, or any box of widgets of ``ipywidgets`` and ``anywidget``.
    path : str or Path
        File to write, such as "page.html"; its folder must exist. An existing file is replaced.
    title : str, optional
        Title of the page. Default: the title of the widget, or the name of its class with the class and the network.
    tabs : {"opened", "all"}, default "opened"
        The tabs of a dashboard: those that were opened and show the chosen image; the page names those that are left
        out. "all": each tab is opened and computed first, which may take minutes.
    images : {"shown", "all"}, default "shown"
        The images of a dashboard, or of an explorer of several images: the chosen one, or "all": each image is chosen
        and computed, and can be chosen in the page. The page grows by the arrays of each image, about as large as a
        page of one.
    network : bool or "half", default False
        Whether the page contains the network itself, which computes in the browser, without a server and with nothing
        sent. The brush of a :class:`PerturbationBrush` answers; a page without a brush gets one of its first image. If
        the brush is alone, or was added, a photograph of the reader can be opened and any class chosen. Below it,
        occlusion and RISE are computed, and curves along their maps. "half" stores the weights in half precision, which
        takes half of the size. The scores of the file are compared with those of torch here, and again by the page,
        which refuses to answer if they differ. Needs the extra "onnx". The program that runs the network takes 5 MB.
    theme : {"auto", "light", "dark"}, default "auto"
        Colors of the page: those of the system, or of the notebook that shows it by :func:`page`, or fixed ones.

    Returns
    -------
    Exported
        Path and size of the page. It contains the results computed so far; a warning names computations that are
        running, or a page of more than 50 MB.

    Raises
    ------
    TypeError
        If ``widget`` is not a widget.
    ValueError
        If it contains a widget of another library, if there is one image only for ``images="all"``, if the path is
        not a file in an existing folder, or for a network that cannot be exported.
    OSError
        If the page cannot be written, for instance on a full disk; an existing file is kept.
    """
    path = _file(path)
    content = _content(widget, title, tabs, images, network, theme)
    with atomic_write(path) as partial:
        partial.write_text(content.html, encoding="utf-8")
    exported = Exported(path, path.stat().st_size, content.data, content.widgets, content.network)
    _warn_if_large(exported.size, exported)
    return exported


@checked_keywords
def page(
    widget: DOMWidget,
    *,
    title: str = "",
    tabs: Literal["opened", "all"] = "opened",
    images: Literal["shown", "all"] = "shown",
    network: bool | Literal["half"] = False,
    theme: Theme = "auto",
    height: int = 720,
) -> Page:
    """Return a widget as a page in the output of a cell, which needs no widget library and no kernel.

    The output is the page of :func:`export` in a frame of its own. It stays interactive in a saved notebook, in its
    documents by nbconvert or Quarto, and in hosts without widgets. It requests nothing.

    Parameters
    ----------
    widget : ipywidgets.DOMWidget
        A view, an explorer, a dashboard, or any box of widgets.
    title, tabs, images, network, theme
        See :func:`export`.
    height : int, default 720
        Height in CSS px until the page reports its own, and for hosts that run no scripts in outputs.

    Returns
    -------
    Page
        The last value of a cell, or an argument of ``display``. A page without the network takes 1 to 3 MB of the
        notebook.

    Raises
    ------
    TypeError, ValueError
        See :func:`export`.

    Examples
    --------
    >>> xw.page(explorer)  # doctest: +SKIP
    """
    height = integer(height, "height", low=1)
    content = _content(widget, title, tabs, images, network, theme)
    shown = Page(content.html, content.title, height)
    _warn_if_large(shown.size, shown)
    return shown


@dataclass(frozen=True)
class _Content:
    """A page as text, with the number of its widgets and the size of its data."""

    html: str
    title: str
    data: int
    widgets: int
    network: NetworkFile | None


def _content(widget: Any, title: str, tabs: str, images: str, network: bool | str, theme: str) -> _Content:
    """Return the page of a widget."""
    if not isinstance(widget, DOMWidget):
        raise TypeError(
            f"expected widget to be a view, an explorer or a box of widgets, got {type(widget).__name__}"
        )
    choice(tabs, "tabs", ("opened", "all"))
    choice(images, "images", ("shown", "all"))
    choice(theme, "theme", ("auto", "light", "dark"))
    if network not in (False, True):
        choice(network, "network", ("half",))
    several = owner(widget) if images == "all" else None
    if tabs == "all":
        for board in boards(widget):
            open_tabs(board)
    inside = page_network(widget, half=network == "half") if network else None
    try:
        return _filled(widget, title, several, inside, theme)
    finally:
        if inside is not None:
            inside.close()


def _filled(widget: DOMWidget, title: str, several: Any, inside: PageNetwork | None, theme: str) -> _Content:
    """Return the page of a widget, with the network inside if there is one."""
    whole = widget if inside is None else inside.whole
    with nullcontext() if inside is None else inside.shown():
        shown = [] if several is None else frames(widget, several, _caption)
        wait_for_quick(whole)
        running = [
            part for part in walk_widgets(widget) if isinstance(part, RunBar) and part.status == "running"
        ]
        if running:
            warn(
                f"expected finished computations, got {len(running)} running: the page contains their results so far"
            )
        views = [] if inside is None else inside.panel.views
        states = dependency_state([whole, *views], drop_defaults=False)
    notes = [*leave_out_tabs(widget, states), *facts.errors(widget)]
    if inside is not None:
        notes += inside.notes()
    packed = gzip.compress(pack(whole, states, several, shown, inside), mtime=0)
    title = title or getattr(widget, "title", "") or _title(widget, fixed=inside is None or not inside.shows)
    text = PAGE.format(
        version=__version__,
        policy=POLICY,
        title=_text(title),
        caption=_text(_caption(widget)),
        notes="".join(f'<p class="page-note">{_text(note)}</p>' for note in notes),
        theme="" if theme == "auto" else f' data-theme="{theme}"',
        licenses=_text((STATIC / "notices.txt").read_text(encoding="utf-8")),
        style=(STATIC / "page.css").read_text(encoding="utf-8"),
        program=_base64(gzip.compress((STATIC / "page.js").read_bytes(), mtime=0)),
        data=_base64(packed),
        network="" if inside is None else inside.scripts(),
    )
    return _Content(text, title, len(packed), len(states), None if inside is None else inside.file)


def _warn_if_large(size: int, page: Any) -> None:
    if size > LARGE:
        warn(
            f"expected a page of at most {LARGE / 1e6:.0f} MB, which browsers open at once, got {page}; "
            "export fewer images or tabs"
        )


def _text(words: str) -> str:
    """Return words for HTML; a file name that is not valid UTF-8 contains characters that cannot be written."""
    return html.escape(words.encode("utf-8", "replace").decode("utf-8"))


def _title(widget: DOMWidget, *, fixed: bool = True) -> str:
    """Return the name of the class of a widget, with the name of the network, and its class if that is fixed."""
    model, target = getattr(widget, "model", None), getattr(widget, "target", None)
    ours = not type(widget).__module__.startswith("ipywidgets.")
    words = _words(type(widget).__name__) if ours else "Widgets"
    if fixed and model is not None and target is not None:
        return f"{words}: {model.labels[target]} ({facts.network(widget)})"
    named = facts.network(widget)
    return f"{words}: {named}" if named else words


def _caption(widget: DOMWidget) -> str:
    return " · ".join([*facts.facts(widget), f"xai_widgets {__version__}", datetime.date.today().isoformat()])


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


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
