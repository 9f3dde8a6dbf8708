"""Gradients of a class score with respect to the pixels or to a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite


def score_gradient(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """dS_c/dx for a batch of pixels (N, C, H, W) and class indices (N,).

    Only the gradient of the pixels is computed: no parameter's ``grad`` is written.
    """
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        x = x.clone().requires_grad_()
        score = model(x, frozen=True).gather(1, target.clone()[:, None]).sum()
        # As a number: a mode of rules takes other operations for a part of the network.
        check_finite(torch.tensor(score.item()), model.name)
        if not score.requires_grad:
            raise no_gradient(model)
        (gradient,) = torch.autograd.grad(score, x, allow_unused=True)
        if gradient is None:
            raise no_gradient(model)
    return gradient


def no_gradient(model: ImageModel) -> ValueError:
    """Return the error for a network through which no gradient comes."""
    return ValueError(
        f"no gradient comes back through {model.name}, wanted a network whose scores depend on the pixels "
        "by operations that can be differentiated"
    )


def layer_gradient(model: ImageModel, x: Tensor, target: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """The activation of a layer and the gradient of the class score with respect to it, both (N, ...) in float32."""
    with outside_inference(), torch.enable_grad(), record_outputs(model.find_layers([layer])) as kept:
        # A gradient has to reach the layer even if every parameter of the network is frozen.
        score = model(x.clone().requires_grad_(), frozen=True).gather(1, target.clone()[:, None]).sum()
        check_finite(score, model.name)
        activation = kept[layer]
        depends = activation.requires_grad and score.requires_grad
        gradient = torch.autograd.grad(score, activation, allow_unused=True)[0] if depends else None
    if gradient is None:
        raise unreachable_layer_error(model, layer)
    return activation.detach().float(), gradient.float()


def spatial_gradient(
    model: ImageModel, x: Tensor, target: Tensor, layer: str | None
) -> tuple[Tensor, Tensor]:
    """Return what :func:`layer_gradient` does, both as (N, C, h, w); without a layer of the default one.

    Channels that come last are moved, and tokens are laid out on their grid: those of no position are left out.
    """
    layer = model.default_layer() if layer is None else layer
    activation, gradient = layer_gradient(model, x, target, layer)
    return model.spatial(layer, activation), model.spatial(layer, gradient)


def unreachable_layer_error(model: ImageModel, layer: str) -> ValueError:
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
