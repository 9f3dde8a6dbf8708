"""The layers of a network, and the search for bottlenecks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xai_widgets.core.grids import Grid, Grids, find_grid, name_prefix
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import forward_hooks, layer_name, main_tensor, with_main_tensor
from xai_widgets.core.model_output import distinct_weights
from xai_widgets.errors import unknown_name


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

    @property
    def channels(self) -> int:
        """The number of channels."""
        return self.shape[0 if self.grid is None or self.grid.channel_dimension == 1 else -1]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        positions = f", {self.grid}" if self.grid else ""
        return f"Layer({self.name!r}, {self.type}, {shape}{positions}{'' if self.used else ', unused'})"


def last_of_each_grid(layers: Sequence[Layer]) -> list[str]:
    """Return the last layer of each number of positions above one that the scores depend on, from fine to coarse."""
    last = {
        (layer.grid.height, layer.grid.width): layer.name
        for layer in layers
        if layer.grid is not None and layer.used and min(layer.grid.height, layer.grid.width) > 1
    }
    return [last[grid] for grid in sorted(last, reverse=True)]


class _LayerRecord:
    """One layer as recorded during the pass."""

    def __init__(self, module: nn.Module, output: Tensor, grid: Grid | None) -> None:
        self.module, self.shape, self.grid = module, tuple(output.shape[1:]), grid
        self.output = output


def list_layers(
    parts: dict[str, nn.Module],
    run: Callable[[Tensor], Tensor],
    image: Tensor,
    grids: Grids | None = None,
) -> list[Layer]:
    """Return the layers that return a tensor, or a tuple that begins with one, in the order in which they finish.

    Parameters
    ----------
    parts : dict of str to nn.Module
        The modules of the network, by name.
    run : callable
        Maps an image, (1, C, H, W), to its scores, (1, classes), with the network.
    image : Tensor, (1, C, H, W)
        An image that is not constant.
    grids : mapping or callable, optional
        Layouts given by the user.
    """
    records: dict[str, _LayerRecord] = {}
    # By layer with a gradient: whether it has values other than 0 at the positions. A hook that held the record, and so
    # the output, would keep the graph for ever.
    gradients: dict[str, bool] = {}
    calls: dict[str, int] = {}
    pooled: list[Tensor] = []
    size = (image.shape[2], image.shape[3])

    def record(name: str, module: nn.Module, output: Any) -> None:
        number = calls[name] = calls.get(name, -1) + 1
        tensor = main_tensor(output)
        if tensor is None:
            return
        if "Pool" in type(module).__name__:
            pooled.append(tensor)
        grid = find_grid(tensor, type(module).__name__, size, [layer.grid for layer in records.values()])
        name = layer_name(name, number)
        if grids is not None:
            grid = _given_grid(grids, name, tuple(tensor.shape[1:]), grid)
        records[name] = _LayerRecord(module, tensor, grid)
        if tensor.requires_grad:
            tensor.register_hook(partial(_record_gradient, gradients, name, grid))

    submodules = {name: module for name, module in parts.items() if name}
    with outside_inference(), torch.enable_grad(), forward_hooks(submodules, record, every_call=True):
        x = image.clone().requires_grad_()
        scores = run(x)
        known = _backpropagate(scores, x)
    # If the weights of the last layer are still 0, every gradient is 0, and it counts whether there is one at all.
    any_gradient = any(gradients.get(name) for name, layer in records.items() if layer.grid is not None)
    layers = []
    for name, layer in records.items():
        pools = any(layer.output is pool for pool in pooled)
        used = not known or (gradients.get(name, False) if any_gradient else name in gradients)
        layers.append(Layer(name, type(layer.module).__name__, layer.shape, pools, layer.grid, used))
    if grids is not None and not callable(grids):
        for name in grids:
            if name not in records:
                raise ValueError(unknown_name("layer", name, list(records)))
    return _with_prefix_names(layers, parts)


def _given_grid(grids: Grids, name: str, shape: tuple[int, ...], found: Grid | None) -> Grid | None:
    """Return the user's layout of a layer; ValueError if it does not fit the output."""
    grid = grids(name, shape, found) if callable(grids) else grids.get(name, found)
    if grid is not None and (not isinstance(grid, Grid) or not grid.fits(shape)):
        raise ValueError(f"expected a Grid that fits the output of {name!r}, {shape}, got {grid!r}")
    return grid


def _with_prefix_names(layers: list[Layer], parts: dict[str, nn.Module]) -> list[Layer]:
    """Name the tokens without a position after the parameters of the network, unless the user named them."""
    parameters = [name for part in parts.values() for name, _ in part.named_parameters(recurse=False)]
    named = []
    for layer in layers:
        grid = layer.grid
        if grid is not None and grid.prefix and grid.prefix_names == name_prefix(grid.prefix, ()):
            layer = layer._replace(grid=replace(grid, prefix_names=name_prefix(grid.prefix, parameters)))
        named.append(layer)
    return named


def _record_gradient(
    gradients: dict[str, bool], name: str, grid: Grid | None, gradient: Tensor | None
) -> None:
    if gradient is None:
        return
    spatial = gradient if grid is None else grid.spatial(gradient)
    gradients[name] = bool(spatial.ne(0).any())


def _backpropagate(scores: Tensor, x: Tensor) -> bool:
    """Backpropagate all scores to the pixels; return whether the network has a backward pass."""
    if not scores.requires_grad:
        return False
    try:
        torch.autograd.grad(scores, x, distinct_weights(scores), allow_unused=True)
    except RuntimeError:  # some operations of torch have no derivative
        return False
    return True


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
        with forward_hooks(
            {layer.name: module}, lambda _name, _module, output: with_main_tensor(output, replacement.clone())
        ):
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
