"""PatternNet and PatternAttribution: estimate the signal in the input of each neuron from data.

Kindermans et al. 2018. A weight w also suppresses distractors, so it does not show the direction of the signal. The
signal of a neuron y = w^T x + b is estimated as a w^T x, with a pattern a such that the residual is uncorrelated with
y:

    a  = cov[x, y] / (w^T cov[x, y])                                                              linear (4)
    a+ = (E+[x y] - E+[x] E+[y]) / (w^T E+[x y] - w^T E+[x] E+[y])                         two-component (8)

E+ is the mean over the inputs for which the neuron is active, y > 0. A neuron before a ReLU has a+, any other neuron a;
for both w^T a = 1. Equation 8 is printed with the mean E[y] over all inputs instead of E+[y]. The two agree if the
distractor has mean 0 while the neuron is active, as for centered data. With biases and after a ReLU, where data is not
centered, the printed denominator may be close to 0 or negative, while the one here is a variance.

The input patch of a convolution at each position, zero-padded, is one x; batch norm is folded into the convolution or
linear layer before it.

    PatternNet           the gradient with a instead of w: the signal in the pixels
    PatternAttribution   the gradient with w * a instead of w: the contribution of the signal to the score

PatternAttribution starts with the score, PatternNet with its sign. Elementwise scaling, such as the normalization of
the image, has the pattern 1 / w. Sums, averages (skip connections, pooling) and ReLU are backpropagated as in the
gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.pattern_moments import Moments
from xai_widgets.core.arguments import check_batch_size, dtype_of
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.errors import warn
from xai_widgets.methods.registry import Cost, channel_sum, max_abs, method
from xai_widgets.rules import (
    Operation,
    PropagationRules,
    at_least_float32,
    check_reached,
    fold,
    producer_node,
)

#: Initial value of the backward pass of PatternNet: in deep networks the signal grows by more than 38 orders of
#: magnitude, the range of single precision.
START = 1e-30
#: Least number of images without a warning.
FEW = 32


@dataclass(frozen=True, eq=False, repr=False)
class Patterns(ShortRepr):
    """Patterns of a network's convolutions and linear layers.

    Attributes
    ----------
    layers : tuple of Tensor
        One pattern per layer, in the order in which layers run, in the shape of the weight, float32 on the CPU. The
        pattern of a neuron that was never active, or constant, is 0.
    images : int
        Number of images that the patterns are estimated from.
    """

    layers: tuple[Tensor, ...]
    images: int


@without_inference_mode
def estimate_patterns(model: ImageModel, images: Any, *, batch_size: int = 16) -> Run[Patterns]:
    """Estimate the patterns of a network, equations 4 and 8, from images like those that it was trained on.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, at least 2, each used once. The patterns of layers without spatial positions need many
        hundreds.
    batch_size : int, default 16
        Images per pass.

    Returns
    -------
    Run of Patterns
        One snapshot per batch, estimated from the images so far.

    Raises
    ------
    ValueError
        For fewer than 2 images, a batch size below 1, or a network with an operation without a rule.
    """
    batch_size = check_batch_size(batch_size)
    source = ImageSource(model, images)
    if len(source) < 2:
        raise ValueError("expected at least 2 images to estimate patterns, got 1")

    def estimate() -> Iterator[Patterns]:
        moments: list[Moments] = []
        for begin in range(0, len(source), batch_size):
            x = source.batch(begin, begin + batch_size)
            _observe(model, x, moments)
            yield Patterns(tuple(each.pattern() for each in moments), min(begin + batch_size, len(source)))

    return Run(estimate(), total=-(-len(source) // batch_size), name="patterns")


@method(
    title="PatternNet",
    reduce=max_abs,
    source="Kindermans et al. 2018",
    formula="sign S_c times dS_c/dx with a_+ for each w, a_+ = cov_+[x, y] / (w^T cov_+[x, y])",
    cost=Cost(note="for given patterns"),
    limits="Requires patterns, estimated from hundreds of images; raises an error for operations without a rule; the "
    "scale of its values is arbitrary.",
    requires=("rules", "piecewise_linear", "patterns"),
)
def pattern_net(model: ImageModel, x: Tensor, target: Tensor, *, patterns: Any = None) -> Tensor:
    """PatternNet: the signal in the pixels that causes the score, by a backward pass with patterns instead of weights.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    patterns : Patterns or images of any kind
        Result of :func:`estimate_patterns`, or images from which patterns are estimated in every call.

    Returns
    -------
    Tensor, (N, C, H, W)
        Divided by its largest magnitude, as the signal grows with every layer and its scale is arbitrary.

    Raises
    ------
    ValueError
        Without patterns, or for patterns of another network, a network with an operation without a rule, one with so
        many layers that the signal overflows single precision, or one in float16.

    Warns
    -----
    ExplanationWarning
        For patterns from fewer than 32 images.
    """
    if dtype_of(model.module) == torch.float16:
        raise ValueError(
            f"expected a network in float32 or bfloat16 for PatternNet, got {model.name} in float16, in whose "
            "range the signal is 0; the nearest method is 'pattern_attribution'"
        )
    made = _by_patterns(_SIGNAL, model, x, target, patterns)
    if not torch.isfinite(made).all():
        raise ValueError(
            f"expected a network with fewer layers, got {model.name}, in which the signal of PatternNet overflows "
            "single precision; the nearest method is 'pattern_attribution'"
        )
    largest = made.abs().amax((1, 2, 3), keepdim=True)
    return torch.where(largest > 0, made / largest, 0)


@method(
    title="PatternAttribution",
    reduce=channel_sum,
    source="Kindermans et al. 2018",
    formula="S_c times dS_c/dx with w a_+ for each w",
    cost=Cost(note="for given patterns"),
    guarantees="sums to S_c(x) for linear layers without a ReLU",
    limits="Requires patterns, estimated from hundreds of images; raises an error for operations without a rule.",
    requires=("rules", "piecewise_linear", "patterns"),
)
def pattern_attribution(model: ImageModel, x: Tensor, target: Tensor, *, patterns: Any = None) -> Tensor:
    """PatternAttribution: the contribution of the signal in each pixel to the score.

    Parameters
    ----------
    model, x, target, patterns
        See :data:`pattern_net`.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score. An active neuron passes on its whole attribution, except for the part in the padding; an
        inactive one passes on none.

    Raises
    ------
    ValueError
        See :data:`pattern_net`.
    """
    return _by_patterns(_ATTRIBUTION, model, x, target, patterns)


# -- the backward rules -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """Backward rule of PatternNet or PatternAttribution: replacements of weights and factors, and the initial value."""

    title: str
    weight: Callable[[Tensor, Tensor], Tensor]
    factor: Callable[[Tensor], Tensor]
    start: Callable[[Tensor], Tensor]


_SIGNAL = _Rule("PatternNet", lambda w, a: a, torch.reciprocal, lambda score: START * score.sign())
_ATTRIBUTION = _Rule("PatternAttribution", lambda w, a: w * a, torch.ones_like, lambda score: score)


@dataclass
class _Layer:
    """A linear layer of one pass, whether a ReLU follows, and the weight of its backward."""

    number: int
    f: Operation
    rectified: bool = False
    backward_weight: Tensor | None = None


class _Linear(torch.autograd.Function):
    """y = f(a, w) + bias, with another weight in the backward."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, weight: Tensor, layer: _Layer, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(a, weight)
        ctx.layer = layer
        return run()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, layer = at_least_float32(ctx.saved_tensors[0]), ctx.layer
        with torch.enable_grad():
            a = a.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(layer.f(a, layer.backward_weight), a, grad.to(a))
        return gradient.to(grad), None, None, None


