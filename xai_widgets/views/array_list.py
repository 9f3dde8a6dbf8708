"""A trait that holds several arrays of different sizes, such as one for each layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import HasTraits, TraitError, TraitType

from xai_widgets.core.validation import brief
from xai_widgets.views.arrays import deserialize, serialize, without_torch
from xai_widgets.views.traits import owner


class Arrays(TraitType):
    """A trait that holds a tuple of arrays.

    Parameters
    ----------
    dtypes : iterable of str
        Types that are kept; arrays of other types are cast to the last one.
    axes : int
        Number of axes of each array.
    help : str, default ""
        Documentation of the trait.
    **metadata
        Metadata of the trait.

    Notes
    -----
    Accepts a sequence of tensors or of anything that ``numpy.asarray`` reads. After editing an array in place, call
    ``view.refresh(name)`` to send it.
    """

    info_text = "a list of arrays"

    def __init__(self, dtypes: Iterable[str], axes: int, *, help: str = "", **metadata: Any) -> None:
        super().__init__(default_value=(), help=help)
        self.dtypes = tuple(dtypes)
        self.axes = axes
        self.tag(
            sync=True,
            to_json=lambda arrays, _widget: [serialize(array) for array in arrays],
            from_json=lambda messages, _widget: tuple(deserialize(message) for message in messages),
            **metadata,
        )

    def validate(self, obj: HasTraits, value: Any) -> tuple[NDArray[Any], ...]:
        """Convert each item to an array; raise TraitError for one that is not numeric or has another number of axes."""
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TraitError(f"expected {owner(obj, self.name)} to be a list of arrays, got {brief(value)}")
        return tuple(self._read(obj, index, item) for index, item in enumerate(value))

    def _read(self, obj: HasTraits, index: int, value: Any) -> NDArray[Any]:
        name = f"{owner(obj, self.name)}[{index}]"
        try:
            array = np.asarray(without_torch(value))
        except ValueError as error:
            raise TraitError(
                f"expected {name} to be an array with {self.axes} axes, got {brief(value)}"
            ) from error
        if array.dtype.kind not in "biuf" or array.ndim != self.axes:
            raise TraitError(
                f"expected {name} to be an array of numbers with {self.axes} axes, "
                f"got {array.dtype} of shape {array.shape}"
            )
        dtype = array.dtype.name if array.dtype.name in self.dtypes else self.dtypes[-1]
        return np.ascontiguousarray(array, dtype=dtype)
