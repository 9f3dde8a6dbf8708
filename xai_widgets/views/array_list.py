"""The trait of several arrays that differ in size, such as one for each layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import HasTraits, TraitError, TraitType

from xai_widgets.views.arrays import deserialize, serialize, without_torch
from xai_widgets.views.traits import owner


class Arrays(TraitType):
    """A trait that holds a tuple of arrays, sent as a list of messages.

    Parameters
    ----------
    dtypes : iterable of str
        Arrays of these types stay as they are; others are cast to the last one.
    axes : int
        How many axes each array has.
    help : str, default ""
        What the arrays are.
    **metadata
        Passed on to the trait.

    Notes
    -----
    Takes any sequence of what ``numpy.asarray`` reads, and of tensors. Editing an array in place sends nothing: call
    ``view.refresh(name)`` after it.
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
        """Read each as an array; refuse another number of axes or what is no number."""
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TraitError(f"{owner(obj, self.name)} is a {type(value).__name__}, wanted a list of arrays")
        return tuple(self._read(obj, number, one) for number, one in enumerate(value))

    def _read(self, obj: HasTraits, number: int, value: Any) -> NDArray[Any]:
        name = f"{owner(obj, self.name)}[{number}]"
        try:
            array = np.asarray(without_torch(value))
        except ValueError as error:
            raise TraitError(f"{name} is no array, wanted one with {self.axes} axes") from error
        if array.dtype.kind not in "biuf" or array.ndim != self.axes:
            raise TraitError(
                f"{name} is an array of {array.dtype} and shape {array.shape}, wanted numbers with {self.axes} axes"
            )
        dtype = array.dtype.name if array.dtype.name in self.dtypes else self.dtypes[-1]
        return np.ascontiguousarray(array, dtype=dtype)
