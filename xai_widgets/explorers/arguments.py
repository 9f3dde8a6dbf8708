"""Check and convert the arguments of explorers to plain Python values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from xai_widgets.core.validation import boolean, brief, instance, integer, items, number

#: Names of arguments by their type; each explorer checks the range of its own.
WHOLE = ("batch_size", "components", "patches", "rank", "rows", "scale", "seed", "size", "steps", "top")
REAL = ("area", "tau")
SWITCHES = ("start",)
TEXTS = ("across", "layer", "perturbation", "regularizer", "variant")
SEQUENCES = ("explorers", "names")


def plain_arguments(
    construct: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a constructor with plain numbers, booleans and sequences.

    Raises
    ------
    TypeError
        For an argument of another type.
    """
    try:
        bound = inspect.signature(construct).bind(*args, **kwargs)
    except TypeError:
        # The error of the constructor itself is clearer.
        return args, kwargs
    for name, value in bound.arguments.items():
        default = bound.signature.parameters[name].default
        # None is valid where it is the default, and as the rank.
        if value is not default and (value is not None or (name in WHOLE + REAL and name != "rank")):
            bound.arguments[name] = _plain(name, value, default)
    return bound.args, bound.kwargs


def _plain(name: str, value: Any, default: Any) -> Any:
    if name in WHOLE:
        return integer(value, name)
    if name in REAL:
        return number(value, name)
    if name in SWITCHES and isinstance(default, bool):
        return boolean(value, name)
    if name in TEXTS:
        return instance(value, name, str)
    if name in SEQUENCES:
        # A text is a sequence of one-letter names.
        given = list(value) if isinstance(value, str) else items(value, name, what="names")
        return [instance(each, f"each of {name}", (str, int, float)) for each in given]
    if name == "options":
        return instance(value, name, (Mapping, type(None)))
    if name == "layers" and not isinstance(value, str | Mapping):
        return items(value, name, what="names")
    return _methods(value) if name == "methods" else value


def _methods(value: Any) -> Any:
    """Refuse numbers, arrays and the like for methods."""
    if isinstance(value, str) or callable(value):
        return value
    if isinstance(value, list | tuple) and not value:
        return value
    for each in items(value, "methods", what="names, methods or callables"):
        if each is None or isinstance(each, int | float | complex | bytes | Tensor | np.ndarray | np.generic):
            raise TypeError(
                f"expected each of methods to be a name, a method or a callable, got {brief(each)}"
            )
    return value
