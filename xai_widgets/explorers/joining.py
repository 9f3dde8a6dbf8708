"""Joining traits of explorers, views and any other widgets."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ipywidgets import Widget, jslink

from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name
from xai_widgets.views import View
from xai_widgets.views import link as link_views
from xai_widgets.views.static_repr import browser_links, walk_widgets

#: A widget and the name of a trait of it.
End = tuple[Widget, str]


def link(*parts: Any) -> None:
    """Link a trait of several widgets, so that all have the same value: ``link(a, b, "position")``.

    The link runs in the browser and needs no kernel.

    Parameters
    ----------
    *parts : Widget, ..., str, or (Widget, str), ...
        Two or more widgets and the name of a trait that they share, or pairs of a widget and a trait. For an explorer
        or a box, every view in it with such a trait is linked. All take the value of the first.

    Raises
    ------
    ValueError
        For fewer than two widgets, or a widget without such a trait, with the nearest name.
    TypeError
        For an argument that is not a widget.

    Examples
    --------
    >>> link(explorer, another, "position")
    >>> link((slider, "value"), (explorer.heatmap, "opacity"))
    """
    given: list[Any] = list(parts)
    if given and isinstance(given[-1], str):
        name = given.pop()
        given = [part if isinstance(part, tuple) else (part, name) for part in given]
    if len(given) < 2:
        raise ValueError(f"expected at least two widgets and the name of a trait, got {len(given)}")
    ends = [end for part in given for end in _ends(part)]
    views = [end for end in ends if isinstance(end[0], View)]
    others = [end for end in ends if not isinstance(end[0], View)]
    first, first_name = ends[0]
    for widget, trait in ends[1:]:
        setattr(widget, trait, getattr(first, first_name))
    if len(views) > 1:
        link_views(*views)
    # A chain that begins with one of the linked views.
    for one, other in pairwise([*views[:1], *others]):
        browser_links.add(jslink(one, other))


def _ends(part: Any) -> list[End]:
    if not (isinstance(part, tuple) and len(part) == 2):
        raise TypeError(
            f"expected widgets followed by the name of a trait, or (widget, name), got {brief(part)}"
        )
    widget, name = part
    if not isinstance(widget, Widget):
        raise TypeError(f"expected a widget, got {type(widget).__name__}")
    if name in widget.keys:
        return [(widget, name)]
    views = [each for each in walk_widgets(widget) if isinstance(each, View)]
    found: list[End] = [(view, name) for view in views if name in view.keys]
    if not found:
        public = sorted({key for each in [*views, widget] for key in each.keys if not key.startswith("_")})
        raise ValueError(f"{type(widget).__name__}: {unknown_name('trait', name, public)}")
    return found
