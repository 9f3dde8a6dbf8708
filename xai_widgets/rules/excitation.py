"""Backward rules of excitation backprop: a winning neuron distributes its probability to its excitatory inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import outside_inference
from xai_widgets.rules.calls import Operation, in_graph
from xai_widgets.rules.propagation import PropagationRules
from xai_widgets.rules.selection import any_negative, any_nonzero, where_nonzero, where_positive


class _Linear(torch.autograd.Function):
    """y = f(a, w) + constant, with the winning probability as its backward."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(a, weight)
        ctx.f = f
        return run()

    @staticmethod
    def backward(ctx: Any, p: Tensor) -> tuple[Tensor | None, ...]:
        a, weight = (each.float() if each.element_size() < 4 else each for each in ctx.saved_tensors)
        result: Tensor | None = None
        for sign in (1, -1):
            part = (p if sign > 0 else -p).clamp(min=0).to(a)
            if any_nonzero(part):
                found = _marginal_winning_probability(a, sign * weight, ctx.f, part)
                result = found if result is None else result + found
        return (torch.zeros_like(a) if result is None else result).to(p.dtype), None, None, None


class _Scaled(torch.autograd.Function):
    """y = factor * x + shift; a negative factor reverses the excitatory direction."""

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
    """ReLU: an active neuron passes P to its input, an inactive one has P = 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        y = in_graph(ctx, x, run)
        # The network may change it in place afterwards.
        ctx.save_for_backward(y.clone())
        return y

    @staticmethod
    def backward(ctx: Any, p: Tensor) -> tuple[Tensor | None, ...]:
        return where_positive(ctx.saved_tensors[0], p.clamp(min=0)), None


def _marginal_winning_probability(a: Tensor, weight: Tensor, f: Operation, p: Tensor) -> Tensor:
    """Return P(a_j) of the excitatory inputs of f(a, weight) with probabilities p, with the sign of a_j."""
    halves = [(a.clamp(min=0), weight.clamp(min=0)), (a.clamp(max=0), weight.clamp(max=0))]
    # After a ReLU no activation is negative, and the first half is enough.
    halves = halves if any_negative(a) else halves[:1]
    with torch.enable_grad():
        inputs = [half.detach().requires_grad_() for half, _ in halves]
        excitation = sum(f(half, w) for half, (_, w) in zip(inputs, halves, strict=True))
        assert isinstance(excitation, Tensor)
        z = where_nonzero(excitation.detach(), p / excitation.detach())
        gradients = torch.autograd.grad(excitation, inputs, z)
    # If both a and w are negative, their product is excitatory, but P has the sign of a.
    negative = inputs[1].detach() * gradients[1] if len(inputs) > 1 else 0
    return inputs[0].detach() * gradients[0] - negative


def redistribute(
    network: nn.Module, run: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, start: Tensor
) -> Tensor | None:
    """Return P of an activation for given probabilities of the scores.

    Parameters
    ----------
    network : nn.Module
        The network whose layers are named in errors.
    run : callable
        Maps pixels (N, C, H, W) to scores (N, classes) and to an activation (N, ...).
    x : Tensor, (N, C, H, W)
        Pixels.
    start : Tensor, (N, classes)
        See :func:`~xai_widgets.attribution.excitation.winning_probability`.

    Returns
    -------
    Tensor, (N, ...), or None
        At least 0; None if the scores do not depend on the activation.
    """
    result = redistribute_all(network, run, x, [start])
    return None if result is None else result[0]


def redistribute_all(
    network: nn.Module,
    run: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    starts: Sequence[Tensor],
) -> list[Tensor] | None:
    """Return the result of :func:`redistribute` for each of ``starts``, by one forward pass."""
    with outside_inference(), torch.enable_grad():
        pixels = x.clone().requires_grad_()
        with _rules(network):
            scores, at = run(pixels)
        if not (at.requires_grad and scores.requires_grad):
            return None
        result: list[Tensor] = []
        for start in starts:
            # The last backward pass frees the graph.
            more = len(result) + 1 < len(starts)
            (p,) = torch.autograd.grad(scores, at, start.clone(), allow_unused=True, retain_graph=more)
            if p is None:
                return None
            result.append(p.to(torch.promote_types(p.dtype, torch.float32)).abs())
    return result


def contrast(
    network: nn.Module,
    run: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
    x: Tensor,
    start: Tensor,
) -> Tensor | None:
    """Return (P - P')+ of an activation, P' that of the dual scores, propagated to an earlier activation.

    Parameters
    ----------
    network : nn.Module
        The network whose layers are named in errors.
    run : callable
        Maps pixels (N, C, H, W) to scores (N, classes), to the activation (N, ...) at which P and P', each with the sum
        1, are subtracted, and to the earlier activation, or the same.
    x : Tensor, (N, C, H, W)
        Pixels.
    start : Tensor, (N, classes)
        P of the scores.

    Returns
    -------
    Tensor, (N, ...), or None
        At least 0; None if there is no way from the scores to the activations.
    """
    with outside_inference(), torch.enable_grad():
        pixels = x.clone().requires_grad_()
        with _rules(network):
            scores, contrasted, at = run(pixels)
        if not (at.requires_grad and contrasted.requires_grad and scores.requires_grad):
            return None
        both = []
        for each in (start.clone(), -start):
            # The graph is needed again.
            (p,) = torch.autograd.grad(scores, contrasted, each, allow_unused=True, retain_graph=True)
            if p is None:
                return None
            p = p.to(torch.promote_types(p.dtype, torch.float32)).abs()
            total = p.flatten(1).sum(1).view(-1, *[1] * (p.ndim - 1))
            both.append(torch.where(total > 0, p / total, 0))
        result = (both[0] - both[1]).clamp(min=0)
        if contrasted is at:
            return result
        # P has the sign of its activation.
        signed = torch.where(contrasted < 0, -result, result).to(contrasted.dtype)
        (earlier,) = torch.autograd.grad(contrasted, at, signed, allow_unused=True)
        return (
            None if earlier is None else earlier.to(torch.promote_types(earlier.dtype, torch.float32)).abs()
        )


def _rules(network: nn.Module) -> PropagationRules:
    return PropagationRules(
        "excitation backprop", network, linear=_Linear.apply, scale=_Scaled.apply, rectifier=_Rectified.apply
    )
