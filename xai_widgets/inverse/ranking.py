"""The rank of a class among the scores of a network."""

from __future__ import annotations

import torch
from torch import Tensor


def among_the_best(
    scores: Tensor, classes: Tensor, probability: Tensor, count: int, *, labels: bool
) -> Tensor:
    """Return whether each class has one of the highest scores, (...).

    Parameters
    ----------
    scores : Tensor, (..., K)
        Scores before softmax or sigmoid.
    classes : Tensor, (...)
        The classes.
    probability : Tensor, (...)
        The probabilities of the classes.
    count : int
        Number of the highest scores. Among equal scores, the first class ranks first, as for argmax.
    labels : bool
        Whether the scores are those of independent labels, as a single score always is: the result is then whether the
        probability of the class is above 0.5.
    """
    if labels or scores.shape[-1] == 1:
        return probability > 0.5
    own = scores.gather(-1, classes[..., None])
    earlier = torch.arange(scores.shape[-1], device=scores.device) < classes[..., None]
    return ((scores > own) | ((scores == own) & earlier)).sum(-1) < count
