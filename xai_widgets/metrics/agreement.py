"""Agreement of two maps of the same image.

With p and q the maps scaled to [0, 1] and divided by their sums, and A, B the parts of their highest values,

pearson    correlation of the values
spearman   correlation of their ranks, equal values sharing the mean of their ranks
l1         1 - sum |p - q| / 2, the mass that both have in common
kl         sum q log(q / p), with q the reference; 0 for equal maps
dice       2 |A and B| / (|A| + |B|)
box_iou    intersection over union of the tightest boxes around A and B
auc        probability that a value of the map within B is higher than one outside it
ssim       structural similarity (Wang et al. 2004): mean over windows of
           (2 mu_a mu_b + c1)(2 s_ab + c2) / ((mu_a^2 + mu_b^2 + c1)(s_a^2 + s_b^2 + c2)),  c1 = 0.01^2, c2 = 0.03^2
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.precision import double
from xai_widgets.core.validation import number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.ops.blur import gaussian_window
from xai_widgets.ops.boxes import box_iou, tight_boxes
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.ranks import mean_ranks, roc_auc
from xai_widgets.ops.resize import resize_map


@checked_keywords
def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of the values of maps (N, H, W): (N,) in [-1, 1]; NaN for constant maps and NaN."""
    return _correlation(*_check(a, b))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    first, second = (double(part.flatten(1)) for part in (a, b))
    # Divide by the largest magnitude first: squares of very small or large values would underflow or overflow.
    first, second = (part / part.abs().amax(1, keepdim=True).clamp(min=1e-300) for part in (first, second))
    first, second = (part - part.mean(1, keepdim=True) for part in (first, second))
    length = first.norm(dim=1) * second.norm(dim=1)
    correlation = ((first * second).sum(1) / length).clamp(-1, 1).to(a.device, torch.float32)
    # Compare the extremes: the deviation of a constant map may be rounded to a number other than 0.
    constant = [part.flatten(1).amax(1) == part.flatten(1).amin(1) for part in (a, b)]
    return correlation.masked_fill(constant[0] | constant[1], torch.nan)


@checked_keywords
def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of the ranks of maps (N, H, W): (N,) in [-1, 1]; NaN for constant maps and NaN."""
    a, b = _check(a, b)
    return _correlation(*(mean_ranks(maps.flatten(1))[..., None] for maps in (a, b))).to(a.device)


@checked_keywords
def ssim(a: Tensor, b: Tensor, *, sigma: float = 1.5) -> Tensor:
    """Return the structural similarity of maps (N, H, W), each scaled linearly to [0, 1]: (N,), at most 1.

    Parameters
    ----------
    a, b : Tensor, (N, H, W)
        Maps. A constant map is scaled to 0; a map with a NaN gives NaN.
    sigma : float, default 1.5
        Standard deviation of the Gaussian window in pixels. The window is 11 pixels wide, or as wide as the map
        allows, and never crosses the border.
    """
    a, b = _check(a, b)
    return structural_similarity(unit_range(a), unit_range(b), sigma=sigma)


@checked_keywords
def structural_similarity(a: Tensor, b: Tensor, *, sigma: float = 1.5) -> Tensor:
    """Return the structural similarity of maps (N, H, W) that span a range of 1: (N,), at most 1; see `ssim`."""
    a, b = _check(a, b)
    sigma = number(sigma, "sigma", above=0)
    first, second = (double(part[:, None]) for part in (a, b))
    side = min(11, *a.shape[1:])
    side -= 1 - side % 2
    profile = gaussian_window(side, sigma, first)

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, profile.view(1, 1, -1, 1)), profile.view(1, 1, 1, -1))

    mu_a, mu_b = mean(first), mean(second)
    s_a, s_b = mean(first**2) - mu_a**2, mean(second**2) - mu_b**2
    s_ab = mean(first * second) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    local = (2 * mu_a * mu_b + c1) * (2 * s_ab + c2) / ((mu_a**2 + mu_b**2 + c1) * (s_a + s_b + c2))
    return local.mean((1, 2, 3)).to(a.device, torch.float32)


@checked_keywords
def l1_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the mass that maps (N, H, W) have in common: (N,) in [0, 1]; NaN for constant maps and NaN."""
    p, q = _distributions(a, b)
    return (1 - (p - q).abs().sum(1) / 2).clamp(0, 1).to(a.device, torch.float32)


@checked_keywords
def kl_divergence(a: Tensor, b: Tensor, *, epsilon: float = 1e-7) -> Tensor:
    """Return the Kullback-Leibler divergence of maps from their references.

    Parameters
    ----------
    a, b : Tensor, (N, H, W)
        Maps and their references, each scaled to [0, 1] and divided by its sum.
    epsilon : float, default 1e-7
        Added to both distributions, which would otherwise make the divergence of almost all maps infinite.

    Returns
    -------
    Tensor, (N,)
        At least 0; NaN for constant maps and NaN.
    """
    epsilon = number(epsilon, "epsilon", above=0)
    p, q = ((part + epsilon) / (1 + epsilon * part.shape[1]) for part in _distributions(a, b))
    return (q * (q / p).log()).sum(1).clamp(min=0).to(a.device, torch.float32)


