"""Extremal perturbations of channels: of all sets of a number of channels of a layer, the one with the largest effect.

Fong, Patrick and Vedaldi 2019, section 5. With Phi_l(x) the activation of a layer of K channels, Phi_l+ the rest of the
network up to the score of a class before softmax, and a mask m in [0, 1]^K that multiplies the channels:

    preserve   max_m Phi_l+(m Phi_l(x)),   a of K channels                             equation 9
    a* = min {a : Phi_l+(m_a Phi_l(x)) >= Phi_0},   Phi_0 = tau Phi(x)                 equation 10
    v = sum_k m_a*^k Phi_l^k(x)                                                        equation 11
    mean mask of a class:  average of m_a* over its images,   k_c* = argmax_k of it    section 5.2

As in :mod:`~xai_widgets.perturbation.area_search` the number of channels is met by construction, not by a penalty (the
published search: 300 iterations, learning rate 0.01, lambda from 0 to 1500 over the first 150).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.cached import cached_property
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_finite, instance, integer, integers, items, number
from xai_widgets.features import LayerScores
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.resize import resize_map
from xai_widgets.perturbation.area_search import AreaSearch, AreaSettings
from xai_widgets.perturbation.objective import ScoreObjective
from xai_widgets.perturbation.scored_masks import SearchResult, Variant

#: The numbers of channels in the paper, for a layer of 528 channels.
PUBLISHED_COUNTS = (1, 5, 10, 20, 25, 35, 40, 50, 60, 70, 80, 90, 100, 150, 200, 250, 300, 350, 400, 450, 528)

#: Steps of the integrated gradient over the mask, from no activation to all of it, by which a start is chosen.
POINTS = 8

#: Estimates of the contribution of each channel: the gradient at m = 1, at a small m, and its mean over m from 0 to 1.
ESTIMATES = ("whole", "small", "mean")


@dataclass(frozen=True, kw_only=True, repr=False)
class ChannelExtremal(SearchResult):
    """The best sets of channels so far, masks (N, A, K); see :class:`SearchResult` for the other attributes.

    Attributes
    ----------
    channels : Tensor, (A,)
        Numbers of channels, ascending; ``areas`` are their shares of K.
    layer : str
        Name of the layer.
    activation : Tensor, (N, K, h, w) or (N, K)
        Activation of the layer, of tokens those with a position.
    size : (int, int)
        H and W of the images.
    """

    channels: Tensor
    layer: str
    activation: Tensor
    size: tuple[int, int]

    @property
    def best_channels(self) -> Tensor:
        """a*, (N,), the smallest sufficient number of channels; NaN where none is (equation 10)."""
        return self._smallest(self.channels)

    @property
    def best_masks(self) -> Tensor:
        """Masks of a*, (N, K); of the largest number where none is sufficient."""
        last = self.sufficient.new_ones(len(self.target), 1)
        first = torch.cat([self.sufficient[:, :-1], last], 1).int().argmax(1)
        return self.masks[torch.arange(len(first), device=first.device), first]

    @property
    def order(self) -> Tensor:
        """Channels of each image, (N, K), sorted by how many of the masks hold them; ties by the smooth masks."""
        return (
            (self.masks + self.smooth / (1 + len(self.channels)))
            .sum(1)
            .argsort(dim=1, descending=True, stable=True)
        )

    def maps(self) -> Tensor:
        """Return the summed activations of each set of channels, (N, A, h, w), in the resolution of the layer.

        Raises
        ------
        ValueError
            If the layer is not spatial.
        """
        with outside_autocast(self.masks):
            return torch.einsum("nak,nkhw->nahw", self.masks, self._spatial())

    def saliency(self) -> Tensor:
        """Return the summed activations of the a* channels, resized to the images: (N, H, W) (equation 11).

        Raises
        ------
        ValueError
            If the layer is not spatial.
        """
        with outside_autocast(self.masks):
            summed = torch.einsum("nk,nkhw->nhw", self.best_masks, self._spatial())
        return resize_map(summed, self.size)

    def _spatial(self) -> Tensor:
        if self.activation.ndim != 4:
            raise ValueError(
                f"expected a layer with spatial positions for a map, got {self.layer!r} with "
                f"{tuple(self.activation.shape[1:])}; its masks need no map"
            )
        return self.activation


@run_method(
    title="Extremal channels",
    source="Fong et al. 2019",
    formula="max over masks m of a of K channels of S_c(m * a_k), map sum_k m_k a_k",
    cost=Cost(1, 0, "steps of each number of channels", 1, 1, note="from the layer on"),
    guarantees="masks of exactly the numbers of channels",
    limits="As coarse as its layer; slower on layers that some path through the network bypasses.",
    quick={"channels": (1, 3), "settings": AreaSettings(steps=4)},
    signed=False,
)
@without_inference_mode
def channel_extremal(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    layer: str | None = None,
    channels: Sequence[int] | None = None,
    variant: Variant = "preserve",
    settings: AreaSettings | None = None,
    start: ChannelExtremal | None = None,
    tau: float = 1.0,
    batch_size: int = 32,
) -> Run[ChannelExtremal]:
    """Find, for each number of channels of a layer, the channels that best preserve, or delete, the score of a class.

    The search is deterministic: on one device the same call gives the same masks.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, searched at once.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    layer : str, optional
        Any layer with spatial positions or an output (C,), by its name in ``model.layers()``; the mask applies to all
        tokens. It is faster if every path
        through the network passes it exactly once: then only the rest of the network runs. Default: the last one
        before pooling.
    channels : sequence of int, optional
        Ascending numbers of channels, from 1 to K. Default: two per octave, 1, 2, 3, 4, 6, 8, 12 and so on, and K.
    variant : {"preserve", "delete", "hybrid", "contrastive"}, default "preserve"
        Whether the mask keeps the score high where it is preserved, low where it is deleted, both, or keeps its margin
        over the best other score.
    settings : AreaSettings, optional
        Settings of the search; ``grid`` and ``sigma`` have no effect.
    start : ChannelExtremal, optional
        An earlier result for the same images, layer and channels, to resume from.
    tau : float, default 1.0
        Share of the score that is sufficient, for a*.
    batch_size : int, default 32
        Masked activations per pass.

    Returns
    -------
    Run of ChannelExtremal
        Every snapshot holds the best masks so far.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel, or ``settings`` or ``start`` are of another kind.
    ValueError
        For numbers of channels that the layer cannot have, an unknown variant or layer, with the nearest one, or a
        start that does not fit.
    """
    settings = AreaSettings() if settings is None else instance(settings, "settings", AreaSettings)
    batch_size, tau = check_batch_size(batch_size), number(tau, "tau")
    model, x, target = prepare(model, x, target)
    layer = model.default_layer() if layer is None else layer
    objective = ChannelObjective(model, x, target, variant, layer, batch_size)
    width = objective.activation.shape[1]
    counts = octaves(width) if channels is None else check_channels(channels, width)
    shape = (len(x), len(counts), width)
    # Masks of these shares are binarized at exactly these numbers.
    shares = [count / width for count in counts]
    like = objective.activation.new_empty(1).expand(shape)
    # Estimates of the contributions take passes, which belong to the first step.
    starts = [like] * len(ESTIMATES) if start is None else [_check_start(start, shape).parameters]
    blank = AreaSearch(shares, settings, starts, smooth=lambda fields: fields, earlier=start)

    def steps() -> Iterator[ChannelExtremal]:
        estimated = () if start is not None else objective.contributions()
        search = replace(blank, starts=[each[:, None].expand(shape) for each in estimated] or starts)
        empty = objective.activation.new_empty(0)
        result = ChannelExtremal(
            areas=torch.tensor(shares, device=x.device),
            masks=empty,
            smooth=empty,
            class_scores=empty,
            end_scores=objective.end_scores,
            target=target,
            variant=variant,
            tau=tau,
            parameters=empty,
            channels=torch.tensor(counts, device=x.device),
            layer=layer,
            activation=objective.activation,
            size=(x.shape[2], x.shape[3]),
        )
        for best in search.run(objective):
            objective.complete(best)
            yield result.with_best(best)

    return Run(steps(), total=blank.snapshots, name=f"channels of {layer}, {variant}")


class ChannelObjective(ScoreObjective):
    """Masks (N, A, K) on the channels of a layer."""

    def __init__(
        self, model: ImageModel, x: Tensor, target: Tensor, variant: Variant, layer: str, batch_size: int
    ) -> None:
        super().__init__(model, target, variant, batch_size)
        self.of_layer = LayerScores(model, x, layer)

    @property
    def activation(self) -> Tensor:
        """Activation of the layer, (N, K, h, w) or (N, K)."""
        return self.of_layer.activation

    @cached_property
    def end_scores(self) -> Tensor:
        """Scores (N, 2, classes) without any channel, and with all of them; computed by the first step of a run."""
        with outside_inference(), torch.no_grad():
            ends = [self.activation.new_full(self.activation.shape[:2], end) for end in (0.0, 1.0)]
            index = torch.arange(len(self.of_layer), device=self.activation.device)
            return torch.stack([self._scores(end, index) for end in ends], dim=1)

    def masked_scores(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Return scores (E, classes) of masks (E, K)."""
        return check_finite(self._scores(masks, index), self.model.name)

    def _scores(self, masks: Tensor, index: Tensor) -> Tensor:
        """Return the same, unchecked: the run raises the error if scores are not finite, not the constructor."""
        wide = self.of_layer.along_channels(masks)
        return self.of_layer.scores(lambda output: output * wide.to(output.dtype), index)

    def contributions(self) -> list[Tensor]:
        """Return three estimates of the contribution of each channel to the score, (N, K).

        They are the gradient at m = 1, at a small m, and its mean over m from 0 to 1, with all channels alike.
        """
        gradients = [self.mask_gradient((point + 1) / POINTS) for point in range(POINTS)]
        return [gradients[-1], gradients[0], torch.stack(gradients).mean(0)]

    def mask_gradient(self, value: float = 1.0) -> Tensor:
        """Return the gradient of the score with respect to a mask that has one value everywhere, (N, K).

        At 1 it is gradient x activation, summed over the positions of each channel.
        """
        index = torch.arange(len(self.of_layer), device=self.activation.device)
        with outside_inference(), torch.enable_grad():
            masks = self.activation.new_full(self.activation.shape[:2], value)
            score = self._scores(masks.requires_grad_(), index).gather(1, self.target[:, None]).sum()
            gradient = (
                torch.autograd.grad(score, masks, allow_unused=True)[0] if score.requires_grad else None
            )
        if gradient is None:
            raise ValueError(
                f"expected a layer that the scores depend on, such as {self.model.default_layer()!r}, got "
                f"{self.of_layer.layer!r}"
            )
        return gradient


