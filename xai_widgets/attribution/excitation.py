"""Excitation backprop: marginal winning probabilities of neurons, propagated along excitatory connections.

Zhang et al. 2016; equation 4.11 of Kwon 2021. For a winning neuron a_i = relu(sum_j w_ji a_j + b_i):

    P(a_j | a_i) = Z_i a_j w_ji   where w_ji >= 0, else 0,   Z_i normalizes the sum to 1
    P(a_j)       = sum_i P(a_j | a_i) P(a_i),   P = 1 for the score of the class

Additions and averages are such neurons with equal weights. ReLU passes P unchanged, a concatenation splits it, and
max-pooling passes it to the largest input. Batch norm is folded into the convolution before it: where its factor is
negative, the negative weights of the convolution are the excitatory ones.

For activations of either sign, as in the normalized image, the contribution of a_j is (w_ji a_j)_+, which is the same
for a_j >= 0, and P has the sign of a_j.

The contrastive form subtracts the evidence for the opposite of the class, the dual score -S_c with negated weights.
With P and P' the probabilities for the score and for its dual, each normalized to sum to 1 at a layer:

    C(a_j) = (P(a_j) - P'(a_j))+

From there C is propagated like P. At an early layer, P and P' differ little, and C may leave out a part of the image by
a hard edge; after the last convolution they have no neuron in common, and C = P. The default is between: the input of
the last convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel
from xai_widgets.methods.completeness import total, with_gap
from xai_widgets.methods.gradients import unreachable_layer_error
from xai_widgets.methods.registry import Cost, channel_sum, method
from xai_widgets.rules.excitation import contrast, redistribute_all

#: Name of the layer of the pixels.
IMAGE = "image"
#: Largest probability that may be missing from 1 without a warning.
TOLERANCE = 0.01


def winning_probability(model: ImageModel, x: Tensor, start: Tensor, layer: str) -> Tensor:
    """Return P at a layer, or at the image, for given probabilities of the scores.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        Pixels.
    start : Tensor, (N, classes)
        P of the scores; negative values stand for the dual score, which has negated weights.
    layer : str
        Name from ``model.layers()``, or "image".

    Returns
    -------
    Tensor, (N, ...)
        At least 0.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that the scores do not depend on, or an operation without a
        rule, with its name and layer.
    """
    return _winning(model, x, [start], layer)[0]


def _winning(model: ImageModel, x: Tensor, starts: Sequence[Tensor], layer: str) -> list[Tensor]:
    """Return P at a layer for each of ``starts``, by one forward pass."""
    names = [] if _is_image(model, layer) else [layer]

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with record_outputs(model.find_layers(names)) as outputs:
            scores = model(pixels)
        return scores, outputs[layer] if names else pixels

    result = redistribute_all(model.module, run, x, starts)
    if result is None:
        raise unreachable_layer_error(model, layer)
    return result


def excitation_layer(model: ImageModel) -> str:
    """Return the default layer of the maps: the one with which the resolution of the last convolutions starts.

    This is the pooling layer before them, such as pool4 of VGG16, or otherwise the last layer of the previous
    resolution, such as the third stage of a residual network.
    """
    last = model.layer(model.default_layer())
    assert last.grid is not None
    positions = last.grid.positions
    layers = [each for each in model.layers() if each.grid is not None and each.used]
    before = [each for each in layers if each.grid is not None and each.grid.positions > positions]
    if not before:
        return last.name
    following = layers[layers.index(before[-1]) + 1 :]
    pools = [
        each
        for each in following
        if each.pools and each.grid is not None and each.grid.positions == positions
    ]
    # A pooling layer in a shortcut is not a bottleneck.
    # The same network with other names of its modules has the same layer: the outputs of outer modules come first.
    end = before[-1].grid
    same = [
        each
        for each in before
        if each.grid is not None and end is not None and each.grid.positions == end.positions
    ]
    stages = sorted(reversed(same), key=lambda each: each.name.count("."))
    bottlenecks = (each.name for each in [*pools, *stages] if model.is_bottleneck(each.name))
    return next(bottlenecks, before[-1].name)


def contrast_layer_of(model: ImageModel, layer: str) -> str:
    """Return the default layer of the contrast: the input of the last convolution, or ``layer`` if that comes later."""
    layers = [
        each for each in model.layers() if each.grid is not None and each.grid.positions > 1 and each.used
    ]
    modules = model.find_layers([each.name for each in layers])
    names = [each.name for each in layers]
    convolutions = [name for name in names if isinstance(modules[name], nn.Conv2d)]
    if not convolutions or not (layer in names or _is_image(model, layer)):
        return layer
    first = names.index(layer) + 1 if layer in names else 0
    earlier = names[first : names.index(convolutions[-1])]
    return next(filter(model.is_bottleneck, reversed(earlier)), layer)


@method(
    title="Excitation backprop",
    reduce=channel_sum,
    source="Zhang et al. 2016",
    formula="P(a_j) = sum_i P(a_i) a_j w_ji^+ / sum_j a_j w_ji^+",
    guarantees="at least 0, sums to 1",
    limits="Raises an error for operations without a rule, such as GELU; ignores negative weights, so that it "
    "depends little on the class and the upper layers (Sixt et al. 2020).",
    requires=("rules", "piecewise_linear"),
    signed=False,
)
def excitation_backprop(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Excitation backprop: the marginal winning probability of each neuron of a layer, given the class.

    A winning neuron distributes its probability over its inputs in proportion to activation times weight, where that is
    positive. The probability of a neuron that is active by its bias alone is lost; a loss above 0.01 gives a warning.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w), by its name in ``model.layers()``, or "image" for the pixels. Default: see
        :func:`~xai_widgets.attribution.excitation.excitation_layer`.

    Returns
    -------
    Tensor, (N, C, h, w)
        At least 0. At a bottleneck it sums to 1, up to its ``gap``, (N,). Its saliency map is the sum over channels.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or one without spatial positions, or a network with an operation
        without a rule, such as GELU.
    """
    layer = excitation_layer(model) if layer is None else layer
    result = _spatial(model, winning_probability(model, x, _one_hot(model, x, target), layer), layer)
    if not _is_image(model, layer) and not model.is_bottleneck(layer):
        return result

    def warning(total: str, expected: str) -> str:
        return (
            f"excitation backprop at {layer!r} of {model.name} is incomplete (sum {total}, expected {expected}): the "
            "rest is lost at neurons that are active by their bias alone"
        )

    return with_gap(result, result.new_ones(len(result)), TOLERANCE, warning)


