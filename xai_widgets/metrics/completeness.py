"""Whether sums of a map predict the change of the score: sensitivity-n and infidelity.

With s the map, S a random set of pixels, x_S the image with these pixels replaced, and f the score of the class,

    sensitivity-n   correlation over sets S of n pixels of sum over S of s and f(x) - f(x_S)       Ancona et al. 2018
    infidelity      E_S (b sum over S of s - (f(x) - f(x_S)))^2 / E_S (f(x) - f(x_S))^2            Yeh et al. 2019

Sensitivity-n is averaged over n, from 1 % to 80 % of the pixels in equal steps of the logarithm. The sets of infidelity
are squares of random size and position. The factor b is the best one for the map, as the scale of most maps means
nothing; so infidelity lies between 0, a map whose sums are the changes, and 1, one that predicts none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import double
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import integer, numbers, tensor
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.metrics.base import Explanation, metric, stacked
from xai_widgets.metrics.changed_images import streamed_scores
from xai_widgets.metrics.deletion import CurveFill, curve_fill
from xai_widgets.ops.resize import resize_map

#: Shares of the pixels in the sets of sensitivity-n.
SHARES = (0.01, 0.02, 0.04, 0.09, 0.19, 0.39, 0.8)
#: Sets of each size, and squares of infidelity.
SETS, SQUARES = 100, 200
#: Sides of the squares of infidelity, as shares of the short side.
SIDES = (0.05, 0.5)


@without_inference_mode
def sensitivity_n(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    shares: Any = SHARES,
    sets: int = SETS,
    fill: CurveFill = "training_mean",
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Return the correlation of sums of a map with changes of the score, for sets of each size.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    saliency : Tensor, (N, h, w)
        Higher is more important; resized to the images.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    shares : sequence of float, default (0.01, 0.02, 0.04, 0.09, 0.19, 0.39, 0.8)
        Shares n / (H W) of the pixels in a set, K of them, in (0, 1).
    sets : int, default 100
        Random sets of each size, at least 3.
    fill
        Replacement of the pixels; see :func:`~xai_widgets.metrics.deletion`.
    seed : int, default 0
        Seed of the sets, which are drawn on the CPU and are the same for all images.
    batch_size : int, optional
        Images per pass. Default: as many as are fastest.

    Returns
    -------
    Tensor, (N, K)
        In [-1, 1]; NaN where the sums or the changes are all the same.
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w"), finite=True).to(x.device)
    parts = numbers(shares, "shares", above=0, below=1)
    count = integer(sets, "sets", low=3)
    chosen = _random_sets(x, parts, count, check_seed(seed))
    pairs = _sums_and_changes(model, x, range(len(x)), saliency, target, chosen, fill, batch_size)
    return _correlations(*pairs, count).to(x.device)


def _random_sets(x: Tensor, shares: Sequence[float], count: int, seed: int) -> Tensor:
    """Return random sets of pixels, (K * count, H * W): ``count`` of each share."""
    generator = torch.Generator().manual_seed(seed)
    pixels = x[0, 0].numel()
    sizes = [max(1, round(share * pixels)) for share in shares for _ in range(count)]
    chosen = torch.stack([torch.randperm(pixels, generator=generator) < size for size in sizes])
    return chosen.to(x.device)


def _correlations(sums: Tensor, changes: Tensor, count: int) -> Tensor:
    """Return the correlations over ``count`` sets of each size, (N, K)."""
    sums, changes = (part.view(len(part), -1, count) for part in (sums, changes))
    centered = [part - part.mean(2, keepdim=True) for part in (sums, changes)]
    length = centered[0].norm(dim=2) * centered[1].norm(dim=2)
    correlation = (centered[0] * centered[1]).sum(2) / length
    same = (sums.amax(2) == sums.amin(2)) | (changes.amax(2) == changes.amin(2))
    return correlation.clamp(-1, 1).float().masked_fill(same, torch.nan)


@without_inference_mode
def infidelity(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    squares: int = SQUARES,
    fill: CurveFill = "training_mean",
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Return the share of the changes of the score that sums of a map over random squares do not predict.

    Parameters
    ----------
    model, x, saliency, target, fill, seed, batch_size
        See :func:`sensitivity_n`.
    squares : int, default 200
        Number of squares, with sides of 5 to 50 % of the short side, at least 2.

    Returns
    -------
    Tensor, (N,)
        In [0, 1]; NaN if no square changes the score.
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w"), finite=True).to(x.device)
    chosen = _squares(x, integer(squares, "squares", low=2), check_seed(seed))
    pairs = _sums_and_changes(model, x, range(len(x)), saliency, target, chosen.flatten(1), fill, batch_size)
    return _unpredicted(*pairs).to(x.device)


def _unpredicted(sums: Tensor, changes: Tensor) -> Tensor:
    """Return the share of the squared changes that the best multiple of the sums does not predict, (N,)."""
    product, square = (sums * changes).sum(1), sums.square().sum(1)
    best = torch.where(square > 0, product / square, 0.0)
    left = (best[:, None] * sums - changes).square().sum(1)
    return (left / changes.square().sum(1)).clamp(0, 1).float()


def _squares(x: Tensor, count: int, seed: int) -> Tensor:
    """Return random squares within the images, (count, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    height, width = x.shape[2:]
    short = min(height, width)
    low, high = (max(1, round(share * short)) for share in SIDES)
    sides = torch.randint(low, high + 1, (count,), generator=generator)
    top, left = ((torch.rand(count, generator=generator) * (n - sides + 1)).long() for n in (height, width))
    rows, columns = torch.arange(height), torch.arange(width)
    down = (rows >= top[:, None]) & (rows < (top + sides)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + sides)[:, None])
    return (down[:, :, None] & across[:, None, :]).to(x.device)


