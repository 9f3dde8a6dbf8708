"""The images on which two methods differ most by a metric, with the maps of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from traitlets import Bool, Dict, Float, Int, List, Unicode

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.colors import shown_sign
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL
from xai_widgets.views.pair import Pair
from xai_widgets.views.traits import INTERPOLATIONS, Choice, Unit

#: Which values of a map are shown.
SIGNS = ("auto", "both", "positive", "negative", "absolute")


class PairView(View):
    """The images that decide between two rows of a `LeaderboardView`: those with the largest differences of a metric.

    Bars show the difference on every image, sorted: above the line where A is better, below where B is. The first and
    the last of them are below, with the maps of A and of B on the image, both scores, and the class. A click on a bar
    or on an image enlarges it; the arrow keys go to the next one there, and Escape closes it. The choice of the rows
    and of the metric works without a kernel, with the images and maps that were sent.
    """

    _bundle = "pair_view"

    rows: List[dict[str, Any]] = List(
        Dict(), help="A dictionary for each of R rows, as in `LeaderboardView.rows`."
    ).tag(sync=True)
    columns: List[dict[str, Any]] = List(
        Dict(), help="A dictionary for each of M metrics, as in `LeaderboardView.columns`."
    ).tag(sync=True)
    scores = Array(
        "float32", (None, None, None), help="The score of each item, shape (R, M, I); NaN for none."
    )
    labels: List[str] = List(Unicode(), help="The name of each of I items, such as that of the image.").tag(
        sync=True
    )
    classes: List[str] = List(Unicode(), help="The class of each item.").tag(sync=True)
    differences = Array(
        "float32",
        (None, None, None, 2),
        help=(
            "Ends of the interval of the mean of row a less that of row b, shape (M, R, R, 2); NaN where unknown."
        ),
    )
    images = Bytes((None, None, None, 3), help="Images that were sent, shape (K, H, W, 3).")
    image_items: List[int] = List(Int(), help="The item of each of `images`.").tag(sync=True)
    maps = Array(
        "float16",
        (None, None, None),
        help="Maps that were sent, each divided by its largest magnitude, shape (L, h, w).",
    )
    map_sizes: List[list[int]] = List(
        List(Int()), help="Rows and columns of each of `maps`, in its upper left corner; empty if all of it."
    ).tag(sync=True)
    map_rows: List[int] = List(Int(), help="The row of each of `maps`.").tag(sync=True)
    map_items: List[int] = List(Int(), help="The item of each of `maps`.").tag(sync=True)
    signs: List[str] = List(
        Unicode(),
        help='The sign of the maps of each row where `sign` is "auto"; see `MapGridView.row_signs`.',
    ).tag(sync=True)
    metric = Unicode("", help="The chosen metric; empty for the first one.").tag(sync=True)
    pair = Pair(help="The names of the rows that are compared, A and B.")
    count = Int(3, min=1, help="Number of images where A is better, and of those where B is.").tag(sync=True)
    frame = Int(-1, min=-1, help="The item that is enlarged; -1 for none.").tag(sync=True)
    pending = Unicode("", help="Why maps are missing, such as that they are being computed.").tag(sync=True)
    opacity = Unit(0.8, help="Opacity of the maps.")
    colormap = Choice(("auto", *DIVERGING, *SEQUENTIAL), help="Color map; see `HeatmapView`.")
    sign = Choice(SIGNS, help="Which values are shown; see `HeatmapView`.")
    percentile = Float(99.0, help="The percentile of the magnitudes at which the colors end.").tag(sync=True)
    smoothing = Float(0.0, min=0.0, help="Smoothing of the maps; see `HeatmapView`.").tag(sync=True)
    fade = Bool(True, help="Whether small values are more transparent.").tag(sync=True)
    gray = Bool(True, help="Whether the images are shown in gray.").tag(sync=True)
    interpolation = Choice(INTERPOLATIONS, help="How maps are enlarged.")
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    def shown(self) -> list[int]:
        """Return the items whose images are shown: those where A is better, and those where B is."""
        names = [row["name"] for row in self.rows]
        if self.scores is None or len(self.pair) < 2 or not all(name in names for name in self.pair):
            return []
        metrics = [column["name"] for column in self.columns]
        column = metrics.index(self.metric) if self.metric in metrics else 0
        if not metrics:
            return []
        a, b = (self.scores[names.index(name), column] for name in self.pair)
        gain = (b - a) if self.columns[column].get("direction") == "lower" else (a - b)
        order = sorted(np.flatnonzero(np.isfinite(gain)).tolist(), key=lambda item: -float(gain[item]))
        better = [item for item in order if gain[item] > 0][: self.count]
        worse = [item for item in reversed(order) if gain[item] < 0][: self.count]
        return [*better, *worse]

    def static_image(self) -> preview.Pixels | None:
        """Return the images with the map of A, and below them those with the map of B."""
        names = [row["name"] for row in self.rows]
        items = [item for item in self.shown() if item in self.image_items]
        if self.images is None or not items:
            return None
        known = {pair: at for at, pair in enumerate(zip(self.map_rows, self.map_items, strict=False))}
        cells = []
        for name in self.pair:
            row = names.index(name)
            for item in items:
                at = known.get((row, item))
                values = None if at is None else self._map(at)
                own = self.signs[row] if row < len(self.signs) else "auto"
                cells.append(self._draw(self.images[self.image_items.index(item)], values, own))
        return preview.image_table(cells, len(items), cell=96, smooth=True)

    def _map(self, at: int) -> Any:
        if self.maps is None:
            return None
        height, width = self.map_sizes[at] if at < len(self.map_sizes) else self.maps.shape[1:]
        return self.maps[at, :height, :width].astype(np.float32)

    def _draw(self, image: preview.Pixels, values: Any, own: str) -> preview.Pixels:
        sign = shown_sign(self.sign, self.colormap, own, *([] if values is None else [values]))
        scale = preview.scale_of([] if values is None else [values], sign=sign, percentile=self.percentile)
        return preview.draw_heatmap(
            image,
            values,
            preview.fit_size(image.shape, 96),
            **scale,
            colormap=self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            interpolation=self.interpolation,
        )
