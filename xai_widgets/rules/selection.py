"""Selections of values without comparisons, which take several times as long as arithmetic on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def any_nonzero(values: Tensor) -> bool:
    """Return whether a value is not 0; NaN is not."""
    return bool(~((values.amax() <= 0) & (values.amin() >= 0)))


def any_negative(values: Tensor) -> bool:
    """Return whether a value is below 0."""
    return bool(values.amin() < 0)


def where_positive(condition: Tensor, values: Tensor) -> Tensor:
    """Return the values where the condition is above 0, and 0 elsewhere."""
    selected: Tensor = torch.ops.aten.threshold_backward(values, condition, 0)
    return selected


def where_nonzero(condition: Tensor, values: Tensor) -> Tensor:
    """Return the values where the condition is a normal number, and 0 where it is 0 or as good as 0."""
    tiny = torch.finfo(condition.dtype).tiny
    selected: Tensor = torch.ops.aten.hardshrink_backward(values, condition, tiny)
    return selected
