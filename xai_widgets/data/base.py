"""Data sets: sequences of examples, and those whose examples also have concepts."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload, runtime_checkable

from numpy.typing import NDArray


@dataclass(frozen=True)
class Concept:
    """A named property of images or of their pixels.

    Attributes
    ----------
    name : str
        Name, unique within the category.
    category : str, default "object"
        Kind of property: "object", "part", "texture", "color", "material", "scene", "mark", or another.
    """

    name: str
    category: str = "object"


@dataclass(frozen=True)
class Example:
    """One image with the classes or concepts that are known to be in it.

    A data set is any sequence of examples. One that reads them when they are indexed may be larger than the memory.

    Attributes
    ----------
    image
        Whatever :meth:`ImageModel.images` takes, such as an array or a path.
    name : str
        Name of the image.
    masks : mapping of int to numpy.ndarray of bool, shape (H, W)
        The pixels of each class or concept that is present, in the size of the image, or all at one lower resolution
        with its aspect ratio.
    labels : tuple of int
        Concepts of the whole image, whose pixels are not known.
    """

    image: Any = field(repr=False)
    name: str = ""
    masks: Mapping[int, NDArray[Any]] = field(default_factory=dict, repr=False)
    labels: tuple[int, ...] = ()


@runtime_checkable
class ConceptData(Protocol):
    """Concept data set: a sequence of examples whose masks and labels are indices into `concepts`.

    A data set is one split; the data sets for training and for validation have the same concepts.
    """

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts, in the order of the indices."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...


class ConceptImages(ABC, Sequence[Example]):
    """Base class of concept data sets that read an example when it is indexed.

    A subclass sets `concepts` and defines `__len__` and `_read`. A slice is a concept data set, too.
    """

    concepts: tuple[Concept, ...]

    @abstractmethod
    def _read(self, index: int) -> Example:
        """Return example number `index`, from 0 to ``len(self) - 1``."""

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> ConceptImages: ...
    def __getitem__(self, index: int | slice) -> Example | ConceptImages:
        """Return one example, or the concept data set of a slice."""
        if isinstance(index, slice):
            return _Slice(self, range(len(self))[index])
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"expected an index from {-len(self)} to {len(self) - 1}, got {number}")
        return self._read(number % len(self))

    def __iter__(self) -> Iterator[Example]:
        """Yield the examples one by one; the end of the data set alone ends the loop."""
        return (self._read(index) for index in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__.strip('_')}({len(self)} images, {len(self.concepts)} concepts)"


class _Slice(ConceptImages):
    """Some examples of a concept data set, in the order of `indices`."""

    def __init__(self, data: ConceptImages, indices: range) -> None:
        self.data, self.indices = data, indices
        self.concepts = data.concepts

    def __len__(self) -> int:
        return len(self.indices)

    def _read(self, index: int) -> Example:
        return self.data[self.indices[index]]
