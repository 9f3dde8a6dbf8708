"""Gradients integrated along the straight path from a baseline to an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import choice, integer
from xai_widgets.methods.gradients import score_gradient
from xai_widgets.methods.path_points import Point, sums, whole

Quadrature = Literal["right", "midpoint", "gauss_legendre"]


def nodes(quadrature: Quadrature, steps: int) -> tuple[list[float], list[float]]:
    """Points in [0, 1] and their weights, which add up to 1.

    "right" is the Riemann sum at k/m, k = 1..m, of equation 3.3; "midpoint" is at (k - 1/2)/m.
    """
    choice(quadrature, "quadrature", get_args(Quadrature))
    # The nodes of Gauss and Legendre are eigenvalues of a matrix of this size.
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
    """(x - x') times the weighted mean of the gradients at the points of the path, (N, C, H, W)."""
    return (x - baseline) * whole(_gradients(model, x, target, baseline, steps, quadrature, batch_size))


def path_sums(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    steps: int,
    quadrature: Quadrature,
    batch_size: int | None,
) -> Iterator[Tensor]:
    """The :func:`path_integral` as far as it is summed up, after each pass; one image after the other."""
    for so_far in _gradients(model, x, target, baseline, steps, quadrature, batch_size):
        yield (x - baseline) * so_far


def _gradients(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    steps: int,
    quadrature: Quadrature,
    batch_size: int | None,
) -> Iterator[Tensor]:
    """The weighted mean of the gradients as far as it is summed up, after each pass."""
    alphas, weights = (
        torch.tensor(part, dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)
        for part in nodes(quadrature, steps)
    )
    points = (
        Point(n, start + alpha * (end - start), weight)
        for n, (start, end) in enumerate(zip(baseline, x, strict=True))
        for alpha, weight in zip(alphas, weights, strict=True)
    )
    return sums(model, x, target, points, score_gradient, batch_size)
