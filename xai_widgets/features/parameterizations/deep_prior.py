"""Deep image prior: images drawn by an untrained network from a fixed random input (Ulyanov et al. 2018).

Fong 2020, equations 2.14 and 2.15, with z ~ N(0, 1) fixed and the weights theta of a convolutional network G learned:

    theta* = argmax_theta f(Phi(G(z; theta))),   x = sigmoid(M G(z; theta))

The structure of G alone, convolutions at several scales, makes images smooth and self-similar before it draws noise.
G enlarges z from 1/16 of the size, by two at each level: bilinear enlargement, 3 x 3 convolution, instance norm, leaky
ReLU; the last level is followed by a 1 x 1 convolution to the colors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.validation import check_fields, integer
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, Shape
from xai_widgets.features.parameterizations.colors import Colors, check_colors, to_colors

#: Slope of the leaky ReLU.
SLOPE = 0.2


@dataclass(frozen=True)
class DeepPrior(Parameterization):
    """Variables are the weights of a network for each image.

    Parameters
    ----------
    width : int, default 32
        Channels of z and of all levels but the last two, which have half and a quarter of them.
    levels : int, default 4
        Number of enlargements by two; fewer for images that are smaller than 2 to this power.
    colors : {"decorrelated", "independent"}, default "decorrelated"
        See :func:`~xai_widgets.features.parameterizations.colors.to_colors`.
    """

    width: int = 32
    levels: int = 4
    colors: Colors = "decorrelated"

    learning_rate: ClassVar[float] = 0.01

    def __post_init__(self) -> None:
        check_colors(self.colors)
        check_fields(self, integer, "width", low=4)
        check_fields(self, integer, "levels", low=1)

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random networks with their random inputs."""
        n, channels, height, width = shape
        levels = min(self.levels, int(math.log2(min(height, width))) if min(height, width) > 1 else 0)
        sizes = [(-(-height // 2**k), -(-width // 2**k)) for k in range(levels, -1, -1)]
        widths = [self.width] * max(levels - 1, 1) + [self.width // 2, self.width // 4]
        widths = widths[-(levels + 1) :]
        z = torch.randn(n, widths[0], *sizes[0], generator=generator).to(device)
        weights = [
            (torch.randn(n, after, before, 3, 3, generator=generator) / math.sqrt(9 * before)).to(device)
            for before, after in pairwise(widths)
        ]
        gains = [torch.ones(n, each, device=device) for each in widths[1:]]
        shifts = [torch.zeros(n, each, device=device) for each in widths[1:]]
        last = 0.1 * torch.randn(n, channels, widths[-1], 1, 1, generator=generator).to(device)
        variables = (*weights, *gains, *shifts, last)

        def draw(theta: Sequence[Tensor]) -> Tensor:
            parts = [theta[k * levels : (k + 1) * levels] for k in range(3)]
            h = z
            for size, weight, gain, shift in zip(sizes[1:], *parts, strict=True):
                h = each_convolved(F.interpolate(h, size, mode="bilinear", align_corners=False), weight)
                h = F.instance_norm(h) * gain[:, :, None, None] + shift[:, :, None, None]
                h = F.leaky_relu(h, SLOPE)
            return to_colors(each_convolved(h, theta[-1]), self.colors)

        return Drawing(variables, draw)


def each_convolved(x: Tensor, weights: Tensor) -> Tensor:
    """Convolve each image (N, K, H, W) with weights of its own, (N, L, K, k, k); the size stays."""
    n, width = weights.shape[:2]
    joined = F.conv2d(
        x.reshape(1, -1, *x.shape[2:]), weights.flatten(0, 1), padding=weights.shape[-1] // 2, groups=n
    )
    return joined.view(n, width, *x.shape[2:])
