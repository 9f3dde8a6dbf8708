"""The tabs and images of an exported page, which are computed first, and their states."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ipywidgets import DOMWidget
from ipywidgets.embed import dependency_state

from xai_widgets.explorers.dashboard import Dashboard
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.inverse_tabs import InverseTabs
from xai_widgets.views.static_repr import walk_widgets
from xai_widgets.views.traits import finite

#: Longest wait for results that take one pass, in seconds.
QUICK = 60

_MISSING = object()


class Frame:
    """The traits and arrays of all models while one image is chosen."""

    def __init__(self, states: dict[str, dict[str, Any]], caption: str) -> None:
        self.caption = caption
        self.values = {name: finite(settled(dict(source["state"]))) for name, source in states.items()}
        self.arrays: dict[tuple[str, str], list[tuple[list[Any], bytes]]] = {}
        for name, source in states.items():
            for buffer in source.get("buffers", ()):
                path = buffer["path"]
                self.arrays.setdefault((name, path[0]), []).append((path, base64.b64decode(buffer["data"])))

    def differing(self, other: Frame) -> Iterator[tuple[str, str]]:
        """Yield the models and traits that differ from those of another image."""
        for name, state in self.values.items():
            for key, value in state.items():
                same = other.values.get(name, {}).get(key, _MISSING) == value
                if not same or self.arrays.get((name, key)) != other.arrays.get((name, key)):
                    yield name, key


def boards(widget: DOMWidget) -> list[Dashboard]:
    """Return the dashboards of a widget."""
    return [part for part in walk_widgets(widget) if isinstance(part, Dashboard)]


def tabbed(widget: DOMWidget) -> list[Dashboard | InverseTabs]:
    """Return the dashboards and explorers with tabs that are computed when they are opened."""
    return [part for part in walk_widgets(widget) if isinstance(part, Dashboard | InverseTabs)]


def owner(widget: DOMWidget) -> Any:
    """Return the dashboard or explorer whose images are chosen in a page."""
    for part in walk_widgets(widget):
        images = getattr(getattr(part, "image_picker", None), "images", None)
        if images is not None and len(images) > 1:
            return part
    raise ValueError(
        'expected images="all" for a dashboard or an explorer of several images, got '
        f"{type(widget).__name__} of one image"
    )


def open_tabs(board: Dashboard, names: Iterable[str] | None = None) -> None:
    """Open tabs one after the other and compute them; the chosen tab stays."""
    shown = board.tabs.selected_index
    for name in list(board._pages) if names is None else names:
        board.show(name)
        board.wait()
    board.tabs.selected_index = shown
    board.wait()


def frames(widget: DOMWidget, owner: Any, caption: Callable[[DOMWidget], str]) -> list[Frame]:
    """Choose each image, compute it, and return all states; the chosen image stays."""
    made = []
    shown = owner.image_picker.frame
    opened = [name for board in boards(widget) for name in board._pages if name in board.explorers]
    for number in [*range(len(owner.image_picker.images)), shown]:
        owner.image_picker.frame = number
        if isinstance(owner, Dashboard):
            open_tabs(owner, opened)
        else:
            owner.wait()
        wait_for_quick(widget)
        made.append(Frame(dependency_state([widget], drop_defaults=False), caption(widget)))
    # The last one is the chosen image again.
    return made[:-1]


def wait_for_quick(widget: DOMWidget) -> None:
    """Wait for results that take one pass, such as the scores of a painted mask."""
    for part in walk_widgets(widget):
        if isinstance(part, Explorer):
            part.wait_for_quick(QUICK)


def leave_out_tabs(widget: DOMWidget, states: dict[str, dict[str, Any]]) -> list[str]:
    """Remove tabs that show no explorer from the states; return a sentence that names them."""
    notes = []
    for board in tabbed(widget):
        kept = [number for number, name in enumerate(board._pages) if board.is_filled(name)]
        if len(kept) == len(board._pages) or not kept:
            continue
        state = titled(states[board.tabs.model_id]["state"])
        names = [title for number, title in enumerate(state["titles"]) if number not in kept]
        for key in ("children", "titles"):
            state[key] = [state[key][number] for number in kept]
        chosen = board.tabs.selected_index or 0
        state["selected_index"] = kept.index(chosen) if chosen in kept else 0
        notes.append(f"Left out because they were not computed: {', '.join(names)}.")
    return notes


def settled(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state in which nothing is being computed."""
    if isinstance(state.get("states"), list):
        state["states"] = [
            ["waiting" if one == "computing" else one for one in row] if isinstance(row, list) else row
            for row in state["states"]
        ]
    return state


def titled(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with the titles of tabs as a list, as in ipywidgets 8; ipywidgets 7 has a dictionary by index."""
    if "_titles" in state and "titles" not in state:
        titles = state.pop("_titles")
        state["titles"] = [titles.get(str(number), "") for number in range(len(state["children"]))]
    return state
