"""The tab of the inverse explorer with the methods that the operation-wise inverse reproduces."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from xai_widgets.explorers.inverse_tab import InverseTab
from xai_widgets.explorers.parts import explanation
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.reproductions import SPATIAL
from xai_widgets.methods import METHODS
from xai_widgets.studies.reproductions import (
    SIGMA,
    Original,
    ReproducedMap,
    ReproductionKey,
    ReproductionStudy,
)
from xai_widgets.views import CheckView, MapGridView, link
from xai_widgets.views.map_grid_view import MapCell
from xai_widgets.views.static_repr import set_layout

#: The rows of the table.
ROWS = ("by the inverse", "original", "class-blind")
EXPLANATION = (
    "r: correlation with the original. In parentheses, that of a class-blind map, the sum of all activations: a "
    "reproduction shows something about the class only where it is better."
)
#: The methods, by their names in the table, where there is little room.
SHORT: dict[Original, str] = {
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "Integr. grad.",
    "deconvnet": "Deconv.",
    "excitation_backprop": "EBP",
}


class SettingsTab(InverseTab):
    """The four settings of the operation-wise inverse beside the methods that they reproduce.

    Attributes
    ----------
    grid : MapGridView
        A column for each setting and layer: the map of the inverse, of the original, and the class-blind one.
    blur : CheckView
        Whether both maps are blurred before they are compared, in their coarse structure.
    """

    title = "Reproductions"
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar", "blur")

    study: ReproductionStudy

    def _make_views(self) -> None:
        self.grid = MapGridView(controls=False, size=88)
        self.blur = CheckView(title="Blur maps", help="Compare the coarse structure of both maps")
        # That of the smoothing is decided here.
        for name in (
            name for name in self.owner.display.shown if name in self.grid.keys and name != "smoothing"
        ):
            link((self.owner.display, name), (self.grid, name))
        self.blur.observe(lambda _change: self._draw(), "value")

    def _make_study(self) -> ReproductionStudy:
        study = self.owner.study
        return ReproductionStudy(
            self.owner.model, self.owner.image, settings=study.settings, batch_size=study.batch_size
        )

    def _controls(self) -> Iterable[Any]:
        return (self.blur,)

    def _stage(self) -> Iterable[Any]:
        set_layout(self.grid, min_height="430px", margin="0")
        return self.grid, explanation(EXPLANATION)

    def _keys(self) -> list[ReproductionKey]:
        channel = self._strongest()
        return [
            ReproductionKey(name, self.owner.target, channel if name == "deconvnet" else 0) for name in SHORT
        ]

    def _strongest(self) -> int:
        """Return the most active channel of the last convolution or block, with which DeconvNet begins."""
        chain = self.owner.study.chain or Chain.of(self.owner.model, self.owner.image)
        indices = [index for index, unit in enumerate(chain.units) if unit.kind == SPATIAL]
        if not indices:
            return 0
        activation = [*chain.inputs[1:], chain.output][indices[-1]]
        return int(activation[0].flatten(1).amax(1).argmax())

    def _message(self, key: ReproductionKey) -> str:
        return METHODS[key.original].title

    def _draw(self, changed: Any = None) -> None:
        columns: list[tuple[str, str, list[MapCell]]] = []
        for key in self._keys():
            outcome = self.study.outcome(key)
            title = SHORT[key.original] + (f" {key.channel}" if key.original == "deconvnet" else "")
            note = "Not converged." if any("converge" in words for words in outcome.warnings) else ""
            for one in outcome.result or ():
                columns.append((_title(title, one.at), _caption(one, self.blur.value), _cells(one, note)))
            if outcome.error:
                columns.append((title, "", [MapCell("failed", None, outcome.error)] * len(ROWS)))
            elif not outcome.result:
                columns.append((title, "", [MapCell()] * len(ROWS)))
        self.grid.images = self.owner.display_pixels
        self.grid.smoothing = SIGMA if self.blur.value else 0.0
        self.grid.show(
            [[cells[row] for _, _, cells in columns] for row in range(len(ROWS))],
            row_labels=ROWS,
            column_labels=[title for title, _, _ in columns],
            column_captions=[caption for _, caption, _ in columns],
            row_signs=["positive"] * len(ROWS),
        )


def _title(title: str, at: str) -> str:
    return title if at == "image" or title != SHORT["excitation_backprop"] else f"{title} {at}"


def _caption(one: ReproducedMap, blurred: bool) -> str:
    """Return the correlation of a column, with that of the class-blind map."""
    own, blind = (
        (one.blurred_correlation, one.blurred_class_blind_correlation)
        if blurred
        else (one.correlation, one.class_blind_correlation)
    )
    return f"r {_number(own)} ({_number(blind)})"


def _number(value: float) -> str:
    """Return a correlation, or a dash for that with a map that is the same everywhere."""
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _cells(one: ReproducedMap, note: str) -> list[MapCell]:
    maps = (one.map, one.original, one.class_blind)
    return [MapCell("done", each.float().cpu().numpy(), "" if row else note) for row, each in enumerate(maps)]
