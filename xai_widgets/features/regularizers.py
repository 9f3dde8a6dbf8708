"""Regularizers of images: penalties R(x), (N,), that an optimization keeps small.

With x the pixels in [0, 1] of an image of C channels and H W pixels, and y = x - 1/2, which is 0 for middle gray:

    alpha norm         sum |y|^alpha / (C H W)                                    Mahendran and Vedaldi 2015, equation 4
    total variation    sum_ij ((x_i,j+1 - x_ij)^2 + (x_i+1,j - x_ij)^2)^(beta/2) / (C H W)     the same, equation 5
    L2                 sum y^2 / (C H W)                        Simonyan et al. 2014; Fong 2020, equation 2.9

The published sums are divided by the number of values, so that a weight suits images of any size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from xai_widgets.core.validation import check_fields, number

#: Maps images (N, C, H, W) in [0, 1] to penalties (N,), with gradients.
Regularizer: TypeAlias = Callable[[Tensor], Tensor]

#: Color without a penalty.
GRAY = 0.5
#: Added to squared differences below an exponent of 1, whose gradient would be infinite at 0.
EPSILON = 1e-8


@dataclass(frozen=True)
class AlphaNorm:
    """Mean of |x - 1/2|^alpha, which keeps pixels from the ends of their range.

    Parameters
    ----------
    weight : float
        Factor, at least 0.
    alpha : float, default 6
        Exponent, at least 1. A high one leaves all pixels alone but the extreme ones.
    """

    weight: float
    alpha: float = 6.0

    def __post_init__(self) -> None:
        check_fields(self, number, "weight", low=0)
        check_fields(self, number, "alpha", low=1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the weighted penalties of images, (N,)."""
        return self.weight * (x - GRAY).abs().pow(self.alpha).mean((1, 2, 3))


@dataclass(frozen=True)
class TotalVariation:
    """Mean of the squared differences to the right and lower neighbor, to the power beta / 2, which makes x smooth.

    Parameters
    ----------
    weight : float
        Factor, at least 0.
    beta : float, default 2
        Exponent, above 0. With 1 edges stay sharp; above it they are spread.
    """

    weight: float
    beta: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, number, "weight", low=0)
        check_fields(self, number, "beta", above=0)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the weighted penalties of images, (N,)."""
        # The last row and column have no neighbor, so that their difference is 0.
        down = x.diff(dim=2, append=x[:, :, -1:])
        right = x.diff(dim=3, append=x[:, :, :, -1:])
        squares = down.square() + right.square()
        if self.beta < 2:
            squares = squares + EPSILON
        return self.weight * squares.pow(self.beta / 2).mean((1, 2, 3))


@dataclass(frozen=True)
class L2:
    """Mean of (x - 1/2)^2.

    Parameters
    ----------
    weight : float
        Factor, at least 0.
    """

    weight: float

    def __post_init__(self) -> None:
        check_fields(self, number, "weight", low=0)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the weighted penalties of images, (N,)."""
        return self.weight * (x - GRAY).square().mean((1, 2, 3))
