"""The views of the concepts of a class, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_widgets.concepts import ClassConcepts
from xai_widgets.core.model import ImageModel
from xai_widgets.explorers.channel_switches import SwitchedScores
from xai_widgets.explorers.class_gallery import CONCEPTS, clear_gallery
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import display_menu
from xai_widgets.explorers.parts import THUMBNAIL, dropdown, explanation
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.views import ClassPicker, CurveView, GalleryView, HeatmapView, RunBar, ScoresView, SliderView

#: Height of the plot, and width of the images to choose from, CSS px.
PLOT, SMALL = 110, 36
#: Classes in the bars.
BEST = 3
#: Contents of the list.
LISTS = {"concepts": "concepts", "parts": "parts of the concept"}


class ClassViews(Explorer):
    """An explorer with the views of the concepts of a class."""

    model: ImageModel
    target: Any
    result: ClassConcepts | None = None
    _crops: int
    _shares: Tensor
    #: The crops of each row of the list: number of the image, top and left.
    _boxes: Sequence[Sequence[Sequence[int]]] = ()
    #: The concepts in the list, and whether their importances are known.
    _listed: tuple[Any, bool] | None = None

    def _make_views(self, layer: str) -> None:
        model, labels = self.model, self.model.labels
        layers = spatial_layers(model)
        layers += [layer] if layer not in layers else []
        self.class_picker = ClassPicker(labels=labels, target=self.target)
        self.class_picker.probabilities = self._shares.tolist()
        self.layer_picker = dropdown("Layer", layers, layer)
        self.list_picker = dropdown("List", LISTS, "concepts", LISTS)
        self.run_bar = RunBar()
        self.slider = SliderView(label="Concept", values=[1])
        self.heatmap = HeatmapView(
            title="Where the concept is", help="Share of the largest value of the concept in all images"
        )
        self.heatmap.limit = 1.0
        self.image_picker = GalleryView(frame=0, size=SMALL, title="Image", compact=True)
        self.image_picker._needs_kernel = True
        self.scores = ScoresView(
            labels=labels, title="Best classes without the chosen concept", reference_label="with it"
        )
        self._switched = SwitchedScores(model, self.run_bar, noun="concept", first=1)
        self._quick_worker = self._switched.worker
        self.switched: ScoresView = self._switched.view
        self.curves = CurveView(
            x_label="concept", y_range="fit", height=PLOT, title="Shares of importance", controls=False
        )
        self.gallery = GalleryView(columns=self._crops, size=THUMBNAIL, switches=True)
        # A switch needs a pass of the network.
        self.gallery._needs_kernel = True
        self.facts, self.legend = explanation(""), explanation(CONCEPTS)
        self.display = display_menu(self.heatmap)

    def _image(self) -> int:
        """Return the number of the image that is shown."""
        shown = 1 if self.result is None else len(self.result.scores)
        return min(max(self.image_picker.frame, 0), shown - 1)

    def _switch(self) -> None:
        """Show the scores without the concepts that are off."""
        raise NotImplementedError

    def _clear(self) -> None:
        """Show no concepts."""
        self._boxes, self._listed = [], None
        clear_gallery(self.gallery)
        self.image_picker.images = self.heatmap.image = self.heatmap.maps = None
        self._show_curves(None)
        for view in (self.scores, self.switched):
            view.indices = view.values = view.target_values = view.reference = None

    def _draw_concepts(self, result: ClassConcepts) -> None:
        numbers = list(range(1, len(result) + 1))
        with self.slider.hold_sync():
            self.slider.values = numbers
            self.slider.frame = min(self.slider.frame, len(result) - 1)
        shown = range(len(result.scores))
        self.image_picker.images = self.model.to_rgb(torch.stack([result.image(n) for n in shown]))
        self.image_picker.labels = [f"image {result.images[n] + 1}" for n in shown]
        self._show_curves(result if result.complete else None)
        self._show_image()

    def _show_curves(self, result: ClassConcepts | None) -> None:
        """Show both importances of each concept; nothing as long as they are not known."""
        with self.curves.hold_sync():
            if result is None:
                self.curves.x = self.curves.y = None
                self.curves.series = []
                return
            gradient = result.gradient.abs()
            self.curves.x = np.arange(1, 1 + len(result), dtype=np.float32)
            self.curves.y = torch.stack([result.importance, gradient / gradient.sum()])
            self.curves.series = [
                {"label": "Sobol index"},
                {"label": "gradient \u00d7 activation", "style": "dashed"},
            ]

    def _show_image(self) -> None:
        """Show the maps and scores of the chosen image."""
        result, number = self.result, self._image()
        if result is None:
            return
        peaks = result.coefficients.abs().amax((0, 2, 3)).clamp(min=torch.finfo(torch.float32).tiny)
        with self.heatmap.hold_sync():
            self.heatmap.image = self.model.to_rgb(result.image(number)[None])[0]
            self.heatmap.sign = "both" if result.components.kind == "pca" else "positive"
            self.heatmap.maps = (result.coefficients[number] / peaks[:, None, None]).numpy()
            self.heatmap.labels = [f"concept {concept + 1}" for concept in range(len(result))]
        self._show_scores(result, number)
        self._switch()

    def _show_scores(self, result: ClassConcepts, number: int) -> None:
        before, without = (
            self.model.probabilities(scores).float()
            for scores in (result.scores[number], result.removed[number])
        )
        known = bool(without.isfinite().all())
        best = without.topk(min(BEST, without.shape[1]))
        with self.scores.hold_sync():
            self.scores.target = self.target
            self.scores.reference = before.numpy() if known else None
            self.scores.value_limits = self._limits(before, without)
            self.scores.series = [
                {"label": f"without concept {concept + 1}", "frame": concept}
                for concept in range(len(result) if known else 0)
            ]
            self.scores.indices = best.indices[:, None].int() if known else None
            self.scores.values = best.values[:, None] if known else None
            self.scores.target_values = without[:, self.target, None] if known else None

    def _limits(self, *values: Tensor) -> list[float]:
        if self.model.has_probabilities:
            return [0.0, 1.0]
        every = torch.cat([torch.zeros(1), *(part.flatten() for part in values)])
        every = every[every.isfinite()]
        return [float(every.min()), float(max(every.max(), every.min() + 1e-6))]


def in_words(result: ClassConcepts) -> str:
    """Return the factorization with its error, in words."""
    crops, positions = result.components.error, result.map_error
    return f"{result.reason} Relative error {crops:.0%} for crops, {positions:.0%} at positions."
