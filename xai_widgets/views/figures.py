"""Panels of views, for figures of matplotlib and plotly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xai_widgets.core.figures import Bars, Curves, Intervals, Panel, Pixels
from xai_widgets.views import plot, preview
from xai_widgets.views.colors import color_table

#: By how much images are larger in figures than in a notebook that shows no widgets.
FACTOR = 2.0


def view_panels(view: Any) -> Iterator[Panel]:
    """Yield what a view shows: curves and bars as numbers, images as they are drawn, with the scale of a map."""
    name = next((made.__name__ for made in type(view).__mro__ if made.__name__ in _MAKERS), "")
    if name:
        yield from _MAKERS[name](view)
    else:
        with preview.enlarged(FACTOR):
            image = view.static_image()
        if image is not None:
            yield Pixels(view.title, image)


def _curves(view: Any) -> Iterator[Panel]:
    if view.x is None or view.y is None or not view.x.size:
        return
    rows = [row for row in view.shown_rows if np.isfinite(view.y[row]).any()]
    banded = view.band is not None and view.band.shape[1:] == view.y.shape
    entries = [view.series[row] if row < len(view.series) else {} for row in rows]
    looks = [plot.curve_look(entry, row) for entry, row in zip(entries, rows, strict=True)]
    labels = [
        " ".join(filter(None, [entry.get("label", f"curve {row + 1}"), entry.get("note", "")]))
        for entry, row in zip(entries, rows, strict=True)
    ]
    yield Curves(
        view.title,
        view.x,
        view.y[rows],
        labels,
        view.x_label,
        view.y_label,
        [_hexadecimal(color) for color, _ in looks],
        [entry.get("style") == "dashed" for entry in entries],
        [(line["y"], line["label"]) for line in view.lines],
        view.x_scale == "log",
        [marker for _, marker in looks],
        view.band[:, rows] if banded else None,
    )


def _hexadecimal(color: plot.Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _scores(view: Any) -> Iterator[Panel]:
    if view.values is None or view.indices is None or not view.values.size:
        return
    shown = [
        row
        for row, entry in enumerate(view.series or [{}])
        if entry.get("frame", view.frame) == view.frame
        and entry.get("mode", view.mode or "") in (view.mode, "")
    ] or [0]
    for row in shown:
        if row >= len(view.values):
            continue
        step = round(view.fraction * (view.values.shape[1] - 1))
        if view.x is not None and len(view.x) > 1:
            at = view.x[0] + view.fraction * (view.x[-1] - view.x[0])
            step = int(np.abs(view.x - at).argmin())
        values, indices = view.values[row, step], view.indices[row, step]
        known = np.isfinite(values)
        classes = indices[known].tolist()
        names = [view.labels[i] if i < len(view.labels) else f"class {i}" for i in classes]
        names = [f"▸ {name}" if i == view.target else name for i, name in zip(classes, names, strict=True)]
        label = view.series[row].get("label", "") if row < len(view.series) else ""
        colors = [_hexadecimal(plot.series_color(i)) for i in classes]
        title = ": ".join(filter(None, [view.title, label]))
        yield Bars(title, names, values[known].tolist(), colors)


def _flows(view: Any) -> Iterator[Panel]:
    if view.values is None:
        return
    labels = [*view.names, "no concept", view.remainder_label]
    title = ": ".join(filter(None, [view.title, view.target_label]))
    yield Bars(title, labels, [*view.values.tolist(), view.residual, view.remainder])


def _heatmap(view: Any) -> Iterator[Panel]:
    with preview.enlarged(FACTOR):
        image = view.static_image()
    if image is None:
        return
    _, values = view._current()
    labels = list(view.labels)
    name = labels[min(view.frame, len(labels) - 1)] if labels else ""
    title = ": ".join(filter(None, [view.title, name]))
    if values is None:
        yield Pixels(title, image)
        return
    scale = preview.scale_of([values], sign=view.sign, percentile=view.percentile)
    end = scale["limit"] if view.limit is None else view.limit
    sign = scale["sign"]
    low, high = {"both": (-end, end), "negative": (0.0, -end)}.get(sign, (0.0, end))
    table = color_table(view.colormap, sign, False)
    yield Pixels(title, image, (low, high) if low < high else None, table[:, :3])


def _map_grid(view: Any) -> Iterator[Panel]:
    shown = [[view.map_at(r, c) for c in range(len(row))] for r, row in enumerate(view.states)]
    for row, maps in enumerate(shown):
        for column, one in enumerate(maps):
            if one is None:
                continue
            shape = view.images.shape[1:] if view.images is not None else one.shape
            with preview.enlarged(FACTOR):
                image = view._draw_cell(shown, row, column, shape)
            names = [
                labels[index] if index < len(labels) else ""
                for labels, index in ((view.row_labels, row), (view.column_labels, column))
            ]
            yield Pixels(", ".join(filter(None, names)), image)


def _leaderboard(view: Any) -> Iterator[Panel]:
    if view.mean is None:
        return
    order = view.order()
    labels = [view.rows[row].get("label", view.rows[row]["name"]) for row in order]
    names = [row["name"] for row in view.rows]
    guide = next((names.index(name) for name in view.references if name in names), None)
    for at, column in enumerate(view.columns):
        values, low, high = (part[order, at] for part in (view.mean, view.low, view.high))
        if not np.isfinite(values).any():
            continue
        marks = [0] * len(order) if view.marks is None else view.marks[order, at].tolist()
        title = column.get("label", column["name"])
        better = "lower is better" if column.get("direction") == "lower" else "higher is better"
        line = float("nan") if guide is None else float(view.mean[guide, at])
        colors = [_MARKED.get(mark, "#767676") for mark in marks]
        yield Intervals(title, labels, values, low, high, better, colors, line)


#: Colors of the best of a column, and of those that are not separated from it.
_MARKED = {1: "#0072b2", 2: "#56b4e9"}
_MAKERS = {
    "CurveView": _curves,
    "FlowView": _flows,
    "HeatmapView": _heatmap,
    "LeaderboardView": _leaderboard,
    "MapGridView": _map_grid,
    "ScoresView": _scores,
}
