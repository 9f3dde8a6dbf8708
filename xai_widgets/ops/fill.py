"""Fills for the hidden parts of an image."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.images import check_baseline
from xai_widgets.core.validation import choice
from xai_widgets.ops.blur import gaussian_blur

#: Fills by name.
FillName = Literal["gray", "mean", "blur", "black", "noise"]

#: A name, a gray value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
Fill = FillName | float | Tensor

#: Standard deviation of the fill "blur" as a share of the short side: 10 pixels at 224 (Fong, "Understanding
#: Convolutional Neural Networks", 2020, table 2 of chapter 3).
FILL_SIGMA = 10 / 224


def fill_image(fill: Fill, x: Tensor, *, sigma: float | None = None, seed: int = 0) -> Tensor:
    """Return images to show where others are hidden, (N, C, H, W).

    Parameters
    ----------
    fill : {"gray", "mean", "blur", "black", "noise"}, float or Tensor
        0.5; the mean color of each image; each image blurred; 0; noise, see :func:`noise_image`; a gray value; or an
        image, or one per image.
    x : Tensor, (N, C, H, W)
        Images.
    sigma : float, optional
        Standard deviation of the blur, in pixels. Default: 10 / 224 of the short side.
    seed : int, default 0
        Seed of the noise.

    Raises
    ------
    ValueError
        For an unknown name, a gray value outside [0, 1], or images of another shape.
    """
    if not isinstance(fill, str):
        return check_baseline(fill, x, "fill")
    choice(fill, "fill", get_args(FillName))
    if fill in ("gray", "black"):
        return torch.full_like(x, 0.5 if fill == "gray" else 0.0)
    if fill == "noise":
        return noise_image(x, seed)
    if fill == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    return gaussian_blur(x, FILL_SIGMA * min(x.shape[2:]) if sigma is None else sigma)


def noise_image(x: Tensor, seed: int) -> Tensor:
    """Return Gaussian noise in [0, 1] with the mean and standard deviation of each channel of each image.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images.
    seed : int
        Seed of the noise, which is drawn on the CPU and is the same for each image up to mean and deviation.
    """
    noise = standard_noise(x, seed).to(x.device)
    mean, std = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, unbiased=False)
    return (mean + std * noise).clamp(0, 1)


def standard_noise(x: Tensor, seed: int) -> Tensor:
    """Return standard normal numbers, (C, H, W) on the CPU, for images (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape[1:], generator=generator, dtype=x.dtype, device="cpu")


def inpaint(x: Tensor, mask: Tensor) -> Tensor:
    """Fill the masked part of images with the blurred rest, by the finest blur that reaches each pixel.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images.
    mask : Tensor, (H, W)
        In [0, 1], 1 where the image is to be filled.

    Returns
    -------
    Tensor, (N, C, H, W)
        The filled images; pixels with a mask below 0.5 are blurred, too.
    """
    visible = (mask < 0.5).to(x.dtype)
    filled = x.mean((2, 3), keepdim=True).expand_as(x)
    sigma = float(max(x.shape[2:]))
    while sigma >= 0.5:
        weight = gaussian_blur(visible, sigma)
        mean = gaussian_blur(x * visible, sigma) / weight.clamp(min=1e-6)
        filled = torch.where(weight > 0.05, mean, filled)
        sigma /= 2
    return filled
