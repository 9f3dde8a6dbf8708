"""Drawing functions for the static images of views, for GitHub, nbviewer and PDF files, which show no widgets."""

from __future__ import annotations

import base64
import io
import math
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xai_widgets.views.colors import color_table, magnitude_limit, resolve_sign, shade

#: Pixels of an image, shape (H, W, 3).
Pixels = NDArray[np.uint8]

#: Maximum width and height of an image, and of a table of images, px.
MAX_SIZE, MAX_TABLE_SIZE = 320, 400
#: Maximum width of the static image of several views, px, and the gap between them.
MAX_SHEET_WIDTH, SHEET_GAP = 820, 12
#: Maximum size of a file in bytes, 120 kB in base64; every saved notebook stores it beside the widget.
MAX_BYTES = 90_000
#: Height of a line of text, px.
LINE_HEIGHT = 15
#: An image reduced to so many colors still looks good.
FEW_COLORS = 64
#: Gap between two images of a table, px.
GAP = 4
#: Maximum number of rows and of columns in a table of images.
MAX_CELLS = 6

#: Replacements for characters that the font of Pillow lacks.
SPELLED_OUT = str.maketrans({"λ": "lambda", "α": "alpha", "×": "x", "−": "-", "→": "->", "—": "-"})

NEAREST, BILINEAR, BICUBIC, BOX = (
    getattr(Image.Resampling, name) for name in ("NEAREST", "BILINEAR", "BICUBIC", "BOX")
)


