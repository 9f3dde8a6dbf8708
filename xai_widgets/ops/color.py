"""Luminance and chrominance of images (ITU-R BT.601, full range)."""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.validation import tensor

#: Weights of R, G and B in the luminance.
_LUMINANCE = (0.299, 0.587, 0.114)


def luminance(x: Tensor) -> Tensor:
    """Return the luminance Y = 0.299 R + 0.587 G + 0.114 B of images.

    Parameters
    ----------
    x : Tensor, (N, 3, H, W) or (N, 1, H, W)
        Color or gray images in [0, 1].

    Returns
    -------
    Tensor, (N, 1, H, W)
        In [0, 1]; gray images are returned unchanged.

    Raises
    ------
    ValueError
        For another shape, or values that are not finite.
    """
    x = check_color(x)
    if x.shape[1] == 1:
        return x
    weights = x.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def recolor(y: Tensor, x: Tensor) -> Tensor:
    """Combine a luminance with the chrominance of other images.

    Cb and Cr are kept, so the same value is added to R, G and B.

    Parameters
    ----------
    y : Tensor, (N, 1, H, W)
        Luminance in [0, 1].
    x : Tensor, (N, 3, H, W) or (N, 1, H, W)
        Images in [0, 1] of the same size; gray images have no chrominance.

    Returns
    -------
    Tensor, (N, C, H, W)
        Clipped to [0, 1].

    Raises
    ------
    ValueError
        For another shape, or values that are not finite.
    """
    x = check_color(x)
    y = tensor(y, "y", (len(x), 1, *x.shape[2:]), finite=True, like=x)
    return (x + (y - luminance(x))).clamp(0, 1)


def check_color(x: Tensor) -> Tensor:
    """Return finite color or gray images as floats; ValueError for another shape."""
    x = tensor(x, "images", ("N", "C", "H", "W"), finite=True)
    if x.shape[1] not in (1, 3):
        raise ValueError(f"expected images of shape (N, 1, H, W) or (N, 3, H, W), got {tuple(x.shape)}")
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
