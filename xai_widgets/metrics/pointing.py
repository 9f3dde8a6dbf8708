"""The pointing game: whether the maximum of a map lies on an object of the class that it explains.

Zhang et al. 2016; Fong 2020, section 4.2 and table 2 of chapter 3. There is one map for each class that is present
in an image. It is a hit if its maximum is at most a tolerance, 15 pixels, away from the class:

    accuracy of a class = hits / (hits + misses),   accuracy = mean over the classes

The difficult subset holds the maps of classes that cover less than a quarter of an image with at least two classes.
Annotators mark boxes as difficult, too: a class whose boxes in an image are all marked is left out. A map with NaN is a
miss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.validation import brief, instance, integer, integers, items, number, numbers, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.ops.resize import resize_map

#: A class that covers a smaller fraction of its image is in the difficult subset.
SMALL = 0.25
#: The tolerance of the protocol is meant for images with this short side, in pixels.
REFERENCE = 224


@dataclass(frozen=True)
class PointingTask:
    """The objects to point at: one row for each class that is present in an image.

    Attributes
    ----------
    image : Tensor, (R,)
        Index of the image of each row, int64.
    target : Tensor, (R,)
        The class, int64.
    masks : Tensor, (R, H, W)
        The pixels of the class, bool.
    difficult : Tensor, (R,)
        Whether the row is in the difficult subset, bool.
    """

    image: Tensor
    target: Tensor
    masks: Tensor
    difficult: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def __repr__(self) -> str:
        rows, height, width = self.masks.shape
        classes = len(set(self.target.tolist()))
        return f"PointingTask(rows: {rows}, classes: {classes}, size: {height} x {width})"

    @classmethod
    def from_masks(cls, images: Sequence[Mapping[int, Tensor | NDArray[Any]]]) -> PointingTask:
        """Return the rows of images given as the masks (H, W) of the classes that are present in each.

        Parameters
        ----------
        images : sequence of dict
            Class index to mask, of one size. Rows keep this order; a class without a pixel is left out.

        Raises
        ------
        ValueError
            If no class is present, or the masks differ in size.
        """
        shown = [_present(classes) for classes in items(images, "images", what="images")]
        rows = [(n, k, mask) for n, classes in enumerate(shown) for k, mask in classes.items()]
        sizes = sorted({tuple(mask.shape) for _, _, mask in rows})
        if len(sizes) != 1 or len(sizes[0]) != 2:
            given = " and ".join(map(str, sizes[:2])) or "no mask with a pixel"
            raise ValueError(f"expected masks (H, W) of one size, got {given}")
        masks = torch.stack([mask for _, _, mask in rows])
        small = masks.float().mean((1, 2)) < SMALL
        several = torch.tensor([len(shown[n]) > 1 for n, _, _ in rows], device=masks.device)
        return cls(
            torch.tensor([n for n, _, _ in rows]),
            torch.tensor([k for _, k, _ in rows]),
            masks,
            small & several,
        )

    @classmethod
    def from_boxes(
        cls,
        images: Sequence[Sequence[tuple[int, tuple[float, float, float, float], bool]]],
        size: tuple[int, int],
    ) -> PointingTask:
        """Return the rows of images with boxes, as in Pascal VOC.

        Parameters
        ----------
        images : sequence of sequence of (class index, (left, top, right, bottom), difficult)
            The boxes of each image, in pixels; the right and the bottom edge are exclusive.
        size : (int, int)
            Height and width of the images.

        Returns
        -------
        PointingTask
            The mask of a class is the union of its boxes. A class whose boxes in an image are all marked as difficult
            has no row there, but counts as another class that is present.
        """
        present: list[dict[int, Tensor]] = []
        skipped: set[tuple[int, int]] = set()
        extent = integers(size, "size", length=2, low=1, high=2**16)
        for n, each in enumerate(items(images, "images", what="images")):
            boxes = _boxes(each)
            classes: dict[int, Tensor] = {}
            for k, (left, top, right, bottom), _ in boxes:
                mask = classes.setdefault(k, torch.zeros(extent, dtype=torch.bool))
                mask[
                    max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))
                ] = True
            easy = {k for k, _, difficult in boxes if not difficult}
            skipped |= {(n, k) for k in classes if k not in easy}
            present.append(classes)
        whole = cls.from_masks(present)
        rows = zip(whole.image.tolist(), whole.target.tolist(), strict=True)
        kept = torch.tensor([row not in skipped for row in rows])
        return cls(whole.image[kept], whole.target[kept], whole.masks[kept], whole.difficult[kept])


@dataclass(frozen=True)
class Pointing:
    """Result of the pointing game.

    Attributes
    ----------
    task : PointingTask
        The objects that were pointed at.
    hits : Tensor, (R,)
        Whether each row is a hit, bool.
    positions : Tensor, (R, 2)
        Row and column of each maximum, in pixels; -1 for maps with NaN.
    """

    task: PointingTask
    hits: Tensor
    positions: Tensor

    def __repr__(self) -> str:
        return (
            f"Pointing(accuracy: {self.accuracy:.0%}, difficult: {self.difficult_accuracy:.0%}, "
            f"rows: {len(self.task)})"
        )

    def per_class(self, *, difficult: bool = False) -> dict[int, float]:
        """Return the fraction of hits of each class that has rows, among all or among the difficult ones."""
        counted = self.task.difficult if difficult else torch.ones_like(self.task.difficult)
        counted, target, hits = counted.cpu(), self.task.target.cpu(), self.hits.cpu()
        return {
            k: hits[counted & (target == k)].float().mean().item()
            for k in sorted(set(target[counted].tolist()))
        }

    @property
    def accuracy(self) -> float:
        """Mean over the classes, in [0, 1]."""
        return _mean(self.per_class())

    @property
    def difficult_accuracy(self) -> float:
        """Mean over the classes of the difficult subset, in [0, 1]; NaN if it is empty."""
        return _mean(self.per_class(difficult=True))


@checked_keywords
def pointing_game(
    saliency: Tensor, task: PointingTask, *, tolerance: float = 15.0, reference: int | None = None
) -> Pointing:
    """Test whether the maximum of each map lies on its class.

    Parameters
    ----------
    saliency : Tensor, (R, h, w)
        One map for each row of the task; higher is more important. Maps are resized to the masks, bilinearly. The
        first of equal maxima counts, row by row.
    task : PointingTask
        The objects to point at.
    tolerance : float, default 15.0
        Largest distance of a maximum from the class, in pixels, at least 0.
    reference : int, optional
        The short side of the images that the tolerance is meant for: 224 makes it 15 / 224 of the short side.
        Default: 15 pixels for every size, as in the protocol.

    Returns
    -------
    Pointing

    Raises
    ------
    ValueError
        If there is not one map per row, or a number is out of range.
    """
    task = instance(task, "task", PointingTask)
    saliency = tensor(saliency, "saliency", ("R", "h", "w"))
    if len(saliency) != len(task):
        raise ValueError(f"expected one saliency map for each of {len(task)} rows, got {len(saliency)}")
    tolerance = number(tolerance, "tolerance", low=0, high=1e9, hint="in pixels")
    reference = None if reference is None else integer(reference, "reference", low=1, hint="in pixels")
    height, width = task.masks.shape[1:]
    reach = tolerance if reference is None else tolerance * min(height, width) / reference
    broken = saliency.isnan().flatten(1).any(1)
    whole = resize_map(saliency, (height, width))
    best = whole.flatten(1).argmax(1).to(task.masks.device)
    positions = torch.stack([best // width, best % width], 1)
    rows, columns = (torch.arange(n, device=task.masks.device) for n in (height, width))
    down = (rows - positions[:, :1]).square()[:, :, None]
    right = (columns - positions[:, 1:]).square()[:, None, :]
    near = down + right <= reach**2
    broken = broken.to(task.masks.device)
    hits = (near & task.masks).flatten(1).any(1) & ~broken
    return Pointing(task, hits, positions.masked_fill(broken[:, None], -1))


@metric(
    "pointing",
    title="Pointing game",
    category="localization",
    direction="higher",
    measures="share of the maps whose maximum lies on the object, mean over the classes",
    source="Zhang et al. 2016",
    needs=("mask",),
    average="classes",
    binary=True,
)
def pointing_hit(explanation: Explanation) -> float:
    """Return 1 if the maximum of the map lies on the object, else 0; NaN for a mask without a pixel."""
    mask = explanation.mask
    if mask is None or not mask.any():
        return math.nan
    task = PointingTask.from_masks([{explanation.target: mask}])
    return pointing_game(explanation.saliency, task, reference=REFERENCE).hits.float().item()


@metric(
    "pointing_difficult",
    title="Pointing game, difficult",
    category="localization",
    direction="higher",
    measures="the same for small objects in images with several classes alone",
    source="Zhang et al. 2016",
    needs=("mask",),
    average="classes",
    binary=True,
)
def pointing_hit_difficult(explanation: Explanation) -> float:
    """Return the score of the pointing game; NaN for an explanation outside the difficult subset."""
    return pointing_hit(explanation) if explanation.difficult else math.nan


def _present(classes: object) -> dict[int, Tensor]:
    """Return the masks, as booleans, of the classes with at least one pixel."""
    given = instance(classes, "each of the images", dict)
    masks = {
        integer(k, "a class index", low=0): tensor(mask, "a mask", ("H", "W")).bool()
        for k, mask in given.items()
    }
    return {k: mask for k, mask in masks.items() if mask.any()}


def _boxes(image: object) -> list[tuple[int, list[float], bool]]:
    """Return the boxes of one image: class index, the four edges, and whether each is difficult."""
    boxes = []
    for box in image if isinstance(image, list | tuple) else items(image, "boxes", what="boxes"):
        if not isinstance(box, list | tuple) or len(box) != 3:
            raise TypeError(
                f"expected a box as (class index, (left, top, right, bottom), difficult), got {brief(box)}"
            )
        index, edges, difficult = box
        boxes.append(
            (
                integer(index, "a class index", low=0),
                numbers(edges, "the edges of a box", length=4),
                bool(difficult),
            )
        )
    return boxes


def _mean(shares: dict[int, float]) -> float:
    return float(np.mean(list(shares.values()))) if shares else float("nan")
