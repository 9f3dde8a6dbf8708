"""Arrays of the deletion explorer: rows of curves, best classes, and where the predicted class changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import Curve, abpc
from xai_widgets.metrics.pixel_flipping import mean_change
from xai_widgets.studies.deletion import KINDS, DeletionResult, Kind
from xai_widgets.studies.mean_curves import MeanCurves, interval
from xai_widgets.views import CurveView

#: The curves of which a low number is good.
LOW_IS_GOOD = ("deletion", "MoRF")
#: The names of the numbers about each curve, and about both curves of a method.
NUMBERS: dict[Kind, tuple[str, str]] = {"deletion": ("AUC", ""), "flipping": ("mean change", "ABPC")}


class CurveRows:
    """The rows of a :class:`CurveView`: entries, values and bands.

    Parameters
    ----------
    fractions : array, (T,)
        The shares of the pixels.
    """

    def __init__(self, fractions: NDArray[np.float32]) -> None:
        self.fractions = fractions
        self.series: list[dict[str, Any]] = []
        self._y: list[NDArray[Any]] = []
        self._bands: list[NDArray[Any]] = []

    def add(
        self, entry: dict[str, Any], y: NDArray[Any] | None = None, band: NDArray[Any] | None = None
    ) -> None:
        """Add a row; without values it has none yet."""
        steps = len(self.fractions)
        self.series.append(entry)
        self._y.append(np.full(steps, np.nan) if y is None else y)
        self._bands.append(np.full((2, steps), np.nan) if band is None else band)

    def show(self, view: CurveView) -> None:
        """Show the rows; curves that are hidden stay hidden."""
        # Hidden curves are given by row: with other rows the same curves stay hidden.
        hidden = {_identity(entry) for row, entry in enumerate(view.series) if row in view.hidden}
        steps = len(self.fractions)
        with view.hold_sync():
            view.series = self.series
            view.hidden = [row for row, entry in enumerate(self.series) if _identity(entry) in hidden]
            view.x = self.fractions
            view.y = np.stack(self._y).astype(np.float32) if self._y else np.zeros((0, steps), np.float32)
            view.band = np.stack(self._bands, axis=1).astype(np.float32) if self._bands else None


def _identity(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["label"], entry.get("scope", "")


def numbers(kind: Kind, scores: NDArray[np.float32], fractions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the area under each curve, or the mean change of the score: (n, T) -> (n,)."""
    values = torch.from_numpy(scores)
    made = torch.trapezoid(values, torch.from_numpy(fractions)) if kind == "deletion" else mean_change(values)
    return made.double().numpy()


def curve_facts(kind: Kind, curve: Curve) -> dict[str, Any]:
    """Return the parts of an entry that are known from a whole curve."""
    number = numbers(kind, curve.scores.numpy(), curve.fractions.numpy())[0]
    return {} if np.isnan(number) else {"auc": float(number), "note": f"{NUMBERS[kind][0]} {number:.3f}"}


def area_between(kind: Kind, result: DeletionResult | None) -> dict[str, float]:
    """Return ABPC of a method as a part of an entry, once both curves are whole."""
    curves = list(result.curves.values()) if result is not None else []
    if kind == "deletion" or len(curves) < 2:
        return {}
    area = abpc(*curves).item()
    return {} if np.isnan(area) else {"between": area}


def chance(kind: Kind, name: str, curve: Curve, random: Curve | None) -> str:
    """Return that a curve is not better than random orders; "" if it is, or if that is not known yet.

    It is better if its number is beyond the 5th or the 95th percentile of theirs.
    """
    if random is None or random.draws is None:
        return ""
    fractions = curve.fractions.numpy()
    number = numbers(kind, curve.scores.numpy(), fractions)[0]
    low, high = np.quantile(numbers(kind, random.draws[:, 0].numpy(), fractions), [0.05, 0.95])
    if np.isnan(number) or (number < low if name in LOW_IS_GOOD else number > high):
        return ""
    word = NUMBERS[kind][0]
    return f"{name} is not better than random orders: {word} {number:.3f}, theirs {low:.3f} to {high:.3f}"


