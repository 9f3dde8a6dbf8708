"""Parts of a concept in the layer below (Fel et al. 2023, section 3.2, recursively).

A concept k of a layer, with direction w_k, is decomposed in an earlier layer. With b the activations of the earlier
layer at all positions of the crops in which the concept is strongest:

    B ~ V H,   V >= 0,   H >= 0                                                  the sub-concepts of k
    g(m) = mean over the positions of w_k . a(b - sum_j (1 - m_j) v_j h_j)       the concept with a part of each of them
    importance of j for k = total Sobol index of g in m_j

a(b) is the activation of the upper layer for an activation b of the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xai_widgets.concepts.class_crops import resized
from xai_widgets.concepts.concept_scores import ConceptScores
from xai_widgets.concepts.craft import ClassConcepts
from xai_widgets.concepts.factorization import factorized
from xai_widgets.concepts.sobol import sobol_masks, total_indices
from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, instance, integer
from xai_widgets.features import LayerScores, TopActivations
from xai_widgets.similarity import ActivationGrid, Components
from xai_widgets.similarity.components import MOST_COMPONENTS, FactorKind

#: Layers below that are tried as a bottleneck, so that only the part of the network between the layers runs.
TRIED = 32


@dataclass(frozen=True, eq=False, repr=False)
class SubConcepts(ShortRepr):
    """M parts of one concept in the layer below, the most important one first.

    Attributes
    ----------
    layer, parent_layer : str
        Names of the layer below and of that of the concept.
    parent : int
        Number of the concept, from 0.
    components : Components
        The sub-concepts, and their weights (T, h, w, M) at the positions of T crops.
    reason : str
        Why this factorization was chosen.
    crops : Tensor, (T, C, H, W)
        The crops in which the concept is strongest, in the size of the images.
    importance : Tensor, (M,)
        Total Sobol index of each sub-concept for the concept, the mean over some of the crops.
    top : TopActivations
        Crops and positions in which each sub-concept is strongest.
    """

    layer: str
    parent_layer: str
    parent: int
    components: Components
    reason: str
    crops: Tensor
    importance: Tensor
    top: TopActivations

    def __len__(self) -> int:
        return len(self.components.directions)


@without_inference_mode
def sub_concepts(
    model: ImageModel,
    concepts: ClassConcepts,
    concept: int,
    *,
    layer: str | None = None,
    count: int = 5,
    kind: FactorKind | Literal["auto"] = "auto",
    crops: int = 12,
    scored: int = 4,
    design: int = 16,
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[SubConcepts]:
    """Decompose a concept into sub-concepts of an earlier layer.

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    concepts : ClassConcepts
        Concepts of a class.
    concept : int
        Number of the concept to decompose, from 0.
    layer : str, optional
        An earlier spatial layer. Default: :func:`layer_below`.
    count : int, default 5
        M, the number of sub-concepts, 1 to 12.
    kind : {"auto", "nmf", "pca", "kmeans"}, default "auto"
        The factorization, as for :func:`~xai_widgets.concepts.class_concepts`.
    crops : int, default 12
        T, the number of crops in which the concept is strongest.
    scored : int, default 4
        The number of crops for the importance, each of ``design * (M + 2)`` passes.
    design : int, default 16
        Points of each of the two samples of a Sobol index.
    seed : int, default 0
        Seed of the factorization and of the samples.
    batch_size : int, optional
        Crops, or changed activations, per pass. Default: as many as are computed fastest in bounded memory.

    Returns
    -------
    Run of SubConcepts
        One snapshot.

    Raises
    ------
    ValueError
        For a concept that does not exist, an unknown layer, with the nearest name, or a layer on which the concept does
        not depend.
    """
    check_model(model)
    instance(concepts, "concepts", ClassConcepts)
    concept = integer(concept, "concept", low=0, high=len(concepts) - 1)
    count = integer(count, "count", low=1, high=MOST_COMPONENTS)
    crops, scored = integer(crops, "crops", low=1), integer(scored, "scored", low=1)
    number = pass_batch_size(model, model.size, batch_size)
    lower = layer_below(model, concepts.layer) if layer is None else model.layer(layer).name
    model.grid(lower)
    names = [each.name for each in model.layers()]
    if names.index(lower) >= names.index(concepts.layer):
        raise ValueError(
            f"expected a layer before {concepts.layer!r}, got {lower!r}; try {layer_below(model, concepts.layer)!r}"
        )

    def steps() -> Iterator[SubConcepts]:
        found, _ = concepts.top_crops(concept, crops)
        if not len(found):
            raise ValueError(f"concept {concept + 1} has no crop with a weight above 0")
        x = resized(found.to(model.device), model_size(concepts))
        grids = []
        for index, part in enumerate(x.split(1)):
            output = model.activations(part, lower)[lower].float()
            check_finite(output, model.name, f"outputs of {lower!r}")
            raw = model.spatial(lower, output)[0].movedim(0, -1).contiguous()
            grids.append(ActivationGrid(model.name, lower, index, raw))
        components, reason = factorized(grids, count, kind, seed)
        size = len(components.directions)
        masks = sobol_masks(size, design, seed=seed)
        weights = torch.from_numpy(components.weights).movedim(-1, 1)
        direction = concepts.directions[concept]
        values = [
            _ParentConcept(
                LayerScores(model, x[index : index + 1], lower),
                torch.from_numpy(components.directions),
                weights[index],
                concepts.layer,
                direction,
            ).values(masks, number)
            for index in range(min(scored, len(x)))
        ]
        indices = total_indices(torch.stack(values), size)
        if not bool(indices.any()):
            raise ValueError(f"concept {concept + 1} does not depend on the layer {lower!r}")
        importance = indices.mean(0).float()
        order = importance.argsort(descending=True, stable=True)
        components = components.reordered(order.numpy())
        yield SubConcepts(
            lower,
            concepts.layer,
            concept,
            components,
            reason,
            x,
            importance[order],
            components.top(model, x, k=min(6, len(x))),
        )

    return Run(steps(), total=1, name=f"sub-concepts in {lower}")


class _ParentConcept(ConceptScores):
    """The mean of a concept of an upper layer as a function of the sub-concepts of one crop."""

    def __init__(
        self,
        of_layer: LayerScores,
        directions: Tensor,
        coefficients: Tensor,
        upper: str,
        direction: Tensor,
    ) -> None:
        super().__init__(of_layer, directions, coefficients)
        self.upper, self.direction = upper, direction.to(self.directions)

    def values(self, masks: Tensor, batch_size: int) -> Tensor:
        """Return the concept for masks (E, M) on the sub-concepts, (E,)."""
        model = self.of_layer.model
        found = []
        with torch.no_grad():
            for part in masks.split(batch_size):
                with record_outputs(model.find_layers([self.upper])) as kept:
                    self._scores(part)
                activation = model.spatial(self.upper, kept[self.upper]).float()
                found.append(torch.einsum("ec,c->e", activation.mean((2, 3)), self.direction).cpu())
        return torch.cat(found)


def model_size(concepts: ClassConcepts) -> tuple[int, int]:
    """Return the height and width of the images of concepts."""
    height, width = concepts.image(0).shape[1:]
    return height, width


def layer_below(model: ImageModel, layer: str) -> str:
    """Return the last layer before ``layer`` with a finer grid, or, if there is none, with the same grid.

    A layer that every path passes through is preferred: then only the part of the network behind it runs.

    Raises
    ------
    ValueError
        If there is no earlier spatial layer.
    """
    layers = model.layers()
    names = [each.name for each in layers]
    positions = model.grid(layer).positions
    before = [
        each
        for each in layers[: names.index(layer)]
        if each.used
        and each.grid is not None
        and each.grid.positions > 1
        and not each.name.startswith(f"{layer}.")
        and not each.pools
    ]
    finer = [each.name for each in before if model.grid(each.name).positions > positions]
    # Blocks of tokens have one grid: those that are one level above the parts of a block.
    same = [each.name for each in before if each.name.count(".") <= layer.count(".")]
    found = (finer or same or [each.name for each in before])[::-1]
    if not found:
        raise ValueError(f"expected a layer with a spatial layer before it, got {layer!r}")
    return next((name for name in found[:TRIED] if model.is_bottleneck(name)), found[0])
