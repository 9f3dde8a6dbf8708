"""The scores of an evaluation as tables: one row for each score, or means with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.optional import optional
from xai_widgets.core.validation import integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.metrics import Metric
from xai_widgets.studies.evaluation import Cell, Score
from xai_widgets.studies.paired import BEST, TIED, Row, compare, resampled_means
from xai_widgets.studies.store import Outcome

#: Words in the warning about a map that is constant or has a NaN.
MISS = "counts as a miss"


class Interval(NamedTuple):
    """A mean, its bootstrap interval, and the counts behind it.

    Attributes
    ----------
    model, method, layer, metric
        The choices; layer None is the default of the method.
    mean : float
        NaN without any score.
    low, high : float
        Ends of the interval.
    n : int
        Number of scores.
    missed : int
        Number of maps that were constant or had a NaN, which count with the worst score.
    failed : int
        Number of maps without a score, as a method or a metric raised an error.
    """

    model: str
    method: str
    layer: str | None
    metric: str
    mean: float
    low: float
    high: float
    n: int
    missed: int
    failed: int


class Evaluation:
    """The scores of :func:`evaluate`.

    Attributes
    ----------
    metrics : dict of str to Metric
    outcomes : dict of str to dict of Cell to Outcome
        By model.
    seed : int
        The seed of methods and metrics.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        outcomes: Mapping[str, Mapping[Cell, Outcome[Score]]],
        seed: int = 0,
    ) -> None:
        self.metrics, self.seed = dict(metrics), seed
        self.outcomes = {name: dict(cells) for name, cells in outcomes.items()}

    def __repr__(self) -> str:
        cells = [cell for each in self.outcomes.values() for cell in each]
        methods, images = len({cell.method for cell in cells}), len({cell.image for cell in cells})
        return (
            f"Evaluation({len(cells)} scores: {len(self.outcomes)} models, {images} images, {methods} methods, "
            f"{len(self.metrics)} metrics)"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary for each score.

        Returns
        -------
        list of dict
            model, method, layer, image, target (the explained class), metric, score (NaN without one), missed, error
            and warnings.
        """
        return [
            {
                "model": name,
                "method": cell.method,
                "layer": cell.layer,
                "image": cell.image,
                "target": cell.target if outcome.result is None else outcome.result[1],
                "metric": cell.metric,
                "score": math.nan if outcome.result is None else outcome.result[0],
                "missed": is_missed(outcome),
                "error": outcome.error,
                "warnings": "; ".join(outcome.warnings),
            }
            for name, cells in self.outcomes.items()
            for cell, outcome in cells.items()
        ]

    def frame(self) -> Any:
        """Return the rows as a tidy table.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return optional("pandas", "tables").DataFrame(self.rows())

    def intervals(self, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> tuple[Interval, ...]:
        """Return the mean of each model, method, layer and metric with its bootstrap interval.

        Parameters
        ----------
        level : float, default 0.95
            Share of the resampled means within the interval, between its percentiles.
        resamples : int, default 1000
            How often the images are drawn with replacement. The draws are the same for all rows, so that the
            intervals of two methods belong to the same sets of images.
        seed : int, default 0
            Seed of the draws.

        Returns
        -------
        tuple of Interval
        """
        level = number(level, "level", above=0, below=1)
        draws = self.draws(resamples=resamples, seed=seed)
        groups: dict[tuple[str, str, str | None, str], list[tuple[Cell, Outcome[Score]]]] = {}
        for name, cells in self.outcomes.items():
            for cell, outcome in cells.items():
                groups.setdefault((name, cell.method, cell.layer, cell.metric), []).append((cell, outcome))
        return tuple(self._interval(key, group, draws, level) for key, group in groups.items())

    def draws(self, *, resamples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
        """Return how often each image is in each draw with replacement, (resamples, images)."""
        resamples = integer(resamples, "resamples", low=1)
        images = 1 + max((cell.image for cells in self.outcomes.values() for cell in cells), default=0)
        generator = np.random.default_rng(check_seed(seed))
        return generator.multinomial(images, np.full(images, 1 / images), size=resamples)

    def _interval(
        self,
        key: tuple[str, str, str | None, str],
        group: Sequence[tuple[Cell, Outcome[Score]]],
        draws: NDArray[np.int64],
        level: float,
    ) -> Interval:
        metric = self.metrics[key[3]]
        known = [
            (cell.image, *outcome.result)
            for cell, outcome in group
            if outcome.result is not None and not math.isnan(outcome.result[0])
        ]
        mean, _, n = metric.summarize([row[1] for row in known], [row[2] for row in known])
        low = high = math.nan
        if n > 1:
            means = resampled_means(known, draws, by_class=metric.average == "classes")
            low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist()
        missed = sum(is_missed(outcome) for _, outcome in group)
        failed = sum(bool(outcome.error) for _, outcome in group)
        return Interval(*key, mean, low, high, n, missed, failed)

    def table(self, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Any:
        """Return the intervals as a table; see :meth:`intervals`.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        rows = self.intervals(level=level, resamples=resamples, seed=seed)
        return optional("pandas", "tables").DataFrame(rows, columns=Interval._fields)

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the rows as comma-separated values, and write them to a file if one is named."""
        text: str = self.frame().to_csv(index=False, lineterminator="\n")
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_latex(self, path: str | Path | None = None) -> str:
        """Return a LaTeX table of means and intervals, methods x metrics, and write it to a file if one is named.

        For each model and metric, the best method is bold, and those not separated from it by a paired bootstrap are
        underlined. Reference maps are in the rows, too.
        """
        text = _latex(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def is_missed(outcome: Outcome[Any]) -> bool:
    """Return whether a map was constant or had a NaN."""
    return any(MISS in message for message in outcome.warnings)


def _latex(evaluation: Evaluation) -> str:
    metrics = list(evaluation.metrics.values())
    found = {each[:4]: each for each in evaluation.intervals()}
    draws = evaluation.draws()
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
        marks = compare(outcomes, rows, metrics, draws).marks
        for row, line in zip(rows, marks, strict=True):
            cells = [
                _cell(found.get((model, *row, metric.name)), mark)
                for metric, mark in zip(metrics, line, strict=True)
            ]
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
