"""Search in many images for the patches most similar to a vector.

All unit vectors z^ of a layer are rows of one matrix on the model's device, so the cosine similarities to a vector v
are one matrix product. The similarity of image n is

    s_n = max over the positions (i, j) of z^_n,ij . v / |v|
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, tensor
from xai_widgets.features import TopActivations
from xai_widgets.features.top_activations import patch_side
from xai_widgets.ops.normalize import unit_vectors
from xai_widgets.similarity.grids import layer_vectors

#: Maximum number of matrix elements multiplied at once: 256 MB.
CHUNK = 1 << 26


@dataclass(frozen=True, eq=False, repr=False)
class Matches(ShortRepr):
    """The images of a corpus with the patches most similar to a vector, one patch per image.

    Attributes
    ----------
    values : Tensor, (k,)
        Cosine similarities, descending.
    images : Tensor, (k,)
        Indices of the images.
    positions : Tensor, (k, 2)
        Rows and columns in the layer.
    patches : Tensor, (k, C, side, side)
        Image patches there, in [0, 1].
    """

    values: Tensor
    images: Tensor
    positions: Tensor
    patches: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityIndex(ShortRepr):
    """Unit vectors of a layer on many images.

    Attributes
    ----------
    layer : str
        Name of the layer.
    vectors : Tensor, (N, h, w, C)
        Vectors of length 1 (or 0), on the model's device.
    side : int
        Side of a patch, in pixels.
    seconds : float
        Time to build the index.
    """

    layer: str
    vectors: Tensor
    side: int
    seconds: float
    _source: ImageSource

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def nbytes(self) -> int:
        """Size of the vectors in bytes."""
        return self.vectors.numel() * self.vectors.element_size()

    @torch.no_grad()
    def search(self, vector: Any, *, k: int = 9) -> Matches:
        """Find the patches most similar to a vector.

        Parameters
        ----------
        vector : Tensor or array, (C,)
            For instance ``grid.raw[row, column]``; its norm does not matter.
        k : int, default 9
            Number of patches, each from a different image; at most the number of images.

        Returns
        -------
        Matches

        Raises
        ------
        ValueError
            For a vector of another length, values that are not finite, or k below 1.
        """
        k = integer(k, "k", low=1)
        count, _, columns, channels = self.vectors.shape
        query = tensor(vector, "vector", (channels,), finite=True, like=self.vectors)
        rows = self.vectors.flatten(1, 2)
        unit = unit_vectors(query)
        step = max(1, CHUNK // max(1, rows[0].numel()))
        with outside_autocast(rows):
            parts = [(rows[begin : begin + step] @ unit).max(1) for begin in range(0, count, step)]
        values, flat = (torch.cat(part) for part in zip(*parts, strict=True))
        best = values.argsort(descending=True, stable=True)[:k]
        positions = torch.stack([flat[best] // columns, flat[best] % columns], 1)
        return Matches(values[best].clamp(-1, 1), best, positions, self._patches(best, positions))

    def _patches(self, images: Tensor, positions: Tensor) -> Tensor:
        top = TopActivations(
            images[None].float(), images[None], positions[None], self._grid, self.side, self._source
        )
        return top.patches([0])[0]

    @property
    def _grid(self) -> tuple[int, int]:
        return self.vectors.shape[1], self.vectors.shape[2]


@without_inference_mode
def similarity_index(
    model: ImageModel,
    images: Any,
    layer: str | None = None,
    *,
    side: int | None = None,
    batch_size: int | None = None,
) -> Run[SimilarityIndex]:
    """Build the search index of a layer on many images.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image, and again for the patches.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()``. Default: ``model.feature_layer()``.
    side : int, optional
        Side of a patch, in pixels. Default: the effective receptive field, measured on the first four images.
    batch_size : int, optional
        Images per pass. Default: as many as are computed fastest in bounded memory.

    Returns
    -------
    Run of SimilarityIndex
        One snapshot per batch, with the images so far; all snapshots share one matrix.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, no images, a batch size below 1, or a
        side larger than the images.
    """
    check_model(model)
    name = model.feature_layer() if layer is None else model.layer(layer).name
    source = ImageSource(model, images)
    number = source.batch_size(batch_size)
    patch = patch_side(model, name, source, side)

    def play() -> Iterator[SimilarityIndex]:
        started = time.perf_counter()
        vectors: Tensor | None = None
        for begin in range(0, len(source), number):
            unit = unit_vectors(layer_vectors(model, source.batch(begin, begin + number), [name])[name])
            if vectors is None:
                vectors = unit.new_empty(len(source), *unit.shape[1:])
            end = begin + len(unit)
            vectors[begin:end] = unit
            yield SimilarityIndex(name, vectors[:end], patch, time.perf_counter() - started, source)

    return Run(play(), total=-(-len(source) // number), name=f"index of {name}")
