"""DeepLIFT: the change of a score from that of a reference, shared out among the changes of the pixels.

Shrikumar, Greenside and Kundaje 2017; equations 19 to 25 of Ayyar et al.'s survey. Delta y = y - y0 is how far a value
is from the one that it has for the reference image x0, R what it contributes to Delta S_c, and m = R / Delta its
multiplier (20), which goes back by a chain rule (21) like a derivative. The pixels have R = m (x - x0), and

    sum_i R_i = S_c(x) - S_c(x0)                                                        summation to delta (19)

    linear         y = sum_i w_i x_i + b      m_x = w m_y
    rescale        y = g(x)                   m_x = Delta y / Delta x m_y, for Delta x = 0 the derivative of g
    RevealCancel   y = g(x)                   m_x+ = Delta y+ / Delta x+ m_y, and the same for -               (25)
      Delta y+ = 1/2 (g(x0 + Delta x+) - g(x0)) + 1/2 (g(x0 + Delta x+ + Delta x-) - g(x0 + Delta x-))         (23)
      Delta y- = 1/2 (g(x0 + Delta x-) - g(x0)) + 1/2 (g(x0 + Delta x- + Delta x+) - g(x0 + Delta x+))         (24)

where Delta x+ and Delta x- are the sums of the positive and of the negative w_i Delta x_i of the layer before (22), and
w_i goes with m_x+ or m_x- by the sign of its own. Batch-norm, averages and additions after a layer are part of it.

Of what the paper has no rule for: in a product of two values that depend on the pixels each takes half of the change
that it makes before and after the other's. A max-pooled y = max_i x_i with M = max(y, y0) gives (M - y0) m_y to the
input that wins in the image and (y - M) m_y to the one that wins in the reference. Layer-norm is made of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.attribution.deep_lift_rules import (
    Join,
    Pooled,
    Product,
    Revealed,
    SharedBySign,
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
from xai_widgets.rules import Norm, Operation, PropagationRules, check_reached

TITLE = "DeepLIFT"
DeepLiftRule = Literal["rescale", "reveal_cancel", "reveal_cancel_dense"]
#: Of the change of the score, and of all magnitudes: a sum that is farther off is said in a warning.
TOLERANCE, ROUNDING = 0.01, 1e-4


class _Reference:
    """The pass of the reference image: keeps what each operation was given, in the order of the network."""

    def __init__(self) -> None:
        self.kept: list[tuple[Tensor, ...]] = []

    def _keep(self, *tensors: Tensor) -> None:
        # The network may go on to write into them.
        self.kept.append(tuple(tensor.detach().clone() for tensor in tensors))

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[..., Tensor]) -> Tensor:
        return run()

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[..., Tensor]) -> Tensor:
        return run()

    def function(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        y = run()
        self._keep(x, y)
        return y

    rectifier = activation = max_pool = function

    def product(self, x: Tensor, other: Tensor, run: Callable[..., Tensor]) -> Tensor:
        self._keep(x, other)
        return run()

    def norm(self, x: Tensor, norm: Norm, run: Callable[..., Tensor]) -> Tensor:
        self._keep(x)
        return run()


class _Rescale(_Reference):
    """The pass of the images, whose multipliers come back by the linear rule and by rescale."""

    def __init__(self, reference: _Reference) -> None:
        self._kept = iter(reference.kept)

    def function(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        x0, y0 = next(self._kept)
        return rescaled(x, x0, y0, run)

    rectifier = activation = function

    def max_pool(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        x0, _ = next(self._kept)
        made: Tensor = Pooled.apply(x, x0, run)
        return made

    def product(self, x: Tensor, other: Tensor, run: Callable[..., Tensor]) -> Tensor:
        made: Tensor = Product.apply(x, other, *next(self._kept))
        return made

    def norm(self, x: Tensor, norm: Norm, run: Callable[..., Tensor]) -> Tensor:
        (x0,) = next(self._kept)
        return normed(x, x0, norm)


class _RevealCancel(_Rescale):
    """The pass of the images with their Delta+ and Delta-, whose multipliers come back by RevealCancel."""

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[..., Tensor]) -> Tensor:
        if f.kind == "sum":
            return run()
        made: Tensor = SharedBySign.apply(a, weight, f)
        return made

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[..., Tensor]) -> Tensor:
        up, down = factor.clamp(min=0), factor.clamp(max=0)
        image, above, below = x.chunk(3)
        return torch.cat([image * factor + shift, above * up + below * down, above * down + below * up])

    def rectifier(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        made: Tensor = Revealed.apply(x, *next(self._kept), run)
        return made

    activation = rectifier

    def max_pool(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        x0, y0 = next(self._kept)
        return self._split(Pooled.apply(Join.apply(x), x0, run), y0)

    def product(self, x: Tensor, other: Tensor, run: Callable[..., Tensor]) -> Tensor:
        x0, other0 = next(self._kept)
        return self._split(Product.apply(Join.apply(x), Join.apply(other), x0, other0), x0 * other0)

    def norm(self, x: Tensor, norm: Norm, run: Callable[..., Tensor]) -> Tensor:
        (x0,) = next(self._kept)
        return self._split(normed(Join.apply(x), x0, norm), run(x0))

    @staticmethod
    def _split(y: Tensor, y0: Tensor) -> Tensor:
        made: Tensor = Split.apply(y, y0)
        return made


class _RevealCancelDense(_RevealCancel):
    """RevealCancel between dense layers, rescale between convolutions."""

    def rectifier(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        if x.ndim == 2:
            return super().rectifier(x, run)
        x0, y0 = next(self._kept)
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
    formula="m (x - x0), m_x = w m_y through what is linear, m_x = Delta y / Delta x m_y through y = g(x)",
    cost=Cost(note="a forward pass besides, of the reference; RevealCancel passes three for each image"),
    guarantees="sums to S_c(x) - S_c(x0)",
    limits="Refuses operations without a rule, such as softmax; depends on the reference, and rescale sees nothing of "
    "what cancels within a neuron.",
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
    """DeepLIFT: the change of the score from that of a reference image, shared out among the changes of the pixels.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    baseline : float or Tensor, default 0.0
        x0, the reference: a gray value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
    rule : {"rescale", "reveal_cancel", "reveal_cancel_dense"}, default "rescale"
        For everything that is not linear; the last is RevealCancel between dense layers and rescale between
        convolutions, as the paper advises. Linear layers have the linear rule.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum is S_c(x) - S_c(x0) up to its ``gap``, (N,). A warning tells a sum that is off by
        more than 0.01 of that.

    Raises
    ------
    ValueError
        For an unknown rule, or a network with an operation that has no rule, such as softmax.
    """
    if rule not in _PASSES:
        raise ValueError(unknown_name("rule", rule, get_args(DeepLiftRule)))
    with outside_inference(), torch.enable_grad():
        x, target, baseline = x.clone(), target.clone(), check_baseline(baseline, x).clone()
        way = x - baseline
        if (baseline == baseline[:1]).all():
            baseline = baseline[:1]
        reference = _Reference()
        before = _scores(model, baseline, reference).detach()
        layers = _PASSES[rule](reference)
        revealing = isinstance(layers, _RevealCancel)
        pixels = torch.cat([x, way.clamp(min=0), way.clamp(max=0)]) if revealing else x.clone()
        scores = _scores(model, pixels, layers)
        check_reached(scores, model.name)
        start = torch.zeros_like(scores).scatter(1, target.repeat(len(pixels) // len(x))[:, None], 1)
        (multipliers,) = torch.autograd.grad(scores, pixels, start)
    if revealing:
        _, above, below = multipliers.chunk(3)
        made = above * way.clamp(min=0) + below * way.clamp(max=0)
    else:
        made = multipliers * way
    scores = scores.detach()[: len(x)]
    change = (scores - before).gather(1, target[:, None])[:, 0]

    def words(total: str, wanted: str) -> str:
        return (
            f"{TITLE} of {model.name} sums to {total} for a change of the score of {wanted}, wanted the same"
        )

    magnitude = made.flatten(1).abs().sum(1) + scores.abs().amax(1)
    return with_gap(made, change, TOLERANCE, words, rounding=ROUNDING * magnitude)
