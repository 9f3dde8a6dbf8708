"""Curves as a still picture, drawn by Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from xai_widgets.views.preview import LINE, Pixels, write

Color = tuple[int, ...]

#: The colours of curves, those of ``js/src/lib/palette.css``: a base, and how many percent of it; the rest is text.
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
TEXT, GRID = (33, 33, 33), (224, 224, 224)
#: The plotting area, px.
LEFT, TOP, RIGHT, BOTTOM = 44, 22, 388, 210
WIDTH = 400
#: Lines are drawn so much larger and then made smaller, which makes them smooth.
OVER = 3
#: A dash and the gap behind it, px.
DASH = (6, 4)
#: Rounding of float32 that still counts as inside [0, 1].
SLACK = 1e-4


@dataclass(frozen=True)
class Axes:
    """From values to places in the picture.

    Attributes
    ----------
    x, y : (float, float)
        The values at the ends; those of x after the logarithm, if it is one.
    log : bool
        Whether x is a logarithm.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    def across(self, x: float) -> float:
        """The place of an x, in px from the left."""
        return LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (RIGHT - LEFT)

    def down(self, y: float) -> float:
        """The place of a y, in px from the top."""
        return BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (BOTTOM - TOP)

    def x_ticks(self) -> list[tuple[float, str]]:
        """Places on x with their words."""
        return [(self.across(at), f"{10**at if self.log else at:g}") for at in ticks(*self.x)]

    def y_ticks(self) -> list[tuple[float, str]]:
        """Places on y with their words."""
        return [(self.down(at), f"{at:g}") for at in ticks(*self.y)]


def curves(
    x: NDArray[Any],
    y: NDArray[Any],
    series: Sequence[dict[str, Any]],
    *,
    lines: Sequence[dict[str, Any]] = (),
    hidden: Sequence[int] = (),
    log: bool = False,
    x_label: str = "",
    y_label: str = "",
) -> Pixels | None:
    """Draw curves over one x, with their names below; None if nothing is there to draw.

    Parameters
    ----------
    x : numpy.ndarray of float, shape (T,)
    y : numpy.ndarray of float, shape (S, T)
        NaN where nothing is known.
    series, lines, hidden, x_label, y_label
        As the traits of ``CurveView``; missing entries of `series` are empty.
    log : bool, default False
        Whether x is drawn by its logarithm.
    """
    count = min(y.shape[1], len(x))
    entries = [*series, *({} for _ in range(len(y) - len(series)))]
    rows = [row for row in range(len(y)) if row not in hidden and np.isfinite(y[row, :count]).any()]
    if not rows:
        return None
    places = np.log10(x[:count].astype(float)) if log else x[:count].astype(float)
    known = y[rows, :count][np.isfinite(y[rows, :count])]
    axes = Axes(_span(places), _y_span([*known.tolist(), *(line["y"] for line in lines)]), log)
    colors = {row: color_of(entries[row], row) for row in rows}

    canvas = Image.new("RGB", (WIDTH * OVER, (BOTTOM + 40 + LINE * len(rows)) * OVER), "white")
    pen = ImageDraw.Draw(canvas)
    for place, _ in axes.x_ticks():
        _stroke(pen, (place, TOP), (place, BOTTOM), GRID)
    for place, _ in axes.y_ticks():
        _stroke(pen, (LEFT, place), (RIGHT, place), GRID)
    for line in lines:
        level = axes.down(line["y"])
        _stroke(pen, (LEFT, level), (RIGHT, level), _css(line.get("color", ""), TEXT))
    for row in rows:
        points = [(axes.across(a), axes.down(b)) for a, b in zip(places, y[row, :count], strict=True)]
        _draw_curve(pen, points, colors[row], dashed=entries[row].get("style") == "dashed")
    for number, row in enumerate(rows):
        down = BOTTOM + 43.0 + LINE * number
        sample = [(LEFT + across, down) for across in (0.0, 16.0)]
        _draw_curve(pen, sample, colors[row], dashed=entries[row].get("style") == "dashed")
    small = canvas.resize((WIDTH, canvas.height // OVER), Image.Resampling.BOX)
    _write_axes(small, axes, x_label, y_label)
    for number, row in enumerate(rows):
        words = " ".join(
            filter(None, [entries[row].get("label") or f"curve {row + 1}", entries[row].get("note")])
        )
        write(small, (LEFT + 22, BOTTOM + 36 + LINE * number), words, colors[row], "l")
    return np.asarray(small)


def color_of(entry: dict[str, Any], row: int) -> Color:
    """The colour of a curve: its own, or that of its frame."""
    base, share = PALETTE[entry.get("frame", row) % len(PALETTE)]
    parts = zip(ImageColor.getrgb(base), TEXT, strict=True)
    mixed = tuple(round((share * part + (100 - share) * text) / 100) for part, text in parts)
    return _css(entry.get("color", ""), mixed)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most about `count`."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def _css(color: str, default: Color) -> Color:
    try:
        return ImageColor.getrgb(color)[:3]
    except ValueError:
        # None is given, or one that only a browser knows.
        return default


def _span(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _y_span(values: Sequence[float]) -> tuple[float, float]:
    known = np.array(values)
    shares = known.min() >= -SLACK and known.max() <= 1 + SLACK
    return (0.0, 1.0) if shares else _span(known)


def _draw_curve(
    pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], color: Color, dashed: bool
) -> None:
    known = [math.isfinite(down) for _, down in points]
    travelled = 0.0
    for index, here in enumerate(points):
        before = index > 0 and known[index - 1]
        if known[index] and before:
            start = points[index - 1]
            for part, to in _dashes(math.dist(start, here), travelled) if dashed else [(0.0, 1.0)]:
                _stroke(pen, _between(start, here, part), _between(start, here, to), color, 2)
            travelled += math.dist(start, here)
        elif known[index] and not any(known[index + 1 : index + 2]):
            # A value without neighbours would not be seen.
            (left, top), (right, bottom) = ([OVER * (part + by) for part in here] for by in (-3, 3))
            pen.ellipse([left, top, right, bottom], fill=color)


def _dashes(length: float, travelled: float) -> list[tuple[float, float]]:
    """Where dashes begin and end on a piece of a line, as shares of it; `travelled` px of the line lie before it."""
    period = sum(DASH)
    first = math.floor(travelled / period)
    last = math.floor((travelled + length) / period)
    starts = [period * number - travelled for number in range(first, last + 1)]
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
    pen.line([OVER * part for part in (*start, *end)], fill=color, width=OVER * width)


def _write_axes(canvas: Image.Image, axes: Axes, x_label: str, y_label: str) -> None:
    for place, words in axes.x_ticks():
        write(canvas, (place, BOTTOM + 4), words, TEXT, "m")
    for place, words in axes.y_ticks():
        write(canvas, (LEFT - 5, place - 6), words, TEXT, "r")
    write(canvas, ((LEFT + RIGHT) / 2, BOTTOM + 19), x_label, TEXT, "m")
    write(canvas, (LEFT, TOP - 18), y_label, TEXT, "l")
