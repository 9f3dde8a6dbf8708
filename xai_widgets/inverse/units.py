"""A network as a chain of units, each with activations of at least 0 at both ends.

Section 5.2: y = (phi_1 ... phi_n)(x). The chain is read off the calls of a pass (:mod:`xai_widgets.tracing`): a unit
ends at a tensor that everything passes through and that cannot be negative. So a convolution with its ReLU is a unit,
a max-pool is one, and residual, inception and dense blocks are, as wholes, since their ends are at least 0.
Normalization belongs to the first unit: it begins with the image in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import device_of
from xai_widgets.core.guard import guarded
from xai_widgets.core.model import ImageModel
from xai_widgets.core.replica import unwrapped
from xai_widgets.core.validation import tensor
from xai_widgets.errors import checked_keywords, unknown_name
from xai_widgets.inverse.signs import (
    AVERAGES,
    CONVOLUTIONS,
    PERMUTATIONS,
    POOLS,
    RESHAPES,
    Signs,
    is_linear,
    is_pad,
    weighs,
)
from xai_widgets.tracing import Call, Scope, Trace, Untraceable, Value, trace, used_last

#: "scores" is the last one, "reshape" moves values without changing them.
Kind = Literal["convolution", "linear", "pool", "reshape", "average", "scores"]

#: Sides of the images on which a plain module is tried, in pixels.
SIDES = (64, 224, 32, 96, 128, 256, 299, 384, 28, 16, 8)
#: A unit with this many weighted operations in a row, and half of those of the network, dominates it.
DEEP = 3


@dataclass(frozen=True)
class Unit:
    """A part of the network with activations of at least 0 at its ends.

    Attributes
    ----------
    name : str
        The layer that it ends with, or the block that it is; "relu:1" is the second call of "relu".
    kind : {"convolution", "linear", "pool", "reshape", "average", "scores"}
        How it is inverted; a block is a "convolution".
    run : callable
        From its input (B, ...) to its output; gradients flow.
    bias : bool
        Whether something is added on the way, so that its output is not proportional to its input.
    relu : bool
        Whether it ends with a ReLU.
    before_relu : callable
        The unit without that ReLU.
    affine : bool
        Whether ``before_relu`` is a matrix and a bias; not so for a block with a ReLU or a max-pool inside.
    depth : int
        The number of weighted operations, such as convolutions, on its longest path.
    """

    name: str
    kind: Kind
    run: Callable[[Tensor], Tensor]
    bias: bool
    relu: bool
    before_relu: Callable[[Tensor], Tensor]
    affine: bool
    depth: int = 0


@checked_keywords
@guarded
def find_units(model: ImageModel | nn.Module, x: Tensor | None = None) -> list[Unit]:
    """Return the chain of units of a network, from the image to the output.

    Parameters
    ----------
    model : ImageModel or nn.Module
        A classifier, or a network from images in [0, 1] to images. A network in another precision than float32 is
        taken as a copy in float32, which does not follow later changes of its parameters.
    x : Tensor, (N, C, H, W), optional
        Images in [0, 1] of the size that the units are for; the first one is passed through the network. Default:
        noise of the size of an ImageModel; for a plain module of a size that it takes.

    Returns
    -------
    list of Unit
        In the order in which they run.

    Raises
    ------
    TypeError
        For what is no network.
    ValueError
        For a network whose pass cannot be replayed, that is a single unit, or that has an activation that can be
        negative, with the reason.
    """
    check_network(model)
    x = None if x is None else tensor(x, "x", ("N", "C", "H", "W"), finite=True)
    name = model.name if isinstance(model, ImageModel) else type(unwrapped(model)).__name__
    traced = _traced(model, name, x)
    if not isinstance(traced.output, Value):
        raise ValueError(
            f"{name} returns {type(traced.output).__name__}, wanted a network that returns one tensor"
        )
    signs = Signs(traced, image=not isinstance(model, ImageModel) or bool((model.mean <= 0).all()))
    for index, call in enumerate(traced.calls):
        title = signs.negative(index)
        if title:
            raise ValueError(
                f"{name} has {title} in {call.layer!r}, whose output can be negative, wanted activations of at least "
                "0, such as those of ReLU"
            )
    ends = [*_ends(traced, signs), traced.output]
    made = [_unit(traced, signs, begin, end) for begin, end in pairwise(ends)]
    if len(made) == 1 and made[0].depth > 1:
        raise ValueError(
            "expected a network with activations of at least 0 that everything passes through, got "
            f"{name}: a single unit of {made[0].depth} weighted operations"
        )
    if isinstance(model, ImageModel):
        made[0] = replace(
            made[0],
            run=_normalized(model, made[0].run),
            before_relu=_normalized(model, made[0].before_relu),
            bias=True,
        )
    return _told_apart(made)


def check_network(model: object) -> None:
    """Refuse anything that is no network; TypeError."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}, wanted an ImageModel or a torch module")


def units_after(units: Sequence[Unit], until: str | None) -> int:
    """How many units lie between the output and the output of the unit ``until``; all of them for None, the image."""
    names = [unit.name for unit in units]
    if until is None:
        return len(names)
    if not isinstance(until, str) or until not in names[:-1]:
        raise ValueError(unknown_name("unit", until, names[:-1]))
    return len(names) - 1 - names.index(until)


