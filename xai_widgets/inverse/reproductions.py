"""Settings of the operation-wise inverse that reproduce other methods, each beside its original.

Section 4.4.1 of the source, with x^ the inverse, x_bar the activations and e_c the unit vector of a class:

    Grad-CAM               relu(sum_k a_k A^k),  a_k = mean over places of x^_k,  x^ the inverse of S_c e_c by
                           what comes after the last convolution, A its activation      equation 4.9
    Excitation backprop    sum over the channels of x^ at each max-pool, as of P        figure 4.4
    Integrated gradients   sum over the channels of |x^| at the image                   figure 4.5
    DeconvNet              the same, from the largest activation of a channel alone, with l1 = 0

Where there is an average before the scores, as in residual networks, its inverse x_bar y / y_bar has the mean y: then
a_k is the inverse of the scores itself. Since 0 <= x^ <= x_bar, a_k is at least 0 and the relu never acts, unlike that
of the original, whose weights are gradients of both signs.

The source compares by eye. What the inverse and an original have in common is where they are, less their finest grain:
correlations are given of maps as they are, or blurred alike (docs/results/settings.md has both).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import integer, items
from xai_widgets.errors import unknown_name
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.operation_wise import OperationWise, operation_wise
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.inverse.units import Unit, find_units
from xai_widgets.methods import METHODS
from xai_widgets.metrics.agreement import pearson
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.resize import resize_map
from xai_widgets.rules import deconv_relu, relu_rules
from xai_widgets.rules.excitation import redistribute

#: Units with work between places; all others of a network are what Grad-CAM calls its linear layers.
PLACED = "convolution"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What the operation-wise inverse makes of another method so far.

    Attributes
    ----------
    original : str
        The name of the method that it reproduces, as in ``xai_widgets.methods.METHODS``.
    inverse : OperationWise
        How far the inverse has come.
    maps : dict of str to Tensor, (N, h, w)
        By the unit at whose output they are, or "image", each in its own resolution, the last of the network first;
        at least 0. Empty until the first one is reached.
    """

    original: str
    inverse: OperationWise
    maps: dict[str, Tensor]
    _original_map: Callable[[str], Tensor] = field(repr=False)

    @property
    def map(self) -> Tensor:
        """The map furthest down, (N, h, w); ValueError before the first one."""
        return self.maps[self._place(None)]

    def saliency(self) -> Tensor:
        """The map furthest down in the resolution of the images, (N, H, W)."""
        return resize_map(self.map, (self.inverse.image.shape[2], self.inverse.image.shape[3]))

    def original_map(self, at: str | None = None) -> Tensor:
        """What the original draws, (N, h, w), without its signs.

        Parameters
        ----------
        at : str, optional
            Beside which of ``maps``. Default: the one furthest down.
        """
        return self._original_map(self._place(at)).abs()

    def correlation(
        self, original: Tensor | None = None, *, at: str | None = None, sigma: float = 0.0
    ) -> Tensor:
        """Pearson's correlation of a map and of the original's, (N,); NaN where one is constant.

        Parameters
        ----------
        original : Tensor, (N, h, w), optional
            The map of the original, where you have it from elsewhere. Default: :meth:`original_map`. The coarser of
            both is brought to the resolution of the finer one.
        at : str, optional
            Which of ``maps``. Default: the one furthest down.
        sigma : float, default 0.0
            Of a Gaussian by which both are blurred first, in places of the finer one.

        Raises
        ------
        ValueError
            Before the first map, for an unknown one, with the nearest, for another number of maps, or a sigma below 0.
        """
        place = self._place(at)
        own = self.maps[place]
        other = self.original_map(place) if original is None else original.to(own)
        if other.ndim != 3 or len(other) != len(own):
            raise ValueError(f"the original has shape {tuple(other.shape)}, wanted ({len(own)}, h, w)")
        if not sigma >= 0:
            raise ValueError(f"sigma is {sigma}, wanted at least 0")
        size = (max(own.shape[1], other.shape[1]), max(own.shape[2], other.shape[2]))
        maps = [resize_map(each, size) for each in (own, other)]
        if sigma > 0:
            maps = [gaussian_blur(each[:, None], sigma)[:, 0] for each in maps]
        return pearson(*maps)

    def _place(self, at: str | None) -> str:
        if not self.maps:
            raise ValueError("the inverse has not come to the first map, wanted a run that has gone further")
        if at is not None and at not in self.maps:
            raise ValueError(unknown_name("map", at, list(self.maps)))
        return list(self.maps)[-1] if at is None else at


