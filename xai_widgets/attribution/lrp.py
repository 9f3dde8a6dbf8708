"""Layer-wise relevance propagation: redistribute the score of a class layer by layer down to the pixels.

Bach et al. 2015; equation 11 of Ayyar et al. 2021. The relevance of a neuron is redistributed to its inputs by the rule
of its layer (:mod:`xai_widgets.attribution.lrp_rules`), so that in every layer

    sum_i R_i = S_c(x)                                                                    conservation (11)

up to the relevance absorbed by biases and epsilon, which is nearly all of it in some deep networks with batch norm,
such as EfficientNet. The composite "conserving" loses none.

ReLU and other elementwise layers pass relevance unchanged; max-pooling passes it to the largest input. Batch norm is
folded into the convolution or linear layer before it. Without such a layer, as in DenseNet, it passes relevance
unchanged, too, except under LRP-0 and epsilon, where it is treated as a layer with a weight and a bias.

In a product, the smaller factor is a gate, as in a squeeze-and-excitation block, and the larger factor gets all
relevance (Arras et al. 2017); two factors of the same size, and those of a matrix product, get half each (Achtibat et
al. 2024, propositions 3.2 and 3.3). Norms, standard deviations and other denominators are constants, so that layer norm
passes relevance by its subtraction of the mean alone, or unchanged (Ali et al. 2022; proposition 3.4). Weights of
attention are constants, too, and all relevance goes to the values; or half of it goes through the softmax s of x by

    R_i = x_i (R_i - s_i sum_j R_j)                                                      proposition 3.1

which absorbs relevance, as a layer with a bias does. The composite chooses. Constants that are added to or joined with
activations, such as positions and the class token, keep the relevance that reaches them.

With LRP-0, R = a dS_c/da at every layer of a ReLU network (Shrikumar et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.lrp_rules import Composite, Epsilon, Rule, ZBox, as_composite
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.validation import check_finite
from xai_widgets.errors import checked_keywords
from xai_widgets.methods.completeness import total, with_gap
from xai_widgets.methods.registry import Cost, channel_sum, method
from xai_widgets.rules import (
    Norm,
    Operation,
    PropagationRules,
    at_least_float32,
    check_reached,
    fold,
    producer_node,
)
from xai_widgets.rules.calls import in_graph

TITLE = "layer-wise relevance propagation"
#: Largest gap between the sum of relevances and the score without a warning, relative to the score.
TOLERANCE = 0.1


class _RelevanceRule(torch.autograd.Function):
    """y = f(a, w) + bias, with an LRP rule as its backward."""

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
        return rule.redistribute(a, weight, f, relevance.to(a)).to(relevance), None, None, None, None


class _Identity(torch.autograd.Function):
    """An elementwise function with the identity as its backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.shape = x.shape
        return in_graph(ctx, x, run)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.sum_to_size(ctx.shape), None


class _GatedProduct(torch.autograd.Function):
    """Elementwise product: relevance goes to the larger operand, or half to each if both have the same size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, other: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.shapes = x.shape, other.shape
        return run()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        sizes = [shape.numel() for shape in ctx.shapes]
        largest = max(sizes)
        part = relevance / sizes.count(largest)
        parts = [
            part.sum_to_size(shape) if size == largest else None
            for shape, size in zip(ctx.shapes, sizes, strict=True)
        ]
        return *parts, None


class _Bilinear(torch.autograd.Function):
    """Product f(x, other) of two activations: each gets half of the relevance by a rule (Achtibat et al. 2024, 3.3)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, other: Tensor, f: Operation, rule: Rule, run: Callable[[], Tensor]
    ) -> Tensor:
        ctx.save_for_backward(x, other)
        ctx.layer = f, rule
        return run()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        x, other = map(at_least_float32, ctx.saved_tensors)
        f, rule = ctx.layer
        half = relevance.to(x) / 2
        swapped = replace(f, function=lambda a, w: f(w, a))
        parts = rule.redistribute(x, other, f, half), rule.redistribute(other, x, swapped, half)
        return *(part.to(relevance) for part in parts), None, None, None


