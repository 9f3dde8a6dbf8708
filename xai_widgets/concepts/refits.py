"""Combinations of few filters: the number that it takes to encode a concept (Fong and Vedaldi 2018, section 3.2.2).

For each number F, the filters of a concept are those with the F largest |w_k| of its combination of all filters, and
their weights are learned anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.concepts.classification import classification_concepts
from xai_widgets.concepts.combinations import SCORES, Combinations
from xai_widgets.concepts.probe_data import Probe, check_probes
from xai_widgets.concepts.segmentation import learn
from xai_widgets.concepts.solvers import Descent, Optimum
from xai_widgets.core.figures import Curves, draw_with_matplotlib, draw_with_plotly
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import instance, integers, items

#: The published numbers of filters.
SEGMENTATION_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 160, 192, 224)
CLASSIFICATION_COUNTS = (1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 80, 100, 128)


@dataclass(frozen=True, eq=False, repr=False)
class Refits(ShortRepr):
    """Combinations of the F best filters of each concept, for several F.

    Attributes
    ----------
    counts : tuple of int
        The numbers F, ascending; the last one may be all filters.
    fits : tuple of Combinations
        Combinations for each F.
    """

    counts: tuple[int, ...]
    fits: tuple[Combinations, ...]

    @property
    def scores(self) -> Tensor:
        """Validation score for each F and concept, (F, C)."""
        return torch.stack([fit.score for fit in self.fits])

    def by_category(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Return the mean over the trained concepts of each category, and its standard error, each (F,)."""
        return {
            category: mean_and_error(self.scores[:, chosen])
            for category, chosen in categories(self.fits[0]).items()
        }

    def plot(self) -> Any:
        """Return a figure of matplotlib: the mean score of each category over F."""
        return draw_with_matplotlib([self._curves()])

    def figure(self) -> Any:
        """Return a figure of plotly: the mean score of each category over F."""
        return draw_with_plotly([self._curves()])

    def _curves(self) -> Curves:
        means = {name: mean for name, (mean, _) in self.by_category().items()}
        return Curves(
            title=self.fits[0].layer,
            x=np.array(self.counts),
            y=np.stack(list(means.values())),
            labels=list(means),
            x_label="number of filters F",
            y_label=SCORES[self.fits[0].task],
            log=True,
        )


@without_inference_mode
def top_filters(
    train: Probe,
    val: Probe,
    combinations: Combinations,
    counts: Sequence[int] | None = None,
    *,
    solver: Optimum | Descent | None = None,
) -> Run[Refits]:
    """Learn combinations of the F filters with the largest weights, for several F.

    Parameters
    ----------
    train, val : Probe
        The probes that the combinations were learned from.
    combinations : Combinations
        Combinations of all filters.
    counts : sequence of int, optional
        The numbers F. Default: the published ones of the task, up to the number of filters.
    solver : Descent or Optimum, optional
        Default: that of the task; segmentation requires ``Descent``.

    Returns
    -------
    Run of Refits
        One snapshot per epoch for segmentation, in which all F are one problem, and per F for classification.

    Raises
    ------
    ValueError
        For combinations of another layer, or counts above the number of filters.
    """
    check_probes(train, val)
    instance(combinations, "combinations", Combinations)
    if (
        combinations.weights.shape != (len(train.concepts), train.channels)
        or combinations.layer != train.layer
    ):
        raise ValueError(
            f"expected combinations of the {train.channels} filters of {train.layer!r}, got those of "
            f"{combinations.weights.shape[1]} filters of {combinations.layer!r}"
        )
    published = SEGMENTATION_COUNTS if combinations.task == "segmentation" else CLASSIFICATION_COUNTS
    if counts is None:
        counts = [count for count in published if count <= train.channels]
    numbers = tuple(sorted(set(integers(items(counts, "counts"), "counts", low=1, high=train.channels))))
    used = torch.stack([largest(combinations.weights, count) for count in numbers])
    if combinations.task == "segmentation":
        settings = Descent() if solver is None else instance(solver, "solver", Descent)

        def play() -> Iterator[Refits]:
            for fits in learn(train, val, used, settings):
                yield Refits(numbers, fits)

        return Run(play(), total=settings.epochs, name=f"top filters of {train.layer}")

    def classify() -> Iterator[Refits]:
        fits: list[Combinations] = []
        for selection in used:
            fits.append(classification_concepts(train, val, selection, solver=solver).result(progress=False))
            yield Refits(numbers[: len(fits)], tuple(fits))

    return Run(classify(), total=len(numbers), name=f"top filters of {train.layer}")


def largest(weights: Tensor, count: int) -> Tensor:
    """Return where the ``count`` largest absolute weights of each concept are, bool (C, K)."""
    order = weights.abs().argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros(weights.shape, dtype=torch.bool).scatter_(1, order, value=True)


def categories(found: Combinations) -> dict[str, Tensor]:
    """Return the indices of the trained concepts with a validation score, by category."""
    usable = (found.trained & found.score.isfinite()).tolist()
    by_name: dict[str, list[int]] = {}
    for index, concept in enumerate(found.concepts):
        if usable[index]:
            by_name.setdefault(concept.category, []).append(index)
    return {name: torch.tensor(indices) for name, indices in by_name.items()}


def mean_and_error(scores: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the mean over the last dimension and its standard error; NaN for the error of one score."""
    count = scores.shape[-1]
    error = scores.std(-1) / count**0.5 if count > 1 else torch.full(scores.shape[:-1], torch.nan)
    return scores.mean(-1).numpy(), error.numpy()
