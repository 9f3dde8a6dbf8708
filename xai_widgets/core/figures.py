"""Figures of results: panels of curves, bars and images, drawn by matplotlib or plotly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.optional import optional

#: Maximum number of panels in a row, and in a figure.
COLUMNS, MOST = 3, 24
#: Width of a panel in inches (matplotlib) and pixels (plotly), and the height of a row.
INCHES, PIXELS = (4.2, 3.4), (380, 320)
#: The symbols of markers in matplotlib and plotly.
MARKERS = {
    "circle": ("o", "circle"),
    "triangle": ("^", "triangle-up"),
    "square": ("s", "square"),
    "diamond": ("D", "diamond"),
    "down": ("v", "triangle-down"),
    "plus": ("P", "cross"),
    "cross": ("X", "x"),
}
#: Number of markers on a curve, at most about.
MARKS = 8
#: Opacity of the area around a curve.
BAND = 0.18


@dataclass(frozen=True)
class Curves:
    """Curves over one axis.

    Attributes
    ----------
    title, x_label, y_label : str
    x : numpy.ndarray, shape (T,)
    y : numpy.ndarray, shape (S, T)
        Values; lines connect those that are not NaN.
    labels : sequence of str
        The name of each curve.
    colors : sequence of str
        CSS colors; those of the library without them.
    dashed : sequence of bool
    lines : sequence of (float, str)
        Horizontal lines: y and label.
    log : bool
        Whether x is logarithmic.
    markers : sequence of str
        The marker of each curve, a name in `MARKERS`; "" for none.
    band : numpy.ndarray, shape (2, S, T), optional
        The ends of an area around each curve; NaN for none.
    """

    title: str
    x: NDArray[Any]
    y: NDArray[Any]
    labels: Sequence[str] = ()
    x_label: str = ""
    y_label: str = ""
    colors: Sequence[str] = ()
    dashed: Sequence[bool] = ()
    lines: Sequence[tuple[float, str]] = ()
    log: bool = False
    markers: Sequence[str] = ()
    band: NDArray[Any] | None = None

    def area(self, row: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
        """Return x and the ends of the area around a curve where it is known; None if it has none."""
        if self.band is None:
            return None
        low, high = self.band[:, row]
        known = np.isfinite(low) & np.isfinite(high)
        return (self.x[known], low[known], high[known]) if known.any() else None


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, the first at the top: `labels` and `values`."""

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    colors: Sequence[str] = ()


@dataclass(frozen=True)
class Intervals:
    """Means with their intervals, the first at the top.

    Attributes
    ----------
    title, x_label : str
    labels : sequence of str
    values : numpy.ndarray, shape (N,)
        Means; NaN is left out.
    low, high : numpy.ndarray, shape (N,)
        Ends of the intervals; NaN for none.
    colors : sequence of str
        CSS colors.
    line : float
        A vertical line; NaN for none.
    """

    title: str
    labels: Sequence[str]
    values: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    x_label: str = ""
    colors: Sequence[str] = ()
    line: float = math.nan

    def lengths(self) -> NDArray[Any]:
        """Return the length of each interval below and above the mean, (2, N); 0 for none."""
        return np.nan_to_num(np.stack([self.values - self.low, self.high - self.values])).clip(min=0)


@dataclass(frozen=True)
class Pixels:
    """An image, uint8 (H, W, 3), or a map of numbers (H, W), which has a color scale."""

    title: str
    values: NDArray[Any]
    #: The values at the ends of the scale of an image of a map, and its colors, uint8 (n, 3).
    limits: tuple[float, float] | None = None
    scale: NDArray[np.uint8] | None = field(default=None)


Panel = Curves | Bars | Intervals | Pixels


def draw_with_matplotlib(panels: Sequence[Panel], *, title: str = "") -> Any:
    """Return a matplotlib figure of panels.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is nothing to draw.
    """
    panels = _checked(panels)
    figures = optional("matplotlib.figure", "plots")
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = figures.Figure(figsize=(INCHES[0] * columns, INCHES[1] * rows), layout="constrained")
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_title(panel.title, fontsize="medium", wrap=True)
        if isinstance(panel, Curves):
            _curves_on(axes, panel)
        elif isinstance(panel, Bars):
            colors = list(panel.colors) or "tab:blue"
            axes.barh(range(len(panel.values)), list(panel.values), color=colors)
            axes.set_yticks(range(len(panel.labels)), list(panel.labels))
            axes.invert_yaxis()
        elif isinstance(panel, Intervals):
            _intervals_on(axes, panel)
        else:
            _pixels_on(figure, axes, panel)
    if title:
        figure.suptitle(title)
    return figure


def _curves_on(axes: Any, panel: Curves) -> None:
    for row, y in enumerate(panel.y):
        style: dict[str, Any] = {"linestyle": "--" if row < len(panel.dashed) and panel.dashed[row] else "-"}
        if row < len(panel.colors):
            style["color"] = panel.colors[row]
        if row < len(panel.labels):
            style["label"] = panel.labels[row]
        if row < len(panel.markers) and panel.markers[row]:
            style |= {"marker": MARKERS[panel.markers[row]][0], "markersize": 5}
            style["markevery"] = max(len(panel.x) // MARKS, 1)
        known = np.isfinite(y)
        (drawn,) = axes.plot(panel.x[known], y[known], **style)
        if area := panel.area(row):
            axes.fill_between(*area, color=drawn.get_color(), alpha=BAND, linewidth=0)
    for level, label in panel.lines:
        axes.axhline(level, color="0.5", linewidth=0.8, linestyle=":", label=label)
    if panel.log:
        axes.set_xscale("log")
    elif np.equal(np.mod(panel.x, 1), 0).all() and np.ptp(panel.x) >= 2:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.labels or panel.lines:
        axes.legend(fontsize="x-small")


def _intervals_on(axes: Any, panel: Intervals) -> None:
    for row, (value, length) in enumerate(zip(panel.values, panel.lengths().T, strict=True)):
        if math.isfinite(value):
            color = panel.colors[row] if row < len(panel.colors) else "tab:blue"
            axes.errorbar(value, row, xerr=length[:, None], fmt="o", color=color, capsize=3)
    if math.isfinite(panel.line):
        axes.axvline(panel.line, color="0.5", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(panel.labels)), list(panel.labels))
    axes.set_ylim(len(panel.labels) - 0.5, -0.5)
    axes.set_xlabel(panel.x_label)


