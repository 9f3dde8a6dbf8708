"""The concepts of classes without labels, their parts in the layer below, and scores without some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from torch import Tensor

from xai_widgets.concepts import ClassConcepts, SubConcepts, class_concepts, sub_concepts
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.studies.study import Study


class ConceptKey(NamedTuple):
    """The concepts of a class in a layer, or the parts of one of them.

    Attributes
    ----------
    part : {"concepts", "parts"}
        The concepts, or the sub-concepts of one of them in the layer below.
    target : int
        The class.
    layer : str
        The layer of the concepts.
    concept : int, default -1
        Number of the concept whose parts are asked for, from 0.
    """

    part: Literal["concepts", "parts"]
    target: int
    layer: str
    concept: int = -1


class ClassConceptsStudy(Study[ConceptKey, Any]):
    """Concepts of the classes of a network (:func:`~xai_widgets.concepts.class_concepts`), and their parts.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, a data set or a folder; or a function that returns those of a class, given its index.
    sub_layer : str, optional
        The layer of the parts. Default: :func:`~xai_widgets.concepts.recursion.layer_below`.
    parts : int, default 5
        The number of parts of a concept.
    batch_size : int, optional
        Crops, or changed activations, per pass. Default: as many as are computed fastest in bounded memory.
    **options
        Options of :func:`~xai_widgets.concepts.class_concepts`: ``count``, ``kind``, ``side``, ``scored``, ``design``
        and ``seed``.
    """

    def __init__(
        self,
        model: ImageModel,
        images: Any | Callable[[int], Any],
        *,
        sub_layer: str | None = None,
        parts: int = 5,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.model, self.images = model, images
        self.sub_layer, self.parts = sub_layer, parts
        self.batch_size, self.options = batch_size, options

    def title(self, key: ConceptKey) -> str:
        """Return the title of a key."""
        if key.part == "parts":
            return f"parts of concept {key.concept + 1}"
        return f"concepts of {self.model.labels[key.target]}"

    def steps(self, key: ConceptKey) -> int:
        """Return the number of snapshots of a key."""
        return self.run(key).total if key.part == "concepts" else 1

    def weight(self, key: ConceptKey, steps: int) -> float:
        """Return the time of a key beside the others."""
        return 1.0

    def _steps_taken(self, run: Run[Any]) -> tuple[int, int]:
        """Return the number of steps twice: a class with few images takes fewer, without converging."""
        return run.done, run.done

    def run(self, key: ConceptKey, start: Any = None) -> Run[Any]:
        """Return the computation of a key: the result is a ClassConcepts, or a SubConcepts."""
        if key.part == "parts":
            return Run(self._parts(key), total=1, name=self.title(key))
        images = self.images(key.target) if callable(self.images) else self.images
        return class_concepts(
            self.model, images, key.target, layer=key.layer, batch_size=self.batch_size, **self.options
        )

    def _parts(self, key: ConceptKey) -> Iterator[SubConcepts]:
        concepts = self.result(key._replace(part="concepts", concept=-1))
        if concepts is None:
            raise ValueError("the parts of a concept need the concepts, which could not be computed")
        yield from sub_concepts(
            self.model,
            concepts,
            key.concept,
            layer=self.sub_layer,
            count=self.parts,
            batch_size=self.batch_size,
        )

    def scores_without(self, key: ConceptKey, number: int, removed: list[int]) -> Tensor:
        """Return the scores (classes,) of one of the images of the concepts of a key without some concepts."""
        concepts: ClassConcepts | None = self.result(key)
        if concepts is None:
            raise ValueError("expected concepts that are computed, got none; compute the key first")
        return concepts.without(self.model, number, removed)
