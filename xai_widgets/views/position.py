"""A trait that holds a position in an image."""

from __future__ import annotations

import math
from typing import Any

from traitlets import HasTraits, TraitError, TraitType

from xai_widgets.core.validation import brief


class Position(TraitType):
    """A position in an image as a list [x, y], or None.

    x runs from 0 at the left edge to 1 at the right one, y from 0 at the top to 1 at the bottom, for any size of the
    image. A position therefore means the same in an image and in a coarse map of it.

    Parameters
    ----------
    **metadata
        Metadata of the trait.
    """

    info_text = "a position [x, y] with both from 0 to 1, or None"

    def __init__(self, **metadata: Any) -> None:
        super().__init__(default_value=None, allow_none=True, **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> list[float]:
        """Convert to a list of two floats; raise TraitError if they are not numbers from 0 to 1."""
        try:
            x, y = (float(part) for part in value)
        except Exception:  # the conversion of an object may raise anything
            x = y = math.nan
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise TraitError(
                f"expected {type(obj).__name__}.{self.name} to be {self.info_text}, got {brief(value)}"
            )
        return [x, y]