@method(
    title="Contrastive excitation backprop",
    reduce=channel_sum,
    source="Zhang et al. 2016",
    formula="(P - P')_+ at a layer, propagated to an earlier one, P' the probabilities for the dual score -S_c",
    cost=Cost(1, 2),
    guarantees="at least 0, sums to at most 1",
    limits="Raises an error for operations without a rule, such as GELU; removes evidence that the class shares "
    "with its opposite, even if it is decisive.",
    requires=("rules", "piecewise_linear"),
    signed=False,
)
def contrastive_excitation_backprop(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    layer: str | None = None,
    contrast_layer: str | None = None,
) -> Tensor:
    """Contrastive excitation backprop: neurons of a layer that win more often for the class than for its opposite.

    C = (P - P')+, P the probabilities of :data:`excitation_backprop` and P' those for the dual score, which has negated
    weights. Both are normalized to sum to 1, so that probability lost at neurons that are active by their bias alone
    does not appear as a contrast. One forward and two backward passes.

    Parameters
    ----------
    model, x, target, layer
        See :data:`excitation_backprop`.
    contrast_layer : str, optional
        The layer at which P' is subtracted, ``layer`` or a later one; from there the contrast is propagated to
        ``layer``. Default: the input of the last convolution.

    Returns
    -------
    Tensor, (N, C, h, w)
        At least 0; its sum is at most 1, the total variation distance of P and P'. Its saliency map is the sum over
        channels.

    Raises
    ------
    ValueError
        See :data:`excitation_backprop`.
    """
    layer = excitation_layer(model) if layer is None else layer
    later = contrast_layer_of(model, layer) if contrast_layer is None else contrast_layer
    names = [each for each in {layer, later} if not _is_image(model, each)]

    def run(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with record_outputs(model.find_layers(names)) as outputs:
            scores = model(pixels)
        return scores, outputs.get(later, pixels), outputs.get(layer, pixels)

    result = contrast(model.module, run, x, _one_hot(model, x, target))
    if result is None:
        raise unreachable_layer_error(model, layer)
    return _spatial(model, result, layer)


def _one_hot(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    scores = torch.zeros(len(x), len(model.labels), device=x.device)
    return scores.scatter(1, target.clone()[:, None], 1.0)


def probability_gap(attribution: Tensor) -> Tensor:
    """Return 1 minus the sum of probabilities (N, ...), (N,)."""
    return 1 - total(attribution)


def _spatial(model: ImageModel, result: Tensor, layer: str) -> Tensor:
    return result if _is_image(model, layer) else model.spatial(layer, result)


def _is_image(model: ImageModel, layer: str) -> bool:
    return isinstance(layer, str) and layer == IMAGE and layer not in {each.name for each in model.layers()}
