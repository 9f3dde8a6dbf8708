"""Multipliers of DeepLIFT: operations that give what the network computes, and on the way back m = R / Delta.

The equations are those of :mod:`xai_widgets.attribution.deep_lift`. x and y are of the image, x0 and y0 of
the reference. For RevealCancel x and its Delta+ and Delta- are three parts of one batch.
"""

# ruff: noqa: D102 - a function of autograd is explained as a whole, and not its forward and its backward

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xai_widgets.rules import Norm, Operation

#: In units of the activation; the slope over a shorter way is the derivative, since rounding would spoil it.
SHORT = 1e-6


def slope(x: Tensor, x0: Tensor, y: Tensor, y0: Tensor, run: Callable[..., Tensor]) -> Tensor:
    """(y - y0) / (x - x0), and where there is no way between them the derivative of ``run`` at x."""
    way = x - x0
    short = way.abs() <= SHORT
    steep = (y - y0) / way.masked_fill(short, 1)
    return torch.where(short, _derivative(x, run), steep) if short.any() else steep


def _derivative(x: Tensor, run: Callable[..., Tensor]) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(run(x).sum(), x)[0]


class Times(torch.autograd.Function):
    """What was computed, and a multiplier that is the one of the output times ``factor``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        return multiplier * ctx.saved_tensors[0], None, None


class Product(torch.autograd.Function):
    """x * z, each with the mean of what the other is in the image and in the reference."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, z: Tensor, x0: Tensor, z0: Tensor) -> Tensor:
        ctx.save_for_backward((x + x0) / 2, (z + z0) / 2)
        ctx.shapes = x.shape, z.shape
        return x * z

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        x, z = ctx.saved_tensors
        to_x, to_z = ctx.shapes
        return (multiplier * z).sum_to_size(to_x), (multiplier * x).sum_to_size(to_z), None, None


class Pooled(torch.autograd.Function):
    """Max-pooling: what is above the reference is from the winner of the image, what is below from the other's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, x0: Tensor, run: Callable[..., Tensor]) -> Tensor:
        x0 = x0.expand_as(x)
        with torch.enable_grad():
            both = x.detach().clone().requires_grad_(), x0.detach().clone().requires_grad_()
            pooled = run(both[0]), run(both[1])
        ctx.graph = both, pooled, x - x0
        return pooled[0].detach()

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        both, (y, y0), way = ctx.graph
        most = torch.maximum(y, y0).detach()
        gained = torch.autograd.grad(y, both[0], multiplier * (most - y0))[0]
        lost = torch.autograd.grad(y0, both[1], multiplier * (y - most))[0]
        given = gained + lost
        return torch.where(given == 0, 0, given / way.masked_fill(way == 0, 1)), None, None


def rescaled(x: Tensor, x0: Tensor, y0: Tensor, run: Callable[..., Tensor]) -> Tensor:
    """The function of one number, y = g(x), by the rescale rule."""
    with torch.no_grad():
        y = run(x)
        factor = slope(x, x0, y, y0, run)
    made: Tensor = Times.apply(x, y, factor)
    return made


def normed(x: Tensor, x0: Tensor, norm: Norm) -> Tensor:
    """Layer-norm, made of averages, a square, a root and a product."""

    def root(given: Tensor) -> Tensor:
        return (given + norm.eps).rsqrt()

    centered, centred0 = (part - part.mean(norm.dims, keepdim=True) for part in (x, x0))
    with torch.no_grad():
        square, double = centered.square(), centered + centred0
        variance0 = centred0.square().mean(norm.dims, keepdim=True)
        root0 = root(variance0)
    square = Times.apply(centered, square, double)
    scale = rescaled(square.mean(norm.dims, keepdim=True), variance0, root0, root)
    made: Tensor = Product.apply(centered, scale, centred0, root0) * norm.weight + norm.bias
    return made


class Join(torch.autograd.Function):
    """x alone; its multiplier is that of both parts."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor) -> Tensor:
        return parts.chunk(3)[0].clone()

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(multiplier), multiplier, multiplier])


class Split(torch.autograd.Function):
    """Beside y its Delta, in the part of its sign; it has the multiplier of that part."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, y0: Tensor) -> Tensor:
        change = y - y0
        ctx.save_for_backward(change)
        return torch.cat([y, change.clamp(min=0), change.clamp(max=0)])

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor | None, ...]:
        return _of_its_sign(ctx.saved_tensors[0], multipliers), None


def _of_its_sign(change: Tensor, multipliers: Tensor) -> Tensor:
    """The multiplier of the part that a change is in; the mean of both for none."""
    _, positive, negative = multipliers.chunk(3)
    return torch.where(change > 0, positive, torch.where(change < 0, negative, (positive + negative) / 2))


class SharedBySign(torch.autograd.Function):
    """A layer with weights: w_i Delta x_i goes to the part of its sign, and has the multiplier of that part."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, weight: Tensor, f: Operation) -> Tensor:
        x, positive, negative = parts.chunk(3)
        change = positive + negative
        ctx.save_for_backward(change, weight)
        ctx.layer = f
        up, down, above, below = _halves(change, weight)
        y = f(x, weight)
        y = y if f.bias is None else y + f.bias
        return torch.cat([y, f(above, up) + f(below, down), f(above, down) + f(below, up)])

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor | None, ...]:
        change, weight = ctx.saved_tensors
        up, down, _, _ = _halves(change, weight)
        _, positive, negative = multipliers.chunk(3)

        def back(of_up: Tensor, of_down: Tensor) -> Tensor:
            with torch.enable_grad():
                a = torch.zeros_like(change).requires_grad_()
                return torch.autograd.grad([ctx.layer(a, up), ctx.layer(a, down)], a, [of_up, of_down])[0]

        rising, falling = back(positive, negative), back(negative, positive)
        found = torch.where(change > 0, rising, torch.where(change < 0, falling, (rising + falling) / 2))
        return torch.cat([torch.zeros_like(found), found, found]), None, None


def _halves(change: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """What of weights, and of changes, is above 0 and below."""
    return weight.clamp(min=0), weight.clamp(max=0), change.clamp(min=0), change.clamp(max=0)


class Revealed(torch.autograd.Function):
    """y = g(x) by equations 23 to 25."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, x0: Tensor, y0: Tensor, run: Callable[..., Tensor]) -> Tensor:
        x, positive, negative = parts.chunk(3)
        y, high, low = run(x), run(x0 + positive), run(x0 + negative)
        gained = (high - y0 + y - low) / 2
        lost = (low - y0 + y - high) / 2
        factors = [
            torch.where(
                part.abs() <= SHORT,
                (_derivative(x0.expand_as(part), run) + _derivative(x0 + other, run)) / 2,
                made / part.masked_fill(part.abs() <= SHORT, 1),
            )
            for part, other, made in ((positive, negative, gained), (negative, positive, lost))
        ]
        change = y - y0
        ctx.save_for_backward(change, *factors)
        return torch.cat([y, change.clamp(min=0), change.clamp(max=0)])

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor | None, ...]:
        change, rising, falling = ctx.saved_tensors
        multiplier = _of_its_sign(change, multipliers)
        return (
            torch.cat([torch.zeros_like(multiplier), multiplier * rising, multiplier * falling]),
            None,
            None,
            None,
        )