def flip_facts(curve: Curve, predicted: int, model: ImageModel) -> dict[str, Any]:
    """Return where the predicted class changes, and to which class, as parts of an entry."""
    step = flip(curve, predicted)
    if step is None:
        return {}
    classes = curve.top_classes[0, :, 0]
    known = (classes[:step] >= 0).nonzero().flatten()
    before, after = (model.labels[int(classes[at])] for at in (known[-1], step))
    share = curve.fractions[step].item()
    return {"flip": share, "flip_label": f"{before} → {after} at {100 * share:.1f} %"}


def mean_row(
    kind: Kind, name: str, result: MeanCurves
) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return the facts, the mean and the 95 % interval of the mean of curves of several images."""
    scores = result.scores[name]
    mean, half = interval(scores)
    number, width = interval(numbers(kind, scores, result.fractions))
    spread = "" if np.isnan(width) else f" ± {width:.3f}"
    facts = {"auc": float(number), "note": f"{NUMBERS[kind][0]} {number:.3f}{spread}, {result.count} images"}
    if kind == "flipping":
        most, least = (result.scores[each] for each in KINDS[kind])
        facts["between"] = float((least - most)[:, 1:].sum(1, dtype=np.float64).mean())
    return facts, mean, np.stack([mean - half, mean + half])


def value_limits(*values: NDArray[Any]) -> list[float]:
    """Return the lowest and the highest of all finite values and 0, which are different."""
    every = np.concatenate([np.zeros(1), *(np.ravel(part) for part in values)])
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    return [low, high if high > low else low + 1]


def flip(curve: Curve, predicted: int) -> int | None:
    """Return the first known step at which the predicted class of the image is lost, or found while inserting.

    Parameters
    ----------
    curve : Curve
        A curve of one image, known in parts.
    predicted : int
        The predicted class of the whole image.

    Returns
    -------
    int or None
        None if there is no such step after the first known one.
    """
    classes = curve.top_classes[0, :, 0]
    known = (classes >= 0).nonzero().flatten()
    right = classes[known] == predicted
    changed = ~right if curve.mode == "deletion" else right
    if not len(known) or changed[0] or not changed.any():
        return None
    return int(known[changed.nonzero()[0, 0]])


class BestClasses(NamedTuple):
    """The best classes and the explained class of each method, mode and fraction; NaN where they are not known."""

    values: NDArray[np.float32]
    indices: NDArray[np.int32]
    target_values: NDArray[np.float32]

    @classmethod
    def empty(cls, shape: tuple[int, int, int], top: int) -> BestClasses:
        """Return arrays in which nothing is known, for so many methods, modes and fractions."""
        return cls(
            np.full((*shape, top), np.nan, dtype=np.float32),
            np.zeros((*shape, top), dtype=np.int32),
            np.full(shape, np.nan, dtype=np.float32),
        )

    def take(self, row: int, mode: int, curve: Curve) -> None:
        """Take the values of a curve."""
        self.values[row, mode] = curve.top_scores[0].numpy()
        self.indices[row, mode] = curve.top_classes[0].clamp_min(0).numpy()
        self.target_values[row, mode] = curve.scores[0].numpy()

    def take_image(self, kind: Kind, values: NDArray[np.float32], target: int) -> None:
        """Take the values of the image, at which only insertion ends and the others begin, where they are missing."""
        indices = np.argsort(-values, kind="stable")[: self.indices.shape[-1]]
        for mode, at in enumerate(-1 if name == "insertion" else 0 for name in KINDS[kind]):
            missing = np.isnan(self.target_values[:, mode, at])
            self.values[missing, mode, at] = values[indices]
            self.indices[missing, mode, at] = indices
            self.target_values[missing, mode, at] = values[target]
