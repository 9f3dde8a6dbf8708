"""Divide a network into a chain of units with non-negative activations at both ends.

Kwon 2021, section 5.2: y = (phi_1 ... phi_n)(x). The chain is found from the recorded calls of a forward pass
(:mod:`xai_widgets.tracing`). A unit ends at a tensor that is never negative and that every path from the image to the
output passes through. A convolution with its ReLU is a unit, and so are a max-pool and a whole residual, inception or
dense block. The first unit includes the normalization, so its input is the image in [0, 1].
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
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import tensor
from xai_widgets.errors import checked_keywords, unknown_name
from xai_widgets.inverse.signs import (
    AVERAGES,
    CONVOLUTIONS,
    PERMUTATIONS,
    POOLS,
    RESHAPES,
    Signs,
    has_weights,
    is_linear,
    is_pad,
)
from xai_widgets.tracing import Call, Scope, Trace, Untraceable, Value, trace, used_last

#: Kinds of units: "scores" is the last unit, "reshape" moves values without changing them.
Kind = Literal["convolution", "linear", "pool", "reshape", "average", "scores"]

#: Sides in pixels of the images to try on a plain module.
SIDES = (64, 224, 32, 96, 128, 256, 299, 384, 28, 16, 8)
#: A unit dominates a network if it has at least this many weighted operations in a row, and half of all.
DEEP = 3


@dataclass(frozen=True, repr=False)
class Unit(ShortRepr):
    """A part of a network with non-negative activations at both ends.

    Attributes
    ----------
    name : str
        Name of the last layer of the unit, or of the block; "relu:1" is the second call of "relu".
    kind : {"convolution", "linear", "pool", "reshape", "average", "scores"}
        Kind of the unit, which determines its inverse; a block is a "convolution".
    run : callable
        Function from the input (B, ...) to the output, differentiable.
    bias : bool
        Whether the unit can add a bias, so that its output is not proportional to its input.
    relu : bool
        Whether the unit ends with a ReLU.
    before_relu : callable
        The unit without that ReLU.
    affine : bool
        Whether `before_relu` is affine; False for a block that contains a ReLU or a max-pool.
    depth : int
        Number of weighted operations, such as convolutions, on the longest path.
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
    """Divide a network into units, from the image to the output.

    Parameters
    ----------
    model : ImageModel or nn.Module
        A classifier, or a plain module that takes images in [0, 1]. A network whose precision is not float32 is copied
        to float32; the copy does not follow later changes of the parameters.
    x : Tensor, (N, C, H, W), optional
        Images in [0, 1] of the size that the units are for; the first one is passed through the network. Default:
        noise of the size of the ImageModel, or of a size that the plain module accepts.

    Returns
    -------
    list of Unit
        Units in order of execution.

    Raises
    ------
    TypeError
        If `model` is not a module.
    ValueError
        For a network whose forward pass cannot be replayed, that is a single unit, or that has activation functions
        with negative values; the message gives the reason.
    """
    check_network(model)
    x = None if x is None else tensor(x, "x", ("N", "C", "H", "W"), finite=True)
    name = model.name if isinstance(model, ImageModel) else type(unwrapped(model)).__name__
    traced = _traced(model, name, x)
    if not isinstance(traced.output, Value):
        raise ValueError(
            f"expected a network that returns one tensor, got {name}, which returns {type(traced.output).__name__}"
        )
    signs = Signs(traced, image=not isinstance(model, ImageModel) or bool((model.mean <= 0).all()))
    for index, call in enumerate(traced.calls):
        title = signs.negative(index)
        if title:
            raise ValueError(
                f"expected activations of at least 0, such as those of ReLU, got {title} in {call.layer!r} of {name}, "
                "whose output can be negative"
            )
    ends = [*_ends(traced, signs), traced.output]
    units = [_unit(traced, signs, begin, end) for begin, end in pairwise(ends)]
    if len(units) == 1 and units[0].depth > 1:
        raise ValueError(
            "expected a network with non-negative activations that every path passes through, got "
            f"{name}: a single unit of {units[0].depth} weighted operations"
        )
    if isinstance(model, ImageModel):
        first = units[0]
        units[0] = replace(
            first,
            run=_normalized(model, first.run),
            before_relu=_normalized(model, first.before_relu),
            bias=True,
        )
    return _with_unique_names(units)


