"""Feedback layers: binary gates after every ReLU that maximize the score of the class.

Cao et al. 2015. A gate z in {0, 1} multiplies each output of each ReLU, y = z relu(x):

    maximize over z   S_c(x, z)

All gates are open at first. Each iteration sets the gates in one backward pass, from the scores down, where the
gradient passes through the gates that were just set:

    z <- 1 where relu(x) * dS_c/dy > 0, else 0

until none changes. As an iteration may lower the score, the gates with the largest score are used. The map is the
linear approximation with these gates, a * dS_c/da.
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
#: Open gates by the index of the ReLU call; the gates of a missing ReLU are all open.
Gates = dict[int, Tensor]


@method(
    title="Feedback layers",
    reduce=channel_sum,
    source="Cao et al. 2015",
    formula="a * dS_c/da with gates z in {0, 1} after every ReLU that maximize S_c",
    cost=Cost(2, 1, "iterations", 1, 1, note="at most"),
    limits="Requires a network with ReLU; explains the score of the gated network, which is far from that of a deep "
    "network: scattered pixels, without the object, in EfficientNet-Lite0.",
    requires=("relu",),
)
def feedback_layers(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str = IMAGE, iterations: int = 10
) -> Tensor:
    """Feedback layers: the linear approximation of a network with gates that maximize the score of the class.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, default "image"
        A layer with output (C, h, w), by its name in ``model.layers()``, or "image" for the pixels.
    iterations : int, default 10
        Largest number of iterations; 0 is the linear approximation itself.

    Returns
    -------
    Tensor, (N, C, h, w)
        Signed, in units of the score, in the resolution of the layer.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or one without spatial positions, iterations below 0, or a network
        without ReLU.
    """
    iterations = integer(iterations, "iterations", low=0)
    # Before the gates are set, as the first call of layers() runs the network.
    at_pixels = (
        isinstance(layer, str) and layer == IMAGE and IMAGE not in {each.name for each in model.layers()}
    )
    result = []
    for image, label in zip(x, target, strict=True):
        pixels, label = image[None], label[None]
        gates = _find_gates(model, pixels, label, iterations)
        with relu_rules(model, TITLE, relu=_GatedReLU(gates)):
            if at_pixels:
                result.append(pixels * score_gradient(model, pixels, label))
            else:
                activation, gradient = spatial_gradient(model, pixels, label, layer)
                result.append(activation * gradient)
    return torch.cat(result)


def _find_gates(model: ImageModel, x: Tensor, target: Tensor, iterations: int) -> Gates:
    """Return the gates with the largest score for one image."""
    gates: Gates = {}
    best, highest = gates, -torch.inf
    with outside_inference(), torch.enable_grad():
        target = target.clone()
        for left in range(iterations, -1, -1):
            updated: Gates = {}
            pixels = x.clone().requires_grad_()
            with relu_rules(model, TITLE, relu=_GatedReLU(gates, updated)):
                score = model(pixels).gather(1, target[:, None]).sum()
            reached = score.item()
            if reached > highest:
                best, highest = gates, reached
            if not left or not score.requires_grad:
                break
            torch.autograd.grad(score, pixels, allow_unused=True)
            same = updated.keys() == gates.keys()
            changed = [(updated[number] != gates[number]).any() for number in updated] if same else []
            if same and not (changed and torch.stack(changed).any()):
                break
            gates = updated
    return best


class _GatedReLU:
    """Replacement for the ReLU calls of one pass, with gates.

    Parameters
    ----------
    gates : dict of int to Tensor
        The current gates.
    updated : dict of int to Tensor, optional
        Receives the new gates in the backward pass. Default: the gates are not updated.
    """

    def __init__(self, gates: Gates, updated: Gates | None = None) -> None:
        self._gates = gates
        self._updated = updated
        self._number = 0

    def __call__(self, x: Tensor) -> Tensor:
        number, self._number = self._number, self._number + 1
        gate = self._gates.get(number)
        if gate is not None and gate.shape != x.shape:
            raise ValueError(
                f"expected a network whose ReLUs see activations of the same shape in every pass, got {tuple(x.shape)} "
                f"after {tuple(gate.shape)}, as in a detector, whose number of boxes varies"
            )
        result: Tensor = (
            _FixedGate.apply(x, gate)
            if self._updated is None
            else _UpdatedGate.apply(x, gate, number, self._updated)
        )
        return result


class _FixedGate(torch.autograd.Function):
    """A gated ReLU. It does not save tensors that the network may change in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor | None) -> Tensor:
        open_ = x > 0 if gate is None else (x > 0) & gate
        ctx.save_for_backward(open_)
        return x * open_

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad * ctx.saved_tensors[0], None


class _UpdatedGate(torch.autograd.Function):
    """A gated ReLU that updates its gate in the backward pass, where the gradient passes through the new gate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor | None, number: int, updated: Gates) -> Tensor:
        on = x > 0
        ctx.save_for_backward(on)
        ctx.gate = number, updated
        return x * (on if gate is None else on & gate)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        number, updated = ctx.gate
        updated[number] = ctx.saved_tensors[0] & (grad > 0)
        return grad * updated[number], None, None, None
