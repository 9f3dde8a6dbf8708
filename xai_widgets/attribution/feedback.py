"""Feedback layers: gates behind every ReLU, closed where they keep the score of the class down.

Cao et al. 2015. A gate z in {0, 1} behind each output of each ReLU, y = z relu(x), is to make the score large:

    maximize over z   S_c(x, z)

All gates begin open. In each iteration the gates are set by one backward pass, from the scores down, each one through
those above it as they were just set:

    z <- 1 where relu(x) * dS_c/dy > 0, else 0

until none changes. As that need not raise the score, the gates kept are those with which it was the largest; with the
open gates among them it never falls. What is shown is the linear approximation with these gates, a * dS_c/da.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.excitation import IMAGE
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import integer
from xai_widgets.methods.gradients import score_gradient, spatial_gradient
from xai_widgets.methods.registry import Cost, channel_sum, method
from xai_widgets.rules import relu_rules

TITLE = "feedback"
#: Which gates are open, by the number of the ReLU in the order of the calls; all of those that are missing.
Gates = dict[int, Tensor]


@method(
    title="Feedback layers",
    reduce=channel_sum,
    source="Cao et al. 2015",
    formula="a * dS_c/da with gates z in {0, 1} behind every ReLU that make S_c large",
    cost=Cost(2, 1, "iterations", 1, 1, note="at most"),
    limits="Refuses networks without ReLU; the score that is explained is that of the gated network.",
    requires=("relu",),
)
def feedback_layers(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str = IMAGE, iterations: int = 10
) -> Tensor:
    """Feedback layers: the linear approximation of a network whose gates let pass what speaks for the class.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, default "image"
        A layer with output (C, h, w), by its name in ``model.layers()``, or "image" for the pixels.
    iterations : int, default 10
        How often the gates are set, at most. With 0 it is the linear approximation itself.

    Returns
    -------
    Tensor, (N, C, h, w)
        Signed, in units of the score, in the resolution of the layer.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, or whose output has no places, iterations below 0, or a
        network without ReLU.
    """
    iterations = integer(iterations, "iterations", low=0)
    # Asked before there are gates: the first time it is a pass of its own.
    at_pixels = (
        isinstance(layer, str) and layer == IMAGE and IMAGE not in {each.name for each in model.layers()}
    )
    made = []
    for image, label in zip(x, target, strict=True):
        pixels, label = image[None], label[None]
        gates = _open_gates(model, pixels, label, iterations)
        with relu_rules(model, TITLE, relu=_Gating(gates)):
            if at_pixels:
                made.append(pixels * score_gradient(model, pixels, label))
            else:
                activation, gradient = spatial_gradient(model, pixels, label, layer)
                made.append(activation * gradient)
    return torch.cat(made)


def _open_gates(model: ImageModel, x: Tensor, target: Tensor, iterations: int) -> Gates:
    """The gates with the largest score for one image."""
    gates: Gates = {}
    best, highest = gates, -torch.inf
    with outside_inference(), torch.enable_grad():
        target = target.clone()
        for left in range(iterations, -1, -1):
            found: Gates = {}
            pixels = x.clone().requires_grad_()
            with relu_rules(model, TITLE, relu=_Gating(gates, found)):
                score = model(pixels).gather(1, target[:, None]).sum()
            if score.item() > highest:
                best, highest = gates, score.item()
            if not left or not score.requires_grad:
                break
            torch.autograd.grad(score, pixels, allow_unused=True)
            if found.keys() == gates.keys() and all(torch.equal(found[each], gates[each]) for each in found):
                break
            gates = found
    return best


class _Gating:
    """A ReLU with a gate behind it, call after call.

    Parameters
    ----------
    gates : dict of int to Tensor
        That are set.
    found : dict of int to Tensor, optional
        Where the backward pass is to write what they should be set to. Default: it is the gradient.
    """

    def __init__(self, gates: Gates, found: Gates | None = None) -> None:
        self._gates = gates
        self._found = found
        self._number = 0

    def __call__(self, x: Tensor) -> Tensor:
        number, self._number = self._number, self._number + 1
        gate = self._gates.get(number)
        made: Tensor = (
            _Gated.apply(x, gate) if self._found is None else _Set.apply(x, gate, number, self._found)
        )
        return made


class _Gated(torch.autograd.Function):
    """A gated ReLU. It keeps no values that the network may go on to write into."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor | None) -> Tensor:
        open_ = x > 0 if gate is None else (x > 0) & gate
        ctx.save_for_backward(open_)
        return x * open_

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad * ctx.saved_tensors[0], None


class _Set(torch.autograd.Function):
    """A gated ReLU that sets its gate on the way back, and lets the gradient pass by the new one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor | None, number: int, found: Gates) -> Tensor:
        on = x > 0
        ctx.save_for_backward(on)
        ctx.gate = number, found
        return x * (on if gate is None else on & gate)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        number, found = ctx.gate
        found[number] = ctx.saved_tensors[0] & (grad > 0)
        return grad * found[number], None, None, None
