"""Curves that grow while they are computed, with a cursor to drag."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Dict, Int, List, TraitError, Unicode, validate

from xai_widgets.errors import unknown
from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.traits import GAMES, Choice, Unit

#: What one entry of ``CurveView.series`` may hold, with the type of each.
SERIES_KEYS: dict[str, type] = {"label": str, "note": str, "frame": int, "game": str, "color": str}


class CurveView(View):
    """Several curves over one x, drawn live.

    Assign `y` again as values arrive: zoom, cursor and hidden curves stay as they are. A curve of the
    game "insertion" is drawn solid, one of "deletion" dashed, and curves of one `frame` share a colour.

    Attributes
    ----------
    x : numpy.ndarray of float32, shape (T,), or None
        Where the curves are sampled: finite, strictly ascending. Default None.
    y : numpy.ndarray of float32, shape (S, T), or None
        One row a curve; NaN where nothing is computed yet. Computed neighbours are joined by a line.
        Default None.
    series : list of dict
        One entry a row of `y`, each with any of ``label`` (str), ``note`` (str, shown after the label, for
        instance ``"AUC 0.123"``), ``frame`` (int, default the row), ``game`` ("deletion", "insertion" or
        "", the default) and ``color`` (a CSS colour, default that of `frame`). Missing entries are filled
        with the defaults. Default empty.
    hidden : list of int
        The rows of `y` that are not drawn; the person changes it with the check boxes of the legend.
    fraction : float in [0, 1]
        Where the cursor stands between the first and the last `x`. Default 0.
    frame, game : int, {"deletion", "insertion"}
        The active curve, drawn thicker: a click on a curve or on its name makes it active. A curve whose
        ``game`` is "" is active for either game. Defaults 0, "deletion".
    x_label, y_label : str
        What the axes show. Defaults "fraction", "".
    height : int
        Height of the plot in CSS px, at least 80; the legend comes on top of it. Default 260.
    width : int
        Largest width in CSS px, 0 for the width of the column. Default 0.
    controls : bool
        Whether the small bar (zoom, reset, CSV, PNG) is shown. Default True.
    title : str
        A heading, also the accessible name and the name of downloaded files.

    Raises
    ------
    traitlets.TraitError
        For a trait of the wrong type, shape or range.

    Examples
    --------
    >>> view = CurveView(x=np.linspace(0, 1, 5), y=np.ones((1, 5)), series=[{"label": "gradient"}])
    """

    _bundle = "curve_view"

    x = Array("float32", (None,), help="Where the curves are sampled, shape (T,).")
    y = Array("float32", (None, None), help="One row a curve, shape (S, T); NaN: not computed yet.")
    series: List[dict[str, Any]] = List(Dict(), help="One dict a row: label, note, frame, game, color.").tag(
        sync=True
    )
    hidden: List[int] = List(Int(), help="Rows that are not drawn.").tag(sync=True)
    fraction = Unit(help="Where the cursor stands, from the first x (0) to the last (1).")
    frame = Int(0, help="The frame of the active curve.").tag(sync=True)
    game = Choice(GAMES, help="The game of the active curve.")
    x_label = Unicode("fraction", help="Label of the x axis.").tag(sync=True)
    y_label = Unicode("", help="Label of the y axis.").tag(sync=True)
    height = Int(260, min=80, help="Height of the plot, CSS px.").tag(sync=True)
    width = Int(0, min=0, help="Largest width, CSS px; 0: that of the column.").tag(sync=True)
    controls = Bool(True, help="Whether the bar with zoom and downloads is shown.").tag(sync=True)

    @validate("x")
    def _ascending(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        x: NDArray[np.float32] = proposal["value"]
        if not (np.isfinite(x).all() and (np.diff(x) > 0).all()):
            raise TraitError(
                "CurveView.x is not finite and ascending, wanted each value above the one before"
            )
        return x

    @validate("series")
    def _known_keys(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = proposal["value"]
        for row, entry in enumerate(entries):
            for key, value in entry.items():
                if key not in SERIES_KEYS:
                    raise TraitError(f"CurveView.series[{row}]: {unknown('key', key, SERIES_KEYS)}")
                wanted = SERIES_KEYS[key]
                if not isinstance(value, wanted) or isinstance(value, bool):
                    raise TraitError(
                        f"CurveView.series[{row}]['{key}'] is {value!r}, wanted {wanted.__name__}"
                    )
            if entry.get("game", "") not in ("", *GAMES):
                raise TraitError(f"CurveView.series[{row}]: {unknown('game', entry['game'], GAMES)}")
        return entries
