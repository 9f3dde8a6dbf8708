"""Broden: images with labels of colors, objects, parts, materials, scenes and textures.

The format is that of network dissection (Bau et al. 2017): ``index.csv`` with a row for each image, ``label.csv`` with
the names of the label numbers, and a folder ``images`` with the images and their label maps.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.validation import choice, items
from xai_widgets.data.base import Concept, ConceptImages, Example
from xai_widgets.data.reading import data_folder, pixels, split_choice, table

#: Columns of ``index.csv`` that are not categories.
_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")


class Broden(ConceptImages):
    """A data set in the format of Broden; see :func:`broden`."""

    def __init__(self, folder: Path, split: str | None, categories: Sequence[str] | None) -> None:
        self.folder = folder
        index, labels = folder / "index.csv", folder / "label.csv"
        rows = table(index, ("image", "split", "sh", "sw"))
        if split is not None:
            split_choice(split, {row["split"] for row in rows}, index)
            rows = [row for row in rows if row["split"] == split]
        found = [name for name in (rows[0] if rows else {}) if name not in _COLUMNS]
        self.categories = list(found if categories is None else items(categories, "categories", what="names"))
        for category in self.categories:
            choice(category, "category", found)
        self.concepts, self._numbers = _concepts(labels, self.categories)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def _read(self, index: int) -> Example:
        row = self._rows[index]
        masks: dict[int, NDArray[np.bool_]] = {}
        labels: list[int] = []
        for category in self.categories:
            for entry in filter(None, row[category].split(";")):
                if entry.isdigit():
                    labels.append(self._index(category, int(entry), self.folder / "index.csv"))
                    continue
                path = self.folder / "images" / entry
                codes = self._codes(path, (int(row["sh"]), int(row["sw"])))
                for code in np.unique(codes[codes > 0]).tolist():
                    concept, mask = self._index(category, code, path), codes == code
                    masks[concept] = masks[concept] | mask if concept in masks else mask
        return Example(
            pixels(self.folder / "images" / row["image"]), row["image"], masks, tuple(dict.fromkeys(labels))
        )

    @staticmethod
    def _codes(path: Path, size: tuple[int, int]) -> NDArray[np.int32]:
        """Return the label number of each pixel, R + 256 G."""
        values = pixels(path).astype(np.int32)
        if values.shape[:2] != size:
            raise ValueError(
                f"expected a label map of {size[0]} x {size[1]} pixels, the columns sh and sw of index.csv, got "
                f"{values.shape[0]} x {values.shape[1]} in {str(path)!r}"
            )
        codes: NDArray[np.int32] = values[..., 0] + 256 * values[..., 1]
        return codes

    def _index(self, category: str, number: int, path: Path) -> int:
        index = self._numbers.get((category, number))
        if index is None:
            raise ValueError(
                f"expected labels of the category {category!r} in label.csv, got number {number} in {str(path)!r}"
            )
        return index


def _concepts(
    path: Path, categories: Sequence[str]
) -> tuple[tuple[Concept, ...], dict[tuple[str, int], int]]:
    """Return the concepts of ``label.csv``, one for each category of a label, and their indices."""
    concepts: list[Concept] = []
    numbers: dict[tuple[str, int], int] = {}
    for row in table(path, ("number", "name", "category")):
        # Such as "material(36);object(3)": the number of images in each category.
        for category in re.findall(r"([^;(]+)(?:\([^)]*\))?", row["category"]):
            if category in categories:
                numbers[category, int(row["number"])] = len(concepts)
                concepts.append(Concept(row["name"], category))
    return tuple(concepts), numbers


def broden(
    folder: str | os.PathLike[str],
    split: str | None = "train",
    *,
    categories: Sequence[str] | None = None,
) -> Broden:
    """Return a data set in the format of Broden (Bau et al. 2017), such as ``broden1_224``.

    ``index.csv`` has the columns `image`, `split`, `ih`, `iw`, `sh`, `sw` and one for each category, whose cell holds
    any number of entries joined by ``;``: the name of a label map, or the number of a label of the whole image. A label
    map is a PNG of `sh` x `sw` pixels with the label number in red + 256 green; where a category has several maps, a
    pixel has the labels of all. ``label.csv`` has the columns `number`, `name` and `category`; a label with several
    categories, such as ``material(36);object(3)``, is one concept for each.

    Parameters
    ----------
    folder : path
        Folder with ``index.csv``, ``label.csv`` and ``images``.
    split : str, optional
        Value of the column `split`, default "train"; None takes all images.
    categories : sequence of str, optional
        Categories to read. Default: all columns of ``index.csv`` after the sizes.

    Returns
    -------
    Broden
        A sequence of :class:`Example`, read when indexed. Masks have the size of the label maps, half that of the
        images in Broden. Labels without pixels are in ``labels``.

    Raises
    ------
    FileNotFoundError
        If a file is missing, with its name.
    ValueError
        For an unknown split or category, a missing column, a label map of another size, or an unknown label.
    """
    path = data_folder(folder, ("index.csv", "label.csv", "images"), "a data set in the format of Broden")
    return Broden(path, split, categories)
