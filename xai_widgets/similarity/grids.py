"""Activations of a layer as one vector per position, z = f_l(x) of shape (h, w, C) (Fong et al. 2021).

The class token and the registers of a transformer have a vector but no position; they are kept by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_finite, choice, instance, integers, items
from xai_widgets.ops.normalize import unit_vectors


@dataclass(frozen=True, eq=False, repr=False)
class ActivationGrid(ShortRepr):
    """Activations of one layer of one network on one image.

    Attributes
    ----------
    network : str
        Name of the network.
    layer : str
        Name of the layer.
    image : int
        Index of the image.
    raw : Tensor, (h, w, C)
        Activations, channels last, float32.
    tokens : Tensor, (T, C), or None
        Vectors of the tokens without a position, such as the class token; None is none.
    token_names : tuple of str
        Their T names.
    """

    network: str
    layer: str
    image: int
    raw: Tensor
    tokens: Tensor | None = None
    token_names: tuple[str, ...] = ()

    @property
    def normalized(self) -> Tensor:
        """The activations scaled to length 1 at each position, (h, w, C); zero vectors stay zero."""
        return unit_vectors(self.raw)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.raw.shape[0], self.raw.shape[1]

    def vector(self, position: str | Sequence[int]) -> Tensor:
        """Return the vector (C,) at a row and column, or of a token by its name.

        Raises
        ------
        ValueError
            For a token that the layer does not have, with the nearest name, or a position outside the grid.
        """
        if isinstance(position, str):
            choice(position, "token", self.token_names)
            assert self.tokens is not None
            return self.tokens[self.token_names.index(position)]
        row, column = check_position(position, self.shape)
        return self.raw[row, column]


@without_inference_mode
def activation_grids(
    model: ImageModel,
    images: Any,
    layers: str | Sequence[str] | None = None,
    *,
    batch_size: int | None = None,
) -> Run[tuple[ActivationGrid, ...]]:
    """Compute the activations of layers on images.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    layers : str or sequence of str, optional
        Spatial layers, by their names in ``model.layers()``. Default: ``model.feature_layer()``.
    batch_size : int, optional
        Images per pass. Default: as many as are computed fastest in bounded memory.

    Returns
    -------
    Run of tuple of ActivationGrid
        Image by image, each with its layers in the given order; on the model's device. One snapshot per batch.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, no layers, or no images.
    """
    check_model(model)
    chosen = [model.feature_layer()] if layers is None else [layers] if isinstance(layers, str) else layers
    names = [model.layer(name).name for name in items(chosen, "layers", what="names")]
    source = ImageSource(model, images)
    number = source.batch_size(batch_size)

    def play() -> Iterator[tuple[ActivationGrid, ...]]:
        grids: tuple[ActivationGrid, ...] = ()
        for begin in range(0, len(source), number):
            outputs = model.activations(source.batch(begin, begin + number), names)
            vectors = {name: _vectors(model, name, output) for name, output in outputs.items()}
            layouts = {name: model.grid(name) for name in names}
            tokens = {name: layouts[name].prefix_tokens(outputs[name]).float() for name in names}
            grids += tuple(
                ActivationGrid(
                    model.name,
                    name,
                    begin + n,
                    vectors[name][n],
                    tokens[name][n] if layouts[name].prefix else None,
                    layouts[name].prefix_names,
                )
                for n in range(len(vectors[names[0]]))
                for name in names
            )
            yield grids

    total = -(-len(source) // number)
    return Run(play(), total=total, name=f"activations of {', '.join(names)}")


def layer_vectors(model: ImageModel, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the outputs of layers for a batch of images, each (N, h, w, C); ValueError for one without positions."""
    return {name: _vectors(model, name, output) for name, output in model.activations(x, names).items()}


def _vectors(model: ImageModel, layer: str, output: Tensor) -> Tensor:
    check_finite(output, model.name, f"outputs of {layer!r}")
    return model.spatial(layer, output).float().permute(0, 2, 3, 1).contiguous()


def check_position(position: Sequence[int], shape: Sequence[int]) -> tuple[int, int]:
    """Return a row and a column as integers; ValueError outside a grid of this shape."""
    row, column = integers(position, "position", length=2)
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise ValueError(
            f"expected a row from 0 to {shape[0] - 1} and a column from 0 to {shape[1] - 1}, got {brief((row, column))}"
        )
    return row, column


def group_by_layer(grids: Sequence[ActivationGrid]) -> dict[tuple[str, str], list[ActivationGrid]]:
    """Group grids by network and layer; ValueError for no grids, or different shapes in one layer."""
    groups: dict[tuple[str, str], list[ActivationGrid]] = {}
    for grid in items(grids, "grids", what="activation grids"):
        instance(grid, "each of the grids", ActivationGrid)
        groups.setdefault((grid.network, grid.layer), []).append(grid)
    for (network, layer), members in groups.items():
        shapes = sorted({tuple(grid.raw.shape) for grid in members})
        if len(shapes) > 1:
            raise ValueError(
                f"expected grids of one shape, of images of one size, got {shapes[0]} and {shapes[1]} in layer "
                f"{layer!r} of {network}"
            )
    return groups
