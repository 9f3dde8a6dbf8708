"""Scaling of maps and vectors to a common range or length."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_range(maps: Tensor) -> Tensor:
    """Scale each map (N, H, W) linearly to [0, 1]; a constant map becomes 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.where(high == low, 0.0, (maps - low) / (high - low))


def unit_vectors(z: Tensor) -> Tensor:
    """Divide vectors (..., C) by their Euclidean norm; zero vectors stay zero."""
    # Divide by the largest element first: squares of very small or large values would vanish or overflow.
    peak = z.abs().amax(-1, keepdim=True)
    z = z / torch.where(peak > 0, peak, 1)
    norm = z.norm(dim=-1, keepdim=True)
    return z / torch.where(norm > 0, norm, 1)
