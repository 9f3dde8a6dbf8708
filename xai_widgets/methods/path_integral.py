"""Gradients integrated along the straight path from a baseline to an image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import choice, integer
from xai_widgets.methods.gradients import score_gradient
from xai_widgets.methods.path_points import Point, last, weighted_sums

Quadrature = Literal["right", "midpoint", "gauss_legendre"]


def nodes(quadrature: Quadrature, steps: int) -> tuple[list[float], list[float]]:
    """Return the nodes in [0, 1] of a quadrature rule, and their weights, which sum to 1.

    "right" is the Riemann sum at k/m, k = 1..m (Sundararajan et al. 2017); "midpoint" is at (k - 1/2)/m.
    """
    choice(quadrature, "quadrature", get_args(Quadrature))
    # Gauss-Legendre nodes are the eigenvalues of a matrix of this size.
    steps = integer(steps, "steps", low=1, high=2_000 if quadrature == "gauss_legendre" else 100_000)
    if quadrature == "gauss_legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return ((points + 1) / 2).tolist(), (weights / 2).tolist()
    shift = 0.0 if quadrature == "right" else 0.5
    return [(k - shift) / steps for k in range(1, steps + 1)], [1 / steps] * steps


def path_integral(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    steps: int,
    quadrature: Quadrature,
    batch_size: int | None,
) -> Tensor:
    """Return x - x' times the weighted mean of the gradients on the path, (N, C, H, W)."""
    return (x - baseline) * last(_gradients(model, x, target, baseline, steps, quadrature, batch_size))


def path_sums(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    steps: int,
    quadrature: Quadrature,
    batch_size: int | None,
) -> Iterator[Tensor]:
    """Yield the partial sum of :func:`path_integral` after each batch; images are completed one after the other."""
    for gradients in _gradients(model, x, target, baseline, steps, quadrature, batch_size):
        yield (x - baseline) * gradients


def _gradients(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    steps: int,
    quadrature: Quadrature,
    batch_size: int | None,
) -> Iterator[Tensor]:
    """Yield the partial sum of the weighted mean of the gradients after each batch."""
    alphas, weights = (
        torch.tensor(part, dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)
        for part in nodes(quadrature, steps)
    )
    points = (
        Point(n, start + alpha * (end - start), weight)
        for n, (start, end) in enumerate(zip(baseline, x, strict=True))
        for alpha, weight in zip(alphas, weights, strict=True)
    )
    return weighted_sums(model, x, target, points, partial(score_gradient, folded=True), batch_size)
