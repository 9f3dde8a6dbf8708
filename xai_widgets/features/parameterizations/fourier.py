"""Images whose Fourier coefficients, divided by their frequency, are the variables.

With f the frequency of a coefficient in cycles per pixel, at least that of one cycle per image, and F^-1 the inverse
Fourier transform (Olah, Mordvintsev and Schubert 2017):

    y = F^-1(theta / f^d) / 4,   x = sigmoid(M y)

Photographs have amplitudes of about 1 / f, so that with d = 1 all variables of a photograph are of one size, and a step
of Adam changes low frequencies as much as high ones, relative to their size in photographs. Without it, the high
frequencies come first, as noise. The default d is a little higher: on EfficientNet-Lite0, objects stand out from the
texture more clearly. A high learning rate drives colors to the ends of their range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xai_widgets.core.validation import check_fields, number
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, Shape
from xai_widgets.features.parameterizations.colors import Colors, check_colors, from_colors, to_colors

#: Divisor of the images, which leaves the sigmoid in its linear range after the first steps of Adam.
REDUCTION = 4.0


@dataclass(frozen=True)
class Fourier(Parameterization):
    """Variables are scaled Fourier coefficients, (N, C, H, W // 2 + 1, 2).

    Parameters
    ----------
    colors : {"decorrelated", "independent"}, default "decorrelated"
        See :func:`~xai_widgets.features.parameterizations.colors.to_colors`.
    decay : float, default 1.25
        d, at least 0. A higher one makes smoother images, and larger areas of one color.
    std : float, default 0.01
        Standard deviation of the variables at the start.
    """

    colors: Colors = "decorrelated"
    decay: float = 1.25
    std: float = 0.01

    learning_rate: ClassVar[float] = 0.012

    def __post_init__(self) -> None:
        check_colors(self.colors)
        check_fields(self, number, "decay", "std", low=0)

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random images of this shape."""
        n, channels, height, width = shape
        theta = self.std * torch.randn(n, channels, height, width // 2 + 1, 2, generator=generator)
        return self._drawing(theta.to(device), (height, width))

    def start_from(self, images: Tensor) -> Drawing:
        """Return a drawing of given images (N, C, H, W) in [0, 1]."""
        size = (images.shape[2], images.shape[3])
        spectrum = torch.fft.rfft2(REDUCTION * from_colors(images, self.colors), norm="ortho")
        scale = self._scale(size, images.device)
        return self._drawing(torch.view_as_real(spectrum / scale).contiguous(), size)

    def _scale(self, size: tuple[int, int], device: torch.device) -> Tensor:
        return frequencies(size, device).clamp(min=1 / max(size)) ** -self.decay

    def _drawing(self, theta: Tensor, size: tuple[int, int]) -> Drawing:
        scale = self._scale(size, theta.device)

        def draw(variables: Sequence[Tensor]) -> Tensor:
            spectrum = torch.view_as_complex(variables[0]) * scale
            y = torch.fft.irfft2(spectrum, s=size, norm="ortho") / REDUCTION
            return to_colors(y, self.colors)

        return Drawing((theta,), draw)


def frequencies(size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the frequency of each coefficient of ``torch.fft.rfft2``, (H, W // 2 + 1), in cycles per pixel."""
    rows, columns = torch.fft.fftfreq(size[0], device=device), torch.fft.rfftfreq(size[1], device=device)
    return torch.hypot(rows[:, None], columns[None])
