"""Bars of the highest class scores at one step of a curve."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Float, Int, List, Unicode, validate

from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.curve_view import check_entry
from xai_widgets.views.traits import Unit, low_below_high


class ScoresView(View):
    """Bars of the K highest class scores at one step of a series.

    All scores are sent once, so the bars follow `fraction` without a kernel. The computed step nearest to `fraction` is
    shown, with its `x` above the bars if there are several steps.
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
