"""How the feature explorer shows the image, its objective, small images of other channels, and real examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ipywidgets import HTML

from xai_widgets.explorers.feature_controls import FeatureControls
from xai_widgets.explorers.layout import column, header, stage
from xai_widgets.explorers.parts import show_patches, small_text
from xai_widgets.features.visualization import Visualization
from xai_widgets.studies.feature_examples import DetailKey, ExamplesKey
from xai_widgets.studies.features import CHANNEL, SMALL, FeatureKey, WallKey
from xai_widgets.views import CurveView, GalleryView, HeatmapView
from xai_widgets.views.static_repr import set_layout

#: Points of the curve.
POINTS = 300
#: Channels in a row of the wall.
COLUMNS = 6
#: Greatest width of the image, alone and above real examples, CSS px.
WIDTH, WIDTH_ABOVE = 420, 360
#: Least height of real examples, CSS px.
ROWS = 170


class FeatureDrawing(FeatureControls):
    """The views of :class:`~xai_widgets.explorers.FeatureExplorer`."""

    result: Visualization | None = None

    def _make_views(self) -> None:
        self.view = HeatmapView(width=0, controls=False, color_bar=False)
        self.curve = CurveView(
            x_label="step", height=110, title="Objective", legend=False, controls=False, y_range="fit"
        )
        self.wall = GalleryView(size=SMALL, columns=COLUMNS, interpolation="smooth")
        # A click has an effect in Python, so that the gallery returns to its choice without it.
        self.wall._needs_kernel = True
        self.examples = GalleryView(size=SMALL, interpolation="smooth", empty="Not searched yet.")
        self.note = HTML()
        with_examples = self.study.images is not None
        sliders = (self.total_variation, self.alpha_norm, self.l2)
        pickers = (self.layer_picker, self.objective_picker, self.channel_picker, self.label_picker)
        examples = (self.details_picker, self.examples, self.note)
        self._adopt(*examples)
        # Patches and one row of maps do not change the height when they come.
        set_layout(self.examples, min_height=f"{ROWS}px")
        set_layout(self.view, max_width=f"{WIDTH_ABOVE if with_examples else WIDTH}px")
        self._connect_choices()
        self.wall.observe(lambda change: self._choose_small(change["new"]), "frame")
        self._assemble(
            [
                header(*pickers, self.parameterization_picker, self.transforms, self.run_bar),
                stage(
                    column(self.view, *(examples if with_examples else []), weight=1.2, width=180),
                    column(self.curve, *sliders, weight=1, width=160),
                    column(self.wall, self.page_slider, weight=1.5, width=260),
                ),
            ]
        )
        set_layout(self.details_picker, flex="0 0 auto")
        self._draw()

    def _heading(self) -> str:
        return f"{type(self).__name__} {self.model.name}, {self.study.title(self._key())}"

    def _choose_small(self, index: int) -> None:
        """Make the channel of a small image the objective."""
        if index >= 0:
            channel = self._wall_keys()[0].first + index
            self.channel_picker.value = str(channel)
            self.objective_picker.value = CHANNEL

    def _draw(self, changed: Any = None) -> None:
        key = self._key()
        self.result = self.study.result(key)
        if changed is None or changed == key:
            self._draw_image(key)
            self._draw_curve()
        if changed is None or isinstance(changed, WallKey):
            self._draw_wall()
        if self.study.images is not None and (
            changed is None or isinstance(changed, ExamplesKey | DetailKey)
        ):
            self._draw_examples(key)

    def _draw_image(self, key: FeatureKey) -> None:
        result, outcome = self.result, self.study.outcome(key)
        if result is None:
            gray = torch.full((1, self.model.channels, *self.model.size), 0.5)
            image, note = self.model.to_rgb(gray)[0], outcome.error or "Not computed yet."
        else:
            image = self.model.to_rgb(result.images[0].cpu())
            note = outcome.error or " ".join(outcome.warnings)
        self.view.send_frame(image=image, notes=[note], title=_capital(self.study.title(key)))

    def _draw_curve(self) -> None:
        with self.curve.hold_sync():
            if self.result is None:
                self.curve.x = self.curve.y = None
                self.curve.lines, self.curve.series = [], []
                return
            history = self.result.history[:, 0].cpu()
            every = 1 + len(history) // POINTS
            self.curve.x = every * torch.arange(len(history[::every]))
            self.curve.y = history[None, ::every]
            self.curve.series = [{"label": "objective"}]
            self.curve.lines = [{"y": float(self.result.initial[0]), "label": "first image"}]

    def _draw_wall(self) -> None:
        keys, chosen = self._wall_keys(), self._key()
        blank = np.zeros((*self.study.small_size, 3), dtype=np.uint8)
        images, labels, present = [], [], []
        for key in keys:
            wall = self.study.result(key)
            images += [blank] * key.size if wall is None else list(self.model.to_rgb(wall.images.cpu()))
            present += [wall is not None] * key.size
            complete = self.study.outcome(key).complete
            rose = [True] * key.size if wall is None or not complete else wall.rose.tolist()
            numbers = range(key.first, key.first + key.size)
            labels += [
                str(number) if risen else f"{number}, not risen"
                for number, risen in zip(numbers, rose, strict=True)
            ]
        first = keys[0].first
        on_page = chosen.kind == CHANNEL and first <= chosen.number < first + len(labels)
        with self.wall.hold_sync():
            self.wall.title = f"Channels of {self.layer_picker.value}"
            self.wall.images = np.stack(images)
            self.wall.present = np.array(present, dtype=np.uint8)
            self.wall.labels = labels
            self.wall.frame = chosen.number - first if on_page else -1

    def _draw_examples(self, key: FeatureKey) -> None:
        """Show the patches, the maps of each below it, and the notes about them."""
        outcome = self.study.outcome(ExamplesKey(key.layer)) if key.kind == CHANNEL else None
        found = None if outcome is None else outcome.result
        words = [] if outcome is None else [outcome.error, *outcome.warnings]
        with self.examples.hold_sync():
            if found is None:
                self.examples.images, self.examples.labels, self.examples.row_labels = None, [], []
                self.examples.empty = "" if outcome is None else "Not searched yet."
            else:
                patches = found.patches([key.number])
                rows = {"Patch": patches[0].float().cpu()}
                if (detail := self._detail(key)) is not None:
                    maps = self.study.outcome(detail)
                    if maps.result:
                        rows |= maps.result.rows
                    elif not maps.error:
                        # A row that is not computed yet is empty, and holds its height.
                        rows[""] = torch.full_like(rows["Patch"], torch.nan)
                    words += [maps.result.note if maps.result else "", maps.error, *maps.warnings]
                show_patches(self.model, self.examples, torch.stack(list(rows.values())))
                values = [f"{value:.3g}" for value in found.values[key.number].tolist()]
                self.examples.labels = [*values, *[""] * (len(self.examples.images) - len(values))]
                self.examples.row_labels = list(rows) if len(rows) > 1 else []
        self.note.value = small_text(" ".join(filter(None, words)))


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
