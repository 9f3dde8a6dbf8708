"""A table of methods x metrics with intervals, the best of each column and those that are not separated from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from traitlets import Dict, Int, List, TraitError, Unicode, validate

from xai_widgets.core.validation import brief
from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.curve_view import check_entry
from xai_widgets.views.pair import Pair

#: Sizes of the static image, px: the names, a column, the number in it, a row.
NAME, COLUMN, NUMBER, ROW = 130, 150, 48, 20


class LeaderboardView(View):
    """A table of rows x metrics: means with their intervals, drawn on one scale in each column.

    The head of a column is a button: it sorts by the metric, the best first, and once more the worst first, and chooses
    the metric. A click on a row chooses it; the two that were chosen last are A and B, for `PairView`. Rows are
    buttons, too, with the arrow keys to go from one to the next. A star marks the best mean of a column, "≈" those that
    the data do not separate from it. A dashed line through a column is the mean of the first reference. All of it works
    without a kernel.

    Raises
    ------
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> LeaderboardView(
    ...     rows=[{"name": "cam", "label": "CAM"}, {"name": "noise", "label": "Noise"}],
    ...     references=["noise"],
    ...     columns=[{"name": "deletion", "label": "Deletion", "direction": "lower"}],
    ...     mean=[[0.1], [0.3]], low=[[0.05], [0.2]], high=[[0.15], [0.4]],
    ... )
    """

    _bundle = "leaderboard_view"

    rows: List[dict[str, Any]] = List(
        Dict(),
        help=("A dictionary for each of R rows: ``name`` and ``label`` (default the name)."),
    ).tag(sync=True)
    references: List[str] = List(
        Unicode(),
        help="Names of rows to compare with, such as random maps; the first one has a line in each column.",
    ).tag(sync=True)
    columns: List[dict[str, Any]] = List(
        Dict(),
        help=(
            'A dictionary for each of M metrics: ``name``, ``label``, ``direction`` ("higher" or "lower" is better), '
            "and ``help``, a sentence under the pointer."
        ),
    ).tag(sync=True)
    mean = Array("float32", (None, None), help="Means, shape (R, M); NaN for none.")
    low = Array("float32", (None, None), help="Lower ends of the intervals, shape (R, M); NaN for none.")
    high = Array("float32", (None, None), help="Upper ends of the intervals, shape (R, M); NaN for none.")
    count = Array("int32", (None, None), help="Numbers of scores behind the means, shape (R, M).")
    marks = Bytes(
        (None, None), help="1 for the best of a column, 2 for those not separated from it, shape (R, M)."
    )
    notes: List[list[str]] = List(
        List(Unicode()), help="Why scores of a cell are missing or the worst ones, by rows; empty for none."
    ).tag(sync=True)
    sort = Unicode(
        "",
        help='The metric by which rows are sorted, the best first; after "-" the worst first. Empty: as given.',
    ).tag(sync=True)
    metric = Unicode("", help="The chosen metric; empty for the first one.").tag(sync=True)
    pair = Pair(help="The names of the chosen rows, A and B.")
    caption = Unicode("", help="What the table is about, below it.").tag(sync=True)
    warning = Unicode("", help="A warning about all of the table, above its caption.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("rows")
    def _check_rows(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        return _entries("LeaderboardView.rows", proposal["value"], dict.fromkeys(("name", "label"), str))

    @validate("columns")
    def _check_columns(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        keys = dict.fromkeys(("name", "label", "direction", "help"), str)
        entries = _entries("LeaderboardView.columns", proposal["value"], keys)
        for entry in entries:
            if entry.get("direction", "higher") not in ("higher", "lower"):
                raise TraitError(
                    f'expected LeaderboardView.columns to have the direction "higher" or "lower", got '
                    f"{brief(entry['direction'])}"
                )
        return entries

    def order(self) -> list[int]:
        """Return the rows from top to bottom, in the order of `sort`; those without a mean come last."""
        names = [column["name"] for column in self.columns]
        name = self.sort.removeprefix("-")
        rows = list(range(len(self.rows)))
        if name not in names or self.mean is None:
            return rows
        column = names.index(name)
        values = self.mean[:, column]
        sign = 1 if self.columns[column].get("direction") == "lower" else -1
        sign = -sign if self.sort.startswith("-") else sign
        return sorted(
            rows,
            key=lambda row: (
                bool(np.isnan(values[row])),
                0.0 if np.isnan(values[row]) else sign * values[row],
            ),
        )

    def static_image(self) -> preview.Pixels | None:
        """Return the table with numbers and intervals."""
        if self.mean is None or not self.mean.size or not np.isfinite(self.mean).any():
            return None
        assert self.low is not None
        assert self.high is not None
        size = (NAME + COLUMN * len(self.columns), ROW * (len(self.rows) + 1))
        canvas = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(canvas)
        for at, column in enumerate(self.columns):
            left = NAME + COLUMN * at
            arrow = "lower is better" if column.get("direction") == "lower" else "higher is better"
            words = f"{column.get('label', column['name'])} ({arrow})"[: COLUMN // 6]
            preview.write_text(canvas, (left, 3), words, (33, 33, 33))
            ends = np.stack([self.mean[:, at], self.low[:, at], self.high[:, at]])
            start, end = _span(ends)
            for line, row in enumerate(self.order(), 1):
                mean, low, high = ends[:, row].tolist()
                if np.isnan(mean):
                    preview.write_text(canvas, (left, ROW * line + 3), "none", (120, 120, 120))
                    continue
                best = self.marks is not None and self.marks[row, at] == 1
                preview.write_text(
                    canvas, (left, ROW * line + 3), f"{mean:.3f}{' *' if best else ''}", (33, 33, 33)
                )
                across = [
                    left + NUMBER + (COLUMN - NUMBER - 14) * (x - start) / (end - start)
                    for x in (mean, low, high)
                ]
                middle = ROW * line + ROW / 2
                if not np.isnan(low):
                    pen.line([across[1], middle, across[2], middle], fill=(120, 120, 120), width=2)
                pen.ellipse([across[0] - 3, middle - 3, across[0] + 3, middle + 3], fill=(0, 114, 178))
        for line, row in enumerate(self.order(), 1):
            entry = self.rows[row]
            preview.write_text(
                canvas, (2, ROW * line + 3), entry.get("label", entry["name"])[: NAME // 6], (33, 33, 33)
            )
        return np.asarray(canvas)


def _entries(name: str, entries: list[dict[str, Any]], keys: Mapping[str, type]) -> list[dict[str, Any]]:
    for number, entry in enumerate(entries):
        check_entry(f"{name}[{number}]", entry, keys)
        if not entry.get("name"):
            raise TraitError(f"expected each of {name} to have a name, got {brief(entry)}")
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise TraitError(f"expected {name} to have different names, got {brief(names)}")
    return entries


def _span(values: Any) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size or known.min() == known.max():
        return 0.0, 1.0
    return float(known.min()), float(known.max())
