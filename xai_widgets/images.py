"""Images of every kind, as one tensor of pixels in [0, 1]."""

from __future__ import annotations

import difflib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

#: How far a float image may leave [0, 1] before it is taken for something else (rounding, resampling).
TOLERANCE = 1e-3


def to_images(images: Any, *, size: tuple[int, int] | None = None, channels: int = 3) -> Tensor:
    """Make a batch of images from whatever holds images.

    Parameters
    ----------
    images : PIL image, ndarray, Tensor, path, or a list of them
        Pictures are PIL images, paths of image files, and arrays of shape (H, W), (H, W, 1), (H, W, 3) or
        (H, W, 4) holding uint8 in [0, 255], uint16 in [0, 65535], booleans or floats in [0, 1]. Tensors have
        shape (3, H, W) or (N, 3, H, W), with one channel allowed for grey, and hold the same.
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
                f"the images have different sizes, {shapes[0]} and {shapes[1]}, wanted one size for a batch"
            )
        return torch.cat(batches)
    if isinstance(images, Tensor):
        return _from_tensor(images, channels)
    if isinstance(images, str | os.PathLike):
        with _open(Path(images)) as image:
            return to_images(image, size=size, channels=channels)
    if isinstance(images, Image.Image):
        images = np.asarray(_flatten(_upright(images)))
    if isinstance(images, np.ndarray):
        return _from_array(images, size, channels)
    raise TypeError(
        f"an image was given as {type(images).__name__}, wanted a PIL image, an array (H, W, 3), a tensor "
        "(3, H, W), a path, or a list of them"
    )


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        here = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, here, n=1)
        hint = f"; did you mean {near[0]!r}?" if near and near[0] != path.name else ""
        raise FileNotFoundError(f"there is no file {str(path)!r}, wanted the path of an image{hint}")
    try:
        return Image.open(path)
    except OSError as error:
        raise ValueError(
            f"{path.name!r} is not a readable image file, wanted PNG, JPEG or the like"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """The image as its camera was held; PIL reads the pixels only here, so a broken file shows here."""
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError) as error:
        name = Path(getattr(image, "filename", "") or "the image").name
        raise ValueError(f"{name!r} is broken or cut short, wanted a whole image file") from error


def _flatten(image: Image.Image) -> Image.Image | np.ndarray:
    """Any mode of PIL as grey or colour, transparency laid on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey: PIL's own conversion would clip it at 255.
        return (np.asarray(image, dtype=np.float32) / 65535).clip(0, 1)
    # Floats are checked like those of any array, where PIL would take [0, 1] for nearly black.
    return image if image.mode in ("L", "F") else image.convert("RGB")


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
    if array.dtype.kind == "f" or array.dtype.name == "uint16":
        # Half, long and foreign byte orders alike; torch below 2.3 knows no uint16.
        scale = np.float32(65535 if array.dtype.kind == "u" else 1)
        with np.errstate(over="ignore"):
            array = array.astype(np.float32) / scale
    elif array.dtype.name not in ("uint8", "bool"):
        raise ValueError(f"image pixels are {array.dtype}, wanted uint8 in [0, 255] or floats in [0, 1]")
    # A copy: what PIL hands out cannot be written to, and torch warns of that.
    x = torch.from_numpy(np.array(array, order="C"))
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
    if x.dtype == torch.bool:
        return x.to(torch.float32)
    if x.dtype == torch.uint8:
        return x.to(torch.float32) / 255
    if x.dtype == getattr(torch, "uint16", None):
        return x.to(torch.float32) / 65535
    if not x.is_floating_point():
        raise ValueError(f"image pixels are {x.dtype}, wanted uint8 in [0, 255] or floats in [0, 1]")
    x = x.to(torch.float32)
    low, high = (bound.item() for bound in x.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the image holds NaN or infinite pixels, wanted floats in [0, 1]")
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
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
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


def check_baseline(baseline: Any, x: Tensor) -> Tensor:
    """A baseline as a tensor like ``x``: a number in [0, 1], an image, or one image for each of ``x``."""
    if isinstance(baseline, int | float):
        if not 0 <= baseline <= 1:
            raise ValueError(f"baseline is {baseline}, wanted a grey value in [0, 1] or an image")
        return torch.full_like(x, baseline)
    try:
        baseline = torch.as_tensor(baseline, dtype=x.dtype, device=x.device).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"baseline is {type(baseline).__name__}, wanted a grey value in [0, 1] or an image as a tensor"
        ) from error
    try:
        return baseline.expand_as(x)
    except RuntimeError as error:
        raise ValueError(
            f"baseline has shape {tuple(baseline.shape)}, wanted one that fits the images, {tuple(x.shape)}"
        ) from error