def encode_png(pixels: Pixels) -> str:
    """Encode an image as PNG in base64, of at most 120 kB: with fewer colors, and smaller, if necessary."""
    whole = Image.fromarray(pixels)
    data, width, colors = _file(whole), whole.width, 256
    while len(data) > MAX_BYTES:
        height = max(1, round(whole.height * width / whole.width))
        resized = whole.resize((width, height), BOX)
        # This method keeps rare colors, such as those of curves beside a photograph.
        data = _file(resized.quantize(colors, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
        width = width if colors > FEW_COLORS else int(width * 0.85)
        colors = FEW_COLORS
    return base64.b64encode(data).decode("ascii")


def _file(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def add_captions(pixels: Pixels, *lines: str) -> Pixels:
    """Add lines of text below an image; a narrow image is padded."""
    sheet = Image.new(
        "RGB", (max(pixels.shape[1], MAX_SIZE), pixels.shape[0] + LINE_HEIGHT * len(lines)), "white"
    )
    sheet.paste(Image.fromarray(pixels))
    for number, words in enumerate(lines):
        write_text(sheet, (2, pixels.shape[0] + LINE_HEIGHT * number + 1), words, (33, 33, 33))
    return np.asarray(sheet)


def write_text(
    canvas: Image.Image, at: tuple[float, float], words: str, color: tuple[int, ...], end: str = "l"
) -> None:
    """Write a line of text; `at` is its left end, middle or right end for `end` "l", "m" or "r"."""
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    # The font of Pillow has neither Greek letters nor accents in every version.
    words = unicodedata.normalize("NFD", words.translate(SPELLED_OUT))
    words = words.translate(SPELLED_OUT).encode("latin-1", "ignore").decode("latin-1")
    width = pen.textlength(words, font=font)
    left = min(at[0] - {"l": 0, "m": width / 2, "r": width}[end], max(at[0], canvas.width - width))
    pen.text((left, at[1]), words, fill=color, font=font)


def sheet(images: Sequence[Pixels]) -> Pixels | None:
    """Arrange images of any shapes in rows of at most `MAX_SHEET_WIDTH` px; return None without images."""
    rows: list[list[Pixels]] = []
    for image in images:
        if rows and sum(each.shape[1] + SHEET_GAP for each in rows[-1]) + image.shape[1] <= MAX_SHEET_WIDTH:
            rows[-1].append(image)
        else:
            rows.append([image])
    strips = [_joined(row, axis=1) for row in rows]
    return _joined(strips, axis=0) if strips else None


def _joined(images: Sequence[Pixels], *, axis: int) -> Pixels:
    """Join images along an axis, with a gap between them; white fills the rest."""
    other = 1 - axis
    longest = max(image.shape[other] for image in images)
    parts = []
    for number, image in enumerate(images):
        after = [(0, 0), (0, 0), (0, 0)]
        after[axis] = (0, SHEET_GAP if number < len(images) - 1 else 0)
        after[other] = (0, longest - image.shape[other])
        parts.append(np.pad(image, after, constant_values=255))
    return np.concatenate(parts, axis=axis)


#: By how much images are drawn larger than for a notebook.
_factor: ContextVar[float] = ContextVar("factor", default=1.0)


@contextmanager
def enlarged(factor: float) -> Iterator[None]:
    """Draw images larger by a factor, for figures."""
    token = _factor.set(factor)
    try:
        yield
    finally:
        _factor.reset(token)


def fit_size(shape: Sequence[int], width: int = 0, *, most: int = MAX_SIZE) -> tuple[int, int]:
    """Return the size (height, width) in px at which an image of `shape` is drawn; a `width` of 0 means the maximum."""
    height, columns = shape[:2]
    scale = min(min(width or most, most) / columns, most / height) * _factor.get()
    return max(1, round(height * scale)), max(1, round(columns * scale))


def resize(pixels: Pixels, size: tuple[int, int], *, smooth: bool = True) -> Pixels:
    """Resize an image: by area averages to a smaller size, bilinearly or by the nearest pixel to a larger one."""
    larger = BILINEAR if smooth else NEAREST
    height, width = size
    method = larger if height >= pixels.shape[0] else BOX
    return np.asarray(Image.fromarray(pixels).resize((width, height), method))


def resize_map(
    values: NDArray[Any], size: tuple[int, int], *, interpolation: str = "bicubic"
) -> NDArray[np.float32]:
    """Resize a map by its interpolation, near values that are not finite by the nearest one.

    A map that is finer than `size` is first reduced to the mean magnitude of blocks, with the sign of their sum.
    """
    height, width = size
    ratio = min(values.shape[0] / height, values.shape[1] / width)
    if ratio > 1.1:
        values = _reduced(values, math.ceil(ratio))
    source = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    near = np.asarray(source.resize((width, height), NEAREST))
    if interpolation == "pixelated":
        return near
    finite = np.isfinite(values).all()
    cubic = interpolation == "bicubic" and finite and values.shape[0] < height
    between = np.asarray(source.resize((width, height), BICUBIC if cubic else BILINEAR))
    if cubic:
        between = between.clip(values.min(), values.max())
    return np.where(np.isfinite(between), between, near)


def _reduced(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Return the mean magnitude of blocks of factor x factor finite values, with the sign of their sum."""
    height, width = (math.ceil(extent / factor) for extent in values.shape)
    padding = (0, height * factor - values.shape[0]), (0, width * factor - values.shape[1])
    blocks = np.pad(values.astype(np.float32), padding, constant_values=np.nan)
    blocks = np.where(np.isfinite(blocks), blocks, np.nan).reshape(height, factor, width, factor)
    count = np.isfinite(blocks).sum((1, 3))
    magnitude = np.nansum(np.abs(blocks), (1, 3)) / np.where(count, count, np.nan)
    reduced: NDArray[np.float32] = (np.sign(np.nansum(blocks, (1, 3))) * magnitude).astype(np.float32)
    return reduced


def smooth_map(values: NDArray[Any], sigma: float, sign: str) -> NDArray[np.float32]:
    """Smooth a map by a Gaussian, normalized over the finite values within it.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (h, w)
        Values; those that are not finite stay so.
    sigma : float
        Standard deviation in cells; 0 for no smoothing.
    sign : {"both", "positive", "negative", "absolute"}
        Which values are smoothed: magnitudes for "absolute", the values of one sign for one.
    """
    values = values.astype(np.float32)
    if sigma <= 0:
        return values
    finite = np.isfinite(values)
    known = np.where(finite, values, 0)
    if sign == "absolute":
        known = np.abs(known)
    elif sign != "both":
        known = known.clip(min=0) if sign == "positive" else known.clip(max=0)
    down, across = (_gaussian(extent, sigma) for extent in values.shape)
    weight = down @ finite @ across.T
    smoothed: NDArray[np.float32] = np.where(
        finite, down @ known @ across.T / np.where(finite, weight, 1), values
    ).astype(np.float32)
    return smoothed


def _gaussian(extent: int, sigma: float) -> NDArray[np.float64]:
    """Return the weights of a Gaussian between all pairs of cells along an axis, 0 beyond 3 sigma."""
    distance = np.abs(np.subtract.outer(np.arange(extent), np.arange(extent)))
    return np.where(distance <= max(1, math.ceil(3 * sigma)), np.exp(-0.5 * (distance / sigma) ** 2), 0.0)


def draw_heatmap(
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
    interpolation: str,
) -> Pixels:
    """Draw a map on an image, either of which may be None; the settings are those of ``HeatmapView``."""
    if image is None:
        # Nothing is below that a transparent value would show.
        opacity, fade = 1, False
        below = np.full((*size, 3), 255.0)
    else:
        below = resize(image, size, smooth=interpolation != "pixelated").astype(float)
    if values is not None:
        if gray and image is not None:
            below = np.repeat(np.round(below @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)
        table = color_table(colormap, sign, fade)
        colors = shade(resize_map(values, size, interpolation=interpolation), limit, sign, table).astype(
            float
        )
        below = below + opacity * colors[..., 3:] / 255 * (colors[..., :3] - below)
    pixels: Pixels = np.round(below).astype(np.uint8)
    return pixels


def scale_of(maps: Sequence[NDArray[Any]], *, sign: str, percentile: float) -> dict[str, Any]:
    """Return the limit and the sign of maps that share a scale, for :func:`draw_heatmap`."""
    ends = [magnitude_limit(one, percentile) for one in maps]
    return {"limit": max(ends, default=0.0), "sign": resolve_sign(sign, *maps)}


def image_table(images: Sequence[Pixels], columns: int, *, cell: int, smooth: bool) -> Pixels | None:
    """Arrange images of one shape in a table, row by row, each at most `cell` px wide; return None without images."""
    if not len(images):
        return None
    columns = min(columns, MAX_CELLS, len(images)) if columns else min(len(images), MAX_CELLS)
    rows = min(math.ceil(len(images) / columns), MAX_CELLS)
    cell = min(cell, (MAX_TABLE_SIZE + GAP) // columns - GAP)
    size = fit_size(images[0].shape, cell, most=(MAX_TABLE_SIZE + GAP) // max(rows, columns) - GAP)
    sheet = np.full((rows * (size[0] + GAP) - GAP, columns * (size[1] + GAP) - GAP, 3), 255, np.uint8)
    for number, one in enumerate(images[: rows * columns]):
        top, left = (number // columns) * (size[0] + GAP), (number % columns) * (size[1] + GAP)
        sheet[top : top + size[0], left : left + size[1]] = resize(one, size, smooth=smooth)
    return sheet


def blend(below: Pixels, above: Pixels, weight: NDArray[Any]) -> Pixels:
    """Blend two images by a weight from 0 to 1 for each pixel."""
    share = np.asarray(weight, dtype=float)[..., None]
    pixels: Pixels = np.floor(below + share * (above.astype(float) - below) + 0.5).astype(np.uint8)
    return pixels


def resize_mask(mask: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.float64]:
    """Resize a mask to an image, and scale it to [0, 1]."""
    height, width = shape[:2]
    return np.asarray(Image.fromarray(mask).resize((width, height), BILINEAR)) / 255


def blend_levels(levels: NDArray[np.uint8], m: NDArray[np.float64]) -> Pixels:
    """Interpolate linearly between levels, at index m (L - 1) of each pixel."""
    index = m * (len(levels) - 1)
    low = np.minimum(index.astype(int), len(levels) - 2)
    rows, columns = np.indices(m.shape)
    return blend(levels[low, rows, columns], levels[low + 1, rows, columns], index - low)
