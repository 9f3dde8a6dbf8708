"""Data sets of any kind as sequences of images or examples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from xai_widgets.core.validation import brief
from xai_widgets.data import scenes
from xai_widgets.data.base import Example
from xai_widgets.data.labeled import labeled_images
from xai_widgets.data.reading import image_files
from xai_widgets.errors import warn

_EXPECTED = "expected a sequence of images, a tensor (N, C, H, W) or a folder, got"


class Images(Sequence[Any]):
    """The images of examples, each read when it is needed."""

    def __init__(self, examples: Sequence[Any]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: Any) -> Any:
        example = self._examples[index]
        return example.image if isinstance(example, Example) else example


def as_examples(dataset: Any, labels: Sequence[str] = ()) -> Sequence[Any]:
    """Return a data set as a sequence of images or examples.

    Parameters
    ----------
    dataset : sequence, data set of torch, iterable, array, tensor, str or Path
        Images of any kind, pairs (image, class number), examples or scenes; a data set of torch with a length, whose
        images are read when they are needed (see :func:`~xai_widgets.data.labeled_images`); another iterable, such as a
        generator, which is read into memory; an array (N, H, W, 3) or a tensor (N, C, H, W); or a folder.
    labels : sequence of str, optional
        The classes of the network, among which those of a data set of torch are found by name. Without any of the same
        name, class numbers are those of the network if it has as many classes; otherwise labels are left out, with a
        warning.

    Raises
    ------
    ValueError
        If there is no image.
    TypeError
        For anything else, such as a single image.
    """
    if isinstance(dataset, str | os.PathLike):
        return _images_of(Path(dataset))
    if isinstance(dataset, np.ndarray) and dataset.ndim == 4:
        found: Any = list(dataset)
    elif isinstance(dataset, Tensor | Sequence):
        found = dataset
    elif isinstance(dataset, np.ndarray):
        raise TypeError(f"{_EXPECTED} {brief(dataset)}; [image] for a single one")
    elif type(dataset).__name__ == "DataLoader":
        raise TypeError(
            f"{_EXPECTED} a DataLoader, whose items are batches; pass its data set, loader.dataset"
        )
    elif hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not isinstance(dataset, Mapping):
        found = _labeled(dataset, labels)
    elif isinstance(dataset, Iterable) and not isinstance(dataset, Mapping | Set | bytes):
        found = list(dataset)
    else:
        raise TypeError(f"{_EXPECTED} {brief(dataset)}")
    if not len(found):
        raise ValueError(f"expected at least one image, got none in {brief(dataset)}")
    return [_example(*pair) for pair in enumerate(found)] if isinstance(found, list | tuple) else found


def _images_of(folder: Path) -> Sequence[Any]:
    """Return the image files of a folder."""
    # Unlike that of Path, it is False for a name that is too long.
    if not os.path.isdir(folder):
        file = os.path.isfile(folder)
        got = f"the file {brief(folder.name)}; [path] for a single image" if file else brief(str(folder))
        raise ValueError(f"expected a sequence of images or a folder, got {got}")
    found = image_files(folder)
    if not found:
        inner = [each.name for each in sorted(folder.iterdir()) if each.is_dir() and image_files(each)]
        hint = f"; its folder {inner[0]!r} has some: torchvision.datasets.ImageFolder(...)" if inner else ""
        raise ValueError(f"expected at least one image, got none in the folder {brief(str(folder))}{hint}")
    return found


def _example(number: int, item: Any) -> Any:
    """Return an item of a list, with an example in place of a scene and of a pair (image, class number)."""
    if isinstance(item, scenes.Scene):
        return Example(item.image, item.name, item.masks)
    if isinstance(item, tuple | list) and len(item) == 2 and not isinstance(item, Example):
        label = np.asarray(item[1]) if np.ndim(item[1]) == 0 else None
        if label is not None and label.dtype.kind in "iu":
            return Example(item[0], str(number), labels=(int(label),))
    return item


def _labeled(dataset: Any, labels: Sequence[str]) -> Sequence[Any]:
    """Return the examples of a data set of torch, with the classes of the network."""
    found = labeled_images(dataset)
    if not found.classes or not labels:
        return found
    if set(found.classes) & set(labels):
        return labeled_images(dataset, classes=labels)
    if len(found.classes) == len(labels):
        return found
    some = ", ".join(found.classes[:3])
    warn(
        f"none of the {len(found.classes)} classes of the data set, such as {some}, is among the {len(labels)} of the "
        "network: the predicted classes are explained; targets= chooses others"
    )
    return Images(found)
