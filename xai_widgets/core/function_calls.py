"""Arguments of calls of torch functions that a function mode intercepts."""

from __future__ import annotations

from typing import Any


def argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str, default: Any = None
) -> Any:
    """Return an argument by its index or its name."""
    return args[index] if len(args) > index else kwargs.get(name, default)
