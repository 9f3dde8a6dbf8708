"""The patches of many images that are most alike to one vector.

All unit vectors z^ of a layer stand as rows of one matrix on the model's device; the cosines of a vector v with all of
them are one product with it:

    s_n(u, v) = max over the places of image n of z^_n,uv . v / |v|
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import integer, tensor
from xai_widgets.features import TopActivations
from xai_widgets.features.top_activations import patch_side
from xai_widgets.similarity.grids import normalize, take

#: Elements of the matrix that are multiplied at once: 256 MB.
CHUNK = 1 << 26


@dataclass(frozen=True, eq=False)
class Matches:
    """The images of a corpus with the patches most alike to a vector, one patch an image.

    Attributes
    ----------
    values : Tensor, (k,)
        Cosines, descending.
    images : Tensor, (k,)
        Which image each is of.
    places : Tensor, (k, 2)
        Row and column in the layer.
    patches : Tensor, (k, C, side, side)
        What lies there, in [0, 1].
    """

    values: Tensor
    images: Tensor
    places: Tensor
    patches: Tensor


@dataclass(frozen=True, eq=False)
class SimilarityIndex:
    """The unit vectors of a layer on many images.

    Attributes
    ----------
    layer : str
        Name of the layer.
    vectors : Tensor, (N, h, w, C)
        Of length 1, or 0, on the model's device.
    side : int
        Of a patch, in pixels.
    seconds : float
        What making it took.
    """

    layer: str
    vectors: Tensor
    side: int
    seconds: float
    _source: ImageSource = field(repr=False)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.vectors.numel() * self.vectors.element_size()

    @torch.no_grad()
    def search(self, vector: Any, *, k: int = 9) -> Matches:
        """Find the patches most alike to a vector.

        Parameters
        ----------
        vector : Tensor or array, (C,)
            For instance ``grid.raw[row, column]``; its length does not matter.
        k : int, default 9
            How many, each of another image; no more than there are.

        Returns
        -------
        Matches

        Raises
        ------
        ValueError
            For a vector of another length or that is not finite, or a k below 1.
        """
        k = integer(k, "k", low=1)
        count, _, columns, channels = self.vectors.shape
        wanted = tensor(vector, "vector", (channels,), finite=True, like=self.vectors)
        rows = self.vectors.flatten(1, 2)
        unit = normalize(wanted)
        step = max(1, CHUNK // max(1, rows[0].numel()))
        with outside_autocast(rows):
            found = [(rows[begin : begin + step] @ unit).max(1) for begin in range(0, count, step)]
        values, flat = (torch.cat(parts) for parts in zip(*found, strict=True))
        best = values.argsort(descending=True, stable=True)[:k]
        places = torch.stack([flat[best] // columns, flat[best] % columns], 1)
        return Matches(values[best].clamp(-1, 1), best, places, self._patches(best, places))

    def _patches(self, images: Tensor, places: Tensor) -> Tensor:
        found = TopActivations(
            images[None].float(), images[None], places[None], self._grid, self.side, self._source
        )
        return found.patches([0])[0]

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
    batch_size: int = 32,
) -> Run[SimilarityIndex]:
    """Make the index of many images.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image, and read again for patches.
    layer : str, optional
        A layer with output (C, h, w), by its name in ``model.layers()``. Default: the last one before pooling.
    side : int, optional
        Of a patch, in pixels. Default: the effective receptive field, measured on the first four images.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of SimilarityIndex
        One snapshot per batch, over the images so far; all of them share one matrix.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest one, one without places, no images, a batch size below 1, or a side that
        the images do not have.
    """
    check_model(model)
    batch_size = check_batch_size(batch_size)
    name = model.default_layer() if layer is None else model.layer(layer).name
    source = ImageSource(model, images)
    patch = patch_side(model, name, source, side)

    def play() -> Iterator[SimilarityIndex]:
        begun = time.perf_counter()
        vectors: Tensor | None = None
        for begin in range(0, len(source), batch_size):
            made = normalize(take(model, source.batch(begin, begin + batch_size), [name])[name])
            if vectors is None:
                vectors = made.new_empty(len(source), *made.shape[1:])
            end = begin + len(made)
            vectors[begin:end] = made
            yield SimilarityIndex(name, vectors[:end], patch, time.perf_counter() - begun, source)

    return Run(play(), total=-(-len(source) // batch_size), name=f"index of {name}")
