"""Rows of bars, of which one can be chosen."""

from __future__ import annotations

from traitlets import Int, List, Unicode

from xai_widgets.views.arrays import Array
from xai_widgets.views.control import Asking


class BarsView(Asking):
    """Rows of bars with their numbers, of which the user may choose one.

    Each kind of bar has a column with a scale of its own, which is the same at all steps. With the view focused, the
    arrow keys choose the previous or next row, Home and End the first and last, and Escape none.

    Examples
    --------
    >>> view = BarsView(labels=["filter 3", "filter 17"], values=[[[0.8, 0.1], [-0.2, 0.3]]], series=["weight", "IoU"])
    """

    _bundle = "bars_view"

    labels: List[str] = List(Unicode(), help="The name of each row.").tag(sync=True)
    values = Array(
        "float32",
        (None, None, None),
        help="Values of the B bars of each of N rows at each of S steps, shape (S, N, B); NaN for no bar.",
    )
    series: List[str] = List(Unicode(), help="The name of each kind of bar, above its column.").tag(sync=True)
    row_title = Unicode("", help="A heading above the names of the rows.").tag(sync=True)
    step = Int(
        0,
        help='Index of the step that is shown, set for instance by ``link((slider, "frame"), (bars, "step"))``.',
    ).tag(sync=True)
    frame = Int(-1, min=-1, help="Index of the chosen row; -1 for none.").tag(sync=True)
    empty = Unicode("not computed yet", help="Text in place of rows, if there are none.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
