"""A heatmap on an image."""

from __future__ import annotations

import math
from typing import Any

from traitlets import Bool, Float, Int, List, TraitError, Unicode, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes, Image
from xai_widgets.views.colors import shown_sign
from xai_widgets.views.paced import Paced
from xai_widgets.views.position import Position
from xai_widgets.views.traits import INTERPOLATIONS, Choice, Unit
from xai_widgets.views.viewport import Viewport

#: Color maps that are neutral at zero; negative values are blue, or purple in "purple_green".
DIVERGING = ("blue_orange", "red_blue", "purple_green")
#: Color maps from dark to light.
SEQUENTIAL = ("viridis", "inferno", "magma", "cividis", "gray")


#: Which values of a map are shown.
SIGNS = ("auto", "both", "positive", "negative", "absolute")


class HeatmapView(Paced):
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
    sizes: List[list[int]] = List(
        List(Int(), minlen=2, maxlen=2),
        help=(
            "Rows and columns of each map, where maps of several resolutions share `maps`: a map is the upper left "
            "corner of this size. Maps that are not listed have the size of `maps`."
        ),
    ).tag(sync=True)
    labels: List[str] = List(Unicode(), help="The name of each map.").tag(sync=True)
    help = Unicode("", help="Tooltip of the title.").tag(sync=True)
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
            "for one. Of a map with both signs, a color map that is not neutral at zero would show zero as a value: "
            '"blue_orange" is used instead. All of them except "gray" suit every common color blindness.'
        ),
    )
    opacity = Unit(0.7, help="Opacity of the map.")
    fade = Bool(
        True,
        help=(
            "Whether small values are more transparent, so that the image is visible where the map is near zero. "
            "Without an image, no value is transparent."
        ),
    ).tag(sync=True)
    gray = Bool(
        True,
        help=("Whether the image is gray below a map, so that its colors are not mistaken for values."),
    ).tag(sync=True)
    sign = Choice(
        SIGNS,
        help=(
            "Which values are shown: all of them on a scale symmetric about zero, those of one sign (the "
            'others get the color of zero), or magnitudes. "auto" is the sign in `signs`; without one, "both" if any '
            'map has values below zero, else "positive". With a sequential color map, "auto" shows the magnitudes of '
            "values of both signs."
        ),
    )
    signs: List[str] = List(
        Choice(SIGNS),
        help=(
            'The sign of each map where `sign` is "auto", such as :attr:`Method.sign` of its method: a method then '
            'has one look, whatever the values of a single map are. Maps that are not listed are "auto".'
        ),
    ).tag(sync=True)
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
        INTERPOLATIONS,
        help=(
            'How the map is enlarged: "bicubic" or "smooth" (bilinear) interpolates values before they are colored; '
            '"pixelated" draws each cell as a rectangle. The image is enlarged smoothly unless it is "pixelated". '
            "A map that is finer than its drawing shows the mean magnitude of the cells of a block, with the sign of "
            "their sum."
        ),
    )
    smoothing = Float(
        0.0,
        min=0.0,
        help=(
            "Standard deviation of the Gaussian that smooths the map, in its pixels; 0 for none. With one sign, or "
            '"absolute", the values of that sign, or the magnitudes, are smoothed. Scale and values at the pointer are '
            "those of the smoothed map."
        ),
    ).tag(sync=True)
    notes: List[str] = List(
        Unicode(),
        help=(
            "A sentence for each map, or for each image if there are no maps, shown at the lower border of the image, "
            "such as a warning that a map does not depend on the image; empty for none."
        ),
    ).tag(sync=True)
    veil = Unicode(
        "",
        help=(
            'A sentence over the veiled image while there is no result, such as "not computed yet"; empty for none. '
            "A map without a finite value is veiled in any case."
        ),
    ).tag(sync=True)
    position = Position(help="The marked position, from the top left corner.")
    viewport = Viewport()
    color_bar = Bool(True, help="Whether the colors and the values at their ends are shown.").tag(sync=True)
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(400, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("limit")
    def _check_limit(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value < math.inf:
            raise TraitError(f"expected HeatmapView.limit to be a number above 0, or None, got {value:g}")
        return value

    @validate("sizes")
    def _check_sizes(self, proposal: dict[str, Any]) -> list[list[int]]:
        sizes: list[list[int]] = proposal["value"]
        for size in sizes:
            if min(size) < 1:
                raise TraitError(f"expected HeatmapView.sizes to be rows and columns above 0, got {size}")
        return sizes

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
        sign = self._current_sign()
        if values is not None:
            values = preview.smooth_map(values, self.smoothing, sign)
        scale = preview.scale_of([] if values is None else [values], sign=sign, percentile=self.percentile)
        return preview.draw_heatmap(
            image,
            values,
            preview.fit_size(base.shape, self.width),
            **{**scale, **({} if self.limit is None else {"limit": self.limit})},
            colormap=self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            interpolation=self.interpolation,
        )

    def _current(self) -> tuple[Any, Any]:
        """Return the image and the map of this frame, each None if it is missing."""
        image, values = self.image, None
        if self.images is not None and len(self.images):
            image = self.images[min(self.frame, len(self.images) - 1)]
        if self.maps is not None and len(self.maps):
            rows, columns = dict(enumerate(self.sizes)).get(self._index(), self.maps.shape[1:])
            values = self.maps[self._index(), :rows, :columns]
        return image, values

    def _index(self) -> int:
        """Return the index of the map of this frame and group."""
        size = len(self.maps) // self.groups
        return int(min(self.group, self.groups - 1) * size + min(self.frame, size - 1))

    def _current_sign(self) -> str:
        """Return the sign of the map of this frame: `sign`, or that in `signs`, or by the values of all maps."""
        if self.sign != "auto" or self.maps is None or not len(self.maps):
            return str(self.sign)
        own = dict(enumerate(self.signs)).get(self._index(), "auto")
        return shown_sign("auto", self.colormap, own, self.maps)
