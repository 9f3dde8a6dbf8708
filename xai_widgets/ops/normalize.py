"""Scaling of maps to a common range."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_range(maps: Tensor) -> Tensor:
    """Scale each map (N, H, W) linearly to [0, 1]; a constant map becomes 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.where(high == low, 0.0, (maps - low) / (high - low))
