"""Methods x metrics with paired comparisons: which methods the data separate from the best one, and by which images.

Efron and Tibshirani 1993, chapter 13: images are drawn with replacement, and the interval of a difference lies between
percentiles of

    d_b = mean over the images of draw b of s_A  -  mean over the same images of s_B

The draws are those of :meth:`Evaluation.intervals`. Two methods are compared on the images that both have a score for.
If A is better on each of n images, a test that exchanges A and B still has p = 2 / 2^n: fewer than :func:`least_images`
separate nothing, although all draws may agree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import number
from xai_widgets.metrics import Metric
from xai_widgets.studies.evaluation import Cell, Score
from xai_widgets.studies.score_tables import MISS, Evaluation, Interval, resampled_means
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


@dataclass(frozen=True, repr=False)
class Leaderboard(ShortRepr):
    """R methods by M metrics, on I explained predictions.

    Attributes
    ----------
    rows : tuple of Row
    metrics : tuple of Metric
    items : tuple of Item
    classes : tuple of int
        The explained class of each item; -1 if no score of it is known.
    scores : ndarray, (R, M, I)
        NaN where there is none.
    intervals : tuple of tuple of Interval or None
        By row and metric.
    marks : ndarray of uint8, (R, M)
        1 for the best mean of a metric, 2 where the paired difference from it does not exclude 0.
    differences : ndarray, (M, R, R, 2)
        Ends of the interval of the mean of row a less that of row b; NaN for fewer common images than
        :func:`least_images`.
    """

    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]
    items: tuple[Item, ...]
    classes: tuple[int, ...]
    scores: NDArray[np.float64]
    intervals: tuple[tuple[Interval | None, ...], ...]
    marks: NDArray[np.uint8]
    differences: NDArray[np.float64]

    def deciding(self, first: str, second: str, metric: str, count: int) -> tuple[list[int], list[int]]:
        """Return the items on which two rows differ most: those on which the first is better, and the second.

        Parameters
        ----------
        first, second : str
            Names of rows.
        metric : str
            Name of a metric.
        count : int
            Number of items of each, at most; the largest difference comes first.
        """
        names = [row.name for row in self.rows]
        column = [each.name for each in self.metrics].index(metric)
        a, b = (self.scores[names.index(name), column].astype(np.float32) for name in (first, second))
        gain = (a - b) * np.float32(-1 if self.metrics[column].direction == "lower" else 1)
        order = sorted(np.flatnonzero(np.isfinite(gain)).tolist(), key=lambda item: -float(gain[item]))
        better = [item for item in order if gain[item] > 0][:count]
        worse = [item for item in reversed(order) if gain[item] < 0][:count]
        return better, worse


def leaderboard(
    evaluation: Evaluation,
    model: str,
    rows: Sequence[Row],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Leaderboard:
    """Return the table of one model of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.
    model : str
        Name of the model in it.
    rows : sequence of Row
        The methods.
    level, resamples, seed
        See :meth:`Evaluation.intervals`.

    Returns
    -------
    Leaderboard
    """
    level = number(level, "level", above=0, below=1)
    outcomes = {
        cell: one for cell, one in evaluation.outcomes[model].items() if Row(cell.method, cell.layer) in rows
    }
    known = Evaluation(evaluation.metrics, {model: outcomes})
    found = {
        (Row(each.method, each.layer), each.metric): each
        for each in known.intervals(level=level, resamples=resamples, seed=seed)
    }
    metrics = tuple(evaluation.metrics.values())
    items = tuple(dict.fromkeys(Item(cell.image, cell.target) for cell in outcomes))
    scores, classes = _scores(outcomes, rows, [metric.name for metric in metrics], items)
    draws = known.draws(resamples=resamples, seed=seed)
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
    intervals = tuple(tuple(found.get((row, metric.name)) for metric in metrics) for row in rows)
    return Leaderboard(
        tuple(rows),
        metrics,
        items,
        classes,
        scores,
        intervals,
        _marks(intervals, metrics, differences),
        differences,
    )


def _scores(
    outcomes: dict[Cell, Outcome[Score]], rows: Sequence[Row], metrics: Sequence[str], items: Sequence[Item]
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
    intervals: Sequence[Sequence[Interval | None]],
    metrics: Sequence[Metric],
    differences: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Return the marks: 1 for the best mean, 2 for a difference from it whose interval is not beyond 0."""
    marks = np.zeros((len(intervals), len(metrics)), dtype=np.uint8)
    for column, metric in enumerate(metrics):
        means = {row: each.mean for row, line in enumerate(intervals) if (each := line[column]) and each.n}
        if not means:
            continue
        best = (min if metric.direction == "lower" else max)(means, key=lambda row: means[row])
        for row in means:
            low, high = differences[column, row, best]
            # Without an interval nothing is separated.
            separated = not math.isnan(low) and (low > 0 or high < 0)
            marks[row, column] = BEST if row == best else 0 if separated else TIED
    return marks


