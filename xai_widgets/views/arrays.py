"""The array trait: how every array travels from Python to the browser.

An array is sent as ``{"dtype": str, "shape": list[int], "data": memoryview}``, C-contiguous and
little-endian; ``js/src/lib/arrays.js`` is the one decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import HasTraits, TraitError, TraitType

#: What the decoder in the browser knows.
DTYPES = ("uint8", "int32", "float16", "float32")


def serialize(array: NDArray[Any] | None, _widget: object = None) -> dict[str, Any] | None:
    """Make the message of an array; None stays None."""
    if array is None:
        return None
    array = np.ascontiguousarray(array)
    if array.dtype.name not in DTYPES:
        raise TypeError(f"arrays of {array.dtype.name} cannot be sent, wanted one of {', '.join(DTYPES)}")
    # A memoryview of an empty array cannot be cast to bytes.
    data = memoryview(array.data).cast("B") if array.size else memoryview(b"")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def deserialize(message: dict[str, Any] | None, _widget: object = None) -> NDArray[Any] | None:
    """Make the array of a message; None stays None."""
    if message is None:
        return None
    return np.frombuffer(bytes(message["data"]), dtype=message["dtype"]).reshape(message["shape"])


class Array(TraitType):
    """A trait that holds a numpy array of one dtype, or None.

    Parameters
    ----------
    dtype : {"uint8", "int32", "float16", "float32"}
        What the values are cast to.
    shape : tuple of (int or None)
        The wanted shape; None stands for any extent.
    **metadata
        Passed on to the trait.

    Notes
    -----
    Assigning notifies (and sends) unless the very same object is assigned again. Editing the array in
    place does neither: call ``view.refresh(name)`` after it.
    """

    info_text = "an array"

    def __init__(self, dtype: str, shape: tuple[int | None, ...], **metadata: Any) -> None:
        super().__init__(default_value=None, allow_none=True)
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.tag(sync=True, to_json=serialize, from_json=deserialize, **metadata)

    def validate(self, obj: HasTraits, value: Any) -> NDArray[Any]:
        """Cast to the trait's dtype; refuse another shape or values that the cast would change."""
        array = np.asarray(value)
        fits = array.ndim == len(self.shape) and all(
            want is None or want == have for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            want_shape = ", ".join("any" if extent is None else str(extent) for extent in self.shape)
            raise TraitError(
                f"{type(obj).__name__}.{self.name} has shape {array.shape}, wanted ({want_shape})"
            )
        if self.dtype.kind in "iu" and array.size and array.dtype != self.dtype:
            limits = np.iinfo(self.dtype)
            whole = array.dtype.kind in "iub" or bool((array == np.floor(array)).all())
            if not whole or array.min() < limits.min or array.max() > limits.max:
                raise TraitError(
                    f"{type(obj).__name__}.{self.name} has {array.dtype} values from {array.min():g} to "
                    f"{array.max():g}, wanted whole numbers from {limits.min} to {limits.max}"
                )
        return np.ascontiguousarray(array, dtype=self.dtype)

    def set(self, obj: HasTraits, value: Any) -> None:
        """Assign and notify, unless it is the very same object (arrays are not compared by value)."""
        name = str(self.name)
        old = obj._trait_values.get(name)
        if value is old and name in obj._trait_values:
            return
        new = self._validate(obj, value)
        obj._trait_values[name] = new
        obj._notify_trait(name, old, new)
