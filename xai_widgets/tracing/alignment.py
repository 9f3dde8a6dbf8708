"""Align two passes with different numbers of images to one trace for any number."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from xai_widgets.tracing.calls import Affine, Call, Value
from xai_widgets.tracing.recorder import Recorder, Untraceable
from xai_widgets.tracing.segments import Trace


class Unlike(Exception):
    """Two passes that differ from the call with this description on."""


def aligned(one: Recorder, other: Recorder, n: int, m: int) -> Trace:
    """Merge the calls of passes of n and m images into a trace for any number of images."""
    calls: list[Call] = []
    for a, b in zip(one.calls, other.calls, strict=False):
        if a.function != b.function and a.name != "input":
            raise Unlike(b.description)
        unlike = a.description

        def hidden(tensor: Tensor, call: Call = a) -> str:
            return one.hidden(tensor, call)

        args = _merged(a.args, b.args, n, m, unlike, hidden)
        kwargs = _merged(a.kwargs, b.kwargs, n, m, unlike, hidden)
        calls.append(
            Call(a.function, args, kwargs, a.name, a.scopes, a.depends, a.mutates, a.shape, a.autocast)
        )
    if len(one.calls) != len(other.calls) or type(one.output) is not type(other.output):
        longer = max(one.calls, other.calls, key=len)
        call = longer[min(len(calls), len(longer) - 1)]
        raise Unlike(call.description)
    if isinstance(one.output, Value) and one.output != other.output:
        raise Unlike("the output")
    return Trace(calls, one.output, one.results, one.returned, one.sized or other.sized)


def _merged(a: Any, b: Any, n: int, m: int, unlike: str, hidden: Callable[[Tensor], str]) -> Any:
    """Merge an argument of both passes into one for any number of images."""
    if isinstance(a, Value) or isinstance(b, Value):
        if a != b:
            raise Unlike(unlike)
        return a
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a is b or (a.grad_fn is None and b.grad_fn is None and a.shape == b.shape and torch.equal(a, b)):
            return a
        raise Untraceable(hidden(a))
    if type(a) is not type(b):
        raise Unlike(unlike)
    if isinstance(a, tuple | list):
        if len(a) != len(b):
            raise Unlike(unlike)
        items = [_merged(x, y, n, m, unlike, hidden) for x, y in zip(a, b, strict=True)]
        return items if isinstance(a, list) else tuple(items)
    if isinstance(a, dict):
        if list(a) != list(b):
            raise Unlike(unlike)
        return {key: _merged(a[key], b[key], n, m, unlike, hidden) for key in a}
    if isinstance(a, slice):
        return slice(
            *(_merged(getattr(a, x), getattr(b, x), n, m, unlike, hidden) for x in ("start", "stop", "step"))
        )
    if isinstance(a, bool | float | str) or a is None:
        if a != b and not (a != a and b != b):
            raise Unlike(unlike)
        return a
    if isinstance(a, Integral):
        step, left = divmod(int(b) - int(a), m - n)
        if left:
            raise Unlike(unlike)
        return a if step == 0 else Affine(int(a) - step * n, step)
    return a
