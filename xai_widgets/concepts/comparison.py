"""Combinations of filters against the best single filters (Fong and Vedaldi 2018, sections 4.1, 4.2 and 5.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.concepts.combinations import SCORES, Combinations
from xai_widgets.concepts.refits import categories, mean_and_error
from xai_widgets.concepts.single_filters import SingleFilters
from xai_widgets.core.figures import Bars, draw_with_matplotlib, draw_with_plotly
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import instance

#: Bounds of the groups of concepts by number of training images, and by mean share of the pixels.
IMAGE_BOUNDS = (10, 20, 100, 1000)
SIZE_BOUNDS = (0.0, 0.01, 0.05, 0.2)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(ShortRepr):
    """Scores of combinations and of single filters in the validation split.

    Attributes
    ----------
    combinations : Combinations
        The combinations of all filters.
    single : Tensor, (C,)
        Validation score of the single filter of each concept.
    filters : Tensor, (C,)
        The single filter of each concept; -1 without one.
    """

    combinations: Combinations
    single: Tensor
    filters: Tensor

    @property
    def compared(self) -> Tensor:
        """Whether a concept has both scores, (C,)."""
        return self.combinations.score.isfinite() & self.single.isfinite()

    @property
    def wins(self) -> Tensor:
        """Whether the combination scores at least as high as the single filter, (C,); False where not compared."""
        return self.compared & (self.combinations.score >= self.single)

    @property
    def share(self) -> float:
        """Share of the compared concepts for which the combination scores at least as high (table 1)."""
        return float(self.wins.sum() / self.compared.sum())

    @property
    def ratio(self) -> Tensor:
        """Score of the single filter relative to that of the combination, (C,) (section 5.2)."""
        return self.single / self.combinations.score

    def by_category(self) -> dict[str, dict[str, float]]:
        """Return the mean scores with standard errors, the share of wins, and the count by category (figure 2)."""
        rows = {}
        for name, indices in categories(self.combinations).items():
            chosen = indices[self.compared[indices]]
            if len(chosen):
                learned, learned_error = mean_and_error(self.combinations.score[chosen])
                single, single_error = mean_and_error(self.single[chosen])
                rows[name] = {
                    "combination": float(learned),
                    "combination error": float(learned_error),
                    "single": float(single),
                    "single error": float(single_error),
                    "wins": float(self.wins[chosen].float().mean()),
                    "concepts": len(chosen),
                }
        return rows

    def failures(self) -> list[dict[str, Any]]:
        """Return the concepts whose single filter scores higher, the largest difference first."""
        difference = self.single - self.combinations.score
        lost = (self.compared & ~self.wins).nonzero()[:, 0]
        return [
            {
                "concept": self.combinations.concepts[c].name,
                "category": self.combinations.concepts[c].category,
                "combination": float(self.combinations.score[c]),
                "single": float(self.single[c]),
                "filter": int(self.filters[c]),
                "training images": int(self.combinations.positives[c]),
                "size": float(self.combinations.size[c]),
            }
            for c in lost[difference[lost].argsort(descending=True, stable=True)].tolist()
        ]

    def by_images(self) -> list[dict[str, Any]]:
        """Return the share of wins in groups of concepts by number of training images."""
        return self._grouped(self.combinations.positives.float(), IMAGE_BOUNDS)

    def by_size(self) -> list[dict[str, Any]]:
        """Return the share of wins in groups of concepts by mean share of the pixels."""
        return self._grouped(self.combinations.size, SIZE_BOUNDS)

    def _grouped(self, values: Tensor, bounds: tuple[float, ...]) -> list[dict[str, Any]]:
        rows = []
        for low, high in zip(bounds, (*bounds[1:], math.inf), strict=True):
            chosen = self.compared & (values >= low) & (values < high)
            if count := int(chosen.sum()):
                wins = float(self.wins[chosen].float().mean())
                rows.append({"from": low, "below": high, "concepts": count, "wins": wins})
        return rows

    def plot(self) -> Any:
        """Return a figure of matplotlib: the mean scores by category."""
        return draw_with_matplotlib(self._bars())

    def figure(self) -> Any:
        """Return a figure of plotly: the mean scores by category."""
        return draw_with_plotly(self._bars())

    def _bars(self) -> list[Bars]:
        rows = self.by_category()
        score = SCORES[self.combinations.task]
        titles = {"combination": "combination of filters", "single": "single filter"}
        return [
            Bars(f"{title}, {score}", list(rows), [row[kind] for row in rows.values()])
            for kind, title in titles.items()
        ]


def compare(combinations: Combinations, single: SingleFilters | Combinations) -> Comparison:
    """Compare combinations of all filters with single filters.

    Parameters
    ----------
    combinations : Combinations
        Combinations of all filters of a layer.
    single : SingleFilters or Combinations
        The best filters of the same layer for segmentation; for classification, combinations of one filter each, from
        :func:`~xai_widgets.concepts.top_filters` with F = 1.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        For another layer, other concepts, or another task.
    """
    instance(combinations, "combinations", Combinations)
    instance(single, "single", (SingleFilters, Combinations))
    if combinations.layer != single.layer or combinations.concepts != single.concepts:
        raise ValueError(
            f"expected single filters of {combinations.layer!r} with the same concepts, got those of {single.layer!r}"
        )
    if isinstance(single, SingleFilters):
        if combinations.task != "segmentation":
            raise ValueError(
                "expected single filters for classification, got those for segmentation; see top_filters"
            )
        return Comparison(combinations, single.iou_set, single.best)
    if single.task != combinations.task:
        raise ValueError(f"expected single filters for {combinations.task}, got those for {single.task}")
    filters = torch.where(single.trained, single.weights.abs().argmax(1), -1)
    return Comparison(combinations, single.score, filters)


@dataclass(frozen=True, eq=False, repr=False)
class WeightCorrelation(ShortRepr):
    """Correlation over the filters of max(w_k, 0) with the set IoU of filter k in the validation split (figure 9).

    Attributes
    ----------
    coefficient : Tensor, (C,)
        Pearson's r of each concept; NaN where a side is constant.
    p : Tensor, (C,)
        Two-sided p-value of r = 0, by Student's t distribution with K - 2 degrees of freedom.
    """

    coefficient: Tensor
    p: Tensor

    def significant(self, level: float = 0.01) -> float:
        """Return the share of concepts with a positive correlation and p below ``level``."""
        known = self.p.isfinite()
        return float(((self.p < level) & (self.coefficient > 0))[known].float().mean())


def weight_correlation(combinations: Combinations, single: SingleFilters) -> WeightCorrelation:
    """Return the correlation of the weights of filters with their IoUs as single filters.

    Parameters
    ----------
    combinations : Combinations
        Combinations for segmentation.
    single : SingleFilters
        Single filters of the same layer.
    """
    compare(combinations, single)
    weights = combinations.weights.clamp(min=0).double()
    r = correlation(weights, single.val_iou.double())
    r = torch.where(combinations.trained, r, torch.nan)
    freedom = weights.shape[1] - 2
    # The two tails of t are a regularized incomplete beta function of 1 - r^2, here as an integral of its density.
    return WeightCorrelation(r.float(), torch.tensor([p_value(float(each), freedom) for each in r]))


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return Pearson's correlation over the last dimension; NaN where a side is constant."""
    x, y = (each - each.mean(-1, keepdim=True) for each in (x, y))
    return (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1))


def p_value(r: float, freedom: int) -> float:
    """Return the two-sided p-value of a correlation with this many degrees of freedom, by Student's t distribution.

    With r = sin(theta), the density of theta under independence is proportional to cos(theta)^freedom / cos(theta).
    """
    if not math.isfinite(r) or freedom < 1:
        return math.nan
    angle = math.asin(min(abs(r), 1.0))
    theta = torch.linspace(0, math.pi / 2, 4001, dtype=torch.float64)
    tail = angle + (math.pi / 2 - angle) * theta / (math.pi / 2)
    power = freedom - 1
    whole = torch.trapezoid(theta.cos().clamp(min=0) ** power, theta)
    return float(torch.trapezoid(tail.cos().clamp(min=0) ** power, tail) / whole)
