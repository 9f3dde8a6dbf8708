"""Gaussian blur: normalized at the border, or with a truncated kernel and the border replicated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import MAX_SIDE
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.validation import integer, number, tensor


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Blur images by a Gaussian that ends at the border and is normalized there.

    Parameters
    ----------
    x : Tensor, (..., H, W)
        Images.
    sigma : float
        Standard deviation in pixels, at least 0; 0 returns the images unchanged.

    Returns
    -------
    Tensor, (..., H, W)
    """
    (blurred,) = gaussian_blurs(x, [sigma])
    return blurred


def gaussian_blurs(x: Tensor, sigmas: Sequence[float]) -> list[Tensor]:
    """Return :func:`gaussian_blur` of images for several sigmas, whose weights are moved to the device at once."""
    sigmas = [number(sigma, "sigma", low=0, hint="in pixels") for sigma in sigmas]
    positive = [sigma for sigma in sigmas if sigma > 0]
    if not positive:
        return [x for _ in sigmas]
    matrices = {
        extent: iter(
            torch.stack([_weights(extent, extent, sigma) for sigma in positive]).to(x.device, x.dtype)
        )
        for extent in set(x.shape[-2:])
    }
    blurred = []
    for sigma in sigmas:
        if sigma == 0:
            blurred.append(x)
            continue
        weights = {extent: next(each) for extent, each in matrices.items()}
        rows, columns = (weights[extent] for extent in x.shape[-2:])
        with outside_autocast(x):
            blurred.append(rows @ x @ columns.T)
    return blurred


def gaussian_matrix(extent: int, cells: int, sigma: float, like: Tensor) -> Tensor:
    """Return weights (extent, cells) of Gaussians around each pixel over evenly spaced cells; rows sum to 1.

    Parameters
    ----------
    extent : int
        Pixels along one axis.
    cells : int
        Cells that divide the axis; ``extent`` for the pixels themselves.
    sigma : float
        Standard deviation in pixels, above 0.
    like : Tensor
        Any tensor with the dtype and device of the weights.
    """
    return _weights(extent, cells, sigma).to(like.device, like.dtype)


def _weights(extent: int, cells: int, sigma: float) -> Tensor:
    """Return the weights of :func:`gaussian_matrix` in double precision, on the CPU."""
    pixels = torch.arange(extent, dtype=torch.float64, device="cpu") + 0.5
    centers = (torch.arange(cells, dtype=torch.float64, device="cpu") + 0.5) * (extent / cells)
    # A softmax does not underflow where a Gaussian of a tenth of a pixel would.
    return (-((pixels[:, None] - centers) ** 2) / (2 * sigma**2)).softmax(1)


def gaussian_window(width: int, sigma: float, like: Tensor) -> Tensor:
    """Return the weights (width,) of a Gaussian around the middle of a window, which sum to 1.

    Parameters
    ----------
    width : int
        Pixels, odd.
    sigma : float
        Standard deviation in pixels, above 0.
    like : Tensor
        Any tensor with the dtype and device of the weights.
    """
    offsets = torch.arange(width, device=like.device, dtype=like.dtype) - width // 2
    # A softmax does not underflow where the Gaussian of a small sigma would.
    return (-((offsets / sigma) ** 2) / 2).softmax(0)


def truncated_blur(x: Tensor, *, kernel: int = 11, sigma: float = 5.0) -> Tensor:
    """Blur images by a truncated Gaussian, with the border replicated.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images.
    kernel : int, default 11
        Width of the kernel in pixels, odd.
    sigma : float, default 5.0
        Standard deviation in pixels.

    Returns
    -------
    Tensor, (N, C, H, W)
    """
    x = tensor(x, "x", ("N", "C", "H", "W"))
    x = x if x.is_floating_point() else x.float()
    kernel, sigma = integer(kernel, "kernel", low=1, high=MAX_SIDE), number(sigma, "sigma", above=0)
    if kernel % 2 == 0:
        raise ValueError(f"expected an odd kernel, got {kernel}; the nearest one is {kernel + 1}")
    profile = gaussian_window(kernel, sigma, x)
    channels = x.shape[1]
    padded = F.pad(x, (kernel // 2,) * 4, mode="replicate")
    with outside_autocast(x):
        rows = F.conv2d(padded, profile.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        return F.conv2d(rows, profile.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
