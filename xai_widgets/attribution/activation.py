"""Maps made of the activations of one layer.

Grad-CAM, Selvaraju et al. 2017. With a_k the channels of a layer and g_k = dS_c/da_k:

    w_k = mean over places of g_k,   L = relu(sum_k w_k a_k)
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.attribution.registry import channel_sum, method
from xai_widgets.guard import outside_inference
from xai_widgets.model import ImageModel
from xai_widgets.recording import recording
from xai_widgets.validation import check_finite


def layer_gradient(model: ImageModel, x: Tensor, target: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """The activation of a layer and the gradient of the class score with respect to it, both (N, ...) in float32."""
    with outside_inference(), torch.enable_grad(), recording(model.find_layers([layer])) as kept:
        # A gradient has to reach the layer even if every parameter of the network is frozen.
        score = model(x.clone().requires_grad_(), frozen=True).gather(1, target.clone()[:, None]).sum()
        check_finite(score, model.name)
        activation = kept[layer]
        depends = activation.requires_grad and score.requires_grad
        gradient = torch.autograd.grad(score, activation, allow_unused=True)[0] if depends else None
    if gradient is None:
        raise off_the_way(model, layer)
    return activation.detach().float(), gradient.float()


def at_places(model: ImageModel, x: Tensor, target: Tensor, layer: str | None) -> tuple[Tensor, Tensor]:
    """Return what :func:`layer_gradient` does, both as (N, C, h, w); without a layer of the default one.

    Channels that come last are moved, and tokens are laid out on their grid: those of no position are left out.
    """
    layer = model.default_layer() if layer is None else layer
    activation, gradient = layer_gradient(model, x, target, layer)
    return model.spatial(layer, activation), model.spatial(layer, gradient)


def off_the_way(model: ImageModel, layer: str) -> ValueError:
    """The error for a layer from which nothing comes to the scores."""
    try:
        near = model.default_layer()
    except ValueError:
        near = layer
    if near == layer:
        return ValueError(
            f"no gradient comes back to layer {layer!r} of {model.name}, wanted a network that can be differentiated "
            "there, with no block that runs without gradients, such as a checkpoint with use_reentrant=True"
        )
    return ValueError(
        f"the scores do not depend on layer {layer!r}, wanted one on their way, such as {near!r}"
    )


@method(
    title="Grad-CAM",
    reduce=channel_sum,
    source="Selvaraju et al. 2017",
    formula="relu(sum_k w_k a_k), w_k = mean over places of dS_c/da_k",
    limits="As coarse as its layer, and at layers far from the last one the weights lose their meaning.",
)
def grad_cam(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM, relu(sum_k w_k a_k) with w_k the mean gradient of channel k.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.attribution.Method`.
    layer : str, optional
        A layer with output (C, h, w), by its name in ``model.layers()``. Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, or whose output has no places.
    """
    activation, gradient = at_places(model, x, target, layer)
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * activation).sum(1, keepdim=True).relu()
