"""How much of the image a place of a layer really looks at.

Luo, Li, Urtasun and Zemel 2016: the effective receptive field is where the gradient of a place with respect to the
image is large. It is a small part of the theoretical one, and grows as the square root of the depth. With y the sum of
the channels at the middle place of the layer, taken over images x_n:

    e(u) = sum_n sum_c (dy / dx_n,c(u))^2,   r = min {r : sum_(|u - middle| <= r) e >= share sum e}
"""

from __future__ import annotations

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
    """Side of the smallest square that holds most of what a place in the middle of a layer answers to.

    Parameters
    ----------
    model : ImageModel
        The network.
    layer : str
        A layer with positions, by its name in ``model.layers()``.
    images
        Images of any kind; a few are enough.
    share : float, default 0.9
        Of the squared gradient, in (0, 1].

    Returns
    -------
    int
        Pixels, at least the distance from one place to the next and at most the short side of the images.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest one, one without places, or a share that is none.
    """
    check_model(model)
    share = number(share, "share", above=0, high=1)
    x = model.images(images)
    activation, gradient = _middle_gradient(model, x, layer)
    check_finite(activation, model.name, f"outputs of {brief(layer)}")
    check_finite(gradient, model.name, "gradients")
    # By the largest first: squares of very small or large ones would vanish or overflow.
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
    """The activation of a layer, and the gradient of its middle place with respect to the images (N, C, H, W)."""
    with outside_inference(), torch.enable_grad(), record_outputs(model.find_layers([layer])) as kept:
        moved = x.clone().requires_grad_()
        model(moved)
        activation = model.spatial(layer, kept[layer])
        middle = activation[:, :, activation.shape[2] // 2, activation.shape[3] // 2].sum()
        gradient = torch.autograd.grad(middle, moved, allow_unused=True)[0] if middle.requires_grad else None
    return activation.detach(), torch.zeros_like(x) if gradient is None else gradient
