"""Remove and debias (ROAD): deletion whose removed pixels are imputed from their neighbors.

Rong et al. 2022. A removed pixel is the weighted mean of its neighbors, the direct ones with weight 1/6 and the
diagonal ones with 1/12, plus a little noise; the neighbors of removed pixels are removed themselves, so that all are
found from one system of linear equations

    (sum_j w_ij) x_i - sum_j w_ij x_j = 0        for each removed pixel i, over its neighbors j

which is symmetric and positive definite, and is solved by conjugate gradients. Such an image does not show where pixels
were removed, unlike one with a constant color. The score is

    (p_least - p_most) / 2      mean over 10, 20, ..., 90 % of the pixels removed

with p_most and p_least the probabilities after the most and the least salient pixels are removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import number, numbers, tensor
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric, stacked
from xai_widgets.metrics.changed_images import streamed_scores
from xai_widgets.metrics.deletion import ordering

#: Shares of the pixels that are removed.
SHARES = tuple(k / 10 for k in range(1, 10))
#: Standard deviation of the noise on imputed pixels.
NOISE = 0.01
#: Root mean square of the residual of the linear system, in gray values, and most iterations.
_TOLERANCE, _ITERATIONS = 3e-6, 2000
#: Images of this short side are not reduced further.
_COARSEST = 8
#: Values of the images that are solved for at once.
_VALUES = 2**18


@dataclass(frozen=True, repr=False)
class Road(ShortRepr):
    """Probabilities after the most and the least salient pixels are removed.

    Attributes
    ----------
    shares : Tensor, (T,)
        Shares of the pixels that are removed.
    most, least : Tensor, (N, T)
        Probability of the class without the most and without the least salient pixels.
    """

    shares: Tensor
    most: Tensor
    least: Tensor

    @property
    def score(self) -> Tensor:
        """Mean of (least - most) / 2 over the shares, (N,)."""
        return (self.least - self.most).mean(1) / 2


@checked_keywords
def impute(x: Tensor, removed: Tensor, *, noise: float = NOISE, seed: int = 0) -> Tensor:
    """Replace removed pixels by weighted means of their neighbors, plus noise.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images.
    removed : Tensor of bool, (N, H, W)
        The pixels to replace. If all are removed, they become the mean color.
    noise : float, default 0.01
        Standard deviation of the noise on the replaced pixels.
    seed : int, default 0
        Seed of the noise, which is drawn on the CPU.

    Returns
    -------
    Tensor, (N, C, H, W)
        In [0, 1].
    """
    x = tensor(x, "x", ("N", "C", "H", "W"))
    gone = tensor(removed, "removed", (len(x), *x.shape[2:])).bool().to(x.device)[:, None]
    noise = number(noise, "noise", low=0)
    known = torch.where(gone, 0.0, x)
    kept = (~gone).to(x.dtype)
    mean = known.sum((2, 3), keepdim=True) / kept.sum((2, 3), keepdim=True)
    whole = gone.all(2, keepdim=True).all(3, keepdim=True)
    # Few images at a time, whose arrays stay in the cache of the processor.
    some = max(1, _VALUES // x[0].numel()) if x.device.type == "cpu" else len(x)
    parts = zip(*(each.split(some) for each in (known, gone, mean.nan_to_num(0))), strict=True)
    solved = torch.cat([_solve(*part) for part in parts])
    solution = torch.where(whole, x.mean((2, 3), keepdim=True), solved)
    generator = torch.Generator().manual_seed(check_seed(seed))
    drawn = torch.randn(x.shape[1:], generator=generator, dtype=x.dtype).to(x.device)
    return torch.where(gone, (solution + noise * drawn).clamp(0, 1), x)


def _solve(known: Tensor, gone: Tensor, mean: Tensor) -> Tensor:
    """Return images with their removed pixels solved for; those that are not removed are ``known``.

    The iterations begin with the solution at half the resolution, found in the same way, so that few are needed.
    """
    if not gone.any():
        return known
    start = mean.expand_as(known)
    if min(known.shape[2:]) > _COARSEST:
        total = F.avg_pool2d((~gone).to(known.dtype), 2, ceil_mode=True)
        pooled = F.avg_pool2d(known, 2, ceil_mode=True) / total.clamp(min=1e-6)
        coarse = _solve(pooled, total == 0, mean)
        start = F.interpolate(coarse, known.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(gone, _conjugate_gradients(known, gone.to(known.dtype), start), known)


def _conjugate_gradients(known: Tensor, gaps: Tensor, start: Tensor) -> Tensor:
    """Return the solution on the removed pixels, where ``gaps`` is 1; images that have converged drop out."""
    # The mean residual of a removed pixel.
    limit = _TOLERANCE**2 * gaps.sum((1, 2, 3)) * known.shape[1]
    total = _neighbors(torch.ones_like(gaps[:1]))
    solution = start * gaps
    rest = (_neighbors(known) * gaps).sub_(_system(solution, gaps, total))
    direction, square = rest.clone(), _dot(rest, rest)
    found, rows = solution.clone(), torch.arange(len(known), device=known.device)
    for _ in range(_ITERATIONS):
        active = square > limit
        if not active.all():
            found[rows] = solution
            rows, solution, rest, direction, gaps, square, limit = (
                each[active] for each in (rows, solution, rest, direction, gaps, square, limit)
            )
        if not len(rows):
            break
        image = _system(direction, gaps, total)
        step = (square / _dot(direction, image)).view(-1, 1, 1, 1)
        solution.addcmul_(step, direction)
        rest.addcmul_(-step, image)
        before, square = square, _dot(rest, rest)
        direction.mul_((square / before).view(-1, 1, 1, 1)).add_(rest)
    found[rows] = solution
    return found


def _system(images: Tensor, gaps: Tensor, total: Tensor) -> Tensor:
    """Return the left side of the system for images that are 0 outside of the gaps."""
    return _neighbors(images).neg_().addcmul_(total, images).mul_(gaps)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the scalar product of each image of a with that of b, (N,)."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def _neighbors(images: Tensor) -> Tensor:
    """Return the weighted sum of the neighbors of each pixel, without those outside the image."""
    # The weights are an outer product, without the center: 1/12 (1, 2, 1) x (1, 2, 1) - 1/3. In place, as a new array
    # takes longer than the sum that is written to it.
    wide = F.pad(images, (1, 1, 1, 1))
    rows = wide[:, :, :-2] + wide[:, :, 2:]
    rows.add_(wide[:, :, 1:-1], alpha=2)
    total = rows[..., :-2] + rows[..., 2:]
    return total.add_(rows[..., 1:-1], alpha=2).div_(12).sub_(images, alpha=1 / 3)


@without_inference_mode
def road(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    seed: int = 0,
    batch_size: int | None = None,
) -> Road:
    """Remove the most and the least salient pixels, impute them, and record the probabilities.

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
    shares : sequence of float, default (0.1, 0.2, ..., 0.9)
        Shares of the pixels that are removed, in [0, 1].
    noise, seed
        See :func:`impute`.
    batch_size : int, optional
        Images per pass. Default: as many as are fastest.

    Returns
    -------
    Road
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w")).to(x.device)
    return _road(model, x, range(len(x)), saliency, target, shares, noise, seed, batch_size)


