"""Record the calls of torch functions in real passes of a network, and replay parts of them on other tensors.

Passes with different batch sizes are recorded by a torch function mode and aligned call by call: an integer that
differs between them is an affine function of the batch size, so that ``x.view(x.size(0), -1)`` replays for any batch.
Everything else that Python computes in a pass, such as paddings from shapes, is a constant of the trace. Nothing is
patched: the passes run on replicas of the network (:mod:`xai_widgets.core.replica`), whose modules record the layer of
each call.

Passes that cannot be replayed raise an error with the reason: values that Python reads from activations, custom
autograd functions, scripted modules, and scores that depend on the other images of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.precision import double
from xai_widgets.tracing.alignment import Unlike, aligned
from xai_widgets.tracing.calls import Affine, Call, Scope, Value, leaves, name_of
from xai_widgets.tracing.recorder import Casts, Recorder, Untraceable
from xai_widgets.tracing.segments import Trace, used_last

__all__ = [
    "Affine",
    "Call",
    "Scope",
    "Trace",
    "Untraceable",
    "Value",
    "leaves",
    "name_of",
    "trace",
    "used_last",
]


@guarded
def trace(network: nn.Module, x: Tensor, pick: Callable[[Any, Tensor], Any] | None = None) -> Trace:
    """Record passes of a network in eval mode.

    Parameters
    ----------
    network : nn.Module
        The network, which is not changed. If it is not in single precision, copies of its parameters are.
    x : Tensor, (1, C, H, W)
        Input of the network, float32.
    pick : callable, optional
        Maps the output of the network and its input to a tensor. Its calls belong to the trace.

    Raises
    ------
    Untraceable
        For passes that cannot be replayed.
    """
    casts: Casts = {}
    # A pass of one image may differ, for instance by squeeze() or ``if len(x) > 1``.
    one = Recorder(network, _batch(x, 1), pick, casts)
    two = _two(network, x, pick, casts)
    _refuse_other_scores(one, two, x.dtype)
    try:
        result = aligned(one, two, 1, 2)
    except Unlike:
        three = Recorder(network, _batch(x, 3), pick, casts)
        try:
            result = aligned(two, three, 2, 3)
        except Unlike as unlike:
            raise Untraceable(f"its calls depend on the number of images from {unlike} on") from None
    _verify(result, one)
    return result


def _two(network: nn.Module, x: Tensor, pick: Callable[[Any, Tensor], Any] | None, casts: Casts) -> Recorder:
    """Record a pass of two images; Untraceable for a network that accepts one image only, such as an exported one."""
    try:
        return Recorder(network, _batch(x, 2), pick, casts)
    except Untraceable:
        raise
    except Exception as error:  # a network can raise any exception
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise Untraceable(
            f"it accepts one image but not two ({reason}); export it with a dynamic number of images"
        ) from error


def _batch(x: Tensor, count: int) -> Tensor:
    """Return a batch of the image, a copy with lower contrast, and a mirrored copy."""
    return torch.cat([x, x / 2, x.flip(3)][:count])


def _refuse_other_scores(one: Recorder, two: Recorder, dtype: torch.dtype) -> None:
    """Raise an error if the scores of an image change from pass to pass, or with the other images."""
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


def _verify(result: Trace, one: Recorder) -> None:
    """Raise an error if the trace does not reproduce the output of the network."""
    if not isinstance(result.output, Value) or not result.calls[result.output.call].depends:
        return
    expected = one.results[one.output.call][one.output.item]
    with outside_inference(), torch.enable_grad():
        replayed = result.segment(Value(0), result.output)(one.x.clone().requires_grad_())
    if not replayed.requires_grad:
        raise Untraceable(f"{_without_gradient(result)} has no gradient")
    if not expected.isfinite().all():
        return
    off = _difference(replayed, expected) if replayed.shape == expected.shape else float("inf")
    if not off <= torch.finfo(expected.dtype).eps ** 0.5:
        raise Untraceable(f"a replay of its calls gives another output (by {off:.1%})")


def _without_gradient(result: Trace) -> str:
    """Return the description of the first call whose result has no gradient although an argument has one."""
    for call, results in zip(result.calls, result.results, strict=True):
        before = any(result.results[value.call][value.item].requires_grad for value in call.values())
        if before and call.depends and results[0].is_floating_point() and not results[0].requires_grad:
            return call.description
    return "the network"


def _difference(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    actual, expected = double(actual.detach()), double(expected.detach())
    return ((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()
