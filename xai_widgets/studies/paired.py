"""Paired comparisons: which methods the data separate from the best one.

Efron and Tibshirani 1993, chapter 13: images are drawn with replacement, and the interval of a difference lies between
percentiles of

    d_b = mean over the images of draw b of s_A  -  mean over the same images of s_B

The draws are those of :meth:`Evaluation.intervals`. Two methods are compared on the images that both have a score for.
If A is better on each of n images, a test that exchanges A and B still has p = 2 / 2^n: fewer than :func:`least_images`
separate nothing, although all draws may agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xai_widgets.metrics import Metric
from xai_widgets.studies.evaluation import Cell, Score
from xai_widgets.studies.store import Outcome

#: Marks of a row in the column of a metric.
BEST, TIED = 1, 2


class Row(NamedTuple):
    """A method, at a layer; None is its default."""

    method: str
    layer: str | None = None

    @property
    def name(self) -> str:
        """Name by which a row is chosen."""
        return self.method if self.layer is None else f"{self.method} at {self.layer}"


class Item(NamedTuple):
    """One explained prediction: an image and a class; None is the predicted one."""

    image: int
    target: int | None


class Comparison(NamedTuple):
    """R methods by M metrics on I explained predictions; see :class:`~xai_widgets.studies.leaderboard.Leaderboard`."""

    items: tuple[Item, ...]
    classes: tuple[int, ...]
    scores: NDArray[np.float64]
    differences: NDArray[np.float64]
    marks: NDArray[np.uint8]


def compare(
    outcomes: Mapping[Cell, Outcome[Score]],
    rows: Sequence[Row],
    metrics: Sequence[Metric],
    draws: NDArray[np.int64],
    *,
    level: float = 0.95,
) -> Comparison:
    """Return the scores of the methods of one model and the intervals of all their differences."""
    items = tuple(dict.fromkeys(Item(cell.image, cell.target) for cell in outcomes))
    scores, classes = _scores(outcomes, rows, [metric.name for metric in metrics], items)
    images = np.array([item.image for item in items], dtype=np.int64)
    differences = np.stack(
        [
            paired_intervals(
                scores[:, at],
                images,
                np.array(classes) if metric.average == "classes" else None,
                draws,
                level=level,
            )
            for at, metric in enumerate(metrics)
        ]
    )
    return Comparison(items, classes, scores, differences, _marks(scores, classes, metrics, differences))


def _scores(
    outcomes: Mapping[Cell, Outcome[Score]],
    rows: Sequence[Row],
    metrics: Sequence[str],
    items: Sequence[Item],
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    at_row, at_metric, at_item = ({key: at for at, key in enumerate(keys)} for keys in (rows, metrics, items))
    scores = np.full((len(rows), len(metrics), len(items)), np.nan)
    classes = [-1] * len(items)
    for cell, outcome in outcomes.items():
        if outcome.result is None:
            continue
        item = at_item[Item(cell.image, cell.target)]
        scores[at_row[Row(cell.method, cell.layer)], at_metric[cell.metric], item] = outcome.result[0]
        classes[item] = outcome.result[1]
    return scores, tuple(classes)


def least_images(level: float) -> int:
    """Return the smallest number n of images with 2 / 2^n <= 1 - level, that can separate two methods: 6 for 0.95."""
    return 1 + math.ceil(-math.log2(1 - level) - 1e-9)


def paired_intervals(
    scores: NDArray[np.float64],
    images: NDArray[np.int64],
    classes: NDArray[np.int64] | None,
    draws: NDArray[np.int64],
    *,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Return the bootstrap interval of the difference of each two rows, on the items that both have.

    Parameters
    ----------
    scores : ndarray, (R, I)
        NaN where there is none.
    images : ndarray, (I,)
        The image of each item; items of one image are drawn together.
    classes : ndarray, (I,), optional
        The class of each item, if the mean weights every class alike. Default: every item alike.
    draws : ndarray, (B, images)
        How often each draw contains each image.
    level : float, default 0.95
        Share of the differences within the interval.

    Returns
    -------
    ndarray, (R, R, 2)
        Ends of the interval of row a less row b; NaN for fewer common images than :func:`least_images`, and 0 for a
        row and itself.
    """
    known = np.isfinite(scores)
    labels = np.zeros(len(images), dtype=np.int64) if classes is None else classes

    def means(row: int, items: NDArray[np.bool_]) -> NDArray[np.float64]:
        some = list(
            zip(images[items].tolist(), scores[row, items].tolist(), labels[items].tolist(), strict=True)
        )
        return resampled_means(some, draws, by_class=classes is not None)

    whole = [means(row, known[row]) if known[row].sum() > 1 else None for row in range(len(scores))]
    ends = np.full((len(scores), len(scores), 2), np.nan)
    quantiles = [(1 - level) / 2, (1 + level) / 2]
    least = least_images(level)
    for a in range(len(scores)):
        for b in range(a):
            common = known[a] & known[b]
            if len(np.unique(images[common])) < least:
                continue
            # Most rows have the same items, whose means are known.
            pair = [whole[row] if (known[row] == common).all() else means(row, common) for row in (a, b)]
            low, high = np.nanquantile(pair[0] - pair[1], quantiles)  # type: ignore[operator]
            ends[a, b], ends[b, a] = (low, high), (-high, -low)
        if whole[a] is not None:
            ends[a, a] = 0
    return ends


def _marks(
    scores: NDArray[np.float64],
    classes: Sequence[int],
    metrics: Sequence[Metric],
    differences: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Return the marks: 1 for the best mean, 2 for a difference from it whose interval is not beyond 0."""
    marks = np.zeros(scores.shape[:2], dtype=np.uint8)
    for column, metric in enumerate(metrics):
        found = [metric.summarize(line.tolist(), classes) for line in scores[:, column]]
        means = {row: each.mean for row, each in enumerate(found) if each.n}
        if not means:
            continue
        best = (min if metric.direction == "lower" else max)(means, key=lambda row: means[row])
        for row in means:
            low, high = differences[column, row, best]
            # Without an interval nothing is separated.
            separated = not math.isnan(low) and (low > 0 or high < 0)
            marks[row, column] = BEST if row == best else 0 if separated else TIED
    return marks


def resampled_means(
    known: Sequence[tuple[int, float, int]], draws: NDArray[np.int64], *, by_class: bool
) -> NDArray[np.float64]:
    """Return the mean of each draw of images; with ``by_class`` the mean over the classes that it contains."""
    images, values, targets = (np.array(column) for column in zip(*known, strict=True))
    weights = draws[:, images].astype(np.float64)
    groups = (
        [targets == target for target in np.unique(targets)] if by_class else [np.ones(len(values), bool)]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.stack([weights[:, some] @ values[some] / weights[:, some].sum(1) for some in groups])
    counted = np.isfinite(means)
    total = counted.sum(0)
    return np.where(total > 0, np.where(counted, means, 0).sum(0) / np.maximum(total, 1), np.nan)
