"""The arrangement of an explorer: a header of controls in one line, and columns side by side."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ipywidgets import HBox, Layout, VBox

from xai_widgets.explorers.parts import lend
from xai_widgets.views import (
    CheckView,
    ClassPicker,
    DisplayMenu,
    IntroView,
    MethodPicker,
    RunBar,
    SelectView,
    View,
    link,
)
from xai_widgets.views.display_menu import SETTINGS
from xai_widgets.views.static_repr import set_layout

#: The share of the header that each control takes: grow, shrink, and the width at which the row breaks.
_FLEX = {
    ClassPicker: "2 1 190px",
    RunBar: "3 1 180px",
    SelectView: "0 1 auto",
    MethodPicker: "0 0 auto",
    CheckView: "0 0 auto",
    DisplayMenu: "0 0 auto",
}
#: Width below which a column goes to the next line, CSS px.
COLUMN = 220


def intro(question: str, hint: str, until: str = "press") -> IntroView:
    """Return the line above an explorer.

    Parameters
    ----------
    question : str
        The question that the explorer answers.
    hint : str
        The first thing to do; it goes after the first use.
    until : {"press", "hover"}
        The first use: a press or a key in a view, or a pointer that moves over one for a while.
    """
    line = IntroView(question=question, hint=hint, gesture=until)
    set_layout(line, width="100%", min_width="0", margin="0")
    return line


def header(*controls: Any) -> HBox:
    """Return the controls of an explorer in one line, which breaks where the explorer is narrow.

    Parameters
    ----------
    *controls : Widget
        From left to right: class, methods, layer, further choices, display, run bar, which takes the rest of the line.
    """
    for control in controls:
        flex = next((flex for kind, flex in _FLEX.items() if isinstance(control, kind)), "0 1 auto")
        set_layout(control, flex=flex, width="auto", min_width="0", margin="0")
    return _box(HBox, controls, "header", align_items="center", grid_gap="4px 12px")


def stage(*columns: Any, width: int = COLUMN) -> HBox:
    """Return columns side by side; those that do not fit go to the next line.

    Parameters
    ----------
    *columns : Widget or (Widget, float)
        Views, or columns made by :func:`column`, each with its share of the width. Default share: 1, or that of the
        column.
    width : int, default 220
        Width below which a view goes to the next line, in CSS px.
    """
    parts = []
    for given in columns:
        part, weight = given if isinstance(given, tuple) else (given, None)
        if weight is not None or "xw-layout-column" not in part._dom_classes:
            _share(part, 1 if weight is None else weight, width)
        parts.append(part)
    return _box(HBox, parts, "stage", align_items="flex-start", grid_gap="8px 16px")


def column(*parts: Any, weight: float = 1, width: int = COLUMN) -> VBox:
    """Return parts one below the other, as a column of :func:`stage`.

    Parameters
    ----------
    *parts : Widget
        From top to bottom. Views take the whole width of the column.
    weight : float, default 1
        Share of the width of the stage.
    width : int, default 220
        Width below which the column goes to the next line, in CSS px.
    """
    for part in parts:
        set_layout(part, width="100%", min_width="0", margin="0")
    box = _box(VBox, parts, "column", grid_gap="8px")
    _share(box, weight, width)
    return box


def display_menu(*views: View, settings: Collection[str] = SETTINGS) -> DisplayMenu:
    """Return the menu of the display settings that views have; their own controls are hidden.

    A setting is linked with all views that have it, and has the value of the first of them.

    Parameters
    ----------
    *views : View
        Views of images and maps.
    settings : collection of str, optional
        Names of the settings to offer. Default: all.
    """
    ends = {name: [(view, name) for view in views if name in view.keys] for name in settings}
    menu = DisplayMenu(
        shown=[name for name, found in ends.items() if found],
        help="Opacity, colors and other settings of the images",
    )
    for name, found in ends.items():
        if found:
            link(*found, (menu, name))
    for view in views:
        if "controls" in view.keys:
            view.controls = False
    return menu


def _share(part: Any, weight: float, width: int) -> None:
    set_layout(part, flex=f"{weight:g} 1 {width}px", min_width="0", margin="0")
    lend(part)


def _box(kind: Any, parts: Any, name: str, **settings: Any) -> Any:
    wrap = {"flex_flow": "row wrap"} if kind is HBox else {}
    box = kind(
        list(parts),
        layout=Layout(**{**wrap, "overflow": "visible", "margin": "0", "width": "100%", **settings}),
    )
    box.add_class(f"xw-layout-{name}")
    return box
