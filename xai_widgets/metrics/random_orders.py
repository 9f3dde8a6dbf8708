"""Curves of pixels in random order, which a useful saliency map has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import choice, integer
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.deletion import Curve, Mode, deletion, insertion

#: Default number of steps of the curve of a random order.
RANDOM_STEPS = 28


@without_inference_mode
def random_order(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    mode: Mode = "deletion",
    orders: int = 4,
    seed: int = 0,
    steps: int | None = None,
    **options: Any,
) -> Run[Curve]:
    """Remove or add pixels in random order: the curve that a useful saliency map has to beat.

    Parameters
    ----------
    model, x, target
        See :func:`deletion`.
    mode : {"deletion", "insertion"}, default "deletion"
        The kind of the curve.
    orders : int, default 4
        Number of random orders; the curve is the mean of theirs.
    seed : int, default 0
        Seed of the orders, which are drawn on the CPU.
    steps : int, optional
        Steps of the curve. Default: 28, or the number of pixels if that is less; the curve of a random order is smooth,
        and :meth:`Curve.resampled` returns it at other fractions.
    **options
        Other options of :func:`deletion` or :func:`insertion`.

    Returns
    -------
    Run of Curve
        One complete snapshot for each order: the mean of the scores so far, the scores of each order as `draws`, and
        the highest classes of the first order.
    """
    choice(mode, "mode", get_args(Mode))
    model, x, target = prepare(model, x, target)
    options["steps"] = min(RANDOM_STEPS, x[0, 0].numel()) if steps is None else steps
    function = deletion if mode == "deletion" else insertion
    return random_curves(function, model, x, target, orders=orders, seed=seed, **options)


def random_curves(
    function: Callable[..., Run[Curve]],
    model: ImageModel,
    x: Tensor,
    target: Target,
    *,
    orders: int,
    seed: int = 0,
    **options: Any,
) -> Run[Curve]:
    """Return the run of the mean of the curves of random maps, by any function that takes a saliency map.

    Parameters
    ----------
    function : callable
        ``function(model, x, saliency, target, **options)``: :func:`deletion`, :func:`insertion`, or
        :func:`~xai_widgets.metrics.morf`, :func:`~xai_widgets.metrics.lerf`.
    model, x, target, orders, seed, **options
        See :func:`random_order`.
    """
    maps = random_maps(x, integer(orders, "orders", low=1), seed)
    runs = [function(model, x, saliency, target, **options) for saliency in maps]

    def snapshots() -> Iterator[Curve]:
        curves: list[Curve] = []
        for run in runs:
            curves.append(run.result(progress=False))
            scores = torch.stack([curve.scores for curve in curves])
            yield replace(curves[0], scores=scores.mean(0), draws=scores if len(curves) > 1 else None)

    return Run(snapshots(), total=len(maps), name=f"random order: {function.__name__}")


@checked_keywords
def random_maps(x: Tensor, orders: int, seed: int = 0) -> Tensor:
    """Return maps whose pixels are in random order, (orders, N, H, W), in [0, 1)."""
    generator = torch.Generator().manual_seed(check_seed(seed))
    return torch.rand(orders, len(x), *x.shape[2:], generator=generator).to(x.device)
