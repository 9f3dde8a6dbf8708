"""The arrays of the inverse explorer: maps at each depth, notes, and the plot of reconstruction over simplicity."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.inverse import Inverted, LayerWise
from xai_widgets.inverse.chain import Chain

#: Largest side of a map that is sent, in cells: there is one for each depth and lambda.
MAP_SIDE = 64


@dataclass(frozen=True)
class Depth:
    """A position along the network: its name, the number of units inverted before it, and its size (h, w)."""

    name: str
    after: int
    size: tuple[int, ...]


class Point(NamedTuple):
    """A point of the plot: mean(alpha), the probability of the class, and the image x~, (1, C, H, W)."""

    mean_alpha: float
    probability: float
    image: Tensor


class Entry(NamedTuple):
    """A row of the plot: its name, its point, None before it is known, and a note such as the reason for that."""

    title: str
    point: Point | None = None
    note: str = ""


def find_depths(chain: Chain) -> list[Depth]:
    """Return the spatial inputs of the units, from the image on."""
    return [
        Depth(
            "image" if index == 0 else f"input of {unit.name}",
            len(chain.units) - 1 - index,
            tuple(x.shape[2:]),
        )
        for index, (unit, x) in enumerate(zip(chain.units, chain.inputs, strict=True))
        if x.ndim == 4 and x.shape[2] * x.shape[3] > 1
    ]


def depth_maps(inverse: Inverted, depths: Sequence[Depth], skipped: int = 0) -> Tensor:
    """Return a map for each depth and lambda, (D * L, h, w), of one resolution; NaN where nothing is known.

    Parameters
    ----------
    inverse : Inverted
        The inverse of one image so far.
    depths : sequence of Depth
        The depths.
    skipped : int, default 0
        Number of units behind the start of the inverse, which are not inverted.
    """
    sizes = [depth.size for depth in depths if max(depth.size) <= MAP_SIDE]
    size = max(sizes, default=(MAP_SIDE, MAP_SIDE))
    nothing = inverse.image.new_full((inverse.units[0].x.shape[1], *size), torch.nan)
    maps = []
    for depth in depths:
        if not 0 <= depth.after - skipped < len(inverse.units):
            maps.append(nothing)
            continue
        mode = "area" if max(depth.size) > max(size) else "nearest-exact"
        maps.append(F.interpolate(inverse.units[depth.after - skipped].map, size, mode=mode)[0])
    return torch.cat(maps)


def is_complete(inverse: Inverted | None) -> bool:
    """Return whether an inverse has reached the image."""
    return inverse is not None and inverse.output is not None


def notes_of(inverse: Inverted, index: int, *more: str) -> str:
    """Return the limits of an inverse of one image at one of its weights, as sentences in one line; "" for none."""
    kept = inverse.units[-1].kept[0, index]
    found = [*more, *inverse.notes]
    if not bool((kept != 0).any()):
        found.insert(0, "Empty: it keeps nothing of the image.")
    wrong = sum(not bool(unit.converged[0, index]) for unit in inverse.units)
    if wrong:
        found.append(f"Not converged: {wrong} unit{'s' * (wrong > 1)}.")
    return " ".join(_sentence(one) for one in found if one)


def _sentence(words: str) -> str:
    """Return a note as a sentence."""
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def last_kept(layers: LayerWise, kept: Tensor) -> int:
    """Return the index of the largest lambda up to which the class is kept at all smaller ones too; -1 for none."""
    return int(kept.long().cumprod(0).sum()) - 1 if layers.has_probabilities else -1


def plot_traits(
    entries: Sequence[Entry],
    curve: tuple[NDArray[np.float32], NDArray[np.float32]],
    baseline: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> dict[str, Any]:
    """Return x, y, steps and series of the plot: the curve over lambda, that of uniform fading, and the points.

    Parameters
    ----------
    entries : sequence of Entry
        The rows: the layer-wise inverse, uniform fading, and the others, of which each is a point.
    curve : tuple of array, (L,)
        mean(alpha) and the probability of the layer-wise inverse.
    baseline : tuple of array, (A,), optional
        The same of uniform fading.
    """
    steps = distinct(curve[0])
    points = {row: entry.point for row, entry in enumerate(entries) if row > 1 and entry.point is not None}
    shares = np.array([point.mean_alpha for point in points.values()], dtype=np.float32)
    faded = np.zeros(0, np.float32) if baseline is None else baseline[0]
    x = np.unique(np.concatenate([steps, shares, faded]))
    y = np.full((len(entries), len(x)), np.nan, dtype=np.float32)
    y[0, np.searchsorted(x, steps)] = curve[1]
    if baseline is not None:
        y[1, np.searchsorted(x, faded)] = baseline[1]
    for row, point in points.items():
        y[row, np.searchsorted(x, np.float32(point.mean_alpha))] = point.probability
    series = [
        {
            "label": entry.title if row else "layer-wise, over λ",
            "note": caption(Entry("", entry.point, entry.note)).replace("\n", "; "),
            "frame": row,
            "style": "dashed" if row == 1 else "solid",
        }
        for row, entry in enumerate(entries)
    ]
    return {"x": x, "y": y, "steps": steps, "series": series}


def caption(entry: Entry) -> str:
    """Return the name of an entry with alpha, p and its note, for the list of images."""
    numbers = []
    if entry.point is not None:
        # No line breaks within them.
        numbers = [f"α\u00a0{entry.point.mean_alpha:.2f}", f"p\u00a0{entry.point.probability:.2f}"]
    return "\n".join(filter(None, [entry.title, ", ".join(numbers), entry.note]))


def weighted_images(entries: Iterable[Entry], empty: Tensor) -> tuple[Tensor, NDArray[np.bool_]]:
    """Return the images x~ of entries, (M, C, H, W), and which of them exist; the others are `empty`, (C, H, W)."""
    shown = [empty[None] if entry.point is None else entry.point.image for entry in entries]
    return torch.cat(shown), np.array([entry.point is not None for entry in entries])


def distinct(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Separate equal values by the smallest step, so that each has its own position on an axis."""
    made = values.copy()
    order = np.argsort(made, kind="stable")
    for low, high in itertools.pairwise(order):
        if made[high] <= made[low]:
            made[high] = np.nextafter(made[low], np.float32(np.inf))
    return made
