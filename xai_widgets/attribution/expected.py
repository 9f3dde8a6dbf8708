"""Gradients on the way from references that are drawn: expected gradients, and gradient SHAP.

Erion et al. 2021; Lundberg and Lee 2017. With references x' drawn from a set, alpha uniform in [0, 1] and, for gradient
SHAP, noise e on the image:

    EG(x)  = E [(x - x') * dS_c/dx at x' + alpha (x - x')]
    GS(x)  = the same with x + e in the place of x,   e ~ N(0, sigma^2)
    sum EG = S_c(x) - E S_c(x')                                                              completeness

The mean over some draws comes near to it, the nearer the more there are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.arguments import check_batch_size
from xai_widgets.attribution.gradient import score_gradient
from xai_widgets.attribution.registry import channel_sum, method
from xai_widgets.model import ImageModel

#: The grey values that are the references where none are given.
GREYS = (0.0, 0.25, 0.5, 0.75, 1.0)


@method(title="Expected gradients", reduce=channel_sum, source="Erion et al. 2021")
def expected_gradients(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    references: Any = None,
    samples: int = 100,
    seed: int = 0,
    batch_size: int = 16,
) -> Tensor:
    """Expected gradients: integrated gradients, averaged over baselines from a set of references.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.attribution.Method`.
    references : images of any kind, optional
        What the baselines are drawn from. Default: five greys from black to white.
    samples : int, default 100
        How many pairs of a reference and a point on the way from it are drawn for each image.
    seed : int, default 0
        Of the draws, which are made on the CPU and anew for each image.
    batch_size : int, default 16
        Points per pass through the network.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum comes near to S_c(x) less the mean score of the references.

    Raises
    ------
    ValueError
        For samples below 1, or references that are no images of the network.
    """
    return _expected(model, x, target, references, samples, 0.0, seed, batch_size)


@method(title="Gradient SHAP", reduce=channel_sum, source="Lundberg and Lee 2017")
def gradient_shap(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    references: Any = None,
    samples: int = 100,
    sigma: float = 0.05,
    seed: int = 0,
    batch_size: int = 16,
) -> Tensor:
    """Gradient SHAP: expected gradients of noisy copies of the image.

    Parameters
    ----------
    model, x, target, references, samples, seed, batch_size
        As for :func:`expected_gradients`.
    sigma : float, default 0.05
        At least 0; standard deviation of the noise, in pixel values.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score.

    Raises
    ------
    ValueError
        As :func:`expected_gradients`, or for a sigma below 0.
    """
    return _expected(model, x, target, references, samples, sigma, seed, batch_size)


def _expected(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    references: Any,
    samples: int,
    sigma: float,
    seed: int,
    batch_size: int,
) -> Tensor:
    if samples < 1 or not sigma >= 0:
        raise ValueError(f"samples is {samples} and sigma {sigma}, wanted samples >= 1 and sigma >= 0")
    check_batch_size(batch_size)
    if references is None:
        baselines = x.new_tensor(GREYS).view(-1, 1, 1, 1).expand(-1, *x.shape[1:])
    else:
        baselines = model.images(references).to(x)
        if baselines.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"the references have shape {tuple(baselines.shape)}, wanted images like x, "
                f"(K, {', '.join(map(str, x.shape[1:]))})"
            )
    made = []
    for image, label in zip(x, target, strict=True):
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(image)
        for at in range(0, samples, batch_size):
            # Draw by draw, so that they do not hang on the batch size.
            drawn = [_draw(image, len(baselines), generator) for _ in range(min(batch_size, samples - at))]
            which, alphas, noises = zip(*drawn, strict=True)
            start = baselines[list(which)]
            way = image + sigma * torch.stack(noises) - start
            points = start + torch.tensor(alphas).to(image).view(-1, 1, 1, 1) * way
            total += (way * score_gradient(model, points, label.expand(len(points)))).sum(0)
        made.append(total / samples)
    return torch.stack(made)


def _draw(image: Tensor, count: int, generator: torch.Generator) -> tuple[int, float, Tensor]:
    """Which reference, how far on the way from it, and noise."""
    which = int(torch.randint(count, (), generator=generator))
    alpha = float(torch.rand((), generator=generator))
    return which, alpha, torch.randn(image.shape, generator=generator, dtype=image.dtype).to(image.device)
