"""The layers of an image model: listing, defaults, activations, and partial forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.grids import Grid, Grids
from xai_widgets.core.guard import guarded
from xai_widgets.core.hooks import call_of, forward_hooks, record_outputs, with_main_tensor
from xai_widgets.core.layers import Layer, is_bottleneck, list_layers, nearby_layers
from xai_widgets.core.replica import named_parts
from xai_widgets.core.validation import items
from xai_widgets.errors import unknown_name

#: Number of the last layers of tokens, of which one may be returned by the network itself.
FINAL = 8


class Layered(nn.Module):
    """Base class of :class:`~xai_widgets.core.model.ImageModel` with the methods that concern layers.

    A layer is one call of a module: a module ``relu`` that runs twice is the layers "relu" and "relu:1".
    """

    module: nn.Module
    name: str
    #: The model whose pass does not end before other layers, if that of this one does.
    _whole: Sequence[Layered]

    def __init__(self) -> None:
        super().__init__()
        self._layers: list[Layer] | None = None
        self._map_channels = 0
        #: Whether a bottleneck can be expected among the last layers.
        self._searches = True
        self._grids: Grids | None = None
        self._feature_layer: str | None = None
        #: Layers that the targets inside the network read.
        self._read: frozenset[str] = frozenset()
        self._bottlenecks: dict[str, bool | None] = {}

    def _blank(self, n: int) -> Tensor:
        """Return ``n`` black images of the model's size."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        raise NotImplementedError

    def images(self, images: Any) -> Tensor:
        """Convert images of any kind to the network's input."""
        raise NotImplementedError

    @guarded
    def layers(self) -> list[Layer]:
        """Return the layers that run in one pass and return a tensor, in the order in which they finish."""
        if self._layers is None:
            noise = torch.rand(self._blank(1).shape, generator=torch.Generator().manual_seed(0))
            # Parametrizations, such as spectral norm, return weights, not features.
            parts = {
                name: part
                for name, part in named_parts(self.module).items()
                if "parametrizations" not in name.split(".")
            }
            self._layers = list_layers(
                parts, lambda x: self(x, frozen=True), noise.to(self.device), self._grids
            )
        return list(self._layers)

    def layer(self, name: str) -> Layer:
        """Return the layer of this name; ValueError, with the nearest name, for a name that never runs."""
        for layer in self.layers():
            if isinstance(name, str) and layer.name == name:
                return layer
        if self._read and any(layer.name == name for layer in self._whole[0].layers()):
            last = self.layers()[-1].name
            raise ValueError(
                f"expected a layer up to {last!r}, where the target ends, got {name!r} behind it"
            )
        raise ValueError(unknown_name("layer", name, [layer.name for layer in self.layers()]))

    def default_layer(self) -> str:
        """Return the last spatial layer before pooling that contributes to the scores.

        It is the usual choice for Grad-CAM. A bottleneck is preferred to a side branch, such as an attention map that
        the features are multiplied by, and a layer outside of attention modules to their keys and values. In a ViT that
        classifies by its class token it is the last block but one, since the other tokens do not contribute after it.
        For a target that reads several layers it is not after the first of them.

        Raises
        ------
        ValueError
            If no layer has more than one position.
        """
        spatial = self._spatial_layers()
        if not spatial:
            if isinstance(self.module, torch.jit.ScriptModule):
                raise ValueError(
                    f"expected a network whose layers accept hooks, got a scripted module in {self.name}; pass the "
                    "original module"
                )
            raise ValueError(
                "expected a network with a layer of output shape (C, h, w), (h, w, C) or (tokens, C), got "
                f"{self.name}, which has no such layer"
            )
        # A layer that holds the scores themselves explains nothing.
        size = tuple(self._blank(1).shape[2:])
        spatial = [layer for layer in spatial if not self._is_map(layer, size)] or spatial
        spatial = _outside_attention(spatial, named_parts(self.module)) or spatial
        last = spatial[-1]
        same_size = [layer for layer in spatial if _positions(layer) == _positions(last)]
        # At most the layers of one block of a transformer: each check is a pass or two.
        nearest = same_size[:-33:-1] if self._searches else []
        found = next((layer for layer in nearest if self._bottleneck(layer) is not None), None)
        return (found or next((layer for layer in reversed(same_size) if layer.shape[0] > 1), last)).name

    def _is_map(self, layer: Layer, size: tuple[int, ...]) -> bool:
        """Return whether a layer has the channels of the dense output of the network, or no channels."""
        first = layer.grid is not None and layer.grid.layout == "channels_first"
        return layer.shape == size or (first and layer.shape[0] == self._map_channels)

    @guarded
    @torch.no_grad()
    def feature_layer(self) -> str:
        """Return the layer whose vectors are compared by default.

        It is the last layer of tokens if the network returns their class token itself, as DINO without a head, and
        the :meth:`default_layer` otherwise.
        """
        if self._feature_layer is None:
            self._feature_layer = self._returned_tokens() or self.default_layer()
        return self._feature_layer

    def _returned_tokens(self) -> str | None:
        """Return the first layer of tokens whose class token is the output of the network, if there is one."""
        tokens = [
            layer.name
            for layer in self.layers()
            if layer.grid is not None and layer.grid.prefix and layer.grid.positions > 1
        ]
        if not tokens:
            return None
        noise = torch.rand(self._blank(1).shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        with record_outputs(self.find_layers(tokens[-FINAL:])) as outputs:
            scores = self(noise)
        returned = (
            name
            for name, output in outputs.items()
            if output[:, 0].shape == scores.shape and torch.equal(output[:, 0].to(scores.dtype), scores)
        )
        return next(returned, None)

    def _spatial_layers(self) -> list[Layer]:
        """Return the layers before pooling that have more than one position and contribute to the scores."""
        layers = self.layers()
        # Behind the first layer that a target reads, a part of the target is missing.
        ends = [n for n, layer in enumerate(layers, 1) if layer.name in self._read]
        return [
            layer
            for layer in layers[: min(ends, default=len(layers))]
            if layer.grid is not None and layer.grid.positions > 1 and layer.used and not layer.pools
        ]

    @guarded
    def find_layers(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """Return the modules of layers by name; ValueError, with the nearest name, for a name that never runs."""
        valid = {layer.name for layer in self.layers()}
        for name in names:
            if not isinstance(name, str) or name not in valid:
                self.layer(name)
        parts = named_parts(self.module)
        return {name: parts[name if name in parts else call_of(name)[0]] for name in names}

    def spatial(self, layer: str, activation: Tensor) -> Tensor:
        """Return an output of a layer, (N, ...), as (N, C, h, w).

        Raises
        ------
        ValueError
            If the layer has no spatial positions.
        """
        return self.grid(layer).spatial(activation)

    def with_spatial(self, layer: str, activation: Tensor, spatial: Tensor) -> Tensor:
        """Return an output of a layer whose positions have other values; the inverse of :meth:`spatial`.

        Parameters
        ----------
        layer : str
            A spatial layer, by its name in :meth:`layers`.
        activation : Tensor, (N, ...)
            An output of the layer; tokens without a position are kept.
        spatial : Tensor, (N, C, h, w)
            The values at the positions.

        Raises
        ------
        ValueError
            If the layer has no spatial positions.
        """
        return self.grid(layer).with_spatial(activation, spatial)

    def grid(self, layer: str) -> Grid:
        """Return the layout of the positions of a layer; ValueError, with a valid layer, if it has none."""
        found = self.layer(layer)
        if found.grid is None:
            raise ValueError(
                f"expected a layer with spatial positions, (C, h, w), (h, w, C) or tokens, got {layer!r} with an "
                f"output of shape {found.shape}{self._suggest_layer()}"
            )
        return found.grid

    def layer_channels(self, layer: str) -> int:
        """Return the number of channels of a layer; ValueError if it has neither positions nor an output (K,)."""
        found = self.layer(layer)
        if len(found.shape) > 1:
            self.grid(layer)
        return found.channels

    def _suggest_layer(self) -> str:
        """Return the end of an error message that names a valid layer, if there is one."""
        near = [layer.name for layer in self._spatial_layers()]
        return f"; try {near[-1]!r}" if near else f"; {self.name} has no such layer"

    @guarded
    @torch.no_grad()
    def activations(self, images: Any, layers: str | Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of layers for a batch of images.

        Parameters
        ----------
        images
            Images of any kind.
        layers : str or sequence of str
            Names from :meth:`layers`.

        Returns
        -------
        dict of str to Tensor, (N, ...)
            By layer name, in the order of ``layers``.
        """
        names = [layers] if isinstance(layers, str) else items(layers, "layers", what="names")
        x = self.images(images)
        with record_outputs(self.find_layers(names)) as outputs:
            self(x)
        return {name: outputs[name] for name in names}

    @guarded
    def forward_from(self, layer: str, activation: Tensor) -> Tensor:
        """Return the scores for a given output of ``layer``: the network from this layer on. Gradients flow.

        Parameters
        ----------
        layer : str
            A bottleneck (see :meth:`is_bottleneck`), such as a residual block, but not a layer inside of one.
        activation : Tensor, (N, ...)
            Replaces the layer's output.

        Returns
        -------
        Tensor, (N, classes)

        Raises
        ------
        ValueError
            If the network has paths around the layer, or the activation has another shape than the layer's output.
        """
        modules = self.find_layers([layer])
        found = self.layer(layer)
        misfit = (
            f"expected an activation of {layer!r} of shape (N, {', '.join(map(str, found.shape))}), got "
            f"{tuple(activation.shape)}"
        )
        if activation.ndim != len(found.shape) + 1 or activation.shape[1:2] != found.shape[:1]:
            raise ValueError(misfit)
        any_batch_size = self._check_bottleneck(found)
        # The outputs before the layer are discarded: one blank image is enough where the network allows it.
        blank = self._blank(1 if any_batch_size else len(activation))
        activation = activation.to(self.device, dtype_of(self.module))
        try:
            # A clone, as the network may continue with an in-place operation.
            with forward_hooks(
                modules, lambda _name, _module, output: with_main_tensor(output, activation.clone())
            ):
                return self(blank)
        except RuntimeError as error:
            if activation.shape[1:] == found.shape:
                raise
            raise ValueError(misfit) from error

    def is_bottleneck(self, layer: str) -> bool:
        """Return whether every path from the image to the scores passes through a layer exactly once.

        :meth:`forward_from` can start at such a layer.
        """
        return self._bottleneck(self.layer(layer)) is not None

    def _check_bottleneck(self, layer: Layer) -> bool:
        """Return whether the batch size may change at a bottleneck; ValueError for any other layer."""
        any_batch_size = self._bottleneck(layer)
        if any_batch_size is None:
            near = next(
                (
                    item.name
                    for item in nearby_layers(layer, self.layers())
                    if self._bottleneck(item) is not None
                ),
                None,
            )
            raise ValueError(
                f"expected a layer that every path passes through once, got {layer.name!r}, which has paths around it; "
                + (f"try {near!r}" if near else f"{self.name} has no such layer")
            )
        return any_batch_size

    @guarded
    def _bottleneck(self, layer: Layer) -> bool | None:
        """Return the cached result of :func:`~xai_widgets.core.layers.is_bottleneck`."""
        if layer.name not in self._bottlenecks:
            module = self.find_layers([layer.name])[layer.name]
            self._bottlenecks[layer.name] = is_bottleneck(
                module, layer, self, self._blank(1), dtype_of(self.module)
            )
        return self._bottlenecks[layer.name]


def _outside_attention(layers: list[Layer], parts: dict[str, nn.Module]) -> list[Layer]:
    """Return the layers that are not inside of an attention module, such as keys and values."""
    attention = tuple(
        f"{name}."
        for name, part in parts.items()
        if name and "Att" in type(part).__name__ and "Block" not in type(part).__name__
    )
    return [layer for layer in layers if not layer.name.startswith(attention)]


def _positions(layer: Layer) -> int:
    return 0 if layer.grid is None else layer.grid.positions
