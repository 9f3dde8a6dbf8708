"""Power spectra of the patches that an attribution focuses on, and of the others (Kwon 2021, section 5.5.4).

Images and alpha are divided into non-overlapping patches of 8 x 8 pixels. A patch is focused if its mean(alpha) is
above the mean of all patches, and otherwise unfocused. The power of a patch p of luminance in [0, 1] is the square of
its orthonormal discrete cosine transform of type II:

    P = (D p D^T)^2,   D_kn = c_k cos(pi (2n + 1) k / 16),   c_0 = sqrt(1/8), else c_k = sqrt(2/8)

The mean over the patches is in zigzag order like in JPEG, from the constant to the highest frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.precision import double
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, items, number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.ops.color import luminance

#: Side of a patch in pixels.
SIDE = 8


@dataclass(frozen=True, repr=False)
class Spectra(ShortRepr):
    """Mean power of patches, 64 values in zigzag order, float64; NaN for a group without patches.

    Attributes
    ----------
    focused, unfocused, every : Tensor, (64,)
        Spectra of the focused patches, of the unfocused ones, and of all.
    level : float
        Mean of alpha over all patches.
    patches : (int, int)
        Number of focused and of unfocused patches.
    """

    focused: Tensor
    unfocused: Tensor
    every: Tensor
    level: float
    patches: tuple[int, int]


def spectra(x: Tensor | Sequence[Tensor], alpha: Tensor | Sequence[Tensor]) -> Spectra:
    """Return the mean power spectra of the patches that an attribution focuses on, and of the others.

    Parameters
    ----------
    x : Tensor, (N, C, H, W), or a sequence of these
        Images in [0, 1], of which the luminance is used; a sequence can hold several sizes. Incomplete patches at the
        bottom and the right are ignored.
    alpha : Tensor, (N, H, W), or a sequence of these
        Attributions of the images, at least 0.

    Returns
    -------
    Spectra
        Groups of the patches of all images together.

    Raises
    ------
    ValueError
        For different shapes, images smaller than a patch, or attributions below 0.
    """
    images, maps = (
        [value] if isinstance(value, Tensor | np.ndarray) else items(value, name, what="tensors")
        for value, name in ((x, "x"), (alpha, "alpha"))
    )
    if len(images) != len(maps):
        raise ValueError(f"expected as many maps as images, got {len(maps)} and {len(images)} tensors")
    images = [tensor(image, "x", ("N", "C", "H", "W"), finite=True).float() for image in images]
    maps = [
        tensor(map_, "alpha", (len(image), *image.shape[2:]), finite=True).float()
        for image, map_ in zip(images, maps, strict=True)
    ]
    for image, map_ in zip(images, maps, strict=True):
        if min(image.shape[2:]) < SIDE:
            raise ValueError(
                f"expected images of at least {SIDE} x {SIDE} pixels, got {image.shape[2]} x {image.shape[3]}"
            )
        if not bool((map_ >= 0).all()):
            raise ValueError(f"expected alpha of at least 0, got {map_.min().item():.3g}")
    power = torch.cat([dct(patches(luminance(image)[:, 0])).square() for image in images])
    weight = torch.cat([patches(map_).mean((1, 2)) for map_ in maps])
    level = weight.mean()
    focused = weight > level
    order = zigzag().to(power.device)

    def mean(group: Tensor) -> Tensor:
        return group.mean(0).flatten()[order]

    return Spectra(
        focused=mean(power[focused]),
        unfocused=mean(power[~focused]),
        every=mean(power),
        level=level.item(),
        patches=(int(focused.sum()), int((~focused).sum())),
    )


def kept_brightness(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the share of the brightness of each patch that an inverse keeps, sum x^ / sum x.

    An alternative to the mean of alpha = x^ / x, which is smallest at the dark side of an edge and weights dark and
    bright pixels equally, and so underestimates how much of a patch with details is kept.

    Parameters
    ----------
    x : Tensor, (N, 1, H, W)
        Luminance in [0, 1].
    x_hat : Tensor, (N, 1, H, W)
        Inverse of x.

    Returns
    -------
    Tensor, (N, H, W)
        An `alpha` for :func:`spectra`, constant in each patch; 0 for black patches and in incomplete ones.

    Raises
    ------
    ValueError
        For another shape.
    """
    if x.ndim != 4 or x.shape[1] != 1 or x_hat.shape != x.shape:
        raise ValueError(
            f"expected luminance of one shape (N, 1, H, W), got x of {tuple(x.shape)} and x_hat of {tuple(x_hat.shape)}"
        )
    before, after = (F.avg_pool2d(image, SIDE) for image in (x, x_hat))
    shares = torch.where(before > 0, after / before, 0.0)[:, 0]
    whole = shares.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2)
    return F.pad(whole, (0, x.shape[3] - whole.shape[2], 0, x.shape[2] - whole.shape[1]))


