"""Similarity of activation vectors (Fong, Mordvintsev, Vedaldi and Olah 2021).

    cosine     s(a, b) = a . b / (|a| |b|), 0 if one of them is zero
    dot        s(a, b) = a . b
    euclidean  s(a, b) = exp(-|a - b|^2 / (2 sigma^2)),   sigma^2 = mean |z - mean z|^2 over the positions

The overlay of a position (i, j) shows s(z_ij, z_uv) at every position (u, v), of the same image or of another one.
Positions of grids of different resolution correspond if the middle of one cell lies in the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from xai_widgets.core.precision import double, outside_autocast
from xai_widgets.core.validation import brief, choice, instance, integers, items, number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.ops.normalize import unit_vectors
from xai_widgets.similarity.grids import ActivationGrid, check_position

Kind = Literal["cosine", "dot", "euclidean"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: A grid of vectors, (h, w, C).
Grid: TypeAlias = ActivationGrid | Tensor | ArrayLike


@checked_keywords
def similarity(
    z_s: Grid, position: str | Sequence[int], z_t: Grid, kind: Kind = "cosine", *, sigma: float | None = None
) -> Tensor:
    """Return the similarity of the vector at one position to the vectors at all positions of a grid.

    Parameters
    ----------
    z_s : ActivationGrid, Tensor or array, (h, w, C)
        Grid that contains the vector.
    position : (int, int) or str
        Row and column of the vector, or the name of a token of an ActivationGrid, such as "class token".
    z_t : ActivationGrid, Tensor or array, (h', w', C)
        Grid to compare with, of the same layer of the same network.
    kind : {"cosine", "dot", "euclidean"}, default "cosine"
        Similarity measure.
    sigma : float, optional
        Width of the Euclidean kernel. Default: :func:`kernel_width` of both grids.

    Returns
    -------
    Tensor, (h', w')
        In [-1, 1] for the cosine, in (0, 1] for the Euclidean kernel. The cosine with a zero vector is 0.

    Raises
    ------
    ValueError
        For an unknown kind, with the nearest one, a position outside the grid, vectors of different lengths, or a
        sigma that is not above 0.
    """
    check_kind(kind)
    if isinstance(z_s, ActivationGrid) and isinstance(z_t, ActivationGrid):
        here, there = ((grid.network, grid.layer) for grid in (z_s, z_t))
        if here != there:
            raise ValueError(
                f"expected vectors of one layer of one network, got {' '.join(here)} and {' '.join(there)}; "
                "same_position maps positions between their grids"
            )
    source, target = _vectors(z_s), _vectors(z_t)
    if source.shape[2] != target.shape[2]:
        raise ValueError(
            f"expected vectors of one layer, got {source.shape[2]} and {target.shape[2]} channels"
        )
    if source.dtype != target.dtype or source.device != target.device:
        source, target = double(source), double(target.to(source.device))
    if isinstance(position, str):
        vector = instance(z_s, "z_s with a named token", ActivationGrid).vector(position).to(source)
    else:
        row, column = check_position(position, source.shape[:2])
        vector = source[row, column]
    if kind == "euclidean":
        sigma = kernel_width([source, target]) if sigma is None else number(sigma, "sigma", above=0)
        # Divide first: the square of a very small width would vanish.
        return torch.exp(-((target - vector) / sigma).square().sum(2) / 2)
    with outside_autocast(source):
        if kind == "dot":
            return target @ vector
        return (unit_vectors(target) @ unit_vectors(vector)).clamp(-1, 1)


def kernel_width(grids: Sequence[Grid]) -> float:
    """Return the width of the Euclidean kernel, sqrt(mean |z - mean z|^2) over all positions; 1 for equal vectors."""
    members = [_vectors(grid) for grid in items(grids, "grids", what="grids (h, w, C)")]
    if len(channels := {z.shape[2] for z in members}) > 1:
        raise ValueError(f"expected grids of one layer, got {brief(sorted(channels))} channels")
    vectors = torch.cat([z.flatten(0, 1).cpu().double() for z in members])
    sigma = (vectors - vectors.mean(0)).square().sum(1).mean().sqrt().item()
    return sigma if sigma > 0 else 1.0


def same_position(position: Sequence[int], source: Sequence[int], target: Sequence[int]) -> tuple[int, int]:
    """Return the position of another grid that contains the middle of a cell: floor((i + 0.5) n_t / n_s) per axis.

    Parameters
    ----------
    position : (int, int)
        Row and column in the source grid.
    source, target : (int, int)
        Number of rows and columns of both grids.

    Returns
    -------
    (int, int)
        Row and column in the target grid, always inside of it.

    Raises
    ------
    ValueError
        For a position outside the source grid.
    """
    source = integers(source, "source", length=2, low=1)
    target = integers(target, "target", length=2, low=1)
    position = check_position(position, source)
    # Integer arithmetic: where (i + 0.5) n_t / n_s is an integer, a rounding error would change the result.
    row, column = (
        (2 * i + 1) * n_t // (2 * n_s) for i, n_s, n_t in zip(position, source, target, strict=True)
    )
    return row, column


def check_kind(kind: str) -> None:
    """Raise a ValueError for an unknown kind of similarity."""
    choice(kind, "kind of similarity", KINDS)


def _vectors(grid: Grid) -> Tensor:
    z = tensor(grid.raw if isinstance(grid, ActivationGrid) else grid, "a grid", ("h", "w", "C"), finite=True)
    # Squares would overflow in half precision.
    return z if z.dtype in (torch.float32, torch.float64) else z.float()


#: Larger grids are compared at about so many positions.
MOST_POSITIONS = 1024
#: Width of the preference for the middle of an image, as a share of the image.
MIDDLE = 0.25


def distinctive_position(z: Grid) -> tuple[int, int]:
    """Return the row and column whose cosines to all positions of its image vary most, preferably near the middle.

    There, an overlay shows parts of the image that are similar and parts that are not. The standard deviation of the
    cosines is multiplied by exp(-d^2 / (2 * 0.25^2)), where d is the distance to the middle as a share of the image.

    Parameters
    ----------
    z : ActivationGrid, Tensor or array, (h, w, C)
        Grid of one image. Of more than 1024 positions, an even selection is compared.

    Returns
    -------
    (int, int)
        The row and column.
    """
    vectors = z.raw if isinstance(z, ActivationGrid) else torch.as_tensor(z)
    rows, columns, width = vectors.shape
    step = max(1, math.ceil(math.sqrt(rows * columns / MOST_POSITIONS)))
    row, column = torch.meshgrid(
        *(torch.arange(extent // 2 % step, extent, step) for extent in (rows, columns)), indexing="ij"
    )
    units = unit_vectors(vectors.float()[row, column].reshape(-1, width))
    spread = (units @ units.T).std(dim=1, correction=0).cpu()
    y, x = (row + 0.5) / rows - 0.5, (column + 0.5) / columns - 0.5
    best = int((spread * torch.exp(-(x**2 + y**2).flatten() / (2 * MIDDLE**2))).argmax())
    return int(row.flatten()[best]), int(column.flatten()[best])
