"""DeepLIFT rules: autograd functions that compute the operations of a network and backpropagate multipliers.

The equations are those of :mod:`xai_widgets.attribution.deep_lift`. x and y are values for the image, x0 and y0 for the
reference. For RevealCancel, a batch consists of x, Delta+ and Delta-.
"""

# ruff: noqa: D102 - the docstring of an autograd function describes its forward and its backward

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.rules import at_least_float32
from xai_widgets.rules.calls import Call, Compute, Norm, Operation, in_graph

#: For a smaller difference of activations the derivative is used as the slope, because of rounding.
SMALLEST_DIFFERENCE = 1e-6


def slope(x: Tensor, x0: Tensor, y: Tensor, y0: Tensor, run: Compute) -> Tensor:
    """Return (y - y0) / (x - x0), or the derivative of ``run`` at x where x is close to x0."""
    difference = x - x0
    # A comparison takes several times as long as these two, and is seldom needed.
    if not difference.numel() or difference.abs().amin() > SMALLEST_DIFFERENCE:
        return (y - y0).div_(difference)
    close = difference.abs() <= SMALLEST_DIFFERENCE
    return torch.where(close, _derivative(x, run), (y - y0) / difference.masked_fill(close, 1))


def _derivative(x: Tensor, run: Compute) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(run(x).sum(), x)[0]


class Scaled(torch.autograd.Function):
    """A computed output y; the multiplier of the input is that of the output times ``factor``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        return multiplier * ctx.saved_tensors[0], None, None


class Rectified(torch.autograd.Function):
    """ReLU with or without an upper bound, with the rescale rule.

    Its differences have no rounding of their own, so that the quotient is exact for every Delta x but 0. With t the
    smallest number and s the derivative at x0, (Delta y + t s) / (Delta x + t) is s for 0 and the quotient otherwise.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, x0: Tensor, run: Call) -> Tensor:
        start = at_least_float32(x0)
        tiny = torch.finfo(start.dtype).tiny
        factor = start.clamp(min=0, max=run.upper)
        slope0 = _tiny_slope(start, run.upper, tiny)
        # Nothing else uses the values of the reference.
        difference = torch.sub(x, start, out=start if start.shape == x.shape else None).add_(tiny)
        y = in_graph(ctx, x, run)
        factor = torch.sub(y, factor, out=factor if factor.shape == y.shape else None)
        ctx.save_for_backward(factor.add_(slope0).div_(difference))
        return y

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        return (multiplier * ctx.saved_tensors[0]).to(multiplier), None, None


def _tiny_slope(x: Tensor, upper: Any, tiny: float) -> Tensor:
    """Return the derivative of ReLU at x, times ``tiny``."""
    ones = x.new_full((), tiny).expand_as(x)
    if upper is None:
        return torch.ops.aten.threshold_backward(ones, x, 0)
    return torch.ops.aten.hardtanh_backward(ones, x, 0, upper)


