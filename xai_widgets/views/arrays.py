"""The array traits: how every array travels from Python to the browser.

An array is sent as ``{"dtype": str, "shape": list[int], "data": memoryview}``, C-contiguous and
little-endian; ``js/src/lib/arrays.js`` is the one decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import HasTraits, TraitError, TraitType

#: What the decoder in the browser knows.
DTYPES = ("uint8", "int8", "int32", "float16", "float32")


def without_torch(value: Any) -> Any:
    """Return a tensor in a form that numpy reads, anything else as it is.

    Views import no torch and know a tensor by its ways: it may lie on a GPU, carry a gradient, or be of a precision
    that numpy does not have.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.float() if str(value.dtype) == "torch.bfloat16" else value
    return value


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
    # A copy that can be written to, as an array from anywhere else can.
    return np.frombuffer(bytearray(message["data"]), dtype=message["dtype"]).reshape(message["shape"])


class Array(TraitType):
    """A trait that holds a numpy array of one dtype, or None.

    Parameters
    ----------
    dtype : {"uint8", "int32", "float16", "float32"}
        What the values are cast to.
    shape : tuple of (int or None)
        The wanted shape; None stands for any extent.
    stack : bool, default False
        Whether one part alone, an array without the first axis, is taken for a stack of one.
    help : str, default ""
        What the array is, for whoever reads the trait.
    **metadata
        Passed on to the trait.

    Notes
    -----
    Takes whatever ``numpy.asarray`` reads, and tensors, from any device. Assigning notifies (and sends)
    unless the very same object is assigned again. Editing the array in place does neither: call
    ``view.refresh(name)`` after it.
    """

    info_text = "an array"

    def __init__(
        self,
        dtype: str,
        shape: tuple[int | None, ...],
        *,
        stack: bool = False,
        help: str = "",
        **metadata: Any,
    ) -> None:
        super().__init__(default_value=None, allow_none=True, help=help)
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.stack = stack
        self.tag(sync=True, to_json=serialize, from_json=deserialize, **metadata)

    def validate(self, obj: HasTraits, value: Any) -> NDArray[Any]:
        """Cast to the trait's dtype; refuse another shape or values that the cast would change."""
        array = self.read(obj, value)
        if self.stack and array.ndim == len(self.shape) - 1:
            array = array[None]
        fits = array.ndim == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise self.error_of(obj, f"has shape {tuple(array.shape)}, wanted {self.wanted()}")
        return np.ascontiguousarray(self.cast_array(obj, array))

    def wanted(self) -> str:
        """The wanted shape in words."""
        return "(" + ", ".join("any" if extent is None else str(extent) for extent in self.shape) + ")"

    def error_of(self, obj: HasTraits, words: str) -> TraitError:
        """Make the error of a bad value: the trait's name and what is wrong."""
        return TraitError(f"{type(obj).__name__}.{self.name} {words}")

    def read(self, obj: HasTraits, value: Any) -> NDArray[Any]:
        """Read a value as an array of numbers."""
        try:
            array = np.asarray(without_torch(value))
        except Exception as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise self.error_of(
                obj, f"is no array: numpy cannot read {type(value).__name__}: {reason}"
            ) from None
        if array.dtype.kind not in "biuf":
            raise self.error_of(
                obj, f"is a {type(value).__name__} of {array.dtype}, wanted an array of numbers"
            )
        return array

    def cast_array(self, obj: HasTraits, array: NDArray[Any]) -> NDArray[Any]:
        """Cast, unless that would change the values by more than rounding."""
        if array.dtype == self.dtype or not array.size:
            return array.astype(self.dtype, copy=False)
        if self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            whole = array.dtype.kind in "iub" or bool((array == np.floor(array)).all())
            if not whole or array.min() < limits.min or array.max() > limits.max:
                raise self.error_of(
                    obj,
                    f"has {array.dtype} values from {array.min():g} to {array.max():g}, "
                    f"wanted whole numbers from {limits.min} to {limits.max}",
                )
            return array.astype(self.dtype)
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        if np.isinf(cast).sum() > np.isinf(array).sum():
            largest = np.abs(array[np.isfinite(array)]).max()
            raise self.error_of(
                obj, f"has values up to {largest:g}, wanted at most {np.finfo(self.dtype).max:g} in magnitude"
            )
        return cast

    def set(self, obj: HasTraits, value: Any) -> None:
        """Assign and notify, unless it is the very same object (arrays are not compared by value)."""
        name = str(self.name)
        old = obj._trait_values.get(name)
        if value is old and name in obj._trait_values:
            return
        new = self._validate(obj, value)
        obj._trait_values[name] = new
        obj._notify_trait(name, old, new)


class Bytes(Array):
    """A trait that holds an array of shares as bytes: uint8 from 0 to 255, floats from 0 to 1, or booleans.

    Parameters
    ----------
    shape : tuple of (int or None)
        The wanted shape; None stands for any extent.
    stack : bool, default False
        Whether one part alone, an array without the first axis, is taken for a stack of one.
    help : str, default ""
        What the array is.
    **metadata
        Passed on to the trait.
    """

    info_text = "an array of bytes"

    def __init__(
        self, shape: tuple[int | None, ...], *, stack: bool = False, help: str = "", **metadata: Any
    ) -> None:
        super().__init__("uint8", shape, stack=stack, help=help, **metadata)

    def cast_array(self, obj: HasTraits, array: NDArray[Any]) -> NDArray[Any]:
        """Cast to bytes, floats by 255."""
        if array.dtype.kind != "f":
            if array.dtype.kind == "b":
                return array.astype(np.uint8) * np.uint8(255)
            return super().cast_array(obj, array)
        if array.size and not (array.min() >= 0 and array.max() <= 1):
            raise self.error_of(
                obj,
                f"has {array.dtype} values from {array.min():g} to {array.max():g}, "
                "wanted floats from 0 to 1, or uint8 from 0 to 255",
            )
        return np.round(array * 255).astype(np.uint8)


class Image(Bytes):
    """A trait that holds an image of shape (H, W, 3) and uint8, or None.

    Takes bytes (0 to 255) or floats (0 to 1), with three channels last; one image also grey, as (H, W) or
    (H, W, 1).

    Parameters
    ----------
    count : int, optional
        Hold so many images of one size instead, shape (count, H, W, 3).
    help : str, default ""
        What the image is.
    **metadata
        Passed on to the trait.
    """

    info_text = "an image"

    def __init__(self, *, count: int | None = None, help: str = "", **metadata: Any) -> None:
        shape = (None, None, 3) if count is None else (count, None, None, 3)
        super().__init__(shape, help=help, **metadata)
        self.count = count

    def read(self, obj: HasTraits, value: Any) -> NDArray[Any]:
        """Read a value as an image; grey becomes three equal channels."""
        array = super().read(obj, value)
        if self.count is not None:
            return array
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim == 3 and array.shape[2] == 1:
            array = array.repeat(3, axis=2)
        if array.ndim == 3 and array.shape[2] != 3 and array.shape[0] in (1, 3):
            raise self.error_of(
                obj, f"has shape {tuple(array.shape)}, wanted channels last: .transpose(1, 2, 0) moves them"
            )
        return array

    def wanted(self) -> str:
        """The wanted shape in words."""
        if self.count is not None:
            return f"({self.count}, height, width, 3)"
        return "(height, width, 3), or (height, width) for grey"
