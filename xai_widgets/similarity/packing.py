"""Compress activation vectors, to send them to a browser once, with a bound on the error of their similarities.

Each unit vector z^ = z / |z| is projected to the R leading directions of all vectors of the layer, and rounded:

    p = V^T z^          V: the R leading eigenvectors of sum z^ z^^T, which preserve inner products best among all
                        projections to R dimensions (Eckart and Young 1936); omitted if R >= C
    q = round(127 p / max|p|) or p in half precision,   t = |p| / |q|,   p ~ t q

The cosine of two positions is then t_a t_b (q_a . q_b). With e = z^ - V p, orthogonal to V, the error of the projection
and d = p - t q that of rounding, the Cauchy-Schwarz inequality bounds the error of the cosine:

    |s - s~| <= |e_a| |e_b| + |d_a| + |d_b| + |d_a| |d_b| <= max|e|^2 + 2 max|d| + max|d|^2

The norms |z| give the dot product and the Euclidean kernel, since |a - b|^2 = |a|^2 + |b|^2 - 2 |a| |b| s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.precision import double, outside_autocast
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, choice, integer
from xai_widgets.ops.normalize import unit_vectors
from xai_widgets.similarity.grids import ActivationGrid, check_position, group_by_layer
from xai_widgets.similarity.measure import Kind, check_kind, kernel_width

DType = Literal["int8", "float16"]
#: Default maximum number of dimensions.
RANK = 384
#: Maximum number of vectors whose pairs measure the error.
MEASURED = 512


@dataclass(frozen=True, eq=False, repr=False)
class Packed(ShortRepr):
    """Compressed vectors of one layer of one network on P images.

    Attributes
    ----------
    network, layer : str
        Names of the network and of the layer.
    codes : numpy.ndarray of int8 or float16, (P, h, w, R)
        q in the formula above.
    scales : numpy.ndarray of float32, (P, h, w)
        t in the formula above; 0 for a zero vector.
    norms : numpy.ndarray of float32, (P, h, w)
        Norms |z| of the original vectors.
    sigma : float
        Width of the Euclidean kernel.
    channels : int
        Number of channels C before the projection.
    bound : float
        Upper bound on the error of the cosine of any two positions.
    error : float
        Largest error over all pairs of at most 512 evenly spaced vectors.
    token_codes, token_scales, token_norms : numpy.ndarray, (P, T, R), (P, T) and (P, T)
        The same of the T tokens without a position.
    token_names : tuple of str
        Their names.
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
    token_codes: NDArray[Any]
    token_scales: NDArray[np.float32]
    token_norms: NDArray[np.float32]
    token_names: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        arrays = (self.codes, self.scales, self.norms, self.token_codes, self.token_scales, self.token_norms)
        return sum(array.nbytes for array in arrays)

    def similarity(
        self, image: int, position: str | Sequence[int], kind: Kind = "cosine"
    ) -> NDArray[np.float64]:
        """Return the similarity of a position of one image to all positions of all images, like the browser does.

        Parameters
        ----------
        image : int
            Index of the image.
        position : (int, int) or str
            Row and column, or the name of a token.
        kind : {"cosine", "dot", "euclidean"}, default "cosine"
            Similarity measure.

        Returns
        -------
        numpy.ndarray of float64, (P, h, w)
        """
        check_kind(kind)
        image = integer(image, "image", low=0, high=len(self.codes) - 1)
        scales, norms = self.scales.astype(np.float64), self.norms.astype(np.float64)
        code, scale, norm = self._vector(image, position)
        cosine = self.codes.astype(np.float64) @ code * scales * scale
        if kind == "cosine":
            return np.asarray(np.clip(cosine, -1, 1))
        dot = cosine * norms * norm
        if kind == "dot":
            return np.asarray(dot)
        distance = np.maximum(norms**2 + norm**2 - 2 * dot, 0)
        return np.asarray(np.exp(-distance / (2 * self.sigma**2)))

    def _vector(
        self, image: int, position: str | Sequence[int]
    ) -> tuple[NDArray[np.float64], np.float64, np.float64]:
        """Return code, scale and norm of a position or a token."""
        at: tuple[int, ...]
        if isinstance(position, str):
            choice(position, "token", self.token_names)
            at, arrays = (
                (image, self.token_names.index(position)),
                (self.token_codes, self.token_scales, self.token_norms),
            )
        else:
            at, arrays = (
                (image, *check_position(position, self.norms.shape[1:])),
                (self.codes, self.scales, self.norms),
            )
        code, scale, norm = (array[at].astype(np.float64) for array in arrays)
        return code, scale, norm


