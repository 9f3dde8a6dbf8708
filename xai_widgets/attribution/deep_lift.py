"""DeepLIFT: attribute the difference of the score from that of a reference image to the differences of the pixels.

Shrikumar et al. 2017; equations 19 to 25 of Ayyar et al. 2021. Delta y = y - y0 is the difference of a value from its
value for the reference image x0, R its contribution to Delta S_c, and m = R / Delta y its multiplier (20), which
follows a chain rule (21) like a derivative. The pixels have R = m (x - x0), and

    sum_i R_i = S_c(x) - S_c(x0)                                                        summation to delta (19)

    linear         y = sum_i w_i x_i + b      m_x = w m_y
    rescale        y = g(x)                   m_x = Delta y / Delta x m_y, for Delta x = 0 the derivative of g
    RevealCancel   y = g(x)                   m_x+ = Delta y+ / Delta x+ m_y, and the same for -               (25)
      Delta y+ = 1/2 (g(x0 + Delta x+) - g(x0)) + 1/2 (g(x0 + Delta x+ + Delta x-) - g(x0 + Delta x-))         (23)
      Delta y- = 1/2 (g(x0 + Delta x-) - g(x0)) + 1/2 (g(x0 + Delta x- + Delta x+) - g(x0 + Delta x+))         (24)

where Delta x+ and Delta x- are the sums of the positive and of the negative w_i Delta x_i of the previous layer (22),
which m_x+ and m_x- multiply by sign. Batch norm, averages and additions after a layer are part of it.

Rules that the paper does not define: in a product of two values that depend on the pixels, each gets the mean of its
contributions before and after the change of the other. Max-pooling y = max_i x_i with M = max(y, y0) gives (M - y0) m_y
to the largest input in the image and (y - M) m_y to the largest input in the reference. Layer norm is composed of
these.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.attribution.deep_lift_rules import (
    Join,
    LinearBySign,
    Pooled,
    Product,
    Rectified,
    Revealed,
    Split,
    normed,
    rescaled,
)
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.images import check_baseline
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import unknown_name
from xai_widgets.methods.completeness import with_gap
from xai_widgets.methods.registry import Cost, channel_sum, method
from xai_widgets.rules import PropagationRules, check_reached
from xai_widgets.rules.calls import Call, Compute, LinearRule, Norm, Operation, ScaleRule

TITLE = "DeepLIFT"
DeepLiftRule = Literal["rescale", "reveal_cancel", "reveal_cancel_dense"]
#: Largest completeness gap without a warning: relative to the change of the score, plus relative to all magnitudes.
TOLERANCE, ROUNDING = 0.01, 1e-4


class _Reference:
    """The pass of the reference image: records the inputs of each operation, in the order of the network."""

    def __init__(self) -> None:
        self.recorded: deque[tuple[Tensor, ...]] = deque()

    def _record(self, *tensors: Tensor) -> None:
        # Copies, as the network may change them in place afterwards.
        self.recorded.append(tuple(tensor.detach().clone() for tensor in tensors))

    #: Linear operations have their own backward.
    linear: LinearRule | None = None
    scale: ScaleRule | None = None

    def rectifier(self, x: Tensor, run: Call) -> Tensor:
        self._record(x)
        result: Tensor = run.original()
        return result

    max_pool = rectifier

    def activation(self, x: Tensor, run: Call) -> Tensor:
        y: Tensor = run()
        self._record(x, y)
        return y

    def product(self, x: Tensor, other: Tensor, run: Compute) -> Tensor:
        self._record(x, other)
        return run()

    def norm(self, x: Tensor, norm: Norm, run: Compute) -> Tensor:
        self._record(x)
        return run()


class _Rescale(_Reference):
    """The pass of the images with the linear rule and the rescale rule."""

    def __init__(self, reference: _Reference) -> None:
        self._recorded = reference.recorded

    def _next(self) -> tuple[Tensor, ...]:
        """Return the tensors of the next operation, which need not be kept any longer."""
        return self._recorded.popleft()

    def rectifier(self, x: Tensor, run: Call) -> Tensor:
        result: Tensor = Rectified.apply(x, *self._next(), run)
        return result

    def activation(self, x: Tensor, run: Call) -> Tensor:
        x0, y0 = self._next()
        return rescaled(x, x0, y0, run)

    def max_pool(self, x: Tensor, run: Compute) -> Tensor:
        (x0,) = self._next()
        result: Tensor = Pooled.apply(x, x0, run)
        return result

    def product(self, x: Tensor, other: Tensor, run: Compute) -> Tensor:
        result: Tensor = Product.apply(x, other, *self._next())
        return result

    def norm(self, x: Tensor, norm: Norm, run: Compute) -> Tensor:
        (x0,) = self._next()
        return normed(x, x0, norm)


class _RevealCancel(_Rescale):
    """The pass of the images, their Delta+ and their Delta- with the RevealCancel rule."""

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Compute) -> Tensor:
        if f.kind == "sum":
            return run()
        result: Tensor = LinearBySign.apply(a, weight, f)
        return result

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Compute) -> Tensor:
        up, down = factor.clamp(min=0), factor.clamp(max=0)
        image, above, below = x.chunk(3)
        return torch.cat([image * factor + shift, above * up + below * down, above * down + below * up])

    def rectifier(self, x: Tensor, run: Call) -> Tensor:
        x0, *known = self._next()
        result: Tensor = Revealed.apply(x, x0, *(known or [run(x0).detach()]), run)
        return result

    activation = rectifier

    def max_pool(self, x: Tensor, run: Compute) -> Tensor:
        (x0,) = self._next()
        return self._split(Pooled.apply(Join.apply(x), x0, run), run(x0))

    def product(self, x: Tensor, other: Tensor, run: Compute) -> Tensor:
        x0, other0 = self._next()
        return self._split(Product.apply(Join.apply(x), Join.apply(other), x0, other0), x0 * other0)

    def norm(self, x: Tensor, norm: Norm, run: Compute) -> Tensor:
        (x0,) = self._next()
        return self._split(normed(Join.apply(x), x0, norm), run(x0))

    @staticmethod
    def _split(y: Tensor, y0: Tensor) -> Tensor:
        result: Tensor = Split.apply(y, y0)
        return result


class _RevealCancelDense(_RevealCancel):
    """RevealCancel for dense layers, rescale for convolutions."""

    def rectifier(self, x: Tensor, run: Call) -> Tensor:
        if x.ndim == 2:
            return super().rectifier(x, run)
        x0, *known = self._next()
        (y0,) = known or [run(x0)]
        return self._split(rescaled(Join.apply(x), x0, y0, run), y0)

    activation = rectifier


_PASSES: dict[str, type[_Rescale]] = {
    "rescale": _Rescale,
    "reveal_cancel": _RevealCancel,
    "reveal_cancel_dense": _RevealCancelDense,
}


def _scores(model: ImageModel, pixels: Tensor, layers: _Reference) -> Tensor:
    with PropagationRules(
        TITLE,
        model.module,
        linear=layers.linear,
        scale=layers.scale,
        rectifier=layers.rectifier,
        activation=layers.activation,
        product=layers.product,
        norm=layers.norm,
        max_pool=layers.max_pool,
    ):
        return model(pixels.requires_grad_())


@method(
    title=TITLE,
    reduce=channel_sum,
    source="Shrikumar et al. 2017",
    formula="m (x - x0), m_x = w m_y for linear layers, m_x = Delta y / Delta x m_y for y = g(x)",
    cost=Cost(note="plus one forward of the reference; RevealCancel needs three for each image"),
    guarantees="sums to S_c(x) - S_c(x0)",
    limits="Raises an error for operations without a rule, such as softmax; depends on the reference, and the rescale "
    "rule misses contributions that cancel within a neuron.",
    requires=("rules",),
)
def deep_lift(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    baseline: float | Tensor = 0.0,
    rule: DeepLiftRule = "rescale",
) -> Tensor:
    """DeepLIFT: attribute the difference of the score from that of a reference image to the differences of the pixels.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    baseline : float or Tensor, default 0.0
        x0, the reference: a gray value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
    rule : {"rescale", "reveal_cancel", "reveal_cancel_dense"}, default "rescale"
        Rule of nonlinear operations; the last one is RevealCancel for dense layers and rescale for convolutions, as the
        paper recommends. Linear layers have the linear rule.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum is S_c(x) - S_c(x0) up to its ``gap``, (N,). A gap above 1 % of that gives a
        warning.

    Raises
    ------
    ValueError
        For an unknown rule, or a network with an operation without a rule, such as softmax.
    """
    if rule not in _PASSES:
        raise ValueError(unknown_name("rule", rule, get_args(DeepLiftRule)))
    with outside_inference(), torch.enable_grad():
        x, target, baseline = x.clone(), target.clone(), check_baseline(baseline, x).clone()
        difference = x - baseline
        if (baseline == baseline[:1]).all():
            baseline = baseline[:1]
        reference = _Reference()
        # Only the images have a backward pass, so that the reference need not keep activations for one.
        with torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda kept: kept):
            before = _scores(model, baseline, reference).detach()
        layers = _PASSES[rule](reference)
        revealing = isinstance(layers, _RevealCancel)
        parts = [x, difference.clamp(min=0), difference.clamp(max=0)]
        pixels = torch.cat(parts) if revealing else x.clone()
        scores = _scores(model, pixels, layers)
        check_reached(scores, model.name)
        start = torch.zeros_like(scores).scatter(1, target.repeat(len(pixels) // len(x))[:, None], 1)
        (multipliers,) = torch.autograd.grad(scores, pixels, start)
    if revealing:
        _, above, below = multipliers.chunk(3)
        result = above * difference.clamp(min=0) + below * difference.clamp(max=0)
    else:
        result = multipliers * difference
    scores = scores.detach()[: len(x)]
    change = (scores - before).gather(1, target[:, None])[:, 0]

    def warning(total: str, expected: str) -> str:
        return f"{TITLE} of {model.name} is incomplete (sum {total}, expected {expected})"

    magnitude = result.flatten(1).abs().sum(1) + scores.abs().amax(1)
    return with_gap(result, change, TOLERANCE, warning, rounding=ROUNDING * magnitude)
