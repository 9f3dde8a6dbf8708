"""The layers of a network: which there are, and which of them cut it in two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xai_widgets.recording import watching


class Layer(NamedTuple):
    """One layer of a network, in the order in which layers finish.

    ``shape`` is the shape of its output for one image, without the batch; ``calls`` counts how often it runs
    in one pass; ``pools`` tells that the output comes straight from a pooling module.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    calls: int
    pools: bool


@torch.no_grad()
def list_layers(network: nn.Module, run: Callable[[], Any]) -> list[Layer]:
    """The layers that return a tensor in one pass, in the order in which they finish.

    Parameters
    ----------
    network : nn.Module
        Whose layers.
    run : callable
        Passes one image through it.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    outputs: dict[str, tuple[Tensor, int]] = {}
    pooled: list[Tensor] = []

    def note(name: str, module: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        if "Pool" in type(module).__name__:
            pooled.append(output)
        _, calls = outputs.pop(name, (output, 0))
        outputs[name] = (output, calls + 1)

    with watching(modules, note):
        run()
    return [
        Layer(
            name, type(modules[name]).__name__, tuple(out.shape[1:]), n, any(out is pool for pool in pooled)
        )
        for name, (out, n) in outputs.items()
    ]


def cuts(
    network: nn.Module, layer: Layer, scores: Callable[[Tensor], Tensor], blank: Tensor, dtype: torch.dtype
) -> bool | None:
    """Whether everything passes through a layer, once.

    Parameters
    ----------
    network : nn.Module
        That has the layer.
    layer : Layer
        Which one.
    scores : callable
        From images (N, C, H, W) to scores (N, classes), by way of the network.
    blank : Tensor, (1, C, H, W)
        One image.
    dtype : torch.dtype
        Of the layer's output.

    Returns
    -------
    bool or None
        None if there are paths around the layer, or none through it, or if it runs several times. Else, whether
        the batch may change its length at the layer.
    """
    if layer.calls > 1:
        return None
    modules = {layer.name: network.get_submodule(layer.name)}

    def run(n: int) -> tuple[Tensor, Tensor]:
        x = blank.clone().requires_grad_()
        stand_in = torch.zeros(n, *layer.shape, device=blank.device, dtype=dtype).requires_grad_()
        with watching(modules, lambda _name, _module, _output: stand_in.clone()):
            return scores(x), x

    with torch.inference_mode(False), torch.enable_grad():
        made, x = run(1)
        if not made.requires_grad or torch.autograd.grad(made.sum(), x, allow_unused=True)[0] is not None:
            return None
        try:
            return len(run(2)[0]) == 2
        except (RuntimeError, ValueError):
            return False


def candidates(layer: Layer, layers: list[Layer]) -> list[Layer]:
    """Where to look for a layer that cuts the network near one that does not: its parents, what follows, the rest."""
    names = [item.name for item in layers]
    parents = [item for item in reversed(layers) if layer.name.startswith(item.name + ".")]
    at = names.index(layer.name)
    parents.sort(key=lambda item: -len(item.name))
    return parents + [item for item in layers[at + 1 :] + layers[:at][::-1] if item not in parents]
