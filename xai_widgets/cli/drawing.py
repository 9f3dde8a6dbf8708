"""Maps on images as the table of maps draws them: in color on a gray image, the more opaque the larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xai_widgets.views.preview import draw_heatmap, scale_of

#: Minimum of the smaller side of an image, and the gap between two images, in pixels.
SIDE, GAP = 224, 4
#: Colors saturate at this percentile of the magnitudes.
PERCENTILE = 99.0


def overlay(pixels: NDArray[np.uint8], values: NDArray[Any]) -> Image.Image:
    """Draw a map on its image.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8, shape (H, W, 3)
        The image; it is drawn in gray, and enlarged by a whole number if it is small.
    values : numpy.ndarray, shape (h, w)
        The map, of any resolution; it is interpolated, and transparent where it is NaN.
    """
    height, width = pixels.shape[:2]
    factor = max(1, -(-SIDE // min(height, width)))
    size = (height * factor, width * factor)
    scale = scale_of([values], sign="auto", percentile=PERCENTILE)
    style: dict[str, Any] = {
        "colormap": "auto", "opacity": 1, "fade": True, "gray": True, "interpolation": "bicubic",
    }  # fmt: skip
    return Image.fromarray(draw_heatmap(pixels, values, size, **scale, **style))


def sheet(rows: Sequence[Sequence[Image.Image | None]]) -> Image.Image:
    """Arrange images of one size in rows; None leaves a white cell."""
    width, height = next(image.size for row in rows for image in row if image is not None)
    canvas = Image.new("RGB", (len(rows[0]) * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP), "white")
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            if image is not None:
                canvas.paste(image, (c * (width + GAP), r * (height + GAP)))
    return canvas