def channel_effects(model: ImageModel, x: Any, target: Target = None, *, layer: str) -> Tensor:
    """Return the effect of each channel of a layer on the score of a class, gradient x activation.

    e_k = sum over the positions of a_k * dS_c/da_k. To first order it is the change of the score if the channel were
    larger by its own value; its sign shows whether the channel speaks for or against the class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind.
    target : int, str or callable, optional
        The class or a target, or one per image. Default: the predicted class.
    layer : str
        A layer of K channels.

    Returns
    -------
    Tensor, (N, K)
        In units of the score.

    Raises
    ------
    ValueError
        For an unknown layer, or one that the scores do not depend on.
    """
    model, x, target = prepare(model, x, target)
    return ChannelObjective(model, x, target, "preserve", layer, len(x)).mask_gradient()


def octaves(width: int) -> list[int]:
    """Return two numbers per octave, 1, 2, 3, 4, 6, 8, 12 and so on below ``width``, and ``width``."""
    powers = [2**power for power in range(width.bit_length())]
    return sorted({count for power in powers for count in (power, power * 3 // 2) if count < width} | {width})


def check_channels(channels: Iterable[int], width: int) -> list[int]:
    """Return the numbers of channels; ValueError unless they ascend, differ, and are from 1 to ``width``."""
    counts = integers(channels, "channels", low=1, high=width)
    if counts != sorted(set(counts)):
        raise ValueError(
            f"expected ascending channels, got {brief(counts)}; sorted they are {brief(sorted(set(counts)))}"
        )
    return counts


def _check_start(start: object, shape: tuple[int, ...]) -> ChannelExtremal:
    start = instance(start, "start", ChannelExtremal)
    if tuple(start.parameters.shape) != shape:
        raise ValueError(
            f"expected a start with parameters of shape {shape}, a result for the same images, layer and numbers of "
            f"channels, got {tuple(start.parameters.shape)}"
        )
    return start


@dataclass(frozen=True, repr=False)
class ClassChannels(ShortRepr):
    """Channels that the images of each class need.

    Attributes
    ----------
    classes : Tensor, (M,)
        The classes with at least one image, ascending.
    means : Tensor, (M, K)
        Mean of the masks of a* over the images of each class, in [0, 1].
    counts : Tensor, (M,)
        Numbers of images.
    shares : Tensor, (M, K)
        Mean share of the sets of all numbers of channels that contain each channel, in [0, 1].
    """

    classes: Tensor
    means: Tensor
    counts: Tensor
    shares: Tensor

    def top(self, k: int = 1) -> Tensor:
        """Return the k channels, (M, k), that most images of each class need, k_c* first; ties by `shares`."""
        width = self.means.shape[1]
        k = integer(k, "k", low=1, high=width, hint="the channels of the layer")
        order = self.shares.argsort(dim=1, descending=True, stable=True)
        again = self.means.gather(1, order).argsort(dim=1, descending=True, stable=True)
        return order.gather(1, again)[:, :k]


def class_channels(results: ChannelExtremal | Iterable[ChannelExtremal]) -> ClassChannels:
    """Return the mean mask of each class (section 5.2): the channels that its images need.

    Parameters
    ----------
    results : ChannelExtremal or iterable of ChannelExtremal
        Results for one layer and any number of images. An image for which no number of channels is sufficient counts
        with the largest.

    Returns
    -------
    ClassChannels

    Raises
    ------
    ValueError
        For an empty sequence, or results of different layers.
    """
    parts = (
        [results]
        if isinstance(results, ChannelExtremal)
        else items(results, "results", what="ChannelExtremal")
    )
    for part in parts:
        instance(part, "each of the results", ChannelExtremal)
    layers = sorted({part.layer for part in parts})
    if len(layers) > 1:
        raise ValueError(f"expected results of one layer, got {brief(layers)}")
    masks = torch.cat([part.best_masks for part in parts])
    shares = torch.cat([part.masks.mean(1) for part in parts])
    classes, of_class, counts = torch.cat([part.target for part in parts]).unique(
        return_inverse=True, return_counts=True
    )
    means, of_sets = (
        masks.new_zeros(len(classes), masks.shape[1]).index_add_(0, of_class, each) / counts[:, None]
        for each in (masks, shares)
    )
    return ClassChannels(classes, means, counts, of_sets)
