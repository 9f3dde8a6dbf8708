"""The views of the concept explorer, and the results that they draw."""

from __future__ import annotations

import math
from abc import abstractmethod
from html import escape
from typing import Any

import numpy as np
from ipywidgets import HTML, Layout, Tab

from xai_widgets.concepts.probe_data import FEWEST
from xai_widgets.core.model import ImageModel
from xai_widgets.explorers.concept_drawing import (
    concepts_of_filter,
    draw_examples,
    draw_map,
    examples_of,
    filter_bars,
    filter_name,
    listed_filters,
    segmentations,
)
from xai_widgets.explorers.concept_filter import FilterPanel
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import column, stage
from xai_widgets.explorers.parts import explanation, small_html, wide
from xai_widgets.studies.concepts import ConceptKey, ConceptStudy, LayerConcepts
from xai_widgets.views import BarsView, CurveView, EmbeddingView, GalleryView, SelectView, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: Height of the plot, of the maps of concepts, and of an example, CSS px.
PLOT, MAP, EXAMPLE = 130, 310, 64
#: Size of an example where two layers are compared, CSS px.
COMPARED = 44
#: Least height of a tab, CSS px.
STAGE = 425
TABS = ("Examples", "Filters", "Embedding")
#: Texts in place of examples and bars.
UNKNOWN = "Not computed yet."
TOO_FEW = f"Fewer than {FEWEST} training images show this concept, so nothing is learned."
NOWHERE = "No validation image is segmented with an IoU above 0."
LEGEND = "Bright: segmented as the concept. Yellow: its label mask. One column for each decile of the IoUs above 0."