def _sums_and_changes(
    model: ImageModel,
    x: Tensor,
    images: Sequence[int],
    saliency: Tensor,
    target: Tensor,
    chosen: Tensor,
    fill: CurveFill = "training_mean",
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the sums of N maps over S sets of pixels, and the changes of the score without these, (N, S) each.

    The passes do not depend on the map, and maps of one image share them. ``images`` has the index of the image of each
    map, and ``chosen`` is (S, H * W).
    """
    maps = resize_map(double(saliency), (x.shape[2], x.shape[3])).flatten(1)
    sums = torch.cat([maps @ double(some).T for some in chosen.split(32)], 1)
    filled = curve_fill(model, x, fill)
    masks = chosen.view(-1, 1, *x.shape[2:])

    def shown() -> Iterator[Tensor]:
        """Yield each image, and the image without each set."""
        for image, other in zip(x, filled, strict=True):
            yield image[None]
            yield from (torch.where(some, other, image) for some in masks.split(32))

    scores = streamed_scores(model, shown(), x.shape[2:], batch_size).view(len(x), 1 + len(chosen), -1)
    own = torch.tensor(list(images), device=scores.device)
    each = double(scores[own, :, target.to(scores.device)])
    return sums, (each[:, :1] - each[:, 1:]).to(sums)


@without_inference_mode
def _sensitivities(explanations: Sequence[Explanation], *, sets: int = SETS, seed: int = 0) -> list[float]:
    """Return the mean correlation of each explanation; undefined ones count as 0."""
    model, x, images, maps, target = stacked(explanations)
    count = integer(sets, "sets", low=3)
    chosen = _random_sets(x, SHARES, count, check_seed(seed))
    pairs = _sums_and_changes(model, x, images, maps, target, chosen)
    return _correlations(*pairs, count).nan_to_num(0).mean(1).tolist()


@metric(
    "sensitivity_n",
    title="Sensitivity-n",
    category="faithfulness",
    direction="higher",
    measures="correlation of the sum of the map over random sets of pixels with the change of the score without them, "
    "mean over the sizes of the sets",
    source="Ancona et al. 2018",
    bounds=(-1.0, 1.0),
    several=_sensitivities,
)
def sensitivity_n_mean(explanation: Explanation, *, sets: int = SETS, seed: int = 0) -> float:
    """Return the mean over the sizes of the sets; undefined correlations count as 0."""
    return _sensitivities([explanation], sets=sets, seed=seed)[0]


@without_inference_mode
def _infidelities(
    explanations: Sequence[Explanation], *, squares: int = SQUARES, seed: int = 0
) -> list[float]:
    """Return the infidelity of each explanation."""
    model, x, images, maps, target = stacked(explanations)
    chosen = _squares(x, integer(squares, "squares", low=2), check_seed(seed)).flatten(1)
    return _unpredicted(*_sums_and_changes(model, x, images, maps, target, chosen)).tolist()


@metric(
    "infidelity",
    title="Infidelity",
    category="faithfulness",
    direction="lower",
    measures="share of the changes of the score, by hiding squares, that the sum of the map over them does not predict",
    source="Yeh et al. 2019",
    several=_infidelities,
)
def infidelity_score(explanation: Explanation, *, squares: int = SQUARES, seed: int = 0) -> float:
    """Return the infidelity of one map."""
    return _infidelities([explanation], squares=squares, seed=seed)[0]
