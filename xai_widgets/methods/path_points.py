"""Sums over points near an image: on a path to it, or noisy copies of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.batching import in_batches
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel


class Point(NamedTuple):
    """One point.

    ``image`` is the index of the image that it belongs to, ``pixels`` are (C, H, W), and ``factor`` is what it is
    multiplied with: (C, H, W) or one that broadcasts to it, of the same shape for all points.
    """

    image: int
    pixels: Tensor
    factor: Tensor


def sums(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    points: Iterable[Point],
    explain: Callable[[ImageModel, Tensor, Tensor], Tensor],
    batch_size: int | None,
) -> Iterator[Tensor]:
    """Sum of factor times explanation over the points of each image, as far as it is summed up, after each pass.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        The images.
    target : Tensor, (N,)
        The class of each.
    points : iterable of Point
        Points of several images share a pass; there is at least one.
    explain : callable
        ``explain(model, pixels, target)``, (K, C, H, W) and (K,), to (K, ...).
    batch_size : int, optional
        Points a pass; None for as many as fit.

    Yields
    ------
    Tensor, (N, ...)
        The same one each time, with more in it.
    """

    def compute(some: list[Point]) -> Tensor:
        images = torch.tensor([each.image for each in some], device=target.device)
        return explain(model, torch.stack([each.pixels for each in some]), target[images])

    passes = in_batches(model, points, compute, size=x.shape[2:], batch_size=batch_size)
    total: Tensor | None = None
    for some, made in passes:
        if total is None:
            # Inside the caller's inference_mode() it could not be added to when a run goes on outside of it.
            with outside_inference():
                total = made.new_zeros(len(target), *made.shape[1:])
        # One by one, so that the sum does not hang on how many were in a pass.
        for point, value in zip(some, made, strict=True):
            total[point.image] += point.factor * value
        yield total


def whole(passes: Iterable[Tensor]) -> Tensor:
    """The last of some sums."""
    *_, made = passes
    return made
