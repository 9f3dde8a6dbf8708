"""An image with a map on it."""

from __future__ import annotations

import math
from typing import Any

from traitlets import Bool, Float, Int, List, TraitError, Unicode, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes, Image
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.traits import Choice, Unit

#: Colour maps with a neutral middle; blue and purple are below zero, and so is blue in "red_blue".
DIVERGING = ("blue_orange", "red_blue", "purple_green")
#: Colour maps from dark to light.
SEQUENTIAL = ("viridis", "inferno", "magma", "cividis", "gray")


class HeatmapView(View):
    """An image with a map of values on it, for instance an attribution.

    Hovering shows the exact value under the pointer; a click keeps the place. With the picture focused, the
    arrows move the place by one cell of the map (with Shift by ten), + and - change the opacity, c the colour
    map, s the sign, m the map, and Escape takes the mark away. All of it works without a kernel.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> view = HeatmapView(image=photograph, maps=relevance, title="LRP")  # doctest: +SKIP
    """

    _bundle = "heatmap_view"

    image = Image(
        help=(
            "The image below, shape (H, W, 3). Floats in [0, 1] and grey images of shape (H, W) are "
            "converted."
        )
    )
    images = Bytes(
        (None, None, None, 3),
        help=(
            "An image for each frame, in place of `image`; beyond the last, the last, shape (F, H, W, 3). "
            "Floats in [0, 1] are converted."
        ),
    )
    maps = Array(
        "float32",
        (None, None, None),
        stack=True,
        help=(
            "M maps of any resolution, stretched over the image, shape (M, h, w); a single one may be "
            "given as (h, w). Cells that are NaN or infinite are transparent."
        ),
    )
    labels: List[str] = List(Unicode(), help="A name for each map.").tag(sync=True)
    frame = Int(0, min=0, help="Which map of the group is shown, from 0; beyond the last, the last is.").tag(
        sync=True
    )
    groups = Int(
        1,
        min=1,
        help=(
            "Into how many groups of equally many maps `maps` falls: with M maps each begins M / groups "
            "after the one before. So two sliders choose a map, one by `frame` and one by `group`."
        ),
    ).tag(sync=True)
    group = Int(0, min=0, help="Which group is shown, from 0; beyond the last, the last is.").tag(sync=True)
    colormap = Choice(
        ("auto", *DIVERGING, *SEQUENTIAL),
        help=(
            '"blue_orange", "red_blue" or "purple_green", which are neutral at zero; "viridis", '
            '"inferno", "magma", "cividis" or "gray"; or "auto": "blue_orange" for both signs, "inferno" '
            'for one. All but "gray" can be read with every common colour blindness.'
        ),
    )
    opacity = Unit(0.7, help="How much the map covers the image.")
    fade = Bool(
        False,
        help=(
            "Whether small values are more transparent, so that the image shows where the map is near zero."
        ),
    ).tag(sync=True)
    gray = Bool(
        True,
        help=(
            "Whether the image loses its own colours as far as the map covers it, so that none of them is "
            "taken for a value."
        ),
    ).tag(sync=True)
    sign = Choice(
        ("auto", "both", "positive", "negative", "absolute"),
        help=(
            "Which values are shown: all of them on a scale symmetric about zero, those of one sign (the "
            'others take the colour of zero), or magnitudes. "auto", the default, is "both" for a map '
            'with values below zero, else "positive".'
        ),
    )
    percentile = Float(
        99.0,
        help=(
            "The scale ends at this percentile of the map's magnitudes; larger ones have its last colour. "
            "Where it is zero, as in a map with few non-zero cells, the scale ends at the largest."
        ),
    ).tag(sync=True)
    limit = Float(
        None,
        allow_none=True,
        help=(
            "The magnitude at which the scale ends, above 0, in place of the percentile: so several views "
            'have one scale, and with "gray", a limit of 1 and opacity 1 a map is a picture.'
        ),
    ).tag(sync=True)
    interpolation = Choice(
        ("smooth", "pixelated"),
        help=(
            "How image and map are enlarged: values are interpolated, then coloured; or every cell is a "
            "rectangle."
        ),
    )
    position = Position(help="The marked place, from the top left corner.")
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(400, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @validate("limit")
    def _check_limit(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value < math.inf:
            raise TraitError(f"HeatmapView.limit is {value:g}, wanted a number above 0, or None")
        return value

    @validate("percentile")
    def _check_percentile(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value <= 100:
            raise TraitError(f"HeatmapView.percentile is {value:g}, wanted more than 0 and at most 100")
        return value

    def still(self) -> preview.Pixels | None:
        """The map that is shown, on its image."""
        image, values = self._shown()
        if image is None and values is None:
            return None
        held = image if image is not None else values
        scale = preview.scale_of(
            [] if values is None else [values], sign=self.sign, percentile=self.percentile
        )
        return preview.heat(
            image,
            values,
            preview.fitting(held.shape, self.width),
            **{**scale, **({} if self.limit is None else {"limit": self.limit})},
            colormap=self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            smooth=self.interpolation == "smooth",
        )

    def _shown(self) -> tuple[Any, Any]:
        """The image and the map of this frame, None where there is none."""
        image, values = self.image, None
        if self.images is not None and len(self.images):
            image = self.images[min(self.frame, len(self.images) - 1)]
        if self.maps is not None and len(self.maps):
            size = len(self.maps) // self.groups
            values = self.maps[min(self.group, self.groups - 1) * size + min(self.frame, size - 1)]
        return image, values
