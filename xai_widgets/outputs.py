"""Finding the class scores in what a network returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
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
        return _entry(output, key)
    for name in ("logits", "out"):
        if (found := _entry(output, name)) is not None:
            return found
    parts = _parts(output)
    if isinstance(output, tuple) and parts and isinstance(parts[0], Tensor) and parts[0].ndim == 2:
        return parts[0]
    flat = [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
    return flat[0] if len(flat) == 1 else None


def _entry(output: Any, key: str | int) -> Tensor | None:
    """The tensor under a key, at a place, or of a name."""
    found = None
    with suppress(KeyError, IndexError):
        if isinstance(output, Mapping):
            found = output[key]
        elif isinstance(key, str):
            found = getattr(output, key, None)
        elif isinstance(output, Sequence):
            found = output[key]
    # A dict has methods too, such as "values", and an entry may hold something else than scores.
    return found if isinstance(found, Tensor) else None


def _parts(output: Any) -> list[Any]:
    if isinstance(output, Mapping):
        return list(output.values())
    return list(output) if isinstance(output, Sequence) else list(getattr(output, "__dict__", {}).values())


def describe(output: Any) -> str:
    """What a network returned, in plain words."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)} and {output.dtype}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(repr, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    names = ", ".join(map(repr, getattr(output, "__dict__", {})))
    return type(output).__name__ + (f" with {names}" if names else "")
