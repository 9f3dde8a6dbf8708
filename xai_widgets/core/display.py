"""Images as they are displayed: what the network sees of them, in their own resolution."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xai_widgets.core.images import open_image, to_images
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import brief

#: Longest side of an image on a page, and of each of several images, in pixels.
LONGEST, LONGEST_OF_SEVERAL = 1024, 512
#: EXIF tag whose values from 5 on exchange height and width.
ORIENTATION = 0x0112


def display_images(
    model: ImageModel, images: Any, *, longest: int | None = None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the part of each image that the network sees, in the resolution of the images as far as possible.

    Tensors are not resized for a network, and not here.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, as for ``model.images``.
    longest : int, optional
        Longest side of the results, which have one size for all images: that of the image of the highest resolution.
        Default: 1024 pixels, 512 for several images.

    Returns
    -------
    ndarray, (N, h, w, 3)
        uint8; at least the size of the network's input.
    list of str
        How each image was resized, such as "4000 x 3000, short side resized to 256, ..."; "" for one that was not.
    """
    images = list(single_images(images))
    if any(isinstance(image, Tensor) for image in images):
        x = model.images(images)
        return model.to_rgb(x), [""] * len(x)
    if longest is None:
        longest = LONGEST if len(images) == 1 else LONGEST_OF_SEVERAL
    sizes = [_size(image) for image in images]
    finer = max(1.0, *(1 / model.resizing.scale(size) for size in sizes))
    finer = min(finer, max(1.0, longest / max(model.size)))
    resizing = model.resizing.enlarged(finer)
    shown = [
        model.to_rgb(
            to_images(
                image,
                size=resizing.size,
                resize=resizing.resize,
                interpolation=resizing.interpolation,
                channels=model.channels,
            )
        )
        for image in images
    ]
    notes = ["" if size == model.size else f"{size[1]} x {size[0]}, {model.preprocessing}" for size in sizes]
    return np.concatenate(shown), notes


def single_images(images: Any) -> Iterator[Any]:
    """Yield the images of a list or a batch one by one; files are not read."""
    batch = isinstance(images, np.ndarray | Tensor) and images.ndim == 4
    if batch or isinstance(images, list | tuple):
        for image in images:
            yield from single_images(image)
    else:
        yield images


def _size(image: Any) -> tuple[int, int]:
    """Return the height and width of an array, a PIL image or a file, turned upright."""
    if isinstance(image, str | os.PathLike):
        with open_image(Path(image)) as opened:
            return _size(opened)
    if isinstance(image, Image.Image):
        turned = image.getexif().get(ORIENTATION, 1) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)
    shape = np.shape(image)
    if len(shape) < 2:
        raise ValueError(f"expected images with height and width, got {brief(image)}")
    return shape[0], shape[1]
