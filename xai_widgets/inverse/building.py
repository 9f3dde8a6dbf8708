"""Make units of the calls between two cuts of a network.

A cut is a list of activations that every path passes through, the one that was computed last at the end. It is one
activation, or within a part with skip connections several, such as those that a U-Net carries past its center. With the
activations s before a unit and t behind it, t = phi(s): the unit computes some of t, and the others are among s. Since
all are activations, equation 5.5 of Kwon 2021 holds for s and t as for single activations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from xai_widgets.inverse.operations import (
    AVERAGES,
    CONVOLUTIONS,
    JOINING,
    PERMUTATIONS,
    POOLS,
    RESHAPES,
    has_weights,
    is_linear,
    is_pad,
)
from xai_widgets.inverse.proportional import is_proportional
from xai_widgets.inverse.signs import Signs
from xai_widgets.inverse.unit import Joined, Kind, Part, Unit
from xai_widgets.tracing import Call, Scope, Trace, Value

#: Results that every path passes through, the one that was computed last at the end.
Cut = tuple[Value, ...]


def build_unit(traced: Trace, signs: Signs, begins: Cut, ends: Cut) -> Unit:
    """Return the unit between two cuts."""
    indices = traced.working(begins[-1], ends[-1])
    if len(begins) == len(ends) == 1:
        return _unit(traced, signs, begins, ends, indices)

    def part(outputs: Sequence[int]) -> Part | None:
        """Return the part of the unit that computes these outputs; None if it only passes all of them."""
        chosen = [ends[index] for index in outputs]
        working = _needed(traced, [end for end in chosen if end not in begins], indices)
        read = {value for index in working for value in traced.calls[index].values()}
        used = tuple(begin for begin in begins if begin in read)
        made = tuple(end for end in chosen if end not in begins or end in used)
        if not working:
            return None
        unit = _unit(traced, signs, used, made, working)
        return Part(
            unit, tuple(begins.index(each) for each in used), tuple(ends.index(each) for each in made)
        )

    whole = _unit(traced, signs, begins, ends, indices)
    passed = tuple((begins.index(each), number) for number, each in enumerate(ends) if each in begins)
    return replace(whole, passed=passed, part=part)


def inner_cuts(traced: Trace, signs: Signs, begin: Value, end: Value) -> list[Cut]:
    """Return the cuts through several activations between two results that every path passes through.

    They are behind activation functions and pools, where everything that is used later is an activation.
    """
    return [
        crossing
        for crossing in _crossing(traced, signs, begin, end)
        if all(_is_activation(traced, signs, value) for value in crossing)
    ]


def undivided(traced: Trace, signs: Signs, begin: Value, end: Value) -> str:
    """Return the layer of a result that is not an activation and is used across most of a unit; "" if there is none."""
    layers = [
        traced.calls[value.call].layer
        for crossing in _crossing(traced, signs, begin, end)
        for value in crossing
        if not _is_activation(traced, signs, value)
    ]
    return max(layers, key=layers.count, default="")


def _is_activation(traced: Trace, signs: Signs, value: Value) -> bool:
    """Return whether a result is an activation, or some values of one."""
    moved = traced.calls[value.call].name in JOINING and signs.is_activation(value)
    return moved or signs.ends(value.call)


def _crossing(traced: Trace, signs: Signs, begin: Value, end: Value) -> Iterator[Cut]:
    """Yield what is used later behind each activation between two results; it is the last one of them."""
    indices = traced.working(begin, end)
    last: dict[Value, int] = {}
    for index in indices:
        for value in traced.calls[index].values():
            if traced.calls[value.call].depends:
                last[value] = index
    for index in indices[:-1]:
        if traced.calls[index].name in JOINING or not signs.ends(index):
            continue
        crossing = sorted(value for value, user in last.items() if value.call <= index < user)
        # An image is not an activation: 0 does not stand for nothing.
        if crossing and crossing[-1] == Value(index) and crossing[0].call > 0:
            yield tuple(crossing)


def composes(traced: Trace, cuts: Sequence[Cut], units: Sequence[Unit]) -> bool:
    """Return whether units in a row compute what the network does, for the traced image.

    Cuts do not see that a call changes a tensor in place of which another one is a view.
    """
    begins, ends = cuts[0], cuts[-1]
    with torch.no_grad():
        x = units[0].inputs.join([traced.results[each.call][each.item] for each in begins])
        for unit in units:
            x = unit.run(x)
    return torch.allclose(x, traced.results[ends[-1].call][ends[-1].item], rtol=1e-3, atol=1e-4)


def _needed(traced: Trace, ends: Sequence[Value], indices: Collection[int]) -> list[int]:
    """Return the calls among `indices` that results depend on."""
    allowed, found, waiting = set(indices), set(), [end.call for end in ends]
    while waiting:
        index = waiting.pop()
        if index in allowed and index not in found:
            found.add(index)
            waiting.extend(value.call for value in traced.calls[index].values())
    return sorted(found)


def _unit(traced: Trace, signs: Signs, begins: Cut, ends: Cut, indices: list[int]) -> Unit:
    calls = [traced.calls[index] for index in indices]
    single = len(begins) == len(ends) == 1
    made = [end for end in ends if end not in begins]
    rectified = signs.rectified(ends[-1].call) if indices and made == [ends[-1]] else None
    kind = _kind(calls, last=ends == (traced.output,) and rectified is None)
    if kind in ("pool", "reshape", "average") and not single:
        kind = "convolution"
    inputs, outputs = _joined(traced, begins), _joined(traced, ends)

    def function(to: Cut) -> Callable[[Tensor], Tensor]:
        # A ReLU in place would change its input.
        run = traced.joint_segment(begins, to, [index for index in indices if index <= to[-1].call])
        return lambda x: outputs.join(run(inputs.split(x)))

    run = function(ends)
    return Unit(
        name=_layer(traced, indices, ends[-1]),
        kind=kind,
        run=run,
        bias=not is_proportional(traced, signs, begins, ends, indices),
        relu=rectified is not None,
        before_relu=run if rectified is None else function((*ends[:-1], rectified)),
        affine=all(
            is_linear(traced, index) for index in indices if rectified is None or index <= rectified.call
        ),
        depth=depth_of(traced, indices),
        inputs=inputs,
        outputs=outputs,
    )


def _joined(traced: Trace, cut: Cut) -> Joined:
    return Joined(tuple(tuple(traced.results[each.call][each.item].shape[1:]) for each in cut))


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


def depth_of(traced: Trace, indices: list[int]) -> int:
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
