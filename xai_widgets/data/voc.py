"""PASCAL VOC: segmented objects of 20 classes, and the parts of PASCAL-Part."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.optional import optional
from xai_widgets.core.validation import boolean, items
from xai_widgets.data.base import Concept, ConceptImages, Example
from xai_widgets.data.pascal_parts import PART_NAMES, PARTS
from xai_widgets.data.reading import check_same_size, data_folder, pixels, split_choice

#: The classes of PASCAL VOC, from label 1 on; label 0 is the background.
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
#: Label of the pixels whose class is not known, such as the outlines.
VOID = 255

_LISTS = "ImageSets/Segmentation"


class Voc(ConceptImages):
    """A data set in the format of PASCAL VOC; see :func:`voc`."""

    def __init__(self, folder: Path, split: str, parts: bool, classes: Sequence[str]) -> None:
        self.folder, self.parts = folder, parts
        split_choice(split, [file.stem for file in (folder / _LISTS).glob("*.txt")], folder / _LISTS)
        self._names = (folder / _LISTS / f"{split}.txt").read_text(encoding="utf-8").split()
        if not self._names:
            raise ValueError(
                f"expected a name of an image in each line of {str(folder / _LISTS / f'{split}.txt')!r}, got none"
            )
        self._classes = len(classes)
        concepts = [Concept(name, "object") for name in classes]
        self._parts: dict[tuple[str, str], int] = {}
        if parts:
            for name in classes:
                for code in PARTS.get(name, ()):
                    self._parts[name, code] = len(concepts)
                    concepts.append(Concept(f"{name} {PART_NAMES.get(code, code)}", "part"))
        self.concepts = tuple(concepts)

    def __len__(self) -> int:
        return len(self._names)

    def _read(self, index: int) -> Example:
        name = self._names[index]
        image = pixels(self.folder / "JPEGImages" / f"{name}.jpg")
        path = self.folder / "SegmentationClass" / f"{name}.png"
        values = pixels(path, None)
        if values.ndim != 2:
            raise ValueError(f"expected a palette image with class numbers, got colors in {str(path)!r}")
        check_same_size(image.shape, values.shape, path)
        present = [int(value) for value in np.unique(values) if value not in (0, VOID)]
        if present and present[-1] > self._classes:
            raise ValueError(
                f"expected class numbers from 0 to {self._classes} or {VOID} in {str(path)!r}, got {present[-1]}"
            )
        masks = {value - 1: values == value for value in present}
        if self.parts:
            masks |= self._part_masks(name, image.shape)
        return Example(image, name, masks)

    def _part_masks(self, name: str, size: tuple[int, ...]) -> dict[int, NDArray[np.bool_]]:
        """Return the masks of the parts of an image; parts of one name, of all objects of a class, are joined."""
        path = self.folder / "Annotations_Part" / f"{name}.mat"
        masks: dict[int, NDArray[np.bool_]] = {}
        for kind, code, mask in _parts_of(path):
            if kind not in PARTS or code not in PARTS[kind]:
                raise ValueError(
                    f"expected a class and a part of PASCAL-Part in {str(path)!r}, got {kind!r}, {code!r}"
                )
            check_same_size(size, mask.shape, path)
            index = self._parts.get((kind, code))
            if index is not None and mask.any():
                masks[index] = masks[index] | mask if index in masks else mask
        return masks


def _parts_of(path: Path) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Return class, part and mask of each part in a MATLAB file of PASCAL-Part; the numbers of parts are dropped."""
    loadmat = optional("scipy.io", "the parts of PASCAL-Part").loadmat
    if not path.is_file():
        raise FileNotFoundError(
            f"expected the parts of an image of PASCAL-Part, got {str(path)!r}, which is not a file; "
            "parts=False reads the objects alone"
        )
    found = []
    try:
        anno = loadmat(path, squeeze_me=True, struct_as_record=False)["anno"]
        for item in np.atleast_1d(anno.objects):
            # An object without parts has an empty matrix in place of a structure.
            parts: Any = item.parts if hasattr(item.parts, "part_name") else np.atleast_1d(item.parts)
            for part in np.atleast_1d(parts):
                code = re.sub(r"_\d+$", "", str(part.part_name))
                found.append((str(item.__dict__["class"]), code, np.asarray(part.mask, bool)))
    except (KeyError, AttributeError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            "expected a MATLAB file of PASCAL-Part with anno.objects(i).class and .parts(j).part_name and .mask, "
            f"got {str(path)!r}"
        ) from error
    return found


def voc(
    folder: str | os.PathLike[str],
    split: str = "train",
    *,
    parts: bool = False,
    classes: Sequence[str] = VOC_CLASSES,
) -> Voc:
    """Return a data set in the format of the segmentation task of PASCAL VOC (Everingham et al. 2010).

    The names of the images are in ``ImageSets/Segmentation/SPLIT.txt``, the images in ``JPEGImages/NAME.jpg``, and the
    class numbers of their pixels in the palette images ``SegmentationClass/NAME.png``. The number 255 (void), for
    outlines and objects that are too small, is not a concept: such a pixel is in no mask.

    Parts are read from the MATLAB files ``Annotations_Part/NAME.mat`` of PASCAL-Part (Chen et al. 2014). Numbers of
    parts are dropped (``wheel_2`` is a wheel), left and right stay apart. Its concepts are called by class and part, as
    in "cat left ear".

    Parameters
    ----------
    folder : path
        Folder such as ``VOCdevkit/VOC2012``.
    split : str, default "train"
        Name of a file in ``ImageSets/Segmentation``, such as "train", "val" or "trainval".
    parts : bool, default False
        Whether to read the parts, too; they need SciPy.
    classes : sequence of str, optional
        Names of the numbers from 1 on. Default: the 20 classes of PASCAL VOC.

    Returns
    -------
    Voc
        A sequence of :class:`Example`, read when indexed.

    Raises
    ------
    FileNotFoundError
        If a file is missing, with its name.
    ValueError
        For an unknown split, or a file whose content does not fit.
    """
    kind = "PASCAL VOC, such as VOCdevkit/VOC2012"
    holds = (
        _LISTS,
        "JPEGImages",
        "SegmentationClass",
        *(["Annotations_Part"] if boolean(parts, "parts") else []),
    )
    return Voc(data_folder(folder, holds, kind), split, parts, items(classes, "classes", what="names"))
