"""Which pixels a place of a layer can see: the theoretical receptive field, beside the effective one.

A pixel that is no number makes no number of every place that it can reach, whatever the weights are. The field is a
rectangle; with the columns left of c unknown, the middle place is known up to c = left, and so on for its four sides:
each is found by halving, with log2 of the extent passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel, check_model


@dataclass(frozen=True)
class ReceptiveField:
    """What a place of a layer can see, relative to it.

    Attributes
    ----------
    offset : (float, float)
        From the middle of the place's cell to the middle of the field, right and down, in pixels.
    size : (int, int)
        Width and height in pixels.
    """

    offset: tuple[float, float]
    size: tuple[int, int]


@torch.no_grad()
def theoretical_receptive_field(model: ImageModel, layer: str) -> ReceptiveField:
    """Measure what the middle place of a layer can see.

    Parameters
    ----------
    model : ImageModel
        The network.
    layer : str
        A layer with output (C, h, w), by its name in ``model.layers()``.

    Returns
    -------
    ReceptiveField
        Of a field that is larger than the network's images no more than an image of twice their size holds, or, where
        the layer takes none of these, an image.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest one, one without places, or one that no pixel reaches.
    """
    check_model(model)
    model.layer(layer)
    height, width = model.size
    made, cut = _probe(model, layer, height, width)
    if cut:
        try:
            made, _ = _probe(model, layer, 2 * height, 2 * width)
        except RuntimeError:
            # A part before the layer takes images of one size only.
            return made
    return made


def _probe(model: ImageModel, layer: str, height: int, width: int) -> tuple[ReceptiveField, bool]:
    """The field of the middle place in an image of this size, and whether it reaches the border."""
    blank = torch.full((1, model.channels, height, width), 0.5, device=model.device)
    everything, grid = _unknown(model, layer, torch.full_like(blank, torch.nan))
    if not everything.all():
        raise ValueError(f"expected a layer behind the image, got {layer!r}, whose middle no pixel reaches")
    # With so many unknown lines, counted from each of the four sides, the place is known, or is not.
    extents = (width, width, height, height)
    known, reached = [0] * 4, list(extents)
    while any(after - before > 1 for before, after in zip(known, reached, strict=True)):
        tried = [(before + after + 1) // 2 for before, after in zip(known, reached, strict=True)]
        x = blank.repeat(4, 1, 1, 1)
        for side, count in enumerate(tried):
            lines = x[side].transpose(1, 2) if side < 2 else x[side]
            first = extents[side] - count if side % 2 else 0
            lines[:, first : first + count] = torch.nan
        for side, touched in enumerate(_unknown(model, layer, x)[0].tolist()):
            (reached if touched else known)[side] = tried[side]
    left, top = reached[0] - 1, reached[2] - 1
    right, bottom = width - reached[1] + 1, height - reached[3] + 1
    middle = ((grid[1] // 2 + 0.5) / grid[1] * width, (grid[0] // 2 + 0.5) / grid[0] * height)
    offset = ((left + right) / 2 - middle[0], (top + bottom) / 2 - middle[1])
    return ReceptiveField(offset, (right - left, bottom - top)), min(reached) == 1


def _unknown(model: ImageModel, layer: str, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Whether the middle place is no number, for each of a batch of images, and the rows and columns of the layer."""
    with record_outputs(model.find_layers([layer])) as kept:
        try:
            model(x)
        except RuntimeError:
            # What comes behind the layer need not take images of this size.
            if layer not in kept:
                raise
    activation = model.spatial(layer, kept[layer])
    rows, columns = activation.shape[2:]
    return activation[:, :, rows // 2, columns // 2].isnan().any(1), (rows, columns)
