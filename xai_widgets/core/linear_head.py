"""The linear head of a network: scores that are affine in the means of a layer over its positions.

    S_c = b_c + sum_k w_ck mean_u f(a_ku),   f the identity or a ReLU

The weights are read from scores: w_ck = S_c(1 in channel k, 0 elsewhere) - S_c(0).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel

#: Relative tolerance for rounding in single precision.
ROUNDING = 1e-4
#: Channels per pass.
BATCH = 64


@dataclass(frozen=True)
class LinearHead:
    """The weights of the classes for a layer.

    Attributes
    ----------
    layer : str
        The layer, which has the shape (C, h, w), (h, w, C) or (tokens, C).
    weights : Tensor, (classes, C)
        w, in float32 on the CPU.
    relu : bool
        Whether a ReLU follows the layer.
    """

    layer: str
    weights: Tensor = field(repr=False)
    relu: bool


@torch.no_grad()
def linear_head(model: ImageModel, images: Tensor) -> LinearHead | None:
    """Return the linear head of a network after its default layer; None if it has another head.

    Parameters
    ----------
    model : ImageModel
        The network, in float32.
    images : Tensor, (N, C, H, W)
        Images for which the scores of the formula are compared with those of the network.
    """
    try:
        layer = model.default_layer()
        return _head_after(model, layer, images) if model.is_bottleneck(layer) else None
    except (ValueError, RuntimeError):
        # No spatial layer, or a network that takes one image at a time.
        return None


def _head_after(model: ImageModel, layer: str, images: Tensor) -> LinearHead | None:
    """Return the linear head after a layer; None if the scores are not those of its formula."""
    activation = model.activations(images, layer)[layer]
    maps = model.spatial(layer, activation)
    blank = torch.zeros_like(activation[:1])
    none = model.forward_from(layer, blank)
    channels = maps.shape[1]
    rows = []
    for start in range(0, channels, BATCH):
        chosen = torch.arange(start, min(start + BATCH, channels), device=maps.device)
        units = maps.new_zeros(len(chosen), *maps.shape[1:])
        units[torch.arange(len(chosen), device=maps.device), chosen] = 1
        repeated = blank.expand(len(chosen), *blank.shape[1:])
        rows.append(model.forward_from(layer, model.with_spatial(layer, repeated, units)) - none)
    weights = torch.cat(rows).T
    scores = model(images)
    for relu in (False, True):
        means = (maps.relu() if relu else maps).mean((2, 3))
        scale = means.abs() @ weights.abs().T + none.abs() + scores.abs()
        if bool(((means @ weights.T + none - scores).abs() <= ROUNDING * scale).all()):
            return LinearHead(layer, weights.float().cpu(), relu)
    return None
