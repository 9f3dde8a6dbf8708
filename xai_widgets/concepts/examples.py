"""Example images of concepts: from lists, from folders, and from concept data sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import brief, check_finite, choice, integer, items
from xai_widgets.data.base import Concept, ConceptData, Example
from xai_widgets.data.reading import image_files
from xai_widgets.errors import unknown_name

#: Concepts with fewer examples are reported, not trained.
LEAST_EXAMPLES = 10

#: Images: a list or a batch of any kind, a folder of image files, or a data set of examples.
Images: TypeAlias = Any
#: Concepts: their images by name, or a folder that holds one folder of images per concept.
ConceptExamples: TypeAlias = Mapping[str, Images] | str | os.PathLike[str]
#: Form of an activation as one vector: all positions, or the mean over them.
Pooling = Literal["none", "mean"]


def concept_images(
    data: ConceptData, names: Sequence[str] | None = None, *, most: int = 100
) -> dict[str, list[Any]]:
    """Return images of a concept data set that show each concept.

    Parameters
    ----------
    data : ConceptData
        A concept data set, which is read until there are enough images of each concept.
    names : sequence of str, optional
        Names of concepts. Default: all of them.
    most : int, default 100
        Largest number of images of a concept.

    Returns
    -------
    dict of str to list
        Images in the order of the data set. A list is shorter where the data set has fewer, and may be empty.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest one.

    Examples
    --------
    >>> concept_images(xw.data.scene_concepts(500), ["stamp", "dotted"], most=50)  # doctest: +SKIP
    """
    most = integer(most, "most", low=1)
    chosen = find_concepts(data, names)
    found: dict[int, list[Any]] = {index: [] for index in chosen}
    for number in range(len(data)):
        if all(len(images) >= most for images in found.values()):
            break
        example = data[number]
        for index in present(example):
            if index in found and len(found[index]) < most:
                found[index].append(example.image)
    return {data.concepts[index].name: images for index, images in found.items()}


def find_concepts(data: ConceptData, names: Sequence[str] | None) -> list[int]:
    """Return the indices of concepts of a data set by name; ValueError, with the nearest name, for others."""
    known = [concept.name for concept in data.concepts]
    if names is None:
        return list(range(len(known)))
    chosen = items(names, "names", what="names of concepts")
    for name in chosen:
        if name not in known:
            raise ValueError(unknown_name("concept", name, known))
    return [known.index(name) for name in chosen]


def present(example: Example) -> set[int]:
    """Return the concepts that an example shows."""
    return {index for index, mask in example.masks.items() if mask.any()} | set(example.labels)


def as_concepts(concepts: ConceptExamples) -> dict[str, Sequence[Any]]:
    """Return the images of each concept by name; ValueError if there is no concept."""
    if isinstance(concepts, str | os.PathLike):
        folder = _folder(concepts)
        named: dict[str, Any] = {each.name: each for each in sorted(folder.iterdir()) if each.is_dir()}
        if not named:
            raise ValueError(
                f"expected a folder that holds one folder of images per concept, got {brief(folder.name)} without "
                "folders"
            )
        concepts = named
    if not isinstance(concepts, Mapping):
        raise TypeError(
            "expected concepts as a mapping of names to images, or a folder of folders, got "
            f"{brief(concepts)}; concept_images(data) gives those of a data set"
        )
    if not concepts:
        raise ValueError("expected at least one concept, got none")
    return {str(name): as_images(images) for name, images in concepts.items()}


def as_images(images: Images) -> Sequence[Any]:
    """Return the images of a list, a batch, a folder or a data set as a sequence, which may be read when indexed."""
    if isinstance(images, str | os.PathLike):
        return image_files(_folder(images))
    if isinstance(images, Concept | Example) or not hasattr(images, "__len__"):
        raise TypeError(f"expected a list of images, a folder or a data set, got {brief(images)}")
    if isinstance(images, list | tuple) and not any(isinstance(image, Example) for image in images):
        return images
    if isinstance(images, Tensor) or hasattr(images, "dtype"):
        if images.ndim != 4:
            raise ValueError(f"expected a batch of images, got {brief(images)}; pass a list of images")
        return list(images)
    return _ExampleImages(images)


def _folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder, got {str(folder)[-200:]!r}, which is not one")
    return folder


class _ExampleImages(Sequence[Any]):
    """The images of a data set, read when indexed."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Any:
        return self.data[index].image

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


def layer_vectors(
    model: ImageModel, images: Sequence[Any], layer: str, pooling: Pooling, batch_size: int
) -> Tensor:
    """Return the activation of a layer on each image as a vector, (n, D), float32 on the CPU."""
    parts = []
    for begin in range(0, len(images), batch_size):
        some = [images[index] for index in range(begin, min(begin + batch_size, len(images)))]
        output = model.activations(some, layer)[layer].float()
        parts.append(as_vectors(model, layer, output, pooling).cpu())
    return check_finite(torch.cat(parts), model.name, f"outputs of {layer!r}")


def as_vectors(model: ImageModel, layer: str, output: Tensor, pooling: Pooling) -> Tensor:
    """Return outputs (n, ...) of a layer as vectors (n, D)."""
    if pooling == "none" or output.ndim == 2:
        return output.flatten(1)
    return model.spatial(layer, output).flatten(2).mean(2)


def gradient_vectors(model: ImageModel, layer: str, gradient: Tensor, pooling: Pooling) -> Tensor:
    """Return gradients (n, ...) at a layer as (n, D): the derivative along a vector of :func:`as_vectors`.

    A step along a mean changes the activation at every position alike, so that the gradients of the positions add up.
    """
    if pooling == "none" or gradient.ndim == 2:
        return gradient.flatten(1)
    return model.spatial(layer, gradient).flatten(2).sum(2)


def check_pooling(pooling: str) -> None:
    """Raise an error, with the nearest name, for an unknown pooling."""
    choice(pooling, "pooling", get_args(Pooling))
