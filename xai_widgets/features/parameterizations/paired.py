"""Images in two halves that start alike, to compare what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from xai_widgets.features.parameterizations.base import (
    Drawing,
    Parameterization,
    Shape,
    check_parameterization,
)


@dataclass(frozen=True)
class Paired(Parameterization):
    """The second half of the images starts as the first one.

    Parameters
    ----------
    of : Parameterization
        The parameterization of all images.
    """

    of: Parameterization

    def __post_init__(self) -> None:
        check_parameterization(self.of)

    @property
    def learning_rate(self) -> float:  # type: ignore[override]
        """Learning rate of the parameterization of the images."""
        return self.of.learning_rate

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random images whose second half is the first one."""
        if shape[0] % 2:
            raise ValueError(f"expected an even number of images, got {shape[0]}")
        half = shape[0] // 2
        drawing = self.of.start((half, *shape[1:]), generator=generator, device=device)
        alike = tuple(torch.cat([each, each]) for each in drawing.variables)

        def both(function: Callable[[Sequence[Tensor]], Tensor], variables: Sequence[Tensor]) -> Tensor:
            halves = [each[:half] for each in variables], [each[half:] for each in variables]
            return torch.cat([function(part) for part in halves])

        penalty = None if drawing.penalty is None else partial(both, drawing.penalty)
        return Drawing(alike, partial(both, drawing.draw), penalty)

    def start_from(self, images: Tensor) -> Drawing:
        """Return a drawing of given images (N, C, H, W) in [0, 1]."""
        return self.of.start_from(images)
