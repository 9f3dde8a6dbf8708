"""Text and a static image of a widget, stored in a notebook for programs that cannot show widgets.

Jupyter shows the widget, GitHub, nbviewer and PDF files show the image, terminals and screen readers use the text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from textwrap import indent
from typing import Any
from weakref import WeakSet

import anywidget
import numpy as np
from ipywidgets import DOMWidget, Tab, Widget
from numpy.typing import NDArray

from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array
from xai_widgets.views.preview import Pixels, add_captions, encode_png, sheet

logger = logging.getLogger(__name__)

WIDGET = "application/vnd.jupyter.widget-view+json"
#: Shown below the text of every widget.
RUN_HINT = (
    "To use the widget, run this cell in a notebook, or export it: xai_widgets.export(widget, 'page.html')."
)

#: Shown below every static image.
STATIC_IMAGE_NOTE = "A static image: run the cell to use the widget."


#: Links between widgets, which are widgets, too; a link is closed with either of its ends.
browser_links: WeakSet[Widget] = WeakSet()


class StaticRepr(DOMWidget):
    """A widget that stores a text and a static image in the output of its cell."""

    _own_layout: Widget | None = None
    #: Whether an output of a cell had the widget itself, not as a part of another one.
    displayed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A layout that the caller passed may be shared with other widgets.
        if not isinstance(kwargs.get("layout"), Widget):
            self._own_layout = self.layout

    def close(self) -> None:
        """Close the widget, its layout and its links, and remove its observers."""
        super().close()
        if self._own_layout is not None:
            self._own_layout.close()
        for link in list(browser_links):
            if any(self is end[0] for end in (link.source, link.target)):
                link.close()
                browser_links.discard(link)
        self.unobserve_all()

    def static_image(self) -> Pixels | None:
        """Return a static image, uint8 of shape (H, W, 3), or None; for a box, those of its children in rows."""
        return sheet([image for part in _visible(self) if (image := part.static_image()) is not None])

    def summary(self) -> str:
        """Describe the parts of the widget and the sizes of their arrays; return an empty string for a control."""
        parts = [words for part in _visible(self) if (words := part.summary())]
        return "\n".join([self._heading(), *(indent(words, "  ") for words in parts)])

    def __repr__(self) -> str:
        return f"<{self._heading()}>"

    def _heading(self) -> str:
        """Return the name of the widget."""
        return type(self).__name__

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        if self._view_name is None:
            return None
        self.displayed = True
        words = self.summary() or self._heading()
        data = {
            "text/plain": f"{words}\n{RUN_HINT}",
            WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self.model_id},
        }
        metadata = _metadata(self)
        if (image := _draw_static_image(self)) is not None:
            image = add_captions(image, self._heading(), STATIC_IMAGE_NOTE)
            data["image/png"] = encode_png(image)
            metadata["image/png"] = {"width": image.shape[1], "height": image.shape[0], "alt": words}
        return data, metadata

    if hasattr(DOMWidget, "_ipython_display_"):
        # ipywidgets 7 calls this method, not `_repr_mimebundle_`.
        def _ipython_display_(self, **kwargs: Any) -> None:
            from IPython.display import display

            if (bundle := self._repr_mimebundle_()) is not None:
                display(bundle[0], metadata=bundle[1], raw=True)
                self._handle_displayed(**kwargs)


def describe_arrays(widget: Any) -> str:
    """Return the names and shapes of the arrays of a widget, such as "image 96 × 96, maps 3 × 12 × 12"."""
    descriptions = []
    for name, trait in widget.traits().items():
        value = getattr(widget, name) if isinstance(trait, Array | Arrays) else None
        if value is None:
            continue
        arrays = value if isinstance(trait, Arrays) else [value]
        descriptions += [f"{name} {_extents(one)}" for one in arrays]
    return ", ".join(descriptions)


def _extents(array: NDArray[Any]) -> str:
    # Leave out the three channels of an image.
    pixels = array.dtype == np.uint8 and array.shape[-1] == 3
    return " × ".join(map(str, array.shape[:-1] if pixels else array.shape))


def set_layout(*widgets: DOMWidget, **traits: Any) -> None:
    """Set traits of the layouts of widgets; a new layout would leave the old one registered."""
    for widget in widgets:
        with widget.layout.hold_sync():
            for name, value in traits.items():
                setattr(widget.layout, name, value)


def walk_widgets(widget: Any) -> Iterator[Any]:
    """Yield a widget and all its descendants."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk_widgets(child)


def _visible(widget: Any) -> Iterator[StaticRepr]:
    """Yield the visible descendants of this class, without their own descendants."""
    children = getattr(widget, "children", ())
    if isinstance(widget, Tab):
        # The other tabs are hidden.
        children = children[widget.selected_index or 0 :][:1]
    for child in children:
        if child.layout.display == "none":
            continue
        if isinstance(child, StaticRepr):
            yield child
        else:
            yield from _visible(child)


def visible_views(widget: Any) -> Iterator[Any]:
    """Yield the visible views of a widget, at any depth."""
    children = list(_visible(widget))
    for child in children:
        if getattr(child, "children", ()):
            yield from visible_views(child)
        else:
            yield child


def _draw_static_image(widget: StaticRepr) -> Pixels | None:
    """Return the static image; an error in drawing it is logged, so that the widget is displayed anyway."""
    try:
        return widget.static_image()
    except Exception:
        logger.warning("the static image of a %s could not be drawn", type(widget).__name__, exc_info=True)
        return None


def _metadata(widget: Any) -> dict[str, Any]:
    """Return the metadata that Colab needs for custom widgets, from anywidget."""
    inner = (each for each in walk_widgets(widget) if isinstance(each, anywidget.AnyWidget))
    bundle = next((anywidget.AnyWidget._repr_mimebundle_(each) for each in inner), None)
    return {} if bundle is None else dict(bundle[1])
