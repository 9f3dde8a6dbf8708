"""Data for super-resolution: photographs at low and at full resolution.

The photographs ship with scikit-image and scikit-learn, so no download is needed. Some are for training, the others for
tests. Following VDSR (Kim et al. 2016), networks work on the luminance (:mod:`xai_widgets.ops.color`), and an image at
low resolution is

    x = up(down(g)),   both bicubic, by a scale of 2, 3 or 4

The bicubic kernel is that of Keys with a = -1/2, widened by the scale for downsampling (antialiasing) and renormalized
at the border, like in PIL. Values are clipped to [0, 1] after each of the two steps and never rounded to 8 bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.optional import optional
from xai_widgets.core.precision import double
from xai_widgets.core.validation import choice, dimensions, integer, integers, tensor
from xai_widgets.data.photos import _skimage_data
from xai_widgets.ops.color import check_color

#: Scales by which the sides can shrink.
SCALES = (2, 3, 4)

#: Maximum height or width of an image.
MOST_PIXELS = 2**15

#: Name -> function of ``skimage.data``, or file name in scikit-learn.
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
#: Test photographs (a face, a person outdoors, a building, a table): the bundled super-resolution network was not
#: trained on them.
TEST = ("astronaut", "camera", "china", "coffee")
TRAINING = tuple(name for name in _SOURCES if name not in TEST)


@lru_cache(maxsize=len(_SOURCES))
def _pixels(name: str) -> NDArray[np.uint8]:
    source = _SOURCES[name]
    if source.endswith(".jpg"):
        purpose = f"photographs such as {source!r}"
        pixels: Any = optional("sklearn.datasets", purpose).load_sample_image(source)
    else:
        pixels = getattr(_skimage_data(), source)()
    # The left image of the stereo pair; without the alpha channel.
    pixels = np.asarray(pixels[0] if isinstance(pixels, tuple) else pixels)
    return pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]


def load_photograph(name: str = "astronaut") -> Tensor:
    """Load a photograph at full resolution.

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
        For an unknown name, with the nearest one.
    ImportError
        If the package that holds it is missing, with the extra that installs it.
    """
    choice(name, "photograph", sorted(_SOURCES))
    pixels = torch.from_numpy(_pixels(name).astype(np.float32) / 255)
    return pixels.permute(2, 0, 1)[None].contiguous()


def bicubic(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images (N, C, H, W) by antialiased bicubic interpolation and clip them to [0, 1]."""
    height, width = integers(size, "size", length=2, low=1, high=MOST_PIXELS)
    x = check_color(x)
    if tuple(x.shape[2:]) == (height, width):
        return x
    # Without antialias, torch uses a kernel with a = -3/4, also for upsampling.
    return F.interpolate(x, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def blurred_pair(g: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Return photographs downsampled and upsampled again, and the originals.

    Parameters
    ----------
    g : Tensor, (N, C, H, W)
        In [0, 1].
    scale : int
        Factor by which the sides shrink: 2, 3 or 4.

    Returns
    -------
    (Tensor, Tensor), each (N, C, h, w)
        x and g in [0, 1]. H and W are cropped at the bottom and the right to multiples h and w of ``scale``.

    Raises
    ------
    ValueError
        For another scale, or images smaller than the scale.
    """
    scale = check_scale(scale)
    g = check_color(g)
    height, width = (side - side % scale for side in g.shape[2:])
    if not (height and width):
        raise ValueError(
            f"expected images of at least {scale} pixels each way, got {g.shape[2]} x {g.shape[3]}"
        )
    g = g[:, :, :height, :width]
    return bicubic(bicubic(g, (height // scale, width // scale)), (height, width)), g


def psnr(a: Tensor, b: Tensor, *, border: int = 0) -> Tensor:
    """Return the peak signal-to-noise ratio of images in [0, 1], in dB.

    It is -10 log10 of the mean squared difference, and infinite for equal images.

    Parameters
    ----------
    a, b : Tensor, (N, ...)
        Images of the same shape; the last two axes are height and width.
    border : int, default 0
        Number of pixels to exclude at each side; for super-resolution usually the scale.

    Returns
    -------
    Tensor, (N,)

    Raises
    ------
    ValueError
        For different shapes, or a border that leaves no pixels.
    """
    shape = ("N", "C", "H", "W") if dimensions(a, 4) == 4 else ("N", "H", "W")
    a, b = (tensor(each, name, shape).float() for each, name in ((a, "a"), (b, "b")))
    if a.shape != b.shape:
        raise ValueError(f"expected images of the same shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    border = integer(
        border, "border", low=0, high=(min(a.shape[-2:]) - 1) // 2, hint="it must leave some pixels"
    )
    height, width = a.shape[-2:]
    difference = (a - b)[..., border : height - border, border : width - border].flatten(1)
    return -10 * double(difference).square().mean(1).log10().float()


def check_scale(scale: int) -> int:
    """Return a scale as an ``int``; ValueError for a scale that is not in ``SCALES``."""
    return integer(scale, "scale", low=SCALES[0], high=SCALES[-1])
