"""Concepts in the filters of a layer: the best filter of each, and combinations of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from xai_widgets.concepts import Descent
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import choice, integer
from xai_widgets.data import scene_concepts
from xai_widgets.data.base import ConceptData
from xai_widgets.explorers.concept_views import ConceptViews
from xai_widgets.explorers.layout import header
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import dropdown
from xai_widgets.explorers.similarity_choices import check_models
from xai_widgets.explorers.state import ChoiceEntry
from xai_widgets.studies.concepts import ConceptKey, ConceptStudy, check_pixels
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.views import RunBar

#: Number of training images at first.
IMAGES = 300
#: Choice of all categories, and of no comparison.
ALL, NONE = "all", "none"


class ConceptExplorer(ConceptViews):
    """Choose a concept and see which filters of a layer segment it, alone and combined.

    The filters of a layer are thresholded over a data set with the pixels of each concept. The best single filter is
    compared with a learned combination of all filters, and with combinations of the F filters with the largest weights
    (Fong and Vedaldi 2018). The slider over F switches segmentations, curve and weights without a kernel.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    train, val : ConceptData, optional
        Splits of a data set with the pixels of each concept. Default: generated scenes
        (:func:`~xai_widgets.data.scene_concepts`).
    layer : str, optional
        The first layer. Default: the last one before pooling.
    other : ImageModel, optional
        A second network to compare with; layers of the first one can be compared in any case.
    images : int, default 300
        Number of training images at first, and half as many for validation; more can be chosen.
    concept : str, optional
        Name of the first concept. Default: the first one.
    counts : sequence of int, optional
        Numbers of filters F. Default: powers of 2 and the width of the layer.
    settings : Descent, optional
        Settings of the training. Default: 12 epochs in batches of 16, which suit a few hundred images.
    patches : int, default 6
        Images of each filter.
    batch_size : int, default 32
        Images per pass.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    category_picker, concept_picker, layer_picker, images_picker, compare_picker : SelectView
        The category, the concept, the layer, the number of training images, and the layer to compare with.
    slider : SliderView
        The number of filters F.
    examples : GalleryView
        Segmentations of validation images at the deciles of the IoU; a click chooses the image of the filter.
    curves : CurveView
        Set IoU over F.
    bars : BarsView
        Weight of each filter and IoU of the filter alone; a click chooses the filter.
    filter : FilterPanel
        The chosen filter: its images, its concepts, and its overlays.
    map, other_map : EmbeddingView
        The concepts by their weights w / |w|, with arithmetic by dragging; the second one for the comparison.
    run_bar : RunBar
    result : LayerConcepts or None
        The result that is shown.

    Raises
    ------
    TypeError
        If a network is not an ImageModel, or a split is not a data set with the pixels of concepts.
    ValueError
        For an unknown layer or concept, with the nearest one, a layer without positions, splits with different
        concepts, or bad numbers.

    Examples
    --------
    >>> ConceptExplorer(model, layer="stage3")  # doctest: +SKIP
    >>> ConceptExplorer(model, data.broden(folder), data.broden(folder, split="val"))  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which concepts does one filter detect, and which take many?"
    hint: ClassVar[str] = "Choose a concept, then drag the slider of the filters."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        "category_picker",
        "concept_picker",
        "layer_picker",
        "images_picker",
        "compare_picker",
        "run_bar",
    )

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        train: ConceptData | None = None,
        val: ConceptData | None = None,
        *,
        layer: str | None = None,
        other: ImageModel | None = None,
        images: int = IMAGES,
        concept: str | None = None,
        counts: Sequence[int] | None = None,
        settings: Descent | None = None,
        patches: int = 6,
        batch_size: int = 32,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        self.models = check_models(model if other is None else [model, other])
        self.model = self.models[0]
        layer = self.model.default_layer() if layer is None else self.model.layer(layer).name
        self.model.grid(layer)
        for given in (train, val):
            if given is not None:
                check_pixels(given)
        if (train is None) != (val is None):
            raise ValueError(
                "expected both train and val, or neither, got one of them; slices of one data set will do, such as "
                "data[:200] and data[200:]"
            )
        train = scene_concepts() if train is None else train
        val = scene_concepts(len(train) // 2, "test") if val is None else val
        images = min(integer(images, "images", low=1), len(train))
        self.study = ConceptStudy(
            self.models,
            train,
            val,
            counts=counts,
            settings=settings,
            patches=integer(patches, "patches", low=1),
            batch_size=batch_size,
        )
        names = [one.name for one in self.study.concepts]
        if concept is not None:
            choice(concept, "concept", names)
        super().__init__(**kwargs)
        self._drawn: list[Any] = []
        self._listed: list[int] = []
        self._shown: list[int] = []
        self._make_controls(layer, images)
        self._make_views()
        if concept is not None:
            self.concept_picker.value = self._options()[names.index(concept)]
        controls = (
            self.category_picker,
            self.concept_picker,
            self.layer_picker,
            self.compare_picker,
            self.images_picker,
            self.run_bar,
        )
        self._assemble([header(*controls), self._make_tabs()])
        self._connect()
        self._draw()
        if start:
            self.compute()

    def _make_controls(self, layer: str, images: int) -> None:
        concepts = self.study.concepts
        categories = list(dict.fromkeys(one.category for one in concepts))
        self.category_picker = dropdown("Category", [ALL, *categories], ALL)
        self.concept_picker = dropdown("Concept", self._options(), self._options()[0])
        layers = spatial_layers(self.model)
        layers += [layer] if layer not in layers else []
        self.layer_picker = dropdown("Layer", layers, layer)
        sizes = [size for size in (100, 300, 1000, 3000, 10_000) if size < len(self.study.train)]
        sizes = sorted({*sizes, images, len(self.study.train)})
        self.images_picker = dropdown("Images", map(str, sizes), str(images))
        self._compared: dict[str, tuple[int, str]] = {name: (0, name) for name in layers}
        if len(self.models) > 1:
            other = self.models[1]
            self._compared |= {f"{other.name}: {name}": (1, name) for name in spatial_layers(other)}
        self.compare_picker = dropdown("Compare with", [NONE, *self._compared], NONE)
        self.run_bar = RunBar()

    def _connect(self) -> None:
        self._compute_on_change(
            (self.layer_picker, "value"), (self.images_picker, "value"), (self.compare_picker, "value")
        )
        self.category_picker.observe(lambda _change: self._choose_category(), "value")
        self.concept_picker.observe(lambda _change: self._draw_concept(), "value")
        self.bars.observe(lambda _change: self._draw_filter(), "frame")
        self.examples.observe(lambda _change: self._draw_filter(), "frame")
        for view in (self.map, self.other_map):
            view.observe(self._choose_on_map, "frame")

    # -- choices --------------------------------------------------------------------------------------------

    def _options(self) -> list[str]:
        """Return the option of each concept: its name, with the category where two have one name."""
        names = [one.name for one in self.study.concepts]
        return [
            one.name if names.count(one.name) == 1 else f"{one.name} ({one.category})"
            for one in self.study.concepts
        ]

    @property
    def concept(self) -> int:
        """Index of the chosen concept."""
        return self._options().index(self.concept_picker.value)

    def _choose_category(self) -> None:
        category = self.category_picker.value
        options = [
            option
            for option, one in zip(self._options(), self.study.concepts, strict=True)
            if category in (ALL, one.category)
        ]
        self.concept_picker.options = options

    def _choose_on_map(self, change: dict[str, Any]) -> None:
        if self._choosing or change["new"] < 0:
            return
        self.category_picker.value = ALL
        self.concept_picker.value = self._options()[change["new"]]

    def _keys(self) -> list[ConceptKey]:
        images = int(self.images_picker.value)
        keys = [ConceptKey(0, self.layer_picker.value, images)]
        if self.compare_picker.value != NONE:
            keys.append(ConceptKey(*self._compared[self.compare_picker.value], images))
        return list(dict.fromkeys(keys))

    def _entries(self) -> Iterator[ChoiceEntry]:
        yield from super()._entries()
        yield ChoiceEntry("tab", self.tabs, "selected_index")
