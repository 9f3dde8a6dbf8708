"""The pointing game: whether the highest place of a map lies on an object of the class it was made for.

Zhang et al. 2016; Fong's thesis, section 4.2 and table 2 of chapter 3. There is one map for each class that is present
in an image. It is a hit if its maximum is no farther than a tolerance, 15 pixels, from the class:

    accuracy of a class = hits / (hits + misses),   accuracy = mean over the classes

"Difficult" are the maps for classes that cover less than a quarter of an image with at least two classes. A class all
of whose boxes in an image are marked as difficult (which is another thing, done by those who drew the boxes) does not
count there. A map with NaN is a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.validation import brief, instance, integer, integers, items, number, numbers, tensor
from xai_widgets.data.scenes import Scene
from xai_widgets.ops.resize import resize_map

#: Share of the image below which a class is "difficult".
SMALL = 0.25


@dataclass(frozen=True)
class PointingTask:
    """What is to be pointed at: one row for each class that is present in an image.

    Attributes
    ----------
    image : Tensor, (R,)
        Which image each row is about, int64.
    target : Tensor, (R,)
        The class, int64.
    masks : Tensor, (R, H, W)
        Where the class is, bool.
    difficult : Tensor, (R,)
        Whether the row is in the difficult subset, bool.
    """

    image: Tensor
    target: Tensor
    masks: Tensor
    difficult: Tensor

    def __len__(self) -> int:
        return len(self.target)

    @classmethod
    def of(cls, images: Sequence[dict[int, Tensor]]) -> PointingTask:
        """The rows of images given as the masks (H, W) of the classes that are present in each.

        Parameters
        ----------
        images : sequence of dict
            From class index to mask, of one size. Rows come in this order; a class that no pixel shows is left out.

        Raises
        ------
        ValueError
            If no class is present, or the masks differ in size.
        """
        shown = [_present(classes) for classes in items(images, "images", what="images")]
        rows = [(n, k, mask) for n, classes in enumerate(shown) for k, mask in classes.items()]
        sizes = sorted({tuple(mask.shape) for _, _, mask in rows})
        if len(sizes) != 1 or len(sizes[0]) != 2:
            given = " and ".join(map(str, sizes[:2])) or "none that shows a class"
            raise ValueError(f"expected masks (H, W) of one size, got {given}")
        masks = torch.stack([mask for _, _, mask in rows])
        small = masks.float().mean((1, 2)) < SMALL
        company = torch.tensor([len(shown[n]) > 1 for n, _, _ in rows], device=masks.device)
        return cls(
            torch.tensor([n for n, _, _ in rows]),
            torch.tensor([k for _, k, _ in rows]),
            masks,
            small & company,
        )

    @classmethod
    def from_scenes(cls, scenes: Sequence[Scene]) -> PointingTask:
        """The rows of generated scenes: every class, where its object is seen."""
        scenes = [
            instance(each, "each of the scenes", Scene) for each in items(scenes, "scenes", what="scenes")
        ]
        return cls.of(
            [{k: torch.from_numpy(np.asarray(each.category == k)) for k in each.labels} for each in scenes]
        )

    @classmethod
    def from_boxes(
        cls,
        images: Sequence[Sequence[tuple[int, tuple[float, float, float, float], bool]]],
        size: tuple[int, int],
    ) -> PointingTask:
        """The rows of images with boxes, as those of Pascal VOC.

        Parameters
        ----------
        images : sequence of sequence of (class index, (left, top, right, bottom), difficult)
            The boxes of each image, in pixels, the right and the lower edge being outside.
        size : (int, int)
            Height and width of the images.

        Returns
        -------
        PointingTask
            A class is where any of its boxes is. One all of whose boxes in an image are marked as difficult has no
            row there, but makes up the company of another one.
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
        whole = cls.of(present)
        rows = zip(whole.image.tolist(), whole.target.tolist(), strict=True)
        kept = torch.tensor([row not in skipped for row in rows])
        return cls(whole.image[kept], whole.target[kept], whole.masks[kept], whole.difficult[kept])


@dataclass(frozen=True)
class Pointing:
    """Hits and misses.

    Attributes
    ----------
    task : PointingTask
        What was pointed at.
    hits : Tensor, (R,)
        bool.
    places : Tensor, (R, 2)
        Row and column of each maximum, in pixels; -1 for maps with NaN.
    """

    task: PointingTask
    hits: Tensor
    places: Tensor

    def per_class(self, *, difficult: bool = False) -> dict[int, float]:
        """Share of hits of each class that has rows, among all or among the difficult ones."""
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
        """The same over the difficult subset; NaN if it is empty."""
        return _mean(self.per_class(difficult=True))


def pointing_game(
    saliency: Tensor, task: PointingTask, *, tolerance: float = 15.0, reference: int | None = None
) -> Pointing:
    """Play the pointing game.

    Parameters
    ----------
    saliency : Tensor, (R, h, w)
        One map per row of the task, higher being more important; brought to its size bilinearly. Of equal maxima the
        first counts, row by row.
    task : PointingTask
        What is to be pointed at.
    tolerance : float, default 15.0
        How far from the class a maximum may lie, in pixels, at least 0.
    reference : int, optional
        The short side of the images that the tolerance is meant for: 224 makes it 15 / 224 of the short side.
        Default: the protocol's, 15 pixels whatever the size.

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
    places = torch.stack([best // width, best % width], 1)
    rows, columns = (torch.arange(n, device=task.masks.device) for n in (height, width))
    down = (rows - places[:, :1]).square()[:, :, None]
    right = (columns - places[:, 1:]).square()[:, None, :]
    near = down + right <= reach**2
    broken = broken.to(task.masks.device)
    hits = (near & task.masks).flatten(1).any(1) & ~broken
    return Pointing(task, hits, places.masked_fill(broken[:, None], -1))


def _present(classes: object) -> dict[int, Tensor]:
    """The masks, as booleans, of the classes that at least one pixel shows."""
    given = instance(classes, "each of the images", dict)
    masks = {
        integer(k, "a class index", low=0): tensor(mask, "a mask", ("H", "W")).bool()
        for k, mask in given.items()
    }
    return {k: mask for k, mask in masks.items() if mask.any()}


def _boxes(image: object) -> list[tuple[int, list[float], bool]]:
    """The boxes of one image: class index, the four edges, and whether it is difficult."""
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
