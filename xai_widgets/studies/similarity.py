"""Activations of several images and networks compared position by position, with components and similar patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.features import (
    TopActivations,
    effective_receptive_field,
    theoretical_receptive_field,
    top_activations,
)
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
)
from xai_widgets.similarity.components import ROUNDS
from xai_widgets.studies.study import Study

#: Patches of each component and channel.
PATCHES = 6


class SimilarityKey(NamedTuple):
    """One part of the results for the images.

    Attributes
    ----------
    part : {"grids", "scores", "components", "channels", "index"}
        The activations of all images; the scores of all images; components of a column; receptive fields and the
        patches of channels; the index of the corpus in a column.
    column : int, default 0
        A layer of a network.
    number : int, default 0
        The number of components.
    kind : str, default "auto"
        The factorization, as of :func:`~xai_widgets.similarity.factorize`.
    """

    part: Literal["grids", "scores", "components", "channels", "index"]
    column: int = 0
    number: int = 0
    kind: str = "auto"


class Grids(NamedTuple):
    """The activations of all networks, images and layers; packed for a view, one for each column."""

    grids: tuple[ActivationGrid, ...]
    packed: tuple[Packed, ...]


class ComponentPatches(NamedTuple):
    """Components of the activations of a column, and the patches in which they are strongest."""

    components: Components
    top: TopActivations


class ChannelPatches(NamedTuple):
    """For each column the receptive fields, and the patches in which each channel is strongest.

    A field is the shift of its middle to the right and down, its width and its height, as shares of the image: first
    the theoretical one, then the effective one.
    """

    fields: tuple[list[list[float]], ...]
    channels: tuple[TopActivations, ...]


@dataclass(frozen=True, eq=False)
class SimilarityResult:
    """All results so far.

    Attributes
    ----------
    grids : tuple of ActivationGrid
        Those of all networks, images and layers.
    packed : tuple of Packed
        One for each column, a layer of a network.
    components : Components or None
        The chosen components.
    top : TopActivations or None
        The patches in which the components are strongest.
    column : int
        The column of the components.
    scores : tuple of Tensor, (N, classes)
        The scores of all images by each network, if they are computed.
    fields : tuple of list of list of float
        For each column the theoretical and the effective receptive field.
    channels : tuple of TopActivations
        For each column the images, of the corpus if there is one, in which each channel is strongest.
    indexes : mapping of int to SimilarityIndex
        Indexes of the corpus by column.
    """

    grids: tuple[ActivationGrid, ...] = ()
    packed: tuple[Packed, ...] = ()
    components: Components | None = None
    top: TopActivations | None = None
    column: int = 0
    scores: tuple[Tensor, ...] = ()
    fields: tuple[list[list[float]], ...] = ()
    channels: tuple[TopActivations, ...] = ()
    indexes: Mapping[int, SimilarityIndex] = field(default_factory=dict)

    def members(self, column: int) -> list[ActivationGrid]:
        """Return the grids of a column, image by image."""
        packed = self.packed[column]
        return [grid for grid in self.grids if (grid.network, grid.layer) == (packed.network, packed.layer)]

    def label(self, column: int) -> str:
        """Return the label of a column: its layer, with the network if there are several."""
        packed = self.packed[column]
        several = len({each.network for each in self.packed}) > 1
        return f"{packed.network} {packed.layer}" if several else packed.layer


class SimilarityStudy(Study[SimilarityKey, Any]):
    """The activations of several images in layers of several networks, their components and similar patches.

    Parameters
    ----------
    models : sequence of ImageModel
        The networks, of different names.
    images
        A list of images, or a batch of them.
    layers : mapping of str to sequence of str
        The layers of each network, by its name.
    corpus : optional
        Images of any kind, which are indexed.
    component_images : optional
        Images of any kind on which the components are fitted. Default: `images`.
    seed : int, default 0
        Seed of the components.
    rank : int, optional
        Wider layers are projected to this number of directions. Default: none is.
    batch_size : int, optional
        Images per pass. Default: as many as are computed fastest in bounded memory.
    """

    def __init__(
        self,
        models: Sequence[ImageModel],
        images: Any,
        layers: Mapping[str, Sequence[str]],
        *,
        corpus: Any = None,
        component_images: Any = None,
        seed: int = 0,
        rank: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.models, self.images, self.layers, self.corpus = models, images, layers, corpus
        self.component_images = component_images
        self.seed, self.rank = seed, rank
        self.batch_size = min(pass_batch_size(model, model.size, batch_size) for model in models)
        self.columns = [(model, layer) for model in models for layer in layers[model.name]]
        self._sides: dict[int, int] = {}

    def title(self, key: SimilarityKey) -> str:
        """Return the title of a part."""
        return {"grids": "activations", "channels": "channels"}.get(key.part, key.part)

    def steps(self, key: SimilarityKey) -> int:
        """Return the number of snapshots of a part."""
        searched = self.images if self.corpus is None else self.corpus
        batches, searches = (
            -(-(len(images) if hasattr(images, "__len__") else 1) // self.batch_size)
            for images in (self.images, searched)
        )
        return {
            "grids": 1 + batches * len(self.models),
            "scores": len(self.models),
            "components": ROUNDS + 1 + self._fitted_batches(),
            "channels": 1 + (searches + 1) * len(self.columns),
            "index": 1 + searches,
        }[key.part]

    def run(self, key: SimilarityKey, start: Any = None) -> Run[Any]:
        """Return the computation of a part: a snapshot for each batch or round, None before the last one."""
        make = {
            "grids": self._grids,
            "scores": self._scores,
            "components": self._components,
            "channels": self._channels,
            "index": self._index,
        }[key.part]
        return Run(make(key), total=self.steps(key), name=self.title(key))

    def known(self, column: int = 0, number: int = 0, kind: str = "auto") -> SimilarityResult:
        """Return all results so far, with the components that are chosen."""
        grids = self.result(SimilarityKey("grids")) or Grids((), ())
        components = self.result(SimilarityKey("components", column, number, kind))
        channels = self.result(SimilarityKey("channels")) or ChannelPatches((), ())
        indexes = {
            each: index
            for each in range(len(self.columns))
            if (index := self.result(SimilarityKey("index", each))) is not None
        }
        return SimilarityResult(
            grids=grids.grids,
            packed=grids.packed,
            components=components and components.components,
            top=components and components.top,
            column=column,
            scores=self.result(SimilarityKey("scores")) or (),
            fields=channels.fields,
            channels=channels.channels,
            indexes=indexes,
        )

    def clear(self) -> None:
        """Drop everything that was computed, the receptive fields too."""
        super().clear()
        self._sides.clear()

    def _side(self, column: int) -> int:
        """Return the effective receptive field of a column, in pixels, which is measured once."""
        if column not in self._sides:
            model, layer = self.columns[column]
            self._sides[column] = effective_receptive_field(model, layer, self.images[:MEASURED])
        return self._sides[column]

    def _grids(self, key: SimilarityKey) -> Iterator[Grids | None]:
        runs = [
            activation_grids(model, self.images, self.layers[model.name], batch_size=self.batch_size)
            for model in self.models
        ]
        yield from (None for _ in chain.from_iterable(runs))
        grids = tuple(chain.from_iterable(run.latest or () for run in runs))
        yield Grids(grids, pack(grids, rank=self.rank))

    def _scores(self, key: SimilarityKey) -> Iterator[tuple[Tensor, ...]]:
        scores: list[Tensor] = []
        for model in self.models:
            with torch.no_grad():
                parts = [model(part) for part in model.images(self.images).split(self.batch_size)]
            scores.append(torch.cat(parts).cpu())
            yield tuple(scores)

    def _components(self, key: SimilarityKey) -> Iterator[ComponentPatches | None]:
        known = self.known()
        if not known.packed:
            raise ValueError("components need the activations, which could not be computed")
        members = known.members(key.column)
        model, layer = self.columns[key.column]
        images, fitted = self.images, members
        if self.component_images is not None:
            images = self.component_images
            passes = activation_grids(model, images, layer, batch_size=self.batch_size)
            yield from (None for _ in passes)
            fitted = list(passes.latest or ())
        kind: Any = key.kind
        run = factorize(fitted, key.number, kind=kind, seed=self.seed)
        yield from (None for _ in run)
        assert run.latest is not None
        top = run.latest.top(model, images, k=min(PATCHES, len(fitted)), side=self._side(key.column))
        shown = run.latest if fitted is members else run.latest.on(members)
        yield ComponentPatches(shown, top)

    def _fitted_batches(self) -> int:
        """Return the number of batches of the images on which components are fitted, if they are others."""
        images = self.component_images
        if images is None:
            return 0
        return -(-(len(images) if hasattr(images, "__len__") else 1) // self.batch_size)

    def _channels(self, key: SimilarityKey) -> Iterator[ChannelPatches | None]:
        images = self.images if self.corpus is None else self.corpus
        count = min(PATCHES, len(images)) if hasattr(images, "__len__") else PATCHES
        for column in range(len(self.columns)):
            self._side(column)
            yield None
        runs = [
            top_activations(
                model, images, layer=layer, k=count, side=self._side(column), batch_size=self.batch_size
            )
            for column, (model, layer) in enumerate(self.columns)
        ]
        fields = tuple(
            _fields(model, layer, self._side(column)) for column, (model, layer) in enumerate(self.columns)
        )
        yield from (None for _ in chain.from_iterable(runs))
        yield ChannelPatches(fields, tuple(run.latest for run in runs if run.latest is not None))

    def _index(self, key: SimilarityKey) -> Iterator[SimilarityIndex | None]:
        model, layer = self.columns[key.column]
        run = similarity_index(
            model, self.corpus, layer, side=self._side(key.column), batch_size=self.batch_size
        )
        yield from (None for _ in run)
        yield run.latest


def _fields(model: ImageModel, layer: str, side: int) -> list[list[float]]:
    """Return the theoretical and the effective receptive field as shares of the image."""
    height, width = model.size
    seen = theoretical_receptive_field(model, layer)
    return [
        [seen.offset[0] / width, seen.offset[1] / height, seen.size[0] / width, seen.size[1] / height],
        [0.0, 0.0, side / width, side / height],
    ]
