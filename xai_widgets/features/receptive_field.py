"""Receptive fields: the pixels that a position of a layer depends on.

The *effective* receptive field (Luo, Li, Urtasun and Zemel 2016) is the region in which the gradient of a position with
respect to the image is large. It is a small part of the theoretical one and grows with the square root of the depth.
With y = sum_k w_k a_k the channels at the middle position of the layer, each with a random weight of the standard
normal distribution, for images x_n:

    e(u) = sum_n sum_c (dy / dx_n,c(u))^2,   r = min {r : sum_(|u - middle| <= r) e >= share sum e}

The expectation of e over the weights is the sum of the squared gradients of all channels. The plain sum of the channels
would be constant after layer normalization.

The *theoretical* receptive field is the rectangle of all pixels that can reach a position, whatever the weights are. It
is measured with NaN pixels, since every position that a NaN reaches becomes NaN. If all columns left of c are NaN, the
middle position stays finite up to c = left; each of the four sides is found by bisection, in log2(extent) passes. A
layer whose corners see the opposite corners of the image, as with attention, needs one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.validation import brief, check_finite, number
from xai_widgets.errors import checked_keywords


@checked_keywords
def effective_receptive_field(model: ImageModel, layer: str, images: Any, *, share: float = 0.9) -> int:
    """Return the side of the smallest square that holds most of the squared gradient of a layer's middle position.

    Parameters
    ----------
    model : ImageModel
        The network.
    layer : str
        A spatial layer, by its name in ``model.layers()``.
    images
        Images of any kind; a few are enough.
    share : float, default 0.9
        Share of the squared gradient inside the square, in (0, 1].

    Returns
    -------
    int
        In pixels: at least the distance between neighboring positions, at most the short side of the images.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, or a share outside (0, 1].
    """
    check_model(model)
    share = number(share, "share", above=0, high=1)
    x = model.images(images)
    activation, gradient = _middle_gradient(model, x, layer)
    check_finite(activation, model.name, f"outputs of {brief(layer)}")
    check_finite(gradient, model.name, "gradients")
    # Divide by the largest value first: squares of very small or large gradients would vanish or overflow.
    peak = gradient.abs().amax()
    energy = (gradient / torch.where(peak > 0, peak, 1)).square().sum((0, 1))
    height, width = energy.shape
    down, right = activation.shape[2:]
    center = ((down // 2 + 0.5) / down * height, (right // 2 + 0.5) / right * width)
    rows, columns = (
        (torch.arange(extent, device=x.device) + 0.5 - middle).abs()
        for extent, middle in zip((height, width), center, strict=True)
    )
    distance = torch.maximum(rows[:, None], columns[None])
    order = distance.flatten().argsort()
    held = energy.flatten()[order].cumsum(0)
    smallest = round(max(height / down, width / right))
    if not held[-1] > 0:
        return min(smallest, height, width)
    reached = int((held < share * held[-1]).sum().clamp(max=len(order) - 1))
    side = round(2 * distance.flatten()[order[reached]].item() + 1)
    return min(max(side, smallest), height, width)


def _middle_gradient(model: ImageModel, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return the activation of a layer, and the gradient of its middle position with respect to the images."""
    with outside_inference(), torch.enable_grad(), record_outputs(model.find_layers([layer])) as kept:
        moved = x.clone().requires_grad_()
        model(moved)
        activation = model.spatial(layer, kept[layer])
        vectors = activation[:, :, activation.shape[2] // 2, activation.shape[3] // 2]
        weights = torch.randn(vectors.shape[1:], generator=torch.Generator().manual_seed(0))
        middle = (vectors * weights.to(vectors)).sum()
        gradient = torch.autograd.grad(middle, moved, allow_unused=True)[0] if middle.requires_grad else None
    return activation.detach(), torch.zeros_like(x) if gradient is None else gradient


@dataclass(frozen=True)
class ReceptiveField:
    """Theoretical receptive field of a position of a layer, relative to the position.

    Attributes
    ----------
    offset : (float, float)
        Right and down, from the middle of the position's cell to the middle of the field, in pixels.
    size : (int, int)
        Width and height in pixels.
    """

    offset: tuple[float, float]
    size: tuple[int, int]


@torch.no_grad()
def theoretical_receptive_field(model: ImageModel, layer: str) -> ReceptiveField:
    """Measure the theoretical receptive field of a layer's middle position.

    Parameters
    ----------
    model : ImageModel
        The network.
    layer : str
        A spatial layer, by its name in ``model.layers()``.

    Returns
    -------
    ReceptiveField
        A field larger than the network's images is measured on images of twice their size, and cut to them. If the
        network accepts one size only, it is cut to that size, unless every position sees the whole image.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, or one that no pixel reaches.
    """
    check_model(model)
    model.layer(layer)
    height, width = model.size
    if _sees_opposite_corners(model, layer):
        # A position in a corner sees as far as the image reaches, to both sides of it.
        return ReceptiveField((0.0, 0.0), (2 * width, 2 * height))
    field, cut = _measure_field(model, layer, height, width)
    if cut:
        try:
            field, _ = _measure_field(model, layer, 2 * height, 2 * width)
        except Exception:
            # A module before the layer accepts images of one size only; libraries raise different exceptions.
            return field
    return field


def _sees_opposite_corners(model: ImageModel, layer: str) -> bool:
    """Return whether the first and the last position depend on the pixels of each other's cell."""
    height, width = model.size
    grid = model.grid(layer)
    rows, columns = -(-height // grid.height), -(-width // grid.width)
    x = torch.full((2, model.channels, height, width), 0.5, device=model.device)
    x[0, :, -rows:, -columns:] = torch.nan
    x[1, :, :rows, :columns] = torch.nan
    activation = _activation(model, layer, x)
    far = torch.stack([activation[0, :, 0, 0], activation[-1, :, -1, -1]])
    return grid.positions > 1 and bool(far.isnan().any(1).all())


def _measure_field(model: ImageModel, layer: str, height: int, width: int) -> tuple[ReceptiveField, bool]:
    """Return the field of the middle position in an image of this size, and whether it reaches the border."""
    blank = torch.full((1, model.channels, height, width), 0.5, device=model.device)
    everything, grid = _middle_is_nan(model, layer, torch.full_like(blank, torch.nan))
    if not everything.all():
        raise ValueError(f"expected a layer behind the image, got {layer!r}, whose middle no pixel reaches")
    # Number of NaN lines, counted from each of the four sides, that leave the position finite or make it NaN.
    extents = (width, width, height, height)
    finite, reached = [0] * 4, list(extents)
    while any(after - before > 1 for before, after in zip(finite, reached, strict=True)):
        counts = [(before + after + 1) // 2 for before, after in zip(finite, reached, strict=True)]
        x = blank.repeat(4, 1, 1, 1)
        for side, count in enumerate(counts):
            lines = x[side].transpose(1, 2) if side < 2 else x[side]
            first = extents[side] - count if side % 2 else 0
            lines[:, first : first + count] = torch.nan
        for side, is_nan in enumerate(_middle_is_nan(model, layer, x)[0].tolist()):
            (reached if is_nan else finite)[side] = counts[side]
    left, top = reached[0] - 1, reached[2] - 1
    right, bottom = width - reached[1] + 1, height - reached[3] + 1
    middle = ((grid[1] // 2 + 0.5) / grid[1] * width, (grid[0] // 2 + 0.5) / grid[0] * height)
    offset = ((left + right) / 2 - middle[0], (top + bottom) / 2 - middle[1])
    return ReceptiveField(offset, (right - left, bottom - top)), min(reached) == 1


def _middle_is_nan(model: ImageModel, layer: str, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return whether the middle position is NaN, for each image, and the rows and columns of the layer."""
    activation = _activation(model, layer, x)
    rows, columns = activation.shape[2:]
    return activation[:, :, rows // 2, columns // 2].isnan().any(1), (rows, columns)


def _activation(model: ImageModel, layer: str, x: Tensor) -> Tensor:
    """Return the spatial output of a layer for images of any size that the modules before it accept."""
    with record_outputs(model.find_layers([layer])) as kept:
        try:
            model(x)
        except Exception:
            # Modules behind the layer need not accept images of this size.
            if layer not in kept:
                raise
    return model.spatial(layer, kept[layer])
