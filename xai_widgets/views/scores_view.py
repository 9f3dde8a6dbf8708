"""Bars of the highest class scores at one step of a curve."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ipywidgets import CallbackDispatcher
from traitlets import Bool, Dict, Float, Int, List, Unicode, validate

from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.curve_view import check_entry
from xai_widgets.views.traits import Unit, low_below_high

logger = logging.getLogger(__name__)


class ScoresView(View):
    """Bars of the K highest class scores at one step of a series.

    All scores are sent once, so the bars follow `fraction` without a kernel. The computed step nearest to `fraction` is
    shown, with its `x` above the bars if there are several steps. After :meth:`on_explain` the bars are buttons; the
    arrow keys go from one to the next.
    """

    _bundle = "scores_view"

    x = Array(
        "float32",
        (None,),
        help="The x of each step, ascending, shape (T,); not needed for a single step.",
    )
    values = Array(
        "float32",
        (None, None, None),
        help=(
            "Scores of the K best classes for S series and T steps, shape (S, T, K); NaN where nothing is "
            "computed yet."
        ),
    )
    indices = Array("int32", (None, None, None), help="The classes of `values`, shape (S, T, K).")
    target_values = Array(
        "float32",
        (None, None),
        help="Scores of `target`, which has its own row when it is not among the best, shape (S, T).",
    )
    series: List[dict[str, Any]] = List(
        Dict(),
        help=(
            'One entry for each series, each with any of ``label`` (str, shown after the step, as in "0.1 '
            'deleted", or before it if it ends with "="), ``frame`` (int, default the row) and ``mode`` '
            '(str, default ""), as in :class:`CurveView`.'
        ),
    ).tag(sync=True)
    reference = Array(
        "float32",
        (None,),
        help=(
            "A score of each class to compare with, such as that of the original image, shape (C,): shown "
            "as a tick on each bar, with the change; NaN for none."
        ),
    )
    reference_label = Unicode(
        "before", help='The text for the ticks of `reference` in the legend, such as ``"original image"``.'
    ).tag(sync=True)
    x_percent = Bool(False, help="Whether `x` is a share that is shown in percent.").tag(sync=True)
    exact = Bool(
        False,
        help=(
            "Whether the bars are veiled where the step at `fraction` is not computed, in place of showing the "
            "nearest computed step."
        ),
    ).tag(sync=True)
    explains = Bool(False, help="Whether the bars are buttons; set by `on_explain`.").tag(sync=True)
    _answered = Int(0, help="How many clicks on a bar have reached Python.").tag(sync=True)
    labels: List[str] = List(
        Unicode(), help="The name of each class; a class without a name is shown by its index."
    ).tag(sync=True)
    target = Int(-1, help="The marked class; -1 for none.").tag(sync=True)
    frame = Int(0, help="The ``frame`` of the series that is shown.").tag(sync=True)
    mode = Unicode(
        "", help="The ``mode`` of the series that is shown; a series without a mode is shown in every mode."
    ).tag(sync=True)
    fraction = Unit(help="Position of the step between the first (0) and the last (1) `x`.")
    value_limits: List[float] = List(
        Float(), [0.0, 1.0], minlen=2, maxlen=2, help="The scores of an empty and of a full bar."
    ).tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("value_limits")
    def _limits_are_a_range(self, proposal: dict[str, Any]) -> list[float]:
        return low_below_high("ScoresView.value_limits", proposal["value"])

    @validate("series")
    def _known_keys(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = proposal["value"]
        for row, entry in enumerate(entries):
            check_entry(f"ScoresView.series[{row}]", entry, {"label": str, "frame": int, "mode": str})
        return entries

    def __init__(self, **kwargs: Any) -> None:
        # Before anything that may raise, because `close` uses it.
        self._callbacks = CallbackDispatcher()
        super().__init__(**kwargs)
        self.on_msg(self._handle)

    def on_explain(self, callback: Callable[[int], object]) -> None:
        """Call `callback(index)` at each click on the bar of a class, and make the bars buttons.

        Parameters
        ----------
        callback : callable
            Called with the index of the class.
        """
        self._callbacks.register_callback(callback)
        self.explains = True

    def close(self) -> None:
        """Close the view and remove its callbacks."""
        if callbacks := getattr(self, "_callbacks", None):
            callbacks.callbacks = []
        super().close()

    def _handle(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("type") != "explain":
            return
        for callback in list(self._callbacks.callbacks):
            try:
                callback(int(content["index"]))
            except Exception:
                logger.exception("a callback of a ScoresView failed")
        self._answered += 1
