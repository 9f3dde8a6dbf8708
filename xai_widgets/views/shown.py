"""What a notebook keeps of a widget beside the widget itself: words and a picture, for where it cannot live.

GitHub, nbviewer and a PDF take the picture; a terminal and a screen reader take the words. Jupyter takes the widget.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from textwrap import indent
from typing import Any
from weakref import WeakSet

import anywidget
import numpy as np
from ipywidgets import DOMWidget, Widget
from numpy.typing import NDArray

from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array
from xai_widgets.views.preview import Pixels, captioned, drawn_area, png

logger = logging.getLogger(__name__)

WIDGET = "application/vnd.jupyter.widget-view+json"
#: Said under the words about every widget.
ALIVE = "To see it alive, run this cell in a notebook, or write it as a page: xai_widgets.export(it, 'page.html')."

#: Said in every picture.
STILL = "A still picture: run the cell to see it alive."


#: Links that the package made between widgets, which are widgets themselves; each goes with either of its ends.
links: WeakSet[Widget] = WeakSet()


class Shown(DOMWidget):
    """A widget that leaves words and a picture of itself in the output of its cell."""

    _own_layout: Widget | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A layout that was given may belong to other widgets too.
        if not isinstance(kwargs.get("layout"), Widget):
            self._own_layout = self.layout

    def close(self) -> None:
        """Close the widget, its layout and its links, and forget who observes it: nothing of it stays registered."""
        super().close()
        if self._own_layout is not None:
            self._own_layout.close()
        for link in list(links):
            if any(self is end[0] for end in (link.source, link.target)):
                link.close()
                links.discard(link)
        self.unobserve_all()

    def still(self) -> Pixels | None:
        """The still picture, uint8 of shape (H, W, 3), or None: of a box, the largest of what it shows."""
        pictures = [made for part in _visible(self) if (made := part.still()) is not None]
        return max(pictures, key=drawn_area, default=None)

    def summary(self) -> str:
        """What the widget shows, of which size, part by part; empty for a mere control."""
        parts = [words for part in _visible(self) if (words := part.summary())]
        return "\n".join([self._heading(), *(indent(words, "  ") for words in parts)])

    def __repr__(self) -> str:
        return f"<{self._heading()}>"

    def _heading(self) -> str:
        """What it is."""
        return type(self).__name__

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        if self._view_name is None:
            return None
        words = self.summary() or self._heading()
        data = {
            "text/plain": f"{words}\n{ALIVE}",
            WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self.model_id},
        }
        metadata = _metadata(self)
        if (made := _still(self)) is not None:
            made = captioned(made, self._heading(), STILL)
            data["image/png"] = png(made)
            metadata["image/png"] = {"width": made.shape[1], "height": made.shape[0], "alt": words}
        return data, metadata

    if hasattr(DOMWidget, "_ipython_display_"):
        # Widgets of ipywidgets 7 display themselves, and nobody asks them for a bundle.
        def _ipython_display_(self, **kwargs: Any) -> None:
            from IPython.display import display

            if (bundle := self._repr_mimebundle_()) is not None:
                display(bundle[0], metadata=bundle[1], raw=True)
                self._handle_displayed(**kwargs)


def describe_arrays(widget: Any) -> str:
    """Names and shapes of the arrays that a widget holds, such as "image 96 × 96, maps 3 × 12 × 12"."""
    held = []
    for name, trait in widget.traits().items():
        value = getattr(widget, name) if isinstance(trait, Array | Arrays) else None
        if value is None:
            continue
        arrays = value if isinstance(trait, Arrays) else [value]
        held += [f"{name} {_extents(one)}" for one in arrays]
    return ", ".join(held)


def _extents(array: NDArray[Any]) -> str:
    # That a pixel has three colours says nothing.
    pixels = array.dtype == np.uint8 and array.shape[-1] == 3
    return " × ".join(map(str, array.shape[:-1] if pixels else array.shape))


def lay_out(*widgets: DOMWidget, **traits: Any) -> None:
    """Set traits of the layouts that widgets have; another layout would leave the first one registered."""
    for widget in widgets:
        with widget.layout.hold_sync():
            for name, value in traits.items():
                setattr(widget.layout, name, value)


def family(widget: Any) -> Iterator[Any]:
    """A widget, its children, and theirs."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from family(child)


def _visible(widget: Any) -> Iterator[Shown]:
    """The nearest widgets inside that can show themselves, without those that are hidden."""
    for child in getattr(widget, "children", ()):
        if child.layout.display == "none":
            continue
        if isinstance(child, Shown):
            yield child
        else:
            yield from _visible(child)


def _still(widget: Shown) -> Pixels | None:
    """The picture; an error in drawing it is logged, for the widget itself is to be displayed all the same."""
    try:
        return widget.still()
    except Exception:
        logger.warning("no still picture of a %s could be made", type(widget).__name__, exc_info=True)
        return None


def _metadata(widget: Any) -> dict[str, Any]:
    """What Colab has to be told of widgets that are not its own; anywidget knows."""
    inner = (each for each in family(widget) if isinstance(each, anywidget.AnyWidget))
    bundle = next((anywidget.AnyWidget._repr_mimebundle_(each) for each in inner), None)
    return {} if bundle is None else dict(bundle[1])