def _road(
    model: ImageModel,
    x: Tensor,
    images: Sequence[int],
    saliency: Tensor,
    target: Tensor,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    seed: int = 0,
    batch_size: int | None = None,
) -> Road:
    """Return the probabilities for N maps, of which each belongs to one of the images."""
    parts = numbers(shares, "shares", low=0, high=1)
    pixels = x[0, 0].numel()
    counts = torch.tensor([round(share * pixels) for share in parts], device=x.device)[:, None, None]

    def imputed() -> Iterator[Tensor]:
        for sign in (1, -1):
            for image, map_ in zip(images, saliency, strict=True):
                ranks = ordering(sign * map_[None], (x.shape[2], x.shape[3]))
                yield impute(x[image].expand(len(parts), -1, -1, -1), ranks < counts, noise=noise, seed=seed)

    scores = streamed_scores(model, imputed(), x.shape[2:], batch_size)
    probs = model.probabilities(scores).view(2, len(saliency), len(parts), -1).float()
    most, least = probs.gather(3, target[None, :, None, None].expand(2, -1, len(parts), 1))[..., 0].cpu()
    return Road(torch.tensor(parts), most, least)


@without_inference_mode
def _road_scores(explanations: Sequence[Explanation], *, seed: int = 0) -> list[float]:
    """Return the score of each map."""
    return _road(*stacked(explanations), seed=seed).score.tolist()


def _passes(explanation: Explanation, *, seed: int = 0) -> int:
    return 2 * len(SHARES)


@metric(
    "road",
    title="ROAD",
    category="faithfulness",
    direction="higher",
    measures="half of the probability without the least salient pixels minus that without the most salient ones, which "
    "are imputed from their neighbors",
    source="Rong et al. 2022",
    bounds=(-0.5, 0.5),
    several=_road_scores,
    passes=_passes,
)
def road_score(explanation: Explanation, *, seed: int = 0) -> float:
    """Return the score of one map."""
    return _road_scores([explanation], seed=seed)[0]