@checked_keywords
def dice(a: Tensor, b: Tensor, *, area: float = 0.1) -> Tensor:
    """Return the Dice coefficient of the highest values of maps (N, H, W): (N,) in [0, 1].

    Parameters
    ----------
    a, b : Tensor, (N, H, W)
        Maps of one shape.
    area : float, default 0.1
        Largest fraction of the positions that counts, in (0, 1). Equal values count together or not at all, so that a
        map of zeros with few positive values has a smaller region; two maps without a region give NaN.
    """
    regions = [highest(maps, area).flatten(1) for maps in _check(a, b)]
    both = (regions[0] & regions[1]).sum(1)
    return 2 * both / (regions[0].sum(1) + regions[1].sum(1))


@checked_keywords
def highest_box_iou(a: Tensor, b: Tensor, *, area: float = 0.1) -> Tensor:
    """Return the intersection over union of the boxes around the highest values of maps (N, H, W): (N,) in [0, 1].

    ``area`` is that of :func:`dice`. Two maps without a region give NaN.
    """
    boxes = [tight_boxes(highest(maps, area)) for maps in _check(a, b)]
    empty = (boxes[0] == 0).all(1) & (boxes[1] == 0).all(1)
    return box_iou(*boxes).masked_fill(empty, torch.nan)


@checked_keywords
def reference_auc(a: Tensor, b: Tensor, *, area: float = 0.1) -> Tensor:
    """Return the area under the ROC curve of maps for the highest values of their references: (N,) in [0, 1].

    Parameters
    ----------
    a, b : Tensor, (N, H, W)
        Maps and their references.
    area : float, default 0.1
        Fraction of the positions of the reference that counts as salient, as for :func:`dice`.
    """
    first, second = _check(a, b)
    return roc_auc(first.flatten(1), highest(second, area).flatten(1))


def highest(maps: Tensor, area: float = 0.1) -> Tensor:
    """Return where maps (N, H, W) are above their quantile of order 1 - area, bool."""
    area = number(area, "area", above=0, below=1)
    flat = double(maps).flatten(1)
    return (flat > flat.quantile(1 - area, dim=1, keepdim=True)).view_as(maps).to(maps.device)


def _distributions(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps scaled to [0, 1] and divided by their sums, (N, H*W), float64; NaN for constant maps."""
    first, second = (unit_range(double(maps)).flatten(1) for maps in _check(a, b))
    return first / first.sum(1, keepdim=True), second / second.sum(1, keepdim=True)


def _check(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two batches of maps of one shape, float32 or float64."""
    first, second = (tensor(maps, name, ("N", "H", "W")) for maps, name in ((a, "a"), (b, "b")))
    if first.shape != second.shape:
        raise ValueError(
            f"expected maps of the same shape (N, H, W), got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    first, second = (maps if maps.dtype == torch.float64 else maps.float() for maps in (first, second))
    return first, second.to(first.device)


def _compare(measure: Callable[[Tensor, Tensor], Tensor], explanation: Explanation) -> float:
    """Compare a map with its reference, after the smaller one is resized to the larger one."""
    assert explanation.reference is not None
    maps = explanation.saliency, explanation.reference
    height, width = max((a.shape[1], a.shape[2]) for a in maps)
    first, second = (resize_map(a, (height, width)) for a in maps)
    return measure(first, second).item()


_FACTS: dict[str, Any] = {"category": "agreement", "needs": ("reference",)}
_CORRELATION: dict[str, Any] = {**_FACTS, "direction": "higher", "bounds": (-1.0, 1.0)}
_OVERLAP: dict[str, Any] = {**_FACTS, "direction": "higher"}
metric(
    "pearson",
    title="Correlation",
    measures="correlation of the values with those of a second map",
    **_CORRELATION,
)(partial(_compare, pearson))
metric(
    "spearman",
    title="Rank correlation",
    measures="correlation of the ranks with those of a second map",
    **_CORRELATION,
)(partial(_compare, spearman))
metric(
    "ssim",
    title="Structural similarity",
    measures="structural similarity to a second map",
    source="Wang et al. 2004",
    **_CORRELATION,
)(partial(_compare, ssim))
metric(
    "l1_similarity",
    title="L1 similarity",
    measures="mass in common with a second map, each scaled to a sum of 1",
    **_OVERLAP,
)(partial(_compare, l1_similarity))
metric(
    "kl_divergence",
    title="KL divergence",
    direction="lower",
    measures="Kullback-Leibler divergence from a second map, each scaled to a sum of 1",
    bounds=(0.0, float("inf")),
    **_FACTS,
)(partial(_compare, kl_divergence))
metric(
    "dice",
    title="Dice",
    measures="Dice coefficient of the highest 10 % of the values and those of a second map",
    **_OVERLAP,
)(partial(_compare, dice))
metric(
    "box_iou",
    title="IoU of boxes",
    measures="intersection over union of the boxes around the highest 10 % of the values of two maps",
    **_OVERLAP,
)(partial(_compare, highest_box_iou))
metric(
    "reference_auc",
    title="AUC of a second map",
    measures="probability that a position among the highest 10 % of a second map is more salient than another one",
    **_OVERLAP,
)(partial(_compare, reference_auc))
