"""Resizing and cropping of images to the size of a network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import MAX_SIDE, check_size
from xai_widgets.core.validation import brief, choice, integer, integers

Interpolation = Literal["bilinear", "bicubic", "nearest"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)


@dataclass(frozen=True)
class Resizing:
    """Resize an image and crop its center, like the presets of torchvision, timm and Hugging Face.

    Parameters
    ----------
    size : (int, int)
        Height and width of the result.
    resize : int or (int, int), optional
        Length of the short side of the resized image, whose aspect ratio stays; or its height and width, so that the
        aspect ratio changes. Default: the image is resized until it just covers ``size``.
    interpolation : {"bilinear", "bicubic", "nearest"}, default "bilinear"
        Interpolation of the resizing, with antialiasing except for "nearest".
    rounding : {"even", "down"}, default "even"
        Rounding of the position of the crop if it is between two pixels: to the even one, as in torchvision and timm,
        or down, as in Hugging Face.

    Raises
    ------
    ValueError
        If ``size`` cannot be cropped from the resized image, or for an unknown interpolation.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"
    rounding: str = "even"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", check_size(self.size))
        object.__setattr__(self, "resize", _check_resize(self.resize, self.size))
        choice(self.interpolation, "interpolation", INTERPOLATIONS)
        choice(self.rounding, "rounding", ("even", "down"))

    def __str__(self) -> str:
        height, width = self.size
        crop = f"the center {height} x {width} is cropped"
        if self.resize is None:
            return f"resized until it covers {height} x {width}, {crop}"
        if isinstance(self.resize, int):
            return f"short side resized to {self.resize}, {crop}"
        resized = f"resized to {self.resize[0]} x {self.resize[1]} with another aspect ratio"
        return resized if self.resize == self.size else f"{resized}, {crop}"

    def __call__(self, x: Tensor) -> Tensor:
        """Map images (N, C, h, w), floats in [0, 1] or uint8, to (N, C, H, W)."""
        height, width = self.size
        if self.resize in (None, self.size) and tuple(x.shape[2:]) == self.size:
            return x
        x, scaled = self.scaled(x)
        halves = ((extent - side) / 2 for extent, side in zip(scaled, self.size, strict=True))
        top, left = (round(half) if self.rounding == "even" else int(half) for half in halves)
        x = interpolate(x, scaled, self.interpolation)
        return x[:, :, top : top + height, left : left + width].contiguous()

    def scale(self, size: tuple[int, int]) -> float:
        """Return the factor by which an image of this height and width is enlarged, that of the finer side."""
        if isinstance(self.resize, int):
            return self.resize / min(size)
        factors = [new / old for new, old in zip(self.resize or self.size, size, strict=True)]
        return max(factors) if self.resize is None else min(factors)

    def enlarged(self, factor: float) -> Resizing:
        """Return a resizing to the same part of an image, with the sides multiplied by a factor."""
        height, width = (round(factor * side) for side in self.size)
        resize = self.resize
        if isinstance(resize, int):
            resize = max(round(factor * resize), height, width)
        elif resize is not None:
            resize = (max(round(factor * resize[0]), height), max(round(factor * resize[1]), width))
        return Resizing((height, width), resize, self.interpolation)

    def scaled(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the part of the images that is needed, and its height and width after resizing."""
        if isinstance(self.resize, tuple):
            return x, self.resize
        height, width = self.size
        covering = max(height / x.shape[2], width / x.shape[3])
        scale = covering if self.resize is None else self.resize / min(x.shape[2:])
        # Resize only the middle of a very long image. An even number of pixels is dropped, so that the center stays.
        for dim, extent in ((2, height), (3, width)):
            spare = (x.shape[dim] - 4 * math.ceil(extent / scale) - 4) // 2
            if spare > 0:
                x = x.narrow(dim, spare, x.shape[dim] - 2 * spare)
        if self.resize is None:
            return x, (max(height, round(x.shape[2] * scale)), max(width, round(x.shape[3] * scale)))
        # Like torchvision, which rounds the long side down.
        short = min(x.shape[2:])
        return x, (int(self.resize * x.shape[2] / short), int(self.resize * x.shape[3] / short))


def interpolate(x: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Resize images (N, C, h, w), floats in [0, 1] or uint8, with antialiasing except for "nearest"."""
    if tuple(x.shape[2:]) == size:
        return x
    if interpolation == "nearest":
        return F.interpolate(x, size, mode="nearest-exact")
    resized = F.interpolate(x, size, mode=interpolation, antialias=True, align_corners=False)
    return resized.clamp(0, 1) if resized.is_floating_point() else resized


def _check_resize(
    resize: int | tuple[int, int] | None, size: tuple[int, int]
) -> int | tuple[int, int] | None:
    """Return a valid short side or (height, width) from which ``size`` can be cropped; ValueError for another."""
    if resize is None:
        return None
    if isinstance(resize, tuple | list):
        height, width = integers(resize, "resize", length=2, low=1, high=MAX_SIDE)
        if height < size[0] or width < size[1]:
            raise ValueError(f"expected resize of at least the size, {size}, got {brief(resize)}")
        return height, width
    side = integer(resize, "resize", low=1, high=MAX_SIDE)
    if side < max(size):
        raise ValueError(f"expected resize of at least the size, {max(size)}, got {side}")
    return side
