"""The base class of views: bundle, stylesheet, errors of traits, ``refresh`` and text summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import anywidget
from traitlets import Dict, TraitType, Unicode

from xai_widgets.core.figures import draw_with_matplotlib, draw_with_plotly
from xai_widgets.errors import check_keywords, keywords, unknown_name
from xai_widgets.views.documentation import document
from xai_widgets.views.figures import view_panels
from xai_widgets.views.static_repr import StaticRepr, describe_arrays
from xai_widgets.views.trait_errors import patch_trait
from xai_widgets.views.traits import finite

STATIC = Path(__file__).parent.parent / "static"


class View(StaticRepr, anywidget.AnyWidget):
    """A widget that draws arrays in the browser.

    A subclass names its bundle: with ``_bundle = "heatmap_view"`` it loads ``static/heatmap_view.js`` and
    ``static/heatmap_view.css``, which are built from ``js/src/heatmap_view.js``. A view that shows images also
    overrides `static_image`.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view; the message names the nearest trait.
    """

    title = Unicode("", help="A heading above the view, and its accessible name.").tag(sync=True)
    _channels: Dict[str, str] = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="The channel of each linked trait, by the name of the trait; set by `link`.",
    ).tag(sync=True)

    _bundle: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # An attribute, not a keyword of the class statement, which the oldest supported traitlets refuses.
        if bundle := cls.__dict__.get("_bundle"):
            # Strings, not Paths: anywidget watches a Path and keeps a reference to every instance.
            cls._esm = (STATIC / f"{bundle}.js").read_text(encoding="utf-8")
            cls._css = (STATIC / f"{bundle}.css").read_text(encoding="utf-8")
        for trait in vars(cls).values():
            if isinstance(trait, TraitType) and trait.metadata.get("sync"):
                patch_trait(trait)
                # The browser has the newest value: an echo of an older one would undo a part of a drag.
                trait.tag(echo_update=False)
        super().__init_subclass__(**kwargs)
        cls.__doc__ = document(cls, View)

    def __init__(self, **kwargs: Any) -> None:
        traits = set(self.trait_names()) - set(anywidget.AnyWidget.class_trait_names())
        # A view may take what is not a trait, such as a callable; private traits are not suggested.
        own = sorted(
            {name for name in traits if not name.startswith("_")} | set(keywords(type(self).__init__)[0])
        )
        check_keywords(type(self).__name__, kwargs, own, self.trait_names())
        # Validators see None only in a constructor; leave it out where it is the default.
        given = {
            name: value
            for name, value in kwargs.items()
            if value is not None or self.traits()[name].default_value is not None
        }
        super().__init__(**given)

    @staticmethod
    def _trait_to_json(x: Any, self: Any) -> Any:
        # JSON has no NaN.
        return finite(x)

    def summary(self) -> str:
        """Return the name of the view and the size of each array; an empty string for a view without arrays."""
        held = describe_arrays(self)
        return f"{self._heading()}: {held}" if held else ""

    def plot(self) -> Any:
        """Draw the view with matplotlib: curves, bars and text as vectors, images at twice their size in a notebook.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is nothing to draw yet.
        """
        return draw_with_matplotlib(list(view_panels(self)))

    def figure(self) -> Any:
        """Draw the view with plotly; errors are those of :meth:`plot`.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        return draw_with_plotly(list(view_panels(self)))

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
