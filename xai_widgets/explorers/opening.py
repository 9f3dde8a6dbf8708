"""Photographs that a user drops on an explorer."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps

#: Formats that are read; others are refused before anything of them is decoded.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
#: Maximum size of a file in bytes. A message to the kernel has at most 10 MiB.
MAX_BYTES = 10 * 2**20
#: Maximum number of pixels of an image.
MAX_PIXELS = 64_000_000


def open_photograph(data: bytes, name: str = "") -> Image.Image:
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        The file: JPEG, PNG, WebP, GIF, BMP or TIFF, of at most 10 MiB and 64 megapixels.
    name : str, optional
        Its name, for the error message.

    Returns
    -------
    PIL.Image.Image
        Decoded completely and turned upright; the first frame of an animation.

    Raises
    ------
    ValueError
        For another file, or one that is too large or broken.
    """
    shown = repr(name[-60:]) if name else "the file"
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"expected an image file of at most {MAX_BYTES / 2**20:.0f} MiB, got {shown} of "
            f"{len(data) / 2**20:.1f} MiB; make it smaller"
        )
    try:
        with warnings.catch_warnings():
            # The number of pixels is checked here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"expected an image file such as JPEG or PNG, got {shown}, which is none that can be read"
        ) from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"expected an image of at most {MAX_PIXELS / 1e6:.0f} megapixels, got {shown} of {image.width} x "
            f"{image.height} pixels; make it smaller"
        )
    try:
        return ImageOps.exif_transpose(image) or image
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(
            f"expected a complete image file, got {shown}, which is broken or truncated"
        ) from error
