"""Boxes around the salient part of a map: weak localization, and the smallest box that suppresses the class.

Fong and Vedaldi 2017; sections 5.3 and 5.6 of chapter 3 of Fong 2020. With s the map scaled to [0, 1], the salient part
is, for a threshold a,

    value     s >= a                                                                 a in 0, 0.05, ..., 0.95
    energy    the fewest pixels, the most salient first, with a share a of sum s     a in 0, 0.05, ..., 0.95
    mean      s >= a * mean(s)                                                       a in 0, 0.5, ..., 10

and its box the tightest one around it. A box localizes the object if its intersection over union with the box of the
object is at least 0.5; the error is the share of the images in which it does not. The threshold is chosen on held-out
images (:func:`choose_threshold`).

The smallest box that suppresses the class is searched among the boxes for s >= h, h in 0, 0.1, ..., 1. The image is
blurred inside the box; with p, p_0 and p_b the probabilities for it, the image and the blurred image,

    p' = (p - p_0) / (p_0 - p_b) <= -suppression                                     footnote 4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import double
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, number, numbers, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.changed_images import normalized_change
from xai_widgets.ops.boxes import box_iou, tight_boxes
from xai_widgets.ops.fill import fill_image
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.resize import resize_map

Threshold = Literal["value", "energy", "mean"]

#: The thresholds of each kind.
THRESHOLDS: dict[Threshold, tuple[float, ...]] = {
    "value": tuple(k / 20 for k in range(20)),
    "energy": tuple(k / 20 for k in range(20)),
    "mean": tuple(k / 2 for k in range(21)),
}
#: Intersection over union from which a box localizes an object.
ENOUGH = 0.5
#: Heights of a map for which boxes are tried.
HEIGHTS = tuple(k / 10 for k in range(11))
#: Suppressions of figure 8.
SUPPRESSIONS = (0.8, 0.9, 0.95, 0.99)


@checked_keywords
def salient_part(saliency: Tensor, threshold: float, *, kind: Threshold = "value") -> Tensor:
    """Return the salient part of maps.

    Parameters
    ----------
    saliency : Tensor, (N, H, W)
        Maps, each scaled to [0, 1] first; a constant map becomes 0.
    threshold : float
        The threshold a, at least 0.
    kind : {"value", "energy", "mean"}, default "value"
        What the threshold is compared with.

    Returns
    -------
    Tensor of bool, (N, H, W)
        Empty for maps with a NaN.
    """
    maps = unit_range(tensor(saliency, "saliency", ("N", "H", "W")).float())
    threshold = number(threshold, "threshold", low=0)
    choice(kind, "kind", get_args(Threshold))
    if kind == "value":
        return maps >= threshold
    if kind == "mean":
        return maps >= threshold * maps.mean((1, 2), keepdim=True)
    values, order = double(maps.flatten(1)).sort(dim=1, descending=True, stable=True)
    before = values.cumsum(1) - values
    # The first pixel counts for every threshold.
    chosen = (before < threshold * values.sum(1, keepdim=True)) | (torch.arange(order.shape[1]) == 0).to(
        order.device
    )
    part = torch.zeros_like(chosen).scatter_(1, order, chosen & ~values.isnan())
    return part.view_as(maps).to(maps.device)


@checked_keywords
def localization_iou(
    saliency: Tensor, masks: Tensor, threshold: float, *, kind: Threshold = "value"
) -> Tensor:
    """Return the intersection over union of the box around the salient part and the box of the object.

    Parameters
    ----------
    saliency : Tensor, (N, h, w)
        Maps, resized to the masks.
    masks : Tensor of bool, (N, H, W)
        The pixels of the objects; their boxes are compared.
    threshold, kind
        See :func:`salient_part`.

    Returns
    -------
    Tensor, (N,)
        In [0, 1].
    """
    saliency = tensor(saliency, "saliency", ("N", "h", "w"))
    masks = tensor(masks, "masks", (len(saliency), "H", "W")).bool()
    maps = resize_map(saliency, (masks.shape[1], masks.shape[2])).to(masks.device)
    return box_iou(tight_boxes(salient_part(maps, threshold, kind=kind)), tight_boxes(masks))


@dataclass(frozen=True)
class ThresholdChoice:
    """The threshold with the smallest localization error on held-out images.

    Attributes
    ----------
    kind : {"value", "energy", "mean"}
    threshold : float
        The first of the best ones.
    error : float
        Share of the images that it does not localize, in [0, 1].
    errors : dict of float to float
        The error of every threshold.
    """

    kind: Threshold
    threshold: float
    error: float
    errors: dict[float, float]

    def __repr__(self) -> str:
        return f"ThresholdChoice({self.kind}, {self.threshold:g}, error: {self.error:.0%})"


@checked_keywords
def choose_threshold(saliency: Tensor, masks: Tensor, *, kind: Threshold = "value") -> ThresholdChoice:
    """Choose the threshold whose boxes localize most objects, on images that are not those of the evaluation.

    Parameters
    ----------
    saliency, masks
        Held-out maps and objects; see :func:`localization_iou`.
    kind : {"value", "energy", "mean"}, default "value"
        The kind of the threshold.

    Returns
    -------
    ThresholdChoice
    """
    choice(kind, "kind", get_args(Threshold))
    errors = {
        a: (localization_iou(saliency, masks, a, kind=kind) < ENOUGH).float().mean().item()
        for a in THRESHOLDS[kind]
    }
    best = min(errors, key=lambda a: errors[a])
    return ThresholdChoice(kind, best, errors[best], errors)


@dataclass(frozen=True, repr=False)
class SuppressingBoxes(ShortRepr):
    """The boxes of one map for each height, and the smallest of them that suppresses the class.

    Attributes
    ----------
    heights : Tensor, (T,)
        Heights h of the map, in [0, 1].
    boxes : Tensor, (N, T, 4)
        left, top, right and bottom in pixels of the box around s >= h.
    areas : Tensor, (N, T)
        Share of the image in the box.
    suppression : Tensor, (N, T)
        -p': the share of the difference between the image and the blurred image that blurring the box removes.
    """

    heights: Tensor
    boxes: Tensor
    areas: Tensor
    suppression: Tensor

    def smallest(self, suppression: float = 0.9) -> Tensor:
        """Return the share of the image in the smallest box that suppresses so much, (N,); 1 if none does."""
        enough = self.suppression >= number(suppression, "suppression", low=0)
        return torch.where(enough, self.areas, 1.0).amin(1)


@without_inference_mode
def suppressing_boxes(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    heights: Sequence[float] = HEIGHTS,
    sigma: float | None = None,
    batch_size: int | None = None,
) -> SuppressingBoxes:
    """Blur the boxes around the salient parts of maps and record how much of the score they remove.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    saliency : Tensor, (N, h, w)
        Higher is more important; resized to the images and scaled to [0, 1].
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    heights : sequence of float, default (0, 0.1, ..., 1)
        Heights at which the map is cut, in [0, 1].
    sigma : float, optional
        Standard deviation of the blur in pixels. Default: 10 / 224 of the short side.
    batch_size : int, optional
        Images per pass. Default: as many as the memory allows.

    Returns
    -------
    SuppressingBoxes
        NaN for an image whose probability does not fall when it is blurred as a whole, which suppresses nothing.
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w"), finite=True).to(x.device)
    cuts = numbers(heights, "heights", low=0, high=1)
    size = (x.shape[2], x.shape[3])
    maps = resize_map(saliency, size)
    blurred = fill_image("blur", x, sigma=sigma)
    boxes = torch.stack([tight_boxes(salient_part(maps, cut)) for cut in cuts], 1)
    rows, columns = (torch.arange(n, device=x.device) for n in size)
    left, top, right, bottom = boxes.unbind(2)
    down = (rows >= top[..., None]) & (rows < bottom[..., None])
    across = (columns >= left[..., None]) & (columns < right[..., None])
    inside = down[..., :, None] & across[..., None, :]
    changed = torch.where(inside[:, :, None], blurred[:, None], x[:, None])
    change = normalized_change(model, x, blurred, changed, target, batch_size)
    return SuppressingBoxes(torch.tensor(cuts), boxes.cpu(), inside.float().mean((2, 3)).cpu(), -change)


@metric(
    "localization",
    title="Localization",
    category="localization",
    direction="higher",
    measures="intersection over union of the box around the salient part of the map and the box of the object",
    source="Fong and Vedaldi 2017",
    needs=("mask",),
)
def localization_score(
    explanation: Explanation, *, kind: Threshold = "mean", threshold: float = 1.0
) -> float:
    """Return the intersection over union for one threshold, which should be chosen by :func:`choose_threshold`."""
    assert explanation.mask is not None
    return localization_iou(explanation.saliency, explanation.mask[None], threshold, kind=kind).item()


@metric(
    "minimal_box",
    title="Smallest suppressing box",
    category="faithfulness",
    direction="lower",
    measures="share of the image in the smallest box around a salient part whose blurring removes most of the score",
    source="Fong and Vedaldi 2017",
)
def minimal_box(explanation: Explanation, *, suppression: float = 0.9) -> float:
    """Return the share of the image in the smallest box; 1 if no box suppresses so much."""
    boxes = suppressing_boxes(explanation.model, explanation.x, explanation.saliency, explanation.target)
    return boxes.smallest(suppression).item()
