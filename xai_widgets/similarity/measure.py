"""How alike two places are to a network (Fong, Mordvintsev, Vedaldi and Olah 2021).

    cosine     s(a, b) = a . b / (|a| |b|), 0 where one of them is zero
    dot        s(a, b) = a . b
    euclidean  s(a, b) = exp(-|a - b|^2 / (2 sigma^2)),   sigma^2 = mean |z - mean z|^2 over the places

The overlay of a place (i, j) shows s(z_ij, z_uv) at every place (u, v), of the same picture or of another one.
Places of grids of different resolution are brought together by the middle of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.validation import brief, choice, integers, items, number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.similarity.grids import ActivationGrid, normalize

Kind = Literal["cosine", "dot", "euclidean"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: What holds vectors at places, (h, w, C).
Grid: TypeAlias = ActivationGrid | Tensor | ArrayLike


@checked_keywords
def similarity(
    z_s: Grid, place: Sequence[int], z_t: Grid, kind: Kind = "cosine", *, sigma: float | None = None
) -> Tensor:
    """How alike the vector at one place is to those at all places of a grid.

    Parameters
    ----------
    z_s : ActivationGrid, Tensor or array, (h, w, C)
        Where the vector is taken from.
    place : (int, int)
        Its row and column.
    z_t : ActivationGrid, Tensor or array, (h', w', C)
        What it is compared with; of the same layer of the same network.
    kind : {"cosine", "dot", "euclidean"}, default "cosine"
        Which similarity.
    sigma : float, optional
        Width of the Euclidean kernel. Default: that of both grids, see :func:`width`.

    Returns
    -------
    Tensor, (h', w')
        In [-1, 1] for the cosine, in [0, 1] for the Euclidean kernel. With a zero vector the cosine and the dot
        product are 0.

    Raises
    ------
    ValueError
        For an unknown kind, with the nearest one, a place outside of the grid, vectors of different lengths or a sigma
        that is none.
    """
    check_kind(kind)
    if isinstance(z_s, ActivationGrid) and isinstance(z_t, ActivationGrid):
        here, there = ((grid.network, grid.layer) for grid in (z_s, z_t))
        if here != there:
            raise ValueError(
                f"expected vectors of one layer of one network, got {' '.join(here)} and {' '.join(there)}; same_place "
                "brings their positions together"
            )
    source, target = _vectors(z_s), _vectors(z_t)
    if source.shape[2] != target.shape[2]:
        raise ValueError(
            f"expected vectors of one layer, got {source.shape[2]} and {target.shape[2]} channels"
        )
    if source.dtype != target.dtype or source.device != target.device:
        source, target = source.double(), target.double().to(source.device)
    row, column = check_place(place, source.shape[:2])
    if kind == "euclidean":
        sigma = width([source, target]) if sigma is None else number(sigma, "sigma", above=0)
        # Divided first: the square of a very small width would vanish.
        return torch.exp(-((target - source[row, column]) / sigma).square().sum(2) / 2)
    with outside_autocast(source):
        if kind == "dot":
            return target @ source[row, column]
        return (normalize(target) @ normalize(source[row, column])).clamp(-1, 1)


def width(grids: Sequence[Grid]) -> float:
    """The width of the Euclidean kernel: sqrt(mean |z - mean z|^2) over all places, 1 where all are equal."""
    given = [_vectors(grid) for grid in items(grids, "grids", what="grids (h, w, C)")]
    if len({each.shape[2] for each in given}) > 1:
        raise ValueError(
            f"expected grids of one layer, got {brief(sorted({each.shape[2] for each in given}))} channels"
        )
    vectors = torch.cat([each.flatten(0, 1).double().cpu() for each in given])
    sigma = (vectors - vectors.mean(0)).square().sum(1).mean().sqrt().item()
    return sigma if sigma > 0 else 1.0


def same_place(place: Sequence[int], source: Sequence[int], target: Sequence[int]) -> tuple[int, int]:
    """The place of another grid in which the middle of a place lies: floor((i + 0.5) n_t / n_s) for each axis.

    Parameters
    ----------
    place : (int, int)
        Row and column.
    source, target : (int, int)
        Rows and columns of its grid, and of the other one.

    Returns
    -------
    (int, int)
        Row and column; never outside of the other grid.

    Raises
    ------
    ValueError
        For a place outside of its grid.
    """
    source = integers(source, "source", length=2, low=1)
    target = integers(target, "target", length=2, low=1)
    place = check_place(place, source)
    # In whole numbers: (i + 0.5) n_t / n_s may be a whole number itself, where a rounding error would show.
    row, column = ((2 * i + 1) * n_t // (2 * n_s) for i, n_s, n_t in zip(place, source, target, strict=True))
    return row, column


def check_kind(kind: str) -> None:
    """Refuse a kind of similarity that there is not."""
    choice(kind, "kind of similarity", KINDS)


def check_place(place: Sequence[int], shape: Sequence[int]) -> tuple[int, int]:
    """A row and a column; ValueError outside of a grid of so many rows and columns."""
    row, column = integers(place, "place", length=2)
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise ValueError(
            f"expected a row from 0 to {shape[0] - 1} and a column from 0 to {shape[1] - 1}, got {brief((row, column))}"
        )
    return row, column


def _vectors(grid: Grid) -> Tensor:
    z = tensor(grid.raw if isinstance(grid, ActivationGrid) else grid, "a grid", ("h", "w", "C"), finite=True)
    # Squares of half precision overflow.
    return z if z.dtype in (torch.float32, torch.float64) else z.float()
