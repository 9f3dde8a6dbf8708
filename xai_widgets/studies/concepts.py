"""How the filters of a layer segment the concepts of a data set: single ones, combinations, and the top F filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from xai_widgets.concepts import (
    Combinations,
    Descent,
    Dissection,
    Embeddings,
    Probe,
    SingleFilters,
    dissect,
    embeddings,
    probe,
    single_filters,
)
from xai_widgets.concepts.segmentation import learn
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief
from xai_widgets.data.base import Concept, ConceptData, Example
from xai_widgets.features import TopActivations, top_activations
from xai_widgets.studies.study import Study

#: Largest side of the label masks by default, in pixels.
LABELS = 48
#: Settings of the training: many steps on few images. The gradient is a sum over the pixels of a label mask, so the
#: learning rate grows as their number falls.
SETTINGS = Descent(learning_rate=5e-4, batch_size=16, epochs=12)
#: Numbers of filters of the refits, below the width of the layer.
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ConceptKey(NamedTuple):
    """A network by its index, one of its layers, and the number of training images."""

    network: int
    layer: str
    images: int


@dataclass(frozen=True, eq=False, repr=False)
class LayerConcepts(ShortRepr):
    """The concepts in a layer, as far as they are computed.

    Attributes
    ----------
    train, val : Probe
        The thresholded activations of both splits.
    single : SingleFilters
        The best filter of each concept, and the IoU of every filter.
    dissection : Dissection
        The concept that each filter detects in the validation split.
    top : TopActivations
        The validation images to which each filter responds most.
    combined : Combinations or None
        The learned combination of all filters for each concept.
    counts : tuple of int
        Numbers F of filters of `refits`; the last one is the width of the layer.
    refits : tuple of Combinations
        Combinations of the F filters with the largest weights, learned anew; empty before they are known.
    """

    train: Probe
    val: Probe
    single: SingleFilters
    dissection: Dissection
    top: TopActivations
    combined: Combinations | None = None
    counts: tuple[int, ...] = ()
    refits: tuple[Combinations, ...] = ()

    def embeddings(self) -> Embeddings | None:
        """Return the normalized weights w / |w| of the trained concepts; None before they are known."""
        return None if self.combined is None else embeddings(self.combined)


class ConceptStudy(Study[ConceptKey, LayerConcepts]):
    """Concepts in layers of one or two networks.

    Parameters
    ----------
    models : sequence of ImageModel
        The networks; they are never changed.
    train, val : ConceptData
        The splits, with the same concepts. Of ``val``, half as many images are used as of ``train``.
    counts : sequence of int, optional
        Numbers of filters of the refits. Default: powers of 2 and the width of the layer.
    label_size : int, default 48
        Largest side of the label masks, in pixels.
    settings : Descent, optional
        Settings of the training. Default: 12 epochs in batches of 16, which suit a few hundred images.
    patches : int, default 6
        Images for each filter.
    batch_size : int, default 32
        Images per pass.
    """

    def __init__(
        self,
        models: Sequence[ImageModel],
        train: ConceptData,
        val: ConceptData,
        *,
        counts: Sequence[int] | None = None,
        label_size: int = LABELS,
        settings: Descent | None = None,
        patches: int = 6,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        for data in (train, val):
            check_pixels(data)
        if tuple(train.concepts) != tuple(val.concepts):
            raise ValueError("expected train and val with the same concepts, got different ones")
        self.models, self.train, self.val = tuple(models), train, val
        self.concepts: tuple[Concept, ...] = tuple(train.concepts)
        self.counts, self.label_size = counts, label_size
        self.settings, self.patches, self.batch_size = settings or SETTINGS, patches, batch_size

    def title(self, key: ConceptKey) -> str:
        """Return the title of a key for messages."""
        name = self.models[key.network].name
        return f"{key.layer} of {name}, {key.images} images"

    def images(self, key: ConceptKey) -> tuple[ConceptData, ConceptData]:
        """Return the training and validation images of a key."""
        return First(self.train, key.images), First(self.val, max(1, key.images // 2))

    def filters(self, width: int) -> tuple[int, ...]:
        """Return the numbers of filters of the refits in a layer of ``width`` channels."""
        below = [count for count in self.counts or COUNTS if count < width]
        return (*below, width)

    def steps(self, key: ConceptKey) -> int:
        """Return how many snapshots the computation of a key has."""
        batches = [-(-len(data) // self.batch_size) for data in self.images(key)]
        return batches[0] + 2 * batches[1] + 2 * self.settings.epochs + 1

    def weight(self, key: ConceptKey, steps: int) -> float:
        """Return the time of a key beside the others, for the progress."""
        return key.images

    def run(self, key: ConceptKey, start: LayerConcepts | None = None) -> Run[LayerConcepts]:
        """Return the probing of both splits, and the training of the combinations, for a key."""
        model = self.models[key.network]
        train_data, val_data = self.images(key)
        size = label_size(model, self.label_size)
        options: dict[str, Any] = {
            "layer": key.layer,
            "label_size": size,
            "batch_size": min(self.batch_size, len(train_data)),
        }
        first = probe(model, train_data, **options)

        def steps() -> Iterator[Any]:
            for _ in first:
                yield None
            train = _complete(first)
            second = probe(model, val_data, thresholds=train.thresholds, **options)
            for _ in second:
                yield None
            val = _complete(second)
            top = top_activations(
                model,
                [val_data[index].image for index in range(len(val_data))],
                layer=key.layer,
                k=min(self.patches, len(val_data)),
                batch_size=self.batch_size,
            )
            for _ in top:
                yield None
            assert top.latest is not None
            result = LayerConcepts(train, val, single_filters(train, val), dissect(val), top.latest)
            yield result
            yield from self._combine(result)

        return Run(steps(), total=self.steps(key), name=f"concepts of {key.layer}")

    def _combine(self, result: LayerConcepts) -> Iterator[LayerConcepts]:
        """Learn the combinations of all filters, then those of the F filters with the largest weights."""
        train, val = result.train, result.val
        shape = (len(train.concepts), train.channels)
        every = torch.ones(1, *shape, dtype=torch.bool)
        latest: tuple[Combinations, ...] = ()
        for found in learn(train, val, every, self.settings):
            latest = found
            yield result
        (combined,) = latest
        counts = self.filters(train.channels)
        result = replace(result, combined=combined, counts=counts, refits=(combined,))
        yield result
        order = combined.weights.abs().argsort(dim=1, descending=True, stable=True)
        used = torch.zeros(len(counts) - 1, *shape, dtype=torch.bool)
        for row, count in zip(used, counts, strict=False):
            row.scatter_(1, order[:, :count], True)
        if not len(used):
            return
        for found in learn(train, val, used, self.settings):
            latest = found
            yield result
        yield replace(result, refits=(*latest, combined))


class First:
    """The first images of a concept data set.

    Parameters
    ----------
    data : ConceptData
        The data set.
    count : int
        Number of images, or all if there are fewer.
    """

    def __init__(self, data: ConceptData, count: int) -> None:
        self._data, self._count = data, min(count, len(data))
        self.concepts = tuple(data.concepts)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        """Return one example."""
        if not 0 <= index < self._count:
            raise IndexError(f"expected an index from 0 to {self._count - 1}, got {index}")
        return self._data[index]


def check_pixels(data: Any) -> None:
    """Raise TypeError unless data are a data set with the pixels of concepts."""
    if not isinstance(data, ConceptData):
        raise TypeError(
            "expected a data set with the pixels of each concept, such as scene_concepts() or broden(folder), got "
            f"{brief(data)}; PredictionConceptsExplorer and tcav take folders of example images"
        )


def label_size(model: ImageModel, largest: int) -> tuple[int, int]:
    """Return the size of the label masks: that of the images, reduced to a largest side."""
    height, width = model.size
    scale = min(1.0, largest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _complete(run: Run[Probe]) -> Probe:
    assert run.latest is not None
    return run.latest
