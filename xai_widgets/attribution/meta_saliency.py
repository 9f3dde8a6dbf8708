"""Meta-saliency: any method, applied after one gradient step on the loss of the class.

Rebuffi et al. 2020, section 4.4. With l the cross entropy of the class,

    theta' = theta - 2 epsilon grad_theta l(theta, x)

The step changes the map more for a class that is not in the image, so that maps of different classes are less similar.
It is taken on a copy of the parameters, separately for each image.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import number
from xai_widgets.methods.registry import Cost, Method, as_method, channel_sum, method


@method(
    title="Meta-saliency",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="A of the network with theta - 2 epsilon grad_theta l(theta, x) for theta, A another method",
    cost=Cost(2, 2, note="including one of each for the method"),
    limits="Requires a copy of the network and gradients of its parameters; if the network is certain of the class, "
    "the step is near 0 and has no effect.",
    quick={"method": "gradient"},
)
def meta_saliency(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    method: str | Method | Callable[..., Any] = "selective_norm_grad",
    epsilon: float = 0.001,
    **options: Any,
) -> Tensor:
    """Meta-saliency: apply a method to the network after a gradient descent step on the loss of the class.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    method : str, Method or callable, default "selective_norm_grad"
        The method that is applied after the step.
    epsilon : float, default 0.001
        Half the learning rate. Negative values are gradient ascent; 0 is the method itself.
    **options
        Options of the method.

    Returns
    -------
    Tensor, (N, C, H, W)
        The attribution of the method.

    Raises
    ------
    ValueError
        For an epsilon that is not finite, or a network without gradients of its parameters; see also the method.
    """
    epsilon = number(epsilon, "epsilon", hint="such as 0.001")
    wrapped = as_method(method)
    if options.get("layer") is None and "layer" in inspect.signature(wrapped).parameters:
        # The model caches its layers, and the copy gets the cache.
        with suppress(ValueError):
            model.default_layer()
    # Parameters copied inside the caller's inference_mode() could not have gradients.
    with outside_inference():
        try:
            learner = deepcopy(model)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"expected a network that can be copied, got {model.name}, whose copy raises {type(error).__name__}"
            ) from error
        # See `pattern_moments` for the crash of gradients of weights in the channels-last format.
        learner._format = torch.contiguous_format
        learner.module.to(memory_format=torch.contiguous_format)
        parameters = [each.requires_grad_() for each in learner.parameters() if each.is_floating_point()]
        before = [each.detach().clone() for each in parameters]
    result = []
    for image, label in zip(x, target, strict=True):
        with outside_inference(), torch.enable_grad():
            loss = _loss(learner, learner(image[None].clone()), label[None].clone())
            if not loss.requires_grad:
                raise ValueError(
                    "expected a network whose scores depend on its parameters by differentiable operations, got "
                    f"{model.name}, through which no gradient passes"
                )
            steps = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for each, kept, step in zip(parameters, before, steps, strict=True):
                each.copy_(kept if step is None else kept - 2 * epsilon * step)
        result.append(wrapped.function(learner, image[None], label[None], **options))
        with torch.no_grad():
            for each, kept in zip(parameters, before, strict=True):
                each.copy_(kept)
    return torch.cat(result)


def _loss(model: ImageModel, scores: Tensor, target: Tensor) -> Tensor:
    """Return -log p of the class, with the activation of the model."""
    if model.activation == "softmax":
        return F.cross_entropy(scores, target)
    score = scores.gather(1, target[:, None]).mean()
    if model.activation == "sigmoid":
        return -F.logsigmoid(score)
    if not model.has_probabilities:
        raise ValueError(
            f"expected a class of a classifier, as meta-saliency needs its probability, got "
            f"{model.labels[int(target[0])]!r} of {model.name}, which has none"
        )
    return -score.clamp(min=torch.finfo(score.dtype).tiny).log()
