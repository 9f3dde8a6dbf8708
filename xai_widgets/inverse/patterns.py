"""Feature patterns: what in the images a channel answers to, by the inverse of its largest activations.

Section 4.4.1 and figure 4.2 of the source: of a channel the largest activations over many images, one for each image,
are inverted one at a time, each alone in its place (l1 = 0, l2 = 0.9), down to the image. Drawn is the part of the
inverse around that place, beside the same patch of the image.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.errors import unknown_name
from xai_widgets.features import TopActivations, top_activations
from xai_widgets.inverse.chain import EXACT, check_settings
from xai_widgets.inverse.operation_wise import operation_wise
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.inverse.units import find_units


@dataclass(frozen=True)
class FeaturePatterns:
    """The patterns so far.

    Attributes
    ----------
    unit : str
        Whose channels they are.
    channels : tuple of int
        Which ones, K of them.
    top : TopActivations
        Where they are largest; of all channels.
    patterns : Tensor, (K, k, C, side, side)
        What is left of each patch, in [0, 1] and nowhere above it; NaN where it is not inverted yet, or where there
        are fewer images or the channel is 0 everywhere.
    """

    unit: str
    channels: tuple[int, ...]
    top: TopActivations
    patterns: Tensor

    @property
    def patches(self) -> Tensor:
        """The same patches of the images, (K, k, C, side, side)."""
        return self.top.patches(self.channels)

    @property
    def values(self) -> Tensor:
        """The activations, (K, k), descending."""
        return self.top.values[list(self.channels)]


@without_inference_mode
def feature_patterns(
    model: ImageModel,
    images: Any,
    unit: str,
    channels: int | Sequence[int],
    *,
    k: int = 9,
    side: int | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 32,
) -> Run[FeaturePatterns]:
    """Find the patterns of the images to which some channels answer most.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    unit : str
        A unit whose output is (C, h, w), by its name in :func:`~xai_widgets.inverse.find_units`; the name has to be
        one of ``model.layers()`` too, as that of a ReLU or block that is a module.
    channels : int or sequence of int
        Of that unit.
    k : int, default 9
        How many images for each channel.
    side : int, optional
        Of a patch, in pixels. Default: as :func:`~xai_widgets.features.top_activations`.
    settings : SolverSettings, optional
        When an operation is done.
    batch_size : int, default 32
        Images per pass, and inverses that are solved at once.

    Returns
    -------
    Run of FeaturePatterns
        A snapshot for each batch of images, then for each batch of inverses, and others under way.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel, or ``settings`` are none.
    ValueError
        For a unit that is unknown, with the nearest one, or no layer, a channel that it does not have, or as
        :func:`~xai_widgets.features.top_activations`.
    """
    check_model(model)
    limits = check_settings(settings)
    batch_size = check_batch_size(batch_size)
    layers = {layer.name: layer for layer in model.layers()}
    units = find_units(model)
    # Only what has places has patches.
    there = [each.name for each in units[:-1] if each.name in layers and len(layers[each.name].shape) == 3]
    if unit not in there:
        raise ValueError(unknown_name("unit", unit, there))
    chosen = _channels(channels, layers[unit].shape[0])
    search = top_activations(model, images, layer=unit, k=k, side=side, batch_size=batch_size)

    def play() -> Iterator[FeaturePatterns]:
        made: FeaturePatterns | None = None
        for top in search:
            made = made or FeaturePatterns(unit, chosen, top, _nothing(top, chosen, model.channels))
            made = replace(made, top=top)
            yield made
        assert made is not None
        patterns = made.patterns.clone()
        values = made.values
        # A channel that is 0 everywhere has nothing to invert; what is missing is NaN, and not above 0.
        for part in (values > 0).nonzero().split(batch_size):
            for inverse in _inverses(model, made, part, settings, batch_size):
                if inverse is not None:
                    _put(patterns, made, part, inverse)
                    made = replace(made, patterns=patterns.clone())
                yield made

    below = units[: [each.name for each in units].index(unit) + 1]
    rounds = -(-limits.steps // limits.window) * sum(each.kind not in EXACT for each in below)
    parts = -(-len(chosen) * k // batch_size)
    return Run(play(), total=search.total + parts * (len(below) + rounds), name=f"patterns of {unit}")


def _inverses(
    model: ImageModel,
    made: FeaturePatterns,
    part: Tensor,
    settings: SolverSettings | None,
    batch_size: int,
) -> Iterator[Tensor | None]:
    """None under way, and at last the inverses (B, C, H, W) of some activations, given by channel and rank."""
    top = made.top
    channels = torch.tensor(made.channels, device=part.device)[part[:, 0]]
    ranks = part[:, 1]
    x = torch.stack([top.image(index) for index in top.images[channels, ranks].tolist()])
    rows, columns = top.positions[channels, ranks].T
    start = x.new_zeros(len(x), len(top.values), *top.grid)
    start[torch.arange(len(x)), channels, rows, columns] = top.values[channels, ranks].to(x)
    inverse = None
    for inverse in operation_wise(
        model, x, start=(made.unit, start), l1=0.0, l2=0.9, settings=settings, batch_size=batch_size
    ):
        if inverse.output is None:
            yield None
    assert inverse is not None
    yield inverse.x[:, 0]


def _put(patterns: Tensor, made: FeaturePatterns, part: Tensor, inverse: Tensor) -> None:
    """The parts of the inverses around their places."""
    for (row, rank), x in zip(part.tolist(), inverse, strict=True):
        place = made.top.positions[made.channels[row], rank].tolist()
        patterns[row, rank] = made.top.crop(x, place)


def _nothing(top: TopActivations, channels: tuple[int, ...], colors: int) -> Tensor:
    """Patterns that are not there yet."""
    shape = (len(channels), top.values.shape[1], colors, top.side, top.side)
    return torch.full(shape, torch.nan, device=top.values.device)


def _channels(channels: int | Sequence[int], count: int) -> tuple[int, ...]:
    try:
        made = (
            tuple(map(operator.index, channels))
            if isinstance(channels, Sequence | Tensor)
            else (operator.index(channels),)
        )
    except TypeError as error:
        raise ValueError(f"channels is {channels!r}, wanted numbers such as [0, 5]") from error
    if not made:
        raise ValueError("no channel is given, wanted at least one")
    wrong = [channel for channel in made if not 0 <= channel < count]
    if wrong:
        raise ValueError(f"channels has {wrong[0]}, wanted 0 to {count - 1}")
    return made
