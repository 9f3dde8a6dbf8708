"""The edits of the perturbation brush: one mask of the image, or two side by side."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, stage
from xai_widgets.explorers.parts import dropdown, scores_title
from xai_widgets.views import BrushView, CheckView, ScoresView, SimilarityView, link
from xai_widgets.views.static_repr import set_layout

#: Fills of painted pixels; the last one depends on the mask.
FILLS = ("blur", "gray", "noise", "inpaint")

#: Names of two edits, and the width of each, CSS px.
EDITS, PAIR_WIDTH = ("A", "B"), 340


class BrushEdits(ImageExplorer):
    """The views of :class:`~xai_widgets.explorers.PerturbationBrush`: a mask and its scores, for each edit."""

    similarity: SimilarityView | None
    _layers: list[str]
    _holder: Any
    _one: Any
    _two: Any

    #: Whether the network in the browser answers the last change of a mask or fill.
    _answered = False

    @abstractmethod
    def _edited(self, *, answered: bool) -> None:
        """Score the painted masks, unless the browser has answered."""

    def _make_edits(self) -> None:
        views = [BrushView(fill_labels=list(FILLS)) for _ in EDITS]
        bars = [ScoresView(labels=self.model.labels) for _ in EDITS]
        (self.brush, self.other), (self.scores, self.other_scores) = views, bars
        for name in ("tool", "shape", "brush_size", "softness", "fill", "display", "opacity", "viewport"):
            link((self.brush, name), (self.other, name))
        self.pair_check = CheckView(title="Two edits", help="Keep two masks of the image side by side")
        self.edit_picker = dropdown("Edit", EDITS, EDITS[0])
        self.edit_picker.help = "The edit that Refine changes; a stroke chooses it, too"

    def _layouts(self) -> tuple[Any, Any]:
        """Return the views of one edit, and those of two."""
        comparison = [] if self.similarity is None else [self.similarity]
        if comparison:
            one = stage(column(self.brush, width=400), column(self.scores, *comparison, width=400))
        else:
            # The tools stand between the image and the bars that follow it.
            one = stage(column(self.brush, weight=3, width=440), column(self.scores, width=200))
        # The scores beside each image, so that both and the tools are on one screen.
        columns = [column(stage(view, scores, width=190), width=400) for view, scores in self._pairs()]
        if comparison:
            columns.append(column(*comparison, width=300))
        return one, stage(*columns)

    def _connect_edits(self) -> None:
        self.pair_check.observe(lambda _change: self._show_edits(), "value")
        for name, (view, _) in zip(EDITS, self._pairs(), strict=True):
            view.observe(lambda _change: self._on_edit(), ["mask", "fill"])
            view.observe(lambda change: change.new or self._edited(answered=False), "_live")
            view.observe(lambda _change, name=name: self._on_stroke(name), "_stroke")
        self.brush.on_copy(lambda: self._copy(self.brush, self.other))
        self.other.on_copy(lambda: self._copy(self.other, self.brush))
        self._show_edits()

    def _pairs(self) -> list[tuple[BrushView, ScoresView]]:
        return [(self.brush, self.scores), (self.other, self.other_scores)]

    @property
    def edits(self) -> list[tuple[BrushView, ScoresView]]:
        """Views of the edits that are shown."""
        return self._pairs()[: 2 if self.pair_check.value else 1]

    @property
    def edited(self) -> BrushView:
        """The edit that "Refine" and :meth:`paint` change."""
        return self.other if self.pair_check.value and self.edit_picker.value == EDITS[1] else self.brush

    def _on_edit(self) -> None:
        # One fill for both edits: the browser answers for both.
        self._edited(answered=any(view.answered for view, _ in self._pairs()))

    def _on_stroke(self, name: str) -> None:
        # A stroke stops the search.
        self.cancel()
        if self.pair_check.value:
            self.edit_picker.value = name

    def _copy(self, source: BrushView, target: BrushView) -> None:
        mask = source.mask
        target.mask = np.zeros(self._x.shape[2:], np.uint8) if mask is None else mask.copy()

    def _show_edits(self) -> None:
        """Show one edit or two."""
        two = self.pair_check.value
        set_layout(self.edit_picker, display=None if two else "none")
        alone = 460 if self._layers else 700
        for name, to, (view, scores) in zip(EDITS, reversed(EDITS), self._pairs(), strict=True):
            view.title = f"Edit {name}" if two else "Paint over the image"
            view.width = PAIR_WIDTH if two else alone
            view.copy_label = f"Copy to {to}" if two else ""
            scores.title = scores_title(self.model, f"of edit {name}" if two else "under the mask")
        self._holder.children = (self._two if two else self._one,)
        self._edited(answered=False)
