"""Extremal perturbations of channels: of all sets of so many channels of a layer, the one that keeps a class best.

Fong, Patrick and Vedaldi 2019, section 5. With Phi_l(x) the activation of a layer of K channels, Phi_l+ the rest of the
network up to the score of a class before softmax, and a mask m in [0, 1]^K that multiplies the channels:

    preserve   max_m Phi_l+(m Phi_l(x)),   a of K channels                             equation 9
    a* = min {a : Phi_l+(m_a Phi_l(x)) >= Phi_0},   Phi_0 = tau Phi(x)                 equation 10
    v = sum_k m_a*^k Phi_l^k(x)                                                        equation 11
    mean mask of a class:  average of m_a* over its images,   k_c* = argmax_k of it    section 5.2

As in :mod:`~xai_widgets.perturbation.extremal` the number of channels is met by construction, not by a penalty (the
published search: 300 iterations, learning rate 0.01, lambda from 0 to 1500 over the first 150).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import forward_hooks
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, check_finite, instance, integer, integers, items, number
from xai_widgets.methods import Cost, run_method
from xai_widgets.perturbation.areas import AreaSettings, Found, search
from xai_widgets.perturbation.objective import Masked, Variant
from xai_widgets.perturbation.scored import ScoredMasks

#: The numbers of channels of the paper, for a layer of 528.
PUBLISHED_COUNTS = (1, 5, 10, 20, 25, 35, 40, 50, 60, 70, 80, 90, 100, 150, 200, 250, 300, 350, 400, 450, 528)

#: Points on the way from no activation to all of it, at which gradients tell where to start.
POINTS = 8


@dataclass(frozen=True, kw_only=True)
class ChannelExtremal(ScoredMasks):
    """The best sets of channels so far, masks (N, A, K), and what :class:`ScoredMasks` says of them.

    Attributes
    ----------
    channels : Tensor, (A,)
        Numbers of channels, ascending.
    layer : str
        The layer.
    activation : Tensor, (N, K, ...)
        Of the layer.
    size : (int, int)
        H and W of the images.
    """

    channels: Tensor
    layer: str
    activation: Tensor
    size: tuple[int, int]

    @property
    def best_channels(self) -> Tensor:
        """a*, (N,), the smallest number of channels that is enough; NaN where none is (equation 10)."""
        return self._smallest(self.channels)

    @property
    def best_masks(self) -> Tensor:
        """The masks of a*, (N, K); where no number is enough, of the largest."""
        last = self.enough.new_ones(len(self.target), 1)
        first = torch.cat([self.enough[:, :-1], last], 1).int().argmax(1)
        return self.masks[torch.arange(len(first), device=first.device), first]

    @property
    def order(self) -> Tensor:
        """The channels of each image, (N, K), those that most of the masks hold first; ties by the smooth masks."""
        return (
            (self.masks + self.smooth / (1 + len(self.channels)))
            .sum(1)
            .argsort(dim=1, descending=True, stable=True)
        )

    def maps(self) -> Tensor:
        """Sum of the activations of the channels of each number, (N, A, h, w), in the resolution of the layer.

        Raises
        ------
        ValueError
            If the layer has no places.
        """
        with outside_autocast(self.masks):
            return torch.einsum("nak,nkhw->nahw", self.masks, self._places())

    def saliency(self) -> Tensor:
        """Equation 11, the sum of the activations of the a* channels, brought to the images: (N, H, W).

        Raises
        ------
        ValueError
            If the layer has no places.
        """
        with outside_autocast(self.masks):
            summed = torch.einsum("nk,nkhw->nhw", self.best_masks, self._places())
        return F.interpolate(summed[:, None], self.size, mode="bilinear", align_corners=False)[:, 0]

    def _places(self) -> Tensor:
        if self.activation.ndim != 4:
            raise ValueError(
                f"layer {self.layer!r} has an output of shape {tuple(self.activation.shape[1:])}, wanted (C, h, w): "
                "a layer with places has a map"
            )
        return self.activation


@run_method(
    title="Extremal channels",
    source="Fong et al. 2019",
    formula="max over masks m of a of K channels of S_c(m * a_k), map sum_k m_k a_k",
    cost=Cost(1, 0, "steps of each number of channels", 1, 1, note="from the layer on"),
    guarantees="masks of exactly so many channels",
    limits="Refuses layers that not everything passes through; as coarse as its layer.",
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
    """Find, for each number of channels of a layer, those that preserve, or deleted take away, a class best.

    Nothing in the search is random: on one device the same call gives the same masks.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, searched at once.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    layer : str, optional
        Any layer that runs once and returns (C, h, w) or (C,), by its name in ``model.layers()``. One that everything
        passes through is quicker: the network runs from it on. Default: the last one before pooling.
    channels : sequence of int, optional
        Ascending numbers of channels, from 1 to K. Default: two per octave, 1, 2, 3, 4, 6, 8, 12 and so on, and K.
    variant : {"preserve", "delete", "hybrid"}, default "preserve"
        What a good mask does.
    settings : AreaSettings, optional
        Of the search; grid, sigma and scan say nothing here.
    start : ChannelExtremal, optional
        An earlier result for the same images, layer and channels, to go on from.
    tau : float, default 1.0
        Of a*: which share of the score is enough.
    batch_size : int, default 32
        Masked activations per pass.

    Returns
    -------
    Run of ChannelExtremal
        Every snapshot holds the best masks so far.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel, or ``settings`` or ``start`` are none.
    ValueError
        For numbers of channels that the layer cannot have, an unknown variant or layer, with the nearest one, or a
        start that does not fit.
    """
    settings = AreaSettings() if settings is None else instance(settings, "settings", AreaSettings)
    batch_size, tau = check_batch_size(batch_size), number(tau, "tau")
    x, target = prepare(model, x, target)
    layer = model.default_layer() if layer is None else layer
    objective = MaskedChannels(model, x, target, variant, layer, batch_size)
    width = objective.activation.shape[1]
    counts = octaves(width) if channels is None else check_channels(channels, width)
    lead = (len(x), len(counts))
    # Shares that are cut to exactly these numbers.
    shares = [count / width for count in counts]
    if start is None:
        starts = [each[:, None].expand(*lead, width) for each in objective.contributions()]
        found = None
    else:
        starts = [_check_start(start, (*lead, width)).fields]
        found = Found(start.masks, objective.judge(start.masks), start.smooth, start.fields)
    searched = search(objective, shares, settings, starts, found)

    def play() -> Iterator[ChannelExtremal]:
        nothing = objective.activation.new_empty(0)
        made = ChannelExtremal(
            masks=nothing,
            smooth=nothing,
            class_scores=nothing,
            end_scores=objective.end_scores,
            target=target,
            variant=variant,
            tau=tau,
            fields=nothing,
            channels=torch.tensor(counts, device=x.device),
            layer=layer,
            activation=objective.activation,
            size=(x.shape[2], x.shape[3]),
        )
        for best in searched:
            objective.complete(best)
            yield made.found(best)

    return Run(play(), total=1 + -(-settings.steps // settings.every), name=f"channels of {layer}, {variant}")


class MaskedChannels(Masked):
    """Masks on the channels of a layer: (N, A, K)."""

    def __init__(
        self, model: ImageModel, x: Tensor, target: Tensor, variant: Variant, layer: str, batch_size: int
    ) -> None:
        super().__init__(model, target, variant, batch_size)
        with outside_inference(), torch.no_grad():
            self.x, self.layer = x.clone(), layer
            self.activation = model.activations(self.x, layer)[layer].float().clone()
            if self.activation.ndim != 2:
                model.check_spatial(layer, self.activation.shape[1:])
            self.cuts = model.is_bottleneck(layer)
            ends = [self.activation.new_full(self.activation.shape[:2], end) for end in (0.0, 1.0)]
            index = torch.arange(len(x), device=x.device)
            self.end_scores = torch.stack([self._scores(end, index) for end in ends], dim=1)

    def smooth(self, coarse: Tensor) -> Tensor:
        """The fields themselves: channels have no neighbors."""
        return coarse

    def masked(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Scores (E, classes) of masks (E, K)."""
        return check_finite(self._scores(masks, index), self.model.name)

    def _scores(self, masks: Tensor, index: Tensor) -> Tensor:
        """The same, unchecked: what is not finite is told by the run, not where it is made."""
        wide = masks.view(*masks.shape, *[1] * (self.activation.ndim - 2))
        if self.cuts:
            return self.model.forward_from(self.layer, wide * self.activation[index])
        # Paths lead around the layer: the whole network runs, and the layer's output is masked on the way.
        layers = self.model.find_layers([self.layer])
        with forward_hooks(layers, lambda _name, _module, output: output * wide.to(output.dtype)):
            return self.model(self.x[index])

    def contributions(self) -> list[Tensor]:
        """How much each channel adds to the score, (N, K): by the gradient at all, at a little, and on the way.

        The last is the integral of the gradient over m from 0 to 1, all channels alike.
        """
        index = torch.arange(len(self.x), device=self.x.device)
        gradients = []
        for point in range(POINTS):
            with outside_inference(), torch.enable_grad():
                masks = self.activation.new_full(self.activation.shape[:2], (point + 1) / POINTS)
                score = self._scores(masks.requires_grad_(), index).gather(1, self.target[:, None]).sum()
                gradient = (
                    torch.autograd.grad(score, masks, allow_unused=True)[0] if score.requires_grad else None
                )
            if gradient is None:
                raise ValueError(
                    f"the scores do not depend on layer {self.layer!r}, wanted one on their way, such as "
                    f"{self.model.default_layer()!r}"
                )
            gradients.append(gradient)
        return [gradients[-1], gradients[0], torch.stack(gradients).mean(0)]


