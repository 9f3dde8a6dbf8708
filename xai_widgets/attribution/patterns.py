"""PatternNet and PatternAttribution: what in the input makes a neuron fire, learnt from data.

Kindermans et al. 2018. A weight w also filters what disturbs, so it does not say where the signal is. For a neuron
y = w^T x + b its signal is taken to be a w^T x, with the pattern a such that what is left does not covary with y:

    a  = cov[x, y] / (w^T cov[x, y])                                                              linear (4)
    a+ = (E+[x y] - E+[x] E+[y]) / (w^T E+[x y] - w^T E+[x] E+[y])                         two-component (8)

E+ is the mean over the inputs for which the neuron is on, y > 0. A neuron before a ReLU has a+, any other one a; for
both w^T a = 1. Equation 8 is printed with the mean E[y] over all inputs in the place of E+[y]. They agree where what
disturbs has mean 0 while the neuron is on, as after a centring; but with biases and behind a ReLU, where nothing is
centered, the printed denominator comes near to 0 and below it, where the one here is a variance.

The patch that a convolution sees at each of its places, zeros beyond the border, is one x; batch-norm belongs to the
convolution or linear layer before it.

    PatternNet           the gradient with a in the place of w: the signal in the pixels
    PatternAttribution   the gradient with w * a in the place of w: what the signal adds to the score

The second begins with the score, the first with its sign. What has one input for each output, as the normalization of
the image, has the pattern 1 / w. Sums and averages, so skip connections and pools, pass on what they pass on in the
gradient; ReLU as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.pattern_moments import Moments
from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.methods.registry import Cost, channel_sum, max_abs, method
from xai_widgets.rules import (
    Operation,
    PropagationRules,
    at_least_float32,
    check_reached,
    fold,
    producer_node,
)

#: With what PatternNet begins, in the place of the score: in deep networks the signal grows by more than 38 orders of
#: magnitude, to which the exponents of single precision reach.
START = 1e-30


@dataclass(frozen=True, eq=False, repr=False)
class Patterns(ShortRepr):
    """Patterns of a network's convolutions and linear layers.

    Attributes
    ----------
    layers : tuple of Tensor
        One for each of these layers, in the order in which they run, in the shape of its weight, float32 on the CPU. A
        neuron that was never on, or always the same, has a pattern of zeros.
    images : int
        How many they are estimated from.
    """

    layers: tuple[Tensor, ...]
    images: int


@without_inference_mode
def estimate_patterns(model: ImageModel, images: Any, *, batch_size: int = 16) -> Run[Patterns]:
    """Estimate the patterns of a network, equations 4 and 8, from images like those that it was made for.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, at least 2; each is looked at once. The patterns of a layer without places need many
        hundreds.
    batch_size : int, default 16
        Images per pass.

    Returns
    -------
    Run of Patterns
        One snapshot a batch, estimated from the images until then.

    Raises
    ------
    ValueError
        For fewer than 2 images, a batch size below 1, or a network with an operation that has no rule.
    """
    batch_size = check_batch_size(batch_size)
    source = ImageSource(model, images)
    if len(source) < 2:
        raise ValueError("patterns were asked of 1 image, wanted at least 2")

    def play() -> Iterator[Patterns]:
        moments: list[Moments] = []
        for begin in range(0, len(source), batch_size):
            x = source.batch(begin, begin + batch_size)
            _observe(model, x, moments)
            yield Patterns(tuple(each.pattern() for each in moments), min(begin + batch_size, len(source)))

    return Run(play(), total=-(-len(source) // batch_size), name="patterns")


@method(
    title="PatternNet",
    reduce=max_abs,
    source="Kindermans et al. 2018",
    formula="sign S_c times dS_c/dx with a_+ for each w, a_+ = cov_+[x, y] / (w^T cov_+[x, y])",
    cost=Cost(note="for patterns that are given"),
    limits="Needs patterns, estimated from hundreds of images; refuses operations without a rule; only the "
    "proportions of its values mean something.",
    requires=("rules", "piecewise_linear", "patterns"),
)
def pattern_net(model: ImageModel, x: Tensor, target: Tensor, *, patterns: Any = None) -> Tensor:
    """PatternNet: the signal in the pixels that makes the score, by patterns in the place of weights.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    patterns : Patterns or images of any kind
        What :func:`estimate_patterns` found. Or the images for it, from which they are estimated in every call.

    Returns
    -------
    Tensor, (N, C, H, W)
        Divided by its largest magnitude: the signal grows with every layer, as each of the many neurons that see a
        pixel adds its own estimate of what is there, and only its proportions matter.

    Raises
    ------
    ValueError
        Without patterns, or for those of another network, a network with an operation that has no rule, or one with so
        many layers that the signal grows beyond single precision.
    """
    made = _by_patterns(_SIGNAL, model, x, target, patterns)
    if not torch.isfinite(made).all():
        raise ValueError(
            f"the signal of PatternNet grows beyond single precision on its way through {model.name}, wanted a network "
            "of fewer layers; the nearest method is 'pattern_attribution'"
        )
    largest = made.abs().amax((1, 2, 3), keepdim=True)
    return torch.where(largest > 0, made / largest, 0)


@method(
    title="PatternAttribution",
    reduce=channel_sum,
    source="Kindermans et al. 2018",
    formula="S_c times dS_c/dx with w a_+ for each w",
    cost=Cost(note="for patterns that are given"),
    guarantees="sums to S_c(x) for linear layers without a ReLU",
    limits="Needs patterns, estimated from hundreds of images; refuses operations without a rule.",
    requires=("rules", "piecewise_linear", "patterns"),
)
def pattern_attribution(model: ImageModel, x: Tensor, target: Tensor, *, patterns: Any = None) -> Tensor:
    """PatternAttribution: how much the signal in each pixel adds to the score.

    Parameters
    ----------
    model, x, target, patterns
        As for :data:`pattern_net`.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score. Each neuron that is on hands on all that came to it, but for what falls beyond the
        border; one that is off, nothing.

    Raises
    ------
    ValueError
        As for :data:`pattern_net`.
    """
    return _by_patterns(_SHARE, model, x, target, patterns)


# -- the way back -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """A way back: what stands for the weight of a layer with its pattern, and for a factor, and how it begins."""

    title: str
    weight: Callable[[Tensor, Tensor], Tensor]
    factor: Callable[[Tensor], Tensor]
    start: Callable[[Tensor], Tensor]


_SIGNAL = _Way("PatternNet", lambda w, a: a, torch.reciprocal, lambda score: START * score.sign())
_SHARE = _Way("PatternAttribution", lambda w, a: w * a, torch.ones_like, lambda score: score)


@dataclass
class _Layer:
    """A linear layer of one pass, whose output may be rectified, and what stands for its weight on the way back."""

    number: int
    f: Operation
    rectified: bool = False
    instead: Tensor | None = None


class _Linear(torch.autograd.Function):
    """y = f(a, w) + bias, with another weight on the way back."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, weight: Tensor, layer: _Layer, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(a, weight)
        ctx.layer = layer
        return run()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, layer = at_least_float32(ctx.saved_tensors[0]), ctx.layer
        with torch.enable_grad():
            given = a.detach().requires_grad_()
            (made,) = torch.autograd.grad(layer.f(given, layer.instead), given, grad.to(a))
        return made.to(grad), None, None, None


