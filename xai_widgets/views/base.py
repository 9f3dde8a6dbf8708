"""What all views share: their bundle, their stylesheet, plain errors, ``refresh``, and what stands in for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import anywidget
from traitlets import Dict, TraitType, Unicode

from xai_widgets.errors import check_keywords, unknown_name
from xai_widgets.views.documentation import document
from xai_widgets.views.plain import make_plain
from xai_widgets.views.shown import Shown, describe_arrays
from xai_widgets.views.traits import finite

STATIC = Path(__file__).parent.parent / "static"


class View(Shown, anywidget.AnyWidget):
    """A widget that draws arrays in the browser.

    A subclass names its bundle, ``_bundle = "heatmap_view"``, which is ``static/heatmap_view.js`` with
    ``static/heatmap_view.css``, built from ``js/src/heatmap_view.js``. One that shows pictures makes a `still` one too.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view, with the nearest one that is.
    """

    title = Unicode("", help="A heading above the view, and its accessible name.").tag(sync=True)
    _channels: Dict[str, str] = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Trait by trait, the channel in which it is joined to other views; set by `link`.",
    ).tag(sync=True)

    _bundle: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # No keyword of the class statement: the metaclass of the oldest supported traitlets refuses any.
        if bundle := cls.__dict__.get("_bundle"):
            # Strings, not Paths: anywidget watches a Path and keeps every instance alive for it.
            cls._esm = (STATIC / f"{bundle}.js").read_text(encoding="utf-8")
            cls._css = (STATIC / f"{bundle}.css").read_text(encoding="utf-8")
        for trait in vars(cls).values():
            if isinstance(trait, TraitType) and trait.metadata.get("sync"):
                make_plain(trait)
                # The newest value is in the browser: the echo of an older one would pull a drag back.
                trait.tag(echo_update=False)
        super().__init_subclass__(**kwargs)
        cls.__doc__ = document(cls, View)

    def __init__(self, **kwargs: Any) -> None:
        own = sorted(set(self.trait_names()) - set(anywidget.AnyWidget.class_trait_names()))
        check_keywords(type(self).__name__, kwargs, own, self.trait_names())
        # Only in a constructor do validators see None; where it is the default it says nothing.
        said = {
            name: value
            for name, value in kwargs.items()
            if value is not None or self.traits()[name].default_value is not None
        }
        super().__init__(**said)

    @staticmethod
    def _trait_to_json(x: Any, self: Any) -> Any:
        # NaN is no JSON: neither a page nor a kernel's message can hold it.
        return finite(x)

    def summary(self) -> str:
        """What the view shows, and the size of each array; empty for one without any."""
        held = describe_arrays(self)
        return f"{self._heading()}: {held}" if held else ""

    def __repr__(self) -> str:
        return f"<{self.summary() or self._heading()}>"

    def _heading(self) -> str:
        return f"{type(self).__name__} {self.title}".strip()

    def refresh(self, name: str) -> None:
        """Send a trait again, after its array was edited in place.

        Parameters
        ----------
        name : str
            The name of a synced trait.
        """
        if name not in self.keys:
            raise ValueError(f"{type(self).__name__}: {unknown_name('trait', name, sorted(self.keys))}")
        self.send_state(name)
