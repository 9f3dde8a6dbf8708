"""Methods x metrics with paired comparisons, and the images that decide between two methods."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import number
from xai_widgets.metrics import Metric
from xai_widgets.studies.evaluation import Cell
from xai_widgets.studies.paired import Item, Row, compare
from xai_widgets.studies.score_tables import MISS, Evaluation, Interval
from xai_widgets.studies.store import Outcome


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
        :func:`~xai_widgets.studies.paired.least_images`.
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
    draws = known.draws(resamples=resamples, seed=seed)
    items, classes, scores, differences, marks = compare(outcomes, rows, metrics, draws, level=level)
    intervals = tuple(tuple(found.get((row, metric.name)) for metric in metrics) for row in rows)
    return Leaderboard(
        tuple(rows),
        metrics,
        items,
        classes,
        scores,
        intervals,
        marks,
        differences,
    )


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
