"""Images whose pixels are the variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.validation import check_fields, number
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, Shape
from xai_widgets.features.parameterizations.colors import Colors, check_colors, from_colors, to_colors


@dataclass(frozen=True)
class Pixels(Parameterization):
    """One variable per pixel and channel: x = sigmoid(M theta).

    Parameters
    ----------
    colors : {"independent", "decorrelated"}, default "independent"
        See :func:`~xai_widgets.features.parameterizations.colors.to_colors`.
    std : float, default 0.1
        Standard deviation of the variables at the start.
    """

    colors: Colors = "independent"
    std: float = 0.1

    def __post_init__(self) -> None:
        check_colors(self.colors)
        check_fields(self, number, "std", low=0)

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random images of this shape."""
        return self._drawing(self.std * torch.randn(shape, generator=generator).to(device))

    def start_from(self, images: Tensor) -> Drawing:
        """Return a drawing of given images (N, C, H, W) in [0, 1]."""
        return self._drawing(from_colors(images, self.colors))

    def _drawing(self, y: Tensor) -> Drawing:
        def draw(variables: Sequence[Tensor]) -> Tensor:
            return to_colors(variables[0], self.colors)

        return Drawing((y,), draw)
