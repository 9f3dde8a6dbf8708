"""Examples from labeled data sets of other libraries, such as those of torchvision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.validation import brief, items
from xai_widgets.data.base import Example
from xai_widgets.data.coco import segmentation_mask
from xai_widgets.data.voc import VOC_CLASSES, VOID
from xai_widgets.errors import unknown_name


class LabeledImages(Sequence[Example]):
    """Examples of a labeled data set, read when they are indexed; see :func:`labeled_images`.

    Attributes
    ----------
    classes : tuple of str
        Names of the class indices; empty for a data set that has none.
    """

    def __init__(self, dataset: Any, classes: Sequence[str] | None) -> None:
        self._dataset = dataset
        self._own = _own_classes(dataset)
        self.classes = tuple(
            self._own.values() if classes is None else items(classes, "classes", what="names")
        )
        self._numbers = {name: number for number, name in enumerate(self.classes)}
        if classes is not None and self._own and not set(self._own.values()) & set(self.classes):
            some = ", ".join(list(self._own.values())[:3])
            raise ValueError(
                f"expected classes with names of the data set, such as {some}, got {brief(classes)}"
            )

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        """Return one example, or a list of those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        try:
            item = self._dataset[number]
        except (OSError, SyntaxError, ValueError) as error:
            files = getattr(self._dataset, "samples", None)
            name = f", the file {Path(files[number][0]).name!r}," if files else ""
            raise ValueError(
                f"expected item {number} of the data set{name} to be readable ({error})"
            ) from error
        if not isinstance(item, tuple | list):
            return Example(item, str(number))
        if len(item) != 2:
            raise TypeError(f"expected images or pairs (image, target) in the data set, got {brief(item)}")
        return self._example(item[0], item[1], str(number))

    def __iter__(self) -> Iterator[Example]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        return f"LabeledImages({len(self)} images, {len(self.classes)} classes)"

    def _example(self, image: Any, target: Any, name: str) -> Example:
        if np.ndim(target) == 0 and np.asarray(target).dtype.kind in "iu":
            return Example(image, name, labels=self._of_label(int(target)))
        size = (image.height, image.width) if hasattr(image, "height") else np.asarray(image).shape[:2]
        if isinstance(target, Mapping) and "annotation" in target:
            return Example(image, name, self._of_boxes(target["annotation"], size))
        if isinstance(target, list) and all(isinstance(item, Mapping) for item in target):
            return Example(image, name, self._of_annotations(target, size))
        values = np.asarray(target)
        if values.shape == tuple(size):
            present = [int(value) for value in np.unique(values) if value not in (0, VOID)]
            return Example(image, name, {value - 1: values == value for value in present})
        raise TypeError(
            "expected targets as class numbers, annotations of Pascal VOC or COCO, or palette images, got "
            f"{brief(target)}"
        )

    def _of_label(self, target: int) -> tuple[int, ...]:
        if target not in self._own:
            return (target,)
        known = self._numbers.get(self._own[target])
        return () if known is None else (known,)

    def _of_boxes(self, annotation: Mapping[str, Any], size: tuple[int, ...]) -> dict[int, NDArray[np.bool_]]:
        """Return the union of the boxes of each class; a class whose boxes are all marked as difficult is left out."""
        masks: dict[int, NDArray[np.bool_]] = {}
        easy: set[int] = set()
        for item in annotation.get("object", ()):
            name = str(item["name"])
            if name not in self._numbers:
                raise ValueError(unknown_name("class of the annotations", name, self._numbers))
            number = self._numbers[name]
            # Corners from 1, inclusive.
            left, top, right, bottom = (
                round(float(item["bndbox"][edge])) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            mask = masks.setdefault(number, np.zeros(size, bool))
            mask[max(0, top - 1) : bottom, max(0, left - 1) : right] = True
            if str(item.get("difficult", "0")) != "1":
                easy.add(number)
        return {number: mask for number, mask in masks.items() if number in easy}

    def _of_annotations(self, target: list[Any], size: tuple[int, ...]) -> dict[int, NDArray[np.bool_]]:
        masks: dict[int, NDArray[np.bool_]] = {}
        for item in target:
            known = self._of_label(int(item["category_id"]))
            mask = segmentation_mask(item["segmentation"], int(size[0]), int(size[1]))
            if known and mask.any():
                masks[known[0]] = masks.get(known[0], np.zeros(size, bool)) | mask
        return masks


def labeled_images(dataset: Any, *, classes: Sequence[str] | None = None) -> LabeledImages:
    """Return the examples of a labeled data set, for evaluations.

    Parameters
    ----------
    dataset
        A sequence of images or of (image, target), without transforms: ``ImageFolder``, ``ImageNet``,
        ``VOCDetection``, ``VOCSegmentation`` or ``CocoDetection`` of torchvision, or any other whose targets are of
        these kinds:

        * a class number, which becomes the label of the image;
        * the annotation of a VOC image, whose boxes become the masks of its classes. A class whose boxes in an image
          are all marked as difficult is left out, as in the pointing game;
        * a list of annotations of COCO, whose segmentations become the masks;
        * a palette image of VOC, with class numbers from 1.
    classes : sequence of str, optional
        Names of the classes of the network, ``model.labels``, among which those of the data set are found; images and
        masks of other classes have no label. Default: the classes of the data set, in its order.

    Returns
    -------
    LabeledImages

    Raises
    ------
    ValueError
        If no class of the data set is among ``classes``.

    Examples
    --------
    >>> from PIL import Image
    >>> pairs = [(Image.new("RGB", (8, 8)), 3)]
    >>> labeled_images(pairs)[0].labels
    (3,)
    """
    return LabeledImages(dataset, classes)


def _own_classes(dataset: Any) -> dict[int, str]:
    """Return the names of the targets of a data set by their numbers."""
    coco = getattr(dataset, "coco", None)
    if coco is not None:
        return {int(number): str(item["name"]) for number, item in sorted(coco.cats.items())}
    names = getattr(dataset, "classes", None)
    if names:
        # ImageNet has several names for a class.
        return {number: name if isinstance(name, str) else name[0] for number, name in enumerate(names)}
    return dict(enumerate(VOC_CLASSES)) if type(dataset).__name__.startswith("VOC") else {}
