"""One class of a network as its concepts, each with importance, crops, a map, and a switch that removes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from traitlets import Int, List, validate
from traitlets import link as link_in_python

from xai_widgets.concepts import ClassConcepts
from xai_widgets.concepts.class_crops import listed_images
from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.display import single_images
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.validation import integer
from xai_widgets.data import scenes
from xai_widgets.explorers.channel_switches import Switched
from xai_widgets.explorers.class_gallery import CONCEPTS, PARTS, clear_gallery, draw_concepts, draw_parts
from xai_widgets.explorers.class_images import default_images
from xai_widgets.explorers.class_views import PLOT, ClassViews, in_words
from xai_widgets.explorers.layout import column, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import existing_class, small_text
from xai_widgets.similarity.components import FactorKind
from xai_widgets.studies.class_concepts import ClassConceptsStudy, ConceptKey
from xai_widgets.views import link
from xai_widgets.views.static_repr import set_layout

#: Height of the list, CSS px.
STAGE = 580
#: Images on which the default class is chosen.
LOOKED_AT = 64


class ClassExplorer(ClassViews):
    """See a class as its concepts: the parts of its images that a layer of the network represents alike.

    The concepts need no labels: activations of crops of images of the class are factorized
    (:func:`~xai_widgets.concepts.class_concepts`, Fel et al. 2023). Each has an importance for the score of the class,
    the total Sobol index, with gradient x activation beside it, the crops in which it is strongest, a map on the image,
    and a switch that removes it from the layer and shows the scores then. The slider shows the map of a concept and the
    scores without it; switches remove several. The parts of a concept in the layer below are computed on demand.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    images : optional
        Images of any kind, a data set or a folder. The concepts of a class are those of the images that are predicted
        as the class. Default: generated scenes for the bundled networks of scenes, photographs of scikit-image for
        others.
    target : int or str, optional
        The class. Default: the one that is predicted most often.
    layer : str, optional
        The first layer, a spatial one. Default: the last one before pooling.
    count : int, default 10
        Number of concepts.
    kind : {"auto", "nmf", "pca", "kmeans"}, default "auto"
        The factorization; "auto" is NMF for activations of at least 0, and k-means otherwise.
    side : int, optional
        Side of a crop in pixels. Default: 40 % of the short side of the images.
    sub_layer : str, optional
        The layer of the parts of a concept. Default: the last one before of a finer grid.
    crops : int, default 5
        Number of crops of each concept in the list.
    scored : int, default 12
        Number of images for which importances and maps are computed.
    design : int, default 64
        Points of each sample of the Sobol indices.
    seed : int, default 0
        Seed of the factorization and of the samples.
    batch_size : int, optional
        Crops, or changed activations, per pass. Default: as many as are computed fastest in bounded memory.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    off : list of int
        Numbers of the concepts that are removed, from 0.
    result : ClassConcepts or None
        The concepts that are shown.
    heatmap : HeatmapView
        The map of the chosen concept, as a share of its largest value in all images.
    slider : SliderView
        The number of the concept.
    image_picker : GalleryView
        The images that are scored.
    scores : ScoresView
        The best classes without the chosen concept.
    switched : ScoresView
        The best classes without the concepts that are switched off.
    curves : CurveView
        Both importances of each concept.
    gallery : GalleryView
        The concepts, or the parts of the chosen one.
    list_picker, layer_picker : SelectView
    display : DisplayMenu
    class_picker : ClassPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown class, layer or factorization, a layer that is not spatial, bad numbers, or bad images.
    TypeError
        If ``model`` is not an ImageModel.

    Examples
    --------
    >>> ClassExplorer(model, "photos/cats")  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which parts of its images make up a class?"
    hint: ClassVar[str] = "Drag the slider of the concepts; uncheck one to remove it."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *("class_picker", "layer_picker", "list_picker", "image_picker", "run_bar"),
    )
    shared: ClassVar[Mapping[str, str]] = {"target": "target", "layer": "layer_picker.value"}

    target = Int(0, help="The class.")
    off: List[int] = List(Int(min=0), help="Numbers of the concepts that are removed, from 0.")

    study: ClassConceptsStudy
    _images: Any
    _switching = False

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        images: Any = None,
        target: int | str | None = None,
        *,
        layer: str | None = None,
        count: int = 10,
        kind: FactorKind | str = "auto",
        side: int | None = None,
        sub_layer: str | None = None,
        crops: int = 5,
        scored: int = 12,
        design: int = 64,
        seed: int = 0,
        batch_size: int | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        check_model(model)
        self.model = model
        self._crops = integer(crops, "crops", low=1)
        self._batch_size = None if batch_size is None else check_batch_size(batch_size)
        layer = model.default_layer() if layer is None else layer
        model.grid(layer)
        if sub_layer is not None:
            model.grid(sub_layer)
        self._options: dict[str, Any] = {
            **{"count": count, "kind": kind, "side": side, "scored": scored, "design": design, "seed": seed},
            "sub_layer": sub_layer,
        }
        self._take_images(images)
        super().__init__(**kwargs)
        self.target = self._predicted if target is None else model.class_index(target)
        # Bad arguments are refused here: this makes the run without a step of it.
        self.study.run(ConceptKey("concepts", self.target, layer))
        self._make_views(layer)
        self._connect()
        if start:
            self.compute()

    def _take_images(self, images: Any) -> None:
        """Choose the images, and the class that is predicted most often."""
        self._images, self._caveat = (
            default_images(self.model) if images is None else (listed_images(images), "")
        )
        shown = self._images(scenes.CUE_CLASS) if callable(self._images) else self._images
        source = ImageSource(self.model, shown)
        indices = np.unique(np.linspace(0, len(source) - 1, min(LOOKED_AT, len(source))).round().astype(int))
        scores = torch.cat([self.model.scores(source.batch(n, n + 1)) for n in indices.tolist()])
        self._shares = self.model.probabilities(scores).mean(0).float().cpu()
        self._predicted = int(scores.argmax(1).cpu().bincount().argmax())
        self.study = ClassConceptsStudy(
            self.model, self._images, batch_size=self._batch_size, **self._options
        )

    def _connect(self) -> None:
        link((self.slider, "frame"), (self.heatmap, "frame"), (self.scores, "frame"))
        link((self.slider, "fraction"), (self.curves, "fraction"))
        set_layout(self.curves, min_height=f"{PLOT + 100}px")
        set_layout(self.facts, max_height="84px", overflow="hidden auto")
        scrolled = column(self.gallery, self.legend, weight=1.5, width=190)
        set_layout(scrolled, height=f"{STAGE}px", overflow="hidden auto")
        numbers = column(self.scores, self.switched, self.curves, weight=1.2, width=190)
        # A view that is drawn before the others does not make the explorer taller.
        set_layout(numbers, max_height=f"{STAGE}px", overflow="hidden auto")
        controls = (self.layer_picker, self.list_picker, self.display, self.run_bar)
        self._assemble(
            [
                header(self.class_picker, *controls),
                stage(
                    column(self.heatmap, self.slider, self.image_picker, self.facts, weight=1.3, width=190),
                    numbers,
                    scrolled,
                ),
            ]
        )
        link_in_python((self, "target"), (self.class_picker, "target"))
        self._compute_on_change((self, "target"), (self.layer_picker, "value"), (self.list_picker, "value"))
        self.observe(lambda _change: self.set_trait("off", []), "target")
        self.layer_picker.observe(lambda _change: self.set_trait("off", []), "value")
        self.observe(lambda _change: self._switch(), "off")
        self.gallery.observe(lambda _change: self._take_switches(), "off")
        self.gallery.observe(lambda _change: self._open_crop(), "frame")
        self.image_picker.observe(lambda _change: self._show_image(), "frame")
        self.slider.observe(lambda _change: self._choose_concept(), "frame")

    # -- the choice -----------------------------------------------------------------------------------------

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    @property
    def images(self) -> Any:
        """The images as they were given; assign others to replace them, with the class that is predicted most often."""
        return self._images

    @images.setter
    def images(self, images: Any) -> None:
        # Canceled first: a run about the old images must not draw on the new ones.
        self._worker.cancel()
        self._take_images(images)
        self._replace_argument("images", images)
        self.class_picker.probabilities = self._shares.tolist()
        self.off = []
        if self._predicted != self.target:
            self.target = self._predicted
        else:
            self.compute()

    def _opens(self) -> bool:
        return True

    def _open_image(self, image: Any) -> None:
        """Add an image of the user to those that were given."""
        given = (self._arguments or {}).get("images")
        self.images = [*(single_images(listed_images(given)) if given is not None else ()), image]

    def _choose_concept(self) -> None:
        if self.list_picker.value == "parts":
            self.compute()

    def _open_crop(self) -> None:
        """Show the concept of the crop that was clicked, on its image if that is scored."""
        gallery, result = self.gallery, self.result
        if gallery.frame < 0 or result is None or self.list_picker.value == "parts":
            return
        row, number = divmod(gallery.frame, gallery.columns)
        gallery.frame = -1
        if row >= len(self._boxes) or number >= len(self._boxes[row]):
            return
        image, top, left = self._boxes[row][number]
        self.slider.frame = row
        if image < len(result.scores):
            self.image_picker.frame = image
            height, width = result.image(image).shape[1:]
            self.heatmap.position = [(left + result.side / 2) / width, (top + result.side / 2) / height]

    def _take_switches(self) -> None:
        if not self._switching:
            self.off = list(self.gallery.off)

    def _switch(self) -> None:
        """Show the switches in the list, and the scores without the concepts that are off."""
        result = self.result
        self._switching = True
        try:
            self.gallery.off = list(self.off) if self.gallery.switches else []
        finally:
            self._switching = False
        if result is None:
            return
        study, key, number = self.study, self._key(), self._image()
        off = [concept for concept in self.off if concept < len(result)]
        scores = result.scores[number : number + 1]
        asked = Switched(scores, scores, self.target, result.layer, tuple(off))
        self._switched.show(asked, lambda: study.scores_without(key, number, off)[None])

    # -- the computation ------------------------------------------------------------------------------------

    def _key(self) -> ConceptKey:
        return ConceptKey("concepts", self.target, self.layer_picker.value)

    def _keys(self) -> list[ConceptKey]:
        key = self._key()
        parts = [key._replace(part="parts", concept=self.slider.frame)]
        return [key, *(parts if self.list_picker.value == "parts" else [])]

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: Any = None) -> None:
        outcomes = [self.study.outcome(key) for key in self._keys()]
        before, self.result = self.result, outcomes[0].result
        parts = outcomes[1] if len(outcomes) > 1 else None
        words = [self._caveat, *outcomes[0].warnings]
        if self.result is None:
            self._clear()
        else:
            if self.result is not before:
                self._draw_concepts(self.result)
            words.append(in_words(self.result))
        if parts is not None:
            words += [*parts.warnings, parts.error]
            self._listed = None
            if parts.result is None:
                clear_gallery(self.gallery)
            else:
                words.append(f"Parts: {parts.result.reason}")
                draw_parts(self.gallery, self.model, parts.result, self._crops)
        elif self.result is not None:
            self._draw_list(self.result)
        self.legend.value = small_text(CONCEPTS if parts is None else PARTS)
        self.facts.value = small_text(" ".join(filter(None, words)))
        self._switch()

    def _draw_list(self, result: ClassConcepts) -> None:
        """Show the list of concepts, unless it is shown: crops are read from their images."""
        drawn = result.components, result.complete
        if drawn != self._listed:
            self._boxes = draw_concepts(self.gallery, self.model, result, self._crops)
            self._listed = drawn
