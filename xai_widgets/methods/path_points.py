"""Weighted sums of explanations over points near an image, such as points on a path or noisy copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.batching import in_batches
from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel


class Point(NamedTuple):
    """One point with its weight.

    Attributes
    ----------
    image : int
        Index of the image that the point belongs to.
    pixels : Tensor, (C, H, W)
        The point.
    weight : Tensor
        Weight of its explanation, broadcast to (C, H, W); of the same shape for all points.
    """

    image: int
    pixels: Tensor
    weight: Tensor


def weighted_sums(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    points: Iterable[Point],
    explain: Callable[[ImageModel, Tensor, Tensor], Tensor],
    batch_size: int | None,
) -> Iterator[Tensor]:
    """Yield the partial sums of weight times explanation over the points of each image, after each batch.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        The images.
    target : Tensor, (N,)
        The class of each image.
    points : iterable of Point
        At least one point. A batch may hold points of several images.
    explain : callable
        ``explain(model, pixels, target)`` maps (K, C, H, W) and (K,) to (K, ...).
    batch_size : int, optional
        Points per batch. Default: as many as fit.

    Yields
    ------
    Tensor, (N, ...)
        The same tensor each time, updated in place.
    """
    checks, classes = FiniteChecks(), target.unbind()

    def compute(batch: list[Point]) -> Tensor:
        with checks.collect():
            return explain(
                model,
                torch.stack([point.pixels for point in batch]),
                torch.stack([classes[point.image] for point in batch]),
            )

    passes = in_batches(model, points, compute, size=x.shape[2:], batch_size=batch_size)
    total: Tensor | None = None
    for batch, explanations in passes:
        if total is None:
            # A tensor created in the caller's inference_mode() could not be updated outside of it.
            with outside_inference():
                total = explanations.new_zeros(len(target), *explanations.shape[1:])
        # One by one, so that rounding does not depend on the batch size.
        for point, explanation in zip(batch, explanations, strict=True):
            total[point.image] += point.weight * explanation
        yield total
    checks.read()


def last(sums: Iterable[Tensor]) -> Tensor:
    """Return the last of several partial sums, which is the complete one."""
    *_, complete = sums
    return complete
