"""Photographs that ship with scikit-image, so no download is needed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.optional import optional
from xai_widgets.core.validation import choice

#: Name -> (function of ``skimage.data``, tint of a gray photograph or None for a color one).
_SOURCES: dict[str, tuple[str, tuple[float, float, float] | None]] = {
    "astronaut": ("astronaut", None),
    "brick": ("brick", (1.0, 0.78, 0.66)),
    "camera": ("camera", (0.9, 0.96, 1.0)),
    "cat": ("chelsea", None),
    "coffee": ("coffee", None),
    "coins": ("coins", (1.0, 0.9, 0.72)),
    "grass": ("grass", (0.72, 0.95, 0.6)),
    "gravel": ("gravel", (0.95, 0.93, 0.9)),
    "hubble": ("hubble_deep_field", None),
    "moon": ("moon", (0.92, 0.94, 1.0)),
    "motorcycle": ("stereo_motorcycle", None),
    "retina": ("retina", None),
    "rocket": ("rocket", None),
    "tissue": ("immunohistochemistry", None),
}


def _skimage_data() -> Any:
    return optional("skimage.data", "photographs")


def photographs() -> list[str]:
    """Return the sorted names of the photographs that `photograph` can load."""
    return sorted(_SOURCES)


@lru_cache(maxsize=len(_SOURCES))
def _load(name: str) -> NDArray[np.uint8]:
    function, tint = _SOURCES[name]
    pixels = getattr(_skimage_data(), function)()
    pixels = np.asarray(pixels[0] if isinstance(pixels, tuple) else pixels)
    if pixels.ndim == 2:
        assert tint is not None
        pixels = (pixels[..., None] * np.asarray(tint, np.float32)).round().astype(np.uint8)
    pixels = np.ascontiguousarray(pixels[..., :3])
    pixels.setflags(write=False)
    return pixels


def photograph(name: str = "cat") -> NDArray[np.uint8]:
    """Return a photograph that ships with scikit-image; gray ones are tinted.

    Parameters
    ----------
    name : str, default "cat"
        One of `photographs()`.

    Returns
    -------
    numpy.ndarray, shape (height, width, 3), uint8
        RGB, a new writable copy.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest one.
    ImportError
        If scikit-image is missing, with the extra that installs it.
    """
    choice(name, "photograph", photographs())
    return _load(name).copy()
