"""Boxes around masks."""

from __future__ import annotations

import torch
from torch import Tensor


def tight_boxes(parts: Tensor) -> Tensor:
    """Return the tightest box around the pixels of masks.

    Parameters
    ----------
    parts : Tensor of bool, (N, H, W)
        Masks.

    Returns
    -------
    Tensor, (N, 4)
        left, top, right and bottom in pixels, right and bottom exclusive, int64; zeros for an empty mask.
    """
    edges = []
    for axis in (1, 2):
        line = parts.any(axis)
        length = line.shape[1]
        edges += [line.to(torch.uint8).argmax(1), length - line.flip(1).to(torch.uint8).argmax(1)]
    left, right, top, bottom = edges
    return torch.stack([left, top, right, bottom], 1) * parts.flatten(1).any(1)[:, None]


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of boxes (N, 4) as in :func:`tight_boxes`, (N,); 0 for two empty ones."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    union = sum((box[:, 2:] - box[:, :2]).prod(1) for box in (a, b)) - both
    return both / union.clamp(min=1)
