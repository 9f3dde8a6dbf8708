"""Gradients on the way from references that are drawn: expected gradients, and gradient SHAP.

Erion et al. 2021; Lundberg and Lee 2017. With references x' drawn from a set, alpha uniform in [0, 1] and, for gradient
SHAP, noise e on the image:

    EG(x)  = E [(x - x') * dS_c/dx at x' + alpha (x - x')]
    GS(x)  = the same with x + e in the place of x,   e ~ N(0, sigma^2)
    sum EG = S_c(x) - E S_c(x')                                                              completeness

The mean over some draws comes near to it, the nearer the more there are. They are spread evenly over the references
and over the way. The gap to the score of the image less the mean score of the references drawn is told where it is
large.
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

#: The gray values that are the references where none are given.
GREYS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Of the change of the score; a sum that is further from it is said in a warning.
TOLERANCE = 0.1
#: Of the sum of all magnitudes; below it the change of the score is lost in rounding.
ROUNDING = 1e-3


@method(
    title="Expected gradients",
    reduce=channel_sum,
    source="Erion et al. 2021",
    formula="mean over references x' and alpha in [0, 1] of (x - x') * dS_c/dx at x' + alpha (x - x')",
    cost=Cost(1, 0, "samples", 1, 1, note="besides one forward for each reference drawn"),
    guarantees="sums to S_c(x) less the mean of S_c(x') over the references",
    limits="The sum is met on average only, and the gap is measured; the map depends on the references.",
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
        As for every :class:`~xai_widgets.methods.Method`.
    references : images of any kind, optional
        What the baselines are drawn from. Default: five grays from black to white.
    samples : int, default 100
        How many pairs of a reference and a point on the way from it are drawn for each image: the points one in each
        of as many equal parts of the way, the references in turn.
    seed : int, default 0
        Of the draws, which are made on the CPU and are the same for each image.
    batch_size : int, optional
        Points per pass through the network, of all images. Default: as many as fit into memory.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum comes near to S_c(x) less the mean score of the references. A warning tells a sum
        that is off by more than a tenth of that.

    Raises
    ------
    ValueError
        For samples below 1, or references that are no images of the network.
    """
    return _expected("the expected gradients", model, x, target, references, samples, 0.0, seed, batch_size)


@method(
    title="Gradient SHAP",
    reduce=channel_sum,
    source="Lundberg and Lee 2017",
    formula="as expected gradients, with x + e for x, e ~ N(0, sigma^2)",
    cost=Cost(1, 0, "samples", 1, 1, note="besides one forward for each reference drawn"),
    guarantees="sums to S_c(x) less the mean of S_c(x') over the references, up to what the noise changes",
    limits="Shapley values only of a network that is linear in independent pixels; the gap is measured.",
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
        As for :func:`expected_gradients`.
    sigma : float, default 0.05
        At least 0; standard deviation of the noise, in pixel values.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum, and what is told of it, is that of :func:`expected_gradients`.

    Raises
    ------
    ValueError
        As :func:`expected_gradients`, or for a sigma below 0.
    """
    return _expected(
        "the values of gradient SHAP", model, x, target, references, samples, sigma, seed, batch_size
    )


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
                way = image + noise - baselines[k]
                yield Point(n, baselines[k] + alpha * way, way / samples)

    made = last(weighted_sums(model, x, target, points(), score_gradient, batch_size))
    drawn, times = torch.tensor(which).unique(return_counts=True)
    shares = (times / samples).to(x.device)
    mean = shares @ scores_of(model, baselines[drawn.to(x.device)], batch_size)
    change = scores_of(model, x, batch_size).gather(1, target[:, None])[:, 0] - mean[target]
    return with_gap(
        made,
        change,
        TOLERANCE,
        lambda total, wanted: (
            f"{title} of {model.name} sum to {total} for a change of the score, on average over the references, of "
            f"{wanted}, wanted the same: more than {samples} samples come nearer"
        ),
        rounding=ROUNDING * made.abs().sum((1, 2, 3)),
    )


def _baselines(model: ImageModel, x: Tensor, references: Any) -> Tensor:
    """The references, (K, C, H, W)."""
    if references is None:
        return x.new_tensor(GREYS).view(-1, 1, 1, 1).expand(-1, *x.shape[1:])
    baselines = model.images(references).to(x)
    if baselines.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"the references have shape {tuple(baselines.shape)}, wanted images like x, "
            f"(K, {', '.join(map(str, x.shape[1:]))})"
        )
    return baselines


def draws(count: int, samples: int, generator: torch.Generator) -> tuple[list[int], list[float]]:
    """Which of ``count`` references are drawn, and how far on the way from each, both of length ``samples``.

    Each draw is as likely as any other, but they are spread evenly: one point in each of as many equal parts of the
    way as there are samples, and each reference once among as many neighboring parts as there are references. The
    mean over them is right on average, as that over independent draws, and varies less.
    """
    parts = torch.arange(samples, dtype=torch.float64)
    alphas = (parts + torch.rand(samples, generator=generator, dtype=torch.float64)) / samples
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-samples // count))]
    return torch.cat(rounds)[:samples].tolist(), alphas.tolist()
