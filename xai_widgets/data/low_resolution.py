"""Photographs at low resolution, and what they were: the data of super-resolution.

The photographs ship inside scikit-image and scikit-learn, so that none has to be downloaded. Some are for training,
the others for tests; no photograph serves both. As in VDSR (Kim et al. 2016):

    Y = 0.299 R + 0.587 G + 0.114 B                                luminance of ITU-R BT.601, of full range, in [0, 1]
    x = up(down(g))                                                both bicubic, by a scale of 2, 3 or 4

Bicubic is Keys' kernel with a = -1/2, widened by the scale when it shrinks (antialiasing), and renormalized at the
border, as PIL has it; values are cut to [0, 1] after each of the two steps and never rounded to 8 bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.validation import choice, dimensions, integer, integers, tensor
from xai_widgets.data.photos import _skimage_data

#: By how much the sides shrink.
SCALES = (2, 3, 4)

#: Height or width of an image, at most.
MOST_PIXELS = 2**15

#: Readable name -> function of ``skimage.data``, or file of scikit-learn.
_SOURCES = {
    "astronaut": "astronaut",
    "brick": "brick",
    "camera": "camera",
    "cat": "chelsea",
    "china": "china.jpg",
    "coffee": "coffee",
    "coins": "coins",
    "flower": "flower.jpg",
    "grass": "grass",
    "gravel": "gravel",
    "hubble": "hubble_deep_field",
    "motorcycle": "stereo_motorcycle",
    "page": "page",
    "rocket": "rocket",
    "text": "text",
    "tissue": "immunohistochemistry",
}
#: Photographs that no network of the package was trained on to raise their resolution: a face, a person outdoors,
#: a building, a table.
TEST = ("astronaut", "camera", "china", "coffee")
TRAINING = tuple(name for name in _SOURCES if name not in TEST)

_LUMINANCE = (0.299, 0.587, 0.114)


@lru_cache(maxsize=len(_SOURCES))
def _pixels(name: str) -> NDArray[np.uint8]:
    source = _SOURCES[name]
    if source.endswith(".jpg"):
        pixels: Any = _sklearn_image(source)
    else:
        pixels = getattr(_skimage_data(), source)()
    # Of the stereo pair the left one; transparency is no part of a photograph.
    pixels = np.asarray(pixels[0] if isinstance(pixels, tuple) else pixels)
    return pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]


def _sklearn_image(file: str) -> Any:
    try:
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise ImportError(
            f"The photograph {file!r} comes from scikit-learn, which is missing: "
            "pip install 'xai-widgets[photographs]'."
        ) from error
    return load_sample_image(file)


def picture(name: str = "astronaut") -> Tensor:
    """A photograph as it was taken.

    Parameters
    ----------
    name : str, default "astronaut"
        One of ``TEST`` or ``TRAINING``.

    Returns
    -------
    Tensor, (1, C, H, W)
        float32 in [0, 1], on the CPU; C is 3 for color and 1 for gray.

    Raises
    ------
    ValueError
        If there is no photograph of this name, with the nearest one.
    ImportError
        If the package that it ships in is missing, with the extra that brings it.
    """
    choice(name, "photograph", sorted(_SOURCES))
    pixels = torch.from_numpy(_pixels(name).astype(np.float32) / 255)
    return pixels.permute(2, 0, 1)[None].contiguous()


def luminance(x: Tensor) -> Tensor:
    """Y of BT.601, (N, 1, H, W) in [0, 1], of color (N, 3, H, W) in [0, 1]; gray (N, 1, H, W) is its own."""
    x = _check(x)
    if x.shape[1] == 1:
        return x
    weights = x.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def recolor(y: Tensor, x: Tensor) -> Tensor:
    """Another luminance with the chrominance of a photograph, as section 5.5.1 shows its results.

    Parameters
    ----------
    y : Tensor, (N, 1, H, W)
        Luminance in [0, 1].
    x : Tensor, (N, C, H, W)
        Photographs in [0, 1] of that size; gray ones have no chrominance.

    Returns
    -------
    Tensor, (N, C, H, W)
        In [0, 1]: Cb and Cr are kept, so that the same is added to R, G and B; colors beyond [0, 1] are cut.

    Raises
    ------
    ValueError
        For another shape.
    """
    x = _check(x)
    y = tensor(y, "y", (len(x), 1, *x.shape[2:]), finite=True, like=x)
    return (x + (y - luminance(x))).clamp(0, 1)


def bicubic(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring (N, C, H, W) to another height and width by bicubic interpolation, antialiased, cut to [0, 1]."""
    height, width = integers(size, "size", length=2, low=1, high=MOST_PIXELS)
    x = _check(x)
    if tuple(x.shape[2:]) == (height, width):
        return x
    # Without antialias torch would take a = -3/4 for the kernel, also where it enlarges.
    return F.interpolate(x, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def blurred_pair(g: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """A photograph brought down and up again, and what it was.

    Parameters
    ----------
    g : Tensor, (N, C, H, W)
        In [0, 1].
    scale : int
        By how much the sides shrink: 2, 3 or 4.

    Returns
    -------
    (Tensor, Tensor), each (N, C, h, w)
        x and g in [0, 1]; h and w are the multiples of ``scale`` just below H and W, what is more is cut off at the
        bottom and the right.

    Raises
    ------
    ValueError
        For another scale, or images smaller than it.
    """
    scale = check_scale(scale)
    g = _check(g)
    height, width = (side - side % scale for side in g.shape[2:])
    if not (height and width):
        raise ValueError(
            f"expected images of at least {scale} pixels each way, got {g.shape[2]} x {g.shape[3]}"
        )
    g = g[:, :, :height, :width]
    return bicubic(bicubic(g, (height // scale, width // scale)), (height, width)), g


def psnr(a: Tensor, b: Tensor, *, border: int = 0) -> Tensor:
    """Peak signal-to-noise ratio of images in [0, 1], in dB.

    -10 log10 of the mean squared difference, infinite where there is none.

    Parameters
    ----------
    a, b : Tensor, (N, ...)
        Of the same shape; the last two axes are height and width.
    border : int, default 0
        How many pixels are left out at each side; for super-resolution the scale is usual.

    Returns
    -------
    Tensor, (N,)

    Raises
    ------
    ValueError
        For different shapes, or a border that leaves nothing.
    """
    shape = ("N", "C", "H", "W") if dimensions(a, 4) == 4 else ("N", "H", "W")
    a, b = (tensor(each, name, shape).float() for each, name in ((a, "a"), (b, "b")))
    if a.shape != b.shape:
        raise ValueError(f"expected images of the same shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    border = integer(
        border, "border", low=0, high=(min(a.shape[-2:]) - 1) // 2, hint="some pixels have to be left"
    )
    height, width = a.shape[-2:]
    difference = (a - b)[..., border : height - border, border : width - border].flatten(1)
    return -10 * difference.double().square().mean(1).log10().float()


def check_scale(scale: int) -> int:
    """Return a scale as an ``int``; ValueError for another than those of ``SCALES``."""
    return integer(scale, "scale", low=SCALES[0], high=SCALES[-1])


def _check(x: Tensor) -> Tensor:
    """Finite images (N, 1, H, W) or (N, 3, H, W) of floats."""
    x = tensor(x, "images", ("N", "C", "H", "W"), finite=True)
    if x.shape[1] not in (1, 3):
        raise ValueError(f"expected images of shape (N, 1, H, W) or (N, 3, H, W), got {tuple(x.shape)}")
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
