"""The layers of an image model: listed, chosen, watched, and run from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.guard import guarded
from xai_widgets.core.hooks import call_of, forward_hooks, record_outputs
from xai_widgets.core.layers import Layer, candidates, is_bottleneck, list_layers
from xai_widgets.core.replica import named_parts
from xai_widgets.core.validation import items
from xai_widgets.errors import unknown_name


class Layered(nn.Module):
    """The part of :class:`~xai_widgets.core.model.ImageModel` that knows its layers.

    A layer is one call of a module: a module ``relu`` that runs twice is the layers "relu" and "relu:1".
    """

    module: nn.Module
    name: str

    def __init__(self) -> None:
        super().__init__()
        self._layers: list[Layer] | None = None
        self._cuts: dict[str, bool | None] = {}

    def _blank(self, n: int) -> Tensor:
        """Return ``n`` black images of the model's size."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        raise NotImplementedError

    def images(self, images: Any) -> Tensor:
        """Bring images of any kind to the network."""
        raise NotImplementedError

    @guarded
    def layers(self) -> list[Layer]:
        """The layers that run in one pass and return a tensor, in the order in which they finish.

        A layer is one call of a module: a module ``relu`` that runs twice is the layers "relu" and "relu:1".
        """
        if self._layers is None:
            noise = torch.rand(self._blank(1).shape, generator=torch.Generator().manual_seed(0))
            # Parametrizations, as of spectral norm, make weights and no features.
            parts = {
                name: part
                for name, part in named_parts(self.module).items()
                if "parametrizations" not in name.split(".")
            }
            self._layers = list_layers(parts, lambda x: self(x, frozen=True), noise.to(self.device))
        return list(self._layers)

    def layer(self, name: str) -> Layer:
        """The layer of this name; ValueError, with the nearest name, for one that never runs."""
        for layer in self.layers():
            if isinstance(name, str) and layer.name == name:
                return layer
        raise ValueError(unknown_name("layer", name, [layer.name for layer in self.layers()]))

    def default_layer(self) -> str:
        """The last layer on the way to the scores that still has positions of the image, before pooling.

        It is the usual choice of Grad-CAM. If it can, it is one that everything passes through and no side branch, such
        as an attention map that the features are multiplied by. In a ViT that reads its class token it is the last
        block but one, since behind it the other tokens play no part.

        Raises
        ------
        ValueError
            If no layer has more than one position.
        """
        spatial = self._spatial_layers()
        if not spatial:
            if isinstance(self.module, torch.jit.ScriptModule):
                raise ValueError(
                    f"expected layers that can be watched, got scripted code in {self.name}; pass the module that was "
                    "scripted"
                )
            raise ValueError(
                f"{self.name} has no layer with an output (C, H, W), wanted a convolutional network"
            )
        last = spatial[-1]
        alike = [layer for layer in spatial if _positions(layer) == _positions(last)]
        # At most a block of a transformer: each look is a pass or two.
        cut = next((layer for layer in alike[:-33:-1] if self._cut(layer) is not None), None)
        return (cut or next((layer for layer in reversed(alike) if layer.shape[0] > 1), last)).name

    def _spatial_layers(self) -> list[Layer]:
        """The layers with more than one position on the way to the scores, before pooling."""
        return [
            layer
            for layer in self.layers()
            if layer.grid is not None and layer.grid.positions > 1 and layer.used and not layer.pools
        ]

    @guarded
    def find_layers(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """The modules of the layers of these names; ValueError, with the nearest name, for one that never runs."""
        valid = {layer.name for layer in self.layers()}
        for name in names:
            if not isinstance(name, str) or name not in valid:
                self.layer(name)
        parts = named_parts(self.module)
        return {name: parts[name if name in parts else call_of(name)[0]] for name in names}

    def spatial(self, layer: str, activation: Tensor) -> Tensor:
        """Return an output of a layer, (N, ...), as (N, C, h, w): channels first, one column and row a position.

        Raises
        ------
        ValueError
            For a layer without positions.
        """
        grid = self.layer(layer).grid
        if grid is None:
            raise ValueError(
                f"layer {layer!r} has an output of shape {tuple(activation.shape[1:])}, wanted positions of the image, "
                f"(C, h, w), (h, w, C) or tokens{self._such_as()}"
            )
        return grid.spatial(activation)

    def check_places(self, layer: str, shape: Sequence[int]) -> None:
        """ValueError for a layer whose output for one image has another shape than (C, h, w)."""
        found = next((each for each in self.layers() if each.name == layer), None)
        grid = None if found is None else found.grid
        if len(shape) != 3 or (found is not None and (grid is None or grid.layout != "channels_first")):
            raise ValueError(
                f"layer {layer!r} has an output of shape {tuple(shape)}, wanted (C, h, w)"
                f"{self._such_as(channels_first=True)}"
            )

    def _such_as(self, *, channels_first: bool = False) -> str:
        """End an error with the layer that is the best choice, if there is one."""
        near = [
            layer.name
            for layer in self._spatial_layers()
            if not channels_first or (layer.grid is not None and layer.grid.layout == "channels_first")
        ]
        return f", such as that of {near[-1]!r}" if near else f"; {self.name} has no such layer"

    @guarded
    @torch.no_grad()
    def activations(self, images: Any, layers: str | Sequence[str]) -> dict[str, Tensor]:
        """Outputs of layers for a batch of images.

        Parameters
        ----------
        images
            Images of any kind.
        layers : str or sequence of str
            Names from :meth:`layers`.

        Returns
        -------
        dict of str to Tensor, (N, ...)
            By layer name, in the order asked for.
        """
        names = [layers] if isinstance(layers, str) else items(layers, "layers", what="names")
        x = self.images(images)
        with record_outputs(self.find_layers(names)) as kept:
            self(x)
        return {name: kept[name] for name in names}

    @guarded
    def forward_from(self, layer: str, activation: Tensor) -> Tensor:
        """Scores when ``layer`` returns ``activation``: the network from this layer on. Gradients flow.

        Parameters
        ----------
        layer : str
            A layer through which everything passes: a layer inside a residual block is none, the block is.
        activation : Tensor, (N, ...)
            In place of the layer's output.

        Returns
        -------
        Tensor, (N, classes)

        Raises
        ------
        ValueError
            If the network has paths around the layer, or the activation does not fit.
        """
        modules = self.find_layers([layer])
        found = self.layer(layer)
        misfit = (
            f"the activation of {layer!r} has shape {tuple(activation.shape)}, wanted (N, "
            f"{', '.join(map(str, found.shape))})"
        )
        if activation.ndim != len(found.shape) + 1 or activation.shape[1:2] != found.shape[:1]:
            raise ValueError(misfit)
        alike = self._check_cut(found)
        # What comes before the layer is thrown away: one blank image is enough where the network allows it.
        blank = self._blank(1 if alike else len(activation))
        activation = activation.to(self.device, dtype_of(self.module))
        try:
            # A clone: the network may go on with an in-place operation.
            with forward_hooks(modules, lambda _name, _module, _output: activation.clone()):
                return self(blank)
        except RuntimeError as error:
            if activation.shape[1:] == found.shape:
                raise
            raise ValueError(misfit) from error

    def is_bottleneck(self, layer: str) -> bool:
        """Whether everything passes through a layer, so that :meth:`forward_from` can begin there."""
        return self._cut(self.layer(layer)) is not None

    def _check_cut(self, layer: Layer) -> bool:
        """Refuse a layer that does not cut the network; tell whether the batch may change at it."""
        cut = self._cut(layer)
        if cut is None:
            near = next(
                (item.name for item in candidates(layer, self.layers()) if self._cut(item) is not None), None
            )
            raise ValueError(
                f"layer {layer.name!r} has paths around it, wanted one that everything passes through once"
                + (f", such as {near!r}" if near else f", and {self.name} has none")
            )
        return cut

    @guarded
    def _cut(self, layer: Layer) -> bool | None:
        if layer.name not in self._cuts:
            module = self.find_layers([layer.name])[layer.name]
            self._cuts[layer.name] = is_bottleneck(module, layer, self, self._blank(1), dtype_of(self.module))
        return self._cuts[layer.name]


def _positions(layer: Layer) -> int:
    return 0 if layer.grid is None else layer.grid.positions