class _Scaled(torch.autograd.Function):
    """y = factor * x + shift, with another factor on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, run: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(factor)
        ctx.shape = x.shape
        return run()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (grad * ctx.saved_tensors[0]).sum_to_size(ctx.shape), None, None


class _Layers:
    """What :class:`~xai_widgets.rules.PropagationRules` does with each operation."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self._number = 0

    def linear(self, a: Tensor, weight: Tensor, f: Operation, run: Callable[[], Tensor]) -> Tensor:
        return run() if f.kind == "sum" else self._layer(a, weight, f, run)

    def scale(self, x: Tensor, factor: Tensor, shift: Tensor, run: Callable[[], Tensor]) -> Tensor:
        before = producer_node(x)
        if hasattr(before, "layer"):
            a, weight = before.saved_tensors
            folded = fold(weight, before.layer.f, x, factor, shift)
            if folded is not None:
                # Beside the layer that made x, which other operations may use as it is.
                return self._layer(a, *folded, run)
        instead = torch.where(factor == 0, 0, self._way.factor(factor))
        made: Tensor = _Scaled.apply(x, instead, run)
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


def _pass(way: _Way, model: ImageModel, x: Tensor) -> tuple[Tensor, Tensor, list[Any]]:
    """Pixels, scores, and the nodes of the linear layers on the way, in the order in which they ran."""
    layers = _Layers(way)
    pixels = x.clone().requires_grad_()
    with PropagationRules(
        way.title, model.module, linear=layers.linear, scale=layers.scale, rectifier=layers.rectifier
    ):
        scores = model(pixels)
    check_reached(scores, model.name)
    nodes, seen = [scores.grad_fn], set()
    found = []
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "layer"):
            found.append(node)
        nodes.extend(before for before, _ in node.next_functions)
    return pixels, scores, sorted(found, key=lambda node: node.layer.number)


def _by_patterns(way: _Way, model: ImageModel, x: Tensor, target: Tensor, patterns: Any) -> Tensor:
    """The gradient of the score, times what the way begins with, with the way's weights in the place of the layers'."""
    if patterns is None:
        raise ValueError(
            f"{way.title} was given no patterns, wanted patterns=estimate_patterns(model, images).result(), or the "
            "images"
        )
    if not isinstance(patterns, Patterns):
        patterns = estimate_patterns(model, patterns).result(progress=False)
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        target = target.clone()
        pixels, scores, nodes = _pass(way, model, x)
        weights = [at_least_float32(node.saved_tensors[1]) for node in nodes]
        given, wanted = [each.shape for each in patterns.layers], [each.shape for each in weights]
        if given != wanted:
            raise ValueError(
                f"the patterns are of {len(given)} layers, others than the {len(wanted)} of {model.name}, wanted "
                "those of estimate_patterns(model, images)"
            )
        for node, weight, pattern in zip(nodes, weights, patterns.layers, strict=True):
            node.layer.instead = way.weight(weight, pattern.to(weight))
        score = scores.detach().gather(1, target[:, None])
        start = torch.zeros_like(scores).scatter(1, target[:, None], way.start(score))
        (found,) = torch.autograd.grad(scores, pixels, start)
    return found


# -- the estimates ----------------------------------------------------------------------------------------


def _observe(model: ImageModel, x: Tensor, moments: list[Moments]) -> None:
    """Add the activations of a batch to the moments, one for each layer; none yet are made."""
    with torch.enable_grad():
        _, _, nodes = _pass(_SIGNAL, model, x)
        if not moments:
            moments.extend(Moments(at_least_float32(node.saved_tensors[1]), node.layer.f) for node in nodes)
        for each, node in zip(moments, nodes, strict=True):
            each.add(at_least_float32(node.saved_tensors[0]), node.layer.f, node.layer.rectified)
