"""Images of every kind, as one tensor of pixels in [0, 1]."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

#: How far a float image may leave [0, 1] before it is taken for something else (rounding, resampling).
TOLERANCE = 1e-3


def to_images(images: Any, *, size: tuple[int, int] | None = None, channels: int = 3) -> Tensor:
    """Make a batch of images from whatever holds images.

    Parameters
    ----------
    images : PIL image, ndarray, Tensor, path, or a list of them
        Pictures are PIL images, paths of image files, and arrays of shape (H, W), (H, W, 1), (H, W, 3) or
        (H, W, 4) holding uint8 in [0, 255] or floats in [0, 1]. Tensors have shape (3, H, W) or (N, 3, H, W),
        with one channel allowed for grey, uint8 or floats in [0, 1].
    size : (int, int), optional
        Height and width. Pictures are scaled, with antialiasing, until they cover it, and their centre is cut
        out. Tensors stay as they are: they are taken to be made for the network already.
    channels : {1, 3}, default 3
        What the network takes. Grey is repeated to three channels, colour is reduced to its luminance for one;
        transparency is laid on white.

    Returns
    -------
    Tensor, (N, channels, H, W)
        float32 in [0, 1], on the device of the tensors given, else on the CPU.

    Raises
    ------
    TypeError
        For what is no image.
    ValueError
        For an empty batch, a wrong shape, NaN, values outside [0, 1], or images of unequal size.
    FileNotFoundError
        For a path that leads to no file.
    """
    if isinstance(images, list | tuple):
        if not images:
            raise ValueError("the batch of images is empty, wanted at least one image")
        batches = [to_images(image, size=size, channels=channels) for image in images]
        shapes = sorted({tuple(batch.shape[2:]) for batch in batches})
        if len(shapes) > 1:
            raise ValueError(
                f"the images have different sizes, {shapes[0]} and {shapes[1]}; give them one size, or size="
            )
        return torch.cat(batches)
    if isinstance(images, Tensor):
        return _from_tensor(images, channels)
    if isinstance(images, str | os.PathLike):
        images = _open(Path(images))
    if isinstance(images, Image.Image):
        images = np.asarray(_flatten(ImageOps.exif_transpose(images)))
    if isinstance(images, np.ndarray):
        return _from_array(images, size, channels)
    raise TypeError(
        f"an image was given as {type(images).__name__}, wanted a PIL image, an array (H, W, 3), a tensor "
        "(3, H, W), a path, or a list of them"
    )


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise FileNotFoundError(f"no image file at {str(path)!r}")
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(
            f"{path.name!r} is not a readable image file, wanted PNG, JPEG or the like"
        ) from error
    return image


def _flatten(image: Image.Image) -> Image.Image:
    """Any mode of PIL as 8-bit grey or colour, transparency laid on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey: PIL's own conversion would clip it at 255.
        return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
    return image if image.mode == "L" else image.convert("RGB")


def _from_array(array: np.ndarray, size: tuple[int, int] | None, channels: int) -> Tensor:
    if array.ndim == 4:
        if not len(array):
            raise ValueError("the batch of images is empty, wanted at least one image")
        return torch.cat([_from_array(image, size, channels) for image in array])
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        hint = "; channels come last in arrays" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise ValueError(
            f"an image array has shape {array.shape}, wanted (H, W), (H, W, 3) or (H, W, 4){hint}"
        )
    x = (
        torch.from_numpy(np.ascontiguousarray(array))
        if array.dtype != bool
        else torch.from_numpy(array * 1.0)
    )
    x = _unit_range(x.reshape(*array.shape[:2], -1).permute(2, 0, 1)[None])
    if x.shape[1] == 4:
        x = x[:, :3] * x[:, 3:] + (1 - x[:, 3:])
    x = _match_channels(x, channels)
    return x if size is None else _cover(x, size)


def _from_tensor(x: Tensor, channels: int) -> Tensor:
    given = tuple(x.shape)
    if x.ndim == 3:
        x = x[None]
    if x.ndim == 4 and x.shape[0] == 0:
        raise ValueError("the batch of images is empty, wanted at least one image")
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        hint = "; channels come first in tensors" if x.ndim == 4 and x.shape[-1] in (1, 3, 4) else ""
        raise ValueError(f"an image tensor has shape {given}, wanted (3, H, W) or (N, 3, H, W){hint}")
    return _match_channels(_unit_range(x.detach()), channels)


def _unit_range(x: Tensor) -> Tensor:
    if x.dtype == torch.uint8:
        return x.to(torch.float32) / 255
    if x.dtype == torch.uint16:
        return x.to(torch.float32) / 65535
    if not x.is_floating_point():
        raise ValueError(f"image pixels are {x.dtype}, wanted uint8 in [0, 255] or floats in [0, 1]")
    x = x.to(torch.float32)
    if not torch.isfinite(x).all():
        raise ValueError("the image holds NaN or infinite pixels, wanted floats in [0, 1]")
    low, high = x.min().item(), x.max().item()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        hint = "divide by 255" if low >= 0 and high <= 255.5 else "normalisation is part of the model"
        raise ValueError(f"image pixels range from {low:.3g} to {high:.3g}, wanted floats in [0, 1]; {hint}")
    return x.clamp(0, 1)


def _match_channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    if channels == 3:
        return x.expand(-1, 3, -1, -1).contiguous()
    # Luminance of ITU-R BT.601, as PIL's "L".
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def _cover(x: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    if tuple(x.shape[2:]) == size:
        return x
    scale = max(height / x.shape[2], width / x.shape[3])
    scaled = (max(height, round(x.shape[2] * scale)), max(width, round(x.shape[3] * scale)))
    x = F.interpolate(x, scaled, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return x[:, :, top : top + height, left : left + width].contiguous()
