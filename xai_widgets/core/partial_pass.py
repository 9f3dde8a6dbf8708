"""A pass of a network that ends as soon as the layers in question have run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from xai_widgets.core.hooks import forward_hooks, tensor_of, with_main_tensor
from xai_widgets.core.model import ImageModel


class _LastLayerRan(BaseException):
    """Leaves a pass; ``except Exception`` in a network does not catch it."""


def outputs_up_to(
    model: ImageModel, x: Tensor, layers: Sequence[str], *, frozen: bool = True
) -> dict[str, Tensor]:
    """Return the outputs of layers in a pass that ends after the last one. Gradients flow.

    The cost of an early layer is that of the network up to it, in both directions.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        Pixels in [0, 1], which are not checked.
    layers : sequence of str
        Names from ``model.layers()``.
    frozen : bool, default True
        Whether parameters are constants, so that gradients flow to the pixels only.

    Returns
    -------
    dict of str to Tensor, (N, ...)
        By layer name; of a tuple, its first tensor.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or a layer that did not run or returns no tensor.
    """
    outputs: dict[str, Tensor] = {}

    def record(name: str, _module: nn.Module, output: Any) -> Any:
        outputs[name] = tensor = tensor_of(name, output)
        if len(outputs) == len(set(layers)):
            raise _LastLayerRan
        # A copy, as the network may continue with an in-place operation.
        return with_main_tensor(output, tensor.clone())

    with forward_hooks(model.find_layers(layers), record):
        try:
            model(x, frozen=frozen)
        except _LastLayerRan:
            return outputs
    missing = next(name for name in layers if name not in outputs)
    raise ValueError(f"expected a layer that runs for every image, got {missing!r}, which did not run")
