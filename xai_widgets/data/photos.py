"""Photographs that ship inside scikit-image, so that none has to be downloaded."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.validation import choice

#: Readable name -> (function of ``skimage.data``, tint of a gray photograph or None for a color one).
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
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "Photographs come from scikit-image, which is missing: pip install 'xai-widgets[demo]'."
        ) from error
    return data


def photographs() -> list[str]:
    """Names that `photograph` knows, sorted."""
    return sorted(_SOURCES)


@lru_cache(maxsize=len(_SOURCES))
def _load(name: str) -> NDArray[np.uint8]:
    function, tint = _SOURCES[name]
    picture = getattr(_skimage_data(), function)()
    picture = np.asarray(picture[0] if isinstance(picture, tuple) else picture)
    if picture.ndim == 2:
        assert tint is not None
        picture = (picture[..., None] * np.asarray(tint, np.float32)).round().astype(np.uint8)
    picture = np.ascontiguousarray(picture[..., :3])
    picture.setflags(write=False)
    return picture


def photograph(name: str = "cat") -> NDArray[np.uint8]:
    """A photograph that ships inside scikit-image; gray ones are tinted.

    Parameters
    ----------
    name : str, default "cat"
        One of `photographs()`.

    Returns
    -------
    numpy.ndarray, shape (height, width, 3), uint8
        RGB, a fresh copy that may be written to.

    Raises
    ------
    ValueError
        If there is no photograph of this name.
    ImportError
        If scikit-image is missing; the message names the extra that brings it.
    """
    choice(name, "photograph", photographs())
    return _load(name).copy()
