"""COCO: segmented objects, as polygons or as run lengths, in one JSON file.

Two encodings of a mask are decoded here, so that nothing else needs to be installed: polygons in pixels, and run
lengths (RLE) of the mask read column by column, either a list of numbers or a compressed string.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xai_widgets.core.validation import brief, instance
from xai_widgets.data.base import Concept, ConceptImages, Example
from xai_widgets.data.reading import data_folder, pixels


class Coco(ConceptImages):
    """A data set in the format of COCO; see :func:`coco`."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        self.folder = folder
        concepts: list[Concept] = []
        images: dict[int, dict[str, Any]] = {}
        self._annotations: dict[int, list[tuple[int, Any, Path]]] = {}
        for category, path in files.items():
            content = _load(path)
            indices = {
                item["id"]: len(concepts) + number for number, item in enumerate(content["categories"])
            }
            concepts += [Concept(item["name"], category) for item in content["categories"]]
            images |= {item["id"]: item for item in content["images"]}
            for item in content["annotations"]:
                for key, known in (("category_id", indices), ("image_id", images)):
                    if item[key] not in known:
                        raise ValueError(
                            f"expected {key} of each annotation to be the id of an entry of {str(path)!r}, got "
                            f"{brief(item[key])}"
                        )
                entry = indices[item["category_id"]], item["segmentation"], path
                self._annotations.setdefault(item["image_id"], []).append(entry)
        self.concepts, self._images = tuple(concepts), list(images.values())

    def __len__(self) -> int:
        return len(self._images)

    def _read(self, index: int) -> Example:
        item = self._images[index]
        name, path = item["file_name"], self.folder / item["file_name"]
        image = pixels(path)
        height, width = image.shape[:2]
        expected = item.get("height", height), item.get("width", width)
        if (height, width) != expected:
            raise ValueError(
                f"expected an image of {expected[0]} x {expected[1]} pixels, the size in the annotations, got "
                f"{height} x {width} in {str(path)!r}"
            )
        masks: dict[int, NDArray[np.bool_]] = {}
        for concept, segmentation, file in self._annotations.get(item["id"], ()):
            try:
                mask = segmentation_mask(segmentation, height, width)
            except ValueError as error:
                raise ValueError(f"{error}, for the image {name!r} in {str(file)!r}") from error
            if mask.any():
                masks[concept] = masks[concept] | mask if concept in masks else mask
        return Example(image, name, masks)


