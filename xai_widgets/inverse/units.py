"""Divide a network into a chain of units with activations at both ends.

Kwon 2021, section 5.2: y = (phi_1 ... phi_n)(x). The chain is found from the recorded calls of a forward pass
(:mod:`xai_widgets.tracing`). A unit ends at an activation that every path from the image to the output passes through:
a tensor that is never negative, as in the dissertation, or comes from an activation function such as SiLU, of which 0
is the inactive value. A convolution with its ReLU is a unit, and so are a max-pool and a whole residual, inception or
dense block. A part with skip connections that would be a large unit, such as all of a U-Net, is divided where several
activations pass: the ends of a unit are then all that are used later (:mod:`xai_widgets.inverse.building`). Sums of a
pre-activation network, such as the dense blocks of a DenseNet, can be negative and are not activations, so that such a
block stays one unit. The first unit includes the normalization, so its input is the image in [0, 1].

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
from xai_widgets.core.target_scores import label_of
from xai_widgets.core.validation import tensor
from xai_widgets.errors import checked_keywords, unknown_name
from xai_widgets.inverse.building import Cut, build_unit, composes, depth_of, inner_cuts, undivided
from xai_widgets.inverse.operations import UNBOUNDED
from xai_widgets.inverse.residual import residual_branch
from xai_widgets.inverse.signs import Signs
from xai_widgets.inverse.unit import Part, Unit
from xai_widgets.tracing import Trace, Untraceable, Value, trace, used_last

#: Sides in pixels of the images to try on a plain module.
SIDES = (64, 224, 32, 96, 128, 256, 299, 384, 28, 16, 8)
#: A unit dominates a network if it has at least this many weighted operations in a row, and this share of all.
DOMINATING = ((3, 1 / 2), (12, 1 / 4))
#: A network is refused if a unit of at least the first of these numbers has at least this share of all.
WHOLE = 0.9


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
    units, cuts = _units(traced, signs, ends)
    deepest, total = max(unit.depth for unit in units), sum(unit.depth for unit in units)
    if (len(units) == 1 and total > 1) or (deepest >= DOMINATING[0][0] and deepest >= WHOLE * total):
        raise ValueError(_one_unit(traced, signs, name, deepest, total))
    if isinstance(model, ImageModel):
        units[0] = _normalized(model, units[0])
    between = [end for cut in cuts[1:-1] for end in cut]
    names = tuple(dict.fromkeys(name for end in between for name in signs.signed(end.call)))
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
    return deepest if _is_large(deepest.depth, total) else None


def _is_large(depth: int, total: int) -> bool:
    return any(depth >= least and depth >= share * total for least, share in DOMINATING)


def _traced(model: ImageModel | nn.Module, name: str, x: Tensor | None) -> Trace:
    """Trace a network; ValueError with the reason if that is not possible."""
    scores = model.target_scores if isinstance(model, ImageModel) else None
    if scores is not None and scores.inner:
        raise ValueError(
            f"expected a class or a target on the output of {name}, got {label_of(scores.functions[0])!r} inside; "
            "layer_wise and operation_wise of xai_widgets.inverse start at a channel with start="
        )
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


def _units(traced: Trace, signs: Signs, ends: Sequence[Value]) -> tuple[list[Unit], list[Cut]]:
    """Return the units and the cuts between them; a unit that spans a large part of the network is divided further."""
    depths = [depth_of(traced, traced.working(begin, end)) for begin, end in pairwise(ends)]
    units: list[Unit] = []
    every: list[Cut] = [(ends[0],)]
    for (begin, end), depth in zip(pairwise(ends), depths, strict=True):
        cuts: list[Cut] = [(begin,), (end,)]
        large = _is_large(depth, sum(depths))
        if large:
            cuts[1:1] = inner_cuts(traced, signs, begin, end)
        inner = [build_unit(traced, signs, *pair) for pair in pairwise(cuts)]
        if len(inner) > 1 and not composes(traced, cuts, inner):
            cuts[1:-1] = []
            inner = [build_unit(traced, signs, *cuts)]
        if large:
            inner = [
                replace(unit, undivided=undivided(traced, signs, cut[-1], after[-1]))
                for unit, (cut, after) in zip(inner, pairwise(cuts), strict=True)
            ]
        units += inner
        every += cuts[1:]
    return units, every


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


def _with_unique_names(units: list[Unit]) -> list[Unit]:
    """Return the units with unique names: a function can have the same name as a layer."""
    names = [unit.name for unit in units]
    return [
        replace(unit, name=f"{unit.name}#{names[:index].count(unit.name)}")
        if unit.name in names[:index]
        else unit
        for index, unit in enumerate(units)
    ]


def _normalized(model: ImageModel, unit: Unit) -> Unit:
    """Return the first unit as a function of the image in [0, 1]."""

    def of_image(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: run((x - model.mean) / model.std)

    def part(outputs: Sequence[int]) -> Part | None:
        found = unit.part(outputs) if unit.part else None
        return found and found._replace(unit=_normalized(model, found.unit))

    return replace(
        unit,
        run=of_image(unit.run),
        before_relu=of_image(unit.before_relu),
        part=part if unit.part else None,
    )
