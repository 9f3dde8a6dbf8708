"""A plot of curves with a cursor, which grows while values are computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Dict, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name
from xai_widgets.views import plot, preview
from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.steps import nearest_ready
from xai_widgets.views.traits import Choice, Unit

#: Keys of an entry of ``CurveView.series``, with the type of each.
SERIES_KEYS: dict[str, type] = {
    "label": str,
    "note": str,
    "frame": int,
    "look": int,
    "mode": str,
    "style": str,
    "color": str,
    "name": str,
    "auc": float,
    "warning": str,
    "flip": float,
    "flip_label": str,
    "between": float,
    "scope": str,
}
#: Line styles of a curve.
STYLES = ("solid", "dashed")
#: Scales of the x axis.
X_SCALES = ("linear", "sqrt", "log")
#: Ranges of the y axis for values within [0, 1].
Y_RANGES = ("unit", "fit")
#: Smallest height of a plot, CSS px.
LOWEST = 80

#: Keys of an entry of ``CurveView.lines`` and of ``CurveView.marks``; the first two are required.
LINE_KEYS: dict[str, type] = {"y": float, "label": str, "color": str}
MARK_KEYS: dict[str, type] = {"x": float, "label": str}


class CurveView(View):
    """Several curves over one x.

    `y` can be assigned again as values arrive: zoom, cursor and hidden curves are kept.

    Raises
    ------
    traitlets.TraitError
        For a trait of the wrong type, shape or range.

    Examples
    --------
    >>> view = CurveView(x=np.linspace(0, 1, 5), y=np.ones((1, 5)), series=[{"label": "gradient"}])
    """

    _bundle = "curve_view"

    x = Array("float32", (None,), help="The x of each value, finite and strictly ascending, shape (T,).")
    y = Array(
        "float32",
        (None, None),
        help=(
            "One row for each curve, shape (S, T); NaN where nothing is computed yet. Computed neighbors are "
            "joined by a line."
        ),
    )
    series: List[dict[str, Any]] = List(
        Dict(),
        help=(
            "One entry for each row of `y`, each with any of ``label`` (str), ``note`` (str, shown after the "
            'label, such as ``"AUC 0.123"``), ``frame`` (int, default the row), ``mode`` (str, '
            'default ""), ``look`` (int, default ``frame``: an index of colors and markers; no two of 64 '
            'successive ones are alike), ``style`` ("solid", the default, or "dashed"), ``color`` (a CSS color '
            "in place of a look), and for a legend in a table ``name`` (str: curves of one "
            "name share a row), ``auc`` (float, the area under the curve), ``warning`` (str, the tooltip of a "
            "mark), ``flip`` (float, an `x` where a mark shows that the predicted class changes) and "
            "``flip_label`` (str, shown below the table), ``between`` (float, a number about all curves of one "
            "name, such as the area between them), and ``scope`` (str: the curve is drawn in that `scope` only). "
            "Missing entries are filled with the defaults."
        ),
    ).tag(sync=True)
    band = Array(
        "float32",
        (2, None, None),
        help=(
            "The ends of a spread or of an interval for each value of `y`, such as percentiles of several runs, shape "
            "(2, S, T), drawn as an area; NaN for a curve without one."
        ),
    )
    lines: List[dict[str, Any]] = List(
        Dict(),
        help=(
            "Horizontal lines to compare with, each with ``y`` (float), ``label`` (str) and "
            "optionally ``color`` (a CSS color). The y axis makes room for them."
        ),
    ).tag(sync=True)
    marks: List[dict[str, Any]] = List(
        Dict(),
        help=(
            "Marked positions on x, each with ``x`` (float) and ``label`` (str), such as "
            '``{"x": 0.1, "label": "a* = 10 %"}``. A click on one, or Enter, sets `fraction` to it.'
        ),
    ).tag(sync=True)
    hidden: List[int] = List(
        Int(),
        help=("The rows of `y` that are not drawn; the check boxes of the legend set it."),
    ).tag(sync=True)
    fraction = Unit(help="Position of the cursor between the first (0) and the last (1) `x`.")
    steps = Array(
        "float32",
        (None,),
        help=(
            "Positions on x, in any order, at which the cursor stops, shape (P,): a drag moves it to the "
            "nearest one, a key to the next. Without steps, it can stand anywhere."
        ),
    )
    step = Int(
        -1,
        min=-1,
        help=(
            "Index of the step that is nearest to `fraction`; -1 for none. Setting it, for instance by "
            '``link((slider, "frame"), (curves, "step"))``, sets `fraction`.'
        ),
    ).tag(sync=True)
    frame = Int(
        0,
        help="The ``frame`` of the active curve, which is drawn thicker; a click on a curve or on its name sets it.",
    ).tag(sync=True)
    mode = Unicode(
        "", help="The ``mode`` of the active curve; a curve without a mode is active in every mode."
    ).tag(sync=True)
    only_active = Bool(
        False,
        help=(
            "Whether only the active curves, those of `frame` and `mode`, are drawn and in the legend, such as the "
            "curves of one stop of a slider."
        ),
    ).tag(sync=True)
    scope: Any = Unicode(
        "",
        help=(
            "The ``scope`` of the curves that are drawn, such as those of one image, or means over many; buttons "
            "above the plot set it. The first scope of `series` if it is none of them."
        ),
    ).tag(sync=True)
    scope_notes: Dict[str, str] = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="The line below the table while a scope is chosen, by scope.",
    ).tag(sync=True)
    area_label = Unicode("AUC", help="The name of ``auc`` in the table.").tag(sync=True)
    between_label = Unicode("", help='The name of ``between`` in the table, such as ``"ABPC"``.').tag(
        sync=True
    )
    snap = Bool(
        False,
        help=(
            "Whether the cursor stops only at values of `x`, and when it is moved, at those of them that are "
            "computed for the active curve. `steps` come first."
        ),
    ).tag(sync=True)
    sort = Unicode(
        "",
        help=(
            "The order of the table: a mode sorts it by the area under the curves of that mode, the lowest "
            'first, or the highest first after a "-", as in ``"-insertion"``; `between_label` by that number; "" '
            "for the order of `series`."
        ),
    ).tag(sync=True)
    x_scale = Choice(
        X_SCALES,
        help=(
            'Scale of the x axis; "sqrt" stretches small values and needs every `x` to be at least 0, "log" '
            "needs it above 0. `fraction` stays linear in x; the keys move the cursor by equal steps of the "
            "axis."
        ),
    )
    x_percent = Bool(False, help="Whether `x` is a share that is shown in percent.").tag(sync=True)
    y_range = Choice(
        Y_RANGES,
        help=(
            'The y axis of values within [0, 1]: "unit" for 0 to 1, "fit" for 0 to a round number above the '
            "highest visible curve."
        ),
    )
    x_label = Unicode("fraction", help="Label of the x axis.").tag(sync=True)
    y_label = Unicode("", help="Label of the y axis.").tag(sync=True)
    height = Int(
        260,
        min=0,
        help=(
            "Height of the plot in CSS px, without the legend; at least 80, or 0 for a height that follows the "
            "width."
        ),
    ).tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
    legend = Bool(
        True, help="Whether the names of the curves are listed below the plot; they may stand elsewhere."
    ).tag(sync=True)
    mode_buttons = Bool(
        True, help="Whether curves with a legend in a table have buttons that choose `mode`, above the plot."
    ).tag(sync=True)
    controls = Bool(
        True,
        help=(
            "Whether the toolbar (scales, zoom, reset) is shown. The CSV file of the menu has a column for each "
            "curve and each line, and one for the names of the marks, if any."
        ),
    ).tag(sync=True)

    @validate("x")
    def _ascending(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        x: NDArray[np.float32] = proposal["value"]
        if not (np.isfinite(x).all() and (np.diff(x) > 0).all()):
            raise TraitError(
                "expected CurveView.x to be finite and strictly ascending, got a value that is not above the one before"
            )
        check_drawable(x, self.x_scale)
        return x

    @validate("height")
    def _high_enough(self, proposal: dict[str, Any]) -> int:
        height: int = proposal["value"]
        if 0 < height < LOWEST:
            raise TraitError(f"expected CurveView.height to be 0 or at least {LOWEST}, got {height}")
        return height

    @validate("steps")
    def _finite(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        steps: NDArray[np.float32] = proposal["value"]
        if not np.isfinite(steps).all():
            raise TraitError("expected CurveView.steps to be finite positions on x, got NaN or infinity")
        return steps

    @validate("x_scale")
    def _drawable(self, proposal: dict[str, Any]) -> str:
        scale: str = proposal["value"]
        if self.x is not None:
            check_drawable(self.x, scale)
        return scale

    @validate("series")
    def _known_keys(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = proposal["value"]
        for row, entry in enumerate(entries):
            check_entry(f"CurveView.series[{row}]", entry, SERIES_KEYS)
            if entry.get("style", "solid") not in STYLES:
                raise TraitError(f"CurveView.series[{row}]: {unknown_name('style', entry['style'], STYLES)}")
        return entries

    @validate("lines", "marks")
    def _known_guides(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        name = proposal["trait"].name
        keys = LINE_KEYS if name == "lines" else MARK_KEYS
        for row, entry in enumerate(proposal["value"]):
            check_entry(f"CurveView.{name}[{row}]", entry, keys, required=list(keys)[:2])
        # Plain floats: numbers of numpy cannot be sent.
        return [
            {key: float(value) if keys[key] is float else value for key, value in entry.items()}
            for entry in proposal["value"]
        ]

    @observe("step", "steps", "x")
    def _choose_step(self, _change: object) -> None:
        """Set the fraction to the position of the step."""
        steps = self._step_fractions()
        if 0 <= self.step < len(steps):
            self.fraction = min(max(steps[self.step], 0.0), 1.0)

    @observe("fraction", "snap", "x")
    def _snap(self, _change: object) -> None:
        """Set the fraction to the nearest value of x, where the cursor snaps."""
        if self.snap and not self._step_fractions() and self.x is not None and len(self.x) > 1:
            first, last = float(self.x[0]), float(self.x[-1])
            near = float(self.x[nearest_ready(self.x, first + self.fraction * (last - first))])
            self.fraction = min(max((near - first) / (last - first), 0.0), 1.0)

    @observe("fraction")
    def _follow(self, change: object) -> None:
        """Set the step to the one nearest to the fraction; keep it if it is at the same position."""
        steps = self._step_fractions()
        nearest = nearest_ready(steps, self.fraction)
        if nearest >= 0 and steps[nearest] not in steps[max(self.step, 0) : self.step + 1]:
            self.step = nearest
        else:
            self._choose_step(change)

    def _step_fractions(self) -> list[float]:
        if self.steps is None or self.x is None or len(self.x) < 2:
            return []
        first, last = float(self.x[0]), float(self.x[-1])
        return [(float(step) - first) / (last - first) for step in self.steps]

    @property
    def shown_rows(self) -> list[int]:
        """The rows of `y` that are drawn: those that are not hidden, of the chosen scope."""
        if self.y is None:
            return []
        entries = [*self.series, *({} for _ in range(len(self.y) - len(self.series)))]
        scopes = list(dict.fromkeys(entry["scope"] for entry in entries if entry.get("scope")))
        chosen = self.scope if self.scope in scopes else (scopes or [""])[0]
        return [
            row
            for row in range(len(self.y))
            if row not in self.hidden and entries[row].get("scope", "") in ("", chosen)
        ]

    def static_image(self) -> preview.Pixels | None:
        """Return a plot of the curves, without the cursor."""
        if self.x is None or self.y is None or not self.x.size:
            return None
        shown = self.shown_rows
        return plot.curves(
            self.x,
            self.y,
            self.series,
            lines=self.lines,
            hidden=[row for row in range(len(self.y)) if row not in shown],
            band=self.band,
            scale=self.x_scale,
            fit=self.y_range == "fit",
            x_label=self.x_label,
            y_label=self.y_label,
        )


def check_drawable(x: NDArray[np.float32], scale: str) -> None:
    """Raise TraitError for an x that an axis cannot show."""
    if x.size and (x[0] < 0 if scale == "sqrt" else scale == "log" and x[0] <= 0):
        least = "at least 0" if scale == "sqrt" else "above 0"
        raise TraitError(f"expected CurveView.x to be {least} for x_scale {scale!r}, got {x[0]:g}")


def check_entry(
    owner: str, entry: Mapping[str, Any], keys: Mapping[str, type], *, required: list[str] | None = None
) -> None:
    """Raise TraitError for an unknown key, a value of the wrong type, or a missing key.

    Parameters
    ----------
    owner : str
        Name of the entry, for the error.
    entry : mapping
        Entry to check.
    keys : mapping of str to type
        Type of each valid key; float stands for any finite number.
    required : list of str, optional
        Required keys.
    """
    for key, value in entry.items():
        if key not in keys:
            raise TraitError(f"{owner}: {unknown_name('key', key, keys)}")
        if keys[key] is float:
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise TraitError(f"expected {owner}['{key}'] to be a finite number, got {brief(value)}")
        elif not isinstance(value, keys[key]) or isinstance(value, bool):
            raise TraitError(f"expected {owner}['{key}'] to be {keys[key].__name__}, got {brief(value)}")
    for key in required or []:
        if key not in entry:
            raise TraitError(
                f"expected {owner} to have {' and '.join(map(repr, required or []))}, got no {key!r}"
            )
