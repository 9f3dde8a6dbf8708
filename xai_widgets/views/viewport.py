"""A trait that holds the visible part of an image."""

from __future__ import annotations

import math
from typing import Any

from traitlets import HasTraits, TraitError, TraitType

from xai_widgets.core.validation import brief
from xai_widgets.views.traits import owner

#: The largest magnification.
MAX_ZOOM = 32.0


class Viewport(TraitType):
    """The visible part of an image as a list [x, y, zoom].

    x and y are the center of the part, in fractions of the image from the top left corner, as in
    :class:`~xai_widgets.views.position.Position`; zoom is the magnification, 1 for the whole image. The part never
    reaches beyond the image: the center is moved as far as that needs. Views of different resolutions therefore show
    the same part, and `link` joins them.

    Parameters
    ----------
    help : str, optional
        Documentation of the trait.
    **metadata
        Metadata of the trait.
    """

    info_text = f"a viewport [x, y, zoom], x and y from 0 to 1 and zoom from 1 to {MAX_ZOOM:g}"

    def __init__(
        self,
        *,
        help: str = (
            "The visible part of the image: its center x, y, from the top left corner, and the magnification, "
            "1 for the whole image and 32 at most. The center is kept so far inside that the part does not "
            "reach beyond the image."
        ),
        **metadata: Any,
    ) -> None:
        super().__init__(default_value=[0.5, 0.5, 1.0], help=help, **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> list[float]:
        """Convert to a list of three floats and move the center inside; raise TraitError for other values."""
        try:
            x, y, zoom = (float(part) for part in value)
        except Exception:  # the conversion of an object may raise anything
            x = y = zoom = math.nan
        if not (0 <= x <= 1 and 0 <= y <= 1 and 1 <= zoom <= MAX_ZOOM):
            raise TraitError(f"expected {owner(obj, self.name)} to be {self.info_text}, got {brief(value)}")
        half = 0.5 / zoom
        return [min(max(x, half), 1 - half), min(max(y, half), 1 - half), zoom]
