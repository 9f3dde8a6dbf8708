"""What the similarity explorer computes, in the order in which it is shown: activations, components, an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xai_widgets.features import TopActivations
from xai_widgets.model import ImageModel
from xai_widgets.run import Run
from xai_widgets.similarity import (
    ActivationGrid,
    Components,
    Packed,
    SimilarityIndex,
    activation_grids,
    factorise,
    pack,
    similarity_index,
)
from xai_widgets.similarity.components import ROUNDS

#: How many patches each component has.
PATCHES = 6


@dataclass(frozen=True)
class Wanted:
    """Which components are asked for: so many, of a column."""

    column: int
    count: int


@dataclass(frozen=True, eq=False)
class SimilarityResult:
    """What is computed so far.

    Attributes
    ----------
    grids : tuple of ActivationGrid
        Of all networks, images and layers.
    packed : tuple of Packed
        One for each column, a layer of a network.
    components : Components or None
    top : TopActivations or None
        Where the components are strongest.
    wanted : Wanted or None
        Which components these are.
    index : SimilarityIndex or None
        Of the corpus.
    """

    grids: tuple[ActivationGrid, ...] = ()
    packed: tuple[Packed, ...] = ()
    components: Components | None = None
    top: TopActivations | None = None
    wanted: Wanted | None = None
    index: SimilarityIndex | None = None

    def column(self, index: int) -> list[ActivationGrid]:
        """The grids of a column, image by image."""
        one = self.packed[index]
        return [grid for grid in self.grids if (grid.network, grid.layer) == (one.network, one.layer)]


def similarities(
    models: Sequence[ImageModel],
    images: Any,
    layers: Mapping[str, Sequence[str]],
    *,
    wanted: Wanted,
    corpus: Any = None,
    seed: int = 0,
    rank: int | None = None,
    batch_size: int = 32,
    start: SimilarityResult | None = None,
) -> Run[SimilarityResult]:
    """Compute what of a result is missing.

    Parameters
    ----------
    models : sequence of ImageModel
        The networks, of different names.
    images
        A list of images, or a batch of them.
    layers : mapping of str to sequence of str
        The layers of each network, by its name.
    wanted : Wanted
        The components; a count of 0 for none.
    corpus : optional
        Images of any kind, of which an index of the last layer of the first network is made.
    seed : int, default 0
        Of the components.
    rank : int or None, default None
        Wider layers are projected on so many directions.
    batch_size : int, default 32
        Images per pass.
    start : SimilarityResult, optional
        What is there.

    Returns
    -------
    Run of SimilarityResult
        A snapshot for every batch, and every round of the components.
    """
    first = models[0]
    result = SimilarityResult() if start is None else start
    takes = (
        []
        if result.packed
        else [activation_grids(m, images, layers[m.name], batch_size=batch_size) for m in models]
    )
    indexing = (
        similarity_index(first, corpus, layers[first.name][-1], batch_size=batch_size)
        if corpus is not None and result.index is None
        else None
    )

    def play() -> Iterator[SimilarityResult]:
        made = result
        if takes:
            grids: tuple[ActivationGrid, ...] = ()
            for take in takes:
                for _ in take:
                    yield made
                grids += take.latest or ()
            made = replace(made, grids=grids, packed=pack(grids, rank=rank))
            yield made
        if made.wanted != wanted:
            made = replace(made, components=None, top=None, wanted=None)
            if wanted.count == 0:
                made = replace(made, wanted=wanted)
            else:
                members = made.column(wanted.column)
                factors = factorise(members, wanted.count, seed=seed)
                for _ in factors:
                    yield made
                model = next(model for model in models if model.name == members[0].network)
                assert factors.latest is not None
                top = factors.latest.top(model, images, k=min(PATCHES, len(members)))
                made = replace(made, components=factors.latest, top=top, wanted=wanted)
            yield made
        if indexing is not None:
            for _ in indexing:
                yield made
            yield replace(made, index=indexing.latest)

    total = sum(take.total for take in takes) + 1 + (ROUNDS if wanted.count else 0)
    return Run(play(), total=total + (indexing.total if indexing else 0), name="similarity")
