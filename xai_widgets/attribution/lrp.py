"""Layer-wise relevance propagation: the score of a class, shared out layer by layer down to the pixels.

Bach et al. 2015; equation 11 of Ayyar et al.'s survey. What comes to a neuron is shared out among its inputs by the
rule of its layer (:mod:`xai_widgets.attribution.lrp_rules`), so that in every layer

    sum_i R_i = S_c(x)                                                                    conservation (11)

up to what biases and epsilon take. ReLU, and any layer that has one input for each output, passes relevance on as it
is; max-pooling to the input that won. Batch-norm belongs to the convolution or linear layer before it: w and b of
both are those of one layer. Where none is before it, as in DenseNet, it passes relevance on as it is too, but under
LRP-0 and epsilon it has a factor and a bias like any layer: their relevance is that of no neuron that is near 0.

Of a product the factor with fewer values is a gate, as in a squeeze-and-excitation block, and the other one takes all
(Arras et al. 2017); two of one size take half each (Achtibat et al. 2024). Layer-norm is to an image what batch-norm is
to all of them, with the statistics of the image as constants (Ali et al. 2022).

For LRP-0 this makes R = a dS_c/da at every layer of a network of ReLUs (Shrikumar et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.lrp_rules import Composite, Epsilon, Rule, ZBox, as_composite
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.validation import check_finite
from xai_widgets.errors import checked_keywords
from xai_widgets.methods.completeness import total, with_gap
from xai_widgets.methods.registry import channel_sum, method
from xai_widgets.rules import (
    Norm,
    Operation,
    PropagationRules,
    at_least_float32,
    check_reached,
    fold,
    producer_node,
)

TITLE = "layer-wise relevance propagation"
#: Of the score; a sum of relevances that is farther from it is said in a warning.
TOLERANCE = 0.1


class _Shared(torch.autograd.Function):
    """y = f(a, w) + bias, on whose way back the rule of the layer shares relevance out among a."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, weight: Tensor, f: Operation, rule: Rule, run: Callable[[], Tensor]
    ) -> Tensor:
        ctx.save_for_backward(a, weight)
        ctx.layer = f, rule
        return run()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        a, weight = map(at_least_float32, ctx.saved_tensors)
        f, rule = ctx.layer
        f = f if f.bias is None else replace(f, bias=at_least_float32(f.bias))
        return rule.share(a, weight, f, relevance.to(a)).to(relevance), None, None, None, None


class _Passed(torch.autograd.Function):
    """One output for each input, which gets its relevance."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.shape = x.shape
        return run()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.sum_to_size(ctx.shape), None


class _Gated(torch.autograd.Function):
    """A product, whose relevance goes to the factor with more values; half to each of two of one size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, other: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.shapes = x.shape, other.shape
        return run()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        sizes = [shape.numel() for shape in ctx.shapes]
        most = max(sizes)
        part = relevance / sizes.count(most)
        taken = [
            part.sum_to_size(shape) if size == most else None
            for shape, size in zip(ctx.shapes, sizes, strict=True)
        ]
        return *taken, None


def _sees_pixels(x: Tensor) -> bool:
    """Whether no layer is between the pixels and x."""
    nodes = [x.grad_fn]
    while nodes:
        node = nodes.pop()
        if hasattr(node, "layer"):
            return False
        nodes.extend(before for before, _ in getattr(node, "next_functions", ()))
    return True


