"""The concepts that carry the score of one prediction, as flows, with a map of each."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from traitlets import Int, TraitError, validate

from xai_widgets.concepts.decomposition import PredictionConcepts
from xai_widgets.concepts.directions import ConceptDirections
from xai_widgets.concepts.examples import as_concepts
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.validation import integer
from xai_widgets.data.base import ConceptData
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import dropdown
from xai_widgets.studies.prediction_concepts import (
    PredictionConceptsKey,
    PredictionConceptsStudy,
    layers_of,
)
from xai_widgets.views import FlowView, HeatmapView, link


class PredictionConceptsExplorer(ImageExplorer):
    """Which concepts carry the score of a class for one image, as flows from concepts to the class.

    The weights of the class, or where the score is not linear in the layer the features of the image, are decomposed
    into directions of concepts (interpretable basis decomposition, Zhou et al. 2018). Contributions, the part that no
    concept explains and the bias sum to the score. The map shows where in the image the chosen concept contributes.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    concepts : ConceptData, mapping of str to images, path, or ConceptDirections
        A concept data set with pixel labels; images of each concept by name, or a folder with one folder of images per
        concept; or directions of concepts that are already learned. They are learned once per layer.
    target : int or str, optional
        The class. Default: the predicted class.
    layers : sequence of str, optional
        Spatial layers to choose from. Default: the last one before pooling.
    without : sequence of str, default ()
        Categories of concepts that are left out, such as ``["object"]``, so that a class is not explained by itself.
    most : int, default 7
        Largest number of concepts, 1 to 12.
    start : bool, default True
        Whether to compute at once.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    selected : int
        The chosen concept, in the order of the result; the number of concepts is the part without concept.
    layer_picker : SelectView
        The layer, if there are several.
    flows : FlowView
        Contributions of the concepts.
    heatmap : HeatmapView
        Contribution of the chosen concept at each position.
    display : DisplayMenu
        Opacity and colors of the map.
    result : PredictionConcepts or None
        The result that is shown.

    Raises
    ------
    ValueError
        For an unknown layer or class, a bad image, or no concepts.

    Examples
    --------
    >>> PredictionConceptsExplorer(model, "photo.jpg", "folder of folders")  # doctest: +SKIP
    >>> PredictionConceptsExplorer(model, image, xw.data.scene_concepts(500))  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which concepts carry this prediction?"
    hint: ClassVar[str] = "Click a concept to see where it contributes."
    kernel_controls: ClassVar[tuple[str, ...]] = ("class_picker", "layer_picker", "run_bar")

    selected = Int(0, min=-1, help="The chosen concept.")

    study: PredictionConceptsStudy
    result: PredictionConcepts | None = None

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        concepts: Any,
        *,
        target: Target = None,
        layers: Sequence[str] | None = None,
        without: Sequence[str] = (),
        most: int = 7,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        if not isinstance(concepts, ConceptDirections | ConceptData):
            concepts = as_concepts(concepts)
        self._concepts = concepts
        self._without, self._most = tuple(without), integer(most, "most", low=1, high=12)
        self._known: MutableMapping[str, ConceptDirections] = {}
        super().__init__(model, image, target=target, **kwargs)
        names = layers_of(self.model, concepts, layers)
        self.study = self._make_study()
        self.layer_picker = dropdown("Layer", names, names[-1])
        self.layer_picker.help = "The layer whose features are decomposed"
        self.layer_picker.layout.display = None if len(names) > 1 else "none"
        self.flows = FlowView(title="Contributions to the score", rows=self._most + 2)
        self.heatmap = HeatmapView(
            width=0, title="Where it contributes", sign="both", help="contribution at each position"
        )
        self.display = display_menu(self.heatmap)
        controls = header(self.class_picker, self.layer_picker, self.display, self.run_bar)
        parts = stage(column(self.heatmap, weight=1, width=260), column(self.flows, weight=1.7, width=380))
        self._assemble([controls, parts])
        link((self.flows, "selected"), (self.heatmap, "frame"))
        self.flows.observe(lambda change: self.set_trait("selected", change["new"]), "selected")
        self.observe(lambda change: self.flows.set_trait("selected", change["new"]), "selected")
        self._compute_on_change((self.layer_picker, "value"))
        self._draw()
        if start:
            self.compute()

    @validate("selected")
    def _selected_exists(self, proposal: dict[str, Any]) -> int:
        most = 0 if self.result is None else len(self.result.names)
        if self.result is not None and proposal["value"] > most:
            raise TraitError(f"expected selected from -1 to {most}, got {proposal['value']}")
        return int(proposal["value"])

    def _make_study(self) -> PredictionConceptsStudy:
        return PredictionConceptsStudy(
            self.model,
            self._x,
            self._concepts,
            without=self._without,
            most=self._most,
            known=self._known,
        )

    def _show_image(self) -> None:
        self.heatmap.image = self._display

    def _keys(self) -> list[PredictionConceptsKey]:
        return [PredictionConceptsKey(self.layer_picker.value, self.target)]

    def _draw(self, changed: Any = None) -> None:
        key = self._keys()[0]
        self.result = self.study.result(key)
        if self.result is None:
            self.flows.values = None
            # A map without values has a color scale, so that nothing moves when the values come.
            self.heatmap.maps = np.full((1, 2, 2), np.nan, np.float32)
            self.heatmap.labels = []
            return
        made = self.result
        linear = made.decomposed == "weights"
        self.selected = min(self.selected, len(made.names))
        with self.flows.hold_sync(), self.heatmap.hold_sync():
            self.flows.names, self.flows.groups = list(made.names), list(made.categories)
            self.flows.residual, self.flows.remainder = made.residual, made.remainder
            self.flows.remainder_label = "bias" if linear else "bias, nonlinear"
            self.flows.target, self.flows.target_label = made.target, made.label
            self.flows.score = made.score
            self.flows.values = made.contributions.numpy()
            maps = torch.cat([made.maps, made.residual_map[None]]).numpy()
            self.heatmap.maps = np.ascontiguousarray(maps)
            self.heatmap.labels = [*made.names, "no concept"]
            self.heatmap.notes = [" ".join(self.study.outcome(key).warnings)] * len(maps)