@without_inference_mode
def pack(
    grids: Sequence[ActivationGrid], *, dtype: DType = "int8", rank: int | None = RANK
) -> tuple[Packed, ...]:
    """Compress activations: normalize, project to fewer dimensions and round the vectors of each layer.

    Parameters
    ----------
    grids : sequence of ActivationGrid
        Activations of any number of layers and networks, for the same images.
    dtype : {"int8", "float16"}, default "int8"
        Data type of the compressed vectors.
    rank : int or None, default 384
        Layers with more channels are projected to this number of dimensions; None keeps all channels. The projection
        is exact if the vectors span no more dimensions.

    Returns
    -------
    tuple of Packed
        One for each layer of each network, in order of first occurrence.

    Raises
    ------
    ValueError
        For an unknown dtype, with the nearest one, a rank below 1, no grids, or layers with different images.
    """
    choice(dtype, "dtype", get_args(DType))
    rank = check_rank(rank)
    by_layer = group_by_layer(grids)
    images = {key: [grid.image for grid in members] for key, members in by_layer.items()}
    first = next(iter(images))
    for key, numbers in images.items():
        if numbers != images[first]:
            raise ValueError(
                f"expected the same images for all layers, got {brief(images[first])} for {' '.join(first)} and "
                f"{brief(numbers)} for {' '.join(key)}"
            )
    with outside_autocast(next(iter(by_layer.values()))[0].raw):
        return tuple(_pack(members, dtype, rank) for members in by_layer.values())


def check_rank(rank: int | None) -> int | None:
    """Return a number of dimensions as an ``int``, or None for all channels."""
    return None if rank is None else integer(rank, "rank", low=1, hint="or None for all channels")


def _pack(grids: Sequence[ActivationGrid], dtype: DType, rank: int | None) -> Packed:
    shape, channels = (len(grids), *grids[0].shape), grids[0].raw.shape[2]
    tokens = [grid.raw[0, :0] if grid.tokens is None else grid.tokens for grid in grids]
    vectors = [torch.stack([grid.raw for grid in grids]).flatten(0, 2), torch.cat(tokens)]
    raw = torch.cat(vectors)
    unit = unit_vectors(raw)
    basis = leading_directions(unit, rank) if rank is not None and rank < channels else None
    kept = unit if basis is None else unit @ basis
    codes = _round(kept, dtype)
    lengths = codes.norm(dim=1)
    scales = kept.norm(dim=1) / torch.where(lengths > 0, lengths, 1)
    rounded = codes * scales[:, None]
    lost = 0.0 if basis is None else (unit - kept @ basis.T).norm(dim=1).max().item()
    moved = (kept - rounded).norm(dim=1).max().item()
    some = torch.linspace(0, len(unit) - 1, min(MEASURED, len(unit)), device=unit.device).round().long()
    exact, approximate = unit[some], rounded[some]
    norms = double(raw).norm(dim=1)
    arrays = [_array(codes, dtype), _array(scales, "float32"), _array(norms, "float32")]
    positions = len(vectors[0])
    grid_codes, grid_scales, grid_norms = (
        array[:positions].reshape(*shape, *array.shape[1:]) for array in arrays
    )
    token_codes, token_scales, token_norms = (
        array[positions:].reshape(len(grids), -1, *array.shape[1:]) for array in arrays
    )
    return Packed(
        network=grids[0].network,
        layer=grids[0].layer,
        codes=grid_codes,
        scales=grid_scales,
        norms=grid_norms,
        sigma=kernel_width([grid.raw for grid in grids]),
        channels=channels,
        bound=lost**2 + 2 * moved + moved**2,
        error=(exact @ exact.T - approximate @ approximate.T).abs().max().item(),
        token_codes=token_codes,
        token_scales=token_scales,
        token_norms=token_norms,
        token_names=grids[0].token_names,
    )


def leading_directions(unit: Tensor, rank: int) -> Tensor:
    """Return the leading eigenvectors of the uncentered covariance of vectors.

    Parameters
    ----------
    unit : Tensor, (N, C)
        The vectors. Their mean is not subtracted, since it is part of their inner products.
    rank : int
        Number of directions, at most C.

    Returns
    -------
    Tensor, (C, rank)
        Orthonormal columns, by descending eigenvalue.
    """
    wide = double(unit)
    count, channels = wide.shape
    if rank <= count < channels:
        # The same directions from the smaller Gram matrix: V = Z^T U / |Z^T U|.
        directions = wide.T @ torch.linalg.eigh(wide @ wide.T)[1].flip(1)[:, :rank]
        return torch.linalg.qr(directions)[0].to(unit)
    return torch.linalg.eigh(wide.T @ wide)[1].flip(1)[:, :rank].to(unit)


def _round(vectors: Tensor, dtype: DType) -> Tensor:
    """Round to values that `dtype` can represent, returned as float32."""
    if dtype == "float16":
        return vectors.half().float()
    peak = vectors.abs().amax(1, keepdim=True)
    return (127 * vectors / torch.where(peak > 0, peak, 1)).round()


def _array(tensor: Tensor, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.cpu().numpy().astype(dtype))
