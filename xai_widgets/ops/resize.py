"""Resizing of maps and patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.validation import integers, tensor


def resize_map(saliency: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, h, w) bilinearly to (N, H, W); maps of this size are returned unchanged."""
    height, width = integers(size, "size", length=2, low=1)
    saliency = tensor(saliency, "saliency", ("N", "h", "w"))
    if tuple(saliency.shape[1:]) == (height, width):
        return saliency
    # Integers and half precision are not interpolated on every device.
    wide = saliency if saliency.dtype in (torch.float32, torch.float64) else saliency.float()
    return F.interpolate(wide[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]


def shrink(images: Tensor, side: int) -> Tensor:
    """Resize square images (..., C, s, s) to at most ``side`` pixels a side, by area means."""
    if images.shape[-1] <= side:
        return images
    small = F.interpolate(images.flatten(0, -4), (side, side), mode="area")
    return small.unflatten(0, images.shape[:-3])
