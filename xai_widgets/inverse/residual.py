"""Networks that add their input to a residual, such as those for super-resolution and denoising."""

from __future__ import annotations

from typing import Literal, NamedTuple

from xai_widgets.inverse.operations import RESHAPES, has_weights, is_linear
from xai_widgets.tracing import Trace, Value

#: Calls between the sum and the output.
_BEHIND = RESHAPES | {"clamp", "clip"}


class Branch(NamedTuple):
    """The residual that a network adds to its input, or subtracts from it."""

    value: Value
    sign: Literal["added", "subtracted"]


def residual_branch(traced: Trace) -> Branch | None:
    """Return the residual of a network whose output is its input plus or minus a residual; None for other networks.

    The input can be cropped, resized, shuffled, scaled or shifted before.
    """
    output = traced.output
    while isinstance(output, Value) and traced.calls[output.call].name in _BEHIND:
        first = traced.calls[output.call].argument(0, "input")
        if not isinstance(first, Value):
            return None
        output = first
    if not isinstance(output, Value):
        return None
    call = traced.calls[output.call]
    if call.name not in ("add", "radd", "sub", "subtract") or call.kwargs.get("alpha", 1) != 1:
        return None
    first, second = call.argument(0, "input"), call.argument(1, "other")
    if not (isinstance(first, Value) and isinstance(second, Value)):
        return None
    if _is_input(traced, first) and _has_weights(traced, second):
        return Branch(second, "subtracted" if call.name.startswith("sub") else "added")
    if _is_input(traced, second) and _has_weights(traced, first) and not call.name.startswith("sub"):
        return Branch(first, "added")
    return None


def _calls(traced: Trace, value: Value) -> set[int]:
    """Return the calls that a result is computed with, without the image."""
    calls, waiting = set(), [value.call]
    while waiting:
        index = waiting.pop()
        if index and index not in calls and traced.calls[index].depends:
            calls.add(index)
            waiting.extend(each.call for each in traced.calls[index].values())
    return calls


def _is_input(traced: Trace, value: Value) -> bool:
    """Return whether a result is the image, moved, resized, scaled or shifted."""
    return traced.calls[value.call].depends and all(
        is_linear(traced, index) and not has_weights(traced.calls[index]) for index in _calls(traced, value)
    )


def _has_weights(traced: Trace, value: Value) -> bool:
    """Return whether a result is computed from the image with weighted operations."""
    return any(has_weights(traced.calls[index]) for index in _calls(traced, value))
