"""A heatmap on an image."""

from __future__ import annotations

import math
from typing import Any

from traitlets import Bool, Float, Int, List, TraitError, Unicode, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes, Image
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.traits import Choice, Unit
from xai_widgets.views.viewport import Viewport

#: Color maps that are neutral at zero; negative values are blue, or purple in "purple_green".
DIVERGING = ("blue_orange", "red_blue", "purple_green")
#: Color maps from dark to light.
SEQUENTIAL = ("viridis", "inferno", "magma", "cividis", "gray")


class HeatmapView(View):
    """An image with a map of values on it, such as an attribution.

    Hovering shows the exact value under the pointer; a click marks the position. With the image focused, the arrow
    keys move the mark by one cell of the map (by ten with Shift), + and - change the opacity, c the color map, s the
    sign and m the map, and Escape removes the mark. All of it works without a kernel.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> view = HeatmapView(image=photograph, maps=relevance, title="LRP")  # doctest: +SKIP
    """

    _bundle = "heatmap_view"

    image = Image(
        help=("The image, shape (H, W, 3). Floats in [0, 1] and gray images of shape (H, W) are converted.")
    )
    images = Bytes(
        (None, None, None, 3),
        help=(
            "An image for each frame, in place of `image`, shape (F, H, W, 3); later frames use the last "
            "one. Floats in [0, 1] are converted."
        ),
    )
    maps = Array(
        "float32",
        (None, None, None),
        stack=True,
        help=(
            "M maps of any resolution, enlarged to the image, shape (M, h, w); a single one may be given "
            "as (h, w). NaN and infinite values are transparent."
        ),
    )
    labels: List[str] = List(Unicode(), help="The name of each map.").tag(sync=True)
    frame = Int(
        0, min=0, help="Index of the map in its group; an index beyond the last one selects the last."
    ).tag(sync=True)
    groups = Int(
        1,
        min=1,
        help=(
            "Number of groups of equal size into which `maps` is divided, so that two sliders can choose "
            "a map, one by `frame` and one by `group`."
        ),
    ).tag(sync=True)
    group = Int(0, min=0, help="Index of the group; an index beyond the last one selects the last.").tag(
        sync=True
    )
    colormap = Choice(
        ("auto", *DIVERGING, *SEQUENTIAL),
        help=(
            '"blue_orange", "red_blue" or "purple_green", which are neutral at zero; "viridis", '
            '"inferno", "magma", "cividis" or "gray"; or "auto": "blue_orange" for both signs, "inferno" '
            'for one. All of them except "gray" suit every common color blindness.'
        ),
    )
    opacity = Unit(0.7, help="Opacity of the map.")
    fade = Bool(
        False,
        help=(
            "Whether small values are more transparent, so that the image is visible where the map is near zero."
        ),
    ).tag(sync=True)
    gray = Bool(
        True,
        help=(
            "Whether the image turns gray as far as the map covers it, so that its colors are not mistaken "
            "for values."
        ),
    ).tag(sync=True)
    sign = Choice(
        ("auto", "both", "positive", "negative", "absolute"),
        help=(
            "Which values are shown: all of them on a scale symmetric about zero, those of one sign (the "
            'others get the color of zero), or magnitudes. "auto" is "both" for a map '
            'with values below zero, else "positive".'
        ),
    )
    percentile = Float(
        99.0,
        help=(
            "The percentile of the magnitudes of the map at which the scale ends; larger ones get the last "
            "color. Where it is zero, as in a map with few non-zero cells, the scale ends at the largest."
        ),
    ).tag(sync=True)
    limit = Float(
        None,
        allow_none=True,
        help=(
            "The magnitude at which the scale ends, above 0, in place of the percentile. It gives several "
            'views one scale; with "gray", limit 1 and opacity 1, a map is shown as an image.'
        ),
    ).tag(sync=True)
    interpolation = Choice(
        ("smooth", "pixelated"),
        help=(
            'How image and map are enlarged: "smooth" interpolates values before they are colored; '
            '"pixelated" draws each cell as a rectangle.'
        ),
    )
    position = Position(help="The marked position, from the top left corner.")
    viewport = Viewport()
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(400, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("limit")
    def _check_limit(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value < math.inf:
            raise TraitError(f"expected HeatmapView.limit to be a number above 0, or None, got {value:g}")
        return value

    @validate("percentile")
    def _check_percentile(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value <= 100:
            raise TraitError(f"expected HeatmapView.percentile to be above 0 and at most 100, got {value:g}")
        return value

    def static_image(self) -> preview.Pixels | None:
        """Return the image with the map."""
        image, values = self._current()
        if image is None and values is None:
            return None
        base = image if image is not None else values
        scale = preview.scale_of(
            [] if values is None else [values], sign=self.sign, percentile=self.percentile
        )
        return preview.draw_heatmap(
            image,
            values,
            preview.fit_size(base.shape, self.width),
            **{**scale, **({} if self.limit is None else {"limit": self.limit})},
            colormap=self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            smooth=self.interpolation == "smooth",
        )

    def _current(self) -> tuple[Any, Any]:
        """Return the image and the map of this frame, each None if it is missing."""
        image, values = self.image, None
        if self.images is not None and len(self.images):
            image = self.images[min(self.frame, len(self.images) - 1)]
        if self.maps is not None and len(self.maps):
            size = len(self.maps) // self.groups
            values = self.maps[min(self.group, self.groups - 1) * size + min(self.frame, size - 1)]
        return image, values
