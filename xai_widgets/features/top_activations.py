"""Images and positions that activate each channel of a layer most (Zeiler and Fergus 2014).

    v_k(n) = max over the positions of a_k(x_n)
    v_d(n) = max over the positions of <d, a(x_n)>           along a direction d (Fong 2021, equation 2.8)

For each channel k these are the images n with the largest v_k, with one position each. A patch is the part of the image
around such a position, of the size of the layer's effective receptive field
(:func:`~xai_widgets.features.effective_receptive_field`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, integer, integers, tensor
from xai_widgets.features.receptive_field import effective_receptive_field

#: Number of images on which the size of the patches is measured.
MEASURED = 4
#: Maximum number of images per channel.
MOST_IMAGES = 100_000


@dataclass(frozen=True, repr=False)
class TopActivations(ShortRepr):
    """The largest activations of each channel so far, at most one per image.

    Attributes
    ----------
    values : Tensor, (K, k)
        The k largest activations of each of the K channels, descending; NaN where there are fewer images.
    images : Tensor, (K, k)
        Indices of their images; -1 where there are fewer images.
    positions : Tensor, (K, k, 2)
        Their rows and columns in the layer.
    grid : (int, int)
        Height and width of the layer.
    side : int
        Side of a patch, in pixels.
    """

    values: Tensor
    images: Tensor
    positions: Tensor
    grid: tuple[int, int]
    side: int
    _source: ImageSource

    def patches(self, channels: Sequence[int] | Tensor) -> Tensor:
        """Return the image patches around the positions of some channels; patches at the border are moved inside.

        Parameters
        ----------
        channels : sequence of int or Tensor, (M,)
            Indices of channels.

        Returns
        -------
        Tensor, (M, k, C, side, side)
            In [0, 1]; NaN where there are fewer images.
        """
        chosen = torch.tensor(
            integers(channels, "channels", low=0, high=len(self.images) - 1), device=self.images.device
        )
        which, positions = self.images[chosen], self.positions[chosen]
        patches: Tensor | None = None
        for image in which.unique().tolist():
            if image < 0:
                continue
            x = self.image(image)
            if patches is None:
                patches = x.new_full((*which.shape, len(x), self.side, self.side), torch.nan)
            for at in (which == image).nonzero().tolist():
                patches[tuple(at)] = self.crop(x, positions[tuple(at)].tolist())
        return torch.empty(0) if patches is None else patches

    def image(self, index: int) -> Tensor:
        """Return one of the images, (C, H, W)."""
        index = integer(index, "index", low=0, high=len(self._source) - 1)
        return self._source.batch(index, index + 1)[0]

    def crop(self, x: Tensor, position: Sequence[int]) -> Tensor:
        """Return the patch (C, side, side) of an image (C, H, W) around a row and column of the layer."""
        begins = [
            min(max(0, round((at + 0.5) / count * extent - self.side / 2)), extent - self.side)
            for at, count, extent in zip(position, self.grid, x.shape[1:], strict=True)
        ]
        return x[:, begins[0] : begins[0] + self.side, begins[1] : begins[1] + self.side]


@without_inference_mode
def top_activations(
    model: ImageModel,
    images: Any,
    *,
    layer: str | None = None,
    directions: Any = None,
    k: int = 9,
    side: int | None = None,
    batch_size: int | None = None,
) -> Run[TopActivations]:
    """Find the images and positions with the largest activations of each channel, or along directions, of a layer.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()``. Default: the last one before pooling.
    directions : Tensor, (K',) or (M, K'), optional
        One weight for each of the K' channels of the layer, such as vectors of concepts: they take the role of
        channels.
    k : int, default 9
        Number of images per channel.
    side : int, optional
        Side of a patch, in pixels. Default: the effective receptive field, measured on the first four images.
    batch_size : int, optional
        Images per pass. Default: as many as are computed fastest in bounded memory.

    Returns
    -------
    Run of TopActivations
        One snapshot per batch.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, directions of another length, no
        images, k below 1, or a side larger than the images.
    """
    check_model(model)
    k = integer(k, "k", low=1, high=MOST_IMAGES)
    name = model.default_layer() if layer is None else model.layer(layer).name
    source = ImageSource(model, images)
    number = source.batch_size(batch_size)
    side = patch_side(model, name, source, side)
    along = None if directions is None else _check_directions(model, name, directions)

    def play() -> Iterator[TopActivations]:
        best: TopActivations | None = None
        for begin in range(0, len(source), number):
            taken = model.activations(source.batch(begin, begin + number), name)[name].float()
            activation = check_finite(model.spatial(name, taken), model.name, f"outputs of {name!r}")
            if along is not None:
                activation = torch.einsum("nkhw,mk->nmhw", activation, along)
            count, width, *grid = activation.shape
            values, flat = activation.flatten(2).max(2)
            index = torch.arange(begin, begin + count, device=values.device)[:, None].expand(count, width)
            merged = [values.T, index.T, flat.T]
            if best is None:
                empty = [values.new_full((width, k), torch.nan), index.new_full((width, k), -1)]
                merged = [torch.cat(pair, 1) for pair in zip(merged, [*empty, empty[1] * 0], strict=True)]
            else:
                kept = [best.values, best.images, best.positions[..., 0] * grid[1] + best.positions[..., 1]]
                merged = [torch.cat(pair, 1) for pair in zip(kept, merged, strict=True)]
            # Missing values come last; among equal values, earlier images come first.
            order = merged[0].nan_to_num(nan=-torch.inf).argsort(dim=1, descending=True, stable=True)[:, :k]
            top, which, at = (each.gather(1, order) for each in merged)
            positions = torch.stack([at // grid[1], at % grid[1]], 2)
            best = TopActivations(top, which, positions, (grid[0], grid[1]), side, source)
            yield best

    return Run(play(), total=-(-len(source) // number), name=f"top activations of {name}")


def _check_directions(model: ImageModel, layer: str, directions: Any) -> Tensor:
    """Return directions as (M, K'); ValueError for another length than the channels of the layer."""
    width = model.layer_channels(layer)
    given = torch.as_tensor(directions)
    shape_of: list[str | int] = [width] if given.ndim == 1 else ["M", width]
    checked = tensor(given, "directions", shape_of, finite=True).to(model.device, torch.float32)
    return checked[None] if checked.ndim == 1 else checked


def patch_side(model: ImageModel, layer: str, source: ImageSource, side: int | None) -> int:
    """Return the side of a patch in pixels: `side`, or by default the effective receptive field of the layer."""
    if side is None:
        return effective_receptive_field(model, layer, source.batch(0, MEASURED))
    short = min(source.batch(0, 1).shape[2:])
    return integer(side, "side", low=1, high=short, hint="the short side of the images in pixels")
