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

from collections.abc import Sequence
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
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.changed_images import class_probabilities
from xai_widgets.metrics.deletion import ordering

#: Shares of the pixels that are removed.
SHARES = tuple(k / 10 for k in range(1, 10))
#: Standard deviation of the noise on imputed pixels.
NOISE = 0.01
#: Root mean square of the residual of the linear system, in gray values, and most iterations.
_TOLERANCE, _ITERATIONS = 3e-6, 2000
#: Images of this short side are not reduced further.
_COARSEST = 8


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
    solution = torch.where(whole, x.mean((2, 3), keepdim=True), _solve(known, gone, mean.nan_to_num(0)))
    generator = torch.Generator().manual_seed(check_seed(seed))
    drawn = torch.randn(x.shape[1:], generator=generator, dtype=x.dtype).to(x.device)
    return torch.where(gone, (solution + noise * drawn).clamp(0, 1), x)


def _solve(known: Tensor, gone: Tensor, mean: Tensor) -> Tensor:
    """Return the removed pixels of images whose known pixels are given, by conjugate gradients.

    They begin with the solution at half the resolution, found in the same way, so that few iterations are needed.
    """
    if not gone.any():
        return known
    start = mean.expand_as(known)
    if min(known.shape[2:]) > _COARSEST:
        total = F.avg_pool2d((~gone).to(known.dtype), 2, ceil_mode=True)
        pooled = F.avg_pool2d(known, 2, ceil_mode=True) / total.clamp(min=1e-6)
        coarse = _solve(pooled, total == 0, mean)
        start = F.interpolate(coarse, known.shape[2:], mode="bilinear", align_corners=False)
    gaps = gone.to(known.dtype)
    total = _neighbors(torch.ones_like(gaps))

    def system(images: Tensor) -> Tensor:
        return (total * images - _neighbors(images)) * gaps

    right = _neighbors(known) * gaps
    solution = start * gaps
    rest = right - system(solution)
    # The mean residual of a removed pixel.
    limit = _TOLERANCE**2 * gaps.sum((1, 2, 3)) * known.shape[1]
    direction, square = rest, rest.square().sum((1, 2, 3))
    for _ in range(_ITERATIONS):
        active = square > limit
        if not active.any():
            break
        image = system(direction)
        step = torch.where(active, square / (direction * image).sum((1, 2, 3)), 0.0)[:, None, None, None]
        solution, rest = solution + step * direction, rest - step * image
        before, square = square, rest.square().sum((1, 2, 3))
        direction = rest + (square / before.clamp(min=1e-30))[:, None, None, None] * direction
    return torch.where(gone, solution, known)


def _neighbors(images: Tensor) -> Tensor:
    """Return the weighted sum of the neighbors of each pixel, without those outside the image."""
    # The weights are an outer product, without the center: 1/12 (1, 2, 1) x (1, 2, 1) - 1/3.
    rows = F.pad(images, (0, 0, 1, 1))
    across = rows[:, :, :-2] + 2 * images + rows[:, :, 2:]
    wide = F.pad(across, (1, 1))
    return (wide[..., :-2] + 2 * across + wide[..., 2:]) / 12 - images / 3


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
        Images per pass. Default: as many as the memory allows.

    Returns
    -------
    Road
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w")).to(x.device)
    parts = numbers(shares, "shares", low=0, high=1)
    pixels = x[0, 0].numel()
    counts = torch.tensor([round(share * pixels) for share in parts], device=x.device)[:, None, None]
    found = []
    for sign in (1, -1):
        ranks = ordering(sign * saliency, (x.shape[2], x.shape[3]))
        scores = []
        for n in range(len(x)):
            images = impute(x[n].expand(len(parts), -1, -1, -1), ranks[n] < counts, noise=noise, seed=seed)
            probs = class_probabilities(model, images[None], target[n : n + 1], batch_size)
            scores.append(probs[0].float().cpu())
        found.append(torch.stack(scores))
    return Road(torch.tensor(parts), *found)


@metric(
    "road",
    title="ROAD",
    category="faithfulness",
    direction="higher",
    measures="half of the probability without the least salient pixels minus that without the most salient ones, which "
    "are imputed from their neighbors",
    source="Rong et al. 2022",
    bounds=(-0.5, 0.5),
)
def road_score(explanation: Explanation, *, seed: int = 0) -> float:
    """Return the score of one map."""
    model, x, saliency, target = explanation.model, explanation.x, explanation.saliency, explanation.target
    return road(model, x, saliency, target, seed=seed).score.item()