def _pixels_on(figure: Any, axes: Any, panel: Pixels) -> None:
    axes.set_axis_off()
    if panel.values.ndim == 2:
        end = float(np.nanmax(np.abs(panel.values), initial=0)) or 1.0
        signed = bool(np.nanmin(panel.values, initial=0) < 0)
        shown = axes.imshow(
            panel.values, cmap="RdBu_r" if signed else "inferno", vmin=-end if signed else 0, vmax=end
        )
        figure.colorbar(shown, ax=axes, shrink=0.8)
        return
    axes.imshow(panel.values)
    if panel.limits is not None and panel.scale is not None:
        colors = optional("matplotlib.colors", "plots")
        scalar = optional("matplotlib.cm", "plots").ScalarMappable(
            colors.Normalize(*panel.limits), colors.ListedColormap(panel.scale[:, :3] / 255)
        )
        figure.colorbar(scalar, ax=axes, shrink=0.8)


def draw_with_plotly(panels: Sequence[Panel], *, title: str = "") -> Any:
    """Return a plotly figure of panels.

    Raises
    ------
    ImportError
        If plotly is not installed.
    ValueError
        If there is nothing to draw.
    """
    panels = _checked(panels)
    objects = optional("plotly.graph_objects", "interactive figures")
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = optional("plotly.subplots", "interactive figures").make_subplots(
        rows=rows, cols=columns, subplot_titles=[panel.title for panel in panels]
    )
    for number, panel in enumerate(panels):
        at = {"row": number // columns + 1, "col": number % columns + 1}
        if isinstance(panel, Curves):
            _curves_in(objects, figure, panel, at)
        elif isinstance(panel, Bars):
            color = list(panel.colors) or None
            bars = objects.Bar(
                x=list(panel.values),
                y=list(panel.labels),
                orientation="h",
                marker_color=color,
                showlegend=False,
            )
            figure.add_trace(bars, **at)
            figure.update_yaxes(autorange="reversed", **at)
        elif isinstance(panel, Intervals):
            _intervals_in(objects, figure, panel, at)
        else:
            image = panel.values.ndim == 3
            made = (
                objects.Image(z=panel.values) if image else objects.Heatmap(z=panel.values, showscale=False)
            )
            figure.add_trace(made, **at)
            figure.update_xaxes(visible=False, **at)
            figure.update_yaxes(visible=False, autorange="reversed", scaleratio=1, **at)
    figure.update_layout(
        title=title or None, width=PIXELS[0] * columns, height=PIXELS[1] * rows + 60, template="plotly_white"
    )
    return figure


def _curves_in(objects: Any, figure: Any, panel: Curves, at: dict[str, int]) -> None:
    for row, y in enumerate(panel.y):
        dashed = row < len(panel.dashed) and panel.dashed[row]
        line = {"dash": "dash" if dashed else "solid"}
        if row < len(panel.colors):
            line["color"] = panel.colors[row]
        name = panel.labels[row] if row < len(panel.labels) else f"curve {row + 1}"
        style: dict[str, Any] = {"mode": "lines", "line": line}
        if row < len(panel.markers) and panel.markers[row]:
            shown = {"symbol": MARKERS[panel.markers[row]][1], "maxdisplayed": MARKS}
            style |= {"mode": "lines+markers", "marker": shown}
        figure.add_trace(objects.Scatter(x=panel.x, y=y, name=name, connectgaps=True, **style), **at)
        if area := panel.area(row):
            x, low, high = area
            outline = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([low, high[::-1]])}
            look = {"fill": "toself", "opacity": BAND, "hoverinfo": "skip", "showlegend": False}
            look |= {"mode": "none", "fillcolor": line.get("color")}
            figure.add_trace(objects.Scatter(**outline, **look, name=f"{name}, spread"), **at)
    for level, label in panel.lines:
        figure.add_hline(y=level, line={"dash": "dot", "color": "gray"}, annotation_text=label, **at)
    figure.update_xaxes(title_text=panel.x_label, type="log" if panel.log else None, **at)
    figure.update_yaxes(title_text=panel.y_label, **at)


def _intervals_in(objects: Any, figure: Any, panel: Intervals, at: dict[str, int]) -> None:
    below, above = panel.lengths()
    error = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    dots = objects.Scatter(
        x=panel.values,
        y=list(panel.labels),
        error_x=error,
        mode="markers",
        marker={"color": list(panel.colors) or None, "size": 9},
        showlegend=False,
    )
    figure.add_trace(dots, **at)
    if math.isfinite(panel.line):
        figure.add_vline(x=panel.line, line={"dash": "dash", "color": "gray"}, **at)
    figure.update_xaxes(title_text=panel.x_label, **at)
    figure.update_yaxes(autorange="reversed", **at)


def _checked(panels: Sequence[Panel]) -> list[Panel]:
    if not panels:
        raise ValueError("expected results to draw, got none; wait for the computation")
    return list(panels)[:MOST]
