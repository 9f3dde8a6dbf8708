"""Concepts as vectors: the weights of a concept over the filters of a layer (Fong and Vedaldi 2018, section 5.3).

With w' = w / |w| for each concept, the similarity of two concepts is w'_1 . w'_2. For two representations i and j with
the normalized weights of the same C concepts as the rows of W^i and W^j, d(W) = W W^T, and

    D_ij = |d(W^i) - d(W^j)|^2,   D_ij,c = |d(W^i)_c - d(W^j)_c|^2

compare what is similar in each, whatever their filters are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.concepts.combinations import Combinations
from xai_widgets.concepts.probe_data import concept_index
from xai_widgets.core.optional import optional
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, instance, integer, items
from xai_widgets.data.base import Concept
from xai_widgets.ops.normalize import unit_vectors

#: Number of starts of k-means, of which the best is taken.
STARTS = 10
#: Largest seed of scikit-learn.
HIGHEST_SEED = 2**32 - 1


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings(ShortRepr):
    """Normalized vectors of concepts.

    Attributes
    ----------
    name : str
        Name of the representation, such as "scenes_vgg stage4.relu2, segmentation".
    concepts : tuple of Concept
        The concepts with a vector.
    vectors : Tensor, (C, K)
        Their vectors, of length 1.
    """

    name: str
    concepts: tuple[Concept, ...]
    vectors: Tensor

    @property
    def similarities(self) -> Tensor:
        """Cosines of all pairs of concepts, d(W), (C, C)."""
        return self.vectors @ self.vectors.T

    def vector(self, concept: int | str | Concept) -> Tensor:
        """Return the vector of a concept, (K,)."""
        return self.vectors[concept_index(self.concepts, concept)]

    def nearest(self, query: int | str | Concept | Tensor, count: int = 5) -> list[tuple[str, float]]:
        """Return the concepts with the largest cosine, and the cosines.

        Parameters
        ----------
        query : int, str, Concept or Tensor
            A concept, which is not in the result, or a vector (K,).
        count : int, default 5
            Number of concepts.
        """
        if isinstance(query, Tensor):
            return self._nearest(query, count, ())
        index = concept_index(self.concepts, query)
        return self._nearest(self.vectors[index], count, (index,))

    def arithmetic(
        self,
        add: Sequence[int | str | Concept],
        subtract: Sequence[int | str | Concept] = (),
        count: int = 5,
    ) -> list[tuple[str, float]]:
        """Return the concepts nearest to a sum and difference of vectors, such as grass - green + blue.

        Parameters
        ----------
        add, subtract : sequence of int, str or Concept
            Concepts; they are not in the result.
        count : int, default 5
            Number of concepts.

        Returns
        -------
        list of (str, float)
            Names and cosines, the largest first.
        """
        plus = [concept_index(self.concepts, each) for each in items(add, "add", what="concepts")]
        minus = [
            concept_index(self.concepts, each)
            for each in (items(subtract, "subtract", what="concepts") if len(subtract) else ())
        ]
        vector = self.vectors[plus].sum(0) - self.vectors[minus].sum(0)
        return self._nearest(vector, count, (*plus, *minus))

    def _nearest(self, vector: Tensor, count: int, excluded: Sequence[int]) -> list[tuple[str, float]]:
        count = integer(count, "count", low=1)
        cosines = self.vectors @ unit_vectors(vector.to(self.vectors))
        left = [
            index for index in cosines.argsort(descending=True, stable=True).tolist() if index not in excluded
        ]
        return [(self.concepts[index].name, float(cosines[index])) for index in left[:count]]

    def tsne(self, *, perplexity: float | None = None, seed: int = 0) -> NDArray[np.float64]:
        """Return positions in the plane by t-SNE of the cosine distances, (C, 2).

        Parameters
        ----------
        perplexity : float, optional
            Default: 30, or a third of the number of concepts if that is less.
        seed : int, default 0
            Seed of the start.
        """
        if len(self.concepts) < 3:
            raise ValueError(f"expected at least three concepts, got {len(self.concepts)}")
        manifold = optional("sklearn.manifold", "maps of concepts")
        spread = min(30.0, (len(self.concepts) - 1) / 3) if perplexity is None else perplexity
        distances = (1 - self.similarities.double()).clamp(min=0).fill_diagonal_(0).numpy()
        start = integer(seed, "seed", low=0, high=HIGHEST_SEED)
        tsne = manifold.TSNE(perplexity=spread, metric="precomputed", init="random", random_state=start)
        return np.asarray(tsne.fit_transform(distances), np.float64)

    def kmeans(self, count: int, *, seed: int = 0) -> NDArray[np.int64]:
        """Return the group of each concept by k-means of the vectors, (C,), from 0 to ``count - 1``."""
        count = integer(count, "count", low=1, high=len(self.concepts))
        cluster = optional("sklearn.cluster", "groups of concepts")
        start = integer(seed, "seed", low=0, high=HIGHEST_SEED)
        fitted = cluster.KMeans(count, n_init=STARTS, random_state=start).fit(self.vectors.double().numpy())
        return np.asarray(fitted.labels_, np.int64)


def embeddings(combinations: Combinations) -> Embeddings:
    """Return the normalized weights of the trained concepts.

    Parameters
    ----------
    combinations : Combinations
        Combinations for segmentation or classification.
    """
    instance(combinations, "combinations", Combinations)
    kept = (combinations.trained & combinations.weights.any(1)).nonzero()[:, 0]
    return Embeddings(
        f"{combinations.network} {combinations.layer}, {combinations.task}",
        tuple(combinations.concepts[c] for c in kept.tolist()),
        unit_vectors(combinations.weights[kept]),
    )


def embeddings_from(name: str, vectors: Mapping[Concept, Any]) -> Embeddings:
    """Return embeddings from vectors of another source, such as word vectors; all of one length, none zero."""
    rows = [torch.as_tensor(np.asarray(vector), dtype=torch.float32) for vector in vectors.values()]
    shapes = sorted({tuple(row.shape) for row in rows})
    if len(shapes) != 1 or len(shapes[0]) != 1 or not all(bool(row.any()) for row in rows):
        raise ValueError(f"expected vectors of one length that are not zero, got shapes {brief(shapes)}")
    return Embeddings(name, tuple(vectors), unit_vectors(torch.stack(rows)))


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingDistances(ShortRepr):
    """Distances between representations of the same concepts.

    Attributes
    ----------
    names : tuple of str
        Names of the n representations.
    concepts : tuple of Concept
        The concepts that all of them have.
    total : Tensor, (n, n)
        D_ij.
    by_concept : Tensor, (n, n, C)
        D_ij,c; its sum over the concepts is D_ij.
    """

    names: tuple[str, ...]
    concepts: tuple[Concept, ...]
    total: Tensor
    by_concept: Tensor

    def by_category(self) -> dict[str, Tensor]:
        """Return the mean of D_ij,c over the concepts of each category, each (n, n)."""
        names = dict.fromkeys(concept.category for concept in self.concepts)
        rows = {
            name: [at for at, concept in enumerate(self.concepts) if concept.category == name]
            for name in names
        }
        return {name: self.by_concept[:, :, chosen].mean(2) for name, chosen in rows.items()}


def embedding_distances(spaces: Sequence[Embeddings]) -> EmbeddingDistances:
    """Return the distances D_ij between embeddings of layers, networks, or other sources.

    Parameters
    ----------
    spaces : sequence of Embeddings
        They are compared on the concepts that all of them have.

    Raises
    ------
    ValueError
        If they have fewer than two concepts in common.
    """
    given = [
        instance(each, "each of spaces", Embeddings) for each in items(spaces, "spaces", what="embeddings")
    ]
    common = [concept for concept in given[0].concepts if all(concept in each.concepts for each in given)]
    if len(common) < 2:
        raise ValueError(f"expected embeddings with at least two concepts in common, got {len(common)}")
    matrices = []
    for each in given:
        rows = [each.concepts.index(concept) for concept in common]
        matrices.append(each.similarities[rows][:, rows].double())
    stacked = torch.stack(matrices)
    by_concept = (stacked[:, None] - stacked[None]).square().sum(-1)
    return EmbeddingDistances(
        tuple(each.name for each in given), tuple(common), by_concept.sum(-1).float(), by_concept.float()
    )
