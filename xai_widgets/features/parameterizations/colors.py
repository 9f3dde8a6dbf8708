"""Colors of images from values without a range: x = sigmoid(M y).

Neighboring channels of photographs are correlated: most of their variance is that of the brightness. With M the square
root V sqrt(D) of the covariance V D V^T of colors, a step of the same length along each of the decorrelated values y
changes the colors as photographs differ (Olah, Mordvintsev and Schubert 2017). M is divided by its longest row, so that
no color changes by more than its values.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xai_widgets.core.validation import choice

Colors = Literal["decorrelated", "independent"]

#: V sqrt(D) of RGB in the color photographs astronaut, cat, coffee and rocket of scikit-image and both photographs of
#: scikit-learn: brightness, blue against red, green against magenta. The sign of each column is free.
COLOR_ROOT = ((0.241, 0.106, 0.010), (0.226, -0.027, -0.031), (0.215, -0.090, 0.021))
#: Distance of the colors of a start image from 0 and 1, where the inverse of the sigmoid is infinite.
MARGIN = 1e-3


def to_colors(y: Tensor, colors: Colors) -> Tensor:
    """Return images (N, C, H, W) in (0, 1) for values of any size.

    Parameters
    ----------
    y : Tensor, (N, C, H, W)
        Values; 0 is middle gray.
    colors : {"decorrelated", "independent"}
        With M above, or with the identity, as for images of any other number of channels than three.
    """
    return (y if not _mixes(y, colors) else torch.einsum("ij,njhw->nihw", _matrix(y), y)).sigmoid()


def from_colors(x: Tensor, colors: Colors) -> Tensor:
    """Return the values of images in [0, 1], the inverse of :func:`to_colors` up to a margin at both ends."""
    y = x.clamp(MARGIN, 1 - MARGIN).logit()
    return y if not _mixes(y, colors) else torch.einsum("ij,njhw->nihw", torch.linalg.inv(_matrix(y)), y)


def check_colors(colors: str) -> None:
    """Raise ValueError for an unknown kind of colors, with the nearest one."""
    choice(colors, "colors", ("decorrelated", "independent"))


def _mixes(y: Tensor, colors: Colors) -> bool:
    return colors == "decorrelated" and y.shape[1] == 3


def _matrix(like: Tensor) -> Tensor:
    root = like.new_tensor(COLOR_ROOT)
    return root / root.norm(dim=1).max()
