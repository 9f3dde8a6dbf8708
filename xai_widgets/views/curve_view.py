"""Curves that grow while they are computed, with a cursor to drag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Dict, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views import plot, preview
from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.steps import nearest_ready
from xai_widgets.views.traits import Choice, Unit

#: What one entry of ``CurveView.series`` may hold, with the type of each.
SERIES_KEYS: dict[str, type] = {
    "label": str,
    "note": str,
    "frame": int,
    "mode": str,
    "style": str,
    "color": str,
}
#: How a curve may be drawn.
STYLES = ("solid", "dashed")
#: How the x axis may be drawn.
X_SCALES = ("linear", "log")

#: What one entry of ``CurveView.lines`` and of ``CurveView.marks`` must hold, and may hold.
LINE_KEYS: dict[str, type] = {"y": float, "label": str, "color": str}
MARK_KEYS: dict[str, type] = {"x": float, "label": str}


class CurveView(View):
    """Several curves over one x, drawn live.

    Assign `y` again as values arrive: zoom, cursor and hidden curves stay as they are.

    Raises
    ------
    traitlets.TraitError
        For a trait of the wrong type, shape or range.

    Examples
    --------
    >>> view = CurveView(x=np.linspace(0, 1, 5), y=np.ones((1, 5)), series=[{"label": "gradient"}])
    """

    _bundle = "curve_view"

    x = Array(
        "float32", (None,), help="Where the curves are sampled, shape (T,): finite, strictly ascending."
    )
    y = Array(
        "float32",
        (None, None),
        help=(
            "One row a curve, shape (S, T); NaN where nothing is computed yet. Computed neighbours are "
            "joined by a line."
        ),
    )
    series: List[dict[str, Any]] = List(
        Dict(),
        help=(
            "One entry a row of `y`, each with any of ``label`` (str), ``note`` (str, shown after the "
            'label, for instance ``"AUC 0.123"``), ``frame`` (int, default the row), ``mode`` (str, '
            'default ""), ``style`` ("solid", the default, or "dashed") and ``color`` (a CSS color; '
            "curves of one frame share the default). Missing entries are filled with the defaults."
        ),
    ).tag(sync=True)
    lines: List[dict[str, Any]] = List(
        Dict(),
        help=(
            "Horizontal lines to compare with, each with ``y`` (float), ``label`` (str) and, if wanted, "
            "``color`` (a CSS colour). The y axis makes room for them."
        ),
    ).tag(sync=True)
    marks: List[dict[str, Any]] = List(
        Dict(),
        help=(
            "Places on x that are marked, each with ``x`` (float) and ``label`` (str), for instance "
            '``{"x": 0.1, "label": "a* = 10 %"}``. A click on one, or Enter, sets `fraction` to it.'
        ),
    ).tag(sync=True)
    hidden: List[int] = List(
        Int(),
        help=(
            "The rows of `y` that are not drawn; the person changes it with the check boxes of the legend."
        ),
    ).tag(sync=True)
    fraction = Unit(help="Where the cursor stands between the first and the last `x`.")
    steps = Array(
        "float32",
        (None,),
        help=(
            "Places on x, in any order, at which alone the cursor stands, shape (P,): a drag goes from "
            "one to the nearest, a key to the next. Default None: it stands anywhere."
        ),
    )
    step = Int(
        -1,
        min=-1,
        help=(
            "Which of `steps` the cursor stands at: the one nearest to `fraction`. Setting it, as by "
            '``link((slider, "frame"), (curves, "step"))``, sets `fraction`. -1 for none, the default.'
        ),
    ).tag(sync=True)
    frame = Int(
        0,
        help="The ``frame`` of the active curve, which is drawn thicker; a click on a curve or its name sets it.",
    ).tag(sync=True)
    mode = Unicode(
        "", help="The ``mode`` of the active curve; one without a mode is active in every mode."
    ).tag(sync=True)
    x_scale = Choice(
        X_SCALES,
        help=(
            'How the x axis is drawn; for "log" every `x` must be above 0. `fraction` stays linear in x; '
            "the keys move the cursor by equal steps of the axis."
        ),
    )
    x_label = Unicode("fraction", help="Label of the x axis.").tag(sync=True)
    y_label = Unicode("", help="Label of the y axis.").tag(sync=True)
    height = Int(
        260, min=80, help=("Height of the plot in CSS px, at least 80; the legend comes on top of it.")
    ).tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)
    controls = Bool(
        True,
        help=(
            "Whether the small bar (zoom, reset, CSV, PNG) is shown. The CSV has a column for each curve "
            "and each line, and, if there are marks, one with their names."
        ),
    ).tag(sync=True)

    @validate("x")
    def _ascending(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        x: NDArray[np.float32] = proposal["value"]
        if not (np.isfinite(x).all() and (np.diff(x) > 0).all()):
            raise TraitError(
                "CurveView.x is not finite and ascending, wanted each value above the one before"
            )
        if self.x_scale == "log":
            check_above_zero(x)
        return x

    @validate("steps")
    def _finite(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        steps: NDArray[np.float32] = proposal["value"]
        if not np.isfinite(steps).all():
            raise TraitError("CurveView.steps is not finite, wanted places on x")
        return steps

    @validate("x_scale")
    def _drawable(self, proposal: dict[str, Any]) -> str:
        scale: str = proposal["value"]
        if scale == "log" and self.x is not None:
            check_above_zero(self.x)
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
        # Plain floats: what numpy computed cannot be sent.
        return [
            {key: float(value) if keys[key] is float else value for key, value in entry.items()}
            for entry in proposal["value"]
        ]

    @observe("step", "steps", "x")
    def _choose_step(self, _change: object) -> None:
        """Set the fraction to that of the step."""
        steps = self._step_fractions()
        if 0 <= self.step < len(steps):
            self.fraction = min(max(steps[self.step], 0.0), 1.0)

    @observe("fraction")
    def _follow(self, change: object) -> None:
        """Set the step to the one nearest to the fraction; of several at one position the one that was set."""
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

    def still(self) -> preview.Pixels | None:
        """The curves, without the cursor."""
        if self.x is None or self.y is None or not self.x.size:
            return None
        return plot.curves(
            self.x,
            self.y,
            self.series,
            lines=self.lines,
            hidden=self.hidden,
            log=self.x_scale == "log",
            x_label=self.x_label,
            y_label=self.y_label,
        )


def check_above_zero(x: NDArray[np.float32]) -> None:
    """Refuse an x that no logarithmic axis can show."""
    if x.size and x[0] <= 0:
        raise TraitError(f"CurveView.x begins at {x[0]:g}, wanted values above 0 for x_scale 'log'")


def check_entry(
    owner: str, entry: Mapping[str, Any], keys: Mapping[str, type], *, required: list[str] | None = None
) -> None:
    """Refuse an entry with an unknown key, a value of another type, or without what is required.

    Parameters
    ----------
    owner : str
        What the entry is, for the error.
    entry : mapping
        The entry.
    keys : mapping of str to type
        What it may hold; a float is any finite number.
    required : list of str, optional
        What it must hold.
    """
    for key, value in entry.items():
        if key not in keys:
            raise TraitError(f"{owner}: {unknown_name('key', key, keys)}")
        if keys[key] is float:
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise TraitError(f"{owner}['{key}'] is {value!r}, wanted a finite number")
        elif not isinstance(value, keys[key]) or isinstance(value, bool):
            raise TraitError(f"{owner}['{key}'] is {value!r}, wanted {keys[key].__name__}")
    for key in required or []:
        if key not in entry:
            raise TraitError(f"{owner} has no {key!r}, wanted {' and '.join(map(repr, required or []))}")
