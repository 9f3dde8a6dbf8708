"""The layers of a network, the grids of their spatial positions, and the search for bottlenecks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import forward_hooks, layer_name

Layout = Literal["channels_first", "channels_last", "tokens"]

#: Largest number of tokens without a position in the image (class, distillation, registers).
MAX_PREFIX = 8
#: Modules whose four-dimensional output is (N, C, h, w), for any aspect ratio.
_CHANNELS_FIRST = ("Conv", "BatchNorm", "Pool", "InstanceNorm", "GroupNorm", "Upsample", "PixelShuffle")
_CHANNELS_LAST = ("LayerNorm", "RMSNorm", "Linear")


@dataclass(frozen=True)
class Grid:
    """Layout of the spatial positions in the output of a layer for one image.

    Attributes
    ----------
    layout : {"channels_first", "channels_last", "tokens"}
        (C, h, w), (h, w, C), or (prefix + h * w, C) with the positions row by row after the prefix.
    height, width : int
        h and w, for an image of the model's default size.
    prefix : int
        Number of tokens without a position.
    """

    layout: Layout
    height: int
    width: int
    prefix: int = 0

    @property
    def positions(self) -> int:
        """The number of positions."""
        return self.height * self.width

    def spatial(self, activation: Tensor) -> Tensor:
        """Return an output of the layer, (N, ...), as (N, C, h, w)."""
        if self.layout == "channels_first":
            return activation
        if self.layout == "channels_last":
            return activation.movedim(-1, 1)
        tokens = activation[:, self.prefix :]
        number = tokens.shape[1]
        height, width = self.height, self.width
        if number != height * width:
            # An image of another size with the same aspect ratio.
            height = max(1, round(math.sqrt(number * height / width)))
            width = number // height
        return tokens.movedim(-1, 1).unflatten(2, (height, width))


class Layer(NamedTuple):
    """One layer of a network: one call of a module.

    Attributes
    ----------
    name, type : str
        Name of the layer and class of its module.
    shape : tuple of int
        Shape of its output for one image, without the batch.
    pools : bool
        Whether the output is that of a pooling module.
    grid : Grid or None
        Layout of the spatial positions; None for an output without positions.
    used : bool
        Whether the scores have a gradient at the positions of the layer, or at the layer if it has no positions.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    pools: bool
    grid: Grid | None
    used: bool

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        positions = f", {self.grid.height}x{self.grid.width} positions" if self.grid else ""
        return f"Layer({self.name!r}, {self.type}, {shape}{positions}{'' if self.used else ', unused'})"


class _LayerRecord:
    """One layer as recorded during the pass."""

    def __init__(self, module: nn.Module, output: Tensor, grid: Grid | None) -> None:
        self.module, self.shape, self.grid = module, tuple(output.shape[1:]), grid
        self.output = output
        # Whether the gradient at the positions has values other than 0; None if there is no gradient.
        self.gradient: bool | None = None


def list_layers(parts: dict[str, nn.Module], run: Callable[[Tensor], Tensor], image: Tensor) -> list[Layer]:
    """Return the layers that return a tensor in one pass, in the order in which they finish.

    Parameters
    ----------
    parts : dict of str to nn.Module
        The modules of the network, by name.
    run : callable
        Maps an image, (1, C, H, W), to its scores, (1, classes), with the network.
    image : Tensor, (1, C, H, W)
        An image that is not constant.
    """
    records: dict[str, _LayerRecord] = {}
    calls: dict[str, int] = {}
    pooled: list[Tensor] = []
    size = (image.shape[2], image.shape[3])

    def record(name: str, module: nn.Module, output: Any) -> None:
        number = calls[name] = calls.get(name, -1) + 1
        if not isinstance(output, Tensor):
            return
        if "Pool" in type(module).__name__:
            pooled.append(output)
        grid = find_grid(output, type(module).__name__, size, [layer.grid for layer in records.values()])
        layer = records[layer_name(name, number)] = _LayerRecord(module, output, grid)
        if output.requires_grad:
            output.register_hook(lambda gradient: _record_gradient(layer, gradient))

    submodules = {name: module for name, module in parts.items() if name}
    with outside_inference(), torch.enable_grad(), forward_hooks(submodules, record, every_call=True):
        x = image.clone().requires_grad_()
        scores = run(x)
        known = _backpropagate(scores, x)
    # If the weights of the last layer are still 0, every gradient is 0, and it counts whether there is one at all.
    any_gradient = any(layer.gradient for layer in records.values() if layer.grid is not None)
    layers = []
    for name, layer in records.items():
        pools = any(layer.output is pool for pool in pooled)
        used = not known or (bool(layer.gradient) if any_gradient else layer.gradient is not None)
        layers.append(Layer(name, type(layer.module).__name__, layer.shape, pools, layer.grid, used))
    return layers


def _record_gradient(layer: _LayerRecord, gradient: Tensor | None) -> None:
    if gradient is None:
        return
    spatial = gradient if layer.grid is None else layer.grid.spatial(gradient)
    layer.gradient = bool(spatial.ne(0).any())