class ConceptViews(Explorer):
    """An explorer with the views of concepts: examples, filters, and a map."""

    study: ConceptStudy
    result: LayerConcepts | None = None
    models: list[ImageModel]
    model: ImageModel
    concept_picker: SelectView
    tabs: Tab
    _choosing = False
    #: The results that are drawn, the filters with a bar, and the images of the examples.
    _drawn: list[Any]
    _listed: list[int]
    _shown: list[int]

    @property
    @abstractmethod
    def concept(self) -> int:
        """Index of the chosen concept."""

    @abstractmethod
    def _options(self) -> list[str]:
        """Return the option of each concept."""

    @abstractmethod
    def _keys(self) -> list[ConceptKey]:
        """Return the keys that the controls choose."""

    def _make_views(self) -> None:
        self.slider = SliderView(label="Filters combined (F)", values=[1], frame=0)
        self.examples = GalleryView(columns=10, size=EXAMPLE)
        self.curves = CurveView(
            x_label="number of filters F",
            y_label="set IoU",
            x_scale="log",
            y_range="fit",
            snap=True,
            height=PLOT,
            controls=False,
        )
        self.bars = BarsView(
            title="Weights beside the IoU of each filter alone",
            row_title="filter",
            series=["weight", "IoU alone"],
        )
        self.filter = FilterPanel(self.model, self.run_bar)
        self._quick_worker = self.filter.worker
        self.map = EmbeddingView(height=MAP)
        self.other_map = EmbeddingView(height=MAP)
        self.caption = HTML(layout=Layout(margin="0 8px"))
        link((self.slider, "fraction"), (self.curves, "fraction"))
        link((self.slider, "frame"), (self.examples, "step"), (self.bars, "step"))

    def _make_tabs(self) -> Tab:
        """Return the tabs of the views."""
        set_layout(self.curves, min_height=f"{PLOT + 70}px")
        examples = column(
            self.examples,
            stage(
                column(self.curves, weight=1.6, width=300),
                column(self.caption, self.slider, explanation(LEGEND), width=220),
            ),
        )
        filters = stage(
            # The slider stands in two tabs, with one value.
            column(self.bars, self.slider, width=280),
            column(*self.filter.parts, weight=1.4, width=290),
        )
        maps = stage(column(self.map, width=300), column(self.other_map, width=300))
        self._other_column = maps.children[1]
        self.tabs = Tab(children=[examples, filters, maps], layout=wide())
        for number, title in enumerate(TABS):
            self.tabs.set_title(number, title)
        for page in self.tabs.children:
            # Keep one height before and after the first result.
            set_layout(page, min_height=f"{STAGE}px")
        return self.tabs

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: Any = None) -> None:
        results = [self.study.result(key) for key in self._keys()]
        if (
            self._drawn
            and len(results) == len(self._drawn)
            and all(one is other for one, other in zip(results, self._drawn, strict=True))
        ):
            return
        self._drawn = list(results)
        self.result = results[0]
        self._draw_counts()
        self._draw_maps()
        self._draw_concept()

    def _results(self) -> list[tuple[ConceptKey, LayerConcepts]]:
        pairs = zip(self._keys(), self._drawn, strict=False)
        return [(key, result) for key, result in pairs if result is not None]

    def _draw_counts(self) -> None:
        counts = list(self.result.counts) if self.result is not None and len(self.result.refits) > 1 else [1]
        with self.slider.hold_sync():
            if self.slider.values != counts:
                self.slider.values = counts
                self.slider.frame = len(counts) - 1
            self.slider.ready = [] if len(counts) > 1 else [False]
        # A page without a browser that joins them, such as an export, has the same values.
        self.curves.fraction = self.slider.fraction
        self.examples.step = self.bars.step = self.slider.frame
        self._label_concepts()

    def _label_concepts(self) -> None:
        if self.result is None:
            self.concept_picker.labels = {}
            return
        positives = self.result.train.segmented.tolist()
        self.concept_picker.labels = {
            option: f"{option} ({count} images)"
            for option, count in zip(self._options(), positives, strict=True)
        }

    def _draw_concept(self) -> None:
        index = self.concept
        for view in (self.map, self.other_map):
            self._choosing = True
            view.frame = index
            self._choosing = False
        results = self._results()
        if self.result is None or not results:
            self._clear()
            return
        self.caption.value = small_html(_caption(self.result, index))
        self._draw_examples(index, results)
        self._draw_curves(index, results)
        known = bool(self.result.single.trained[index])
        self._listed = listed_filters(self.result, index) if known else []
        with self.bars.hold_sync():
            self.bars.empty = TOO_FEW
            self.bars.labels = [filter_name(self.result.dissection, one) for one in self._listed]
            self.bars.values = filter_bars(self.result, index, self._listed) if self._listed else None
            self.bars.frame = 0 if self._listed else -1
        self._draw_filter()

    def _clear(self) -> None:
        with self.examples.hold_sync():
            self.examples.images, self.examples.labels, self.examples.row_labels = None, [], []
            self.examples.pages, self.examples.empty = 1, UNKNOWN
        self._listed, self._shown = [], []
        self.bars.empty = UNKNOWN
        self.caption.value = ""
        self.curves.x = self.curves.y = self.bars.values = None
        self.curves.series, self.curves.lines, self.bars.labels = [], [], []
        self.bars.frame = -1
        self.filter.clear()

    def _draw_examples(self, index: int, results: list[tuple[ConceptKey, LayerConcepts]]) -> None:
        assert self.result is not None
        known = bool(self.result.single.trained[index])
        shown = examples_of(self.result, index) if known else []
        self._shown = shown
        several = len(results) > 1
        rows = (
            [
                row
                for key, result in results
                for row in segmentations(result, index, shown, f"{self._name(key)}: " if several else "")
            ]
            if shown
            else []
        )
        with self.examples.hold_sync():
            self.examples.size = EXAMPLE if len(rows) < 3 else COMPARED
            self.examples.empty = NOWHERE if known else TOO_FEW
            if not rows:
                self.examples.images, self.examples.labels, self.examples.row_labels = None, [], []
                self.examples.pages, self.examples.frame = 1, -1
                return
            data = self.study.images(results[0][0])[1]
            images, captions = draw_examples(self.model, data, self.result, index, shown, rows)
            self.examples.columns, self.examples.pages = len(shown), max(len(row.masks) for row in rows)
            self.examples.images, self.examples.labels = images, captions
            self.examples.row_labels = [row.name for row in rows]
            self.examples.frame = len(shown) - 1

    def _name(self, key: ConceptKey) -> str:
        return key.layer if key.network == 0 else f"{self.models[key.network].name} {key.layer}"

    def _draw_curves(self, index: int, results: list[tuple[ConceptKey, LayerConcepts]]) -> None:
        assert self.result is not None
        several = len(results) > 1
        x = np.array(self.result.counts, np.float32)
        rows, series, lines = [], [], []
        for key, result in results:
            name = f"{self._name(key)}: " if several else ""
            alone = float(result.single.iou_set[index])
            if math.isfinite(alone):
                lines.append({"y": alone, "label": f"{name}best filter"})
            if len(result.refits) < 2:
                continue
            # The last number is the width of each layer.
            known = dict(zip(result.counts[:-1], result.refits, strict=False))
            # Curves of the training images of two layers would hide those of the validation images.
            for which, style in (("score", "solid"), ("train_score", "dashed"))[: 1 if several else 2]:
                values = [
                    float(getattr(known[count], which)[index]) if count in known else math.nan
                    for count in self.result.counts[:-1]
                ]
                rows.append([*values, float(getattr(result.refits[-1], which)[index])])
                split = "validation" if which == "score" else "training"
                series.append({"label": self._name(key) if several else split, "style": style})
        with self.curves.hold_sync():
            self.curves.x = x if rows else None
            self.curves.y = np.array(rows, np.float32) if rows else None
            self.curves.series, self.curves.lines = series, lines

    def _draw_filter(self) -> None:
        key = self._keys()[0]
        if self.result is None or not 0 <= self.bars.frame < len(self._listed):
            self.filter.clear()
            return
        index = self._listed[self.bars.frame]
        image = None
        if self._shown:
            image = self._shown[max(self.examples.frame, 0) % len(self._shown)]
        data = self.study.images(key)[1]
        self.filter.show(
            self.result,
            index,
            concepts_of_filter(self.result.dissection, index),
            None if image is None else data[image].image,
        )

    def _draw_maps(self) -> None:
        results = self._results()
        categories = list(dict.fromkeys(one.category for one in self.study.concepts))
        for number, view in enumerate((self.map, self.other_map)):
            shown = number < len(results) and results[number][1].combined is not None
            if number == 1:
                self._other_column.layout.display = None if len(self._keys()) > 1 else "none"
            if not shown:
                view.points = view.vectors = None
                continue
            key, result = results[number]
            found = result.embeddings()
            assert found is not None
            vectors, names, points = draw_map(self.study.concepts, found)
            with view.hold_sync():
                view.title = f"Concepts in {self._name(key)}"
                view.labels = [one.name for one in self.study.concepts]
                view.groups = [categories.index(one.category) for one in self.study.concepts]
                view.group_names, view.layout_names = categories, names
                view.vectors, view.points = vectors, points


def _caption(result: LayerConcepts, index: int) -> str:
    """Return the concept, its examples, and its IoUs as HTML."""
    concept, single = result.train.concepts[index], result.single
    count, best = int(single.positives[index]), int(single.best[index])
    words = [f"<b>{escape(concept.name)}</b> ({escape(concept.category)}): {count} training images"]
    if best < 0:
        words.append("fewer than 10, so nothing is learned")
    else:
        words.append(f"best filter {best}, set IoU {float(single.iou_set[index]):.2f}")
        if result.combined is not None:
            words.append(f"all filters combined, {float(result.combined.iou_set[index]):.2f}")
            zeros = result.combined.per_image.deciles(index).zeros if result.combined.per_image else math.nan
            words.append(f"{100 * zeros:.0f} % of the images with IoU 0")
        else:
            words.append("the combination is being learned")
    return " \u00b7 ".join(words)
