"""Conversion of images of any kind to a tensor of pixels in [0, 1]."""

from __future__ import annotations

import difflib
import math
import numbers
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from xai_widgets.core.resizing import Resizing
from xai_widgets.core.validation import brief, dense, integer, number, tensor

#: How far pixels of a float image may lie outside [0, 1], because of rounding and resampling.
TOLERANCE = 1e-3
#: Number of pixels above which images of 8 bits are resized in 8 bits.
LARGE = 2**21


def to_images(
    images: Any,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    resize: int | tuple[int, int] | None = None,
    interpolation: str = "bilinear",
) -> Tensor:
    """Convert images of any kind to a batch.

    Parameters
    ----------
    images : PIL image, ndarray, Tensor, path, or a list of them
        Arrays have the shape (H, W), (H, W, 1), (H, W, 3), (H, W, 4) or (H, W, channels), or one more dimension in
        front for a batch; tensors have the shape (channels, H, W) or (N, channels, H, W), or 1 or 3 channels. Both hold
        uint8 in [0, 255], uint16 in [0, 65535], booleans or floats in [0, 1].
    size : (int, int), optional
        Height and width. PIL images, files and arrays are resized until they cover it, and the center is cropped.
        Tensors are not resized.
    resize, interpolation
        See :class:`xai_widgets.core.resizing.Resizing`.
    channels : int, default 3
        Number of channels of the result. Gray is repeated to three channels, color is converted to luminance for one;
        transparency is composited on white, unless there are four channels.

    Returns
    -------
    Tensor, (N, channels, H, W)
        float32 in [0, 1], on the device of the given tensors, else on the CPU.

    Raises
    ------
    TypeError
        For an object of another type, and for nested, sparse and meta tensors.
    ValueError
        For an empty batch, a wrong shape, NaN, values outside [0, 1], or images of different sizes.
    FileNotFoundError
        For a path that is not a file.
    """
    resizing = None if size is None else Resizing(size, resize, interpolation)
    return convert(images, resizing, integer(channels, "channels", low=1))


def convert(images: Any, resizing: Resizing | None, channels: int) -> Tensor:
    """Convert images of any kind to a batch with this number of channels, see :func:`to_images`."""
    if isinstance(images, list | tuple):
        if not images:
            raise ValueError("expected at least one image, got an empty batch")
        batches = [convert(image, resizing, channels) for image in images]
        shapes = sorted({tuple(batch.shape[2:]) for batch in batches})
        if len(shapes) > 1:
            raise ValueError(f"expected images of one size in a batch, got {shapes[0]} and {shapes[1]}")
        return torch.cat(batches)
    if isinstance(images, Tensor):
        return _from_tensor(images, channels)
    if isinstance(images, str | os.PathLike):
        with open_image(Path(images)) as image:
            return convert(image, resizing, channels)
    if isinstance(images, Image.Image):
        images = np.asarray(_flatten(_upright(images), channels))
    if isinstance(images, np.ndarray):
        return _from_array(images, channels, resizing)
    raise TypeError(
        f"expected a PIL image, an array (H, W, 3), a tensor (3, H, W), a path, or a list of them, got "
        f"{brief(images)}"
    )


def open_image(path: Path) -> Image.Image:
    """Open an image file; FileNotFoundError, with the nearest name, if there is none, ValueError for another file."""
    try:
        found = path.is_file()
    except OSError:
        # The name may be too long, or the folder not readable.
        found = False
    if not found:
        near = _near(path)
        hint = f"; did you mean {near!r}?" if near else ""
        # The end of a long path is more informative than its beginning.
        shown = str(path) if len(str(path)) <= 200 else f"...{str(path)[-200:]}"
        raise FileNotFoundError(f"expected the path of an image, got {shown!r}, which is not a file{hint}")
    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"expected a readable image file such as PNG or JPEG, got {brief(path.name)}"
        ) from error


def _near(path: Path) -> str | None:
    """Return the most similar file name in the folder of a path."""
    try:
        here = [file.name for file in path.parent.iterdir()]
    except (OSError, ValueError):
        return None
    near = difflib.get_close_matches(path.name[:256], here, n=1)
    return near[0] if near and near[0] != path.name else None


def _upright(image: Image.Image) -> Image.Image:
    """Rotate an image as its EXIF orientation requires. PIL reads the pixels only now, so a broken file fails here."""
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        name = Path(getattr(image, "filename", "") or "the image").name
        raise ValueError(
            f"expected a complete image file, got {brief(name)}, which is broken or truncated"
        ) from error


def _flatten(image: Image.Image, channels: int) -> Image.Image | np.ndarray:
    """Convert any mode of PIL to gray or color, transparency composited on white; keep four expected channels."""
    if channels == 4 and len(image.getbands()) == 4:
        return image
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit gray: PIL's conversion would clip it at 255.
        return (np.asarray(image, dtype=np.float32) / 65535).clip(0, 1)
    # Floats are checked like those of any array; PIL would convert [0, 1] to nearly black.
    return image if image.mode in ("L", "F") else image.convert("RGB")


