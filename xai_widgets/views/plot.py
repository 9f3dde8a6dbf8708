"""Static plots of curves, drawn by Pillow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from xai_widgets.views.preview import LINE_HEIGHT, Pixels, write_text

Color = tuple[int, ...]

#: Colors of curves, as in ``js/src/lib/palette.css``: a base, and its share in percent; the rest is the color of text.
PALETTE = (
    ("#0072b2", 77),
    ("#d55e00", 70),
    ("#009e73", 77),
    ("#cc79a7", 83),
    ("#e69f00", 82),
    ("#56b4e9", 79),
    ("#000000", 20),
    ("#f0e442", 52),
)
#: Markers of curves of one color, as in ``js/src/lib/palette.js``; the first curves of each color have none.
MARKERS = ("", "circle", "triangle", "square", "diamond", "down", "plus", "cross")
#: Number of looks before they repeat.
LOOKS = len(PALETTE) * len(MARKERS)
TEXT, GRID = (33, 33, 33), (224, 224, 224)
#: Edges of the plotting area, px.
LEFT, TOP, RIGHT, BOTTOM = 44, 22, 388, 210
WIDTH = 400
#: Lines are drawn larger by this factor, and the plot is reduced afterwards, for smooth lines.
OVERSAMPLING = 3
#: Length of a dash and of the gap after it, px.
DASH = (6, 4)
#: Half the size of a marker, and the distance between two markers of a curve, px.
HALF, APART = 4, 56
#: Opacity of a band.
BAND = 0.18
#: The corners of markers, in halves of their size.
CORNERS = {
    "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "down": ((0, 1.15), (1.1, -0.85), (-1.1, -0.85)),
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0, -1), (1, 0), (0, 1), (-1, 0)),
}
#: Tolerance for the rounding of float32 at the ends of [0, 1].
SLACK = 1e-4


@dataclass(frozen=True)
class Axes:
    """Axes that map values to pixels.

    Attributes
    ----------
    x, y : (float, float)
        Values at the ends; those of x on the scale of the axis.
    scale : {"linear", "sqrt", "log"}
        Scale of the x axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    scale: str

    def across(self, x: float) -> float:
        """Return the position of an x, in px from the left."""
        return LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (RIGHT - LEFT)

    def down(self, y: float) -> float:
        """Return the position of a y, in px from the top."""
        return BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (BOTTOM - TOP)

    def x_ticks(self) -> list[tuple[float, str]]:
        """Return the positions and labels of the ticks of x."""
        back = {"log": lambda at: 10**at, "sqrt": lambda at: at**2}.get(self.scale, lambda at: at)
        return [(self.across(at), f"{back(at):g}") for at in ticks(*self.x)]

    def y_ticks(self) -> list[tuple[float, str]]:
        """Return the positions and labels of the ticks of y."""
        return [(self.down(at), f"{at:g}") for at in ticks(*self.y)]