@without_inference_mode
def reproduce_grad_cam(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    layer: str | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[Reproduction]:
    """Grad-CAM by inverting what comes after the convolutions: linear layers, averages, and pools on the way.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    layer : str, optional
        The unit whose output is A, by its name in :func:`~xai_widgets.inverse.find_units`; no convolution may follow.
        Default: the last convolution or block.
    settings : SolverSettings, optional
        When an operation is done.
    batch_size : int, default 64
        Images that are solved at once.

    Returns
    -------
    Run of Reproduction
        With one map, at ``layer``. The original is taken there too, if that is a layer of ``model.layers()``, else at
        its default one.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel.
    ValueError
        For a network without convolutions, a layer that is unknown or that a convolution follows, with the nearest
        one, or as :func:`~xai_widgets.inverse.operation_wise`.
    """
    image, classes = prepare(model, x, target)
    units = find_units(model)
    last = _last_placed(model, units)
    chosen = _unit_index(units, layer, last)
    if chosen < last:
        raise ValueError(
            f"the unit {layer!r} is followed by a convolution, wanted one of which only linear layers follow, such as "
            f"{units[last].name!r}"
        )
    name = units[chosen].name
    run = operation_wise(model, image, classes, until=name, settings=settings, batch_size=batch_size)

    def weighted(made: OperationWise) -> dict[str, Tensor]:
        if len(made.units) < len(units) - 1 - chosen:
            return {}
        weights, activation = made.x[:, 0], made.units[-1].x_bar
        if activation.ndim != 4:
            raise ValueError(f"the output of {name!r} has no places, wanted {units[last].name!r}")
        return {name: (weights.mean((2, 3), keepdim=True) * activation).sum(1).relu()}

    def original(_place: str) -> Tensor:
        own = name if name in {each.name for each in model.layers()} else None
        return METHODS["grad_cam"].saliency(model, image, classes, layer=own)

    return _reproduction(run, "grad_cam", weighted, original)


@without_inference_mode
def reproduce_excitation_backprop(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    at: Sequence[str] | None = None,
    l1: float = 0.1,
    l2: float = 0.9,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[Reproduction]:
    """Excitation backprop by the inverse at each max-pool, summed over the channels.

    Parameters
    ----------
    model, x, target, settings, batch_size
        As for :func:`reproduce_grad_cam`.
    at : sequence of str, optional
        The units at whose outputs the maps are. Default: all max-pools; in a network that has none, whatever has
        fewer places at its output than at its input.
    l1, l2 : float, defaults 0.1 and 0.9
        As for :func:`~xai_widgets.inverse.operation_wise`.

    Returns
    -------
    Run of Reproduction
        With a map for each unit of ``at``, down to the lowest of them. The original is the probability there, summed
        over the channels.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel.
    ValueError
        For an unknown unit, with the nearest one, one without places, or as
        :func:`~xai_widgets.inverse.operation_wise`.
    """
    image, classes = prepare(model, x, target)
    chain = Chain.of(model, image[:1])
    names = [unit.name for unit in chain.units]
    placed = [after.ndim == 4 for after in chain.inputs[1:]]
    chosen = (
        _coarser(chain)
        if at is None
        else [_unit_index(chain.units, name, 0) for name in items(at, "at", what="names of units")]
    )
    wrong = [names[index] for index in chosen if index + 1 == len(names) or not placed[index]]
    if wrong or not chosen:
        raise ValueError(
            f"the outputs of {wrong} have no places, wanted some of "
            f"{[name for name, there in zip(names[:-1], placed, strict=True) if there]}"
        )
    run = operation_wise(
        model,
        image,
        classes,
        l1=l1,
        l2=l2,
        until=names[min(chosen)],
        settings=settings,
        batch_size=batch_size,
    )

    def maps(made: OperationWise) -> dict[str, Tensor]:
        # The inverse at the output of a unit is that at the input of the next one.
        there = {names.index(each.unit) - 1: each for each in made.units}
        return {
            names[index]: there[index].map[:, 0]
            for index in sorted(set(chosen), reverse=True)
            if index in there
        }

    def original(place: str) -> Tensor:
        def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
            passed = [pixels]
            for unit in chain.units:
                passed.append(unit.run(passed[-1]))
            return passed[-1], passed[names.index(place) + 1]

        start = F.one_hot(classes, len(model.labels)).to(image)
        probability = redistribute(model.module, run, image, start)
        assert probability is not None
        return probability.sum(1)

    return _reproduction(run, "excitation_backprop", maps, original)


@without_inference_mode
def reproduce_integrated_gradients(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    l1: float = 0.1,
    l2: float = 0.9,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[Reproduction]:
    """Integrated gradients by the inverse of a class down to the image.

    Parameters
    ----------
    model, x, target, settings, batch_size
        As for :func:`reproduce_grad_cam`.
    l1, l2 : float, defaults 0.1 and 0.9
        As for :func:`~xai_widgets.inverse.operation_wise`.

    Returns
    -------
    Run of Reproduction
        With one map, at the "image". It has no signs, so its original is taken without them.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel.
    ValueError
        As :func:`~xai_widgets.inverse.operation_wise`.
    """
    image, classes = prepare(model, x, target)
    run = operation_wise(model, image, classes, l1=l1, l2=l2, settings=settings, batch_size=batch_size)

    def original(_place: str) -> Tensor:
        return METHODS["integrated_gradients"].saliency(model, image, classes)

    return _reproduction(run, "integrated_gradients", _at_the_image, original)


@without_inference_mode
def reproduce_deconvnet(
    model: ImageModel,
    x: Any,
    channel: int,
    *,
    unit: str | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[Reproduction]:
    """DeconvNet by the inverse of a channel's largest activation down to the image, with l1 = 0 and l2 = 0.9.

    Parameters
    ----------
    model, x, settings, batch_size
        As for :func:`reproduce_grad_cam`.
    channel : int
        Of the output of ``unit``.
    unit : str, optional
        By its name in :func:`~xai_widgets.inverse.find_units`. Default: the last convolution or block.

    Returns
    -------
    Run of Reproduction
        With one map, at the "image": 0 where the channel is 0 everywhere. The original is the same activation, brought
        back by the rules of ``xai_widgets.attribution.deconvnet``, and the largest absolute value of its channels.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel.
    ValueError
        For an unknown unit, with the nearest one, one without places, or a channel that it does not have.
    """
    image, _ = prepare(model, x, None)
    chain = Chain.of(model, image)
    index = _unit_index(chain.units, unit, _last_placed(model, chain.units))
    name = chain.units[index].name
    start = one_hot([*chain.inputs[1:], chain.output][index], channel, name)
    run = operation_wise(
        model, image, start=(name, start), l1=0.0, l2=0.9, settings=settings, batch_size=batch_size
    )

    def original(_place: str) -> Tensor:
        with (
            outside_inference(),
            torch.enable_grad(),
            relu_rules(model, "DeconvNet", relu=deconv_relu),
        ):
            given = image.clone().requires_grad_()
            passed = given
            for each in chain.units[: index + 1]:
                passed = each.run(passed)
            (gradient,) = torch.autograd.grad(passed, given, (start > 0).to(passed))
        return METHODS["deconvnet"].reduce(gradient)

    return _reproduction(run, "deconvnet", _at_the_image, original)


def one_hot(activation: Tensor, channel: int, name: str) -> Tensor:
    """The largest value of a channel in its place, and 0 elsewhere, for each activation (N, C, h, w).

    Raises
    ------
    ValueError
        For an activation without places, or a channel that it does not have; ``name`` says whose.
    """
    if activation.ndim != 4:
        raise ValueError(f"the output of {name!r} has no places, wanted a unit whose output is (C, h, w)")
    channel = integer(
        channel, "channel", low=0, high=activation.shape[1] - 1, hint=f"the channels of {name!r}"
    )
    values, places = activation[:, channel].flatten(1).max(1, keepdim=True)
    made = torch.zeros_like(activation)
    made[:, channel] = made[:, channel].flatten(1).scatter(1, places, values).view_as(made[:, channel])
    return made


def _reproduction(
    run: Run[OperationWise],
    original: str,
    maps: Callable[[OperationWise], dict[str, Tensor]],
    original_map: Callable[[str], Tensor],
) -> Run[Reproduction]:
    def play() -> Iterator[Reproduction]:
        for made in run:
            yield Reproduction(original=original, inverse=made, maps=maps(made), _original_map=original_map)

    return Run(play(), total=run.total, name=f"{original} by the inverse")


def _at_the_image(made: OperationWise) -> dict[str, Tensor]:
    return {} if made.output is None else {"image": made.saliency()}


def _last_placed(model: ImageModel, units: Sequence[Unit]) -> int:
    """The index of the last convolution or block."""
    found = [index for index, unit in enumerate(units) if unit.kind == PLACED]
    if not found:
        raise ValueError(
            f"{model.name} has no unit with a convolution, wanted one whose activations have places"
        )
    return found[-1]


def _unit_index(units: Sequence[Unit], name: str | None, default: int) -> int:
    names = [unit.name for unit in units]
    if name is None:
        return default
    if name not in names:
        raise ValueError(unknown_name("unit", name, names))
    return names.index(name)


def _coarser(chain: Chain) -> list[int]:
    """The units that are max-pools, or else those that leave fewer places, but more than one."""
    pools = [index for index, unit in enumerate(chain.units) if unit.kind == "pool"]
    places = [each.shape[2:].numel() for each in chain.inputs if each.ndim == 4]
    return pools or [index for index, (at, after) in enumerate(pairwise(places)) if 1 < after < at]
