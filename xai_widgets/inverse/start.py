"""The value that an inverse begins with in place of a class: a unit, a channel, a position, or a box of an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, integers, tensor
from xai_widgets.errors import unknown_name
from xai_widgets.inverse.chain import Chain, norms

#: A unit with a tensor between 0 and its output, or with a channel and a position, (row, column); None for all.
Start = tuple[str, Tensor] | tuple[str, int | None, tuple[int, int] | None]

#: The top, left, height and width of a part of an output.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, repr=False)
class Goal(ShortRepr):
    """The value that is inverted, at the output of a unit.

    Attributes
    ----------
    index : int
        The unit.
    value : Tensor, (N, ...)
        The value.
    activation : Tensor, (N, ...), or None
        The activation that the value is a part of; None if it is the whole activation, or for a class.
    """

    index: int
    value: Tensor
    activation: Tensor | None = None

    def norms(self, y_bar: Tensor, y: Tensor, image: Tensor) -> Tensor:
        """Return the norm to which a target is scaled, (B,).

        For a class or a whole activation it is the norm of the forward activation (algorithm 2, line 3). A part keeps
        its own: scaled to the whole norm, a channel, a position or a box would be brighter than it ever was, and the
        inverse would spread over the image.

        Parameters
        ----------
        y_bar : Tensor, (N, ...)
            The forward activation.
        y : Tensor, (B, ...)
            The target.
        image : Tensor, (B,)
            The image of each element.
        """
        if self.activation is None:
            return norms(y_bar)[image]
        part = (self.value != self.activation).flatten(1).any(1)
        return torch.where(part[image], norms(y), norms(y_bar)[image])


def goal_from_start(start: Any, chain: Chain) -> Goal:
    """Return the part of the output of a unit to invert.

    Raises
    ------
    TypeError
        For a start of another form.
    ValueError
        For an unknown unit, with the nearest one, a tensor of another shape, or a channel or position outside the
        output of the unit.
    """
    if not (isinstance(start, tuple) and len(start) in (2, 3) and isinstance(start[0], str)):
        given = type(start).__name__ if not isinstance(start, tuple) else f"a tuple of {len(start)}"
        raise TypeError(
            "expected start as a pair (name of a unit, activation), or as (name of a unit, channel, position), got "
            f"{given}; use None for all channels or positions"
        )
    names = [unit.name for unit in chain.units]
    if start[0] not in names:
        raise ValueError(unknown_name("unit", start[0], names))
    index = names.index(start[0])
    activation = [*chain.inputs[1:], chain.output][index]
    if len(start) == 2:
        shape = tuple(activation.shape)
        value = tensor(start[1], f"start at {start[0]!r}", shape, finite=True, like=activation).clone()
    else:
        value = activation * _selected(activation, *start)
    return Goal(index, value, activation)


def _selected(activation: Tensor, name: str, channel: int | None, position: Any) -> Tensor:
    """Return a mask, (1, C, ...), of a channel and a position of an activation (N, C, ...)."""
    mask = torch.zeros_like(activation[:1], dtype=torch.bool)
    if channel is not None:
        channel = integer(
            channel, "the channel of start", low=0, high=mask.shape[1] - 1, hint=f"the channels of {name!r}"
        )
    channels = slice(None) if channel is None else slice(channel, channel + 1)
    if position is None:
        mask[:, channels] = True
        return mask
    if mask.ndim != 4:
        raise ValueError(
            f"expected a unit with output (C, h, w) for a position, got {name!r} with "
            f"{tuple(mask.shape[1:])}; use None for the position"
        )
    row, column = integers(position, "the position of start", length=2, low=0)
    if row >= mask.shape[2] or column >= mask.shape[3]:
        raise ValueError(
            f"expected the position of start within {mask.shape[2]} x {mask.shape[3]}, the output of {name!r}, got "
            f"{(row, column)}"
        )
    mask[:, channels, row, column] = True
    return mask


def goal_from_box(box: Sequence[int], chain: Chain) -> Goal:
    """Return the part of the output of a network in a box (top, left, height, width), 0 outside of it.

    Raises
    ------
    TypeError, ValueError
        For a network whose output is not an image, or a box that is not four integers inside of it.
    """
    output = chain.output
    if output.ndim != 4:
        raise ValueError(
            f"expected a network with output (C, h, w) for a box, got one with {tuple(output.shape[1:])}; use `start` "
            "with a unit, a channel and a position"
        )
    top, left, height, width = integers(box, "box", length=4, low=0)
    if not (0 < height <= output.shape[2] - top and 0 < width <= output.shape[3] - left):
        raise ValueError(
            f"expected box as (top, left, height, width) within the output of {output.shape[2]} x "
            f"{output.shape[3]}, got {(top, left, height, width)}"
        )
    value = torch.zeros_like(output)
    inside = (..., slice(top, top + height), slice(left, left + width))
    value[inside] = output[inside]
    return Goal(len(chain.units) - 1, value, output)
