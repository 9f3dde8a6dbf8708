"""Size of pixels as a PNG file, an estimate of their entropy."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def png_size(pixels: NDArray[np.uint8]) -> int:
    """Return the number of bytes of a PNG file of pixels (H, W) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.tell()
