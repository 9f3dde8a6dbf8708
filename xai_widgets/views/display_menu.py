"""A menu of the display settings that several views share."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Float, List, TraitError, Unicode, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views.control import Control
from xai_widgets.views.heatmap_view import HeatmapView
from xai_widgets.views.map_grid_view import MapGridView
from xai_widgets.views.traits import Choice, Unit

#: The settings of a menu, in its order.
SETTINGS = (
    "opacity", "threshold", "colormap", "sign", "percentile", "scale", "fade", "smoothing", "gray", "interpolation",
)  # fmt: skip


class DisplayMenu(Control):
    """A button that opens the display settings of views of images and maps.

    Its settings have the names that they have in the views; `link` joins them there. Opened by the button, the menu is
    closed by Escape or by a click outside of it.

    Raises
    ------
    traitlets.TraitError
        For an invalid value, or a name in `shown` that is not a setting.

    Examples
    --------
    >>> menu = DisplayMenu(shown=["opacity", "gray"])
    >>> link((heatmap, "opacity"), (menu, "opacity"))  # doctest: +SKIP
    """

    _bundle = "display_menu"

    title = Unicode("Display", help="The text of the button, and the accessible name.").tag(sync=True)
    shown: List[str] = List(
        Unicode(), default_value=list(SETTINGS), help="The settings that the menu offers."
    ).tag(sync=True)
    opacity = Unit(0.7, help="Opacity of the maps.")
    threshold = Unit(0.0, help="Smaller magnitudes are not drawn; see `SimilarityView`.")
    colormap = Choice(HeatmapView.colormap.choices, help="The color map; see `HeatmapView`.")
    fade = Bool(True, help="Whether small values are more transparent.").tag(sync=True)
    smoothing = Float(0.0, min=0.0, help="Smoothing of the maps; see `HeatmapView`.").tag(sync=True)
    gray = Bool(True, help="Whether the image turns gray as far as the map covers it.").tag(sync=True)
    sign = Choice(HeatmapView.sign.choices, help="Which values are shown; see `HeatmapView`.")
    percentile = Float(
        99.0, help="The percentile of the magnitudes of a map at which the scale ends, above 0."
    ).tag(sync=True)
    scale = Choice(MapGridView.scale.choices, help="Which maps of a table share a scale; see `MapGridView`.")
    interpolation = Choice(HeatmapView.interpolation.choices, help="How images and maps are enlarged.")

    @validate("shown")
    def _are_settings(self, proposal: dict[str, Any]) -> list[str]:
        for name in proposal["value"]:
            if name not in SETTINGS:
                raise TraitError(f"DisplayMenu.shown: {unknown_name('setting', name, SETTINGS)}")
        return [name for name in SETTINGS if name in proposal["value"]]
