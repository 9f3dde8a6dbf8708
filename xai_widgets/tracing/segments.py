"""A trace, and its segments as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.cached import cached_property
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.scheduler import check_cancelled
from xai_widgets.tracing.calls import Call, Scope, Value, filled, in_place, tensors_in
from xai_widgets.tracing.recorder import Untraceable


@dataclass
class Trace:
    """The aligned calls of two passes.

    Attributes
    ----------
    calls : list of Call
        The calls in their order. The first one is a placeholder whose result is the image.
    output : Value, or anything else
        Output of the network.
    results : list of list of Tensor
        The tensors that each call returned in the first pass, of one image.
    returned : dict of Value to Scope
        By tensor, the innermost call of a module that returned it.
    sized : bool
        Whether arguments may depend on the size of the image, so that the trace is valid for this size only.
    """

    calls: list[Call]
    output: Any
    results: list[list[Tensor]]
    returned: dict[Value, Scope]
    sized: bool
    _by_scope: dict[int, list[int]] = field(default_factory=dict)

    def made_in(self, scope: Scope) -> list[int]:
        """Return the calls made in a call of a module that depend on the image."""
        if not self._by_scope:
            for index, call in enumerate(self.calls):
                for each in call.scopes if call.depends else ():
                    self._by_scope.setdefault(each.number, []).append(index)
        return self._by_scope.get(scope.number, [])

    @cached_property
    def needed(self) -> frozenset[int]:
        """The calls that the output depends on, and those that may change a tensor in place."""
        waiting = [index for index, call in enumerate(self.calls) if in_place(call.function, call.kwargs)]
        if isinstance(self.output, Value):
            waiting.append(self.output.call)
        needed: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index not in needed:
                needed.add(index)
                waiting.extend(value.call for value in self.calls[index].values())
        return frozenset(needed)

    def working(self, begin: Value, end: Value) -> list[int]:
        """Return the needed calls after ``begin`` up to ``end`` that depend on the image."""
        return [
            index
            for index in range(begin.call + 1, end.call + 1)
            if self.calls[index].depends and index in self.needed
        ]

    def up_to(self, end: Value) -> Trace:
        """Return the trace of a network whose output is the result of an earlier call."""
        count = end.call + 1
        return Trace(self.calls[:count], end, self.results[:count], self.returned, self.sized)

    def at_zero(self, index: int) -> list[Tensor]:
        """Return the results of a call for zeros in place of the arguments that depend on the image."""
        call = self.calls[index]
        results = {
            value.call: [
                torch.zeros_like(each) if self.calls[value.call].depends else each.detach().clone()
                for each in self.results[value.call]
            ]
            for value in call.values()
        }
        with outside_inference(), torch.no_grad():
            return tensors_in(_replayed(call, results, self.results[0][0]))

    def segment(self, begin: Value, end: Value) -> Callable[[Tensor], Tensor]:
        """Return the part of the network from the result of one call to that of a later one, as a function.

        Every path between them must pass through ``begin``. The function shares the parameters of the network, accepts
        any number of images, does not change its input, and is differentiable.
        """
        run = self.joint_segment([begin], [end], self.working(begin, end))
        return lambda x: run([x])[0]

    def joint_segment(
        self, begins: Sequence[Value], ends: Sequence[Value], indices: Sequence[int]
    ) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        """Return some calls as a function from the results `begins` of calls before them to results `ends`.

        The calls that depend on the image must be those in `indices`. See :meth:`segment`.
        """
        chosen = set(indices)
        # Calls that do not depend on the image are replayed with the current parameters.
        waiting = list(chosen)
        while waiting:
            for value in self.calls[waiting.pop()].values():
                if value.call not in chosen and not self.calls[value.call].depends:
                    chosen.add(value.call)
                    waiting.append(value.call)
        for index in chosen:
            if self.calls[index].mutates:
                raise Untraceable(f"{self.calls[index].description} changes a tensor of the network")
        steps = [(index, self.calls[index]) for index in sorted(chosen)]
        examples = [self.results[begin.call][begin.item] for begin in begins]
        shapes, fixed = [tuple(each.shape[1:]) for each in examples], self.sized
        layouts = [_layout(each) for each in examples]

        def run(given: Sequence[Tensor]) -> list[Tensor]:
            for x, shape in zip(given, shapes, strict=True):
                if fixed and tuple(x.shape[1:]) != shape:
                    raise ValueError(
                        f"expected an input of shape (N, {', '.join(map(str, shape))}), got {tuple(x.shape)}"
                    )
            check_cancelled()
            results: dict[int, list[Tensor]] = {}
            for x, begin, layout in zip(given, begins, layouts, strict=True):
                # A copy, as the first operation may be in place.
                copy, others = x.clone(memory_format=layout), results.get(begin.call, [])
                results[begin.call] = [*others, *[copy] * (begin.item + 1 - len(others))]
            with no_autocast(given[0].device):
                for index, call in steps:
                    results[index] = tensors_in(_replayed(call, results, given[0]))
            return [results[end.call][end.item] for end in ends]

        return run


def _layout(x: Tensor) -> torch.memory_format:
    channels_last = (
        x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    )
    return torch.channels_last if channels_last else torch.contiguous_format


def used_last(trace: Trace) -> Sequence[int]:
    """Return for each call the index of the last needed call that uses its result and depends on the image, or -1."""
    last = [-1] * len(trace.calls)
    for index, call in enumerate(trace.calls):
        for value in call.values() if call.depends and index in trace.needed else ():
            last[value.call] = index
    if isinstance(trace.output, Value):
        last[trace.output.call] = len(trace.calls)
    return last


def _replayed(call: Call, results: dict[int, list[Tensor]], image: Tensor) -> Any:
    """Return the result of a call for the results of the calls before it; its first argument if it returns none."""
    args = [filled(each, results, len(image)) for each in call.args]
    kwargs = {key: filled(each, results, len(image)) for key, each in call.kwargs.items()}
    if call.autocast is None:
        result = call.function(*args, **kwargs)
    else:
        with torch.autocast(image.device.type, dtype=call.autocast):
            result = call.function(*args, **kwargs)
    return args[0] if result is None else result
