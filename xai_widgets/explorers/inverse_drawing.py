"""The drawing of the results of the inverse explorer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.explorers.inverse_plots import (
    Depth,
    Entry,
    Point,
    caption,
    depth_maps,
    is_complete,
    last_kept,
    notes_of,
    plot_traits,
    weighted_images,
)
from xai_widgets.explorers.inverse_start import StartControls
from xai_widgets.explorers.parts import TOP
from xai_widgets.inverse import Inverted, LayerWise, weighted
from xai_widgets.methods import Method
from xai_widgets.ops.resize import shrink
from xai_widgets.studies.inverse import InverseKey, InverseResult
from xai_widgets.views import CurveView, GalleryView, HeatmapView, ScoresView, SliderView

#: Largest side of an image of the list, in pixels.
THUMBNAIL_SIDE = 160


#: Largest number of images of methods in a row.
IN_A_ROW = 5


class InverseDrawing:
    """Draws an :class:`~xai_widgets.studies.inverse.InverseResult` in the views of an explorer."""

    model: ImageModel
    slider: SliderView
    weight: SliderView
    depth: SliderView
    inverse_view: HeatmapView
    operation_view: HeatmapView
    layer_map: HeatmapView
    operation_map: HeatmapView
    curves: CurveView
    gallery: GalleryView
    scores: ScoresView
    _shown: InverseResult
    _depths: list[Depth]
    _count: int
    _methods: dict[str, Method]
    _start: StartControls
    _limits: Callable[..., list[float]]

    def _draw_result(self, key: InverseKey, result: InverseResult | None) -> None:
        result = InverseResult() if result is None else result
        before, self._shown = self._shown, result
        layers, operations = result.layer_wise, result.operation_wise
        if layers is not before.layer_wise:
            self._draw_maps(self.layer_map, layers)
            self._draw_inverse(key, layers)
        if operations is not before.operation_wise:
            self._draw_maps(self.operation_map, operations)
            self.operation_view.image = (
                self.model.to_rgb(operations.x[0, 0]) if operations and is_complete(operations) else None
            )
        self._draw_depth(before, result)
        self._draw_curves(key, result)
        self._draw_notes(result)

    def _skipped(self) -> int:
        """Return the number of units behind the start."""
        start = self._start.value()
        return 0 if start is None else self._count - 1 - self._start.index(start[0])

    def _draw_notes(self, result: InverseResult) -> None:
        """Show the limits of the inverses on their images."""
        layers, operations = result.layer_wise, result.operation_wise
        one = "The network is one unit: λ changes nothing." if self._count - self._skipped() == 1 else ""
        self.inverse_view.notes = (
            [notes_of(layers, index, one) for index in range(len(layers.lam))]
            if layers and is_complete(layers)
            else []
        )
        self.operation_view.notes = (
            [notes_of(operations, 0)] if operations and is_complete(operations) else []
        )

    def _draw_maps(self, view: HeatmapView, inverse: Inverted | None) -> None:
        """Draw a group for each depth, with a map for each lambda; missing cells are transparent."""
        with view.hold_sync():
            view.groups = len(self._depths)
            known = inverse is not None and bool(inverse.units)
            view.maps = depth_maps(inverse, self._depths, self._skipped()) if known and inverse else None

    def _draw_inverse(self, key: InverseKey, layers: LayerWise | None) -> None:
        """Draw x^ and its scores."""
        if layers is None or not is_complete(layers):
            self.inverse_view.images = self.scores.x = None
            self.scores.values = self.scores.indices = self.scores.target_values = None
            return
        self.inverse_view.images = self.model.to_rgb(layers.x[0])
        probs = self._probabilities_of(layers)
        best = probs.topk(min(TOP, probs.shape[-1]), dim=-1)
        with self.scores.hold_sync():
            self.scores.target = key.target
            self.scores.value_limits = self._limits(best.values.cpu(), probs[:, key.target].cpu())
            self.scores.x = layers.lam
            self.scores.values, self.scores.indices = best.values[None], best.indices[None].int()
            self.scores.target_values = probs[None, :, key.target]

    def _probabilities_of(self, inverse: Inverted) -> Tensor:
        """Return the probability of each class for x^, (L, classes)."""
        assert inverse.output is not None
        return self.model.probabilities(inverse.output[0])

    def _draw_depth(self, before: InverseResult, result: InverseResult) -> None:
        """Show the depths that are reached; the slider follows them to the image unless the user moved it."""
        was, now = self._newest(before), self._newest(result)
        skipped = self._skipped()
        falling = {
            index + skipped
            for inverse in (result.layer_wise, result.operation_wise)
            for index, unit in enumerate(inverse.units if inverse else ())
            if not bool(unit.converged.all())
        }
        with self.depth.hold_sync():
            self.depth.labels = [
                depth.name + (" (not converged)" if depth.after in falling else "") for depth in self._depths
            ]
            self.depth.values = list(range(len(self._depths)))
            self.depth.ready = [
                now is not None and index >= now and depth.after >= skipped
                for index, depth in enumerate(self._depths)
            ]
            if now is not None and (was is None or self.depth.frame == was):
                self.depth.frame = now

    def _newest(self, result: InverseResult) -> int | None:
        """Return the deepest depth reached by either inverse, None before the first."""
        done = max(
            len(inverse.units) if inverse else 0 for inverse in (result.layer_wise, result.operation_wise)
        )
        reached = done + self._skipped() if done else 0
        return next((index for index, depth in enumerate(self._depths) if depth.after < reached), None)

    # -- reconstruction over simplicity ---------------------------------------------------------------------

    def _draw_curves(self, key: InverseKey, result: InverseResult) -> None:
        """Draw the curve over mean(alpha), the baseline, the points of other methods, and their images."""
        layers = result.layer_wise
        if layers is None or not is_complete(layers):
            with self.curves.hold_sync():
                self.curves.x = self.curves.y = self.curves.steps = None
                self.curves.series, self.curves.marks = [], []
            with self.gallery.hold_sync():
                self.gallery.images = self.gallery.present = None
                self.gallery.labels, self.gallery.looks = [], []
            for slider in (self.slider, self.weight):
                slider.marked, slider.mark_label = -1, ""
            return
        alphas, probability = layers.mean_alpha[0], self._probabilities_of(layers)[:, key.target]
        last = last_kept(layers, self._kept(layers, key.target))
        entries = self._entries_of(key, result, max(0, last))
        faded = result.uniform
        traits = plot_traits(
            entries,
            (alphas.cpu().numpy(), probability.cpu().numpy()),
            None if faded is None else (faded.alpha.cpu().numpy(), faded.probability[0].cpu().numpy()),
        )
        label = "" if last < 0 else f"kept up to λ = {layers.lam[last].item():.4g}"
        with self.curves.hold_sync():
            for name, value in traits.items():
                setattr(self.curves, name, value)
            self.curves.marks = [] if last < 0 else [{"x": traits["steps"][last], "label": label}]
        self._draw_gallery(entries, layers)
        for slider in (self.slider, self.weight):
            with slider.hold_sync():
                slider.marked, slider.mark_label = last, label

    def _kept(self, layers: LayerWise, target: int) -> Tensor:
        """Return whether the network assigns x^ to the class, (L,)."""
        if layers.target is not None:
            return layers.reidentified[0] if layers.has_probabilities else torch.zeros(len(layers.lam))
        assert layers.output is not None
        return layers.output[0].argmax(1) == target

    def _entries_of(self, key: InverseKey, result: InverseResult, shown: int) -> list[Entry]:
        """Return the rows of the plot: the layer-wise inverse at an index of lambda, the baseline, the methods."""
        layers, operations = result.layer_wise, result.operation_wise
        assert layers is not None
        alpha = layers.mean_alpha[0, shown].item()
        own = Point(alpha, self._probabilities_of(layers)[shown, key.target].item(), layers.x[0, shown][None])
        entries = [Entry(f"layer-wise, λ = {layers.lam[shown].item():.4g}", own), Entry("uniform fading")]
        if result.uniform is not None:
            nearest = int((result.uniform.alpha - alpha).abs().argmin())
            share = result.uniform.alpha[nearest].item()
            image = weighted(layers.image, share, layers.empty)
            faded = Point(share, result.uniform.probability[0, nearest].item(), image)
            entries[1] = Entry("uniform fading", faded)
        point = None
        if operations is not None and is_complete(operations):
            probability = self._probabilities_of(operations)[0, key.target].item()
            point = Point(operations.mean_alpha.item(), probability, operations.x[0])
        entries.append(Entry("operation-wise", point, dict(result.failed).get("operation-wise", "")))
        points = {each.title: each for each in result.points}
        for method in self._methods.values():
            found = points.get(method.title)
            warning = dict(result.warnings).get(method.title, "")
            note = dict(result.failed).get(method.title, f"⚠ {warning}" if warning else "")
            known = None if found is None else Point(found.mean_alpha, found.probability, found.x[None])
            entries.append(Entry(method.title, known, note))
        return entries

    def _draw_gallery(self, entries: list[Entry], layers: LayerWise) -> None:
        empty = layers.empty[:, None, None].expand(layers.image.shape[1:])
        images, present = weighted_images(entries, empty)
        with self.gallery.hold_sync():
            # In one row of a narrow window, names would not fit below their images.
            self.gallery.columns = -(-len(entries) // -(-len(entries) // IN_A_ROW))
            self.gallery.images = self.model.to_rgb(shrink(images, THUMBNAIL_SIDE))
            self.gallery.labels = [caption(entry) for entry in entries]
            self.gallery.looks = list(range(len(entries)))
            # The image of a method that failed is empty, with the reason.
            self.gallery.present = present | [bool(entry.note) for entry in entries]
