"""The images, and the places in them, to which each channel of a layer answers most (Zeiler and Fergus 2014).

    v_k(n) = max over places of a_k(x_n),   for each channel k the images n of the largest v_k, one place each

A patch is what lies around such a place, as large as a place of the layer really sees
(:func:`~xai_widgets.features.effective_receptive_field`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import check_finite, integer, integers
from xai_widgets.features.receptive_field import effective_receptive_field

#: Images from which the size of the patches is measured.
MEASURED = 4
#: Images that are kept for each channel, at most.
MOST = 100_000


@dataclass(frozen=True)
class TopActivations:
    """The largest activations so far, one per image.

    Attributes
    ----------
    values : Tensor, (K, k)
        For each of the K channels, the k largest, descending; NaN where there are fewer images.
    images : Tensor, (K, k)
        Which image each is of, -1 where there is none.
    places : Tensor, (K, k, 2)
        Row and column in the layer.
    grid : (int, int)
        h and w of the layer.
    side : int
        Of a patch, in pixels.
    """

    values: Tensor
    images: Tensor
    places: Tensor
    grid: tuple[int, int]
    side: int
    _source: ImageSource = field(repr=False)

    def patches(self, channels: Sequence[int] | Tensor) -> Tensor:
        """What lies around the places of some channels, shifted into the image where it would leave it.

        Parameters
        ----------
        channels : sequence of int or Tensor, (M,)
            The channels.

        Returns
        -------
        Tensor, (M, k, C, side, side)
            In [0, 1]; NaN where there is no image.
        """
        chosen = torch.tensor(
            integers(channels, "channels", low=0, high=len(self.images) - 1), device=self.images.device
        )
        which, places = self.images[chosen], self.places[chosen]
        made: Tensor | None = None
        for image in which.unique().tolist():
            if image < 0:
                continue
            x = self.image(image)
            if made is None:
                made = x.new_full((*which.shape, len(x), self.side, self.side), torch.nan)
            for at in (which == image).nonzero().tolist():
                made[tuple(at)] = self.crop(x, places[tuple(at)].tolist())
        return torch.empty(0) if made is None else made

    def image(self, index: int) -> Tensor:
        """One of the images, (C, H, W)."""
        index = integer(index, "index", low=0, high=len(self._source) - 1)
        return self._source.batch(index, index + 1)[0]

    def crop(self, x: Tensor, place: Sequence[int]) -> Tensor:
        """The patch (C, side, side) of an image (C, H, W) around a row and column of the layer."""
        begins = [
            min(max(0, round((at + 0.5) / count * extent - self.side / 2)), extent - self.side)
            for at, count, extent in zip(place, self.grid, x.shape[1:], strict=True)
        ]
        return x[:, begins[0] : begins[0] + self.side, begins[1] : begins[1] + self.side]


@without_inference_mode
def top_activations(
    model: ImageModel,
    images: Any,
    *,
    layer: str | None = None,
    k: int = 9,
    side: int | None = None,
    batch_size: int = 32,
) -> Run[TopActivations]:
    """Find where, in which images, each channel of a layer is largest.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    layer : str, optional
        A layer with positions, by its name in ``model.layers()``. Default: the last one before pooling.
    k : int, default 9
        How many images for each channel.
    side : int, optional
        Of a patch, in pixels. Default: the effective receptive field, measured on the first four images.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of TopActivations
        One snapshot per batch.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest one, one without places, no images, a k below 1, or a side that the
        images do not have.
    """
    check_model(model)
    k, batch_size = integer(k, "k", low=1, high=MOST), check_batch_size(batch_size)
    name = model.default_layer() if layer is None else model.layer(layer).name
    source = ImageSource(model, images)
    side = patch_side(model, name, source, side)

    def play() -> Iterator[TopActivations]:
        best: TopActivations | None = None
        for begin in range(0, len(source), batch_size):
            taken = model.activations(source.batch(begin, begin + batch_size), name)[name].float()
            activation = check_finite(model.spatial(name, taken), model.name, f"outputs of {name!r}")
            count, width, *grid = activation.shape
            values, flat = activation.flatten(2).max(2)
            index = torch.arange(begin, begin + count, device=values.device)[:, None].expand(count, width)
            made = [values.T, index.T, flat.T]
            if best is None:
                empty = [values.new_full((width, k), torch.nan), index.new_full((width, k), -1)]
                made = [torch.cat(pair, 1) for pair in zip(made, [*empty, empty[1] * 0], strict=True)]
            else:
                kept = [best.values, best.images, best.places[..., 0] * grid[1] + best.places[..., 1]]
                made = [torch.cat(pair, 1) for pair in zip(kept, made, strict=True)]
            # A value that is not there comes last; of equal ones the earlier image comes first.
            order = made[0].nan_to_num(nan=-torch.inf).argsort(dim=1, descending=True, stable=True)[:, :k]
            top, which, at = (each.gather(1, order) for each in made)
            places = torch.stack([at // grid[1], at % grid[1]], 2)
            best = TopActivations(top, which, places, (grid[0], grid[1]), side, source)
            yield best

    return Run(play(), total=-(-len(source) // batch_size), name=f"top activations of {name}")


def patch_side(model: ImageModel, layer: str, source: ImageSource, side: int | None) -> int:
    """Return the side of a patch in pixels: the one given, or the effective receptive field of the layer."""
    if side is None:
        return effective_receptive_field(model, layer, source.batch(0, MEASURED))
    short = min(source.batch(0, 1).shape[2:])
    return integer(side, "side", low=1, high=short, hint="the short side of the images in pixels")
