"""The layers that studies and explorers offer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xai_widgets.core.model import ImageModel


def spatial_layers(model: ImageModel) -> list[str]:
    """Return the used layers of shape (C, h, w): blocks and their direct parts, whose names have at most one dot."""
    return [
        layer.name
        for layer in model.layers()
        if layer.used
        and layer.grid is not None
        and layer.grid.layout == "channels_first"
        and layer.grid.positions > 1
        and layer.name.count(".") <= 1
    ]


def check_layers(model: ImageModel, layers: str | Sequence[str] | None) -> list[str]:
    """Return the named layers, or all of :func:`spatial_layers`; ValueError for a layer without spatial positions."""
    if layers is None:
        return spatial_layers(model)
    names = [layers] if isinstance(layers, str) else list(layers)
    known = {layer.name: layer for layer in model.layers()}
    model.find_layers(names)
    for name in names:
        model.check_spatial(name, known[name].shape)
    return names


def evenly(names: Sequence[str], count: int) -> list[str]:
    """Return at most ``count`` of the names, evenly spaced, with the first and the last."""
    if len(names) <= count:
        return list(names)
    return [names[round(i)] for i in np.linspace(0, len(names) - 1, count)]