def _backpropagate(scores: Tensor, x: Tensor) -> bool:
    """Backpropagate all scores to the pixels; return whether the network has a backward pass."""
    if not scores.requires_grad:
        return False
    # Distinct weights, as the sum of the scores may be constant.
    start = torch.linspace(1, 2, scores.numel(), device=scores.device).view_as(scores)
    try:
        torch.autograd.grad(scores, x, start, allow_unused=True)
    except RuntimeError:  # some operations of torch have no derivative
        return False
    return True


def find_grid(
    output: Tensor, kind: str, image: tuple[int, int], known: Sequence[Grid | None] = ()
) -> Grid | None:
    """Find the layout of the spatial positions in the output of a layer for one image; None if it has no positions.

    Parameters
    ----------
    output : Tensor, (1, ...)
        Output of the layer.
    kind : str
        Name of the class of the module.
    image : (int, int)
        Height and width of the image, whose aspect ratio a grid must have.
    known : sequence of Grid or None
        Grids of the layers before; tokens are laid out like one of them.
    """
    if len(output) != 1:
        return None
    shape = output.shape[1:]
    if len(shape) == 3:
        first, last = (shape[1], shape[2]), (shape[0], shape[1])
        if any(word in kind for word in _CHANNELS_FIRST):
            return Grid("channels_first", *first)
        counts = {grid.positions + grid.prefix for grid in known if grid is not None}
        # These operate on the last dimension, for any aspect ratio.
        if any(word in kind for word in _CHANNELS_LAST) and _fits(last, image):
            return Grid("channels_last", *last)
        # Attention weights have the shape (heads, tokens, tokens).
        if _fits(first, image) and not (first[0] == first[1] and first[0] in counts):
            return Grid("channels_first", *first)
        return Grid("channels_last", *last) if _fits(last, image) else None
    if len(shape) == 2:
        sizes = [(grid.height, grid.width) for grid in reversed(known) if grid is not None]
        sizes = [size for size in dict.fromkeys(sizes) if size != (1, 1)]
        for height, width in sizes:
            if 0 <= shape[0] - height * width <= MAX_PREFIX:
                return Grid("tokens", height, width, shape[0] - height * width)
        # Patch merging joins 2 x 2 tokens.
        for height, width in ((-(-size[0] // 2), -(-size[1] // 2)) for size in sizes):
            if shape[0] == height * width:
                return Grid("tokens", height, width)
        return None if sizes else _square_tokens(shape[0], image)
    return None


def _square_tokens(tokens: int, image: tuple[int, int]) -> Grid | None:
    """Return the grid of exactly the image's aspect ratio with the smallest prefix."""
    for prefix in range(min(MAX_PREFIX, tokens - 4) + 1):
        number = tokens - prefix
        height = math.isqrt(number * image[0] // image[1])
        if height > 1 and number % height == 0 and height * image[1] == number // height * image[0]:
            return Grid("tokens", height, number // height, prefix)
    return None


def _fits(grid: tuple[int, int], image: tuple[int, int]) -> bool:
    """Return whether a grid has the aspect ratio of the image, up to one row or column."""
    return abs(grid[0] * image[1] - grid[1] * image[0]) < max(image)


def is_bottleneck(
    module: nn.Module, layer: Layer, scores: Callable[[Tensor], Tensor], blank: Tensor, dtype: torch.dtype
) -> bool | None:
    """Return whether every path from the image to the scores passes through a layer.

    Parameters
    ----------
    module : nn.Module
        The module of the layer.
    layer : Layer
        The layer.
    scores : callable
        Maps images (N, C, H, W) to scores (N, classes) with the network.
    blank : Tensor, (1, C, H, W)
        One image.
    dtype : torch.dtype
        Dtype of the layer's output.

    Returns
    -------
    bool or None
        None if there are paths around the layer, or none through it. Otherwise, whether the batch size may change at
        the layer.
    """

    def run(n: int) -> tuple[Tensor, Tensor]:
        x = blank.clone().requires_grad_()
        replacement = torch.zeros(n, *layer.shape, device=blank.device, dtype=dtype).requires_grad_()
        with forward_hooks({layer.name: module}, lambda _name, _module, _output: replacement.clone()):
            return scores(x), x

    with outside_inference(), torch.enable_grad():
        result, x = run(1)
        try:
            if (
                not result.requires_grad
                or torch.autograd.grad(result.sum(), x, allow_unused=True)[0] is not None
            ):
                return None
        except RuntimeError:  # some networks have no backward pass
            return None
        try:
            return len(run(2)[0]) == 2
        except (RuntimeError, ValueError):
            return False


def nearby_layers(layer: Layer, layers: list[Layer]) -> list[Layer]:
    """Return the other layers by their distance from a layer: its parents, later layers, earlier layers."""
    names = [item.name for item in layers]
    parents = [item for item in reversed(layers) if layer.name.startswith(item.name + ".")]
    at = names.index(layer.name)
    parents.sort(key=lambda item: -len(item.name))
    return parents + [item for item in layers[at + 1 :] + layers[:at][::-1] if item not in parents]