def _from_array(array: np.ndarray, channels: int, resizing: Resizing | None) -> Tensor:
    if array.ndim == 4:
        if not len(array):
            raise ValueError("expected at least one image, got an empty batch")
        return torch.cat([_from_array(image, channels, resizing) for image in array])
    accepted = (1, 3, 4) if channels in (1, 3) else (channels,)
    if array.ndim == 2 and 1 in accepted:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in accepted or 0 in array.shape:
        hint = "; channels come last in arrays" if array.ndim == 3 and array.shape[0] in accepted else ""
        shapes = "(H, W), (H, W, 3) or (H, W, 4)" if channels in (1, 3) else f"(H, W, {channels})"
        raise ValueError(f"expected an image array of shape {shapes}, got {array.shape}{hint}")
    if array.dtype.kind == "f" or array.dtype.name == "uint16":
        # For any float size and byte order; torch below 2.3 has no uint16.
        scale = np.float32(65535 if array.dtype.kind == "u" else 1)
        with np.errstate(over="ignore"):
            array = array.astype(np.float32) / scale
    elif array.dtype.name not in ("uint8", "bool"):
        raise ValueError(
            f"expected image pixels as uint8 in [0, 255] or floats in [0, 1], got {brief(str(array.dtype))}"
        )
    # A copy: arrays of PIL are read-only, and torch warns about that.
    x = torch.from_numpy(np.array(array, order="C"))
    x = x.permute(2, 0, 1)[None]
    transparent = x.shape[1] == 4 != channels
    if resizing is not None and x.dtype == torch.uint8 and x[0, 0].numel() > LARGE and not transparent:
        # Faster by ten times, with a fourth of the memory, and like PIL rounded to 8 bits.
        x, resizing = resizing(x), None
    x = _unit_range(x)
    if transparent:
        x = x[:, :3] * x[:, 3:] + (1 - x[:, 3:])
    x = _match_channels(x, channels)
    return x if resizing is None else resizing(x)


def _from_tensor(x: Tensor, channels: int) -> Tensor:
    if not dense(x) and not x.is_complex():
        raise TypeError(f"expected an image as a dense tensor of numbers, got {brief(x)}")
    given = tuple(x.shape)
    if x.ndim == 3:
        x = x[None]
    if x.ndim == 4 and x.shape[0] == 0:
        raise ValueError("expected at least one image, got an empty batch")
    accepted = (1, 3) if channels in (1, 3) else (channels,)
    if x.ndim != 4 or x.shape[1] not in accepted or 0 in x.shape:
        hint = "; channels come first in tensors" if x.ndim == 4 and x.shape[-1] in (*accepted, 4) else ""
        count = 3 if channels == 1 else channels
        raise ValueError(
            f"expected an image tensor of shape ({count}, H, W) or (N, {count}, H, W), got {given}{hint}"
        )
    return _match_channels(_unit_range(x.detach()), channels)


def _unit_range(x: Tensor) -> Tensor:
    if x.dtype == torch.bool:
        return x.to(torch.float32)
    if x.dtype == torch.uint8:
        return x.to(torch.float32) / 255
    if x.dtype == getattr(torch, "uint16", None):
        return x.to(torch.float32) / 65535
    if not x.is_floating_point():
        raise ValueError(f"expected image pixels as uint8 in [0, 255] or floats in [0, 1], got {x.dtype}")
    x = x.to(torch.float32)
    low, high = (bound.item() for bound in x.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("expected image pixels as floats in [0, 1], got NaN or infinite values")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        hint = "divide by 255" if low >= 0 and high <= 255.5 else "normalization is part of the model"
        raise ValueError(
            f"expected image pixels as floats in [0, 1], got values from {low:.3g} to {high:.3g}; {hint}"
        )
    return x.clamp(0, 1)


def _match_channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    if channels == 3:
        return x.expand(-1, 3, -1, -1).contiguous()
    # Luminance of ITU-R BT.601, like PIL's mode "L".
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def check_baseline(baseline: Any, x: Tensor, name: str = "baseline") -> Tensor:
    """Return a baseline as a tensor like ``x``.

    Parameters
    ----------
    baseline
        A gray value in [0, 1], or one image, or one image for each of ``x``, of any kind that :func:`to_images` takes.
        A tensor is broadcast to the shape of ``x``.
    x : Tensor, (N, C, H, W)
        Images.
    name : str, default "baseline"
        Name of the argument, for the error message.

    Raises
    ------
    TypeError
        For anything that is neither a number nor an image.
    ValueError
        For values outside [0, 1], NaN, or a shape that cannot be broadcast.
    """
    x = tensor(x, "images", ("N", "C", "H", "W"))
    if _is_number(baseline):
        return torch.full_like(x, number(baseline, name, low=0, high=1, hint="or an image"))
    if isinstance(baseline, Tensor) and baseline.ndim == 2 and dense(baseline):
        baseline = baseline[None]
    try:
        converted = to_images(baseline, size=(x.shape[2], x.shape[3]), channels=x.shape[1]).to(x)
    except FileNotFoundError as error:
        raise TypeError(
            f"expected {name} as a gray value in [0, 1] or an image, got {brief(baseline)}, which is not a file"
        ) from error
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}, or a gray value in [0, 1]") from error
    if any(size not in (1, extent) for size, extent in zip(converted.shape, x.shape, strict=True)):
        raise ValueError(
            f"expected {name} of a shape that fits the images, {tuple(x.shape)}, got {tuple(converted.shape)}"
        )
    return converted.expand_as(x)


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """Return images (..., C, H, W) in [0, 1] as (..., H, W, 3) uint8.

    Gray is repeated, two channels are averaged, and the first three of more channels are shown as red, green and blue.
    """
    if x.shape[-3] == 2:
        x = x.mean(-3, keepdim=True)
    x = x.detach().narrow(-3, 0, min(3, x.shape[-3]))
    pixels: NDArray[np.uint8] = (x.movedim(-3, -1).clamp(0, 1) * 255).round().byte().cpu().numpy()
    return pixels if pixels.shape[-1] == 3 else pixels.repeat(3, axis=-1)


def _is_number(value: Any) -> bool:
    """Return whether a value is a single number of Python, numpy or torch rather than an image of one pixel."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        nested = isinstance(value, Tensor) and value.is_nested
        return not nested and tuple(value.shape) in ((), (1,))
    return isinstance(value, numbers.Number)
