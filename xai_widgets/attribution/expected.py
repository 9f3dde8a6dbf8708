"""Gradients on paths from sampled references: expected gradients and gradient SHAP.

Erion et al. 2021; Lundberg and Lee 2017. With references x' drawn from a set, alpha uniform in [0, 1] and, for gradient
SHAP, noise e on the image:

    EG(x)  = E [(x - x') * dS_c/dx at x' + alpha (x - x')]
    GS(x)  = the same with x + e instead of x,   e ~ N(0, sigma^2)
    sum EG = S_c(x) - E S_c(x')                                                              completeness

The expectation is estimated by samples that are stratified over the references and over alpha. A large gap between the
sum and the score of the image minus the mean score of the sampled references gives a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.noise import check_sampling, normal
from xai_widgets.core.batching import scores_of
from xai_widgets.core.model import ImageModel
from xai_widgets.methods.completeness import with_gap
from xai_widgets.methods.gradients import score_gradient
from xai_widgets.methods.path_points import Point, last, weighted_sums
from xai_widgets.methods.registry import Cost, channel_sum, method

#: Gray values of the default references.
GRAYS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Largest completeness gap without a warning, relative to the change of the score.
TOLERANCE = 0.1
#: Additional tolerance for rounding, relative to the sum of all magnitudes.
ROUNDING = 1e-3


@method(
    title="Expected gradients",
    reduce=channel_sum,
    source="Erion et al. 2021",
    formula="mean over references x' and alpha in [0, 1] of (x - x') * dS_c/dx at x' + alpha (x - x')",
    cost=Cost(1, 0, "samples", 1, 1, note="plus one forward for each sampled reference"),
    guarantees="sums to S_c(x) minus the mean of S_c(x') over the references",
    limits="Complete only on average over the samples, and the gap is measured; the map depends on the references.",
    quick={"samples": 4},
)
def expected_gradients(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    references: Any = None,
    samples: int = 100,
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Expected gradients: integrated gradients, averaged over baselines from a set of references.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    references : images of any kind, optional
        The set of baselines. Default: five grays from black to white.
    samples : int, default 100
        Number of pairs of a reference and a point on the path from it for each image (stratified, see :func:`draws`).
    seed : int, default 0
        Seed of the samples, which are drawn on the CPU and are the same for each image.
    batch_size : int, optional
        Points per pass through the network, of all images. Default: as many as fit into memory.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum approximates S_c(x) minus the mean score of the references. A gap above 10 % of
        that gives a warning.

    Raises
    ------
    ValueError
        For samples below 1, or references of another shape than the images.
    """
    return _expected("expected gradients", model, x, target, references, samples, 0.0, seed, batch_size)


@method(
    title="Gradient SHAP",
    reduce=channel_sum,
    source="Lundberg and Lee 2017",
    formula="expected gradients with x + e for x, e ~ N(0, sigma^2)",
    cost=Cost(1, 0, "samples", 1, 1, note="plus one forward for each sampled reference"),
    guarantees="sums to S_c(x) minus the mean of S_c(x') over the references, up to the effect of the noise",
    limits="Equals Shapley values only for a network that is linear in independent pixels; the completeness gap is "
    "measured.",
    quick={"samples": 4},
)
def gradient_shap(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    references: Any = None,
    samples: int = 100,
    sigma: float = 0.05,
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Gradient SHAP: expected gradients of noisy copies of the image.

    Parameters
    ----------
    model, x, target, references, samples, seed, batch_size
        See :func:`expected_gradients`.
    sigma : float, default 0.05
        Standard deviation of the noise, in pixel values; at least 0.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; for its sum see :func:`expected_gradients`.

    Raises
    ------
    ValueError
        See :func:`expected_gradients`; also for a sigma below 0.
    """
    return _expected("gradient SHAP", model, x, target, references, samples, sigma, seed, batch_size)


def _expected(
    title: str,
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    references: Any,
    samples: int,
    sigma: float,
    seed: int,
    batch_size: int | None,
) -> Tensor:
    samples, sigma, seed = check_sampling(samples, sigma, seed)
    baselines = _baselines(model, x, references)
    generator = torch.Generator().manual_seed(seed)
    which, alphas = draws(len(baselines), samples, generator)

    def points() -> Iterator[Point]:
        for k, alpha in zip(which, alphas, strict=True):
            noise = sigma * normal(x[0], generator) if sigma else torch.zeros_like(x[0])
            for n, image in enumerate(x):
                path = image + noise - baselines[k]
                yield Point(n, baselines[k] + alpha * path, path / samples)

    result = last(weighted_sums(model, x, target, points(), score_gradient, batch_size))
    drawn, counts = torch.tensor(which).unique(return_counts=True)
    frequencies = (counts / samples).to(x.device)
    mean = frequencies @ scores_of(model, baselines[drawn.to(x.device)], batch_size)
    change = scores_of(model, x, batch_size).gather(1, target[:, None])[:, 0] - mean[target]
    return with_gap(
        result,
        change,
        TOLERANCE,
        lambda total, expected: (
            f"the attribution of {model.name} by {title} is incomplete (sum {total}, expected {expected}); increase "
            f"samples={samples}"
        ),
        rounding=ROUNDING * result.abs().sum((1, 2, 3)),
    )


def _baselines(model: ImageModel, x: Tensor, references: Any) -> Tensor:
    """Return the references, (K, C, H, W)."""
    if references is None:
        return x.new_tensor(GRAYS).view(-1, 1, 1, 1).expand(-1, *x.shape[1:])
    baselines = model.images(references).to(x)
    if baselines.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"expected references of shape (K, {', '.join(map(str, x.shape[1:]))}), got {tuple(baselines.shape)}"
        )
    return baselines


def draws(count: int, samples: int, generator: torch.Generator) -> tuple[list[int], list[float]]:
    """Return stratified samples: indices of references and positions alpha in [0, 1], both of length ``samples``.

    [0, 1] is divided into ``samples`` intervals with one alpha in each, and every reference occurs once in each run of
    ``count`` intervals. The mean over the samples is unbiased and varies less than that over independent samples.
    """
    parts = torch.arange(samples, dtype=torch.float64)
    alphas = (parts + torch.rand(samples, generator=generator, dtype=torch.float64)) / samples
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-samples // count))]
    return torch.cat(rounds)[:samples].tolist(), alphas.tolist()
