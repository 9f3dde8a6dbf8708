"""Which frequencies an inverse keeps: power spectra of the patches that it looks at, and of the others.

Section 5.5.4 of the source. Images and alpha are cut into patches of 8 x 8 that do not overlap. Focused are those in
which mean(alpha) is above the mean of all patches, unfocused the others. The power of a patch p of luminance is the
square of its discrete cosine transform, of type II and orthonormal, with pixels in [0, 1]:

    P = (D p D^T)^2,   D_kn = c_k cos(pi (2n + 1) k / 16),   c_0 = sqrt(1/8), else c_k = sqrt(2/8)

The mean over the patches is read in zigzag order, as in JPEG: from the constant part to the highest frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.validation import integer, items, number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.ops.color import luminance

#: Side of a patch, pixels.
SIDE = 8


@dataclass(frozen=True)
class Spectra:
    """Mean power of the patches, 64 values in zigzag order, float64; NaN for a group without patches.

    Attributes
    ----------
    focused, unfocused, every : Tensor, (64,)
        Of the patches with alpha above its mean, of the others, and of all.
    level : float
        The mean of alpha over all patches.
    patches : (int, int)
        How many are focused and how many are not.
    """

    focused: Tensor
    unfocused: Tensor
    every: Tensor
    level: float
    patches: tuple[int, int]


def spectra(x: Tensor | Sequence[Tensor], alpha: Tensor | Sequence[Tensor]) -> Spectra:
    """Mean power spectra of what an attribution looks at, and of the rest.

    Parameters
    ----------
    x : Tensor, (N, C, H, W), or a sequence of these
        Images in [0, 1], of color the luminance; several sizes in a sequence. What does not fill a patch is cut off
        at the bottom and the right.
    alpha : Tensor, (N, H, W), or a sequence of these
        Their attributions, at least 0.

    Returns
    -------
    Spectra
        The groups are made of the patches of all images together.

    Raises
    ------
    ValueError
        For shapes that do not fit each other, images smaller than a patch, or attributions below 0.
    """
    images, maps = (
        [given] if isinstance(given, Tensor | np.ndarray) else items(given, name, what="tensors")
        for given, name in ((x, "x"), (alpha, "alpha"))
    )
    if len(images) != len(maps):
        raise ValueError(f"expected as many maps as images, got {len(maps)} and {len(images)} tensors")
    images = [tensor(image, "x", ("N", "C", "H", "W"), finite=True).float() for image in images]
    maps = [
        tensor(one, "alpha", (len(image), *image.shape[2:]), finite=True).float()
        for image, one in zip(images, maps, strict=True)
    ]
    for image, one in zip(images, maps, strict=True):
        if min(image.shape[2:]) < SIDE:
            raise ValueError(
                f"the images have {image.shape[2]} x {image.shape[3]} pixels, wanted at least {SIDE}"
            )
        if not bool((one >= 0).all()):
            raise ValueError(f"alpha goes down to {one.min().item():.3g}, wanted numbers of at least 0")
    power = torch.cat([dct(patches(luminance(image)[:, 0])).square() for image in images])
    weight = torch.cat([patches(one).mean((1, 2)) for one in maps])
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
    """The share of the light of each patch that an inverse keeps, sum x^ / sum x, in place of the mean of alpha.

    alpha = x^ / x is smallest at the dark side of an edge, and its mean counts dark pixels as much as bright ones: so a
    patch with details seems to be kept less than it is.

    Parameters
    ----------
    x : Tensor, (N, 1, H, W)
        Luminance in [0, 1].
    x_hat : Tensor, (N, 1, H, W)
        Its inverse.

    Returns
    -------
    Tensor, (N, H, W)
        For :func:`spectra`: the same at all pixels of a patch, 0 where a patch is black; what does not fill a patch is
        0 too.

    Raises
    ------
    ValueError
        For another shape.
    """
    if x.ndim != 4 or x.shape[1] != 1 or x_hat.shape != x.shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and x_hat {tuple(x_hat.shape)}, wanted luminance (N, 1, H, W), the same"
        )
    before, after = (F.avg_pool2d(image, SIDE) for image in (x, x_hat))
    shares = torch.where(before > 0, after / before, 0.0)[:, 0]
    whole = shares.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2)
    return F.pad(whole, (0, x.shape[3] - whole.shape[2], 0, x.shape[2] - whole.shape[1]))


def patches(x: Tensor) -> Tensor:
    """Cut (N, H, W) into patches of 8 x 8 that do not overlap, (N * rows * columns, 8, 8), float64."""
    rows, columns = (side // SIDE for side in x.shape[1:])
    cut = x[:, : rows * SIDE, : columns * SIDE].double()
    return cut.unflatten(2, (columns, SIDE)).unflatten(1, (rows, SIDE)).transpose(2, 3).flatten(0, 2)


def dct(x: Tensor) -> Tensor:
    """The orthonormal discrete cosine transform, type II, of the last two axes of (..., 8, 8)."""
    matrix = _matrix(x.shape[-1]).to(x.device, x.dtype)
    return matrix @ x @ matrix.T


def _matrix(side: int) -> Tensor:
    """D of the formula, (side, side), float64."""
    k = torch.arange(side, dtype=torch.float64)
    matrix = (math.pi * (2 * k + 1) * k[:, None] / (2 * side)).cos() * math.sqrt(2 / side)
    matrix[0] = math.sqrt(1 / side)
    return matrix


def zigzag(side: int = SIDE) -> Tensor:
    """Places of a square, row by row, in zigzag order from its upper left corner: (side * side,), int64."""
    places = [(row, column) for row in range(side) for column in range(side)]
    # Diagonal by diagonal: the even ones run up to the right, the odd ones down to the left.
    places.sort(key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    return torch.tensor([row * side + column for row, column in places])


def bands(spectrum: Tensor) -> Tensor:
    """Means over the diagonals of a spectrum, from 64 values in zigzag order to (15,): one for each sum of frequencies.

    A diagonal is a piece of the zigzag. Single coefficients of few patches differ by more than the groups do.
    """
    lengths = [*range(1, SIDE + 1), *range(SIDE - 1, 0, -1)]
    return torch.stack([piece.mean() for piece in spectrum.split(lengths)])


@checked_keywords
def chirp(size: int = 256, extent: float | None = None) -> Tensor:
    """The image sin(x^2 y^2 / 1024) of figure 5.14, whose frequency grows from the upper left to the lower right.

    Parameters
    ----------
    size : int, default 256
        Side in pixels, at least 2.
    extent : float, optional
        x and y run from 0 to it, above 0. The source does not say how far. Default: to where, in the corner, the
        phase grows by pi from pixel to pixel along each axis, the highest frequency that pixels can hold.

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
        # The phase x^2 y^2 / 1024 grows by 2 extent^3 / 1024 per unit of x there, and a pixel is extent / (size - 1).
        extent = (512 * math.pi * (size - 1)) ** 0.25
    # Beyond, the square of the square overflows.
    extent = number(extent, "extent", above=0, high=1e60)
    along = torch.linspace(0, extent, size, dtype=torch.float64)
    wave = (along.square() * along.square()[:, None] / 1024).sin()
    return ((1 + wave) / 2).float()[None, None]
