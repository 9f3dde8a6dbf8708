"""What a layer holds at each place of an image, as one vector per place.

After Fong, Mordvintsev, Vedaldi and Olah 2021: with z = f_l(x) of shape (h, w, C), z_ij is the activation of layer l
at row i and column j, and all that a similarity overlay shows is made of these vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import check_finite, instance, items


@dataclass(frozen=True, eq=False)
class ActivationGrid:
    """One layer of one network, seen on one image.

    Attributes
    ----------
    network : str
        What the network is called.
    layer : str
        Name of the layer.
    image : int
        Which of the images, from 0.
    raw : Tensor, (h, w, C)
        The activations, channels last, float32.
    """

    network: str
    layer: str
    image: int
    raw: Tensor

    @property
    def normalized(self) -> Tensor:
        """The activations divided by their length at each place, (h, w, C); a zero vector stays zero."""
        return normalize(self.raw)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.raw.shape[0], self.raw.shape[1]


def normalize(z: Tensor) -> Tensor:
    """Divide vectors by their length.

    Parameters
    ----------
    z : Tensor, (..., C)
        The vectors.

    Returns
    -------
    Tensor, (..., C)
        Of length 1, or 0 where a vector is zero.
    """
    # By the largest element first: squares of very small or large ones would vanish or overflow.
    peak = z.abs().amax(-1, keepdim=True)
    z = z / torch.where(peak > 0, peak, 1)
    length = z.norm(dim=-1, keepdim=True)
    return z / torch.where(length > 0, length, 1)


@without_inference_mode
def activation_grids(
    model: ImageModel, images: Any, layers: str | Sequence[str] | None = None, *, batch_size: int = 32
) -> Run[tuple[ActivationGrid, ...]]:
    """Take the activations of layers on images.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    layers : str or sequence of str, optional
        Layers with output (C, h, w), by their names in ``model.layers()``. Default: the last one before pooling.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of tuple of ActivationGrid
        Image by image, each with its layers in the order asked for; one snapshot per batch, on the model's device.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest one, one without places, no layers or no images.
    """
    check_model(model)
    batch_size = check_batch_size(batch_size)
    given = [model.default_layer()] if layers is None else [layers] if isinstance(layers, str) else layers
    names = [model.layer(name).name for name in items(given, "layers", what="names")]
    source = ImageSource(model, images)

    def play() -> Iterator[tuple[ActivationGrid, ...]]:
        grids: tuple[ActivationGrid, ...] = ()
        for begin in range(0, len(source), batch_size):
            taken = take(model, source.batch(begin, begin + batch_size), names)
            count = len(taken[names[0]])
            grids += tuple(
                ActivationGrid(model.name, name, begin + n, taken[name][n])
                for n in range(count)
                for name in names
            )
            yield grids

    total = -(-len(source) // batch_size)
    return Run(play(), total=total, name=f"activations of {', '.join(names)}")


def take(model: ImageModel, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the outputs of layers for a batch of images, each (N, h, w, C); ValueError for one without positions."""
    taken = {name: model.spatial(name, made).float() for name, made in model.activations(x, names).items()}
    for name, made in taken.items():
        check_finite(made, model.name, f"outputs of {name!r}")
    return {name: made.permute(0, 2, 3, 1).contiguous() for name, made in taken.items()}


def spaces(grids: Sequence[ActivationGrid]) -> dict[tuple[str, str], list[ActivationGrid]]:
    """The grids by network and layer, only the vectors of which live in one space.

    Raises
    ------
    ValueError
        If there are none, or one space has grids of several sizes.
    """
    found: dict[tuple[str, str], list[ActivationGrid]] = {}
    for grid in items(grids, "grids", what="activation grids"):
        instance(grid, "each of the grids", ActivationGrid)
        found.setdefault((grid.network, grid.layer), []).append(grid)
    for (network, layer), members in found.items():
        shapes = sorted({tuple(grid.raw.shape) for grid in members})
        if len(shapes) > 1:
            raise ValueError(
                f"expected grids of one shape, of images of one size, got {shapes[0]} and {shapes[1]} in layer "
                f"{layer!r} of {network}"
            )
    return found
