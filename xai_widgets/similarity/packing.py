"""Vectors made small enough to be sent to a browser once, with what that costs.

Each unit vector z^ = z / |z| is projected on the R directions that hold most of all vectors of its space, and rounded:

    p = V^T z^          V: the R leading eigenvectors of sum z^ z^^T (Eckart and Young 1936: the inner products of no
                        other projection on R dimensions are closer); left out where R is not below the channels
    q = round(127 p / max|p|) or p in half precision,   t = |p| / |q|,   p ~ t q

The cosine of two places is then t_a t_b (q_a . q_b). The projection leaves e = z^ - V p, orthogonal to V, and rounding
leaves d = p - t q, so that by Cauchy and Schwarz

    |s - s~| <= |e_a| |e_b| + |d_a| + |d_b| + |d_a| |d_b| <= max|e|^2 + 2 max|d| + max|d|^2

With the lengths |z| the dot product and the Euclidean kernel follow: |a - b|^2 = |a|^2 + |b|^2 - 2 |a| |b| s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import brief, choice, integer
from xai_widgets.similarity.grids import ActivationGrid, normalize, spaces
from xai_widgets.similarity.measure import Kind, check_kind, check_place, width

DType = Literal["int8", "float16"]
#: So many channels are kept at most, unless more are asked for.
RANK = 256
#: Of how many vectors the error is measured, in all pairs.
MEASURED = 512


@dataclass(frozen=True, eq=False)
class Packed:
    """The vectors of one layer of one network on P images.

    Attributes
    ----------
    network, layer : str
        Where they come from.
    codes : numpy.ndarray of int8 or float16, (P, h, w, R)
        q of the formula above.
    scales : numpy.ndarray of float32, (P, h, w)
        t of the formula above; 0 for a zero vector.
    norms : numpy.ndarray of float32, (P, h, w)
        The lengths of the vectors before they were normalized.
    sigma : float
        Width of the Euclidean kernel.
    channels : int
        C, before the projection.
    bound : float
        No cosine of two places is off by more.
    error : float
        The largest error found in all pairs of at most 512 vectors, taken evenly.
    """

    network: str
    layer: str
    codes: NDArray[Any]
    scales: NDArray[np.float32]
    norms: NDArray[np.float32]
    sigma: float
    channels: int
    bound: float
    error: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.codes.nbytes + self.scales.nbytes + self.norms.nbytes

    def similarity(self, image: int, place: Sequence[int], kind: Kind = "cosine") -> NDArray[np.float64]:
        """How alike a place of one image is to all places of all images, as the browser has it.

        Parameters
        ----------
        image : int
            Which image.
        place : (int, int)
            Row and column.
        kind : {"cosine", "dot", "euclidean"}, default "cosine"
            Which similarity.

        Returns
        -------
        numpy.ndarray of float64, (P, h, w)
        """
        check_kind(kind)
        image = integer(image, "image", low=0, high=len(self.codes) - 1)
        at = (image, *check_place(place, self.norms.shape[1:]))
        scales, norms = self.scales.astype(np.float64), self.norms.astype(np.float64)
        cosine = self.codes.astype(np.float64) @ self.codes[at].astype(np.float64) * scales * scales[at]
        if kind == "cosine":
            return np.asarray(np.clip(cosine, -1, 1))
        dot = cosine * norms * norms[at]
        if kind == "dot":
            return np.asarray(dot)
        distance = np.maximum(norms**2 + norms[at] ** 2 - 2 * dot, 0)
        return np.asarray(np.exp(-distance / (2 * self.sigma**2)))


@without_inference_mode
def pack(
    grids: Sequence[ActivationGrid], *, dtype: DType = "int8", rank: int | None = RANK
) -> tuple[Packed, ...]:
    """Make activations small: unit vectors, projected where they are very wide, and rounded.

    Parameters
    ----------
    grids : sequence of ActivationGrid
        Of any number of layers and networks, for the same images.
    dtype : {"int8", "float16"}, default "int8"
        What the elements are rounded to.
    rank : int or None, default 256
        Layers with more channels are projected on so many directions; None keeps all channels. The projection is exact
        if the vectors span no more.

    Returns
    -------
    tuple of Packed
        One for each layer of each network, in the order in which they come first.

    Raises
    ------
    ValueError
        For an unknown dtype, with the nearest one, a rank below 1, no grids, or layers of which some have other images.
    """
    choice(dtype, "dtype", get_args(DType))
    rank = check_rank(rank)
    found = spaces(grids)
    images = {key: [grid.image for grid in members] for key, members in found.items()}
    first = next(iter(images))
    for key, numbers in images.items():
        if numbers != images[first]:
            raise ValueError(
                f"expected the same images for all layers, got {brief(images[first])} for {' '.join(first)} and "
                f"{brief(numbers)} for {' '.join(key)}"
            )
    with outside_autocast(next(iter(found.values()))[0].raw):
        return tuple(_pack(members, dtype, rank) for members in found.values())


def check_rank(rank: int | None) -> int | None:
    """Return a number of directions as an ``int``, or None for all channels."""
    return None if rank is None else integer(rank, "rank", low=1, hint="or None for all channels")


def _pack(grids: Sequence[ActivationGrid], dtype: DType, rank: int | None) -> Packed:
    raw = torch.stack([grid.raw for grid in grids])
    unit = normalize(raw).flatten(0, 2)
    basis = leading_directions(unit, rank) if rank is not None and rank < raw.shape[3] else None
    kept = unit if basis is None else unit @ basis
    codes = _round(kept, dtype)
    lengths = codes.norm(dim=1)
    scales = kept.norm(dim=1) / torch.where(lengths > 0, lengths, 1)
    rounded = codes * scales[:, None]
    lost = 0.0 if basis is None else (unit - kept @ basis.T).norm(dim=1).max().item()
    moved = (kept - rounded).norm(dim=1).max().item()
    some = torch.linspace(0, len(unit) - 1, min(MEASURED, len(unit)), device=unit.device).round().long()
    exact, made = unit[some], rounded[some]
    shape = raw.shape[:3]
    return Packed(
        grids[0].network,
        grids[0].layer,
        _array(codes.view(*shape, -1), dtype),
        _array(scales.view(shape), "float32"),
        _array(raw.double().norm(dim=3) if raw.device.type != "mps" else raw.norm(dim=3), "float32"),
        width([grid.raw for grid in grids]),
        raw.shape[3],
        lost**2 + 2 * moved + moved**2,
        (exact @ exact.T - made @ made.T).abs().max().item(),
    )


def leading_directions(unit: Tensor, rank: int) -> Tensor:
    """The directions that hold most of some vectors.

    Parameters
    ----------
    unit : Tensor, (N, C)
        The vectors; their mean is not taken away, as it is part of their inner products.
    rank : int
        How many directions, at most C.

    Returns
    -------
    Tensor, (C, rank)
        Orthonormal columns, those that hold most first.
    """
    # In double precision, which not every accelerator has.
    wide = unit.double() if unit.device.type != "mps" else unit.cpu().double()
    count, channels = wide.shape
    if rank <= count < channels:
        # The same directions from the smaller matrix of inner products: V = Z^T U / |Z^T U|.
        directions = wide.T @ torch.linalg.eigh(wide @ wide.T)[1].flip(1)[:, :rank]
        return torch.linalg.qr(directions)[0].to(unit)
    return torch.linalg.eigh(wide.T @ wide)[1].flip(1)[:, :rank].to(unit)


def _round(vectors: Tensor, dtype: DType) -> Tensor:
    """Rounded to what the type can hold, as float32."""
    if dtype == "float16":
        return vectors.half().float()
    peak = vectors.abs().amax(1, keepdim=True)
    return (127 * vectors / torch.where(peak > 0, peak, 1)).round()


def _array(tensor: Tensor, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.cpu().numpy().astype(dtype))
