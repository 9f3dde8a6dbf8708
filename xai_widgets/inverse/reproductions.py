"""Reproductions of other methods by the operation-wise inverse, with the originals (Kwon 2021, section 4.4.1).

With x^ the inverse, x_bar the activations and e_c the unit vector of a class:

    Grad-CAM               relu(sum_k a_k A^k),   a_k = mean over the positions of x^_k,   x^ the inverse of S_c e_c by
                           the layers after the last convolution, A its activation                         eq. 4.9
    Excitation backprop    sum over the channels of x^ at each max-pool                                    fig. 4.4
    Integrated gradients   sum over the channels of |x^| at the image                                      fig. 4.5
    DeconvNet              the same, from the largest activation of a channel alone, with l1 = 0

In networks with an average before the scores, such as residual networks, the inverse of the average, x_bar y / y_bar,
has the mean y, so a_k is the inverse of the scores themselves. Since 0 <= x^ <= x_bar, a_k is at least 0 and the relu
has no effect, unlike in Grad-CAM, whose weights are gradients of both signs.

The dissertation compares by eye. Inverse and original agree in their coarse structure more than in their details, so
correlations are available with and without blurring both maps (docs/results/settings.md lists both). A map of the
activations alone, which knows no class, agrees with many originals, too: its correlation is the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from xai_widgets.inverse.inverted import UnitInverse
from xai_widgets.inverse.operation_wise import OperationWise, operation_wise
from xai_widgets.inverse.reproduction import Reproduction
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.inverse.units import Unit, find_units
from xai_widgets.methods import METHODS
from xai_widgets.rules import deconv_relu, relu_rules
from xai_widgets.rules.excitation import redistribute

#: Kind of the spatial units; Grad-CAM calls all others the linear layers of a network.
SPATIAL = "convolution"

#: Maps by name, each with the inverse of the unit at whose input it is.
Maps = dict[str, tuple[Tensor, UnitInverse]]


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
    """Reproduce Grad-CAM by inverting the layers after the convolutions.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        N images of any kind.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    layer : str, optional
        The unit whose output is A, by its name in :func:`~xai_widgets.inverse.find_units`, without a convolution
        behind it. Default: the last convolution or block.
    settings : SolverSettings, optional
        Iterations and tolerance of the solver.
    batch_size : int, default 64
        Number of images to solve at once.

    Returns
    -------
    Run of Reproduction
        One map, at `layer`. The original uses the same layer if it is in ``model.layers()``, else its default layer.

    Raises
    ------
    TypeError
        If `model` is not an ImageModel.
    ValueError
        For a network without convolutions, a layer that is unknown, with the nearest one, or followed by a
        convolution, or the reasons of :func:`~xai_widgets.inverse.operation_wise`.
    """
    model, image, classes = prepare(model, x, target)
    units = find_units(model)
    last = _last_spatial(model, units)
    chosen = _unit_index(units, layer, last)
    if chosen < last:
        raise ValueError(
            f"expected a unit behind the last convolution, got {layer!r}; the nearest one is {units[last].name!r}"
        )
    name = units[chosen].name
    run = operation_wise(model, image, classes, until=name, settings=settings, batch_size=batch_size)

    def weighted(inverse: OperationWise) -> Maps:
        if len(inverse.units) < len(units) - 1 - chosen:
            return {}
        weights, activation = inverse.x[:, 0], inverse.units[-1].x_bar
        if activation.ndim != 4:
            raise ValueError(
                f"expected a unit with a spatial output, got {name!r}; the nearest one is {units[last].name!r}"
            )
        grad_cam = (weights.mean((2, 3), keepdim=True) * activation).sum(1).relu()
        return {name: (grad_cam, inverse.units[-1])}

    def original(_name: str) -> Tensor:
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
    """Reproduce excitation backprop by the inverse at each max-pool, summed over the channels.

    Parameters
    ----------
    model, x, target, settings, batch_size
        See :func:`reproduce_grad_cam`.
    at : sequence of str, optional
        Units at whose outputs the maps are. Default: all max-pools, or in a network without them all units that reduce
        the resolution.
    l1, l2 : float, defaults 0.1 and 0.9
        See :func:`~xai_widgets.inverse.operation_wise`.

    Returns
    -------
    Run of Reproduction
        A map for each unit in `at`. The original is the probability there, summed over the channels.

    Raises
    ------
    TypeError
        If `model` is not an ImageModel.
    ValueError
        For a unit that is unknown, with the nearest one, or not spatial, or the reasons of
        :func:`~xai_widgets.inverse.operation_wise`.
    """
    model, image, classes = prepare(model, x, target)
    chain = Chain.of(model, image[:1])
    names = [unit.name for unit in chain.units]
    spatial = [name for name, output in zip(names[:-1], chain.inputs[1:], strict=True) if output.ndim == 4]
    chosen = (
        _downsampling_units(chain)
        if at is None
        else [_unit_index(chain.units, name, 0) for name in items(at, "at", what="names of units")]
    )
    wrong = [names[index] for index in chosen if names[index] not in spatial]
    if wrong or not chosen:
        raise ValueError(f"expected units with a spatial output, got {wrong}; choose from {spatial}")
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

    def maps(inverse: OperationWise) -> Maps:
        # The inverse at the output of a unit is that at the input of the next one.
        at_output = {names.index(unit.unit) - 1: unit for unit in inverse.units}
        return {
            names[index]: (at_output[index].map[:, 0], at_output[index])
            for index in sorted(set(chosen), reverse=True)
            if index in at_output
        }

    def original(name: str) -> Tensor:
        def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
            activations = [pixels]
            for unit in chain.units:
                activations.append(unit.run(activations[-1]))
            return activations[-1], activations[names.index(name) + 1]

        start = F.one_hot(classes, len(model.labels)).to(image)
        probability = redistribute(model.module, run, image, start)
        assert probability is not None
        return chain.units[names.index(name)].outputs.split(probability)[-1].sum(1)

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
    """Reproduce integrated gradients by the inverse of a class at the image.

    Parameters
    ----------
    model, x, target, settings, batch_size
        See :func:`reproduce_grad_cam`.
    l1, l2 : float, defaults 0.1 and 0.9
        See :func:`~xai_widgets.inverse.operation_wise`.

    Returns
    -------
    Run of Reproduction
        One map, at the "image". It is non-negative, so the original is its absolute value.

    Raises
    ------
    TypeError
        If `model` is not an ImageModel.
    ValueError
        See :func:`~xai_widgets.inverse.operation_wise`.
    """
    model, image, classes = prepare(model, x, target)
    run = operation_wise(model, image, classes, l1=l1, l2=l2, settings=settings, batch_size=batch_size)

    def original(_name: str) -> Tensor:
        return METHODS["integrated_gradients"].saliency(model, image, classes)

    return _reproduction(run, "integrated_gradients", _image_map, original)


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
    """Reproduce DeconvNet by the inverse of a channel's largest activation at the image, with l1 = 0 and l2 = 0.9.

    Parameters
    ----------
    model, x, settings, batch_size
        See :func:`reproduce_grad_cam`.
    channel : int
        Channel of the output of `unit`.
    unit : str, optional
        A unit by its name in :func:`~xai_widgets.inverse.find_units`. Default: the last convolution or block.

    Returns
    -------
    Run of Reproduction
        One map, at the "image"; 0 if the channel is 0 everywhere. The original propagates the same activation to the
        image by the rules of ``xai_widgets.attribution.deconvnet`` and takes the maximum of its absolute values.

    Raises
    ------
    TypeError
        If `model` is not an ImageModel.
    ValueError
        For a unit that is unknown, with the nearest one, or not spatial, or an unknown channel.
    """
    model, image, _ = prepare(model, x, None)
    chain = Chain.of(model, image)
    index = _unit_index(chain.units, unit, _last_spatial(model, chain.units))
    name = chain.units[index].name
    start = one_hot([*chain.inputs[1:], chain.output][index], channel, name)
    run = operation_wise(
        model, image, start=(name, start), l1=0.0, l2=0.9, settings=settings, batch_size=batch_size
    )

    def original(_name: str) -> Tensor:
        with (
            outside_inference(),
            torch.enable_grad(),
            relu_rules(model, "DeconvNet", relu=deconv_relu),
        ):
            pixels = image.clone().requires_grad_()
            activation = pixels
            for each in chain.units[:index]:
                activation = each.run(activation)
            last = chain.units[index]
            activation = last.outputs.split(last.before_relu(activation))[-1]
            if last.relu:
                # Not its own ReLU6, whose gradient is 0 where it is 6.
                activation = activation.relu()
            (gradient,) = torch.autograd.grad(activation, pixels, (start > 0).to(activation))
        return METHODS["deconvnet"].reduce(gradient)

    return _reproduction(run, "deconvnet", _image_map, original)


def one_hot(activation: Tensor, channel: int, name: str) -> Tensor:
    """Keep the largest value of one channel of each activation (N, C, h, w) and set all others to 0.

    Raises
    ------
    ValueError
        For an activation of the unit `name` that is not spatial, or an unknown channel.
    """
    if activation.ndim != 4:
        raise ValueError(
            f"expected a unit with output (C, h, w), got {name!r} with {tuple(activation.shape[1:])}"
        )
    channel = integer(
        channel, "channel", low=0, high=activation.shape[1] - 1, hint=f"the channels of {name!r}"
    )
    values, positions = activation[:, channel].flatten(1).max(1, keepdim=True)
    result = torch.zeros_like(activation)
    result[:, channel] = (
        result[:, channel].flatten(1).scatter(1, positions, values).view_as(result[:, channel])
    )
    return result


def _reproduction(
    run: Run[OperationWise],
    original: str,
    maps: Callable[[OperationWise], Maps],
    original_map: Callable[[str], Tensor],
) -> Run[Reproduction]:
    def play() -> Iterator[Reproduction]:
        for inverse in run:
            found = maps(inverse)
            yield Reproduction(
                original=original,
                inverse=inverse,
                maps={name: made for name, (made, _) in found.items()},
                _activations={name: unit for name, (_, unit) in found.items()},
                _original_map=original_map,
            )

    return Run(play(), total=run.total, name=f"{original} by the inverse")


def _image_map(inverse: OperationWise) -> Maps:
    """Return the map at the image, once it is reached."""
    return {} if inverse.output is None else {"image": (inverse.saliency(), inverse.units[-1])}


def _last_spatial(model: ImageModel, units: Sequence[Unit]) -> int:
    """Return the index of the last convolution or block."""
    indices = [index for index, unit in enumerate(units) if unit.kind == SPATIAL]
    if not indices:
        raise ValueError(f"expected a network with convolutions, got {model.name} without any")
    return indices[-1]


def _unit_index(units: Sequence[Unit], name: str | None, default: int) -> int:
    """Return the index of the unit of this name, or `default` for None."""
    names = [unit.name for unit in units]
    if name is None:
        return default
    if name not in names:
        raise ValueError(unknown_name("unit", name, names))
    return names.index(name)


def _downsampling_units(chain: Chain) -> list[int]:
    """Return the indices of the max-pools, or else of the units that reduce the resolution, except to one position."""
    pools = [index for index, unit in enumerate(chain.units) if unit.kind == "pool"]
    sizes = [each.shape[2:].numel() for each in chain.inputs if each.ndim == 4]
    return pools or [index for index, (before, after) in enumerate(pairwise(sizes)) if 1 < after < before]
