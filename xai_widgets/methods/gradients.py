"""Gradients of a class score with respect to the pixels or to a layer."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite
from xai_widgets.methods.shared_passes import shared

#: By network: layers whose activation depends on the pixels by differentiable operations.
_depending: WeakKeyDictionary[ImageModel, set[str]] = WeakKeyDictionary()


def score_gradient(model: ImageModel, x: Tensor, target: Tensor, *, folded: bool = False) -> Tensor:
    """Return dS_c/dx for a batch of pixels (N, C, H, W) and class indices (N,).

    Gradients of parameters are neither computed nor changed. ``folded`` passes are faster, see
    :mod:`xai_widgets.core.folding`, which pays for the mean over many points.
    """
    (gradient,) = shared(model, None, x, target, lambda: (_score_gradient(model, x, target, folded=folded),))
    return gradient


def _score_gradient(model: ImageModel, x: Tensor, target: Tensor, *, folded: bool) -> Tensor:
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        x = x.clone().requires_grad_()
        score = model(x, frozen=True, folded=folded).gather(1, target.clone()[:, None]).sum()
        # A mode of backward rules would treat an operation on the tensor as a part of the network.
        with torch._C.DisableTorchFunction():
            check_finite(score.detach(), model.name)
        if not score.requires_grad:
            raise no_gradient_error(model)
        (gradient,) = torch.autograd.grad(score, x, allow_unused=True)
        if gradient is None:
            raise no_gradient_error(model)
    return gradient


def no_gradient_error(model: ImageModel) -> ValueError:
    """Return the error for a network without a gradient of the scores with respect to the pixels."""
    return ValueError(
        "expected a network whose scores depend on the pixels by differentiable operations, got "
        f"{model.name}, through which no gradient passes"
    )


def layer_gradient(model: ImageModel, x: Tensor, target: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return the activation of a layer and the gradient of the class score there, both (N, ...) in float32."""
    activation, gradient = shared(model, layer, x, target, lambda: _layer_gradient(model, x, target, layer))
    return activation, gradient


def _layer_gradient(model: ImageModel, x: Tensor, target: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    depending = _depending.setdefault(model, set())
    # A graph up to the layer is needed only once, to learn whether the layer depends on the pixels, and by a mode of
    # backward rules, which counts the operations that it replaces.
    known = layer in depending and not torch._C._len_torch_function_stack()
    parts = model.find_layers([layer])
    with outside_inference(), torch.enable_grad(), record_outputs(parts, as_leaves=known) as outputs:
        # The input requires a gradient, so that the layer has one even if all parameters are frozen.
        pixels = x.clone().requires_grad_(not known)
        score = model(pixels, frozen=True).gather(1, target.clone()[:, None]).sum()
        check_finite(score, model.name)
        activation = outputs[layer]
        depends = activation.requires_grad and score.requires_grad
        gradient = torch.autograd.grad(score, activation, allow_unused=True)[0] if depends else None
    if gradient is None:
        raise unreachable_layer_error(model, layer)
    depending.add(layer)
    return activation.detach().float(), gradient.float()


def spatial_gradient(
    model: ImageModel, x: Tensor, target: Tensor, layer: str | None
) -> tuple[Tensor, Tensor]:
    """Return the activation of a spatial layer and the gradient of the class score there, both (N, C, h, w).

    Like :func:`layer_gradient`, with the channels first and tokens arranged on their grid; tokens without a position
    are dropped. If ``layer`` is None, the default layer is used.
    """
    layer = model.default_layer() if layer is None else layer
    activation, gradient = layer_gradient(model, x, target, layer)
    return model.spatial(layer, activation), model.spatial(layer, gradient)


def unreachable_layer_error(model: ImageModel, layer: str) -> ValueError:
    """Return the error for a layer that the scores do not depend on."""
    try:
        near = model.default_layer()
    except ValueError:
        near = layer
    if near == layer:
        return ValueError(
            f"expected a network that is differentiable after layer {layer!r}, got {model.name}, whose gradient does "
            "not reach it, for instance because of a checkpoint with use_reentrant=True"
        )
    return ValueError(
        f"expected a layer that the scores depend on, got {layer!r}, which does not contribute; try {near!r}"
    )
