"""Feature patterns (Kwon 2021, section 4.4.1, fig. 4.2): the image parts that activate a channel most.

The largest activations of a channel over many images, one per image, are inverted one at a time to the image by the
operation-wise inverse, with l1 = 0 and l2 = 0.9 and all other activations 0. The pattern is the part of the inverse
around the position of the activation.
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
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name
from xai_widgets.features import TopActivations, top_activations
from xai_widgets.inverse.chain import EXACT, check_settings
from xai_widgets.inverse.operation_wise import operation_wise
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.inverse.units import find_units


@dataclass(frozen=True, repr=False)
class FeaturePatterns(ShortRepr):
    """Feature patterns so far.

    Attributes
    ----------
    unit : str
        Name of the unit.
    channels : tuple of int
        Indices of the K channels.
    top : TopActivations
        Largest activations of all channels of the unit.
    patterns : Tensor, (K, k, C, side, side)
        Inverse of each patch, in [0, 1] and at most the patch; NaN if not inverted yet, if there are fewer images, or
        if the channel is 0 everywhere.
    """

    unit: str
    channels: tuple[int, ...]
    top: TopActivations
    patterns: Tensor

    @property
    def patches(self) -> Tensor:
        """Image patches of the patterns, (K, k, C, side, side)."""
        return self.top.patches(self.channels)

    @property
    def values(self) -> Tensor:
        """Inverted activations, (K, k), descending."""
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
    """Find the image patterns that activate some channels most.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    unit : str
        A unit with output (C, h, w), by its name in :func:`~xai_widgets.inverse.find_units`, which must also be a name
        in ``model.layers()``, such as that of a ReLU module or a block.
    channels : int or sequence of int
        Channels of the unit.
    k : int, default 9
        Number of images per channel.
    side : int, optional
        Side of a patch, in pixels. Default: that of :func:`~xai_widgets.features.top_activations`.
    settings : SolverSettings, optional
        Iterations and tolerance of the solver.
    batch_size : int, default 32
        Images per pass, and number of inverses to solve at once.

    Returns
    -------
    Run of FeaturePatterns
        Snapshots after each batch of images, then after each batch of inverses and while one is solved.

    Raises
    ------
    TypeError
        If `model` is not an ImageModel, or `settings` not a SolverSettings.
    ValueError
        For a unit that is unknown, with the nearest one, or not a layer, an unknown channel, or the reasons of
        :func:`~xai_widgets.features.top_activations`.
    """
    check_model(model)
    limits = check_settings(settings)
    batch_size = check_batch_size(batch_size)
    spatial = pattern_units(model)
    if unit not in spatial:
        raise ValueError(unknown_name("unit", unit, spatial))
    units = find_units(model)
    chosen = _channels(channels, model.layer(unit).shape[0])
    search = top_activations(model, images, layer=unit, k=k, side=side, batch_size=batch_size)

    def play() -> Iterator[FeaturePatterns]:
        latest: FeaturePatterns | None = None
        for top in search:
            latest = latest or FeaturePatterns(
                unit, chosen, top, _empty_patterns(top, chosen, model.channels)
            )
            latest = replace(latest, top=top)
            yield latest
        assert latest is not None
        patterns = latest.patterns.clone()
        values = latest.values
        # A channel that is 0 everywhere has no inverse; missing values are NaN, which is not above 0.
        for part in (values > 0).nonzero().split(batch_size):
            which = torch.tensor(chosen, device=part.device)[part[:, 0]], part[:, 1]
            solved = patch_inverses(model, unit, latest.top, *which, settings=settings, batch_size=batch_size)
            for inverse in solved:
                if inverse is not None:
                    _insert(patterns, latest, part, inverse)
                    latest = replace(latest, patterns=patterns.clone())
                yield latest

    below = units[: [each.name for each in units].index(unit) + 1]
    rounds = -(-limits.steps // limits.window) * sum(each.kind not in EXACT for each in below)
    parts = -(-len(chosen) * k // batch_size)
    return Run(play(), total=search.total + parts * (len(below) + rounds), name=f"patterns of {unit}")


def pattern_units(model: ImageModel) -> list[str]:
    """Return the names of the units whose channels have patterns: those with positions that are layers, too."""
    # Patches need positions.
    shapes = {layer.name: layer.shape for layer in model.layers()}
    return [unit.name for unit in find_units(model)[:-1] if len(shapes.get(unit.name, ())) == 3]


def patch_inverses(
    model: ImageModel,
    unit: str,
    top: TopActivations,
    channels: Tensor,
    ranks: Tensor,
    *,
    settings: SolverSettings | None = None,
    batch_size: int = 32,
) -> Iterator[Tensor | None]:
    """Yield None while in progress, then the inverses (B, C, H, W) of single activations.

    Parameters
    ----------
    model : ImageModel
        The network.
    unit : str
        The unit, which is the layer of `top`.
    top : TopActivations
        The largest activations.
    channels, ranks : Tensor of int, (B,)
        Channel and rank of each activation.
    settings : SolverSettings, optional
        Iterations and tolerance of the solver.
    batch_size : int, default 32
        Number of inverses to solve at once.
    """
    x = torch.stack([top.image(index) for index in top.images[channels, ranks].tolist()])
    rows, columns = top.positions[channels, ranks].T
    start = x.new_zeros(len(x), len(top.values), *top.grid)
    start[torch.arange(len(x)), channels, rows, columns] = top.values[channels, ranks].to(x)
    inverse = None
    for inverse in operation_wise(
        model, x, start=(unit, start), l1=0.0, l2=0.9, settings=settings, batch_size=batch_size
    ):
        if inverse.output is None:
            yield None
    assert inverse is not None
    yield inverse.x[:, 0]


def _insert(patterns: Tensor, found: FeaturePatterns, part: Tensor, inverse: Tensor) -> None:
    """Write the parts of the inverses around their positions into `patterns`."""
    for (row, rank), x in zip(part.tolist(), inverse, strict=True):
        position = found.top.positions[found.channels[row], rank].tolist()
        patterns[row, rank] = found.top.crop(x, position)


def _empty_patterns(top: TopActivations, channels: tuple[int, ...], colors: int) -> Tensor:
    """Return patterns of NaN."""
    shape = (len(channels), top.values.shape[1], colors, top.side, top.side)
    return torch.full(shape, torch.nan, device=top.values.device)


def _channels(channels: int | Sequence[int], count: int) -> tuple[int, ...]:
    """Return channels as a tuple of indices below `count`; ValueError for other values."""
    try:
        chosen = (
            tuple(map(operator.index, channels))
            if isinstance(channels, Sequence | Tensor)
            else (operator.index(channels),)
        )
    except TypeError as error:
        raise ValueError(f"expected channels as integers such as [0, 5], got {brief(channels)}") from error
    if not chosen:
        raise ValueError("expected at least one channel, got none")
    wrong = [channel for channel in chosen if not 0 <= channel < count]
    if wrong:
        raise ValueError(f"expected channels from 0 to {count - 1}, got {wrong[0]}")
    return chosen
