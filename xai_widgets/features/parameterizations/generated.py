"""Images drawn by a generator network, whose code is the variable: DGN-AM (Nguyen et al. 2016).

Fong 2020, equation 2.13, with f the objective, Phi the network, G a generator that is not changed, and z its code:

    z* = argmax_z  f(Phi(G(z))) - lambda |z|^2,   x = G(z)

G draws only images like those of its training, which is a strong prior: an image that it cannot draw is never found.
With z standardized, |z|^2 is small for codes that are common.

:func:`~xai_widgets.features.feature_generator` trains a generator for a network; any other one is accepted, too. The
source clips its codes to the range of the activations; here lambda |z|^2 alone keeps them small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.replica import replica
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_fields, instance, integer, integers, number, numbers
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, Shape

#: Share of the values of the first images that may lie outside their range, which are clipped.
OUTSIDE = 0.1


@dataclass(frozen=True, repr=False)
class Generated(ShortRepr, Parameterization):
    """Variables are the codes z of a generator, (N, ...).

    Parameters
    ----------
    generator : nn.Module
        Maps codes (N, ...) to images (N, C, h, w), which are resized; that of
        :func:`~xai_widgets.features.feature_generator`, or any other one. It runs in eval mode and is not changed.
    weight : float, default 0.005
        lambda, at least 0.
    shape : int or sequence of int, optional
        Shape of the code of an image. Default: ``generator.code_shape``, or that of ``codes``.
    codes : Tensor, optional
        Codes to start from, (N, ...) or (1, ...) for any number of images. Default: random codes.
    std : float, default 0.5
        Standard deviation of random codes, at least 0.
    limits : (float, float), default (0, 1)
        Values of the generator for black and white, such as (-1, 1); values beyond them are clipped.

    Raises
    ------
    ValueError
        At the start, if the code does not fit the generator, or its images do not fit the network or the limits.
    """

    generator: nn.Module
    weight: float = 0.005
    shape: Any = None
    codes: Any = None
    std: float = 0.5
    limits: tuple[float, float] = (0.0, 1.0)

    learning_rate: ClassVar[float] = 0.05

    def __post_init__(self) -> None:
        instance(self.generator, "generator", nn.Module)
        check_fields(self, number, "weight", "std", low=0)
        low, high = numbers(self.limits, "limits", length=2)
        if low >= high:
            raise ValueError(f"expected limits as (black, white), got {(low, high)}; use {(high, low)}")
        if self.codes is not None and (not isinstance(self.codes, Tensor) or self.codes.ndim < 2):
            raise TypeError(f"expected codes as a Tensor of shape (N, ...), got {brief(self.codes)}")
        object.__setattr__(self, "shape", self._code_shape())

    def _code_shape(self) -> tuple[int, ...]:
        own = getattr(self.generator, "code_shape", None) if self.codes is None else self.codes.shape[1:]
        given = own if self.shape is None else self.shape
        if given is None:
            raise ValueError(
                f"expected shape= of the code of {type(self.generator).__name__}, got None; it is an int for vectors"
            )
        one = not isinstance(given, Sequence)
        shape = (integer(given, "shape", low=1),) if one else tuple(integers(given, "shape", low=1))
        if self.codes is not None and shape != tuple(self.codes.shape[1:]):
            raise ValueError(
                f"expected codes of shape (N, {', '.join(map(str, shape))}), got {tuple(self.codes.shape)}"
            )
        return shape

    def start(self, shape: Shape, *, generator: torch.Generator, device: torch.device) -> Drawing:
        """Return a drawing of random codes, or of those that were given."""
        n = shape[0]
        if self.codes is None:
            z = self.std * torch.randn(n, *self.shape, generator=generator)
        elif len(self.codes) in (1, n):
            z = self.codes.detach().float().expand(n, *self.shape)
        else:
            raise ValueError(
                f"expected codes for {n} images, got {len(self.codes)}; one code starts all of them"
            )
        like = next(self.generator.parameters(), None)
        # An own copy of given codes.
        z = z.to(device if like is None else like.device).clone()

        def draw(variables: Sequence[Tensor]) -> Tensor:
            return _resized(self._images(variables[0]).to(device).clamp(0, 1), shape[2:])

        def penalty(variables: Sequence[Tensor]) -> Tensor:
            return self.weight * variables[0].square().flatten(1).sum(1).to(device)

        self._check(z, shape)
        return Drawing((z,), draw, penalty)

    def _images(self, z: Tensor) -> Tensor:
        """Return the images of codes with black at 0 and white at 1, not clipped."""
        like = next(self.generator.parameters(), z)
        images = replica(self.generator, frozen=True)(z.to(like.dtype)).float()
        low, high = self.limits
        return (images - low) / (high - low)

    @torch.no_grad()
    def _check(self, z: Tensor, shape: Shape) -> None:
        """Raise ValueError if the generator does not draw images for the network."""
        name = type(self.generator).__name__
        try:
            images = self._images(z[:1])
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ValueError(
                f"expected a generator of codes of shape {self.shape}, got {name} with the error: {reason}; shape= "
                "names that of its code"
            ) from error
        if images.ndim != 4 or images.shape[:2] != (1, shape[1]):
            raise ValueError(
                f"expected images of shape (N, {shape[1]}, h, w) from {name}, got {tuple(images.shape)} for one code"
            )
        if not images.isfinite().all():
            raise ValueError(f"expected finite images from {name}, got NaN or infinity")
        # Rounding does not count.
        outside = ((images < -1e-3) | (images > 1 + 1e-3)).float().mean().item()
        if outside > OUTSIDE:
            low, high = self.limits
            found = low + (high - low) * images
            raise ValueError(
                f"expected values from {low:g} to {high:g} from {name}, got {found.min():.3g} to {found.max():.3g}; "
                "limits= names those of black and white, such as (-1, 1)"
            )


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
