"""Traits that hold arrays, and the messages that send them to the browser.

An array is sent as ``{"dtype": str, "shape": list[int], "data": memoryview}``, C-contiguous and
little-endian; ``js/src/lib/arrays.js`` decodes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import HasTraits, TraitError, TraitType

#: Types that the decoder in the browser reads.
DTYPES = ("uint8", "int8", "int32", "float16", "float32")


def without_torch(value: Any) -> Any:
    """Convert a tensor so that numpy can read it; return anything else unchanged.

    Views do not import torch, so a tensor is recognized by its methods. It may be on a GPU, require a gradient, or be
    a bfloat16 tensor, a type that numpy does not have.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.float() if str(value.dtype) == "torch.bfloat16" else value
    return value


def serialize(array: NDArray[Any] | None, _widget: object = None) -> dict[str, Any] | None:
    """Return the message of an array; None for None."""
    if array is None:
        return None
    array = np.ascontiguousarray(array)
    if array.dtype.name not in DTYPES:
        raise TypeError(f"expected an array of type {', '.join(DTYPES)}, got {array.dtype.name}")
    # A memoryview of an empty array cannot be cast to bytes.
    data = memoryview(array.data).cast("B") if array.size else memoryview(b"")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def deserialize(message: dict[str, Any] | None, _widget: object = None) -> NDArray[Any] | None:
    """Return the array of a message; None for None."""
    if message is None:
        return None
    # A copy, because the buffer of a message is read-only.
    return np.frombuffer(bytearray(message["data"]), dtype=message["dtype"]).reshape(message["shape"])


class Array(TraitType):
    """A trait that holds a numpy array of one dtype, or None.

    Parameters
    ----------
    dtype : {"uint8", "int32", "float16", "float32"}
        Type to which the values are cast.
    shape : tuple of (int or None)
        Expected shape; None stands for any size.
    stack : bool, default False
        Whether an array without the first axis is accepted as a stack of one.
    help : str, default ""
        Documentation of the trait.
    **metadata
        Metadata of the trait.

    Notes
    -----
    Accepts anything that ``numpy.asarray`` reads, and tensors on any device. An assignment notifies observers and
    sends the array, unless the same object is assigned again. After editing an array in place, call
    ``view.refresh(name)`` to send it.
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
        """Cast to the type of the trait; raise TraitError for another shape or values that it cannot hold."""
        array = self.read(obj, value)
        if self.stack and array.ndim == len(self.shape) - 1:
            array = array[None]
        fits = array.ndim == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise self.error_of(obj, f"of shape {self.expected_shape()}", f"shape {tuple(array.shape)}")
        return np.ascontiguousarray(self.cast_array(obj, array))

    def expected_shape(self) -> str:
        """Return the expected shape in words."""
        return "(" + ", ".join("any" if extent is None else str(extent) for extent in self.shape) + ")"

    def error_of(self, obj: HasTraits, expected: str, got: str) -> TraitError:
        """Return the error of an invalid value."""
        return TraitError(f"expected {type(obj).__name__}.{self.name} to be {expected}, got {got}")

    def read(self, obj: HasTraits, value: Any) -> NDArray[Any]:
        """Convert a value to an array of numbers."""
        try:
            array = np.asarray(without_torch(value))
        except Exception as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise self.error_of(
                obj, "an array", f"{type(value).__name__}, which numpy cannot read: {reason}"
            ) from None
        if array.dtype.kind not in "biuf":
            raise self.error_of(obj, "an array of numbers", f"{type(value).__name__} of {array.dtype}")
        return array

    def cast_array(self, obj: HasTraits, array: NDArray[Any]) -> NDArray[Any]:
        """Cast an array; raise TraitError if that would change the values by more than rounding."""
        if array.dtype == self.dtype or not array.size:
            return array.astype(self.dtype, copy=False)
        if self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            whole = array.dtype.kind in "iub" or bool((array == np.floor(array)).all())
            if not whole or array.min() < limits.min or array.max() > limits.max:
                raise self.error_of(
                    obj,
                    f"an array of integers from {limits.min} to {limits.max}",
                    f"{array.dtype} values from {array.min():g} to {array.max():g}",
                )
            return array.astype(self.dtype)
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        if np.isinf(cast).sum() > np.isinf(array).sum():
            largest = np.abs(array[np.isfinite(array)]).max()
            raise self.error_of(
                obj, f"an array of magnitudes up to {np.finfo(self.dtype).max:g}", f"values up to {largest:g}"
            )
        return cast

    def set(self, obj: HasTraits, value: Any) -> None:
        """Assign and notify, unless it is the same object (arrays are not compared by value)."""
        name = str(self.name)
        old = obj._trait_values.get(name)
        if value is old and name in obj._trait_values:
            return
        new = self._validate(obj, value)
        obj._trait_values[name] = new
        obj._notify_trait(name, old, new)


class Bytes(Array):
    """A trait that holds an array of uint8; floats from 0 to 1 and booleans are scaled to 0 to 255.

    Parameters
    ----------
    shape : tuple of (int or None)
        Expected shape; None stands for any size.
    stack : bool, default False
        Whether an array without the first axis is accepted as a stack of one.
    help : str, default ""
        Documentation of the trait.
    **metadata
        Metadata of the trait.
    """

    info_text = "an array of bytes"

    def __init__(
        self, shape: tuple[int | None, ...], *, stack: bool = False, help: str = "", **metadata: Any
    ) -> None:
        super().__init__("uint8", shape, stack=stack, help=help, **metadata)

    def cast_array(self, obj: HasTraits, array: NDArray[Any]) -> NDArray[Any]:
        """Cast to uint8; floats and booleans are multiplied by 255."""
        if array.dtype.kind != "f":
            if array.dtype.kind == "b":
                return array.astype(np.uint8) * np.uint8(255)
            return super().cast_array(obj, array)
        if array.size and not (array.min() >= 0 and array.max() <= 1):
            raise self.error_of(
                obj,
                "an array of floats from 0 to 1, or of uint8 from 0 to 255",
                f"{array.dtype} values from {array.min():g} to {array.max():g}",
            )
        return np.round(array * 255).astype(np.uint8)


class Image(Bytes):
    """A trait that holds an image of shape (H, W, 3) and uint8, or None.

    Accepts uint8 from 0 to 255 or floats from 0 to 1, channels last. Without `count`, gray images of shape (H, W) or
    (H, W, 1) are accepted, too.

    Parameters
    ----------
    count : int, optional
        Number of images; the trait holds an array of shape (count, H, W, 3) then.
    help : str, default ""
        Documentation of the trait.
    **metadata
        Metadata of the trait.
    """

    info_text = "an image"

    def __init__(self, *, count: int | None = None, help: str = "", **metadata: Any) -> None:
        shape = (None, None, 3) if count is None else (count, None, None, 3)
        super().__init__(shape, help=help, **metadata)
        self.count = count

    def read(self, obj: HasTraits, value: Any) -> NDArray[Any]:
        """Convert a value to an array; a gray image gets three equal channels."""
        array = super().read(obj, value)
        if self.count is not None:
            return array
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim == 3 and array.shape[2] == 1:
            array = array.repeat(3, axis=2)
        if array.ndim == 3 and array.shape[2] != 3 and array.shape[0] in (1, 3):
            raise self.error_of(
                obj, "an image with channels last", f"shape {tuple(array.shape)}; use .transpose(1, 2, 0)"
            )
        return array

    def expected_shape(self) -> str:
        """Return the expected shape in words."""
        if self.count is not None:
            return f"({self.count}, height, width, 3)"
        return "(height, width, 3), or (height, width) for gray"
