"""Calls of torch functions, and their arguments with placeholders for what differs from replay to replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.hooks import layer_name


class Scope(NamedTuple):
    """One call of a module: its name, which call it is, and a number of its own."""

    module: str
    call: int
    number: int

    @property
    def name(self) -> str:
        """The name of the layer."""
        return layer_name(self.module, self.call)


class Value(NamedTuple):
    """A tensor that a call returned: which call, and which of its tensors."""

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
        Its arguments, with :class:`Value` for tensors that were returned by other calls and :class:`Affine` for
        integers that depend on the number of images.
    name : str
        Of the function, without underscores.
    scopes : tuple of Scope
        The calls of modules in which it was made, the outermost first.
    depends : bool
        Whether its result depends on the image.
    mutates : bool
        Whether it changes a tensor of the network.
    shape : tuple of int
        Of the first tensor that it returned.
    autocast : torch.dtype, optional
        The type of the autocast in which it was made.
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
        """The name of the innermost layer in which it was made; that of the function outside of all."""
        return self.scopes[-1].name if self.scopes else self.name

    @property
    def place(self) -> str:
        """The name of the function and that of the layer, for error messages."""
        return f"{self.name!r}" + (f" in {self.layer!r}" if self.scopes else "")

    def argument(self, place: int, keyword: str, default: Any = None) -> Any:
        """Return an argument by its place or its keyword."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(keyword, default)

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


def filled(given: Any, made: dict[int, list[Tensor]], images: int) -> Any:
    """Return an argument for a replay."""
    if isinstance(given, Value):
        return made[given.call][given.item]
    if isinstance(given, Affine):
        return given.base + given.step * images
    if isinstance(given, tuple | list | dict | slice):
        return mapped(given, lambda leaf: filled(leaf, made, images))
    return given


def tensors_in(result: Any) -> list[Tensor]:
    """Return the tensors in what a function returned."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, tuple | list | dict):
        return [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
    return []


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a torch function in whatever form it is called, such as "relu" for ``torch.relu_``."""
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
