"""Maps on pictures, as the table of maps draws them: in colors from the gray picture on, the more so the larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xai_widgets.views.preview import heat, scale_of

#: The smaller side of a picture, at least, and what lies between two of them, in pixels.
SIDE, GAP = 224, 4
#: Colors end at this percentile of the magnitudes.
PERCENTILE = 99.0


def overlay(picture: NDArray[np.uint8], values: NDArray[Any]) -> Image.Image:
    """A map on its picture.

    Parameters
    ----------
    picture : numpy.ndarray, shape (H, W, 3), uint8
        Is drawn in gray, and larger by a whole number if it is small.
    values : numpy.ndarray, shape (h, w)
        Of any resolution; interpolated. What is no number shows the picture.

    Returns
    -------
    PIL.Image.Image
        In color.
    """
    height, width = picture.shape[:2]
    times = max(1, -(-SIDE // min(height, width)))
    size = (height * times, width * times)
    scale = scale_of([values], sign="auto", percentile=PERCENTILE)
    drawn = heat(
        picture, values, size, **scale, colormap="auto", opacity=1, fade=True, gray=True, smooth=True
    )
    return Image.fromarray(drawn)


def sheet(rows: Sequence[Sequence[Image.Image | None]]) -> Image.Image:
    """Pictures of one size in rows; None leaves its place white."""
    width, height = next(each.size for row in rows for each in row if each is not None)
    made = Image.new("RGB", (len(rows[0]) * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP), "white")
    for r, row in enumerate(rows):
        for c, each in enumerate(row):
            if each is not None:
                made.paste(each, (c * (width + GAP), r * (height + GAP)))
    return made
