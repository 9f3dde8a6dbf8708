"""Gradients of a class score with respect to the pixels.

Simonyan, Vedaldi and Zisserman 2014; Shrikumar et al. 2016 (gradient x input).
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.attribution.registry import channel_sum, max_abs, method
from xai_widgets.guard import outside_inference
from xai_widgets.model import ImageModel
from xai_widgets.validation import check_finite


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


@method(
    title="Gradient",
    reduce=max_abs,
    source="Simonyan et al. 2014",
    formula="dS_c/dx",
    limits="Tells what a small change of a pixel does, not what the pixel adds to the score: near 0 where the "
    "score is saturated.",
)
def gradient(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Gradient of the class score, dS_c/dx.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.attribution.Method`.

    Returns
    -------
    Tensor, (N, C, H, W)
        Score per unit of pixel value. Its saliency map is the maximum over channels of the absolute value.
    """
    return score_gradient(model, x, target)


@method(
    title="Gradient x input",
    reduce=channel_sum,
    source="Shrikumar et al. 2016",
    formula="x * dS_c/dx",
    limits="Misses what is saturated, and a black pixel has nothing whatever it shows.",
)
def gradient_x_input(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Gradient times input, x * dS_c/dx: the linear approximation of the score at the input.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.attribution.Method`.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score, for a black image as the reference. Its saliency map is the sum over channels.
    """
    return x * score_gradient(model, x, target)