def check_network(model: object) -> None:
    """Raise a TypeError for a model that is not a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected an ImageModel or a torch module, got {type(model).__name__}")


def units_after(units: Sequence[Unit], until: str | None) -> int:
    """Return the number of units after the unit `until`; all units for None."""
    names = [unit.name for unit in units]
    if until is None:
        return len(names)
    if not isinstance(until, str) or until not in names[:-1]:
        raise ValueError(unknown_name("unit", until, names[:-1]))
    return len(names) - 1 - names.index(until)


def dominating(units: Sequence[Unit]) -> Unit | None:
    """Return the unit that spans most of the network, for instance in a U-Net; None if there is none."""
    deepest = max(units, key=lambda unit: unit.depth)
    return (
        deepest if deepest.depth >= DEEP and 2 * deepest.depth >= sum(unit.depth for unit in units) else None
    )


def _traced(model: ImageModel | nn.Module, name: str, x: Tensor | None) -> Trace:
    """Trace a network; ValueError with the reason if that is not possible."""
    failure: Exception | None = None
    for image in _examples(model) if x is None else [x[:1]]:
        try:
            if isinstance(model, ImageModel):
                return trace(model.module, (image - model.mean) / model.std, model._pick)
            return trace(model, image)
        except Untraceable as error:
            raise ValueError(
                f"expected a network whose pass can be replayed on other activations, got {name}: {error}"
            ) from error
        except Exception as error:  # a network can raise any exception
            failure = failure or error
    reason = str(failure).strip().partition("\n")[0].rstrip(".") or type(failure).__name__
    raise ValueError(
        f"expected float32 images that {name} accepts, got an error from its forward pass ({reason}); pass images of "
        "the right size as x"
    ) from failure


def _examples(model: ImageModel | nn.Module) -> list[Tensor]:
    """Return a noise image for each size that a network might accept."""
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
    """Return the non-negative tensors that every path passes through; the first is the image."""
    last = used_last(traced)
    ends, open_until = [], 0
    for index, call in enumerate(traced.calls):
        if not call.depends:
            continue
        # No earlier result is used after this call; the output is an end in any case.
        bottleneck = open_until <= index < len(traced.calls) and last[index] < len(traced.calls)
        if bottleneck and signs.ends(index):
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
    """Return the number of weighted operations on the longest path through the calls of a unit."""
    depth: dict[int, int] = {}
    for index in indices:
        before = [depth.get(value.call, 0) for value in traced.calls[index].values()]
        depth[index] = max(before, default=0) + has_weights(traced.calls[index])
    return max(depth.values(), default=0)


def _layer(traced: Trace, indices: list[int], end: Value) -> str:
    """Return the outermost layer that makes exactly these calls, else the layer that returns their result, by name."""
    scopes = traced.calls[end.call].scopes
    scope: Scope | None = next((each for each in scopes if traced.made_in(each) == indices), None)
    scope = scope or traced.returned.get(end)
    if scope is not None:
        return scope.name
    call = traced.calls[end.call]
    alike = [each for each in traced.calls[: end.call] if each.name == call.name and each.scopes == scopes]
    number = f"{call.name}_{len(alike)}" if alike else call.name
    return f"{scopes[-1].name}.{number}" if scopes else number


def _with_unique_names(units: list[Unit]) -> list[Unit]:
    """Return the units with unique names: a function can have the same name as a layer."""
    names = [unit.name for unit in units]
    return [
        replace(unit, name=f"{unit.name}#{names[:index].count(unit.name)}")
        if unit.name in names[:index]
        else unit
        for index, unit in enumerate(units)
    ]


def _normalized(model: ImageModel, run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: run((x - model.mean) / model.std)
