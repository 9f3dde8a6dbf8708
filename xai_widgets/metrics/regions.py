"""Whether the salient region of a map matters for other perturbations, and how salient named parts are.

Sections 5.2 and 5.4 of chapter 3 of Fong 2020. The map, scaled to [0, 1], is blurred and cut into the regions

    R_a = {s >= 1 - a},    a in 0, 0.05, ..., 0.95

which are replaced by a constant color, noise, and the blurred image. With p the probability for the changed image, p_0
for the image and p_b for the blurred image, p' = (p - p_0) / (p_0 - p_b) is reported: a region that represents what the
network looks at lets p' fall quickly to -1 for each of the three. In terms of a learned mask m, in which 0 is deleted,
s = 1 - m, and R_a = {m <= a}.

The salience of a part of an animal is the mean of the map in a window of 5 x 5 pixels around its key point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, items, number, numbers, tensor
from xai_widgets.errors import checked_keywords, unknown_name
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.changed_images import normalized_change
from xai_widgets.metrics.deletion import CurveFill, curve_fill
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.fill import fill_image
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.resize import resize_map

#: Thresholds of figure 7.
ALPHAS = tuple(k / 20 for k in range(20))
#: The perturbations of figure 7.
REGION_FILLS: tuple[CurveFill, ...] = ("training_mean", "noise", "blur")
#: Blur of a map that is cut, as a share of the short side: 5 pixels at 224.
SMOOTHING = 5 / 224


@dataclass(frozen=True, repr=False)
class RegionCurves(ShortRepr):
    """Normalized probability while growing salient regions are replaced.

    Attributes
    ----------
    alphas : Tensor, (T,)
        Thresholds a.
    fills : tuple of str
        The F replacements.
    areas : Tensor, (N, T)
        Share of the image in each region.
    change : Tensor, (N, F, T)
        p'; 0 is the probability for the image, -1 that for the blurred image. NaN for images whose probability does
        not fall when they are blurred as a whole.
    """

    alphas: Tensor
    fills: tuple[str, ...]
    areas: Tensor
    change: Tensor


@without_inference_mode
def region_curves(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    alphas: Sequence[float] = ALPHAS,
    fills: Sequence[CurveFill] = REGION_FILLS,
    sigma: float | None = None,
    batch_size: int | None = None,
) -> RegionCurves:
    """Replace the salient regions of maps by several fills and record the normalized probability.

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
    alphas : sequence of float, default (0, 0.05, ..., 0.95)
        Thresholds a in [0, 1]; the region grows with a.
    fills : sequence of str, default ("training_mean", "noise", "blur")
        Replacements; see :func:`~xai_widgets.metrics.deletion`. The blur has a standard deviation of 10 / 224 of the
        short side.
    sigma : float, optional
        Blur of the map before it is cut, in pixels. Default: 5 / 224 of the short side.
    batch_size : int, optional
        Images per pass. Default: as many as the memory allows.

    Returns
    -------
    RegionCurves
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w"), finite=True).to(x.device)
    cuts = numbers(alphas, "alphas", low=0, high=1)
    names = items(fills, "fills", what="fills")
    smooth = SMOOTHING * min(x.shape[2:]) if sigma is None else number(sigma, "sigma", low=0)
    maps = resize_map(saliency.float(), (x.shape[2], x.shape[3]))
    maps = unit_range(gaussian_blur(unit_range(maps), smooth))
    regions = torch.stack([maps >= 1 - cut for cut in cuts], 1)
    filled = torch.stack([_fill(model, x, name) for name in names], 1)
    changed = torch.where(regions[:, None, :, None], filled[:, :, None], x[:, None, None]).flatten(1, 2)
    change = normalized_change(model, x, fill_image("blur", x), changed, target, batch_size)
    return RegionCurves(
        torch.tensor(cuts),
        tuple(map(str, names)),
        regions.float().mean((2, 3)).cpu(),
        change.view(len(x), len(names), len(cuts)),
    )


@checked_keywords
def window_means(saliency: Tensor, points: Tensor, *, side: int = 5) -> Tensor:
    """Return the mean of one map in a window around each point.

    Parameters
    ----------
    saliency : Tensor, (H, W)
        A map.
    points : Tensor, (K, 2)
        Row and column of each point, in pixels of the map.
    side : int, default 5
        Side of the windows in pixels, odd. Windows end at the border.

    Returns
    -------
    Tensor, (K,)
    """
    saliency = tensor(saliency, "saliency", ("H", "W"))
    if points.numel() == 0:
        return saliency.new_zeros(0)
    points = tensor(points, "points", ("K", 2))
    reach = integer(side, "side", low=1) // 2
    height, width = saliency.shape
    means = []
    for row, column in points.round().long().tolist():
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f"expected points within a map of {height} x {width}, got ({row}, {column})")
        window = saliency[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        means.append(window.float().mean())
    return torch.stack(means)


@checked_keywords
def part_means(
    saliency: Tensor, parts: Mapping[str, Tensor], size: tuple[int, int], *, side: int = 5
) -> dict[str, float]:
    """Return the mean of a map, scaled to [0, 1], in windows around the points of each part.

    Parameters
    ----------
    saliency : Tensor, (h, w)
        A map.
    parts : mapping of str to Tensor (K, 2)
        Row and column of the points of each part, such as "eye" and "foot", in pixels of the image.
    size : (int, int)
        Height and width of the image, to which the map is resized.
    side : int, default 5
        Side of the windows in pixels.

    Returns
    -------
    dict of str to float
        NaN for a part without a point.
    """
    whole = unit_range(resize_map(tensor(saliency, "saliency", ("h", "w"))[None], size))[0]
    return {name: window_means(whole, points, side=side).mean().item() for name, points in parts.items()}


def _fill(model: ImageModel, x: Tensor, name: CurveFill) -> Tensor:
    """Return a fill of the curves, with the blur of the source."""
    blur = isinstance(name, str) and name == "blur"
    return fill_image("blur", x) if blur else curve_fill(model, x, name)


@metric(
    "part_salience",
    title="Salience of a part",
    category="localization",
    direction="higher",
    measures="mean of the map, scaled to [0, 1], in windows around the points of a part, over that of the whole map",
    source="Fong and Vedaldi 2017",
    needs=("parts",),
    bounds=(0.0, float("inf")),
)
def part_salience(explanation: Explanation, *, part: str | None = None, side: int = 5) -> float:
    """Return the ratio for one part, by default the first one; NaN without a point."""
    parts = explanation.parts
    assert parts is not None
    name = next(iter(parts), "") if part is None else part
    if name not in parts:
        raise ValueError(unknown_name("part", name, parts))
    size = (explanation.x.shape[2], explanation.x.shape[3])
    whole = unit_range(resize_map(explanation.saliency.float(), size))
    inside = part_means(explanation.saliency[0], {name: parts[name]}, size, side=side)[name]
    return inside / whole.mean().item()


@metric(
    "region_change",
    title="Change by the salient region",
    category="faithfulness",
    direction="lower",
    measures="normalized change of the probability while the salient region is replaced, mean over its sizes and over "
    "a constant color, noise and blur; -1 is the loss by blurring the whole image",
    source="Fong and Vedaldi 2017",
    bounds=(-float("inf"), float("inf")),
)
def region_change(explanation: Explanation) -> float:
    """Return the mean of p' over thresholds and replacements."""
    model, x, saliency, target = explanation.model, explanation.x, explanation.saliency, explanation.target
    return region_curves(model, x, saliency, target).change.mean().item()
