"""Masks that occlude images in training: Hide-and-Seek, Cutout, and the most salient patch.

Fong 2020, appendix C.1, section 3. A mask (N, 1, H, W) is True where it keeps the image:

    Hide-and-Seek     all True with probability p_image; else each cell of a G x G grid with probability p_patch
                      (Singh and Lee 2017)
    Cutout            False in N squares of side S whose centers are uniform over the pixels, so that a square may leave
                      the image (DeVries and Taylor 2017)
    saliency patch    False in the S x S window with the largest sum of  s_ij = |g_ij| |a_ij|,  of the windows at a
                      stride T, moved by up to tau pixels, and always inside the image
                      (equation 1; a and g the activation and the gradient of the score of the class at a layer)

    occluded          x m + fill (1 - m)

Published, for 224 pixels: G = 4, p_patch 0.5 to 0.9; N 1 to 8, S 56, 84 or 112; for saliency patches S = 56 and
tau = 16. The fill is the mean color, which is 0 after normalization.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model import ImageModel, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import integer, integers, number, numbers, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.methods.gradients import spatial_gradient
from xai_widgets.ops.resize import resize_map

#: A fill: one number, or one per channel.
FillColor = float | Sequence[float]


@checked_keywords
def hide_and_seek_masks(
    count: int,
    size: tuple[int, int],
    *,
    grid: int = 4,
    keep_patch: float = 0.5,
    keep_image: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw masks of Hide-and-Seek, (N, 1, H, W) bool.

    Parameters
    ----------
    count : int
        Number of masks N.
    size : (int, int)
        Height and width of the images.
    grid : int, default 4
        Number G of cells along each side, at most that of the pixels. Cells of sides that G does not divide differ by
        one pixel.
    keep_patch : float, default 0.5
        Probability that a cell is kept, in [0, 1].
    keep_image : float, default 0.0
        Probability that a whole image is kept, in [0, 1].
    generator : torch.Generator, optional
        Default: that of torch, which ``DataLoader`` seeds differently in each worker.
    """
    count, (height, width) = _shape(count, size)
    grid = integer(grid, "grid", low=1, high=min(height, width))
    keep_patch = number(keep_patch, "keep_patch", low=0, high=1)
    keep_image = number(keep_image, "keep_image", low=0, high=1)
    cells = torch.rand(count, 1, grid, grid, generator=generator) < keep_patch
    whole = torch.rand(count, 1, 1, 1, generator=generator) < keep_image
    rows, columns = (torch.arange(n) * grid // n for n in (height, width))
    return (cells | whole)[:, :, rows][..., columns]


@checked_keywords
def cutout_masks(
    count: int,
    size: tuple[int, int],
    *,
    patches: int = 1,
    side: int = 16,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw masks of Cutout, (N, 1, H, W) bool.

    Parameters
    ----------
    count, size, generator
        See :func:`hide_and_seek_masks`.
    patches : int, default 1
        Number of squares in each mask; they may overlap.
    side : int, default 16
        Side S of a square in pixels; a quarter of the image in the source.
    """
    count, (height, width) = _shape(count, size)
    patches, side = integer(patches, "patches", low=1), integer(side, "side", low=1)
    first = [
        torch.randint(extent, (count, patches, 1), generator=generator) - side // 2
        for extent in (height, width)
    ]
    rows, columns = (
        (torch.arange(extent) >= begin) & (torch.arange(extent) < begin + side)
        for extent, begin in zip((height, width), first, strict=True)
    )
    return ~(rows[..., :, None] & columns[..., None, :]).any(1, keepdim=True)


@without_inference_mode
def saliency_patch_masks(
    model: ImageModel,
    x: Any,
    target: Any,
    *,
    layer: str | None = None,
    side: int = 24,
    stride: int = 4,
    jitter: int = 6,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return masks that occlude the most salient patch of each image, (N, 1, H, W) bool on the model's device.

    Parameters
    ----------
    model : ImageModel
        The network, which may be the one in training.
    x
        Images of any kind, N of them, in [0, 1].
    target : int, str, sequence or Tensor
        The true class of each image.
    layer : str, optional
        A spatial layer. Default: the last one.
    side : int, default 24
        Side S of the patch in pixels, at most that of the image; a quarter of it in the source.
    stride : int, default 4
        Distance T of the windows that are compared, in pixels.
    jitter : int, default 6
        Largest displacement tau of the patch along each axis, in pixels.
    generator : torch.Generator, optional
        A generator on the CPU for the displacements. Default: that of torch.
    """
    model, x, target = prepare(model, x, target)
    size = (x.shape[2], x.shape[3])
    side = integer(side, "side", low=1, high=min(size))
    stride, jitter = integer(stride, "stride", low=1), integer(jitter, "jitter", low=0)
    activation, gradient = spatial_gradient(model, x, target, layer)
    saliency = resize_map(activation.norm(dim=1) * gradient.norm(dim=1), size)
    first = best_windows(saliency, side=side, stride=stride)
    moves = torch.randint(-jitter, jitter + 1, first.shape, generator=generator).to(first)
    first = torch.minimum((first + moves).clamp(min=0), torch.tensor(size).to(first) - side)
    rows, columns = (
        (torch.arange(extent, device=x.device) >= begin)
        & (torch.arange(extent, device=x.device) < begin + side)
        for extent, begin in zip(size, first[:, :, None].unbind(1), strict=True)
    )
    return ~(rows[:, None, :, None] & columns[:, None, None, :])


@checked_keywords
def best_windows(saliency: Tensor, *, side: int, stride: int = 1) -> Tensor:
    """Return the first row and column, (N, 2), of the window of maps (N, H, W) with the largest sum.

    The window has ``side`` pixels; windows at multiples of ``stride`` are compared, the first of equal ones counts.
    """
    saliency = tensor(saliency, "saliency", ("N", "H", "W"))
    side = integer(side, "side", low=1, high=min(saliency.shape[1:]))
    means = F.avg_pool2d(saliency[:, None].float(), side, integer(stride, "stride", low=1))[:, 0]
    best = means.flatten(1).argmax(1)
    return torch.stack([best // means.shape[2], best % means.shape[2]], 1) * stride


@checked_keywords
def occlude(x: Tensor, masks: Tensor, *, fill: FillColor = 0.0) -> Tensor:
    """Return images (N, C, H, W) with ``fill`` where masks (N, 1, H, W) are False.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images, normalized or not.
    masks : Tensor, (N, 1, H, W)
        True keeps a pixel.
    fill : float or sequence of float, default 0.0
        The mean color, in the units of the images: 0 for normalized images; for pixels in [0, 1] the mean that the
        network is normalized with. One number, or one per channel.
    """
    x = tensor(x, "x", ("N", "C", "H", "W"))
    masks = tensor(masks, "masks", (len(x), 1, *x.shape[2:])).bool()
    return torch.where(masks.to(x.device), x, fill_values(fill, x))


def fill_values(fill: FillColor, x: Tensor) -> Tensor:
    """Return a fill as a tensor that broadcasts to images (..., C, H, W)."""
    channels = x.shape[-3]
    single = isinstance(fill, int | float)
    values = [number(fill, "fill")] if single else numbers(fill, "fill", length=channels)
    return torch.tensor(values).to(x).view(-1, 1, 1)


def _shape(count: int, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    height, width = integers(size, "size", length=2, low=1)
    return integer(count, "count", low=0), (height, width)
