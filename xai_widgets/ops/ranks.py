"""Ranks of values, and the area under the ROC curve that follows from them."""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.precision import double


def mean_ranks(values: Tensor) -> Tensor:
    """Return the rank of each value in its row, from 0, equal values sharing their mean rank.

    Parameters
    ----------
    values : Tensor, (N, P)
        A row with a NaN has NaN at it.

    Returns
    -------
    Tensor, (N, P)
        In float64, on the CPU if the device does not support it.
    """
    rows = []
    for row in values:
        _, index, counts = row.unique(return_inverse=True, return_counts=True)
        rows.append((counts.cumsum(0) - (counts + 1) / 2)[index])
    # Sorting would give a NaN a rank.
    ranks = double(torch.stack(rows))
    return ranks.masked_fill(values.isnan().to(ranks.device), torch.nan)


def roc_auc(values: Tensor, positive: Tensor) -> Tensor:
    """Return the probability that a positive value is higher than another one, equal values counting one half.

    Parameters
    ----------
    values : Tensor, (N, P)
        Values; a row with a NaN gives NaN.
    positive : Tensor of bool, (N, P)
        Which of them are positive; a row without positive or without other values gives NaN.

    Returns
    -------
    Tensor, (N,)
        In [0, 1].
    """
    count, others = positive.sum(1), (~positive).sum(1)
    # The statistic of Mann and Whitney.
    ranks = mean_ranks(values)
    total = (ranks * positive.to(ranks.device)).nansum(1)
    area = (total - (count * (count - 1) / 2).to(total)) / (count * others).to(total)
    return area.to(values.device, torch.float32).masked_fill(values.isnan().any(1), torch.nan)
