"""What the attribution explorer shows: its columns, which map each cell wants, and the order of the computation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import as_sentence, collect_warnings
from xai_widgets.explorers.search import spatial_layers
from xai_widgets.methods import Method
from xai_widgets.views.map_grid_view import MapCell

#: How many columns of layers there are, if no layers are named.
LAYERS = 6


class Key(NamedTuple):
    """What a map depends on; without a layer the method takes its own."""

    method: str
    image: int
    target: int
    layer: str | None


@dataclass(frozen=True)
class Column:
    """One column: its two lines of words, and what its maps are of."""

    name: str
    caption: str
    image: int
    target: int
    layer: str | None = None


@dataclass
class Board:
    """What is shown for one choice of methods, columns and layer, and what is computed for it.

    A change of the choice begins a new board, so nothing of the old one can show; both hold the same `cells`, so
    what the old one still finishes is kept. A change of the images begins other `cells`.
    """

    rows: Sequence[str] = ()
    columns: Sequence[Column] = ()
    keys: Sequence[Sequence[Key | None]] = ()
    pictures: NDArray[np.uint8] | None = None
    cells: dict[Key, MapCell] = field(default_factory=dict)
    computing: Key | None = None

    def missing(self) -> dict[Key, tuple[int, int]]:
        """The maps that are still to be computed, and the row and column in which each is wanted first."""
        wanted: dict[Key, tuple[int, int]] = {}
        for r, row in enumerate(self.keys):
            for c, key in enumerate(row):
                if key is not None and key not in self.cells:
                    wanted.setdefault(key, (r, c))
        return wanted

    def next(self, asked: tuple[int, int], seen: Sequence[int]) -> Key | None:
        """The map to compute next: that of the cell under the hand, then those of the rows on the screen."""
        missing = self.missing()

        def order(key: Key) -> tuple[bool, bool, tuple[int, int]]:
            place = missing[key]
            return place != asked, place[0] not in seen, place

        return min(missing, key=order, default=None)

    def done(self) -> list[MapCell]:
        """The maps that are there."""
        return [cell for cell in self._made() if cell.state == "done"]

    def failed(self) -> list[MapCell]:
        """The cells that say why there is no map."""
        return [cell for cell in self._made() if cell.state == "failed"]

    def _made(self) -> list[MapCell]:
        keys = dict.fromkeys(key for row in self.keys for key in row if key in self.cells)
        return [self.cells[key] for key in keys if key is not None]

    def shown(self) -> Iterator[list[MapCell]]:
        """The cells, row by row."""
        for row in self.keys:
            yield [self._cell(key) for key in row]

    def _cell(self, key: Key | None) -> MapCell:
        if key is None:
            return MapCell("absent", note="takes no layer")
        return self.cells.get(key, MapCell("computing" if key == self.computing else "waiting"))


def takes_layer(method: Method) -> bool:
    """Whether a layer may be named to a method."""
    return "layer" in inspect.signature(method.function).parameters


def compute_cell(model: ImageModel, x: Tensor, methods: Mapping[str, Method], key: Key) -> MapCell:
    """The map of a cell with what the method has warned of, or why there is none."""
    options = {} if key.layer is None else {"layer": key.layer}
    try:
        with collect_warnings() as notes:
            made = methods[key.method].saliency(model, x[key.image : key.image + 1], key.target, **options)
        return MapCell("done", np.ascontiguousarray(made[0].detach().float().cpu().numpy()), "; ".join(notes))
    except Exception as error:  # a method that is none for this network takes no other with it
        return MapCell("failed", note=as_sentence(error))


def check_layers(model: ImageModel, layers: str | Sequence[str] | None) -> list[str]:
    """The layers to choose from: those named, or all blocks and their direct parts that have places."""
    if layers is None:
        return spatial_layers(model)
    names = [layers] if isinstance(layers, str) else list(layers)
    known = {layer.name: layer for layer in model.layers()}
    model.find_layers(names)
    for name in names:
        model.check_spatial(name, known[name].shape)
    return names


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most so many of the names, evenly, with the first and the last."""
    if len(names) <= count:
        return list(names)
    return [names[round(i)] for i in np.linspace(0, len(names) - 1, count)]
