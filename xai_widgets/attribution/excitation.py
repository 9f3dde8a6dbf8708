"""Excitation backprop: with which probability a neuron wins when each one passes its share on to what excites it.

Zhang et al. 2016; equation 4.11 of Kwon's dissertation. For a neuron a_i = relu(sum_j w_ji a_j + b_i) that won:

    P(a_j | a_i) = Z_i a_j w_ji   where w_ji >= 0, else 0,   Z_i so that they sum to 1
    P(a_j)       = sum_i P(a_j | a_i) P(a_i),   P = 1 for the score of the class

An addition is such a neuron with weights 1, so is an average. The ReLU passes P on; so do a concatenation, which hands
each part its own, and a max-pool, to the one that won it. Batch-norm belongs to the convolution before it: where its
factor is below 0, what excites is what the convolution's weights below 0 are for.

Where values below 0 are not cut off by a ReLU at once, as in the normalized image, the share of a_j is its positive
part of the sum, (w_ji a_j)_+: the same for a_j >= 0. P then bears the sign of a_j: in which direction it excites.

The contrastive form asks what excites the class and not its opposite, the dual score -S_c with weights of the opposite
signs. With P and P' the probabilities that begin with the score and with its dual, each summing to 1 at the layer:

    C(a_j) = (P(a_j) - P'(a_j))+
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel
from xai_widgets.methods.completeness import total, with_gap
from xai_widgets.methods.gradients import unreachable_layer_error
from xai_widgets.methods.registry import Cost, channel_sum, method
from xai_widgets.rules.excitation import redistribute_all

#: The layer that stands for the pixels.
IMAGE = "image"
#: Of the probability; more than this missing from 1 is said in a warning.
TOLERANCE = 0.01


def winning_probability(model: ImageModel, x: Tensor, start: Tensor, layer: str) -> Tensor:
    """P at a layer, or at the image, when it begins with ``start`` at the scores.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        Pixels.
    start : Tensor, (N, classes)
        P of the scores. Below 0 it is that of the dual score, whose weights have the opposite signs.
    layer : str
        By its name in ``model.layers()``, or "image".

    Returns
    -------
    Tensor, (N, ...)
        At least 0.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, one on which the scores do not depend, or an operation that has no
        rule, with its name and that of its layer.
    """
    return _winning(model, x, [start], layer)[0]


def _winning(model: ImageModel, x: Tensor, starts: Sequence[Tensor], layer: str) -> list[Tensor]:
    """P at a layer for each start, by one forward pass."""
    names = [] if _is_image(model, layer) else [layer]

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with record_outputs(model.find_layers(names)) as kept:
            scores = model(pixels)
        return scores, kept[layer] if names else pixels

    made = redistribute_all(model.module, run, x, starts)
    if made is None:
        raise unreachable_layer_error(model, layer)
    return made


def excitation_layer(model: ImageModel) -> str:
    """The layer at which maps are drawn: where the resolution of the last convolutions begins.

    That is the pool that leads to it, as pool4 of VGG16, or else the last layer before, as the third stage of a
    residual network.
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
    # A pool of a shortcut sees only what goes by the shortcut.
    whole = (each.name for each in [*pools, *reversed(before)] if model.is_bottleneck(each.name))
    return next(whole, before[-1].name)


@method(
    title="Excitation backprop",
    reduce=channel_sum,
    source="Zhang et al. 2016",
    formula="P(a_j) = sum_i P(a_i) a_j w_ji^+ / sum_j a_j w_ji^+",
    guarantees="at least 0, sums to 1",
    limits="Refuses operations without a rule, such as GELU; weights below 0 play no part, so that it depends "
    "little on the class and the upper layers (Sixt et al. 2020).",
    requires=("rules", "piecewise_linear"),
)
def excitation_backprop(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Excitation backprop: the probability with which each neuron of a layer wins, given the class.

    A winner passes its share on to the neurons below by their activation times their weight, where that is above 0. A
    neuron that is on by its bias alone has none to pass it on to: a warning tells the share that is lost so, if it is
    more than 0.01.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w), by its name in ``model.layers()``, or "image" for the pixels. Default: the pool
        that leads to the resolution of the last convolutions, or else the last layer before.

    Returns
    -------
    Tensor, (N, C, h, w)
        At least 0; it sums to 1 where everything passes through the layer, up to its ``gap``, (N,). Its saliency map is
        the sum over channels.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, or whose output has no places, or a network with an
        operation that has no rule, such as GELU.
    """
    layer = excitation_layer(model) if layer is None else layer
    made = _spatial(model, winning_probability(model, x, _one_hot(model, x, target), layer), layer)
    if not _is_image(model, layer) and not model.is_bottleneck(layer):
        return made

    def words(total: str, wanted: str) -> str:
        return (
            f"the probabilities of excitation backprop at {layer!r} of {model.name} sum to {total}, wanted {wanted}: "
            "the rest came to neurons that are on by their bias alone"
        )

    return with_gap(made, made.new_ones(len(made)), TOLERANCE, words)


@method(
    title="Contrastive excitation backprop",
    reduce=channel_sum,
    source="Zhang et al. 2016",
    formula="(P - P')_+, P' that of the dual score -S_c",
    cost=Cost(1, 2),
    guarantees="at least 0, sums to at most 1",
    limits="Refuses operations without a rule, such as GELU; what the class shares with its opposite is cut "
    "off, even where it is what decides.",
    requires=("rules", "piecewise_linear"),
)
def contrastive_excitation_backprop(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None
) -> Tensor:
    """Contrastive excitation backprop: which neurons of a layer win more often for the class than for its opposite.

    C = (P - P')+, P the probabilities of :data:`excitation_backprop` and P' those that begin with the dual of the
    score, whose weights have the opposite signs. Each is divided by its sum first, so that what neurons that are on by
    their bias alone have lost of one is no contrast. One forward and two backward passes.

    Parameters
    ----------
    model, x, target, layer
        As for :data:`excitation_backprop`.

    Returns
    -------
    Tensor, (N, C, h, w)
        At least 0; its sum, at most 1, is the share of P that P' has elsewhere. Its saliency map is the sum
        over channels.

    Raises
    ------
    ValueError
        As for :data:`excitation_backprop`.
    """
    layer = excitation_layer(model) if layer is None else layer
    start = _one_hot(model, x, target)
    made, dual = (_spatial(model, each, layer) for each in _winning(model, x, [start, -start], layer))
    return (_summing_to_1(made) - _summing_to_1(dual)).clamp(min=0)


def _one_hot(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    scores = torch.zeros(len(x), len(model.labels), device=x.device)
    return scores.scatter(1, target.clone()[:, None], 1.0)


def _summing_to_1(p: Tensor) -> Tensor:
    """P divided by its sum, image by image; 0 where nothing was excited."""
    total = p.flatten(1).sum(1).view(-1, *[1] * (p.ndim - 1))
    return torch.where(total > 0, p / total, 0)


def probability_gap(attribution: Tensor) -> Tensor:
    """What probabilities (N, ...) lack of 1, (N,)."""
    return 1 - total(attribution)


def _spatial(model: ImageModel, made: Tensor, layer: str) -> Tensor:
    return made if _is_image(model, layer) else model.spatial(layer, made)


def _is_image(model: ImageModel, layer: str) -> bool:
    return isinstance(layer, str) and layer == IMAGE and layer not in {each.name for each in model.layers()}