def dominating(units: Sequence[Unit]) -> Unit | None:
    """Return the unit that spans most of the network, such as a U-Net with its skips; None where there is none."""
    deepest = max(units, key=lambda unit: unit.depth)
    return (
        deepest if deepest.depth >= DEEP and 2 * deepest.depth >= sum(unit.depth for unit in units) else None
    )


def _traced(model: ImageModel | nn.Module, name: str, x: Tensor | None) -> Trace:
    """Return the trace of a network; ValueError, with the reason, for one that has none."""
    failure: Exception | None = None
    for given in _examples(model) if x is None else [x[:1]]:
        try:
            if isinstance(model, ImageModel):
                return trace(model.module, (given - model.mean) / model.std, model._pick)
            return trace(model, given)
        except Untraceable as error:
            raise ValueError(
                f"expected a network whose pass can be replayed on other activations, got {name}: {error}"
            ) from error
        except Exception as error:  # a network may raise whatever it likes
            failure = failure or error
    reason = str(failure).strip().partition("\n")[0].rstrip(".") or type(failure).__name__
    raise ValueError(
        f"expected images that {name} takes in float32, got an error from its pass ({reason}); pass images of its size "
        "as x"
    ) from failure


def _examples(model: ImageModel | nn.Module) -> list[Tensor]:
    """Return an image of noise for each size that a network may take."""
    device = device_of(model)
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, ImageModel):
        shapes = [(model.channels, *model.size)]
    else:
        first = next((part for part in model.modules() if isinstance(part, nn.modules.conv._ConvNd)), None)
        channels = 3 if first is None else first.in_channels
        shapes = [(channels, side, side) for side in SIDES]
    return [torch.rand(1, *shape, generator=generator).to(device) for shape in shapes]


def _ends(traced: Trace, signs: Signs) -> list[Value]:
    """Return the tensors that everything passes through and that are at least 0; the image is the first."""
    last = used_last(traced)
    ends, open_until = [], 0
    for index, call in enumerate(traced.calls):
        if not call.depends:
            continue
        # Nothing made before is used after this call, but by way of it; the output is an end anyway.
        whole = open_until <= index < len(traced.calls) and last[index] < len(traced.calls)
        if whole and signs.ends(index):
            ends.append(Value(index))
        open_until = max(open_until, last[index])
    return ends


def _unit(traced: Trace, signs: Signs, begin: Value, end: Value) -> Unit:
    indices = [index for index in range(begin.call + 1, end.call + 1) if traced.calls[index].depends]
    calls = [traced.calls[index] for index in indices]
    rectified = signs.rectified(end.call) if indices else None
    kind = _kind(calls, last=end == traced.output and rectified is None)
    run = traced.segment(begin, end)
    return Unit(
        name=_layer(traced, indices, end),
        kind=kind,
        run=run,
        bias=kind not in ("pool", "reshape", "average"),
        relu=rectified is not None,
        before_relu=run if rectified is None else traced.segment(begin, rectified),
        affine=all(
            is_linear(traced, index) for index in indices if rectified is None or index <= rectified.call
        ),
        depth=_depth(traced, indices),
    )


def _kind(calls: list[Call], *, last: bool) -> Kind:
    working = [call for call in calls if call.name not in RESHAPES]
    unpadded = [call.name for call in working if not is_pad(call)]
    if last:
        return "scores"
    if all(call.name in PERMUTATIONS for call in working):
        return "reshape"
    if len(unpadded) == 1 and unpadded[0] in POOLS:
        return "pool"
    if unpadded and all(name in AVERAGES for name in unpadded):
        return "average"
    if any(call.name == "linear" for call in working) and not any(
        call.name in CONVOLUTIONS for call in working
    ):
        return "linear"
    return "convolution"


def _depth(traced: Trace, indices: list[int]) -> int:
    """Return the number of weighted operations on the longest path through some calls."""
    depth: dict[int, int] = {}
    for index in indices:
        before = [depth.get(value.call, 0) for value in traced.calls[index].values()]
        depth[index] = max(before, default=0) + weighs(traced.calls[index])
    return max(depth.values(), default=0)


def _layer(traced: Trace, indices: list[int], end: Value) -> str:
    """Return the outermost layer in which just these calls are made, else the layer that returns their result."""
    scopes = traced.calls[end.call].scopes
    scope: Scope | None = next((each for each in scopes if traced.made_in(each) == indices), None)
    scope = scope or traced.returned.get(end)
    if scope is not None:
        return scope.name
    call = traced.calls[end.call]
    alike = [each for each in traced.calls[: end.call] if each.name == call.name and each.scopes == scopes]
    number = f"{call.name}_{len(alike)}" if alike else call.name
    return f"{scopes[-1].name}.{number}" if scopes else number


def _told_apart(units: list[Unit]) -> list[Unit]:
    """Return units with names of their own: a function may be called like a layer."""
    names = [unit.name for unit in units]
    return [
        replace(unit, name=f"{unit.name}#{names[:index].count(unit.name)}")
        if unit.name in names[:index]
        else unit
        for index, unit in enumerate(units)
    ]


def _normalized(model: ImageModel, run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: run((x - model.mean) / model.std)
