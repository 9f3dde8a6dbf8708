"""The table of the attribution explorer: its columns, the map of each cell, and the order of the computation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.cached import cached_property
from xai_widgets.studies import AttributionKey, AttributionStudy, Outcome
from xai_widgets.views.map_grid_view import MapCell


@dataclass(frozen=True)
class Column:
    """One column: its two lines of text, and the image, class and layer of its maps."""

    name: str
    caption: str
    image: int
    target: int
    layer: str | None = None


@dataclass(frozen=True)
class Board:
    """The methods in rows, the columns, and the key of each cell, for one choice of the controls.

    Attributes
    ----------
    rows : sequence of str
        Names of the methods.
    columns : sequence of Column
    keys : sequence of sequence of AttributionKey or None
        None for a layer of a method that takes none.
    pixels : numpy.ndarray of uint8, shape (P, H, W, 3)
        The image of each column, or the image of all.
    """

    rows: Sequence[str]
    columns: Sequence[Column]
    keys: Sequence[Sequence[AttributionKey | None]]
    pixels: NDArray[np.uint8]

    @cached_property
    def positions(self) -> dict[AttributionKey, tuple[int, int]]:
        """Row and column of the first cell of each key."""
        cells: dict[AttributionKey, tuple[int, int]] = {}
        for r, row in enumerate(self.keys):
            for c, key in enumerate(row):
                if key is not None:
                    cells.setdefault(key, (r, c))
        return cells

    def first(
        self,
        keys: Collection[AttributionKey],
        cursor: tuple[int, int],
        visible: Collection[int],
        slow: Collection[str] = (),
    ) -> AttributionKey:
        """Return the key to compute first: of the cell under the pointer, then of the visible rows.

        Methods that are ``slow`` come last, so that most of the table is there at once.
        """

        def order(key: AttributionKey) -> tuple[bool, bool, bool, tuple[int, int]]:
            position = self.positions.get(key, (-1, -1))
            return position != cursor, key.method in slow, position[0] not in visible, position

        return min(keys, key=order)


class Cells:
    """The cells of the maps of a study, each the same object until its map changes, so that it is sent once."""

    def __init__(self, study: AttributionStudy) -> None:
        self.study = study
        self._cells: dict[AttributionKey, tuple[Outcome[Tensor], MapCell]] = {}

    def cell(self, key: AttributionKey | None, *, computing: bool = False) -> MapCell:
        """Return the cell of a key; ``computing`` is its state until the map is complete."""
        if key is None:
            return MapCell("absent", note="not layer-wise")
        outcome = self.study.outcome(key)
        if not outcome.complete:
            return MapCell("computing" if computing else "waiting")
        known = self._cells.get(key)
        if known is None or known[0] is not outcome:
            known = self._cells[key] = outcome, map_cell(outcome, self.study.model.name)
        return known[1]


def map_cell(outcome: Outcome[Tensor], network: str) -> MapCell:
    """Return the cell of a complete map with its warnings, or with the reason why there is none.

    The name of the network is left out: a cell has few lines, and all of them are about one network.
    """
    if outcome.result is None:
        return MapCell("failed", note=_without(network, outcome.error))
    return MapCell("done", outcome.result.numpy(), _without(network, "; ".join(outcome.warnings)))


def _without(network: str, text: str) -> str:
    for word in ("of", "for"):
        text = text.replace(f" {word} {network}", "")
    return text
