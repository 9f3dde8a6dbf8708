"""Record the calls of torch functions in real passes of a network, and replay parts of them on other tensors.

Two passes with different numbers of images are recorded by a function mode of this thread and aligned call by call: an
integer that differs between them is a multiple of the number of images plus a constant, so that
``x.view(x.size(0), -1)`` replays for any batch. Everything else that Python decided in the pass, such as paddings
computed from shapes, is a constant of the recording. Nothing outside the call is patched: the passes run on replicas of
the network (:mod:`xai_widgets.core.replica`), whose modules say in which layer a call was made.

What cannot be replayed is refused by its name: values that Python read from activations, custom autograd functions,
scripted code, and a network whose scores of an image depend on the other images of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.tracing.alignment import Unlike, aligned
from xai_widgets.tracing.calls import Affine, Call, Scope, Value
from xai_widgets.tracing.recorder import Recorder, Untraceable
from xai_widgets.tracing.segments import Trace, used_last

__all__ = ["Affine", "Call", "Scope", "Trace", "Untraceable", "Value", "trace", "used_last"]


@guarded
def trace(network: nn.Module, x: Tensor, pick: Callable[[Any, int], Any] | None = None) -> Trace:
    """Record passes of a network in eval mode.

    Parameters
    ----------
    network : nn.Module
        It is not changed. Where it is not in single precision, a copy of its parameters is.
    x : Tensor, (1, C, H, W)
        What it takes, float32.
    pick : callable, optional
        From what it returns for a number of images to the tensor that is meant; its calls belong to the trace.

    Raises
    ------
    Untraceable
        For passes that cannot be replayed.
    """
    casts: dict[int, Tensor] = {}
    # A pass of one image may take a path of its own, as by squeeze() or ``if len(x) > 1``.
    one = Recorder(network, _batch(x, 1), pick, casts)
    two = Recorder(network, _batch(x, 2), pick, casts)
    _refuse_other_scores(one, two, x.dtype)
    try:
        made = aligned(one, two, 1, 2)
    except Unlike:
        three = Recorder(network, _batch(x, 3), pick, casts)
        try:
            made = aligned(two, three, 2, 3)
        except Unlike as unlike:
            raise Untraceable(f"its calls depend on the number of images, as of {unlike}") from None
    _verify(made, one)
    return made


def _batch(x: Tensor, count: int) -> Tensor:
    """Return the image first, then others: itself at lower contrast, with other statistics, and mirrored."""
    return torch.cat([x, x / 2, x.flip(3)][:count])


def _refuse_other_scores(one: Recorder, two: Recorder, dtype: torch.dtype) -> None:
    """Refuse a network whose scores of an image differ from pass to pass, or with the other images."""
    alone, beside = (
        each.results[each.output.call][each.output.item] if isinstance(each.output, Value) else None
        for each in (one, two)
    )
    if alone is None or beside is None or alone.shape[:1] != (1,) or beside.shape[:1] != (2,):
        return
    if not (alone.isfinite().all() and beside.isfinite().all()):
        return
    off = _difference(beside[:1], alone)
    if not off <= torch.finfo(dtype).eps ** 0.5:
        raise Untraceable(
            f"its output for an image differs by {off:.1%} when another image is in the batch, or from pass to pass"
        )


def _verify(made: Trace, one: Recorder) -> None:
    """Refuse a trace that does not give the output of the network."""
    if not isinstance(made.output, Value) or not made.calls[made.output.call].depends:
        return
    expected = one.results[one.output.call][one.output.item]
    with outside_inference(), torch.enable_grad():
        found = made.segment(Value(0), made.output)(one.x.clone().requires_grad_())
    if not found.requires_grad:
        raise Untraceable(f"{_without_gradient(made)} has no gradient")
    if not expected.isfinite().all():
        return
    off = _difference(found, expected) if found.shape == expected.shape else float("inf")
    if not off <= torch.finfo(expected.dtype).eps ** 0.5:
        raise Untraceable(f"a replay of its calls gives another output (by {off:.1%})")


def _without_gradient(made: Trace) -> str:
    """Return the name of the first call whose result has no gradient although what it was given has."""
    for call, results in zip(made.calls, made.results, strict=True):
        before = any(made.results[value.call][value.item].requires_grad for value in call.values())
        if before and call.depends and results[0].is_floating_point() and not results[0].requires_grad:
            return call.place
    return "the network"


def _difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    found, expected = found.detach().double(), expected.detach().double()
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()
