"""Concepts of a class without labels: parts of its images that the network represents alike (Fel et al. 2023, CRAFT).

With A (n, C) the activations of a layer for n crops of images of the class, each averaged over the positions:

    A ~ U W,   U >= 0 (n, M),   W >= 0 (M, C)                      the bank of M concepts
    u(p) = argmin_{u >= 0} |a(p) - u W|                            concept attribution maps, at each position p
    f(m) = S_c(a - sum_k (1 - m_k) u_k w_k),   m in [0, 1]^M       the score with only a part of each concept
    importance of k = total Sobol index of f in m_k                :mod:`~xai_widgets.concepts.sobol`
    gradient x activation of k = df / dm_k at m = 1

S_c(a) is the score of the class for an activation a of the layer: the rest of the network. Fel et al. score the
reconstruction, sum_k m_k u_k w_k; here the part of the activation that no concept holds stays, so that f(1) is the
score of the image itself and removing a concept changes nothing else.

Factors of at least 0 require activations of at least 0. Where a layer has negative values, such as the tokens of a
transformer or a layer behind GELU or SiLU, concepts are the groups of k-means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from xai_widgets.concepts.class_crops import (
    DENSE,
    SPARSE,
    crop_activations,
    crop_corners,
    crop_counts,
    crop_side,
    listed_images,
    of_class,
)
from xai_widgets.concepts.concept_scores import ConceptScores
from xai_widgets.concepts.factorization import FEW_IMAGES, factorized, warn_few
from xai_widgets.concepts.sobol import sobol_masks, total_indices
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, integer, integers
from xai_widgets.features import LayerScores
from xai_widgets.ops.resize import resize_map
from xai_widgets.similarity import ActivationGrid, Components
from xai_widgets.similarity.components import MOST_COMPONENTS, FactorKind

#: Maximum number of images whose crops are factorized; of more, evenly spaced ones are taken.
MOST_IMAGES = 100


@dataclass(frozen=True, eq=False, repr=False)
class ClassConcepts(ShortRepr):
    """M concepts of a class, the most important one first.

    Attributes
    ----------
    layer : str
        Name of the layer.
    target : int
        The class.
    components : Components
        The bank: ``directions`` (M, C), and ``weights`` (P, rows, columns, M) of the crops of P images.
    reason : str
        Why this factorization was chosen.
    images : tuple of int
        Indices of the P images among those given.
    side : int
        Side of a crop in pixels.
    coefficients : Tensor, (N, M, h, w)
        Concept attribution maps of the first N of the P images, in units of the activations.
    scores : Tensor, (N, classes)
        Scores of these images.
    removed : Tensor, (N, M, classes)
        Scores without each of the concepts.
    importances : Tensor, (N, M)
        Total Sobol index of each concept, for each image. NaN where it is not computed yet.
    gradients : Tensor, (N, M)
        Gradient x activation, in units of the score.
    map_error : float
        Relative error |A - U W| / |A| at the positions of the images; that of the crops is ``components.error``.
    """

    layer: str
    target: int
    components: Components
    reason: str
    images: tuple[int, ...]
    side: int
    coefficients: Tensor
    scores: Tensor
    removed: Tensor
    importances: Tensor
    gradients: Tensor
    map_error: float
    _source: ImageSource

    def __len__(self) -> int:
        return len(self.components.directions)

    @property
    def directions(self) -> Tensor:
        """The bank W, (M, C), with rows of length 1."""
        return torch.from_numpy(self.components.directions)

    @property
    def importance(self) -> Tensor:
        """Total Sobol index of each concept, (M,), the mean over the images so far."""
        return self.importances.nanmean(0)

    @property
    def gradient(self) -> Tensor:
        """Gradient x activation of each concept, (M,), the mean over the images so far, in units of the score."""
        return self.gradients.nanmean(0)

    @property
    def effect(self) -> Tensor:
        """Change of the score of the class where a concept is removed, (M,), the mean over the images so far."""
        return (self.removed[..., self.target] - self.scores[:, None, self.target]).nanmean(0)

    @property
    def complete(self) -> bool:
        """Whether the importance on every image is computed."""
        return not bool(self.importances.isnan().any())

    def with_image(self, number: int, **values: Tensor) -> ClassConcepts:
        """Return a copy with other values of an image in the named fields."""
        fields = {name: getattr(self, name).clone() for name in values}
        for name, value in values.items():
            fields[name][number] = value.to(fields[name])
        return replace(self, **fields)

    def by_importance(self) -> ClassConcepts:
        """Return a copy with the concepts by descending importance."""
        order = self.importance.argsort(descending=True, stable=True)
        components = self.components.reordered(order.numpy())
        fields = ("coefficients", "removed", "importances", "gradients")
        return replace(
            self, components=components, **{name: getattr(self, name)[:, order] for name in fields}
        )

    def maps(self, size: tuple[int, int]) -> Tensor:
        """Return the concept attribution maps resized to images of this height and width, (N, M, H, W)."""
        return resize_map(self.coefficients.flatten(0, 1), size).unflatten(0, self.coefficients.shape[:2])

    def image(self, number: int) -> Tensor:
        """Return one of the P images, (C, H, W)."""
        index = self.images[integer(number, "number", low=0, high=len(self.images) - 1)]
        return self._source.batch(index, index + 1)[0]

    def top_crops(self, concept: int, count: int = 6) -> tuple[Tensor, Tensor]:
        """Return the crops with the largest weights of a concept, without those that overlap a better one by
        more than half of their side.

        Parameters
        ----------
        concept : int
            Number of the concept, from 0.
        count : int, default 6
            Number of crops.

        Returns
        -------
        crops : Tensor, (k, C, side, side)
            In [0, 1]; k is smaller than ``count`` if fewer crops have a weight above 0.
        boxes : Tensor of int, (k, 3)
            Number of the image among the P ones, top and left of the crop in pixels.
        """
        concept = integer(concept, "concept", low=0, high=len(self) - 1)
        count = integer(count, "count", low=1)
        weights = self.components.weights[..., concept]
        tops, lefts = crop_corners(self.image(0).shape[1:], self.side, weights.shape[1:])
        chosen: list[tuple[int, int, int]] = []
        for flat in np.argsort(-weights, axis=None, kind="stable").tolist():
            number, row, column = np.unravel_index(flat, weights.shape)
            if weights[number, row, column] <= 0 or len(chosen) == count:
                break
            corner = (int(number), tops[row], lefts[column])
            near = (
                max(abs(corner[1] - top), abs(corner[2] - left)) < self.side / 2
                for n, top, left in chosen
                if n == number
            )
            if not any(near):
                chosen.append(corner)
        crops = [
            self.image(number)[:, top : top + self.side, left : left + self.side]
            for number, top, left in chosen
        ]
        none = self.image(0).new_empty(0, len(self.image(0)), self.side, self.side)
        return torch.stack(crops) if crops else none, torch.tensor(chosen, dtype=torch.long).view(-1, 3)

    def without(self, model: ImageModel, number: int, concepts: Sequence[int]) -> Tensor:
        """Return the scores (classes,) of one of the N images without a set of concepts.

        Parameters
        ----------
        model : ImageModel
            The network.
        number : int
            Number of the image, from 0.
        concepts : sequence of int
            Numbers of the concepts, from 0.
        """
        number = integer(number, "number", low=0, high=len(self.coefficients) - 1)
        mask = torch.ones(len(self))
        if len(concepts):
            mask[integers(concepts, "concepts", low=0, high=len(self) - 1)] = 0
        return self.scored(model, number).scores(mask[None])[0]

    def scored(self, model: ImageModel, number: int) -> ConceptScores:
        """Return the score of one of the N images as a function of the concepts."""
        x = self.image(number)[None]
        return ConceptScores(LayerScores(model, x, self.layer), self.directions, self.coefficients[number])


@without_inference_mode
def class_concepts(
    model: ImageModel,
    images: Any,
    target: int | str | None = None,
    *,
    layer: str | None = None,
    count: int = 10,
    kind: FactorKind | Literal["auto"] = "auto",
    side: int | None = None,
    scored: int = 12,
    design: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[ClassConcepts]:
    """Find the concepts of a class in images of it, without labels, and their importance for its score.

    The network itself is not changed.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, examples of a data set, or a folder. The concepts are those of the images that the network
        predicts as the class; of all of them, with a warning, if it predicts none.
    target : int or str, optional
        The class. Default: the one that the network predicts most often.
    layer : str, optional
        A layer with spatial positions, by its name in ``model.layers()``. Default: the last one before pooling.
    count : int, default 10
        M, the number of concepts, 1 to 12; fewer, with a warning, if the layer has fewer channels.
    kind : {"auto", "nmf", "pca", "kmeans"}, default "auto"
        The factorization; "auto" is NMF for activations of at least 0, and k-means otherwise.
    side : int, optional
        Side of a crop in pixels. Crops overlap by half of it, or by three quarters where there are fewer than 20
        images, and are resized to the size of the images. Default: 40 % of the short side of the images.
    scored : int, default 12
        N, the number of images for which importances and maps are computed.
    design : int, default 64
        Points of each of the two samples of a Sobol index. An image takes ``design * (M + 2)`` passes of the network
        behind the layer, or of the whole network where some path bypasses the layer; the error of an index is then
        about a tenth for one image, and less for the mean.
    seed : int, default 0
        Seed of the factorization and of the samples.
    batch_size : int, optional
        Crops, or changed activations, per pass. Default: as many as are computed fastest in bounded memory.

    Returns
    -------
    Run of ClassConcepts
        One snapshot without importances, with the concepts by descending weight, and one for each of the N images; the
        last one has the concepts by descending importance.

    Raises
    ------
    ValueError
        For an unknown class or layer, with the nearest name, a layer that is not spatial, a number that is out of
        range, no images, or negative activations for NMF.
    ImportError
        If scikit-learn is missing for NMF or k-means, with the extra that installs it.

    Examples
    --------
    >>> concepts = class_concepts(model, "photos/cats", "tabby").result()  # doctest: +SKIP
    >>> concepts.importance  # doctest: +SKIP
    """
    check_model(model)
    layer = model.default_layer() if layer is None else model.layer(layer).name
    model.grid(layer)
    choice(kind, "kind", ("auto", *get_args(FactorKind)))
    count = integer(count, "count", low=1, high=MOST_COMPONENTS)
    scored, design = integer(scored, "scored", low=1), integer(design, "design", low=2)
    if target is not None:
        target = model.class_index(target)
    source = ImageSource(model, listed_images(images))
    number = source.batch_size(batch_size)
    side = crop_side(source.batch(0, 1), side)
    progress = _Progress()

    def steps() -> Iterator[ClassConcepts]:
        chosen, found = of_class(model, source, target, MOST_IMAGES, number)
        progress.predicted = 1.0
        grids = []
        distance = DENSE if len(chosen) < FEW_IMAGES else SPARSE
        for index in chosen:
            x = source.batch(index, index + 1)
            counts = crop_counts(x.shape[2:], side, distance)
            crops = crop_activations(model, x, layer, side, counts, number)
            grids.append(ActivationGrid(model.name, layer, index, crops))
            progress.cropped = len(grids) / len(chosen)
        warn_few(grids, model.labels[found])
        components, reason = factorized(grids, count, kind, seed)
        result = _unscored(model, source, found, components, reason, side, scored)
        yield result
        for index in range(len(result.scores)):
            # Other points for each image: the errors of the estimates cancel in the mean.
            masks = sobol_masks(len(result), design, seed=seed + index)
            part = result.scored(model, index)
            values = part.scores(masks, number)[:, found]
            result = result.with_image(
                index,
                importances=total_indices(values, len(result)),
                gradients=part.gradient(found),
                removed=part.scores(1 - torch.eye(len(result)), number),
            )
            progress.scored = (index + 1) / len(result.scores)
            yield result.by_importance() if result.complete else result

    return Run(
        steps(),
        total=1 + min(scored, len(source)),
        name=f"concepts in {layer}",
        fraction=progress.fraction,
    )


@dataclass
class _Progress:
    """Completed shares of the parts of the computation: predictions, crops, and scores of masks."""

    predicted: float = 0.0
    cropped: float = 0.0
    scored: float = 0.0

    def fraction(self) -> float:
        return 0.1 * self.predicted + 0.5 * self.cropped + 0.4 * self.scored


def _unscored(
    model: ImageModel,
    source: ImageSource,
    target: int,
    components: Components,
    reason: str,
    side: int,
    scored: int,
) -> ClassConcepts:
    """Return the concepts with their maps and scores of images, without importances."""
    maps, scores, error, length = [], [], 0.0, 0.0
    for index in components.images[:scored]:
        x = source.batch(index, index + 1)
        activation = LayerScores(model, x, components.layer).activation
        found = components.coefficients(activation)
        maps.append(found)
        scores.append(model(x).float().cpu())
        error += components.residual(activation, found).square().sum().item()
        length += double(activation).square().sum().item()
    every = torch.cat(scores)
    count = len(components.directions)
    blank = torch.full((len(every), count), torch.nan)
    return ClassConcepts(
        layer=components.layer,
        target=target,
        components=components,
        reason=reason,
        images=components.images,
        side=side,
        coefficients=torch.cat(maps),
        scores=every,
        removed=torch.full((len(every), count, every.shape[1]), torch.nan),
        importances=blank,
        gradients=blank.clone(),
        map_error=math.sqrt(error / length) if length > 0 else 0.0,
        _source=source,
    )
