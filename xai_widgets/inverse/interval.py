"""The values between which an inverse is searched: from nothing to the activation of the forward pass."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import choice

#: Colors of a pixel of which nothing is left.
Empty = Literal["mean", "black"]


class Interval:
    """The values between an empty activation and the given one, x = m + s z with 0 <= z <= |x_bar - m|.

    For activations m = 0. Those of ReLU are at least 0, so that x = z; those of SiLU and others keep their sign s. An
    image has no inactive value, so its empty color m is chosen.

    Parameters
    ----------
    x_bar : Tensor, (N, ...)
        The activation.
    empty : Tensor, (1, ...), or None
        The empty activation m; 0 for None.
    """

    def __init__(self, x_bar: Tensor, empty: Tensor | None) -> None:
        self._empty = empty
        difference = x_bar if empty is None else x_bar - empty
        signed = empty is not None or bool((x_bar < 0).any())
        #: The sign s, (N, ...); None if it is never negative.
        self._sign = difference.sign() if signed else None
        #: The upper bound of z, (N, ...).
        self.upper = difference.abs() if signed else difference

    def x(self, z: Tensor, index: Tensor) -> Tensor:
        """Return x, (B, ...), for z of the images with an index, (B,)."""
        kept = self.direction(z, index)
        return kept if self._empty is None else self._empty + kept

    def direction(self, z: Tensor, index: Tensor) -> Tensor:
        """Return x - m, (B, ...), for z of the images with an index, (B,)."""
        return z if self._sign is None else self._sign[index] * z

    def z(self, x: Tensor) -> Tensor:
        """Return the nearest z, (N, ...), of values of all images."""
        if self._sign is None:
            return x
        difference = x if self._empty is None else x - self._empty
        return (self._sign * difference).clamp(min=0).minimum(self.upper)


def empty_color(model: ImageModel | nn.Module, image: Tensor, empty: Empty | None) -> Tensor:
    """Return the color of a pixel of which nothing is left, (C,).

    Parameters
    ----------
    model : ImageModel or nn.Module
        The network.
    image : Tensor, (N, C, H, W)
        The images.
    empty : {"mean", "black"} or None
        The mean color, which a network with normalized inputs sees as zeros, or black. Default: the mean color of an
        ImageModel; black for a plain module, which has none.
    """
    if empty is None:
        empty = "mean" if isinstance(model, ImageModel) else "black"
    choice(empty, "empty", get_args(Empty))
    if empty == "black":
        return image.new_zeros(image.shape[1])
    if not isinstance(model, ImageModel):
        raise ValueError("expected an ImageModel for empty='mean', got a plain module; use empty='black'")
    return model.mean.flatten().to(image)
