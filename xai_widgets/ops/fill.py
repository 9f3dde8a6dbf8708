"""Fills for the hidden parts of an image."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.images import check_baseline
from xai_widgets.core.validation import choice
from xai_widgets.ops.blur import gaussian_blur

#: What a fill may be called.
FillName = Literal["gray", "mean", "blur"]

#: Or it is a gray value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
Fill = FillName | float | Tensor

#: Blur of the fill "blur" as a share of the image's short side: 10 pixels at 224 (Fong, thesis, table 2 of chapter 3).
FILL_SIGMA = 10 / 224


def fill_image(fill: Fill, x: Tensor, *, sigma: float | None = None) -> Tensor:
    """What shows where an image is hidden, (N, C, H, W).

    Parameters
    ----------
    fill : {"gray", "mean", "blur"}, float or Tensor
        0.5; the mean color of each image; the blurred image; a gray value; or an image, or one per image.
    x : Tensor, (N, C, H, W)
        Images.
    sigma : float, optional
        Of the blur, in pixels. Default: 10 / 224 of the short side.

    Raises
    ------
    ValueError
        For an unknown name, or what does not fit the images.
    """
    if not isinstance(fill, str):
        return check_baseline(fill, x, "fill")
    choice(fill, "fill", get_args(FillName))
    if fill == "gray":
        return torch.full_like(x, 0.5)
    if fill == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    return gaussian_blur(x, FILL_SIGMA * min(x.shape[2:]) if sigma is None else sigma)
