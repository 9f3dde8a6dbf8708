"""Divide a network into a chain of units with activations at both ends.

Kwon 2021, section 5.2: y = (phi_1 ... phi_n)(x). The chain is found from the recorded calls of a forward pass
(:mod:`xai_widgets.tracing`). A unit ends at an activation that every path from the image to the output passes through:
a tensor that is never negative, as in the dissertation, or comes from an activation function such as SiLU, of which 0
is the inactive value. A convolution with its ReLU is a unit, and so are a max-pool and a whole residual, inception or
dense block. The first unit includes the normalization, so its input is the image in [0, 1].

A network that adds its input to a residual, as in super-resolution and denoising, is divided without this addition:
the output of the last unit is the residual (section 5.5.1).
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
from xai_widgets.inverse.operations import (
    AVERAGES,
    CONVOLUTIONS,
    PERMUTATIONS,
    POOLS,
    RESHAPES,
    UNBOUNDED,
    has_weights,
    is_linear,
    is_pad,
)
from xai_widgets.inverse.proportional import is_proportional
from xai_widgets.inverse.residual import residual_branch
from xai_widgets.inverse.signs import Signs
from xai_widgets.tracing import Call, Scope, Trace, Untraceable, Value, trace, used_last

#: Kinds of units: "scores" is the last unit, "reshape" moves values without changing them.
Kind = Literal["convolution", "linear", "pool", "reshape", "average", "scores"]

#: Sides in pixels of the images to try on a plain module.
SIDES = (64, 224, 32, 96, 128, 256, 299, 384, 28, 16, 8)
#: A unit dominates a network if it has at least this many weighted operations in a row, and this share of all.
DOMINATING = ((3, 1 / 2), (12, 1 / 4))
#: A network is refused if a unit of at least the first of these numbers has at least this share of all.
WHOLE = 0.9


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
        For a network whose forward pass cannot be replayed, or nearly all of which is a single unit; the message gives
        the reason.
    """
    return list(divide(model, x).units)


@dataclass(frozen=True)
class Division:
    """The units of a network.

    Attributes
    ----------
    units : list of Unit
        Units in order of execution.
    residual : {"added", "subtracted"} or None
        Whether the network adds the output of the last unit to its input, or subtracts it.
    signed : tuple of str
        Names of the activation functions, such as "SiLU", with which activations between units can be negative.
    """

    units: list[Unit]
    residual: Literal["added", "subtracted"] | None
    signed: tuple[str, ...]


@guarded
def divide(model: ImageModel | nn.Module, x: Tensor | None = None) -> Division:
    """Divide a network into units; see :func:`find_units`."""
    check_network(model)
    x = None if x is None else tensor(x, "x", ("N", "C", "H", "W"), finite=True)
    name = network_name(model)
    traced = _traced(model, name, x)
    if not isinstance(traced.output, Value):
        raise ValueError(
            f"expected a network that returns one tensor, got {name}, which returns {type(traced.output).__name__}"
        )
    signs = Signs(traced, image=not isinstance(model, ImageModel) or bool((model.mean <= 0).all()))
    ends = [*_ends(traced, signs), traced.output]
    branch = residual_branch(traced)
    if branch is not None:
        shorter = traced.up_to(branch.value)
        inner = [*_ends(shorter, signs), shorter.output]
        # Otherwise the addition is part of a block.
        if len(inner) >= len(ends):
            traced, ends = shorter, inner
        else:
            branch = None
    units = [_unit(traced, signs, begin, end) for begin, end in pairwise(ends)]
    deepest, total = max(unit.depth for unit in units), sum(unit.depth for unit in units)
    if (len(units) == 1 and total > 1) or (deepest >= DOMINATING[0][0] and deepest >= WHOLE * total):
        raise ValueError(_one_unit(traced, signs, name, deepest, total))
    if isinstance(model, ImageModel):
        first = units[0]
        units[0] = replace(
            first, run=_normalized(model, first.run), before_relu=_normalized(model, first.before_relu)
        )
    names = tuple(dict.fromkeys(name for end in ends[1:-1] for name in signs.signed(end.call)))
    return Division(_with_unique_names(units), branch.sign if branch else None, names)


def check_network(model: object) -> None:
    """Raise a TypeError for a model that is not a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected an ImageModel or a torch module, got {type(model).__name__}")


def network_name(model: ImageModel | nn.Module) -> str:
    """Return the name of a network for messages."""
    return model.name if isinstance(model, ImageModel) else type(unwrapped(model)).__name__


def units_after(units: Sequence[Unit], until: str | None) -> int:
    """Return the number of units after the unit `until`; all units for None."""
    names = [unit.name for unit in units]
    if until is None:
        return len(names)
    if not isinstance(until, str) or until not in names[:-1]:
        raise ValueError(unknown_name("unit", until, names[:-1]))
    return len(names) - 1 - names.index(until)


def dominating(units: Sequence[Unit]) -> Unit | None:
    """Return the unit that spans a large part of the network, for instance of a U-Net; None if there is none."""
    deepest, total = max(units, key=lambda unit: unit.depth), sum(unit.depth for unit in units)
    large = any(deepest.depth >= depth and deepest.depth >= share * total for depth, share in DOMINATING)
    return deepest if large else None


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
    """Return the activations that every path passes through; the first is the image."""
    last = used_last(traced)
    ends, open_until = [], 0
    for index, call in enumerate(traced.calls):
        if not call.depends or index not in traced.needed:
            continue
        # No earlier result is used after this call; the output is an end in any case.
        bottleneck = open_until <= index < len(traced.calls) and last[index] < len(traced.calls)
        if bottleneck and signs.ends(index):
            ends.append(Value(index))
        open_until = max(open_until, last[index])
    return ends


def _one_unit(traced: Trace, signs: Signs, name: str, depth: int, total: int) -> str:
    """Return the refusal of a network without activations that every path passes through."""
    last = used_last(traced)
    count = f"{depth}" if depth == total else f"{depth} of {total}"
    other = next((traced.calls[i] for i in sorted(traced.needed) if traced.calls[i].name in UNBOUNDED), None)
    reason = "it has no activation function"
    if other is not None:
        reason += f" but {UNBOUNDED[other.name]} in {other.layer!r}, with which no unit can end"
    for index in sorted(traced.needed):
        if not (index and traced.calls[index].depends and signs.ends(index)) or index == traced.output.call:
            continue
        # The earliest result that is used both before and after the activation.
        around = [i for i in range(index) if traced.calls[i].depends and last[i] > index]
        call = traced.calls[index]
        if around:
            skip = "the image" if around[0] == 0 else f"the output of {traced.calls[around[0]].layer!r}"
            reason = f"{skip} is used again behind the activation of {call.layer!r}"
            break
    return (
        f"expected a network with activations that every path passes through, got {name}: a single unit of {count} "
        f"weighted operations, since {reason}; use another method, such as 'integrated_gradients' or 'extremal'"
    )


def _unit(traced: Trace, signs: Signs, begin: Value, end: Value) -> Unit:
    indices = traced.working(begin, end)
    calls = [traced.calls[index] for index in indices]
    rectified = signs.rectified(end.call) if indices else None
    kind = _kind(calls, last=end == traced.output and rectified is None)
    run = traced.segment(begin, end)
    return Unit(
        name=_layer(traced, indices, end),
        kind=kind,
        run=run,
        bias=not is_proportional(traced, signs, begin, end),
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
