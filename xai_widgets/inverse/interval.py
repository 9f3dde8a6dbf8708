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

    The activations between units are at least 0, so m = 0 for them. An image is not: its empty color m is chosen.

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
        self._sign = difference.sign()
        #: The upper bound of z, (N, ...).
        self.upper = x_bar if empty is None else difference.abs()

    def x(self, z: Tensor, index: Tensor) -> Tensor:
        """Return x, (B, ...), for z of the images with an index, (B,)."""
        return z if self._empty is None else self._empty + self.direction(z, index)

    def direction(self, z: Tensor, index: Tensor) -> Tensor:
        """Return x - m, (B, ...), for z of the images with an index, (B,)."""
        return z if self._empty is None else self._sign[index] * z

    def z(self, x: Tensor) -> Tensor:
        """Return the nearest z, (N, ...), of values of all images."""
        if self._empty is None:
            return x
        return (self._sign * (x - self._empty)).clamp(min=0).minimum(self.upper)


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
