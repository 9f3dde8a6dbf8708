"""The best classes at one point of a curve, as bars."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Float, Int, List, Unicode, validate

from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.curve_view import check_entry
from xai_widgets.views.traits import Unit, low_below_high


class ScoresView(View):
    """Bars of the top-K class scores at one step of one series.

    All scores are sent once, so the bars follow `fraction` without a kernel. The step shown is the
    computed one nearest to `fraction`; its own `x` is written above the bars, unless there is one step only.
    """

    _bundle = "scores_view"

    x = Array(
        "float32",
        (None,),
        help=("The steps, ascending, for instance as fractions, shape (T,); a single step needs none."),
    )
    values = Array(
        "float32",
        (None, None, None),
        help=(
            "Scores of the K best classes, for S series and T steps, shape (S, T, K); NaN where nothing "
            "is computed yet."
        ),
    )
    indices = Array("int32", (None, None, None), help="The classes of `values`. Shape (S, T, K).")
    target_values = Array(
        "float32",
        (None, None),
        help=("Scores of `target`, shown in a row of its own when it is not among the best, shape (S, T)."),
    )
    series: List[dict[str, Any]] = List(
        Dict(),
        help=(
            'One entry a series, each with any of ``label`` (str, shown after the step, as in "0.1 '
            'deleted"), ``frame`` (int, default the row) and ``mode`` (str, default ""), as in '
            ":class:`CurveView`."
        ),
    ).tag(sync=True)
    reference = Array(
        "float32",
        (None,),
        help=(
            "A score of each class to compare with, by its index, for instance that of the image before "
            "it was perturbed, shape (C,): a tick on each bar, and the change in words; NaN for none."
        ),
    )
    labels: List[str] = List(
        Unicode(), help="The name of each class; a class without one is shown by its number."
    ).tag(sync=True)
    target = Int(-1, help="The class that is marked; -1 for none.").tag(sync=True)
    frame = Int(0, help="The ``frame`` of the series that is shown.").tag(sync=True)
    mode = Unicode(
        "", help="The ``mode`` of the series that is shown; one without a mode is shown in every mode."
    ).tag(sync=True)
    fraction = Unit(help="The step that is shown, from the first (0) to the last `x` (1).")
    value_limits: List[float] = List(
        Float(), [0.0, 1.0], minlen=2, maxlen=2, help="The scores of an empty and of a full bar."
    ).tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @validate("value_limits")
    def _limits_are_a_range(self, proposal: dict[str, Any]) -> list[float]:
        return low_below_high("ScoresView.value_limits", proposal["value"])

    @validate("series")
    def _known_keys(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = proposal["value"]
        for row, entry in enumerate(entries):
            check_entry(f"ScoresView.series[{row}]", entry, {"label": str, "frame": int, "mode": str})
        return entries
