"""Backward rules of excitation backprop: each winner shares its probability among the neurons that excite it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import outside_inference
from xai_widgets.rules.propagation import Operation, PropagationRules


class _Shared(torch.autograd.Function):
    """y = f(a, w) + constant, on whose way back P is shared out among a."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(a, weight)
        ctx.f = f
        return run()

    @staticmethod
    def backward(ctx: Any, p: Tensor) -> tuple[Tensor | None, ...]:
        a, weight = (each.float() if each.element_size() < 4 else each for each in ctx.saved_tensors)
        made = torch.zeros_like(a)
        for sign in (1, -1):
            part = (sign * p).clamp(min=0).to(a)
            if part.any():
                made += _shares(a, sign * weight, ctx.f, part)
        return made.to(p.dtype), None, None, None


class _Scaled(torch.autograd.Function):
    """y = factor * x + shift; below 0 the factor turns round the direction that excites."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(factor.sign())
        ctx.shape = x.shape
        return run()

    @staticmethod
    def backward(ctx: Any, p: Tensor) -> tuple[Tensor | None, ...]:
        (sign,) = ctx.saved_tensors
        return (p * sign).sum_to_size(ctx.shape), None, None, None


class _Rectified(torch.autograd.Function):
    """ReLU: a neuron that is on passes P on to what it is made of, one that is off has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        y = run()
        ctx.save_for_backward(y > 0)
        return y

    @staticmethod
    def backward(ctx: Any, p: Tensor) -> tuple[Tensor | None, ...]:
        (active,) = ctx.saved_tensors
        return p.clamp(min=0) * active, None


def _shares(a: Tensor, weight: Tensor, f: Operation, p: Tensor) -> Tensor:
    """P(a_j) of what excites f(a, weight), with the sign of a_j."""
    halves = [(a.clamp(min=0), weight.clamp(min=0)), (a.clamp(max=0), weight.clamp(max=0))]
    # After a ReLU nothing is below 0, and one half is all.
    halves = halves if (a < 0).any() else halves[:1]
    with torch.enable_grad():
        given = [half.detach().requires_grad_() for half, _ in halves]
        excitation = sum(f(half, w) for half, (_, w) in zip(given, halves, strict=True))
        assert isinstance(excitation, Tensor)
        z = torch.where(excitation > torch.finfo(p.dtype).tiny, p / excitation, 0).detach()
        back = torch.autograd.grad(excitation, given, z)
    # Where both a and w are below 0 their product excites, but P is to have the sign of a.
    return given[0].detach() * back[0] - (given[1].detach() * back[1] if len(given) > 1 else 0)


def redistribute(
    network: nn.Module, run: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, start: Tensor
) -> Tensor | None:
    """P of an activation, when it begins with ``start`` at the scores.

    Parameters
    ----------
    network : nn.Module
        Whose layers errors name.
    run : callable
        From pixels (N, C, H, W) to the scores (N, classes), and the activation (N, ...) on the way to them.
    x : Tensor, (N, C, H, W)
        Pixels.
    start : Tensor, (N, classes)
        As for :func:`winning_probability`.

    Returns
    -------
    Tensor, (N, ...), or None
        At least 0; None if the scores do not depend on the activation.
    """
    made = redistribute_all(network, run, x, [start])
    return None if made is None else made[0]


def redistribute_all(
    network: nn.Module,
    run: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    starts: Sequence[Tensor],
) -> list[Tensor] | None:
    """:func:`redistribute` of each start, by one forward pass."""
    rules = PropagationRules(
        "excitation backprop", network, linear=_Shared.apply, scale=_Scaled.apply, rectifier=_Rectified.apply
    )
    with outside_inference(), torch.enable_grad():
        pixels = x.clone().requires_grad_()
        with rules:
            scores, at = run(pixels)
        if not (at.requires_grad and scores.requires_grad):
            return None
        made: list[Tensor] = []
        for start in starts:
            # What is kept for the way back is let go by the last one.
            more = len(made) + 1 < len(starts)
            (found,) = torch.autograd.grad(scores, at, start.clone(), allow_unused=True, retain_graph=more)
            if found is None:
                return None
            made.append(found.to(torch.promote_types(found.dtype, torch.float32)).abs())
    return made
