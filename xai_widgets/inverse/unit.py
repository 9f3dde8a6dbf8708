"""A unit of a network, and the activations at its ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr

#: Kinds of units: "scores" is the last unit, "reshape" moves values without changing them.
Kind = Literal["convolution", "linear", "pool", "reshape", "average", "scores"]


@dataclass(frozen=True)
class Joined:
    """Activations that are joined to one tensor, the one that was computed last at the end.

    Attributes
    ----------
    shapes : tuple of tuple of int
        The shape of each activation, without the batch. A single one is left as it is, for which () stands too.
    """

    shapes: tuple[tuple[int, ...], ...] = ()

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Return activations (B, ...) as one tensor: (B, n) if there are several."""
        return parts[0] if len(parts) == 1 else torch.cat([part.flatten(1) for part in parts], dim=1)

    def split(self, joined: Tensor) -> list[Tensor]:
        """Return the activations (B, ...) in a joined tensor."""
        if len(self.shapes) < 2:
            return [joined]
        parts = joined.split([math.prod(shape) for shape in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


@dataclass(frozen=True, repr=False)
class Unit(ShortRepr):
    """A part of a network with activations at both ends.

    Attributes
    ----------
    name : str
        Name of the last layer of the unit, or of the block; "relu:1" is the second call of "relu".
    kind : {"convolution", "linear", "pool", "reshape", "average", "scores"}
        Kind of the unit, which determines its inverse; a block is a "convolution".
    run : callable
        Function from the input (B, ...) to the output, differentiable.
    bias : bool
        Whether the output is not proportional to the input, as with the bias of a convolution or the shift of a batch
        normalization: run(t x) = t run(x) for all t > 0 does not hold. For the first unit of an ImageModel with mean
        color m, which its network sees as zeros: run(m + t (x - m)) = t run(x).
    relu : bool
        Whether the unit ends with a ReLU.
    before_relu : callable
        The unit without that ReLU.
    affine : bool
        Whether `before_relu` is affine; False for a block that contains a ReLU or a max-pool.
    depth : int
        Number of weighted operations, such as convolutions, on the longest path.
    undivided : str
        For a unit that spans a large part of the network, the layer because of which it is not divided: its output
        crosses the unit and is not an activation.
    inputs, outputs : Joined
        The activations at both ends. Several are joined to one tensor (B, n) for `run` and `before_relu`, for instance
        within a U-Net, where those that skip connections carry are among them.
    passed : tuple of (int, int)
        Indices of inputs that are outputs too, and of these outputs.
    part : callable or None
        Function from indices of outputs to the :class:`Part` that computes them; None if there is one activation at
        both ends.
    """

    name: str
    kind: Kind
    run: Callable[[Tensor], Tensor]
    bias: bool
    relu: bool
    before_relu: Callable[[Tensor], Tensor]
    affine: bool
    depth: int = 0
    undivided: str = field(default="", repr=False)
    inputs: Joined = field(default=Joined(), repr=False)
    outputs: Joined = field(default=Joined(), repr=False)
    passed: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    part: Callable[[Sequence[int]], Part | None] | None = field(default=None, repr=False)


class Part(NamedTuple):
    """The part of a unit that computes some of its outputs.

    Attributes
    ----------
    unit : Unit
        From the inputs that are used to the outputs.
    inputs : tuple of int
        Indices of the inputs that are used.
    outputs : tuple of int
        Indices of the outputs: those that are computed, and the inputs among them that are used, too.
    """

    unit: Unit
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
