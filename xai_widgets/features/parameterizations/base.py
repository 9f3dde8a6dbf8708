"""Parameterizations: the variables of an optimization, and the images that are drawn from them.

A parameterization creates a :class:`Drawing`: variables theta, and a function that draws the images x(theta) in [0, 1]
from them, with gradients. The gradient of an objective with respect to theta goes the same direction in another metric,
so that a parameterization decides which of many optima is found. The variables may be pixels, a spectrum, the weights
of a network (deep image prior), or the code of a generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief

#: (N, C, H, W) of the images.
Shape = tuple[int, int, int, int]


@dataclass(frozen=True, repr=False)
class Drawing(ShortRepr):
    """Variables and the images that are drawn from them.

    Attributes
    ----------
    variables : tuple of Tensor, (N, ...)
        theta at the start, of N images that do not depend on each other.
    draw : callable
        Maps such variables to images (N, C, H, W) in [0, 1]; a pure function, with gradients.
    penalty : callable, optional
        Maps variables to a penalty (N,) that is subtracted from the objective, such as the length of a code.
    """

    variables: tuple[Tensor, ...]
    draw: Callable[[Sequence[Tensor]], Tensor]
    penalty: Callable[[Sequence[Tensor]], Tensor] | None = None


class Parameterization(ABC):
    """Creates the variables of images, and draws images from them."""

    #: Learning rate of Adam that suits the variables.
    learning_rate: ClassVar[float] = 0.05

    @abstractmethod
    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random images of this shape; numbers are drawn on the CPU."""

    def start_from(self, images: Tensor) -> Drawing:
        """Return a drawing of given images (N, C, H, W) in [0, 1]; ValueError if it cannot draw any image."""
        raise ValueError(
            f"expected a parameterization that can start from an image, got {type(self).__name__}; try Fourier()"
        )


def check_parameterization(given: Any) -> Parameterization:
    """Return a parameterization; TypeError for anything else."""
    if not isinstance(given, Parameterization):
        raise TypeError(
            f"expected parameterization to be a Parameterization such as Fourier(), got {brief(given)}"
        )
    return given
