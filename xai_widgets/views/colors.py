"""The colours of values as the views have them: the same maps, the same steps, the same end of the scale.

The maps are those of ``js/src/lib/colormaps.js``, written beside the bundles by their build.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATIC = Path(__file__).parent.parent / "static"

#: Values are shown in so many steps; odd, so that zero has a step of its own.
STEPS = 257


@cache
def color_table(name: str, sign: str, fade: bool = False) -> NDArray[np.uint8]:
    """The colours of the steps from the low to the high end of what is shown.

    Parameters
    ----------
    name : str
        A colour map, or "auto": "blue_orange" for both signs, "inferno" for one.
    sign : {"both", "positive", "negative", "absolute"}
        A diverging map shows one sign by the half that belongs to it.
    fade : bool, default False
        Whether alpha grows from 0 at zero to 255 at the ends.

    Returns
    -------
    numpy.ndarray of uint8, shape (257, 4)
        Red, green, blue, alpha.
    """
    maps = _maps()
    if name not in maps["knots"]:
        name = "blue_orange" if sign == "both" else "inferno"
    t = np.arange(STEPS) / (STEPS - 1)
    place = t
    if name in maps["diverging"] and sign != "both":
        place = (1 - t) / 2 if sign == "negative" else (1 + t) / 2
    knots = np.frombuffer(bytes.fromhex(maps["knots"][name]), np.uint8).reshape(-1, 3).astype(float)
    place = place * (len(knots) - 1)
    low = np.minimum(np.floor(place).astype(int), len(knots) - 2)
    mixed = knots[low] + (place - low)[:, None] * (knots[low + 1] - knots[low])
    strength = np.abs(2 * t - 1) if sign == "both" else t
    alpha = 255 * strength if fade else np.full(STEPS, 255.0)
    return np.floor(np.column_stack([mixed, alpha]) + 0.5).astype(np.uint8)


@cache
def _maps() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((STATIC / "colormaps.json").read_text(encoding="utf-8"))
    return read


def resolve_sign(sign: str, *maps: NDArray[Any]) -> str:
    """What "auto" stands for: "both" if any map has values below zero, else "positive"."""
    if sign != "auto":
        return sign
    return "both" if any((map < 0).any() for map in maps) else "positive"


def magnitude_limit(values: NDArray[Any], percentile: float) -> float:
    """The magnitude that a percentage of the values do not exceed; the largest where that is zero."""
    magnitudes = np.abs(values[np.isfinite(values)]).astype(float)
    if not magnitudes.size:
        return 0.0
    return float(np.percentile(magnitudes, percentile)) or float(magnitudes.max())


def shade(values: NDArray[Any], limit: float, sign: str, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colour of every value.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (h, w)
        What is not finite becomes transparent.
    limit : float
        The magnitude at the end of the scale; 0 gives the colour of zero everywhere.
    sign : {"both", "positive", "negative", "absolute"}
        Which values are shown.
    table : numpy.ndarray of uint8, shape (257, 4)
        Of :func:`color_table`.

    Returns
    -------
    numpy.ndarray of uint8, shape (h, w, 4)
    """
    top = STEPS - 1
    zero = top / 2 if sign == "both" else 0
    gain = (-1 if sign == "negative" else 1) * (top - zero) / limit if limit > 0 else 0
    finite = np.isfinite(values)
    known = np.where(finite, np.abs(values) if sign == "absolute" else values, 0).astype(float)
    colors = table[np.clip(zero + gain * known + 0.5, 0, top).astype(int)]
    colors[~finite] = 0
    return colors