def patches(x: Tensor) -> Tensor:
    """Divide (N, H, W) into non-overlapping patches of 8 x 8, (N * rows * columns, 8, 8), float64."""
    rows, columns = (side // SIDE for side in x.shape[1:])
    cropped = double(x[:, : rows * SIDE, : columns * SIDE])
    return cropped.unflatten(2, (columns, SIDE)).unflatten(1, (rows, SIDE)).transpose(2, 3).flatten(0, 2)


def dct(x: Tensor) -> Tensor:
    """Return the orthonormal discrete cosine transform of type II of the last two axes of (..., 8, 8)."""
    matrix = _matrix(x.shape[-1]).to(x.device, x.dtype)
    return matrix @ x @ matrix.T


def _matrix(side: int) -> Tensor:
    """Return the matrix D of the transform, (side, side), float64."""
    k = torch.arange(side, dtype=torch.float64)
    matrix = (math.pi * (2 * k + 1) * k[:, None] / (2 * side)).cos() * math.sqrt(2 / side)
    matrix[0] = math.sqrt(1 / side)
    return matrix


def zigzag(side: int = SIDE) -> Tensor:
    """Return the row-major indices of a square in zigzag order from the upper left corner, (side * side,), int64."""
    positions = [(row, column) for row in range(side) for column in range(side)]
    # Diagonal by diagonal: the even ones run up to the right, the odd ones down to the left.
    positions.sort(key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    return torch.tensor([row * side + column for row, column in positions])


def bands(spectrum: Tensor) -> Tensor:
    """Return the means over the diagonals of a spectrum in zigzag order, from (64,) to (15,).

    A diagonal holds the frequencies with equal sum. Single coefficients of few patches are noisier than their means.
    """
    lengths = [*range(1, SIDE + 1), *range(SIDE - 1, 0, -1)]
    return torch.stack([piece.mean() for piece in spectrum.split(lengths)])


@checked_keywords
def chirp(size: int = 256, extent: float | None = None) -> Tensor:
    """Return the image sin(x^2 y^2 / 1024) of fig. 5.14, whose frequency increases towards the lower right.

    Parameters
    ----------
    size : int, default 256
        Side in pixels, at least 2.
    extent : float, optional
        Maximum of x and y, which start at 0. The dissertation does not specify it. By default the phase in the corner
        increases by pi per pixel along each axis, the highest frequency that pixels can represent.

    Returns
    -------
    Tensor, (1, 1, size, size)
        float32 in [0, 1]: (1 + sin) / 2.

    Raises
    ------
    ValueError
        For a size below 2, or an extent that is not above 0.
    """
    size = integer(size, "size", low=2, high=2**14, hint="in pixels")
    if extent is None:
        # The phase x^2 y^2 / 1024 increases by 2 extent^3 / 1024 per unit of x there; a pixel is extent / (size - 1).
        extent = (512 * math.pi * (size - 1)) ** 0.25
    # For larger values the fourth power overflows.
    extent = number(extent, "extent", above=0, high=1e60)
    along = torch.linspace(0, extent, size, dtype=torch.float64)
    wave = (along.square() * along.square()[:, None] / 1024).sin()
    return ((1 + wave) / 2).float()[None, None]
