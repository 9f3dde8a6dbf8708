"""Finding the class scores in what a network returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def find_scores(output: Any, key: str | int | None) -> Tensor | None:
    """The tensor of scores in a network's output, or None if it is not clear which one it is.

    Parameters
    ----------
    output
        A tensor, or a tuple, list, dict or object that holds tensors.
    key : str or int, optional
        The entry that holds the scores. Without it: "logits", "out", the first of a tuple, or the only
        tensor of two dimensions.
    """
    if isinstance(output, Tensor):
        return output
    if key is not None:
        if isinstance(key, str) and hasattr(output, key):
            return getattr(output, key)
        try:
            return output[key]
        except (KeyError, IndexError, TypeError):
            return None
    for name in ("logits", "out"):
        if isinstance(output, Mapping) and name in output:
            return output[name]
        if isinstance(getattr(output, name, None), Tensor):
            return getattr(output, name)
    parts = list(output.values()) if isinstance(output, Mapping) else output
    if isinstance(parts, tuple) and parts and isinstance(parts[0], Tensor) and parts[0].ndim == 2:
        return parts[0]
    flat = (
        [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
        if hasattr(parts, "__iter__")
        else []
    )
    return flat[0] if len(flat) == 1 else None


def describe(output: Any) -> str:
    """What a network returned, in plain words."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)} and {output.dtype}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(repr, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__