class _Softmax(torch.autograd.Function):
    """Softmax s of x with R_i = x_i (R_i - s_i sum_j R_j), the first order of Taylor (Achtibat et al. 2024, 3.1)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, run: Callable[[], Tensor]) -> Tensor:
        y = run()
        ctx.save_for_backward(x, y)
        ctx.dim = dim
        return y

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        x, y = map(at_least_float32, ctx.saved_tensors)
        relevance = relevance.to(y)
        change = relevance - y * relevance.sum(ctx.dim, keepdim=True)
        # A mask is minus infinity.
        return torch.where(x.isinf(), 0, x * change).to(ctx.saved_tensors[0]), None, None


def _is_input(x: Tensor) -> bool:
    """Return whether there is no layer between the pixels and x."""
    nodes = [x.grad_fn]
    while nodes:
        node = nodes.pop()
        if hasattr(node, "layer"):
            return False
        nodes.extend(before for before, _ in getattr(node, "next_functions", ()))
    return True


class _Layers:
    """Callbacks of :class:`~xai_widgets.rules.PropagationRules` for a composite."""

    def __init__(self, composite: Composite) -> None:
        self._composite = composite

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        rule = self._composite.rule(f.kind, first=_is_input(a), tokens=a.ndim > 2)
        result: Tensor = _RelevanceRule.apply(a, weight, f, rule, run)
        return result

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[[], Tensor]) -> Tensor:
        result: Tensor
        layer = producer_node(x)
        if hasattr(layer, "layer"):
            (f, rule), (a, weight) = layer.layer, layer.saved_tensors
            folded = fold(weight, f, x, factor, shift)
            if folded is not None:
                # In addition to the layer that produced x, which other operations may use, too.
                result = _RelevanceRule.apply(a, *folded, rule, run)
                return result
        if isinstance(self._composite.convolution, Epsilon) and not _is_input(x):
            alone = Operation(lambda a, w: a * w, bias=shift)
            # The network may change x in place afterwards.
            result = _RelevanceRule.apply(x.clone(), factor, alone, self._composite.convolution, run)
            return result
        result = _Identity.apply(x, run)
        return result

    def rectifier(self, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        result: Tensor = _Identity.apply(x, run)
        return result

    def product(self, x: Tensor, other: Tensor, run: Callable[[], Tensor]) -> Tensor:
        result: Tensor = _GatedProduct.apply(x, other, run)
        return result

    def norm(self, x: Tensor, norm: Norm, run: Callable[[], Tensor]) -> Tensor:
        result: Tensor
        if self._composite.normalization is None:
            result = _Identity.apply(x, run)
            return result
        with torch.no_grad():
            variance = x.var(norm.dims, correction=0, keepdim=True)
            factor = norm.weight / (variance + norm.eps).sqrt()
        f = Operation(lambda a, w: (a - a.mean(norm.dims, keepdim=True)) * w, "norm", norm.bias)
        # The network may change x in place afterwards.
        result = _RelevanceRule.apply(x.clone(), factor, f, self._composite.normalization, run)
        return result

    def bilinear(self, x: Tensor, other: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        result: Tensor = _Bilinear.apply(x, other, f, self._composite.addition, run)
        return result

    def gate(self, name: str, x: Tensor, dim: int | None, run: Callable[[], Any]) -> Any:
        if name == "softmax" and self._composite.attention == "softmax":
            # The default of torch.
            default = 0 if x.ndim in (0, 1, 3) else 1
            return _Softmax.apply(x, default if dim is None else dim, run)
        result = run()
        return tuple(each.detach() for each in result) if isinstance(result, tuple) else result.detach()


class _FirstLayerReached(Exception):
    """Raised at the first layer, with its input."""


def _with_bounds(model: ImageModel, x: Tensor, box: ZBox) -> ZBox:
    """Convert the bounds of the pixels to bounds of the first layer's input, by the operations before it."""

    def reach(a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        raise _FirstLayerReached(a.detach())

    def plain(x: Tensor, *rest: Any) -> Tensor:
        result: Tensor = _Identity.apply(x, rest[-1])
        return result

    ends = [torch.as_tensor(bound).to(x).expand(x.shape[1:]) for bound in (box.low, box.high)]
    try:
        with PropagationRules(TITLE, model.module, linear=reach, scale=plain, rectifier=plain):
            model(torch.stack(ends).requires_grad_())
    except _FirstLayerReached as reached:
        bounds = reached.args[0]
        if len(bounds) != 2:
            raise ValueError(
                f"expected a network that passes all images to its first layer in one call, got {model.name}; use a "
                "composite without z^B, such as 'epsilon_plus'"
            ) from None
        low, high = bounds
        return ZBox(torch.minimum(low, high), torch.maximum(low, high))
    return box


def relevance(model: ImageModel, x: Tensor, target: Tensor, composite: Composite) -> tuple[Tensor, Tensor]:
    """Return the relevance of pixels, (N, C, H, W), and the scores that are redistributed, (N,)."""
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
            bilinear=layers.bilinear,
            gate=layers.gate,
        ):
            scores = model(pixels)
        check_reached(scores, model.name)
        score = scores.detach().gather(1, target[:, None])
        start = torch.zeros_like(scores).scatter(1, target[:, None], score)
        (relevances,) = torch.autograd.grad(scores, pixels, start)
    return relevances, score[:, 0]


