"""Gradients on paths from sampled references: expected gradients and gradient SHAP.

Erion et al. 2021; Lundberg and Lee 2017. With references x' drawn from a set, alpha uniform in [0, 1] and, for gradient
SHAP, noise e on the image:

    EG(x)  = E [(x - x') * dS_c/dx at x' + alpha (x - x')]
    GS(x)  = the same with x + e instead of x,   e ~ N(0, sigma^2)
    sum EG = S_c(x) - E S_c(x')                                                              completeness

The expectation is estimated by samples that are stratified over the references and over alpha. In deep networks the
score changes most on a small part of the path, near the reference, where the gradient is up to a hundred times as large
as elsewhere. So the strata are narrow where the score changes, which a few forward passes show, and every sample has
the width of its stratum as its weight: the estimate is unbiased, and varies less.

A large gap between the sum and the score of the image minus the mean score of the sampled references gives a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from xai_widgets.attribution.noise import check_sampling, normals
from xai_widgets.core.batching import scores_of
from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.model import ImageModel
from xai_widgets.core.precision import double
from xai_widgets.core.validation import choice
from xai_widgets.methods.completeness import with_gap
from xai_widgets.methods.gradients import score_gradient
from xai_widgets.methods.path_points import Point, last, weighted_sums
from xai_widgets.methods.registry import Cost, channel_sum, method

#: How alpha is sampled.
Sampling = Literal["importance", "uniform"]
#: Gray values of the default references.
GRAYS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Largest completeness gap without a warning, relative to the change of the score.
TOLERANCE = 0.1
#: Additional tolerance for rounding, relative to the sum of all magnitudes.
ROUNDING = 1e-3
#: Points between which the change of the score is measured, at (k / INTERVALS)^3.
INTERVALS = 12
#: Largest number of references with which it is measured.
MEASURED = 5
#: Fraction of the strata that follow the change of the score; the others cover [0, 1] evenly, by alpha and alpha^(1/3).
FOLLOWING = 0.7


@method(
    title="Expected gradients",
    reduce=channel_sum,
    source="Erion et al. 2021",
    formula="mean over references x' and alpha in [0, 1] of (x - x') * dS_c/dx at x' + alpha (x - x')",
    cost=Cost(66, 0, "samples", 1, 1, note="plus one forward for each sampled reference"),
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
    sampling: Sampling = "importance",
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
    sampling : {"importance", "uniform"}, default "importance"
        Whether there are more samples where the score changes, or equally many everywhere on the path, as published.
        The change is measured by 13 forward passes on the path from each of the first five references.
    seed : int, default 0
        Seed of the samples, which are drawn on the CPU.
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
    return _expected(
        "expected gradients", model, x, target, references, samples, 0.0, sampling, seed, batch_size
    )


@method(
    title="Gradient SHAP",
    reduce=channel_sum,
    source="Lundberg and Lee 2017",
    formula="expected gradients with x + e for x, e ~ N(0, sigma^2)",
    cost=Cost(66, 0, "samples", 1, 1, note="plus one forward for each sampled reference"),
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
    sampling: Sampling = "importance",
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Gradient SHAP: expected gradients of noisy copies of the image.

    Parameters
    ----------
    model, x, target, references, samples, sampling, seed, batch_size
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
    return _expected(
        "gradient SHAP", model, x, target, references, samples, sigma, sampling, seed, batch_size
    )


def _expected(
    title: str,
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    references: Any,
    samples: int,
    sigma: float,
    sampling: Sampling,
    seed: int,
    batch_size: int | None,
) -> Tensor:
    choice(sampling, "sampling", get_args(Sampling))
    samples, sigma, seed = check_sampling(samples, sigma, seed)
    baselines = _baselines(model, x, references)
    generator = torch.Generator().manual_seed(seed)
    which, positions = draws(len(baselines), samples, generator)
    density = None
    if sampling == "importance":
        density = _density(model, x, target, baselines[:MEASURED], batch_size)
    group = len(baselines) if 16 * len(baselines) <= samples else 1
    strata = [stratified(positions, None if density is None else density[n], group) for n in range(len(x))]

    def points() -> Iterator[Point]:
        noises = normals(x[0], samples, generator) if sigma else repeat(torch.zeros_like(x[0]))
        for sample, (k, normal) in enumerate(zip(which, noises, strict=False)):
            noise = sigma * normal
            for n, image in enumerate(x):
                path = image + noise - baselines[k]
                alpha, weight = strata[n][0][sample], strata[n][1][sample]
                yield Point(n, baselines[k] + alpha * path, path * weight)

    explain = partial(score_gradient, folded=True)
    result = last(weighted_sums(model, x, target, points(), explain, batch_size))
    drawn, index = torch.tensor(which).unique(return_inverse=True)
    weights = torch.tensor([weight for _, weight in strata], dtype=torch.float64)
    shares = torch.zeros(len(x), len(drawn), dtype=torch.float64).index_add_(1, index, weights).to(x)
    of_references = scores_of(model, baselines[drawn.to(x.device)], batch_size)[:, target].T
    change = scores_of(model, x, batch_size).gather(1, target[:, None])[:, 0] - (shares * of_references).sum(
        1
    )
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


def _grid() -> Tensor:
    """Return the ends of the intervals in which the change of the score is measured, from 0 to 1."""
    return (torch.arange(INTERVALS + 1, dtype=torch.float64) / INTERVALS) ** 3


def _density(
    model: ImageModel, x: Tensor, target: Tensor, references: Tensor, batch_size: int | None
) -> Tensor:
    """Return the fraction of the samples of each image in each interval of the grid, (N, INTERVALS)."""
    grid = _grid()
    alphas = grid.to(x).view(-1, 1, 1, 1)
    widths = grid.diff()
    even = ((widths + 1 / INTERVALS) / 2).expand(len(x), -1)
    checks, paths = FiniteChecks(), []
    with checks.collect():
        for image, label in zip(x, target.tolist(), strict=True):
            paths += [
                scores_of(model, start + alphas * (image - start), batch_size)[:, label]
                for start in references
            ]
    checks.read()
    changes = []
    for steps in double(torch.stack(paths).cpu()).diff().abs().split(len(references)):
        changes.append((steps / steps.sum(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)).mean(0))
    change = torch.stack(changes)
    # A score that does not change anywhere leaves its part to the even strata.
    return FOLLOWING * change + (1 - FOLLOWING * change.sum(1, keepdim=True)) * even


def stratified(
    positions: list[float], density: Tensor | None, group: int = 1
) -> tuple[list[float], list[float]]:
    """Return alpha and weight of each sample for a density of the samples on the path.

    [0, 1] is divided into strata with an equal part of the density. Each stratum holds a group of samples, and a sample
    is uniform in its part of the stratum and has its width as its weight. The weights sum to 1, and the weighted mean
    of any function of alpha is unbiased.

    Parameters
    ----------
    positions : list of float
        Result of :func:`draws`: the k-th of n is uniform in [k/n, (k + 1)/n].
    density : Tensor, (INTERVALS,), optional
        Parts of the samples in the intervals of the grid. Default: in proportion to their widths.
    group : int, default 1
        Samples per stratum, such as one for each reference, which then have equal weights.
    """
    samples = len(positions)
    starts = np.arange(0, samples, group)
    ends = np.append(starts[1:], samples)
    edges = np.append(starts, samples) / samples
    if density is not None:
        cumulative = np.append(0.0, density.cumsum(0).numpy())
        edges = np.interp(edges, cumulative / cumulative[-1], _grid().numpy())
    numbers, widths = np.repeat(np.arange(len(starts)), ends - starts), np.diff(edges)
    sizes = (ends - starts)[numbers]
    local = (np.array(positions) * samples - starts[numbers]) / sizes
    return (edges[numbers] + local * widths[numbers]).tolist(), (widths[numbers] / sizes).tolist()