def reasons(
    outcomes: Mapping[Cell, Outcome[Any]], rows: Sequence[Row], metrics: Sequence[str]
) -> list[list[str]]:
    """Return why scores are missing or the worst ones, such as "2 of 9 failed: ...", by row and metric; "" for none."""
    count: Counter[tuple[Row, str]] = Counter()
    found: dict[tuple[Row, str], dict[str, list[str]]] = {}
    for cell, outcome in outcomes.items():
        key = Row(cell.method, cell.layer), cell.metric
        count[key] += 1
        misses = [message for message in outcome.warnings if MISS in message]
        # A metric may be undefined for a map, such as the share of positive values of a map without any.
        undefined = not misses and outcome.result is not None and math.isnan(outcome.result[0])
        kinds = {
            "failed": [outcome.error] if outcome.error else [],
            "missed": misses[:1],
            "undefined": ["the metric has no value for this map"] if undefined else [],
        }
        for what, messages in kinds.items():
            if messages:
                found.setdefault(key, {}).setdefault(what, []).extend(messages)

    def words(key: tuple[Row, str]) -> str:
        parts = []
        for what, messages in found.get(key, {}).items():
            others = len(set(messages)) - 1
            more = f" (and {others} other reason{'s' if others > 1 else ''})" if others else ""
            parts.append(f"{len(messages)} of {count[key]} {what}: {messages[0]}{more}")
        return "; ".join(parts)

    return [[words((row, metric)) for metric in metrics] for row in rows]


def latex(evaluation: Evaluation) -> str:
    """Return an evaluation as a LaTeX table, methods x metrics; see :meth:`Evaluation.to_latex`."""
    metrics = evaluation.metrics.values()
    arrows = {"lower": r"$\downarrow$", "higher": r"$\uparrow$"}
    head = [f"{_escaped(metric.title)} {arrows[metric.direction]}" for metric in metrics]
    lines = [
        r"\begin{tabular}{ll" + "r" * len(metrics) + "}",
        r"\hline",
        " & ".join(["model", "method", *head]) + r" \\",
        r"\hline",
    ]
    for model, outcomes in evaluation.outcomes.items():
        rows = list(dict.fromkeys(Row(cell.method, cell.layer) for cell in outcomes))
        table = leaderboard(evaluation, model, rows)
        for row, intervals, marks in zip(rows, table.intervals, table.marks, strict=True):
            cells = [_cell(each, mark) for each, mark in zip(intervals, marks, strict=True)]
            lines.append(" & ".join([_escaped(model), _escaped(row.name), *cells]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def _cell(interval: Interval | None, mark: int) -> str:
    if interval is None or math.isnan(interval.mean):
        return "--"
    mean = f"{interval.mean:.3f}"
    shown = {BEST: rf"\textbf{{{mean}}}", TIED: rf"\underline{{{mean}}}"}.get(int(mark), mean)
    if math.isnan(interval.low):
        return shown
    return rf"{shown} [{interval.low:.3f}, {interval.high:.3f}]"


def _escaped(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text
