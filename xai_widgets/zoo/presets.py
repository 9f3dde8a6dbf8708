"""Presets of image transforms: their resizing, crop and normalization, measured on a few images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xai_widgets.core.images import convert
from xai_widgets.core.resizing import INTERPOLATIONS, Resizing
from xai_widgets.errors import warn

#: Maps an RGB image to a tensor (C, H, W) or (1, C, H, W).
Transform = Callable[[Image.Image], Tensor]

#: Height and width of the images on which a transform is measured; no transform is to have them as its size.
_HEIGHT, _WIDTH = 469, 613
#: Mean absolute difference of pixels above which a preset is another one, and above which it is reported.
_WRONG, _INEXACT = 0.03, 1 / 255


@dataclass(frozen=True)
class Preset:
    """Preset of a transform.

    Attributes
    ----------
    mean, std : tuple of float
        Normalization of pixels in [0, 1], one number per channel.
    resizing : Resizing or None
        Resizing and crop; None if the result has the aspect ratio of the image.
    reversed : bool
        Whether the channels are blue, green and red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resizing: Resizing | None
    reversed: bool

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for `ImageModel`."""
        options: dict[str, Any] = {"mean": self.mean, "std": self.std}
        if self.resizing is not None:
            names = ("size", "resize", "interpolation")
            options |= {name: getattr(self.resizing, name) for name in names}
        return options


def preset_of(transform: Transform) -> dict[str, Any]:
    """Return the keyword arguments for `ImageModel` that give the pixels of a transform, such as one of torchvision.

    The transform is run on a few images, so that anything that resizes, crops the center and normalizes is understood,
    however it is written.

    Parameters
    ----------
    transform : callable
        Maps an RGB image of PIL to a tensor (C, H, W) or (1, C, H, W).

    Returns
    -------
    dict
        ``mean``, ``std``, ``size``, ``resize`` and ``interpolation``.

    Raises
    ------
    ValueError
        If the transform does more than that: padding, other aspect ratios for each image, normalization of each image
        by itself, or colors in another order.

    Examples
    --------
    >>> model = ImageModel(network, **preset_of(transforms.Compose([Resize(256), CenterCrop(224), ToTensor()])))
    """
    preset = measure(transform)
    if preset.reversed:
        raise ValueError(
            "expected a transform that keeps the order red, green, blue, got one that reverses it; pass a network that "
            "takes this order"
        )
    if preset.resizing is None:
        raise ValueError(
            "expected a transform to images of one size, got one that keeps the aspect ratio; crop the center of the "
            "image at the end of it"
        )
    return preset.options


def measure(transform: Transform) -> Preset:
    """Measure a transform of images; see `preset_of`."""
    black, white, gray, red = (
        _apply(transform, np.broadcast_to(np.array(color, np.uint8), (_HEIGHT, _WIDTH, 3)))
        for color in ((0, 0, 0), (255, 255, 255), (102, 102, 102), (255, 0, 0))
    )
    low, high, middle = (each.mean((1, 2)) for each in (black, white, gray))
    scale = high - low
    flat = all(float((each - each.mean((1, 2), keepdim=True)).abs().max()) < 1e-3 for each in (black, white))
    # Rounding to 8 bits inside of the transform is possible.
    if not flat or not bool((scale > 0).all()) or bool(((middle - low) / scale - 0.4).abs().max() > 0.003):
        raise ValueError(
            "expected a transform that resizes, crops the center and normalizes all images alike, got one that pads "
            "images or normalizes each by itself; size=, mean= and std= of ImageModel replace it"
        )
    std = _rounded(1 / scale)
    mean = _rounded(-low / scale)

    def pixels(image: NDArray[np.uint8]) -> Tensor:
        return (_apply(transform, image) - low[:, None, None]) / scale[:, None, None]

    backward = len(scale) == 3 and float(red[0].mean() - low[0]) < 0.5 * float(scale[0])
    image = _textured()
    landscape, portrait = pixels(image), pixels(image.transpose(1, 0, 2))
    if landscape.shape != portrait.shape:
        return Preset(mean, std, None, backward)
    order = [2, 1, 0] if backward else list(range(len(scale)))
    return Preset(mean, std, _nearest(lambda image: pixels(image)[order], image), backward)


def _apply(transform: Transform, image: NDArray[np.uint8]) -> Tensor:
    made = transform(Image.fromarray(np.ascontiguousarray(image)))
    if isinstance(made, Tensor) and made.ndim == 4 and len(made) == 1:
        made = made[0]
    if not isinstance(made, Tensor) or made.ndim != 3 or len(made) not in (1, 3):
        found = f"a tensor of shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise ValueError(f"expected a transform to tensors of shape (3, H, W), got {found}")
    return made.detach().float().cpu()


def _rounded(values: Tensor) -> tuple[float, ...]:
    """Return numbers without the noise of float32, such as 0.485 for 0.48500004."""
    return tuple(float(f"{value:.6g}") + 0.0 for value in values.tolist())


def _nearest(pixels: Callable[[Any], Tensor], image: NDArray[np.uint8]) -> Resizing:
    """Return the resizing with which an image becomes nearest to the transformed one."""
    made = pixels(image)
    size = (made.shape[1], made.shape[2])
    tall, wide = (max(1, round(extent)) for extent in _resized(pixels))
    possible = []
    sides = (tall, tall - 1, tall + 1, (tall, wide), None)
    for side, interpolation, rounding in product(sides, INTERPOLATIONS, ("even", "down")):
        # The measured side may be too small for the crop.
        with suppress(ValueError):
            possible.append(Resizing(size, side, interpolation, rounding))
    best = min(possible, key=lambda resizing: _difference(resizing, image, made))
    least = _difference(best, image, made)
    if least > _WRONG:
        raise ValueError(
            "expected a transform that resizes, crops the center and normalizes, got one that does something else; "
            "size=, mean= and std= of ImageModel replace it"
        )
    if least > _INEXACT:
        warn(
            f"the pixels differ by {least:.2g} on average from those of the transform, whose interpolation is none of "
            f"{', '.join(INTERPOLATIONS)}"
        )
    return _with_rounding(best, pixels, image)


def _difference(resizing: Resizing, image: NDArray[np.uint8], made: Tensor) -> float:
    """Return the mean absolute difference between a resized image and the transformed one."""
    return float((convert(image, resizing, len(made))[0] - made).abs().mean())


def _with_rounding(resizing: Resizing, pixels: Callable[[Any], Tensor], image: NDArray[np.uint8]) -> Resizing:
    """Return the resizing with the rounding of the crop that the transform has, on an image where they differ."""
    for width in range(_WIDTH, _WIDTH - 40, -1):
        part = image[:, :width]
        _, scaled = resizing.scaled(torch.empty(1, 1, *part.shape[:2], device="meta"))
        if any((extent - side) % 4 == 3 for extent, side in zip(scaled, resizing.size, strict=True)):
            made = pixels(part)
            both = (replace(resizing, rounding=rounding) for rounding in ("even", "down"))
            return min(both, key=lambda each: _difference(each, part, made))
    return resizing


def _resized(pixels: Callable[[Any], Tensor]) -> tuple[float, float]:
    """Return the height and width of the resized image before its center is cropped."""
    generator = np.random.default_rng(0)

    def resized(extent: int, axis: int) -> float:
        ramp = np.linspace(0, 255, extent)
        ramp = np.broadcast_to(ramp[:, None] if axis == 0 else ramp, (_HEIGHT, _WIDTH))
        # Dithered, so that the mean of a line has no steps of 8 bits.
        dithered = np.floor(ramp + generator.random(ramp.shape)).clip(0, 255).astype(np.uint8)
        profile = pixels(np.repeat(dithered[..., None], 3, 2))[0].double().mean(1 - axis).numpy()
        margin = len(profile) // 8
        inner = profile[margin : len(profile) - margin]
        slope = float(np.polyfit(np.arange(len(inner)), inner, 1)[0])
        return extent / (extent - 1) / max(slope, 1e-6)

    return resized(_HEIGHT, 0), resized(_WIDTH, 1)


def _textured() -> NDArray[np.uint8]:
    """Return an image of coarse and fine random structure, (480, 640, 3)."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((1, 3, _HEIGHT, _WIDTH), 0.5)
    for cells, weight in ((6, 0.4), (60, 0.25), (240, 0.15)):
        noise = torch.rand(1, 3, cells, cells * 4 // 3, generator=generator) - 0.5
        image += weight * F.interpolate(noise, (_HEIGHT, _WIDTH), mode="bicubic")
    pixels: NDArray[np.uint8] = (image.clamp(0, 1)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    return pixels
