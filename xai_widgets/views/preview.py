"""Still pictures of views, for where no widget can be shown: GitHub, nbviewer, a PDF, a mail.

A view that has a picture gives it by `View.still`, made with the functions below of the arrays that it holds.
"""

from __future__ import annotations

import base64
import io
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xai_widgets.views.colors import color_table, magnitude_limit, resolve_sign, shade

#: Pixels of a picture, (H, W, 3).
Pixels = NDArray[np.uint8]

#: Largest width and height of one picture, and of a table of pictures, px.
SIZE, WIDE = 320, 400
#: Largest file, in bytes, 60 kB in base64: it is kept in every saved notebook, beside the widget.
LARGEST = 45_000
#: Height of a line of text, px.
LINE = 15
#: With so many colours a picture is still a good one.
FEW = 64
#: Between two pictures of a table, px.
GAP = 4
#: No more rows or columns of pictures than these are in a still picture.
MOST = 6

#: How letters are written with which Pillow's own font has not come.
SPELT = str.maketrans({"λ": "lambda", "α": "alpha", "×": "x", "−": "-", "→": "->", "—": "-"})

NEAREST, BILINEAR, BOX = Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BOX


def png(pixels: Pixels) -> str:
    """The file of a picture in base64, of at most 60 kB: with fewer colours, and smaller, if it has to be."""
    whole = Image.fromarray(pixels)
    data, width, colors = _file(whole), whole.width, 256
    while len(data) > LARGEST:
        height = max(1, round(whole.height * width / whole.width))
        data = _file(whole.resize((width, height), BOX).quantize(colors, dither=Image.Dither.NONE))
        width = width if colors > FEW else int(width * 0.85)
        colors = FEW
    return base64.b64encode(data).decode("ascii")


