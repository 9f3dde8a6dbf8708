"""A short `repr` for result classes that hold large arrays."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

#: Maximum length of the summary of one field, in characters.
LONGEST = 40
#: Maximum number of values of an array that are printed.
MOST_VALUES = 4
#: Values printed as they are.
_PLAIN = (str, int, float, type(None))


class ShortRepr:
    """Mixin for dataclasses: one line with the public fields, long arrays as their shapes and long values shortened.

    Declare the class with ``@dataclass(repr=False)``; a field with ``repr=False`` is left out.

    Examples
    --------
    ``TopActivations(values=Tensor(16, 9), images=Tensor(16, 9), grid=(12, 12), side=31)``
    """

    def __repr__(self) -> str:
        shown = [field.name for field in fields(self) if field.repr and not field.name.startswith("_")]  # type: ignore[arg-type]
        parts = [f"{name}={_summary(getattr(self, name))}" for name in shown]
        return f"{type(self).__name__}({', '.join(parts)})"


def _summary(value: Any) -> str:
    """Return the shape of a long array, the length of a long collection, or the shortened `repr` of another value."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if len(value.shape) == 1 and 0 < len(value) <= MOST_VALUES:
            return f"[{', '.join(_summary(item) for item in value.tolist())}]"
        return f"{type(value).__name__}{tuple(value.shape)}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list | dict):
        if (
            len(value) > MOST_VALUES
            or isinstance(value, dict)
            or not all(isinstance(item, _PLAIN) for item in value)
        ):
            return f"<{len(value)} items>"
    elif not isinstance(value, _PLAIN):
        return f"<{type(value).__name__}>"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
