"""Explorers whose cell was run again, which are closed when nothing refers to them any more.

The registry of ipywidgets holds every widget, and a notebook keeps the results of cells in ``Out``, so Python alone
never frees an explorer. One that no page shows and no variable holds is out of reach of the user.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import ipywidgets
from ipywidgets import Widget

from xai_widgets.core.interrupt import running_shell
from xai_widgets.views.static_repr import browser_links

#: Seconds without a view before an explorer is closed: a cell that is moved shows it again.
GRACE = 2.0


class Displays:
    """The panels that the cells of a notebook display.

    Parameters
    ----------
    shell : InteractiveShell
        The shell of IPython.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        #: The cells whose outputs have a panel: none if all of them were run again.
        self._cells: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()
        #: The number of references to a panel when it was found to be held.
        self._counts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", lambda _result: self._look())

    def add(self, panel: Any) -> None:
        """Note that the cell that runs displays a panel."""
        parent = self._shell.kernel.get_parent("shell") or {}
        # A cell without a name is never known to be run again.
        self._cells.setdefault(panel, set()).add((parent.get("metadata") or {}).get("cellId") or "")
        panel.menu.observe(self._on_visibility, "visibility")

    def _before_cell(self, info: Any) -> None:
        for cells in list(self._cells.values()):
            cells.discard(getattr(info, "cell_id", None))

    def _on_visibility(self, change: dict[str, Any]) -> None:
        if change["new"] == "gone":
            self._look()

    def _look(self) -> None:
        """Close, after a while, what was replaced and neither shown nor held."""
        for reference in [weakref.ref(panel) for panel in list(self._cells)]:
            panel = reference()
            if panel is None or not self._is_replaced(panel):
                continue
            # References came or went since it was found to be held.
            if self._counts.get(panel) != sys.getrefcount(panel):
                timer = threading.Timer(GRACE, self._close, [reference])
                timer.daemon = True
                timer.start()

    def _is_replaced(self, panel: Any) -> bool:
        return not self._cells.get(panel) and panel.menu.visibility == "gone"

    def _close(self, reference: weakref.ref[Any]) -> None:
        panel = reference()
        if panel is None or not self._is_replaced(panel):
            return
        del panel
        if not close_unless_held(reference, self._shell) and (panel := reference()) is not None:
            self._counts[panel] = sys.getrefcount(panel)


_displays: Displays | None = None


def note_display(panel: Any) -> None:
    """Note that a cell displays a panel, so that it is closed after the cell is run again; only in a kernel."""
    global _displays
    shell = running_shell()
    # A tab of an explorer has no menu of its own, and is closed with the explorer.
    if getattr(shell, "kernel", None) is None or not hasattr(panel, "menu"):
        return
    if _displays is None:
        _displays = Displays(shell)
    _displays.add(panel)


#: One panel at a time.
_lock = threading.Lock()


def close_unless_held(reference: weakref.ref[Any], shell: Any = None) -> bool:
    """Close a panel and free all that it holds, unless a variable, or a part that is shown alone, refers to it.

    The caller must hold no reference. ``Out`` and the names of results, such as ``_`` and ``_12``, do not count.

    Parameters
    ----------
    reference : weakref.ref
        Refers to the panel.
    shell : InteractiveShell, optional
        The shell of IPython, which keeps results of cells.

    Returns
    -------
    bool
        Whether the panel was closed.
    """
    with _lock, _without_collections():
        names = _let_go(reference, shell)
        if names is None:
            return False
        gc.collect()
        panel = reference()
        if panel is None:
            return True
        for widget in _widgets(panel):
            _registry()[widget.model_id] = widget
        for space, name in names:
            space[name] = panel
        return False


@contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage but by request: widgets close when they are collected, which must not happen anywhere."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _let_go(reference: weakref.ref[Any], shell: Any) -> list[tuple[Any, Any]] | None:
    """Remove a panel from the registry of widgets and from the results; return the names that it had there."""
    panel = reference()
    if panel is None or any(
        part is not panel and getattr(part, "displayed", False) for part in panel.owned()
    ):
        return None
    for widget in _widgets(panel):
        _registry().pop(widget.model_id, None)
        widget.comm.on_msg(_weakly(weakref.WeakMethod(widget._handle_msg)))
    names = [(space, name) for space, name in _results(shell) if space[name] is panel]
    for space, name in names:
        del space[name]
    return names


def _widgets(panel: Any) -> list[Widget]:
    """Return the widgets of a panel that have not been closed, their layouts, and the links between them."""
    parts = list(panel.owned())
    known = set(map(id, parts))
    links = [
        link for link in list(browser_links) if id(link.source[0]) in known and id(link.target[0]) in known
    ]
    layouts = [layout for part in parts if (layout := getattr(part, "_own_layout", None)) is not None]
    return [widget for widget in [*parts, *layouts, *links] if widget.comm is not None]


def _registry() -> MutableMapping[str, Widget]:
    """Return the registry of ipywidgets, version 7 or 8."""
    registry: MutableMapping[str, Widget] | None = getattr(ipywidgets.widgets.widget, "_instances", None)
    return Widget.widgets if registry is None else registry


def _weakly(method: weakref.WeakMethod[Any]) -> Any:
    def call(message: Any) -> None:
        if (bound := method()) is not None:
            bound(message)

    return call


def _results(shell: Any) -> Iterator[tuple[MutableMapping[Any, Any], Any]]:
    """Yield where results of cells are kept: ``Out``, and names such as ``_`` and ``_12``."""
    if shell is None:
        return
    for number in list(shell.user_ns.get("_oh", ())):
        yield shell.user_ns["_oh"], number
    for space in (shell.user_ns, shell.user_ns_hidden, vars(shell.displayhook)):
        for name in list(space):
            if name.strip("_").isdigit() or not name.strip("_"):
                yield space, name
