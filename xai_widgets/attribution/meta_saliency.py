"""Meta-saliency: any method, after one step of learning the class.

Rebuffi et al. 2020 (CVPR), section 4.4. With l the cross entropy of the class,

    theta' = theta - 2 epsilon grad_theta l(theta, x)

A network that is asked for a class that is not in the image then looks elsewhere, so that maps of different classes are
less alike. The step is taken on a copy of the parameters, for each image anew.
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
    cost=Cost(2, 2, note="of which one of each is for the method"),
    limits="Needs a copy of the network, and parameters through which a gradient comes; where the network is sure "
    "of the class the step is near 0 and changes nothing.",
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
    """A method on the network after a step of gradient descent on the loss of the class.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    method : str, Method or callable, default "selective_norm_grad"
        What is asked after the step.
    epsilon : float, default 0.001
        Half the learning rate; below 0 it is a step of gradient ascent, and 0 is the method itself.
    **options
        Passed on to the method.

    Returns
    -------
    Tensor, (N, C, H, W)
        What the method returns.

    Raises
    ------
    ValueError
        For an epsilon that is not finite, a network through which no gradient comes, or as the method.
    """
    epsilon = number(epsilon, "epsilon", hint="such as 0.001")
    wrapped = as_method(method)
    if options.get("layer") is None and "layer" in inspect.signature(wrapped).parameters:
        # Found once on the network, the copy knows it.
        with suppress(ValueError):
            model.default_layer()
    # Copied inside the caller's inference_mode() the parameters could not learn.
    with outside_inference():
        try:
            learner = deepcopy(model)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"expected a network that can be copied, to learn a step, got {model.name}, whose copy raises "
                f"{type(error).__name__}"
            ) from error
        parameters = [each.requires_grad_() for each in learner.parameters() if each.is_floating_point()]
        before = [each.detach().clone() for each in parameters]
    made = []
    for image, label in zip(x, target, strict=True):
        with outside_inference(), torch.enable_grad():
            loss = _loss(learner, learner(image[None].clone()), label[None].clone())
            if not loss.requires_grad:
                raise ValueError(
                    f"no gradient comes back through {model.name}, wanted a network whose scores depend on its "
                    "parameters by operations that can be differentiated"
                )
            steps = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for each, kept, step in zip(parameters, before, steps, strict=True):
                each.copy_(kept if step is None else kept - 2 * epsilon * step)
        made.append(wrapped.function(learner, image[None], label[None], **options))
        with torch.no_grad():
            for each, kept in zip(parameters, before, strict=True):
                each.copy_(kept)
    return torch.cat(made)


def _loss(model: ImageModel, scores: Tensor, target: Tensor) -> Tensor:
    """Return -log p of the class, by the activation of the network."""
    if model.activation == "softmax":
        return F.cross_entropy(scores, target)
    score = scores.gather(1, target[:, None]).mean()
    if model.activation == "sigmoid":
        return -F.logsigmoid(score)
    if not model.has_probabilities:
        raise ValueError(
            f"meta-saliency learns from the probability of a class, which {model.name} has not; expected a classifier"
        )
    return -score.clamp(min=torch.finfo(score.dtype).tiny).log()
