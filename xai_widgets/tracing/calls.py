"""Calls of torch functions, and their arguments with placeholders for values that differ between replays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.hooks import layer_name


class Scope(NamedTuple):
    """One call of a module: the module's name, the index of its call, and a unique number."""

    module: str
    call: int
    number: int

    @property
    def name(self) -> str:
        """Name of the layer."""
        return layer_name(self.module, self.call)


class Value(NamedTuple):
    """Reference to a tensor that a call returned, by the index of the call and of the tensor."""

    call: int
    item: int = 0


class Affine(NamedTuple):
    """An integer that depends on the number of images: base + step * images."""

    base: int
    step: int


@dataclass(frozen=True)
class Call:
    """One call of a torch function.

    Attributes
    ----------
    function : callable
    args, kwargs
        Arguments, with :class:`Value` for tensors that other calls returned and :class:`Affine` for integers that
        depend on the number of images.
    name : str
        Name of the function, without underscores.
    scopes : tuple of Scope
        The enclosing calls of modules, the outermost first.
    depends : bool
        Whether the result depends on the image.
    mutates : bool
        Whether the call changes a tensor of the network.
    shape : tuple of int
        Shape of the first returned tensor.
    autocast : torch.dtype, optional
        Dtype of the enclosing autocast.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    scopes: tuple[Scope, ...]
    depends: bool
    mutates: bool
    shape: tuple[int, ...]
    autocast: torch.dtype | None

    @property
    def layer(self) -> str:
        """Name of the innermost layer; the name of the function outside of all layers."""
        return self.scopes[-1].name if self.scopes else self.name

    @property
    def description(self) -> str:
        """Name of the function and of the layer, for error messages."""
        return f"{self.name!r}" + (f" in {self.layer!r}" if self.scopes else "")

    def argument(self, index: int, keyword: str, default: Any = None) -> Any:
        """Return an argument by its index or its keyword."""
        return self.args[index] if len(self.args) > index else self.kwargs.get(keyword, default)

    def values(self) -> list[Value]:
        """Return the results of other calls among the arguments."""
        return [leaf for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Value)]


def mapped(given: Any, change: Callable[[Any], Any]) -> Any:
    """Return arguments with every leaf changed."""
    if isinstance(given, Value | Affine):
        return change(given)
    if isinstance(given, tuple):
        items = [mapped(each, change) for each in given]
        return type(given)(*items) if hasattr(given, "_fields") else tuple(items)
    if isinstance(given, list):
        return [mapped(each, change) for each in given]
    if isinstance(given, dict):
        return {key: mapped(each, change) for key, each in given.items()}
    if isinstance(given, slice):
        return slice(*(mapped(each, change) for each in (given.start, given.stop, given.step)))
    return change(given)


def leaves(given: Any) -> list[Any]:
    """Return the leaves of arguments."""
    found: list[Any] = []
    mapped(given, found.append)
    return found


def filled(given: Any, results: dict[int, list[Tensor]], images: int) -> Any:
    """Return an argument for a replay with the results of other calls and the number of images."""
    if isinstance(given, Value):
        return results[given.call][given.item]
    if isinstance(given, Affine):
        return given.base + given.step * images
    if isinstance(given, tuple | list | dict | slice):
        return mapped(given, lambda leaf: filled(leaf, results, images))
    return given


def tensors_in(result: Any) -> list[Tensor]:
    """Return the tensors in the result of a function."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, tuple | list | dict):
        return [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
    return []


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a torch function without the form of its call, such as "relu" for ``torch.relu_``."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if name in ("__get__", "__set__"):
        own = getattr(getattr(function, "__self__", None), "__name__", "")
        return "set" if name == "__set__" else own
    special = name.startswith("__")
    name = name.partition(".")[0].strip("_")
    return name[1:] if special and name in ("iadd", "imul", "isub", "itruediv", "idiv", "ipow") else name


def in_place(function: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a torch function changes one of its arguments."""
    name = str(getattr(function, "__name__", "")).partition(".")[0]
    return (
        (name.endswith("_") and not name.endswith("__"))
        or name in ("__setitem__", "__iadd__", "__imul__", "__isub__", "__itruediv__", "__idiv__", "__ipow__")
        or kwargs.get("out") is not None
        or bool(kwargs.get("inplace"))
    )