class Product(torch.autograd.Function):
    """x * z; the multiplier of each factor is the mean of the other one for the image and for the reference."""

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
    """Max-pooling: the gain is attributed to the largest input of the image, the loss to that of the reference."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, x0: Tensor, run: Compute) -> Tensor:
        x0 = x0.expand_as(x)
        with torch.enable_grad():
            # The network may change x in place afterwards.
            both = x.detach().clone().requires_grad_(), x0.detach().requires_grad_()
            pooled = run(both[0]), run(both[1])
        ctx.graph = both, pooled
        return pooled[0].detach()

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        (x, x0), (y, y0) = ctx.graph
        largest = torch.maximum(y, y0).detach()
        gain = torch.autograd.grad(y, x, multiplier * (largest - y0))[0]
        loss = torch.autograd.grad(y0, x0, multiplier * (y - largest))[0]
        difference = at_least_float32((x - x0).detach())
        # An input that is the same in both has no gain and no loss, which is 0 divided by anything.
        quotient = (gain + loss) / difference.add_(torch.finfo(difference.dtype).tiny)
        return quotient.to(multiplier), None, None


def rescaled(x: Tensor, x0: Tensor, y0: Tensor, run: Compute) -> Tensor:
    """Compute an elementwise function y = g(x) with the rescale rule."""
    with torch.no_grad():
        y = run(x)
        factor = slope(x, x0, y, y0, run)
    result: Tensor = Scaled.apply(x, y, factor)
    return result


def normed(x: Tensor, x0: Tensor, norm: Norm) -> Tensor:
    """Compute layer norm as a composition of averages, a square, a root and a product."""

    def root(variance: Tensor) -> Tensor:
        return (variance + norm.eps).rsqrt()

    centered, centered0 = (part - part.mean(norm.dims, keepdim=True) for part in (x, x0))
    with torch.no_grad():
        square, double = centered.square(), centered + centered0
        variance0 = centered0.square().mean(norm.dims, keepdim=True)
        root0 = root(variance0)
    square = Scaled.apply(centered, square, double)
    scale = rescaled(square.mean(norm.dims, keepdim=True), variance0, root0, root)
    result: Tensor = Product.apply(centered, scale, centered0, root0) * norm.weight + norm.bias
    return result


class Join(torch.autograd.Function):
    """Returns x of a RevealCancel batch; its multiplier is that of Delta+ and of Delta-."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor) -> Tensor:
        return parts.chunk(3)[0].clone()

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(multiplier), multiplier, multiplier])


class Split(torch.autograd.Function):
    """Splits Delta y into its positive and negative part (RevealCancel); Delta y has the multiplier of its part."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, y0: Tensor) -> Tensor:
        change = y - y0
        ctx.save_for_backward(change)
        return torch.cat([y, change.clamp(min=0), change.clamp(max=0)])

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor | None, ...]:
        return _by_sign(ctx.saved_tensors[0], multipliers), None


def _by_sign(change: Tensor, multipliers: Tensor) -> Tensor:
    """Return the multiplier of Delta+ or Delta- by the sign of a change; the mean of both for no change."""
    _, positive, negative = multipliers.chunk(3)
    return torch.where(change > 0, positive, torch.where(change < 0, negative, (positive + negative) / 2))


class LinearBySign(torch.autograd.Function):
    """Linear layer of RevealCancel: w_i Delta x_i is added to Delta+ or Delta- by its sign and has its multiplier."""

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
        mean = (rising + falling) / 2
        multiplier = torch.where(change > 0, rising, torch.where(change < 0, falling, mean))
        return torch.cat([torch.zeros_like(multiplier), multiplier, multiplier]), None, None


def _halves(change: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """Return the positive and the negative part of weights and of changes."""
    return weight.clamp(min=0), weight.clamp(max=0), change.clamp(min=0), change.clamp(max=0)


class Revealed(torch.autograd.Function):
    """Elementwise function y = g(x) with the RevealCancel rule, equations 23 to 25."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, x0: Tensor, y0: Tensor, run: Compute) -> Tensor:
        x, positive, negative = parts.chunk(3)
        y, high, low = run(x), run(x0 + positive), run(x0 + negative)
        gained = (high - y0 + y - low) / 2
        lost = (low - y0 + y - high) / 2
        factors = [
            torch.where(
                part.abs() <= SMALLEST_DIFFERENCE,
                (_derivative(x0.expand_as(part), run) + _derivative(x0 + other, run)) / 2,
                delta / part.masked_fill(part.abs() <= SMALLEST_DIFFERENCE, 1),
            )
            for part, other, delta in ((positive, negative, gained), (negative, positive, lost))
        ]
        change = y - y0
        ctx.save_for_backward(change, *factors)
        return torch.cat([y, change.clamp(min=0), change.clamp(max=0)])

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor | None, ...]:
        change, rising, falling = ctx.saved_tensors
        multiplier = _by_sign(change, multipliers)
        return (
            torch.cat([torch.zeros_like(multiplier), multiplier * rising, multiplier * falling]),
            None,
            None,
            None,
        )
