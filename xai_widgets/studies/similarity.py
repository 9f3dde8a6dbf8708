"""What the similarity explorer computes, in the order in which it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.features import TopActivations, effective_receptive_field, top_activations
from xai_widgets.features.top_activations import MEASURED
from xai_widgets.similarity import (
    ActivationGrid,
    Components,
    Packed,
    SimilarityIndex,
    activation_grids,
    factorize,
    pack,
    similarity_index,
    theoretical_receptive_field,
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
    fields : tuple of list of list of float
        For each column the theoretical and the empirical (effective) receptive field: shift of the middle,
        right and down, width and height, as shares of the picture.
    channels : tuple of TopActivations
        For each column the images, of the corpus if there is one, in which each channel is strongest.
    indexes : mapping of int to SimilarityIndex
        Of the corpus, by the column.
    """

    grids: tuple[ActivationGrid, ...] = ()
    packed: tuple[Packed, ...] = ()
    components: Components | None = None
    top: TopActivations | None = None
    wanted: Wanted | None = None
    fields: tuple[list[list[float]], ...] = ()
    channels: tuple[TopActivations, ...] = ()
    indexes: Mapping[int, SimilarityIndex] = field(default_factory=dict)

    def column(self, index: int) -> list[ActivationGrid]:
        """The grids of a column, image by image."""
        one = self.packed[index]
        return [grid for grid in self.grids if (grid.network, grid.layer) == (one.network, one.layer)]

    def head(self, index: int) -> str:
        """What a column is called: its layer, of several networks with the network."""
        one = self.packed[index]
        several = len({packed.network for packed in self.packed}) > 1
        return f"{one.network} {one.layer}" if several else one.layer


def similarities(
    models: Sequence[ImageModel],
    images: Any,
    layers: Mapping[str, Sequence[str]],
    *,
    wanted: Wanted,
    corpus: Any = None,
    searched: int = 0,
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
        Images of any kind, of which an index is made.
    searched : int, default 0
        The column of which it is made, beside those that are there.
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
    result = SimilarityResult() if start is None else start
    columns = [(model, layer) for model in models for layer in layers[model.name]]
    takes = [
        activation_grids(model, images, layers[model.name], batch_size=batch_size)
        for model in models
        if not result.packed
    ]
    tops = [
        top_activations(
            model, images if corpus is None else corpus, layer=layer, k=PATCHES, batch_size=batch_size
        )
        for model, layer in columns
        if not result.channels
    ]
    indexes = []
    if corpus is not None and searched not in result.indexes:
        model, layer = columns[searched]
        indexes.append(similarity_index(model, corpus, layer, batch_size=batch_size))

    def play() -> Iterator[SimilarityResult]:
        made = result
        if takes:
            for _ in chain.from_iterable(takes):
                yield made
            grids = tuple(chain.from_iterable(take.latest or () for take in takes))
            made = replace(made, grids=grids, packed=pack(grids, rank=rank))
            yield made
        if made.wanted != wanted:
            for snapshot in _components(made, models, images, wanted, seed):
                yield snapshot
            made = snapshot
        if tops:
            fields = (_fields(model, images, layer) for model, layer in columns)
            made = replace(made, fields=tuple(fields))
            for _ in chain.from_iterable(tops):
                yield made
            made = replace(made, channels=tuple(top.latest for top in tops if top.latest is not None))
            yield made
        for index in indexes:
            for _ in index:
                yield made
            assert index.latest is not None
            yield replace(made, indexes={**made.indexes, searched: index.latest})

    runs: list[Run[Any]] = [*takes, *tops, *indexes]
    total = sum(run.total for run in runs) + bool(takes) + bool(tops) + bool(indexes)
    if result.wanted != wanted:
        total += ROUNDS + 1 if wanted.count else 1
    return Run(play(), total=total, name="similarity")


def _components(
    result: SimilarityResult, models: Sequence[ImageModel], images: Any, wanted: Wanted, seed: int
) -> Iterator[SimilarityResult]:
    """The result with other components, or none; without any as long as they are looked for."""
    without = replace(result, components=None, top=None, wanted=None)
    if wanted.count == 0:
        yield replace(without, wanted=wanted)
        return
    members = result.column(wanted.column)
    run = factorize(members, wanted.count, seed=seed)
    for _ in run:
        yield without
    assert run.latest is not None
    model = next(model for model in models if model.name == members[0].network)
    top = run.latest.top(model, images, k=min(PATCHES, len(members)))
    yield replace(without, components=run.latest, top=top, wanted=wanted)


def _fields(model: ImageModel, images: Any, layer: str) -> list[list[float]]:
    """The theoretical and the effective receptive field, as shares of the picture."""
    height, width = model.size
    seen = theoretical_receptive_field(model, layer)
    side = effective_receptive_field(model, layer, images[:MEASURED])
    return [
        [seen.offset[0] / width, seen.offset[1] / height, seen.size[0] / width, seen.size[1] / height],
        [0.0, 0.0, side / width, side / height],
    ]