def _load(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the content of a file of instances, with the keys that are read here."""
    if not path.is_file():
        raise FileNotFoundError(f"expected a JSON file of COCO, got {str(path)!r}, which is not a file")
    keys = {
        "images": {"id", "file_name"},
        "annotations": {"image_id", "category_id", "segmentation"},
        "categories": {"id", "name"},
    }
    try:
        content = json.loads(path.read_bytes())
        complete = all(needed <= item.keys() for key, needed in keys.items() for item in content[key])
    except (ValueError, KeyError, TypeError, AttributeError):
        complete = False
    if not complete:
        described = "; ".join(f"{key} with {', '.join(sorted(needed))}" for key, needed in keys.items())
        raise ValueError(
            f"expected a JSON file of COCO with {described}, got {str(path)!r}, which differs; captions and "
            "keypoints without segmentation are not read"
        )
    return content


def segmentation_mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask of a segmentation of COCO.

    Parameters
    ----------
    segmentation : list of list of float, or dict
        Polygons ``[x0, y0, x1, y1, ...]`` in pixels, whose union is the mask; or the run lengths ``{"size": [height,
        width], "counts": ...}`` with a list of numbers or a compressed string.
    height, width : int
        Size of the image.

    Returns
    -------
    numpy.ndarray, (height, width), bool

    Raises
    ------
    ValueError
        For anything else, or run lengths of another size.
    """
    if isinstance(segmentation, Mapping) and {"size", "counts"} <= segmentation.keys():
        counts = segmentation["counts"]
        lengths = _run_lengths(counts) if isinstance(counts, str | bytes) else counts
        return _decode(lengths, segmentation["size"], height, width)
    if not isinstance(segmentation, list | tuple):
        raise ValueError(f"expected polygons, or run lengths with size and counts, got {brief(segmentation)}")
    mask = np.zeros((height, width), bool)
    for polygon in segmentation:
        try:
            points = np.asarray(polygon, np.float64).reshape(-1, 2)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected a polygon [x0, y0, x1, y1, ...], got {brief(polygon)}") from error
        mask |= polygon_mask(points, height, width)
    return mask


def polygon_mask(points: ArrayLike, height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels whose center is inside a polygon, by the even-odd rule.

    Parameters
    ----------
    points : array, (n, 2)
        x and y of the corners; the pixel in row i and column j covers [j, j + 1] x [i, i + 1].
    height, width : int
        Size of the mask.

    Returns
    -------
    numpy.ndarray, (height, width), bool
    """
    x0, y0 = np.asarray(points, np.float64).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    # The rows whose centers an edge crosses, its upper end included and its lower end not.
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(int)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(int)
    edge = np.repeat(np.arange(len(x0)), last - first)
    before = np.cumsum(last - first) - (last - first)
    row = first[edge] + np.arange(len(edge)) - before[edge]
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]
    crossing = x0[edge] + (row + 0.5 - y0[edge]) * slope
    # Everything to the right of a crossing changes sides.
    changes = np.zeros((height, width + 1), np.int64)
    np.add.at(changes, (row, np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)), 1)
    inside: NDArray[np.bool_] = np.cumsum(changes, axis=1)[:, :width] % 2 == 1
    return inside


def _run_lengths(text: str | bytes) -> list[int]:
    """Return the run lengths of a compressed string.

    A number is written in groups of five bits, the lowest first, in characters from "0" on; bit 6 is set if more
    groups follow, and the highest bit of the last group is the sign. From the fourth number on, a number is the
    difference from the last but one.
    """
    lengths: list[int] = []
    value = shift = 0
    for code in text.encode() if isinstance(text, str) else text:
        group = code - 48
        if not 0 <= group < 64:
            raise ValueError(f"expected compressed run lengths, got the character {chr(code)!r}")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths


def _decode(lengths: Any, size: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask of run lengths, which begin with pixels outside and go down the columns."""
    if list(size) != [height, width]:
        raise ValueError(
            f"expected run lengths of size {[height, width]}, the size of the image, got {brief(size)}"
        )
    try:
        runs = np.asarray(lengths, np.int64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"expected run lengths as integers, got {brief(lengths)}") from error
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"expected run lengths that sum to {height * width} pixels, got {runs.sum()}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def coco(
    folder: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
) -> Coco:
    """Return a data set in the format of COCO (Lin et al. 2014).

    Segmentations are polygons, run lengths, or compressed run lengths. A crowd (``iscrowd``) counts as pixels of its
    class. All images of the file belong to the data set, also those without an annotation. The file is read at once,
    an image and its masks when they are indexed.

    Parameters
    ----------
    folder : path
        Folder with the images, such as ``val2017``.
    annotations : path, or mapping of str to path
        JSON file such as ``instances_val2017.json``; its classes are concepts of the category "object". A mapping names
        the category of each of several files about the same images: ``{"object": "instances_val2017.json", "stuff":
        "stuff_val2017.json"}``.

    Returns
    -------
    Coco
        A sequence of :class:`Example`.

    Raises
    ------
    FileNotFoundError
        If a file is missing, with its name.
    ValueError
        For a file with other content, and for a segmentation that does not fit the image.
    """
    files = annotations if isinstance(annotations, Mapping) else {"object": annotations}
    paths = {name: Path(instance(path, "annotations", (str, os.PathLike))) for name, path in files.items()}
    return Coco(data_folder(folder, (), "the images of COCO"), paths)
