"""The form of a data set: a sequence of examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """One image with the classes that are known to be in it.

    A data set is any sequence of examples. One that reads them when they are indexed may be larger than the memory.

    Attributes
    ----------
    image
        Whatever :meth:`ImageModel.images` takes, such as an array or a path.
    name : str
        Name of the image.
    masks : mapping of int to numpy.ndarray of bool, shape (H, W)
        The pixels of each class that is present, in the size of the image.
    """

    image: Any = field(repr=False)
    name: str = ""
    masks: Mapping[int, NDArray[Any]] = field(default_factory=dict, repr=False)
