"""A table of maps: methods in rows; images, layers or classes in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Float, HasTraits, Int, List, TraitError, Unicode, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.colors import shown_sign
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL
from xai_widgets.views.position import Position
from xai_widgets.views.traits import INTERPOLATIONS, Choice, Unit
from xai_widgets.views.viewport import Viewport

#: States of a cell; "absent" means that the cell has no map by design.
STATES = ("waiting", "computing", "done", "failed", "absent")
#: Which values of a map are shown.
SIGNS = ("auto", "both", "positive", "negative", "absolute")


@dataclass(frozen=True)
class MapCell:
    """One cell of the table.

    Attributes
    ----------
    state : {"waiting", "computing", "done", "failed", "absent"}
        State of its map; "absent" means that the cell has no map by design.
    map : numpy.ndarray of float16 or float32, shape (h, w), or None
        Map of any resolution.
    note : str
        Why the map is missing, or a warning about it, in one sentence.
    """

    state: str = "waiting"
    map: NDArray[Any] | None = None
    note: str = ""


class MapGridView(View):
    """A table of maps, each on its image, to compare values at one position, enlarge a cell and measure agreement.

    Cells take the width that there is. The cells of a single column stand side by side, each with the name of its row.

    All cells mark the position under the pointer and show their values there. A click enlarges a cell over the page;
    a click there marks the position. With the table focused, the arrow keys move between cells (with Shift they move
    the position), Enter enlarges the cell, Escape goes back and p pins the cell. Every cell shows its agreement with
    the first pinned cell, A, by which the rows can be sorted; with a second one, B, all three measures of A and B are
    shown, and d shows both beside their difference, each divided by the end of its own scale. + and - change the
    opacity, c the color map, s the sign, l the scale, m the measure and i the interpolation. All of it works without a
    kernel.

    Maps are set by :meth:`show`. Each is a private trait, ``_map_ROW_COLUMN``: a list of all maps would be sent again
    for each new map, because a trait is always sent whole, and custom messages are not stored in saved notebooks and
    exported pages.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> MapGridView.of([[relevance, gradient]], images=photo, column_labels=["LRP", "gradient"])  # doctest: +SKIP
    """

    _bundle = "map_grid_view"

    images = Bytes(
        (None, None, None, 3),
        stack=True,
        help=(
            "An image for each column, or one for all, shape (P, H, W, 3). Floats in [0, 1] are converted."
        ),
    )
    row_labels: List[str] = List(Unicode(), help="The name of each row.").tag(sync=True)
    column_labels: List[str] = List(Unicode(), help="The name of each column.").tag(sync=True)
    column_captions: List[str] = List(Unicode(), help="A second line for each column.").tag(sync=True)
    row_signs: List[str] = List(
        Unicode(),
        help=(
            'The sign of each row where `sign` is "auto": "auto", "both", "positive", "negative" or "absolute". Rows '
            'that are not listed are "auto".'
        ),
    ).tag(sync=True)
    states: List[list[str]] = List(
        List(Unicode()), help="The state of each cell, by rows; set by :meth:`show`."
    ).tag(sync=True)
    notes: List[list[str]] = List(
        List(Unicode()),
        help="The note of each cell, by rows; set by :meth:`show`.",
    ).tag(sync=True)
    row = Int(-1, min=-1, help="The row of the active cell; -1 for none.").tag(sync=True)
    column = Int(-1, min=-1, help="The column of the active cell; -1 for none.").tag(sync=True)
    enlarged = Bool(False, help="Whether the active cell is enlarged, over the page.").tag(sync=True)
    compared = Bool(
        False,
        help="Whether the two pinned cells and their difference are enlarged instead of the active cell.",
    ).tag(sync=True)
    position = Position(help="The marked position, from the top left corner.")
    smoothing = Float(
        0.0,
        min=0.0,
        help="Standard deviation of the Gaussian that smooths the maps, in their pixels, as in :class:`HeatmapView`.",
    ).tag(sync=True)
    viewport = Viewport()
    pins: List[list[int]] = List(
        List(Int(min=0), minlen=2, maxlen=2),
        maxlen=2,
        help="Up to two pinned cells [row, column], A and B.",
    ).tag(sync=True)
    measure = Choice(
        ("pearson", "spearman", "ssim"),
        help=(
            "The measure of agreement with A, as in :mod:`xai_widgets.metrics`; the smaller map is first "
            "resized to the resolution of the larger."
        ),
    )
    scale = Choice(
        ("cell", "row", "all"),
        help=(
            "Whether each cell, each row, or the whole table has its own scale, which ends at the largest "
            "limit of its maps."
        ),
    )
    percentile = Float(
        99.0,
        help=(
            "The percentile of the magnitudes of a map at which the scale ends. Where it is zero, the scale "
            "ends at the largest."
        ),
    ).tag(sync=True)
    sign = Choice(
        SIGNS,
        help=(
            'Which values are shown, as in :class:`HeatmapView`. "auto" is the sign of `row_signs`; without one, '
            '"both" if a map of the row, or one that shares the scale, has values below zero, else "positive".'
        ),
    )
    colormap = Choice(
        ("auto", *DIVERGING, *SEQUENTIAL),
        help=(
            'Color map, as in :class:`HeatmapView`; "auto" is "blue_orange" for both signs, "inferno" for '
            "one."
        ),
    )
    opacity = Unit(1.0, help="Opacity of the maps.")
    fade = Bool(True, help="Whether small values are more transparent.").tag(sync=True)
    gray = Bool(True, help="Whether the images are shown in gray.").tag(sync=True)
    interpolation = Choice(
        INTERPOLATIONS,
        help=(
            'How maps are enlarged before they are colored: "bicubic" or "smooth" (bilinear) interpolates values; '
            '"pixelated" draws each value as a rectangle.'
        ),
    )
    _visible_rows: List[int] = List(Int(), help="Indices of the visible rows, set by the browser.").tag(
        sync=True
    )
    sort = Choice(
        ("given", "agreement"),
        help="The order of the rows: as given, or by the agreement with A, from the largest to the smallest.",
    )
    size = Int(360, min=16, help="Maximum width of a cell in CSS px.").tag(sync=True)
    height = Int(
        0,
        min=0,
        help="Maximum height of the cells in CSS px, of which the rest is reached by scrolling; 0 for all.",
    ).tag(sync=True)
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @classmethod
    def of(cls, maps: Sequence[Sequence[Any]], **traits: Any) -> MapGridView:
        """Create a view of computed maps.

        Parameters
        ----------
        maps : sequence of sequence of arrays (h, w), or None
            The maps of each row.
        **traits
            Traits of the view, such as ``images``, ``row_labels`` and ``column_labels``.

        Returns
        -------
        MapGridView
        """
        view = cls(**traits)
        view.show([[MapCell("absent" if one is None else "done", one) for one in row] for row in maps])
        return view

    def show(
        self,
        cells: Sequence[Sequence[MapCell]],
        *,
        row_labels: Sequence[str] | None = None,
        column_labels: Sequence[str] | None = None,
        column_captions: Sequence[str] | None = None,
        row_signs: Sequence[str] | None = None,
    ) -> None:
        """Replace the cells, in one message that holds only the new maps.

        Parameters
        ----------
        cells : sequence of sequence of xai_widgets.views.map_grid_view.MapCell
            The cells of each row; an array that the same cell already shows is not sent again.
        row_labels, column_labels, column_captions, row_signs : sequence of str, optional
            New values of these traits; None keeps them.
        """
        lengths = {len(row) for row in cells}
        if len(lengths) > 1:
            raise ValueError(f"expected as many cells in each row, got {sorted(lengths)}")
        maps = {_name(r, c): cell.map for r, row in enumerate(cells) for c, cell in enumerate(row)}
        labels = {
            "row_labels": row_labels,
            "column_labels": column_labels,
            "column_captions": column_captions,
            "row_signs": row_signs,
        }
        with self.hold_sync():
            self._grow([name for name in maps if not self.has_trait(name)])
            # Remove the maps outside of a smaller table, so that they are not sent with its state.
            for name in [key for key in self.keys if key.startswith("_map_")]:
                if maps.get(name) is not getattr(self, name):
                    self.set_trait(name, maps.get(name))
            for trait, words in labels.items():
                if words is not None:
                    self.set_trait(trait, list(words))
            self.states = [[cell.state for cell in row] for row in cells]
            self.notes = [[cell.note for cell in row] for row in cells]

    def map_at(self, row: int, column: int) -> NDArray[Any] | None:
        """Return the map of a cell, or None."""
        array: NDArray[Any] | None = getattr(self, _name(row, column), None)
        return array

    def _grow(self, names: Sequence[str]) -> None:
        """Add traits for the maps of a larger table."""
        if names:
            # `add_traits` of ipywidgets would send an empty message for each of them.
            HasTraits.add_traits(self, **{name: _Map() for name in names})
            self.keys.extend(names)

    @validate("states")
    def _check_states(self, proposal: dict[str, Any]) -> list[list[str]]:
        for state in (state for row in proposal["value"] for state in row if state not in STATES):
            raise TraitError(f"MapGridView.states: {unknown_name('state', state, STATES)}")
        return list(proposal["value"])

    @validate("row_signs")
    def _check_signs(self, proposal: dict[str, Any]) -> list[str]:
        for sign in proposal["value"]:
            if sign not in SIGNS:
                raise TraitError(f"MapGridView.row_signs: {unknown_name('sign', sign, SIGNS)}")
        return list(proposal["value"])

    @validate("percentile")
    def _check_percentile(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value <= 100:
            raise TraitError(f"expected MapGridView.percentile to be above 0 and at most 100, got {value:g}")
        return value

    def static_image(self) -> preview.Pixels | None:
        """Return the first rows and columns; a cell without a map shows its image, or is white."""
        shown = [[self.map_at(r, c) for c in range(len(row))] for r, row in enumerate(self.states)]
        if self.images is None and not any(one is not None for row in shown for one in row):
            return None
        shape = self.images.shape[1:] if self.images is not None else _largest(shown)
        cells = [
            self._draw_cell(shown, row, column, shape)
            for row in range(min(len(shown), preview.MAX_CELLS))
            for column in range(min(len(shown[0]), preview.MAX_CELLS))
        ]
        columns = len(shown[0]) if shown else 0
        return preview.image_table(cells, columns, cell=self.size, smooth=True)

    def _draw_cell(
        self, shown: list[list[Any]], row: int, column: int, shape: Sequence[int]
    ) -> preview.Pixels:
        sharing = {
            "cell": [shown[row][column]],
            "row": shown[row],
            "all": [one for each in shown for one in each],
        }
        own = dict(enumerate(self.row_signs)).get(row, "auto")
        maps = [one for one in shown[row] if one is not None]
        sign = shown_sign(self.sign, self.colormap, own, *maps)
        sharing = {
            name: [None if one is None else preview.smooth_map(one, self.smoothing, sign) for one in maps]
            for name, maps in sharing.items()
        }
        return preview.draw_heatmap(
            None if self.images is None else self.images[min(column, len(self.images) - 1)],
            None
            if shown[row][column] is None
            else preview.smooth_map(shown[row][column], self.smoothing, sign),
            preview.fit_size(shape, self.size),
            **preview.scale_of(
                [one for one in sharing[self.scale] if one is not None],
                sign=sign,
                percentile=self.percentile,
            ),
            colormap=self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            interpolation=self.interpolation,
        )


class _Map(Array):
    """A trait that holds a map of float16 or float32."""

    def __init__(self) -> None:
        super().__init__("float32", (None, None), help="A map (h, w).")

    def cast_array(self, obj: HasTraits, array: NDArray[Any]) -> NDArray[Any]:
        """Keep arrays of float16; cast others to float32."""
        return array if array.dtype == np.float16 else super().cast_array(obj, array)


def _largest(maps: list[list[Any]]) -> Sequence[int]:
    """Return the shape of the largest map."""
    return max(
        (one.shape for row in maps for one in row if one is not None), key=lambda shape: shape[0] * shape[1]
    )


def _name(row: int, column: int) -> str:
    return f"_map_{row}_{column}"
