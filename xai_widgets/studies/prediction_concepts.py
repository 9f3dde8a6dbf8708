"""The concepts that carry the score of a class for one image, in several layers."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

from xai_widgets.concepts.decomposition import PredictionConcepts, prediction_concepts
from xai_widgets.concepts.directions import ConceptDirections, concept_directions
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.validation import items
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study


class PredictionConceptsKey(NamedTuple):
    """The choices that a decomposition depends on.

    Attributes
    ----------
    layer : str
        The layer.
    target : int
        The class.
    """

    layer: str
    target: int


class PredictionConceptsStudy(Study[PredictionConceptsKey, PredictionConcepts]):
    """Decompositions of the score of a class for one image into concepts (Zhou et al. 2018).

    Parameters
    ----------
    model : ImageModel
        The network.
    image
        One image of any kind.
    concepts : ConceptDirections, ConceptData, mapping of str to images, or path
        Directions of concepts in a layer, or the images that they are learned from, see
        :func:`~xai_widgets.concepts.concept_directions`.
    without : tuple of str, default ()
        Categories of concepts that are left out, such as "object".
    most : int, default 7
        Largest number of concepts of a decomposition.
    known : mutable mapping of str to ConceptDirections, optional
        Directions by layer, to which those that are learned are added, such as those of a study of another image.
    store : mutable mapping, optional
        Where outcomes are kept; see :class:`~xai_widgets.studies.Study`.
    """

    def __init__(
        self,
        model: ImageModel,
        image: Any,
        concepts: Any,
        *,
        without: tuple[str, ...] = (),
        most: int = 7,
        known: MutableMapping[str, ConceptDirections] | None = None,
        store: MutableMapping[PredictionConceptsKey, Outcome[PredictionConcepts]] | None = None,
    ) -> None:
        super().__init__(store)
        self.model, self.image, self.concepts = model, image, concepts
        self.without, self.most = without, most
        self.known: MutableMapping[str, ConceptDirections] = {} if known is None else known
        if isinstance(concepts, ConceptDirections):
            self.known.setdefault(concepts.layer, concepts)

    def run(
        self, key: PredictionConceptsKey, start: PredictionConcepts | None = None
    ) -> Run[PredictionConcepts]:
        """Return the decomposition for a key, which learns the directions of its layer first if they are not known."""

        def steps() -> Iterator[PredictionConcepts]:
            if key.layer not in self.known:
                learned = concept_directions(self.model, self.concepts, layer=key.layer)
                self.known[key.layer] = learned.result(progress=False)
            directions = self.known[key.layer]
            if self.without:
                directions = directions.without(*self.without)
            yield prediction_concepts(self.model, self.image, directions, key.target, most=self.most)

        return Run(steps(), total=1, name=self.title(key))

    def title(self, key: PredictionConceptsKey) -> str:
        """Return the class and the layer of a key."""
        return f"{self.model.labels[key.target]} in {key.layer}"


def layers_of(model: ImageModel, concepts: Any, layers: Any) -> list[str]:
    """Return the layers to choose from: those given, that of the directions, or the last one before pooling."""
    if isinstance(concepts, ConceptDirections):
        if layers is not None and list(layers) != [concepts.layer]:
            raise ValueError(
                f"expected layers=[{concepts.layer!r}], that of the directions, got {list(layers)}"
            )
        return [model.layer(concepts.layer).name]
    names = [model.default_layer()] if layers is None else items(layers, "layers", what="names of layers")
    for name in names:
        model.grid(name)
    return names
