"""Directions of concepts in the space of the channels of a layer (Zhou et al. 2018).

With pixel labels, the examples of a concept are positions of the layer: x_p in R^K is positive if the concept covers
the cell of p, and negative if it covers no pixel of it. Without pixel labels, they are the means of the activations
over the positions of images. The direction q_c is the unit normal of a linear classifier
(:mod:`~xai_widgets.concepts.vectors`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.concepts.examples import (
    LEAST_EXAMPLES,
    ConceptExamples,
    Images,
    as_concepts,
    as_images,
    find_concepts,
    layer_vectors,
)
from xai_widgets.concepts.vectors import ConceptVectors, check_pool, fit_vector
from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.data.base import ConceptData, Example

#: Positive positions of a concept in one image, and negative positions of an image, at most.
PER_IMAGE, NEGATIVES = 2, 4
#: A position is positive if its share of labeled pixels is at least this part of the largest share in the image.
COVERED = 0.5


@dataclass(frozen=True, repr=False)
class ConceptDirections(ShortRepr):
    """Directions of concepts in the space of the channels of a layer.

    Attributes
    ----------
    layer : str
        Name of the layer.
    names, categories : tuple of str
        Names and categories of the C concepts.
    directions : Tensor, (C, K)
        Vectors of length 1; NaN for concepts that were not trained.
    accuracy : Tensor, (C,)
        Mean of the accuracies on held-out examples of both kinds; 0.5 is chance.
    counts : Tensor of int, (C,)
        Numbers of images with the concept.
    trained : Tensor of bool, (C,)
        Whether a concept had at least ten images.
    """

    layer: str
    names: tuple[str, ...]
    categories: tuple[str, ...]
    directions: Tensor
    accuracy: Tensor
    counts: Tensor
    trained: Tensor

    def without(self, *categories: str) -> ConceptDirections:
        """Return the directions of the concepts of other categories, such as without "object"."""
        kept = [index for index, category in enumerate(self.categories) if category not in categories]
        if not kept:
            raise ValueError(f"expected concepts of other categories than {', '.join(categories)}, got none")
        return ConceptDirections(
            self.layer,
            tuple(self.names[index] for index in kept),
            tuple(self.categories[index] for index in kept),
            self.directions[kept],
            self.accuracy[kept],
            self.counts[kept],
            self.trained[kept],
        )


@without_inference_mode
def concept_directions(
    model: ImageModel,
    concepts: ConceptData | ConceptExamples,
    *,
    layer: str | None = None,
    names: Sequence[str] | None = None,
    random: Images | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> Run[ConceptDirections]:
    """Learn the direction of each concept in the space of the channels of a layer.

    Parameters
    ----------
    model : ImageModel
        The network.
    concepts : ConceptData, mapping of str to images, or path
        A concept data set with pixel labels; or images of each concept by name, or a folder that holds one folder of
        images per concept. A label of a whole image counts at all of its positions.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()``. Default: the last one before pooling.
    names : sequence of str, optional
        Names of concepts. Default: all of them.
    random : images, optional
        Images without the concepts, for concepts without pixel labels. Default: the images of the other concepts.
    batch_size : int, default 32
        Images per pass.
    seed : int, default 0
        Seed of the choice of positions.

    Returns
    -------
    Run of ConceptDirections
        One snapshot: concepts with fewer than ten images are not trained.

    Raises
    ------
    ValueError
        For an unknown layer or name, with the nearest one, one concept without random images, or no concept with ten
        images.

    Warns
    -----
    ExplanationWarning
        For a concept that was not trained, and for one whose classifier is at chance on held-out examples.
    """
    check_model(model)
    name = model.default_layer() if layer is None else model.layer(layer).name
    model.grid(name)
    batch_size, seed = check_batch_size(batch_size), check_seed(seed)
    if isinstance(concepts, ConceptData):
        chosen = find_concepts(concepts, names)
        some = [concepts.concepts[index] for index in chosen]
        labels = [(concept.name, concept.category) for concept in some]
        rows = _labeled_rows(model, concepts, chosen, name, batch_size, seed)
    else:
        named = as_concepts(concepts)
        if names is not None:
            missing = [each for each in names if each not in named]
            if missing:
                raise ValueError(
                    f"expected names of concepts, got {missing[0]!r}; known are {', '.join(named)}"
                )
            named = {each: named[each] for each in names}
        others = None if random is None else as_images(random)
        if others is not None:
            check_pool(others, LEAST_EXAMPLES)
        elif len(named) < 2:
            raise ValueError("expected random images, or at least two concepts, got one; pass random=")
        labels = [(each, "concept") for each in named]
        rows = _image_rows(model, named, others, name, batch_size)

    def steps() -> Iterator[ConceptDirections]:
        yield _fitted(name, labels, rows, seed)

    return Run(steps(), total=1, name=f"directions of concepts in {name}")


#: The number of images of each concept, and positive and negative activations (n, K), ordered by image.
Rows = Iterator[tuple[int, Tensor, Tensor]]


def _fitted(layer: str, labels: list[tuple[str, str]], rows: Rows, seed: int) -> ConceptDirections:
    fits: list[tuple[Tensor, float, int] | None] = []
    counts, width = [], 0
    for count, positives, negatives in rows:
        counts.append(count)
        width = positives.shape[1] if positives.ndim == 2 else width
        enough = count >= LEAST_EXAMPLES and len(negatives) >= LEAST_EXAMPLES
        fits.append(fit_vector(positives, negatives, seed=seed, shuffle=False) if enough else None)
    if not any(fits):
        raise ValueError(
            f"expected a concept with at least {LEAST_EXAMPLES} images, got at most {max(counts)} images of one"
        )
    width = next(len(fit[0]) for fit in fits if fit is not None)
    vectors = torch.stack([torch.full((width,), torch.nan) if fit is None else fit[0] for fit in fits])
    accuracy = torch.tensor([torch.nan if fit is None else fit[1] for fit in fits])
    names = tuple(name for name, _ in labels)
    held_out = torch.tensor([0 if fit is None else fit[2] for fit in fits])
    found = ConceptVectors(layer, names, vectors[:, None], accuracy[:, None], torch.tensor(counts), held_out)
    found.warn()
    categories = tuple(category for _, category in labels)
    return ConceptDirections(layer, names, categories, vectors, accuracy, found.counts, found.trained)


def _image_rows(
    model: ImageModel,
    named: dict[str, Sequence[Any]],
    others: Sequence[Any] | None,
    layer: str,
    batch_size: int,
) -> Rows:
    def means(images: Sequence[Any]) -> Tensor:
        return layer_vectors(model, images, layer, "mean", batch_size) if len(images) else torch.empty(0, 1)

    vectors = {name: means(images) for name, images in named.items()}
    random = None if others is None else means(others)
    for name, positives in vectors.items():
        if random is None:
            rest = [rows for other, rows in vectors.items() if other != name and len(rows)]
            yield len(positives), positives, torch.cat(rest) if rest else torch.empty(0, 1)
        else:
            yield len(positives), positives, random


def _labeled_rows(
    model: ImageModel, data: ConceptData, chosen: list[int], layer: str, batch_size: int, seed: int
) -> Rows:
    """Yield activations at positions that a concept covers, and at random positions that it does not touch."""
    generator = torch.Generator().manual_seed(seed)
    positives: list[list[Tensor]] = [[] for _ in chosen]
    negatives: list[Tensor] = []
    touched: list[Tensor] = []
    for begin in range(0, len(data), batch_size):
        examples = [data[index] for index in range(begin, min(begin + batch_size, len(data)))]
        output = model.activations([example.image for example in examples], layer)[layer].float()
        spatial = check_finite(model.spatial(layer, output), model.name, f"outputs of {layer!r}").cpu()
        for example, activation in zip(examples, spatial, strict=True):
            covered = _coverage(model, example, chosen, (activation.shape[1], activation.shape[2]))
            flat = activation.flatten(1).T
            for index, share in enumerate(covered.flatten(1)):
                if share.max() > 0:
                    at = (share >= COVERED * share.max()).nonzero()[:, 0]
                    at = at[torch.randperm(len(at), generator=generator)[:PER_IMAGE]]
                    positives[index].append(flat[at])
            at = torch.randperm(len(flat), generator=generator)[:NEGATIVES]
            negatives.append(flat[at])
            touched.append(covered.flatten(1)[:, at].T > 0)
    pool, hits = torch.cat(negatives), torch.cat(touched)
    for index, parts in enumerate(positives):
        found = torch.cat(parts) if parts else pool[:0]
        yield len(parts), found, pool[~hits[:, index]]


def _coverage(model: ImageModel, example: Example, chosen: list[int], grid: tuple[int, int]) -> Tensor:
    """Return the shares of labeled pixels in the cell of each position, (C, h, w)."""
    covered = torch.tensor([float(index in example.labels) for index in chosen])
    covered = covered[:, None, None].expand(-1, *grid).clone()
    rows = [row for row, index in enumerate(chosen) if index in example.masks]
    if rows:
        masks = torch.stack([torch.as_tensor(example.masks[chosen[row]]).float() for row in rows])
        # The masks take the path of the image: resized and cropped alike.
        shown = model.images(masks[..., None].expand(-1, -1, -1, model.channels).numpy())[:, :1].cpu()
        covered[rows] = F.adaptive_avg_pool2d(shown, grid)[:, 0]
    return covered