def octaves(width: int) -> list[int]:
    """Two numbers per octave, 1, 2, 3, 4, 6, 8, 12 and so on below ``width``, and it."""
    powers = [2**power for power in range(width.bit_length())]
    return sorted({count for power in powers for count in (power, power * 3 // 2) if count < width} | {width})


def check_channels(channels: Iterable[int], width: int) -> list[int]:
    """Return the numbers of channels; an error unless they are ascending, different, and from 1 to ``width``."""
    counts = integers(channels, "channels", low=1, high=width)
    if counts != sorted(set(counts)):
        raise ValueError(
            f"expected ascending channels, got {brief(counts)}; sorted they are {brief(sorted(set(counts)))}"
        )
    return counts


def _check_start(start: object, shape: tuple[int, ...]) -> ChannelExtremal:
    start = instance(start, "start", ChannelExtremal)
    if tuple(start.fields.shape) != shape:
        raise ValueError(
            f"the start has fields of shape {tuple(start.fields.shape)}, wanted {shape}: a result for the same "
            "images, layer and numbers of channels"
        )
    return start


@dataclass(frozen=True)
class ClassChannels:
    """Which channels the images of a class need.

    Attributes
    ----------
    classes : Tensor, (M,)
        The classes that had an image, ascending.
    means : Tensor, (M, K)
        Mean of the masks of a* over the images of each class, in [0, 1].
    counts : Tensor, (M,)
        How many images each had.
    """

    classes: Tensor
    means: Tensor
    counts: Tensor

    def top(self, k: int = 1) -> Tensor:
        """The k channels, (M, k), that most images of each class need, the first is k_c*; ties by their order."""
        width = self.means.shape[1]
        k = integer(k, "k", low=1, high=width, hint="the channels of the layer")
        return self.means.argsort(dim=1, descending=True, stable=True)[:, :k]


def class_channels(results: ChannelExtremal | Iterable[ChannelExtremal]) -> ClassChannels:
    """Mean masks per class (section 5.2): which channels are needed by the images of each class.

    Parameters
    ----------
    results : ChannelExtremal or iterable of ChannelExtremal
        Results for one layer, of as many images as there are; those of which no number of channels is enough count
        with their largest.

    Returns
    -------
    ClassChannels

    Raises
    ------
    ValueError
        For no result, or results of different layers.
    """
    given = (
        [results]
        if isinstance(results, ChannelExtremal)
        else items(results, "results", what="ChannelExtremal")
    )
    for each in given:
        instance(each, "each of the results", ChannelExtremal)
    layers = sorted({result.layer for result in given})
    if len(layers) > 1:
        raise ValueError(f"expected results of one layer, got {brief(layers)}")
    masks = torch.cat([result.best_masks for result in given])
    classes, of_class, counts = torch.cat([result.target for result in given]).unique(
        return_inverse=True, return_counts=True
    )
    summed = masks.new_zeros(len(classes), masks.shape[1]).index_add_(0, of_class, masks)
    return ClassChannels(classes, summed / counts[:, None], counts)