class _Layers:
    """What :class:`~xai_widgets.rules.PropagationRules` does with each operation under a composite."""

    def __init__(self, composite: Composite) -> None:
        self._composite = composite

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        rule = self._composite.rule(f.kind, first=_sees_pixels(a))
        made: Tensor = _Shared.apply(a, weight, f, rule, run)
        return made

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[[], Tensor]) -> Tensor:
        made: Tensor
        layer = producer_node(x)
        if hasattr(layer, "layer"):
            (f, rule), (a, weight) = layer.layer, layer.saved_tensors
            folded = fold(weight, f, x, factor, shift)
            if folded is not None:
                # Beside the layer that made x, which other operations may use as it is.
                made = _Shared.apply(a, *folded, rule, run)
                return made
        if isinstance(self._composite.convolution, Epsilon) and not _sees_pixels(x):
            alone = Operation(lambda a, w: a * w, bias=shift)
            # The network may go on to write into x.
            made = _Shared.apply(x.clone(), factor, alone, self._composite.convolution, run)
            return made
        made = _Passed.apply(x, run)
        return made

    def rectifier(self, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        made: Tensor = _Passed.apply(x, run)
        return made

    def product(self, x: Tensor, other: Tensor, run: Callable[[], Tensor]) -> Tensor:
        made: Tensor = _Gated.apply(x, other, run)
        return made

    def norm(self, x: Tensor, norm: Norm, run: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad():
            variance, mean = torch.var_mean(x, norm.dims, correction=0, keepdim=True)
            factor = norm.weight / (variance + norm.eps).sqrt()
            shift = norm.bias - mean * factor
        return self.scale(x, factor, shift, run)


class _Reached(Exception):
    """The layer that sees the pixels was reached."""


def _with_bounds(model: ImageModel, x: Tensor, box: ZBox) -> ZBox:
    """The bounds of the pixels brought to the layer that sees them, by whatever the network does before it."""

    def reach(a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        raise _Reached(a.detach())

    def plain(x: Tensor, *rest: Any) -> Tensor:
        made: Tensor = _Passed.apply(x, rest[-1])
        return made

    ends = [torch.as_tensor(bound).to(x).expand(x.shape[1:]) for bound in (box.low, box.high)]
    try:
        with PropagationRules(TITLE, model.module, linear=reach, scale=plain, rectifier=plain):
            model(torch.stack(ends).requires_grad_())
    except _Reached as reached:
        low, high = reached.args[0]
        return ZBox(torch.minimum(low, high), torch.maximum(low, high))
    return box


def relevance(model: ImageModel, x: Tensor, target: Tensor, composite: Composite) -> tuple[Tensor, Tensor]:
    """Relevance of pixels, (N, C, H, W), and the scores from which it comes, (N,)."""
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        x, target = x.clone(), target.clone()
        if isinstance(composite.first, ZBox):
            composite = replace(composite, first=_with_bounds(model, x, composite.first))
        layers = _Layers(composite)
        pixels = x.requires_grad_()
        with PropagationRules(
            TITLE,
            model.module,
            linear=layers.linear,
            scale=layers.scale,
            rectifier=layers.rectifier,
            activation=layers.rectifier,
            product=layers.product,
            norm=layers.norm,
        ):
            scores = model(pixels)
        check_reached(scores, model.name)
        score = scores.detach().gather(1, target[:, None])
        start = torch.zeros_like(scores).scatter(1, target[:, None], score)
        (found,) = torch.autograd.grad(scores, pixels, start)
    return found, score[:, 0]


@method(
    title="Layer-wise relevance propagation",
    reduce=channel_sum,
    source="Bach et al. 2015",
    formula="R_i = sum_j a_i w_ij / z_j R_j, z_j = sum_i a_i w_ij, by the rule of each layer",
    guarantees="sums to S_c(x), up to what biases and epsilon take",
    limits="Refuses operations without a rule; under z+ and alpha-beta it depends little on the class and the "
    "upper layers (Sixt et al. 2020).",
    requires=("rules",),
)
def lrp(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    composite: str | Rule | Composite = "epsilon_plus",
) -> Tensor:
    """Layer-wise relevance propagation: the score, shared out layer by layer down to the pixels.

    The normalization is part of the network: bounds of z^B are those of pixels, and a pixel has the relevance of the
    value that the normalization makes of it, so that under LRP-0 and epsilon one of the mean color has none.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    composite : str, Rule or Composite, default "epsilon_plus"
        A name in ``COMPOSITES``: "epsilon_gamma_box", "epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1",
        "epsilon_alpha2_beta1_flat", "deep_taylor", "deep_taylor_unbounded", "zero", "epsilon", "gamma", "alpha_beta" or
        "z_plus". Or one rule for every layer, such as ``Epsilon(0.01)``, or a composite of your own. Deep Taylor
        decomposition is made for scores above 0 and biases of at most 0.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; it sums to the score up to its ``gap``, (N,), which biases and epsilon take. A
        warning tells the sum where it is off by more than 0.1 of the score.

    Raises
    ------
    ValueError
        For an unknown composite, with the nearest name, or a network with an operation that has no rule, such as
        softmax.
    """
    made, score = relevance(model, x, target, as_composite(composite))

    def words(total: str, wanted: str) -> str:
        return (
            f"the relevance of the pixels by {TITLE} sums to {total} for a score of {model.name} of {wanted}, wanted "
            "the score: the rest is taken by biases and epsilon"
        )

    return with_gap(made, score, TOLERANCE, words)


@torch.no_grad()
@checked_keywords
def conservation_gap(model: ImageModel, attribution: Tensor, x: Any, target: Target = None) -> Tensor:
    """How far an attribution is from summing to the score, (N,): sum_i R_i - S_c(x), equation 11.

    Parameters
    ----------
    model, x, target
        What the attribution was made with.
    attribution : Tensor, (N, C, H, W)
        What a method returned.

    Returns
    -------
    Tensor, (N,)
        In units of the score.
    """
    check_model(model)
    x, target = model.prepare(x, target)
    return total(attribution, len(x)) - check_finite(model(x), model.name).gather(1, target[:, None])[:, 0]
