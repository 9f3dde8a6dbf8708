"""Images of a class, and the crops of them from which its concepts are found."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite, integer
from xai_widgets.data.base import Example
from xai_widgets.data.reading import SUFFIXES, image_files
from xai_widgets.errors import warn

#: Side of a crop as a share of the short side of the image.
SIDE = 0.4
#: Distance of neighboring crops as a share of their side: the first one where there are few images.
DENSE, SPARSE = 0.25, 0.5


def listed_images(images: Any) -> Any:
    """Return the image files of a folder, or the images of a data set, as a list; other images as they are."""
    if isinstance(images, str | os.PathLike) and Path(images).is_dir():
        folder = Path(images)
        files = image_files(folder)
        if not files:
            raise ValueError(
                f"expected a folder with images, got {folder.name!r} without any; the endings are {' '.join(SUFFIXES)}"
            )
        return files
    if isinstance(images, Sequence) and not isinstance(images, str):
        return [image.image if isinstance(image, Example) else image for image in images]
    return images


def of_class(
    model: ImageModel, source: ImageSource, target: int | None, most: int, batch_size: int
) -> tuple[list[int], int]:
    """Return the indices of the images that are predicted as a class, and the class.

    At most ``most`` evenly spaced ones are returned. Without a class it is the one that is predicted most often. All
    images are returned, with a warning, if none is predicted as the class.
    """
    scores = [
        model(source.batch(begin, begin + batch_size)).float().cpu()
        for begin in range(0, len(source), batch_size)
    ]
    predicted = check_finite(torch.cat(scores), model.name).argmax(1)
    if target is None:
        target = int(predicted.bincount().argmax())
    chosen = (predicted == target).nonzero().flatten().tolist()
    if not chosen:
        chosen = list(range(len(source)))
        images = "the image is not" if len(source) == 1 else f"none of the {len(source)} images is"
        warn(
            f"Expected images that {model.name} predicts as {model.labels[target]}, but {images}: these are concepts "
            "of other images, with their effect on this class."
        )
    if len(chosen) > most:
        chosen = [chosen[round(at)] for at in np.linspace(0, len(chosen) - 1, most)]
    return chosen, target


def crop_side(x: Tensor, side: int | None) -> int:
    """Return the side of a crop in pixels."""
    short = min(x.shape[2:])
    if side is None:
        return max(1, round(SIDE * short))
    return integer(side, "side", low=1, high=short, hint="the short side of the images in pixels")


def crop_counts(size: Sequence[int], side: int, distance: float) -> tuple[int, int]:
    """Return the numbers of rows and columns of crops that are at most ``distance * side`` pixels apart."""
    rows, columns = (1 + math.ceil((extent - side) / max(1, distance * side)) for extent in size)
    return rows, columns


def crop_corners(size: Sequence[int], side: int, counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the tops of the rows and the lefts of the columns of crops, evenly spaced from border to border."""
    tops, lefts = (
        np.linspace(0, extent - side, count).round().astype(int).tolist()
        for extent, count in zip(size, counts, strict=True)
    )
    return tops, lefts


def crop_activations(
    model: ImageModel, x: Tensor, layer: str, side: int, counts: Sequence[int], batch_size: int
) -> Tensor:
    """Return the activations of the crops of an image (1, C, H, W), averaged over the positions: (rows, columns, C)."""
    size = (x.shape[2], x.shape[3])
    tops, lefts = crop_corners(size, side, counts)
    crops = torch.cat([x[..., top : top + side, left : left + side] for top in tops for left in lefts])
    pooled = []
    for part in crops.split(batch_size):
        output = model.activations(resized(part, size), layer)[layer].float()
        pooled.append(model.spatial(layer, output).mean((2, 3)).cpu())
    found = check_finite(torch.cat(pooled), model.name, f"outputs of {layer!r}")
    return found.unflatten(0, (len(tops), len(lefts)))


def resized(crops: Tensor, size: tuple[int, int]) -> Tensor:
    """Return crops (N, C, s, s) in the size of the images."""
    return F.interpolate(crops, size, mode="bilinear", align_corners=False)
