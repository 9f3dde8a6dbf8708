"""MACO: the magnitudes of the spectrum are those of photographs, and its phases are the variables.

Fel, Boissin et al. 2023, section 4, with r the mean magnitudes of the decorrelated colors of photographs, and F^-1 the
inverse
Fourier transform:

    y = F^-1(r e^(i phi)),   x = sigmoid(M y),   phi* = argmax f(x)

No frequency can grow, so that the noise of activation maximization in deep networks has no room. The phases of
coefficients that are conjugates of each other in a real image, those of the first column and, of an even width, the
last one, are made odd, so that |F(y)| = r holds exactly. The mean of y is 0.

The paper draws the images with an opacity, the sum over the steps of |df / dx|; here it is
:meth:`~xai_widgets.features.Visualization.opacity`, for any parameterization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.images import to_images
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.data.photos import photograph
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, Shape
from xai_widgets.features.parameterizations.colors import Colors, check_colors, from_colors, to_colors

#: Color photographs of scikit-image that show what a camera sees at arm's length or farther.
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket")
#: Values of black and white when magnitudes are measured.
RANGE = (0.1, 0.9)
#: Crops of each photograph whose magnitudes are averaged.
CROPS = 24
#: Smallest side of a crop, as a share of the short side of the photograph.
SMALLEST = 0.4


@dataclass(frozen=True, repr=False)
class MagnitudeConstrained(ShortRepr, Parameterization):
    """Variables are the phases of the Fourier coefficients, (N, C, H, W // 2 + 1).

    Parameters
    ----------
    colors : {"decorrelated", "independent"}, default "decorrelated"
        See :func:`~xai_widgets.features.parameterizations.colors.to_colors`.
    images : optional
        Tensor (M, C, h, w) in [0, 1] of photographs with the channels of the network. Default: random crops of color
        photographs of scikit-image, for which the extra ``images`` is needed.

    Raises
    ------
    ValueError
        At the start, if the network has other channels than three and no images are given.
    """

    colors: Colors = "decorrelated"
    images: Any = field(default=None)

    learning_rate: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        check_colors(self.colors)

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random phases."""
        n, channels, height, width = shape
        magnitude = self.magnitude(channels, (height, width)).to(device)
        phases = torch.randn(n, channels, height, width // 2 + 1, generator=generator).to(device)

        def draw(variables: Sequence[Tensor]) -> Tensor:
            return to_colors(from_phases(magnitude, variables[0], width), self.colors)

        return Drawing((phases,), draw)

    def magnitude(self, channels: int, size: tuple[int, int]) -> Tensor:
        """Return r, (C, H, W // 2 + 1), of an orthonormal Fourier transform."""
        if self.images is not None:
            photographs = torch.as_tensor(self.images).float()
            if photographs.ndim != 4 or photographs.shape[1] != channels:
                raise ValueError(
                    f"expected images of shape (M, {channels}, h, w), got {tuple(photographs.shape)}"
                )
            return mean_magnitude(
                F.interpolate(photographs, size, mode="bilinear", antialias=True), self.colors
            )
        if channels != 3:
            raise ValueError(
                f"expected images= with {channels} channels for their magnitudes, got None; photographs have 3"
            )
        return natural_magnitude(size, self.colors)


def from_phases(magnitude: Tensor, phases: Tensor, width: int) -> Tensor:
    """Return real values (N, C, H, W) with the given magnitudes and phases (N, C, H, W // 2 + 1), mean 0."""
    spectrum = torch.polar(magnitude.expand_as(phases), odd(phases, width))
    return torch.fft.irfft2(spectrum, s=(phases.shape[2], width), norm="ortho")


def odd(phases: Tensor, width: int) -> Tensor:
    """Return phases (N, C, H, W // 2 + 1) that are odd, as in the spectrum of real values.

    The coefficients (k, 0) and (-k, 0) are conjugates of each other, and (k, W / 2) and (-k, W / 2).
    """
    mirrored = phases.flip(2).roll(1, 2)
    ends = torch.zeros(phases.shape[3], dtype=torch.bool, device=phases.device)
    ends[0] = True
    if width % 2 == 0:
        ends[-1] = True
    return torch.where(ends, (phases - mirrored) / 2, phases)


@lru_cache(maxsize=8)
def natural_magnitude(size: tuple[int, int], colors: Colors) -> Tensor:
    """Return the mean magnitudes of random crops of photographs and their mirror images; the same in every call."""
    rng = np.random.default_rng(0)
    crops = []
    for name in PHOTOGRAPHS:
        x = to_images(photograph(name))
        height, width = x.shape[2:]
        for _ in range(CROPS):
            share = rng.uniform(SMALLEST, 1)
            sides = [max(1, round(share * min(height, width))) for _ in range(2)]
            top, left = (
                int(rng.integers(extent - side + 1))
                for extent, side in zip((height, width), sides, strict=True)
            )
            crop = x[:, :, top : top + sides[0], left : left + sides[1]]
            crops.append(F.interpolate(crop, size, mode="bilinear", antialias=True))
    whole = torch.cat(crops)
    return mean_magnitude(torch.cat([whole, whole.flip(3)]), colors)


def mean_magnitude(x: Tensor, colors: Colors) -> Tensor:
    """Return the mean magnitudes of images in [0, 1], (C, H, W // 2 + 1), without that of the mean.

    The range of the images is reduced, so that black and white do not count as infinitely dark and bright. A window
    hides their borders, whose jumps would fill the axes of the spectrum. The magnitudes are then
    scaled so that values of them have the mean variance of the images.
    """
    y = from_colors(reduced(x), colors)
    y = y - y.mean((2, 3), keepdim=True)
    rows, columns = (torch.hann_window(extent + 2, periodic=False)[1:-1] for extent in y.shape[2:])
    magnitude = torch.fft.rfft2(y * (rows[:, None] * columns).to(y), norm="ortho").abs().mean(0)
    magnitude[:, 0, 0] = 0
    # The coefficients of real values come in pairs of one magnitude.
    mirrored = magnitude.flip(1).roll(1, 1)
    ends = [0, -1] if x.shape[3] % 2 == 0 else [0]
    magnitude[..., ends] = (magnitude[..., ends] + mirrored[..., ends]) / 2
    return (
        magnitude
        * (y.square().mean((0, 2, 3)) / variance(magnitude, x.shape[3]).clamp(min=1e-12)).sqrt()[
            :, None, None
        ]
    )


def reduced(x: Tensor) -> Tensor:
    """Return images with values from RANGE instead of from 0 to 1."""
    return RANGE[0] + (RANGE[1] - RANGE[0]) * x


def variance(magnitude: Tensor, width: int) -> Tensor:
    """Return the variance, (C,), of values of mean 0 with the given magnitudes (C, H, W // 2 + 1)."""
    # Coefficients between the ends stand for their conjugates, too.
    weights = torch.full((magnitude.shape[2],), 2.0, device=magnitude.device)
    weights[[0, -1] if width % 2 == 0 else [0]] = 1
    return (magnitude.square() * weights).sum((1, 2)) / (magnitude.shape[1] * width)