def curves(
    x: NDArray[Any],
    y: NDArray[Any],
    series: Sequence[dict[str, Any]],
    *,
    lines: Sequence[dict[str, Any]] = (),
    hidden: Sequence[int] = (),
    band: NDArray[Any] | None = None,
    scale: str = "linear",
    fit: bool = False,
    x_label: str = "",
    y_label: str = "",
) -> Pixels | None:
    """Draw curves over one x, with a legend below; return None if there is nothing to draw.

    Parameters
    ----------
    x : numpy.ndarray of float, shape (T,)
    y : numpy.ndarray of float, shape (S, T)
        NaN for missing values.
    series, lines, hidden, x_label, y_label
        Traits of ``CurveView``; missing entries of `series` are empty.
    band : numpy.ndarray of float, shape (2, S, T), optional
        The ends of the area around each curve; NaN for none.
    scale : {"linear", "sqrt", "log"}, default "linear"
        Scale of the x axis.
    fit : bool, default False
        Whether a y axis of shares ends at the highest curve, not at 1.
    """
    count = min(y.shape[1], len(x))
    entries = [*series, *({} for _ in range(len(y) - len(series)))]
    rows = [row for row in range(len(y)) if row not in hidden and np.isfinite(y[row, :count]).any()]
    if not rows:
        return None
    positions = x[:count].astype(float)
    if scale != "linear":
        positions = np.log10(positions) if scale == "log" else np.sqrt(positions)
    known = y[rows, :count][np.isfinite(y[rows, :count])]
    levels = [*known.tolist(), *(line["y"] for line in lines)]
    axes = Axes(_span(positions), _y_span(levels, fit), scale)
    looks = {row: curve_look(entries[row], row) for row in rows}

    canvas = Image.new(
        "RGB", (WIDTH * OVERSAMPLING, (BOTTOM + 40 + LINE_HEIGHT * len(rows)) * OVERSAMPLING), "white"
    )
    pen = ImageDraw.Draw(canvas)
    for position, _ in axes.x_ticks():
        _stroke(pen, (position, TOP), (position, BOTTOM), GRID)
    for position, _ in axes.y_ticks():
        _stroke(pen, (LEFT, position), (RIGHT, position), GRID)
    if band is not None and band.shape == (2, len(y), len(x)):
        for row in rows:
            _draw_band(pen, axes, positions, band[:, row, :count], looks[row][0])
    for line in lines:
        level = axes.down(line["y"])
        _stroke(pen, (LEFT, level), (RIGHT, level), _css(line.get("color", ""), TEXT))
    for row in rows:
        points = [(axes.across(a), axes.down(b)) for a, b in zip(positions, y[row, :count], strict=True)]
        _draw_curve(pen, points, looks[row][0], dashed=entries[row].get("style") == "dashed")
        for point in _marked(points, row):
            _draw_marker(pen, point, *looks[row])
    for number, row in enumerate(rows):
        down = BOTTOM + 43.0 + LINE_HEIGHT * number
        sample = [(LEFT + across, down) for across in (0.0, 16.0)]
        _draw_curve(pen, sample, looks[row][0], dashed=entries[row].get("style") == "dashed")
        _draw_marker(pen, (LEFT + 8.0, down), *looks[row])
    small = canvas.resize((WIDTH, canvas.height // OVERSAMPLING), Image.Resampling.BOX)
    _write_axes(small, axes, x_label, y_label)
    for number, row in enumerate(rows):
        words = " ".join(
            filter(None, [entries[row].get("label") or f"curve {row + 1}", entries[row].get("note")])
        )
        write_text(small, (LEFT + 22, BOTTOM + 36 + LINE_HEIGHT * number), words, looks[row][0], "l")
    return np.asarray(small)


def series_color(index: int) -> Color:
    """Return the color of a method or class, as the page draws it on white."""
    base, share = PALETTE[index % len(PALETTE)]
    parts = zip(ImageColor.getrgb(base), TEXT, strict=True)
    return tuple(round((share * part + (100 - share) * text) / 100) for part, text in parts)


def curve_look(entry: dict[str, Any], row: int) -> tuple[Color, str]:
    """Return color and marker of a curve: its own color, or the look of its method."""
    index = entry.get("look", entry.get("frame", row))
    marker = "" if entry.get("color") else MARKERS[index // len(PALETTE) % len(MARKERS)]
    return _css(entry.get("color", ""), series_color(index)), marker


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def _css(color: str, default: Color) -> Color:
    try:
        return ImageColor.getrgb(color)[:3]
    except ValueError:
        # Empty, or a color that only a browser knows.
        return default


def _span(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _y_span(values: Sequence[float], fit: bool) -> tuple[float, float]:
    known = np.array(values)
    shares = known.min() >= -SLACK and known.max() <= 1 + SLACK
    return (0.0, max(float(known.max()), SLACK) if fit else 1.0) if shares else _span(known)


def _draw_curve(
    pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], color: Color, dashed: bool
) -> None:
    # A line connects the values that are known, as in the browser.
    known = [point for point in points if math.isfinite(point[1])]
    offset = 0.0
    for start, here in itertools.pairwise(known):
        for part, to in _dashes(math.dist(start, here), offset) if dashed else [(0.0, 1.0)]:
            _stroke(pen, _between(start, here, part), _between(start, here, to), color, 2)
        offset += math.dist(start, here)
    if len(known) == 1:
        # A value without neighbors would be invisible as a line.
        (left, top), (right, bottom) = ([OVERSAMPLING * (part + by) for part in known[0]] for by in (-3, 3))
        pen.ellipse([left, top, right, bottom], fill=color)


def _draw_band(
    pen: ImageDraw.ImageDraw, axes: Axes, positions: NDArray[Any], ends: NDArray[Any], color: Color
) -> None:
    """Draw the area between two curves in a pale color, within the plotting area."""
    known = np.isfinite(ends).all(0)
    if known.sum() < 2:
        return
    low, high = (
        [
            (axes.across(a), min(max(axes.down(b), TOP), BOTTOM))
            for a, b in zip(positions[known], end[known], strict=True)
        ]
        for end in ends
    )
    pale = tuple(round(255 - BAND * (255 - part)) for part in color)
    pen.polygon([(OVERSAMPLING * a, OVERSAMPLING * b) for a, b in [*low, *high[::-1]]], fill=pale)


def _marked(points: list[tuple[float, float]], row: int) -> list[tuple[float, float]]:
    """Return the points with a marker, apart from each other and shifted from those of other curves."""
    found, free = [], LEFT + APART / 2 + row * 17 % APART
    for across, down in points:
        if math.isfinite(down) and across >= free:
            found.append((across, down))
            free = across + APART
    return found


def _draw_marker(pen: ImageDraw.ImageDraw, at: tuple[float, float], color: Color, marker: str) -> None:
    if not marker:
        return
    across, down = (OVERSAMPLING * part for part in at)
    half = OVERSAMPLING * HALF
    if marker == "circle":
        pen.ellipse([across - half, down - half, across + half, down + half], fill=color)
    elif marker in CORNERS:
        pen.polygon([(across + half * x, down + half * y) for x, y in CORNERS[marker]], fill=color)
    else:
        turned = [(1, 0), (0, 1)] if marker == "plus" else [(0.75, 0.75), (0.75, -0.75)]
        for x, y in turned:
            ends = [across - half * x, down - half * y, across + half * x, down + half * y]
            pen.line(ends, fill=color, width=2 * OVERSAMPLING)


def _dashes(length: float, offset: float) -> list[tuple[float, float]]:
    """Return the start and end of each dash, as shares of the length of a segment that starts at `offset` px."""
    period = sum(DASH)
    first = math.floor(offset / period)
    last = math.floor((offset + length) / period)
    starts = [period * number - offset for number in range(first, last + 1)]
    ends = [(max(start, 0) / length, min(start + DASH[0], length) / length) for start in starts if length]
    return [(start, end) for start, end in ends if start < end]


def _between(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _stroke(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    color: Color,
    width: int = 1,
) -> None:
    pen.line([OVERSAMPLING * part for part in (*start, *end)], fill=color, width=OVERSAMPLING * width)


def _write_axes(canvas: Image.Image, axes: Axes, x_label: str, y_label: str) -> None:
    for position, words in axes.x_ticks():
        write_text(canvas, (position, BOTTOM + 4), words, TEXT, "m")
    for position, words in axes.y_ticks():
        write_text(canvas, (LEFT - 5, position - 6), words, TEXT, "r")
    write_text(canvas, ((LEFT + RIGHT) / 2, BOTTOM + 19), x_label, TEXT, "m")
    write_text(canvas, (LEFT, TOP - 18), y_label, TEXT, "l")
