"""Agreement of two maps of the same image.

pearson    correlation of the values
spearman   correlation of their ranks, equal values sharing the mean of their ranks
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

from xai_widgets.core.validation import number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.ops.blur import gaussian_window
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.resize import resize_map


@checked_keywords
def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of the values of maps (N, H, W): (N,) in [-1, 1]; NaN for constant maps and NaN."""
    return _correlation(*_check(a, b))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    first, second = (part.flatten(1).double() for part in (a, b))
    # Divide by the largest magnitude first: squares of very small or large values would underflow or overflow.
    first, second = (part / part.abs().amax(1, keepdim=True).clamp(min=1e-300) for part in (first, second))
    first, second = (part - part.mean(1, keepdim=True) for part in (first, second))
    length = first.norm(dim=1) * second.norm(dim=1)
    correlation = ((first * second).sum(1) / length).clamp(-1, 1).float()
    # Compare the extremes: the deviation of a constant map may be rounded to a number other than 0.
    constant = [part.flatten(1).amax(1) == part.flatten(1).amin(1) for part in (a, b)]
    return correlation.masked_fill(constant[0] | constant[1], torch.nan)


@checked_keywords
def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of the ranks of maps (N, H, W): (N,) in [-1, 1]; NaN for constant maps and NaN."""
    a, b = _check(a, b)
    return _correlation(_ranks(a), _ranks(b))


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
    first, second = (part[:, None].double() for part in (a, b))
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
    return local.mean((1, 2, 3)).float()


def _ranks(maps: Tensor) -> Tensor:
    """Return the ranks of the values of each map, equal values sharing their mean rank, (N, H*W, 1) in float64."""
    rows = []
    for row in maps.flatten(1):
        _, index, counts = row.unique(return_inverse=True, return_counts=True)
        rows.append((counts.cumsum(0) - (counts - 1) / 2)[index])
    # Sorting would give a NaN a rank.
    return torch.stack(rows).double().masked_fill(maps.flatten(1).isnan(), torch.nan)[..., None]


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


_FACTS: dict[str, Any] = {
    "category": "agreement",
    "direction": "higher",
    "needs": ("reference",),
    "bounds": (-1.0, 1.0),
}
metric(
    "pearson", title="Correlation", measures="correlation of the values with those of a second map", **_FACTS
)(partial(_compare, pearson))
metric(
    "spearman",
    title="Rank correlation",
    measures="correlation of the ranks with those of a second map",
    **_FACTS,
)(partial(_compare, spearman))
metric(
    "ssim",
    title="Structural similarity",
    measures="structural similarity to a second map",
    source="Wang et al. 2004",
    **_FACTS,
)(partial(_compare, ssim))
