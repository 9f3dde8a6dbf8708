"""The box that explorers are made of, with a static image for saved notebooks and a layout for marimo."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ipywidgets import HTML, Box, HBox, Tab, VBox, Widget

from xai_widgets.errors import check_keywords, keywords
from xai_widgets.explorers.arguments import plain_arguments
from xai_widgets.views.static_repr import StaticRepr, walk_widgets

P = ParamSpec("P")
AnyPanel = TypeVar("AnyPanel", bound="Panel")


#: The traits of a layout for the size of a widget.
_SIZES = ("flex", "width", "min_width", "max_width")


class Panel(StaticRepr, VBox):
    """A vertical box of views, controls and other boxes."""

    _adopted: tuple[Widget, ...] = ()
    #: The arguments of the constructor by name, to write code that makes the panel again.
    _arguments: dict[str, Any] | None = None
    _constructing = False

    def _constructed(self, state: Mapping[str, Any] | None) -> None:
        """Begin with a state; called after the constructor."""

    def _adopt(self, *widgets: Widget) -> None:
        """Make widgets and all inside them parts of this panel, which are closed with it."""
        known = set(map(id, self._adopted))
        found = [
            one for widget in widgets for one in with_companions(walk_widgets(widget)) if id(one) not in known
        ]
        self._adopted = (*self._adopted, *found)

    def owned(self) -> Iterator[Widget]:
        """Yield the panel and the widgets that are closed with it."""
        yield self
        yield from self._adopted

    def close(self) -> None:
        """Close every part."""
        parts, self._adopted = self._adopted, ()
        super().close()
        for part in parts:
            part.close()
            # A part that is still referenced must not keep the explorer and its network in memory.
            part.unobserve_all()

    def _heading(self) -> str:
        """Return the name of the explorer, with the network and the class if it has them."""
        model, target = getattr(self, "model", None), getattr(self, "target", None)
        words = [type(self).__name__, getattr(model, "name", "")]
        if model is not None and target is not None:
            words.append(f"for {model.labels[target]!r}")
        return " ".join(filter(None, words))

    def _display_(self) -> Any:
        """Return the panel as marimo displays it: boxes and controls of marimo around the views."""
        return _in_marimo(self)


def with_companions(widgets: Iterable[Any]) -> Iterator[Widget]:
    """Yield widgets, and the layout and style of those that do not close their own."""
    for widget in widgets:
        yield widget
        if not isinstance(widget, StaticRepr):
            beside = (getattr(widget, name, None) for name in ("layout", "style"))
            yield from (one for one in beside if isinstance(one, Widget))


def closed_on_error(
    construct: Callable[Concatenate[AnyPanel, P], None],
) -> Callable[Concatenate[AnyPanel, P], None]:
    """Check the arguments of a constructor, and close the widgets that it made if it raises.

    Widgets that stay registered are never freed. The constructor takes one more argument, ``state``, a result of
    ``state()``.
    """

    @wraps(construct)
    def constructed(self: AnyPanel, *args: P.args, **kwargs: P.kwargs) -> None:
        outermost, self._constructing = not self._constructing, True
        state: Any = kwargs.pop("state", None)
        check_keywords(type(self).__name__, kwargs, [*keywords(construct)[0], "state"], self.trait_names())
        plain, named = plain_arguments(construct, self, *args, **kwargs)
        try:
            construct(*plain, **named)
            if outermost:
                self._arguments = _by_name(construct, self, *args, **kwargs)
                self._constructing = False
                self._constructed(state)
        except BaseException:
            self._adopt(*(part for part in list(vars(self).values()) if isinstance(part, Widget)))
            self.close()
            raise

    signature = inspect.signature(construct)
    parameters = list(signature.parameters.values())
    last = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    state = inspect.Parameter("state", inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters.insert(len(parameters) - last, state)
    constructed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return constructed


def _by_name(construct: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call of a constructor by their names."""
    bound = inspect.signature(construct).bind(*args, **kwargs).arguments
    named = dict(list(bound.items())[1:])
    more = named.pop("kwargs", {})
    return {**named, **more}


def _in_marimo(widget: Any) -> Any:
    """Convert a box or control of ipywidgets to marimo; views are returned as they are."""
    import marimo as mo

    if isinstance(widget, Tab):
        return _tabs_in_marimo(widget)
    if isinstance(widget, Box):
        # Parts of marimo's boxes cannot be hidden later: parts that are hidden now are left out.
        parts = [child for child in widget.children if child.layout.display != "none"]
        cells = [f'<div style="{_css(child)}">{mo.as_html(_in_marimo(child)).text}</div>' for child in parts]
        layout, row = widget.layout, isinstance(widget, HBox)
        style = [
            f"display: flex; flex-flow: {'row wrap' if row else 'column'}; gap: {layout.grid_gap or '8px'}",
            f"align-items: {layout.align_items or ('flex-start' if row else 'stretch')}",
        ]
        return mo.Html(f'<div style="{"; ".join(style)}">{"".join(cells)}</div>')
    if isinstance(widget, HTML):
        return mo.Html(widget.value)
    return widget


def _css(widget: Any) -> str:
    """Return the share of a row or column that a widget takes, as CSS."""
    sizes = {name.replace("_", "-"): getattr(widget.layout, name) for name in _SIZES}
    return "; ".join(f"{name}: {value}" for name, value in sizes.items() if value)


def _tabs_in_marimo(tab: Any) -> Any:
    """Convert tabs; each is converted when it is first opened, because its content may be made then."""
    import marimo as mo

    titles = [tab.get_title(number) for number in range(len(tab.children))]

    def choose(title: str) -> None:
        tab.selected_index = titles.index(title)

    def later(title: str) -> Any:
        def make() -> Any:
            choose(title)
            return _in_marimo(tab.children[titles.index(title)])

        return _kept(tab, mo.lazy(make))

    chosen = titles[tab.selected_index or 0]
    return _kept(tab, mo.ui.tabs({title: later(title) for title in titles}, value=chosen, on_change=choose))


def _kept(widget: Any, made: Any) -> Any:
    """Keep an element, to which marimo has a weak reference only, as long as its widget."""
    vars(widget).setdefault("_of_marimo", []).append(made)
    return made