def _file(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def captioned(pixels: Pixels, *lines: str) -> Pixels:
    """A picture with lines of text below it, which a narrow picture gets room for."""
    sheet = Image.new("RGB", (max(pixels.shape[1], SIZE), pixels.shape[0] + LINE * len(lines)), "white")
    sheet.paste(Image.fromarray(pixels))
    for number, words in enumerate(lines):
        write(sheet, (2, pixels.shape[0] + LINE * number + 1), words, (33, 33, 33))
    return np.asarray(sheet)


def write(
    canvas: Image.Image, at: tuple[float, float], words: str, color: tuple[int, ...], end: str = "l"
) -> None:
    """Write a line of text; `at` is its left end, its middle or its right end: l, m or r."""
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    # What Pillow's own font has, in every version: no Greek, and no marks above letters.
    words = unicodedata.normalize("NFD", words.translate(SPELT))
    words = words.translate(SPELT).encode("latin-1", "ignore").decode("latin-1")
    width = pen.textlength(words, font=font)
    left = min(at[0] - {"l": 0, "m": width / 2, "r": width}[end], max(at[0], canvas.width - width))
    pen.text((left, at[1]), words, fill=color, font=font)


def drawn_area(pixels: Pixels) -> int:
    """How many pixels a picture has within its white border."""
    drawn = pixels.min(2) < 250
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    return int(np.ptp(rows) + 1) * int(np.ptp(columns) + 1) if rows.size else 0


def fitting(shape: Sequence[int], width: int = 0, *, most: int = SIZE) -> tuple[int, int]:
    """The size (height, width) in px at which a picture of `shape` is drawn; a `width` of 0 is the largest."""
    height, columns = shape[:2]
    scale = min(min(width or most, most) / columns, most / height)
    return max(1, round(height * scale)), max(1, round(columns * scale))


def resized(pixels: Pixels, size: tuple[int, int], *, smooth: bool = True) -> Pixels:
    """A picture in another size: smaller by means, larger by means between pixels or each a rectangle."""
    larger = BILINEAR if smooth else NEAREST
    height, width = size
    made = Image.fromarray(pixels).resize((width, height), larger if height >= pixels.shape[0] else BOX)
    return np.asarray(made)


def stretched(values: NDArray[Any], size: tuple[int, int], *, smooth: bool) -> NDArray[np.float32]:
    """A map in another size; between the middles of its cells if `smooth`, and the nearest where one is not finite."""
    height, width = size
    given = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    near = np.asarray(given.resize((width, height), NEAREST))
    if not smooth:
        return near
    between = np.asarray(given.resize((width, height), BILINEAR))
    return np.where(np.isfinite(between), between, near)


def heat(
    image: Pixels | None,
    values: NDArray[Any] | None,
    size: tuple[int, int],
    *,
    limit: float,
    sign: str,
    colormap: str,
    opacity: float,
    fade: bool,
    gray: bool,
    smooth: bool,
) -> Pixels:
    """A map in its colours on an image, either of which may be missing; settings as in ``HeatmapView``."""
    if image is None:
        opacity = 1
        below = np.full((*size, 3), 255.0)
    else:
        below = resized(image, size, smooth=smooth).astype(float)
    if values is not None:
        if gray and image is not None:
            luma = np.round(below @ [0.299, 0.587, 0.114])[..., None]
            below = below + opacity * (luma - below)
        table = color_table(colormap, sign, fade)
        colors = shade(stretched(values, size, smooth=smooth), limit, sign, table).astype(float)
        below = below + opacity * colors[..., 3:] / 255 * (colors[..., :3] - below)
    made: Pixels = np.round(below).astype(np.uint8)
    return made


def scale_of(maps: Sequence[NDArray[Any]], *, sign: str, percentile: float) -> dict[str, Any]:
    """The end of the scale and the sign of maps that share one, for :func:`heat`."""
    ends = [magnitude_limit(one, percentile) for one in maps]
    return {"limit": max(ends, default=0.0), "sign": resolve_sign(sign, *maps)}


def table(pictures: Sequence[Pixels], columns: int, *, cell: int, smooth: bool) -> Pixels | None:
    """Pictures of one shape side by side, row by row, each at most `cell` px wide; None if there is none."""
    if not len(pictures):
        return None
    columns = min(columns, MOST, len(pictures)) if columns else min(len(pictures), MOST)
    rows = min(math.ceil(len(pictures) / columns), MOST)
    cell = min(cell, (WIDE + GAP) // columns - GAP)
    size = fitting(pictures[0].shape, cell, most=(WIDE + GAP) // max(rows, columns) - GAP)
    sheet = np.full((rows * (size[0] + GAP) - GAP, columns * (size[1] + GAP) - GAP, 3), 255, np.uint8)
    for number, one in enumerate(pictures[: rows * columns]):
        top, left = (number // columns) * (size[0] + GAP), (number % columns) * (size[1] + GAP)
        sheet[top : top + size[0], left : left + size[1]] = resized(one, size, smooth=smooth)
    return sheet


def blended(below: Pixels, above: Pixels, weight: NDArray[Any]) -> Pixels:
    """One picture over another, by a weight of 0 to 1 for each pixel."""
    share = np.asarray(weight, dtype=float)[..., None]
    made: Pixels = np.floor(below + share * (above.astype(float) - below) + 0.5).astype(np.uint8)
    return made


def mask_in(mask: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.float64]:
    """A mask in the size of an image, from 0 to 1."""
    height, width = shape[:2]
    return np.asarray(Image.fromarray(mask).resize((width, height), BILINEAR)) / 255


def between_levels(levels: NDArray[np.uint8], m: NDArray[np.float64]) -> Pixels:
    """The levels of a pyramid at place m (L - 1), pixel by pixel, linearly between two of them."""
    place = m * (len(levels) - 1)
    low = np.minimum(place.astype(int), len(levels) - 2)
    rows, columns = np.indices(m.shape)
    return blended(levels[low, rows, columns], levels[low + 1, rows, columns], place - low)
