"""Scores of images whose output of one layer is changed, while the network itself stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xai_widgets.core.cached import cached_property
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import forward_hooks, main_tensor, with_main_tensor
from xai_widgets.core.model import ImageModel

#: Maps outputs (E, ...) of a layer, one for each of E images, to those that replace them.
Change = Callable[[Tensor], Tensor]


class LayerScores:
    """Scores of images whose output of one layer is changed.

    Behind a bottleneck only the rest of the network runs. Where some path bypasses the layer, the whole network runs
    and a hook on a replica changes the output.

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    x : Tensor, (N, C, H, W)
        Pixels in [0, 1].
    layer : str
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``.

    Attributes
    ----------
    output : Tensor, (N, ...)
        The outputs of the layer, float32, in the network's own layout.
    activation : Tensor, (N, K, h, w) or (N, K)
        The same with the channels first, of tokens those with a position.
    dimension : int
        The dimension of the channels in ``output``.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or one with neither positions nor an output (K,).

    Examples
    --------
    >>> layer = LayerScores(model, x, "features.17")
    >>> layer.scores(lambda output: output * 0.5)  # doctest: +SKIP
    """

    def __init__(self, model: ImageModel, x: Tensor, layer: str) -> None:
        with outside_inference(), torch.no_grad():
            self.model, self.x, self.layer = model, x.clone(), layer
            self.output = model.activations(self.x, layer)[layer].float().clone()
            spatial = self.output.ndim != 2
            self.dimension = model.grid(layer).channel_dimension if spatial else 1
            self.activation = model.spatial(layer, self.output) if spatial else self.output

    def __len__(self) -> int:
        return len(self.x)

    @property
    def width(self) -> int:
        """The number of channels."""
        return self.output.shape[self.dimension]

    @cached_property
    def is_bottleneck(self) -> bool:
        """Whether only the rest of the network from the layer on has to run."""
        return self.model.is_bottleneck(self.layer)

    def along_channels(self, values: Tensor) -> Tensor:
        """Return values (K,), or (E, K) of E images, in a shape that broadcasts with outputs of the layer."""
        shape = [1] * self.output.ndim
        shape[self.dimension] = values.shape[-1]
        if values.ndim == 2:
            shape[0] = len(values)
        return values.view(shape)

    def scores(self, change: Change, index: Tensor | None = None) -> Tensor:
        """Return the scores (E, classes) of some images with a changed output of the layer. Gradients flow.

        Parameters
        ----------
        change : callable
            Maps outputs (E, ...) of the layer to those that replace them, in the same layout.
        index : Tensor of int, (E,), optional
            Which images; one may occur several times. Default: all of them.
        """
        if index is None:
            index = torch.arange(len(self.x), device=self.x.device)
        if self.is_bottleneck:
            return self.model.forward_from(self.layer, change(self.output[index]))

        def replace(_name: str, _module: object, output: object) -> object:
            tensor = main_tensor(output)
            assert tensor is not None
            return with_main_tensor(output, change(tensor).to(tensor.dtype))

        with forward_hooks(self.model.find_layers([self.layer]), replace):
            return self.model(self.x[index])
