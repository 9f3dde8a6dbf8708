"""A table of maps: methods in rows, and in columns images, layers or classes."""

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
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL
from xai_widgets.views.position import Position
from xai_widgets.views.traits import Choice, Unit

#: What may be said of a cell: its map is to come, is being computed, is there, cannot be had, or makes no sense.
STATES = ("waiting", "computing", "done", "failed", "absent")


@dataclass(frozen=True)
class MapCell:
    """One cell of the table.

    Attributes
    ----------
    state : {"waiting", "computing", "done", "failed", "absent"}
        Whether its map is to come, is being computed, is there, cannot be had, or makes no sense.
    map : numpy.ndarray of float16 or float32, shape (h, w), or None
        The map, of any resolution.
    note : str
        Why there is none, or what is to be known of it, in a sentence.
    """

    state: str = "waiting"
    map: NDArray[Any] | None = None
    note: str = ""


class MapGridView(View):
    """A table of maps, each on its picture: compare them under one pointer, enlarge one, ask how far two agree.

    All cells share the place under the pointer: each shows it and its value there. A click enlarges a cell, and
    another one keeps the place. With the table focused, the arrows go from cell to cell (with Shift they move the
    place), Enter enlarges the cell and Escape goes back, p pins it. To the first pinned cell, A, every other shows how
    far it agrees; with a second one, B, all three measures are read out. + and - change the opacity, c the colours, s
    the sign, l the scale, m the measure, i smooth or pixelated. All of it works without a kernel.

    Maps are set by :meth:`show`. Each is a private trait, ``_map_ROW_COLUMN``: a trait is always sent whole, so a list
    of all maps would be sent again for each map that is computed; and custom messages would be missing in saved
    notebooks and exported pages, which hold traits only.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> MapGridView.of([[relevance, gradient]], images=photo, column_labels=["LRP", "gradient"])  # doctest: +SKIP
    """

    _bundle = "map_grid_view"

    images = Bytes(
        (None, None, None, 3),
        stack=True,
        help=(
            "The picture of each column, or the one of all, shape (P, H, W, 3). Floats in [0, 1] are "
            "converted."
        ),
    )
    row_labels: List[str] = List(Unicode(), help="The name of each row.").tag(sync=True)
    column_labels: List[str] = List(Unicode(), help="The name of each column.").tag(sync=True)
    column_captions: List[str] = List(Unicode(), help="A second line for each column.").tag(sync=True)
    states: List[list[str]] = List(
        List(Unicode()), help="Of each row the states of its cells; set by :meth:`show`."
    ).tag(sync=True)
    notes: List[list[str]] = List(
        List(Unicode()),
        help=("Of each row and cell why there is no map, or what is to be known of it; set by :meth:`show`."),
    ).tag(sync=True)
    row = Int(-1, min=-1, help="The row of the active cell; -1 for none.").tag(sync=True)
    column = Int(-1, min=-1, help="The column of the active cell; -1 for none.").tag(sync=True)
    enlarged = Bool(False, help="Whether this cell is shown alone.").tag(sync=True)
    position = Position(help="The marked place, from the top left corner.")
    pins: List[list[int]] = List(
        List(Int(min=0), minlen=2, maxlen=2),
        maxlen=2,
        help="Up to two cells, A and B, whose agreement is asked for.",
    ).tag(sync=True)
    measure = Choice(
        ("pearson", "spearman", "ssim"),
        help=(
            "The agreement with A that the cells show: that of :mod:`xai_widgets.metrics`, after the "
            "smaller map was brought to the resolution of the larger."
        ),
    )
    scale = Choice(
        ("cell", "row", "all"),
        help=(
            "Whether each cell, each row, or the whole table has a scale of its own: of several maps the "
            "colours end where those of the largest do."
        ),
    )
    percentile = Float(
        99.0,
        help=(
            "Colours end at this percentile of the magnitudes of a map. Where it is zero they end at the "
            "largest."
        ),
    ).tag(sync=True)
    sign = Choice(
        ("auto", "both", "positive", "negative", "absolute"),
        help=(
            'Which values are shown, as in :class:`HeatmapView`. "auto", the default, is "both" if the '
            'cell, the row, or any cell, after `scale`, has values below zero, else "positive".'
        ),
    )
    colormap = Choice(
        ("auto", *DIVERGING, *SEQUENTIAL),
        help=(
            'As in :class:`HeatmapView`; "auto", the default, is "blue_orange" for both signs, "inferno" '
            "for one."
        ),
    )
    opacity = Unit(1.0, help="How much the maps cover the pictures.")
    fade = Bool(True, help="Whether small values are more transparent.").tag(sync=True)
    gray = Bool(True, help="Whether the pictures are grey.").tag(sync=True)
    interpolation = Choice(
        ("smooth", "pixelated"),
        help=(
            "Whether values are interpolated between the middles of the cells of a map, or each is a "
            "rectangle."
        ),
    )
    _visible_rows: List[int] = List(Int(), help="The rows on the screen, set by the view.").tag(sync=True)
    size = Int(160, min=16, help="Largest width of a cell in CSS px.").tag(sync=True)
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @classmethod
    def of(cls, maps: Sequence[Sequence[Any]], **traits: Any) -> MapGridView:
        """Make a view of maps that are there.

        Parameters
        ----------
        maps : sequence of sequence of arrays (h, w), or None
            The maps of each row.
        **traits
            Of the view, such as ``images``, ``row_labels`` and ``column_labels``.

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
    ) -> None:
        """Show other cells, in one message that holds the maps which are new.

        Parameters
        ----------
        cells : sequence of sequence of xai_widgets.views.map_grid_view.MapCell
            The cells of each row; a cell with the very array that stood at its place sends nothing.
        row_labels, column_labels, column_captions : sequence of str, optional
            As the traits. Default: as before.
        """
        lengths = {len(row) for row in cells}
        if len(lengths) > 1:
            raise ValueError(f"the rows have {sorted(lengths)} cells, wanted as many in each")
        maps = {_name(r, c): cell.map for r, row in enumerate(cells) for c, cell in enumerate(row)}
        labels = {
            "row_labels": row_labels,
            "column_labels": column_labels,
            "column_captions": column_captions,
        }
        with self.hold_sync():
            self._grow([name for name in maps if not self.has_trait(name)])
            # What lies outside of a smaller table is not kept, nor sent with its state.
            for name in [key for key in self.keys if key.startswith("_map_")]:
                if maps.get(name) is not getattr(self, name):
                    self.set_trait(name, maps.get(name))
            for trait, words in labels.items():
                if words is not None:
                    self.set_trait(trait, list(words))
            self.states = [[cell.state for cell in row] for row in cells]
            self.notes = [[cell.note for cell in row] for row in cells]

    def map_at(self, row: int, column: int) -> NDArray[Any] | None:
        """The map of a cell, or None."""
        found: NDArray[Any] | None = getattr(self, _name(row, column), None)
        return found

    def _grow(self, names: Sequence[str]) -> None:
        """Add a trait for each map of a larger table."""
        if names:
            # Not by ipywidgets, which would send a message for each of them, and with nothing in it.
            HasTraits.add_traits(self, **{name: _Map() for name in names})
            self.keys.extend(names)

    @validate("states")
    def _check_states(self, proposal: dict[str, Any]) -> list[list[str]]:
        for state in (state for row in proposal["value"] for state in row if state not in STATES):
            raise TraitError(f"MapGridView.states: {unknown_name('state', state, STATES)}")
        return list(proposal["value"])

    @validate("percentile")
    def _check_percentile(self, proposal: dict[str, Any]) -> float:
        value = float(proposal["value"])
        if not 0 < value <= 100:
            raise TraitError(f"MapGridView.percentile is {value:g}, wanted more than 0 and at most 100")
        return value

    def still(self) -> preview.Pixels | None:
        """The first rows and columns of the table; a cell without a map is its picture, or white."""
        shown = [[self.map_at(r, c) for c in range(len(row))] for r, row in enumerate(self.states)]
        if self.images is None and not any(one is not None for row in shown for one in row):
            return None
        shape = self.images.shape[1:] if self.images is not None else _largest(shown)
        cells = [
            self._still_cell(shown, row, column, shape)
            for row in range(min(len(shown), preview.MOST))
            for column in range(min(len(shown[0]), preview.MOST))
        ]
        columns = len(shown[0]) if shown else 0
        return preview.table(cells, columns, cell=self.size, smooth=True)

    def _still_cell(
        self, shown: list[list[Any]], row: int, column: int, shape: Sequence[int]
    ) -> preview.Pixels:
        of_scale = {
            "cell": [shown[row][column]],
            "row": shown[row],
            "all": [one for each in shown for one in each],
        }
        return preview.heat(
            None if self.images is None else self.images[min(column, len(self.images) - 1)],
            shown[row][column],
            preview.fitting(shape, self.size),
            **preview.scale_of(
                [one for one in of_scale[self.scale] if one is not None],
                sign=self.sign,
                percentile=self.percentile,
            ),
            colormap=self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            smooth=self.interpolation == "smooth",
        )


class _Map(Array):
    """A map in half or single precision."""

    def __init__(self) -> None:
        super().__init__("float32", (None, None), help="A map (h, w).")

    def cast_array(self, obj: HasTraits, array: NDArray[Any]) -> NDArray[Any]:
        """Halves stay halves."""
        return array if array.dtype == np.float16 else super().cast_array(obj, array)


def _largest(maps: list[list[Any]]) -> Sequence[int]:
    """The shape of the largest map."""
    return max(
        (one.shape for row in maps for one in row if one is not None), key=lambda shape: shape[0] * shape[1]
    )


def _name(row: int, column: int) -> str:
    return f"_map_{row}_{column}"