@method(
    title="Layer-wise relevance propagation",
    reduce=channel_sum,
    source="Bach et al. 2015",
    formula="R_i = sum_j a_i w_ij / z_j R_j, z_j = sum_i a_i w_ij, modified by the rule of each layer",
    cost=Cost(note="plus the first layer for the two bounds of the pixels"),
    guarantees="sums to S_c(x) with the default composite, except for relevance that reaches a class token; with "
    "others up to the relevance that biases and epsilon absorb, which is measured",
    limits="Raises an error for operations without a rule; with z+ and alpha-beta it depends little on the class and "
    "the upper layers (Sixt et al. 2020).",
    requires=("rules",),
)
def lrp(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    composite: str | Rule | Composite = "conserving",
    bias: bool = True,
) -> Tensor:
    """Layer-wise relevance propagation (LRP): redistribute the score layer by layer down to the pixels.

    The normalization is part of the network: the bounds of z^B are those of pixels, and a pixel has the relevance of
    its normalized value, which is 0 for the mean color with LRP-0 and epsilon.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    composite : str, Rule or Composite, default "conserving"
        A name in ``COMPOSITES``: "conserving", "epsilon_gamma_box", "epsilon_plus", "epsilon_plus_flat",
        "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "deep_taylor", "deep_taylor_unbounded", "attn_lrp",
        "cp_lrp_gamma", "zero", "epsilon", "gamma", "alpha_beta" or "z_plus". Or one rule for every layer, such as
        ``Epsilon(0.01)``, or a custom composite. Deep Taylor decomposition requires positive scores and biases of at
        most 0. All but "conserving" are those of the literature. For vision transformers see "cp_lrp_gamma".
    bias : bool, default True
        Whether biases absorb their part of the relevance, as in equations 12 to 15; "conserving" has no biases in any
        case. In deep networks with batch norm nearly all relevance may be absorbed.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; it sums to the score up to its ``gap``, (N,): relevance that biases and epsilon absorb,
        that reaches a constant, such as the class token of a transformer, or that has no input to go to. A gap above
        10 % of the score gives a warning.

    Raises
    ------
    ValueError
        For an unknown composite, with the nearest name, or a network with an operation without a rule, such as cumsum.
    """
    chosen = as_composite(composite)
    result, score = relevance(model, x, target, chosen if bias else chosen.without_bias())

    def warning(total: str, expected: str) -> str:
        rest = (
            "absorbed by biases, other constants and epsilon"
            if bias
            else "absorbed by epsilon, or has no input to go to"
        )
        hint = "" if composite == "conserving" else "; the nearest composite that keeps it is 'conserving'"
        return (
            f"the relevance of the pixels for {model.name} is incomplete (sum {total}, expected {expected}): the rest "
            f"is {rest}{hint}"
        )

    return with_gap(result, score, TOLERANCE, warning)


@torch.no_grad()
@checked_keywords
def conservation_gap(model: ImageModel, attribution: Tensor, x: Any, target: Target = None) -> Tensor:
    """Return the difference between the sum of an attribution and the score, sum_i R_i - S_c(x), (N,); equation 11.

    Parameters
    ----------
    model, x, target
        The arguments that the attribution was computed with.
    attribution : Tensor, (N, C, H, W)
        Result of a method.

    Returns
    -------
    Tensor, (N,)
        In units of the score.
    """
    model, x, target = prepare(model, x, target)
    return total(attribution, len(x)) - check_finite(model(x), model.name).gather(1, target[:, None])[:, 0]
