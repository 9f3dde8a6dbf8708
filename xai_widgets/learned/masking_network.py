"""The network that draws the mask of a class from the features of the network to be explained.

Dabkowski and Gal 2017: a U-Net whose encoder is the explained network, which is never trained. With f_1 to
f_L the outputs of layers from fine to coarse, each divided by its root mean square, and e_c a vector of class c:

    g = sigmoid(e_c . f_L)                              gate at each position: where the class may be
    u_L = relu(A_L f_L) * g
    u_l = relu(B_l [upsampled u_l+1, relu(A_l f_l)])    A 1 x 1, B 3 x 3 convolutions
    a, b = |C u_1|,   M = a / (a + b)                   mask in [0, 1], in the resolution of f_1

The mean of e_c . f_L is the logit of the presence of the class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.layers import last_of_each_grid
from xai_widgets.core.model import ImageModel

#: Largest number of layers.
MOST_SCALES = 4
#: The finest layer has at most this fraction of the image's height, as in the source.
FINEST = 0.25


class MaskingNetwork(nn.Module):
    """Decoder from features to the mask of a class.

    Parameters
    ----------
    channels : sequence of int
        Number of channels of each layer, from fine to coarse.
    classes : int
        Number of classes.
    width : int, default 32
        Number of channels of the decoder.
    """

    def __init__(self, channels: Sequence[int], classes: int, *, width: int = 32) -> None:
        super().__init__()
        self.laterals = nn.ModuleList([nn.Conv2d(count, width, 1) for count in channels])
        self.blocks = nn.ModuleList([nn.Conv2d(2 * width, width, 3, padding=1) for _ in channels[1:]])
        self.selector = nn.Embedding(classes, channels[-1])
        nn.init.normal_(self.selector.weight, std=channels[-1] ** -0.5)
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, features: Sequence[Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the masks (N, h, w) of features, each (N, C, h, w), and the logits of presence (N,)."""
        scaled = [
            each / each.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12) for each in features
        ]
        match = torch.einsum("nchw,nc->nhw", scaled[-1], self.selector(target))
        sides = [lateral(each).relu() for lateral, each in zip(self.laterals, scaled, strict=True)]
        flow = sides[-1] * match.sigmoid()[:, None]
        for block, side in zip(self.blocks, reversed(sides[:-1]), strict=True):
            wide = F.interpolate(flow, side.shape[2:], mode="bilinear", align_corners=False)
            flow = block(torch.cat([wide, side], 1)).relu()
        a, b = self.out(flow).abs().unbind(1)
        return a / (a + b).clamp(min=1e-12), match.mean((1, 2))


def feature_layers(model: ImageModel) -> list[str]:
    """Return the last layer of each resolution, from fine to coarse, that the scores depend on.

    Raises
    ------
    ValueError
        If no layer has positions.
    """
    layers = model.layers()
    last = last_of_each_grid(layers)
    if not last:
        raise ValueError(f"expected a network with a spatial layer, got {model.name}")
    heights = {each.name: each.grid.height for each in layers if each.grid is not None}
    coarse = [name for name in last if heights[name] <= FINEST * model.size[0]] or last[-1:]
    return coarse[:MOST_SCALES]


def features_of(model: ImageModel, x: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """Return the outputs of layers, each (N, C, h, w), for pixels (N, C, H, W)."""
    outputs = model.activations(x, list(layers))
    return [model.spatial(layer, outputs[layer]).float() for layer in layers]
