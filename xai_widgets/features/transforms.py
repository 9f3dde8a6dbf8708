"""Random transforms of images before each pass, so that a visualization does not depend on single pixels.

Olah, Mordvintsev and Schubert 2017: noise that a network responds to does not survive a shift by a few pixels, a scale
or a rotation, while objects do. A transform maps pixels (N, C, H, W) to such pixels, with gradients; its numbers are
drawn from a generator on the CPU and are the same for all images of the batch. Lengths are shares of the short side, so
that a transform suits a network of any input size. Outside of the image it is mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from xai_widgets.core.validation import check_fields, number

#: Maps pixels (N, C, H, W) and a generator to transformed pixels, with gradients.
Transform: TypeAlias = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Jitter:
    """Shift by random whole pixels, in both directions of both dimensions.

    Parameters
    ----------
    extent : float, default 0.07
        Largest shift, from 0 to 1, as a share of the short side: 16 of 224 pixels.
    """

    extent: float = 0.07

    def __post_init__(self) -> None:
        check_fields(self, number, "extent", low=0, high=1)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        height, width = x.shape[2:]
        reach = min(round(self.extent * min(height, width)), min(height, width) - 1)
        down, right = torch.randint(2 * reach + 1, (2,), generator=generator).tolist()
        if not reach:
            return x
        padded = F.pad(x, (reach, reach, reach, reach), mode="reflect")
        return padded[:, :, down : down + height, right : right + width]


@dataclass(frozen=True)
class Scale:
    """Enlarge by a random factor around the middle; the size stays.

    Parameters
    ----------
    low, high : float, default 0.9 and 1.1
        Range of the factor, above 0; its logarithm is uniform.
    """

    low: float = 0.9
    high: float = 1.1

    def __post_init__(self) -> None:
        check_fields(self, number, "low", "high", above=0)
        if self.low > self.high:
            raise ValueError(f"expected low of at most high, got {self.low} and {self.high}")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        factor = math.exp(_uniform(math.log(self.low), math.log(self.high), generator))
        return affine(x, ((1 / factor, 0.0), (0.0, 1 / factor)))


@dataclass(frozen=True)
class Rotation:
    """Rotate by a random angle around the middle; the size stays.

    Parameters
    ----------
    degrees : float, default 10
        Largest angle, to both sides.
    """

    degrees: float = 10.0

    def __post_init__(self) -> None:
        check_fields(self, number, "degrees", low=0)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        angle = math.radians(_uniform(-self.degrees, self.degrees, generator))
        cos, sin = math.cos(angle), math.sin(angle)
        return affine(x, ((cos, -sin), (sin, cos)))


@dataclass(frozen=True)
class Color:
    """Change brightness and contrast of each channel: c (x - 1/2) + 1/2 + b. Values may leave [0, 1].

    Parameters
    ----------
    brightness : float, default 0.1
        Largest |b|.
    contrast : float, default 0.1
        Largest |c - 1|.
    """

    brightness: float = 0.1
    contrast: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self, number, "brightness", "contrast", low=0, high=1)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        draws = 2 * torch.rand(2, x.shape[1], 1, 1, generator=generator).to(x) - 1
        return (1 + self.contrast * draws[0]) * (x - 0.5) + 0.5 + self.brightness * draws[1]


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise, the same to all images. Values may leave [0, 1].

    Parameters
    ----------
    std : float, default 0.05
        Its standard deviation.
    """

    std: float = 0.05

    def __post_init__(self) -> None:
        check_fields(self, number, "std", low=0)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        return x + self.std * torch.randn(x.shape[1:], generator=generator).to(x)


@dataclass(frozen=True)
class Crop:
    """Cut a random rectangle of the same aspect ratio, which the visualization resizes to the network's input.

    Parameters
    ----------
    low, high : float, default 0.5 and 1
        Range of the share of the sides, above 0, at most 1.
    """

    low: float = 0.5
    high: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, number, "low", "high", above=0, high=1)
        if self.low > self.high:
            raise ValueError(f"expected low of at most high, got {self.low} and {self.high}")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        share = _uniform(self.low, self.high, generator)
        sizes = [max(1, round(share * extent)) for extent in x.shape[2:]]
        top, left = (
            int(torch.randint(extent - size + 1, (), generator=generator))
            for extent, size in zip(x.shape[2:], sizes, strict=True)
        )
        return x[:, :, top : top + sizes[0], left : left + sizes[1]]


@dataclass(frozen=True)
class Compose:
    """Apply transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callable
        Transforms; none leaves images as they are.
    """

    transforms: Sequence[Transform] = ()

    def __post_init__(self) -> None:
        given: Any = self.transforms
        steps = (given,) if callable(given) else tuple(given)
        for step in steps:
            if not callable(step):
                raise TypeError(f"expected transforms as callables, got {type(step).__name__}")
        object.__setattr__(self, "transforms", steps)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the transformed pixels."""
        for transform in self.transforms:
            x = transform(x, generator)
        return x


def affine(x: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Return images sampled at M (p - middle) + middle for each pixel p = (right, down), bilinear, mirrored outside.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images.
    matrix : (2, 2)
        M, from pixels of the result to pixels of the images.
    """
    height, width = x.shape[2:]
    (a, b), (c, d) = matrix
    # torch measures both dimensions from -1 to 1.
    rows = [[a, b * height / width, 0.0], [c * width / height, d, 0.0]]
    theta = torch.tensor(rows, dtype=x.dtype, device=x.device).expand(len(x), 2, 3)
    points = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, points, padding_mode="reflection", align_corners=False)


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


#: Crops, noise and colors, as in Fel, Boissin et al. 2023: objects of any size that do not depend on fine ripples.
ROBUST = (Crop(0.4, 1.0), Rotation(10), Jitter(0.05), Noise(0.08), Color(0.1, 0.2))
#: Jitter, scale, rotation and once more jitter, after the interpolation: positions stay about the same.
STEADY = (Jitter(0.1), Scale(0.8, 1.25), Rotation(10), Jitter(0.05))
