"""Classification of concepts by combinations of filters (Fong and Vedaldi 2018, section 3.2).

    f(x; w, b) = sigmoid(b + sum_k w_k mean_ij A_ijk(x))      (equation 5)

is the probability that an image contains a concept, given the averaged activations. Positive and negative images have
the same weight in total, in training and in the score, the mean of the accuracies on both.

The default solver is the optimum of the convex problem, :class:`~xai_widgets.concepts.Optimum`. The published descent,
``solver=Descent()``, takes steps in units of the activations and stops far from the optimum where averaged activations
are small, as they usually are.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from xai_widgets.concepts.combinations import Combinations
from xai_widgets.concepts.probe_data import FEWEST, Probe, check_probes
from xai_widgets.concepts.segmentation import check_filters, mean_size
from xai_widgets.concepts.solvers import Descent, Optimum
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import instance

#: Number of concepts that are solved together.
ROWS = 256


@without_inference_mode
def classification_concepts(
    train: Probe, val: Probe, filters: Tensor | None = None, *, solver: Optimum | Descent | None = None
) -> Run[Combinations]:
    """Learn the weights with which averaged activations of a layer show that an image contains a concept.

    Parameters
    ----------
    train, val : Probe
        Probes of one layer with the same thresholds.
    filters : Tensor of bool, (C, K), optional
        The filters that the combination of each concept may use. Default: all.
    solver : Optimum or Descent, optional
        Default: ``Optimum()``; the published schedule is ``Descent()``.

    Returns
    -------
    Run of Combinations
        One snapshot per 256 concepts.

    Raises
    ------
    ValueError
        For probes of other concepts, layers, or thresholds.
    """
    check_probes(train, val)
    chosen = Optimum() if solver is None else instance(solver, "solver", (Optimum, Descent))
    used = check_filters(train, filters)

    def play() -> Iterator[Combinations]:
        trained = (train.positives >= FEWEST) & ((train.count - train.positives) >= FEWEST)
        weights, bias = torch.zeros(used.shape), torch.zeros(len(used))
        size = mean_size(train)
        rows = trained.nonzero()[:, 0]
        for part in rows.split(ROWS) if len(rows) else [rows]:
            if len(part):
                weights[part], bias[part] = chosen.fit(train.pooled, train.present[:, part], used[part])
            done = trained & (torch.arange(len(trained)) <= (part[-1] if len(part) else -1))
            yield Combinations(
                task="classification",
                network=train.network,
                layer=train.layer,
                concepts=train.concepts,
                trained=trained,
                positives=train.positives,
                size=size,
                weights=weights.clone(),
                bias=bias.clone(),
                train_score=torch.where(done, balanced_accuracy(train, weights, bias), torch.nan),
                score=torch.where(done, balanced_accuracy(val, weights, bias), torch.nan),
            )

    total = max(1, -(-len(train.concepts) // ROWS))
    return Run(play(), total=total, name=f"concepts of {train.layer}")


def balanced_accuracy(probe: Probe, weights: Tensor, bias: Tensor) -> Tensor:
    """Return the mean of the accuracies on the positive and on the negative images, (C,); NaN if one kind is missing.

    It is the expected accuracy on a set with as many positive as negative images, drawn from those of the probe.
    """
    correct = (probe.pooled @ weights.T + bias > 0) == probe.present
    positive = (correct & probe.present).sum(0) / probe.present.sum(0)
    negative = (correct & ~probe.present).sum(0) / (~probe.present).sum(0)
    return (positive + negative) / 2
