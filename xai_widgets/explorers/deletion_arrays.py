"""Arrays of the deletion explorer: the best classes along curves, and where the predicted class changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xai_widgets.metrics import Curve


def flip(curve: Curve, predicted: int) -> int | None:
    """Return the first known step at which the predicted class of the image is lost, or found while inserting.

    Parameters
    ----------
    curve : Curve
        A curve of one image, known in parts.
    predicted : int
        The predicted class of the whole image.

    Returns
    -------
    int or None
        None if there is no such step after the first known one.
    """
    classes = curve.top_classes[0, :, 0]
    known = (classes >= 0).nonzero().flatten()
    right = classes[known] == predicted
    changed = ~right if curve.mode == "deletion" else right
    if not len(known) or changed[0] or not changed.any():
        return None
    return int(known[changed.nonzero()[0, 0]])


class BestClasses(NamedTuple):
    """The best classes and the explained class of each method, mode and fraction; NaN where they are not known."""

    values: NDArray[np.float32]
    indices: NDArray[np.int32]
    target_values: NDArray[np.float32]

    @classmethod
    def empty(cls, shape: tuple[int, int, int], top: int) -> BestClasses:
        """Return arrays in which nothing is known, for so many methods, modes and fractions."""
        return cls(
            np.full((*shape, top), np.nan, dtype=np.float32),
            np.zeros((*shape, top), dtype=np.int32),
            np.full(shape, np.nan, dtype=np.float32),
        )

    def take(self, row: int, mode: int, curve: Curve) -> None:
        """Take the values of a curve."""
        self.values[row, mode] = curve.top_scores[0].numpy()
        self.indices[row, mode] = curve.top_classes[0].clamp_min(0).numpy()
        self.target_values[row, mode] = curve.scores[0].numpy()

    def take_image(self, values: NDArray[np.float32], target: int) -> None:
        """Take the values of the image, at which deletion begins and insertion ends, where they are missing."""
        indices = np.argsort(-values, kind="stable")[: self.indices.shape[-1]]
        for mode, at in enumerate((0, -1)):
            missing = np.isnan(self.target_values[:, mode, at])
            self.values[missing, mode, at] = values[indices]
            self.indices[missing, mode, at] = indices
            self.target_values[missing, mode, at] = values[target]
