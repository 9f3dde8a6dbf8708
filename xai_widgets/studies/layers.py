"""The layers that studies and explorers offer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from xai_widgets.core.model import ImageModel

#: Modules that return their input in eval mode.
UNCHANGED = ("Identity", "Dropout", "Dropout2d", "DropPath", "PatchDropout")
#: Modules that pad: their output is that of the layer before, with a border.
PADDING = re.compile(r"\w*Pad\d?d?")
#: Modules that normalize, some with an activation inside.
NORMALIZATION = re.compile(r"((?!Conv)\w)*Norm\w*")
#: The part of a name that is the number of a block, such as "3" or "encoder_layer_3".
NUMBER = re.compile(r"(.*_)?\d+")
#: Networks with so many blocks of one grid, such as vision transformers, are compared in an inner block, too.
MANY_BLOCKS = 8


def spatial_layers(model: ImageModel) -> list[str]:
    """Return the used layers with more than one position: blocks and their direct parts.

    These are the layers whose names have at most one dot, and the outermost numbered ones, such as
    "vision_model.encoder.layers.3". Modules that return their input, and those that only pad, are omitted.
    """
    default = model.default_layer()
    return [
        layer.name
        for layer in model.layers()
        if layer.name == default
        or (
            layer.used
            and layer.grid is not None
            and layer.grid.positions > 1
            and layer.type not in UNCHANGED
            and not PADDING.fullmatch(layer.type)
            and (layer.name.count(".") <= 1 or _is_outermost_block(layer.name))
        )
    ]


def compared_layers(model: ImageModel, count: int) -> list[str]:
    """Return at most ``count`` blocks, evenly spaced in depth, which show how maps change with the layer.

    Blocks are the outermost modules of other modules, such as the stages of a ResNet or the blocks of a transformer,
    without normalizations and without a container of most of them. A network with fewer than two is compared in all of
    :func:`spatial_layers`.
    """
    names = spatial_layers(model)
    every = model.layers()
    types = {layer.name: layer.type for layer in every}
    blocks = [name for name in names if _parts(name, types) and not NORMALIZATION.fullmatch(types[name])]
    blocks = [name for name in blocks if 2 * len(_parts(name, blocks)) <= len(blocks)]
    blocks = [name for name in blocks if not any(name in _parts(other, blocks) for other in blocks)]
    return evenly(blocks if len(blocks) > 1 else names, count)


def _parts(name: str, names: Iterable[str]) -> list[str]:
    """Return the names of the layers inside a layer."""
    return [other for other in names if other.startswith(f"{name}.")]


def fine_and_deep(model: ImageModel) -> list[str]:
    """Return the layers whose positions are compared by default: the deepest, and one that distinguishes parts.

    In a network of at least 8 blocks of one grid, such as a vision transformer, the last layer distinguishes objects,
    and the block at three quarters of the depth their parts (Amir et al. 2021); both are returned. In other networks,
    on images of more than 128 x 128 pixels, a grid of less than 10 x 10 positions is preceded by the last layer of at
    least twice its resolution.
    """
    deep = model.feature_layer()
    layers = {layer.name: layer for layer in model.layers()}
    grids = {name: layers[name].grid for name in spatial_layers(model)}
    positions = model.grid(deep).positions
    blocks = [
        name
        for name, grid in grids.items()
        if _is_outermost_block(name) and grid is not None and grid.positions == positions
    ]
    if len(blocks) >= MANY_BLOCKS:
        return list(dict.fromkeys([blocks[math.ceil(0.75 * len(blocks)) - 1], deep]))
    if model.size[0] * model.size[1] <= 128 * 128 or positions >= 100:
        return [deep]
    finer = [name for name, grid in grids.items() if grid is not None and grid.positions >= 4 * positions]
    return [*finer[-1:], deep]


def _is_outermost_block(name: str) -> bool:
    """Return whether the number of a block is at the end of a name and nowhere else."""
    *outer, last = name.split(".")
    return NUMBER.fullmatch(last) is not None and not any(map(NUMBER.fullmatch, outer))


def check_layers(model: ImageModel, layers: str | Sequence[str] | None) -> list[str]:
    """Return the named layers, or all of :func:`spatial_layers`; ValueError for a layer without spatial positions."""
    if layers is None:
        return spatial_layers(model)
    names = [layers] if isinstance(layers, str) else list(layers)
    for name in names:
        model.grid(name)
    return names


def evenly(names: Sequence[str], count: int) -> list[str]:
    """Return at most ``count`` of the names, evenly spaced, with the first and the last."""
    if len(names) <= count:
        return list(names)
    return [names[round(i)] for i in np.linspace(0, len(names) - 1, count)]
