"""The trait of a place in an image."""

from __future__ import annotations

import math
from typing import Any

from traitlets import HasTraits, TraitError, TraitType

from xai_widgets.core.validation import brief


class Position(TraitType):
    """A place in an image as a list [x, y], or None for no place.

    x runs from 0 at the left edge to 1 at the right, y from 0 at the top to 1 at the bottom, whatever the
    size of the image: so it means the same place in a photograph and in a coarse map of it.

    Parameters
    ----------
    **metadata
        Passed on to the trait.
    """

    info_text = "a place [x, y] with both from 0 to 1, or None"

    def __init__(self, **metadata: Any) -> None:
        super().__init__(default_value=None, allow_none=True, **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> list[float]:
        """Refuse what is no pair of numbers from 0 to 1."""
        try:
            x, y = (float(part) for part in value)
        except Exception:  # an object may raise whatever it likes when it is asked for its numbers
            x = y = math.nan
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise TraitError(f"{type(obj).__name__}.{self.name} is {brief(value)}, wanted {self.info_text}")
        return [x, y]
