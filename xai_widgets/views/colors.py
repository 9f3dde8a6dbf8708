"""Color maps and scales, equal to those of the browser.

The color maps are defined in ``js/src/lib/colormaps.js``; the build of the bundles writes them to a file beside them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATIC = Path(__file__).parent.parent / "static"

#: Number of steps of a color map; odd, so that zero has its own step.
STEPS = 257


@cache
def color_table(name: str, sign: str, fade: bool = False) -> NDArray[np.uint8]:
    """Return the color of each step, from the low to the high end of the scale.

    Parameters
    ----------
    name : str
        Name of a color map, or "auto": "blue_orange" for both signs, "inferno" for one. For both signs, "blue_orange"
        also replaces a sequential map, which would show zero as a value like others.
    sign : {"both", "positive", "negative", "absolute"}
        Sign of the values; for one sign, a diverging map uses one half.
    fade : bool, default False
        Whether alpha grows from 0 at zero to 255 at the ends.

    Returns
    -------
    numpy.ndarray of uint8, shape (257, 4)
        Red, green, blue, alpha.
    """
    maps = _maps()
    if sign == "both" and name not in maps["diverging"]:
        name = "blue_orange"
    elif name not in maps["knots"]:
        name = "inferno"
    t = np.arange(STEPS) / (STEPS - 1)
    position = t
    if name in maps["diverging"] and sign != "both":
        position = (1 - t) / 2 if sign == "negative" else (1 + t) / 2
    knots = np.frombuffer(bytes.fromhex(maps["knots"][name]), np.uint8).reshape(-1, 3).astype(float)
    position = position * (len(knots) - 1)
    low = np.minimum(np.floor(position).astype(int), len(knots) - 2)
    mixed = knots[low] + (position - low)[:, None] * (knots[low + 1] - knots[low])
    strength = np.abs(2 * t - 1) if sign == "both" else t
    alpha = 255 * strength if fade else np.full(STEPS, 255.0)
    return np.floor(np.column_stack([mixed, alpha]) + 0.5).astype(np.uint8)


@cache
def _maps() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((STATIC / "colormaps.json").read_text(encoding="utf-8"))
    return read


def shown_sign(sign: str, colormap: str, own: str, *maps: NDArray[Any]) -> str:
    """Replace "auto" by the sign of a method or its maps; by "absolute" for both signs in a sequential color map."""
    if sign != "auto":
        return sign
    found = resolve_sign(own, *maps)
    sequential = colormap in _maps()["knots"] and colormap not in _maps()["diverging"]
    return "absolute" if found == "both" and sequential else found


def resolve_sign(sign: str, *maps: NDArray[Any]) -> str:
    """Replace "auto" by "both" if any map has values below zero, else by "positive"."""
    if sign != "auto":
        return sign
    return "both" if any((map < 0).any() for map in maps) else "positive"


def magnitude_limit(values: NDArray[Any], percentile: float) -> float:
    """Return the percentile of the magnitudes of finite values; the largest magnitude if it is zero."""
    magnitudes = np.abs(values[np.isfinite(values)]).astype(float)
    if not magnitudes.size:
        return 0.0
    return float(np.percentile(magnitudes, percentile)) or float(magnitudes.max())


def shade(values: NDArray[Any], limit: float, sign: str, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the color of every value.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (h, w)
        Values; those that are not finite become transparent.
    limit : float
        The magnitude at the end of the scale; with 0, every value has the color of zero.
    sign : {"both", "positive", "negative", "absolute"}
        Which values are shown.
    table : numpy.ndarray of uint8, shape (257, 4)
        Colors of the steps, from :func:`color_table`.

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
