"""Compositional pattern-producing networks: colors as a function of the position (Stanley 2007).

A small network maps the position p of a pixel, both coordinates from -sqrt(3) to sqrt(3), to its color. Its weights are
the variables (Mordvintsev, Pezzotti, Schubert and Olah 2018):

    h_0 = p,   h_l+1 = a(W_l h_l),   y = W_L h_L,   x = sigmoid(M y),   a(u) = (atan(u) / 0.67, atan(u)^2 / 0.6)

The image is smooth, has no pixels, and may be drawn in any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xai_widgets.core.validation import check_fields, integer
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, Shape
from xai_widgets.features.parameterizations.colors import Colors, check_colors, to_colors

#: Divisors that give atan(u) and its square, of u of a normal distribution, a mean square of about 1.
SCALES = (0.67, 0.6)


@dataclass(frozen=True)
class CPPN(Parameterization):
    """Variables are the weights of a network from positions to colors, (N, inputs, outputs) of each layer.

    Parameters
    ----------
    width : int, default 24
        Units of a hidden layer.
    depth : int, default 7
        Number of hidden layers. More of them make finer images.
    colors : {"decorrelated", "independent"}, default "decorrelated"
        See :func:`~xai_widgets.features.parameterizations.colors.to_colors`.
    """

    width: int = 24
    depth: int = 7
    colors: Colors = "decorrelated"

    learning_rate: ClassVar[float] = 0.005

    def __post_init__(self) -> None:
        check_colors(self.colors)
        check_fields(self, integer, "width", "depth", low=1)

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random networks; the last layer is 0, so that the images are gray."""
        n, channels, height, width = shape
        sizes = [(2, self.width)] + [(2 * self.width, self.width)] * (self.depth - 1)
        weights = [
            (torch.randn(n, *size, generator=generator) / math.sqrt(size[0])).to(device) for size in sizes
        ]
        weights.append(torch.zeros(n, 2 * self.width, channels, device=device))
        p = positions(height, width).to(device)

        def draw(variables: Sequence[Tensor]) -> Tensor:
            h = p.expand(n, -1, -1)
            for weight in variables[:-1]:
                u = (h @ weight).atan()
                h = torch.cat([u / SCALES[0], u.square() / SCALES[1]], 2)
            y = (h @ variables[-1]).mT.reshape(shape)
            return to_colors(y, self.colors)

        return Drawing(tuple(weights), draw)


def positions(height: int, width: int) -> Tensor:
    """Return the positions (right, down) of pixels, (H W, 2), of variance 1 each."""
    rows, columns = (
        (2 * torch.arange(extent) + 1 - extent) / extent * math.sqrt(3) for extent in (height, width)
    )
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=2).flatten(0, 1)
