"""Real examples of a channel: patches of images, with maps of the pixels that the channel responds to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.errors import unknown_name
from xai_widgets.features.empirical_field import EmpiricalField, field_by_passes
from xai_widgets.features.objectives import Unit
from xai_widgets.features.top_activations import TopActivations
from xai_widgets.inverse.patterns import patch_inverses, pattern_units
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.methods.registry import METHODS
from xai_widgets.ops.fill import fill_image

#: Images per pass of a search of patches, so that an image that forms beside it moves on.
BATCH = 4
#: Side of the windows that occlude an image, as a share of its short side; their distance is half of it.
WINDOW = 0.1
#: Brightness of the pixels of a patch on which the channel does not depend.
DIM = 0.25
#: Parts of the names of activations other than ReLU.
SMOOTH = ("gelu", "silu", "swish", "mish", "tanh")


class ExamplesKey(NamedTuple):
    """The patches of images to which the channels of a layer respond most."""

    layer: str


class DetailKey(NamedTuple):
    """One kind of maps of the patches of a channel: a name of ``DETAILS``."""

    kind: str
    layer: str
    channel: int


@dataclass(frozen=True, repr=False)
class Details(ShortRepr):
    """Maps of the patches of a channel, as images.

    Attributes
    ----------
    rows : dict of str to Tensor, (k, C, side, side)
        In [0, 1], by title; NaN where there is no patch, or not yet.
    note : str
        A sentence about them.
    """

    rows: dict[str, Tensor]
    note: str = ""


def default_kind(model: ImageModel) -> str:
    """Return the kind of maps for a network.

    DeconvNet and guided backprop need ReLU, and DeconvNet depends on the image by max-pooling only (Nie et al. 2018).
    """
    names = [type(module).__name__.lower() for module in model.module.modules()]
    if any(smooth in name for name in names for smooth in SMOOTH) and not any(
        "relu" in name for name in names
    ):
        return "gradient"
    pools = any(isinstance(module, nn.MaxPool2d) for module in model.module.modules())
    return "deconvnet" if pools else "guided_backprop"


def details(model: ImageModel, top: TopActivations, key: DetailKey) -> Run[Details | None]:
    """Return the computation of maps of the patches of a channel; its first snapshots may be None."""
    return Run(DETAILS[key.kind](model, top, key), total=_steps(model, top, key), name=key.kind)


def _steps(model: ImageModel, top: TopActivations, key: DetailKey) -> int:
    """Return the largest number of snapshots."""
    if key.kind == "inverse":
        return len(model.layers())
    if key.kind == "field":
        windows = (2 / WINDOW) ** 2
        return top.values.shape[1] * round(windows / BATCH + 1)
    return top.values.shape[1]


def _ranks(top: TopActivations, channel: int) -> list[int]:
    """Return the ranks of the patches that exist, whose activation is not 0."""
    return (top.values[channel] > 0).nonzero()[:, 0].tolist()


def _empty(top: TopActivations, channels: int) -> Tensor:
    return torch.full((top.values.shape[1], channels, top.side, top.side), torch.nan)


def _backward(name: str) -> Callable[[ImageModel, TopActivations, DetailKey], Iterator[Details | None]]:
    """Return the maps of a method whose attribution is signed, on gray, as Zeiler and Fergus 2014 show them."""

    def maps(model: ImageModel, top: TopActivations, key: DetailKey) -> Iterator[Details]:
        found = _empty(top, model.channels)
        for rank in _ranks(top, key.channel):
            position = top.positions[key.channel, rank].tolist()
            x = top.image(int(top.images[key.channel, rank]))
            unit: Any = Unit(key.layer, key.channel, (position[0], position[1]))
            attribution = METHODS[name](model.with_target(unit), x[None], 0)[0]
            patch = top.crop(attribution, position).float().cpu()
            found[rank] = 0.5 + patch / (2 * patch.abs().max().clamp(min=1e-30))
            yield Details({METHODS[name].title: found.clone()})
        if not _ranks(top, key.channel):
            yield Details({METHODS[name].title: found}, "The channel is not active in these images.")

    return maps


def _inverse(model: ImageModel, top: TopActivations, key: DetailKey) -> Iterator[Details | None]:
    """Return the operation-wise inverses of the activations (Kwon 2021, section 4.4.1)."""
    units = pattern_units(model)
    if key.layer not in units:
        raise ValueError(
            unknown_name("layer with an inverse", key.layer, units)
            if units
            else f"{model.name} is not a chain of units, so that its activations have no operation-wise inverse"
        )
    found = _empty(top, model.channels)
    ranks = torch.tensor(_ranks(top, key.channel), dtype=torch.long)
    if len(ranks):
        channels = torch.full_like(ranks, key.channel)
        for inverse in patch_inverses(
            model, key.layer, top, channels, ranks, settings=SolverSettings(steps=60)
        ):
            if inverse is None:
                yield None
                continue
            for rank, x in zip(ranks.tolist(), inverse, strict=True):
                found[rank] = top.crop(x, top.positions[key.channel, rank].tolist()).float().cpu()
    yield Details({"Inverse": found}, "" if len(ranks) else "The channel is not active in these images.")


def _field(model: ImageModel, top: TopActivations, key: DetailKey) -> Iterator[Details | None]:
    """Return discrepancy maps and segmentations of the images (Zhou et al. 2015)."""
    ranks = _ranks(top, key.channel)
    if not ranks:
        yield Details({}, "The channel is not active in these images.")
        return
    x = torch.stack([top.image(int(top.images[key.channel, rank])) for rank in ranks])
    side = max(1, round(WINDOW * min(x.shape[2:])))
    measured = field_by_passes(
        model, x, key.layer, key.channel, side, -(-side // 2), fill_image("mean", x), BATCH
    )
    latest: Details | None = None
    for field in measured:
        latest = latest if field is None else _drawn(field, top, key.channel, ranks, x.cpu())
        yield latest


def _drawn(field: EmpiricalField, top: TopActivations, channel: int, ranks: list[int], x: Tensor) -> Details:
    """Return patches that are dimmed where occlusion changes little, and outside of the segmentation."""
    discrepancy = field.maps / field.maps.amax((1, 2), keepdim=True).clamp(min=1e-30)
    shown = {"Discrepancy": discrepancy, "Segmentation": field.segmentation().float()}
    rows = {}
    for title, weights in shown.items():
        rows[title] = found = _empty(top, x.shape[1])
        for rank, image, weight in zip(ranks, x, weights.cpu(), strict=False):
            dimmed = image.float() * (DIM + (1 - DIM) * weight)
            found[rank] = top.crop(dimmed, top.positions[channel, rank].tolist())
    short = min(x.shape[2:])
    return Details(rows, f"Empirical receptive field: {field.extent():.0f} of {short} px.")


#: Kinds of maps of patches, by name.
DETAILS: dict[str, Callable[[ImageModel, TopActivations, DetailKey], Iterator[Details | None]]] = {
    "deconvnet": _backward("deconvnet"),
    "guided_backprop": _backward("guided_backprop"),
    "gradient": _backward("gradient"),
    "inverse": _inverse,
    "field": _field,
}