class _Scaled(torch.autograd.Function):
    """y = factor * x + shift, with another factor in the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(factor)
        ctx.shape = x.shape
        return run()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (grad * ctx.saved_tensors[0]).sum_to_size(ctx.shape), None, None


class _Layers:
    """Callbacks of :class:`~xai_widgets.rules.PropagationRules` for a backward rule."""

    def __init__(self, rule: _Rule) -> None:
        self._rule = rule
        self._number = 0

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        return run() if f.kind == "sum" else self._layer(a, weight, f, run)

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[[], Tensor]) -> Tensor:
        before = producer_node(x)
        if hasattr(before, "layer"):
            a, weight = before.saved_tensors
            folded = fold(weight, before.layer.f, x, factor, shift)
            if folded is not None:
                # In addition to the layer that produced x, which other operations may use, too.
                return self._layer(a, *folded, run)
        backward_factor = torch.where(factor == 0, 0, self._rule.factor(factor))
        made: Tensor = _Scaled.apply(x, backward_factor, run)
        return made

    def rectifier(self, x: Tensor, run: Callable[[], Tensor]) -> Tensor:
        before = producer_node(x)
        if hasattr(before, "layer"):
            before.layer.rectified = True
        return run()

    def _layer(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        self._number += 1
        made: Tensor = _Linear.apply(a, weight, _Layer(self._number, f), run)
        return made


def _pass(rule: _Rule, model: ImageModel, x: Tensor) -> tuple[Tensor, Tensor, list[Any]]:
    """Return pixels, scores, and the autograd nodes of the linear layers in the order in which they ran."""
    layers = _Layers(rule)
    pixels = x.clone().requires_grad_()
    with PropagationRules(
        rule.title, model.module, linear=layers.linear, scale=layers.scale, rectifier=layers.rectifier
    ):
        scores = model(pixels)
    check_reached(scores, model.name)
    nodes, seen = [scores.grad_fn], set()
    linear = []
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "layer"):
            linear.append(node)
        nodes.extend(before for before, _ in node.next_functions)
    return pixels, scores, sorted(linear, key=lambda node: node.layer.number)


def _by_patterns(rule: _Rule, model: ImageModel, x: Tensor, target: Tensor, patterns: Any) -> Tensor:
    """Return the gradient of the score, with the rule's weights replacing those of the layers."""
    if patterns is None:
        raise ValueError(
            f"expected patterns for {rule.title}, got none; pass patterns=estimate_patterns(model, images).result(), "
            "or the images"
        )
    if not isinstance(patterns, Patterns):
        patterns = estimate_patterns(model, patterns).result(progress=False)
    if patterns.images < FEW:
        warn(
            f"the patterns of {rule.title} for {model.name} are estimated from {patterns.images} images, which is too "
            "few for layers without positions; estimate them from hundreds"
        )
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        target = target.clone()
        pixels, scores, nodes = _pass(rule, model, x)
        weights = [at_least_float32(node.saved_tensors[1]) for node in nodes]
        given, expected = [layer.shape for layer in patterns.layers], [weight.shape for weight in weights]
        if given != expected:
            raise ValueError(
                f"expected patterns of the {len(expected)} layers of {model.name}, got those of {len(given)} other "
                "layers; pass estimate_patterns(model, images).result()"
            )
        for node, weight, pattern in zip(nodes, weights, patterns.layers, strict=True):
            node.layer.backward_weight = rule.weight(weight, pattern.to(weight))
        score = scores.detach().gather(1, target[:, None])
        start = torch.zeros_like(scores).scatter(1, target[:, None], rule.start(score))
        (gradient,) = torch.autograd.grad(scores, pixels, start)
    return gradient


# -- estimation -------------------------------------------------------------------------------------------


def _observe(model: ImageModel, x: Tensor, moments: list[Moments]) -> None:
    """Add the activations of a batch to the moments, one per layer, which are created for the first batch."""
    with torch.enable_grad():
        _, _, nodes = _pass(_SIGNAL, model, x)
        if not moments:
            moments.extend(Moments(at_least_float32(node.saved_tensors[1]), node.layer.f) for node in nodes)
        for each, node in zip(moments, nodes, strict=True):
            each.add(at_least_float32(node.saved_tensors[0]), node.layer.f, node.layer.rectified)
