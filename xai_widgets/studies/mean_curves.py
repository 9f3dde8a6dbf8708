"""Means of curves over images, with the interval that shrinks while images are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.short_repr import ShortRepr

#: Probability that an interval covers the mean.
COVERAGE = 0.95


@dataclass(frozen=True, repr=False)
class MeanCurves(ShortRepr):
    """The curves of one method on the images of a data set so far.

    Attributes
    ----------
    fractions : array, (T,)
        Shares of the pixels; empty before the first image.
    scores : mapping of str to array, (n, T)
        The scores of each image, by the name of the curve.
    failed : tuple of str
        The reasons why images are left out.
    """

    fractions: NDArray[np.float32]
    scores: Mapping[str, NDArray[np.float32]]
    failed: tuple[str, ...] = ()

    @classmethod
    def empty(cls, names: Iterable[str]) -> MeanCurves:
        """Return curves of no image."""
        return cls(np.zeros(0, np.float32), {name: np.zeros((0, 0), np.float32) for name in names})

    @property
    def count(self) -> int:
        """Number of images."""
        return len(next(iter(self.scores.values())))

    @property
    def done(self) -> int:
        """Number of images, with those that are left out."""
        return self.count + len(self.failed)

    def with_curves(
        self, fractions: NDArray[np.float32], curves: Iterable[NDArray[np.float32]]
    ) -> MeanCurves:
        """Return the curves with those of one more image."""
        scores = {
            name: np.concatenate([known.reshape(-1, len(fractions)), curve[None]])
            for (name, known), curve in zip(self.scores.items(), curves, strict=True)
        }
        return MeanCurves(fractions, scores, self.failed)

    def without(self, reason: str) -> MeanCurves:
        """Return the curves after an image that is left out."""
        return MeanCurves(self.fractions, self.scores, (*self.failed, reason))


def interval(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean over the first axis, and half the width of its 95 % interval, by Student's t.

    For n values with the standard deviation s (of n - 1), mean +- t(n - 1) s / sqrt(n). The half width is NaN for one
    value.
    """
    n = len(values)
    mean = values.mean(0, dtype=np.float64)
    if n < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, t_quantile(n - 1) * values.std(0, ddof=1, dtype=np.float64) / np.sqrt(n)


def t_quantile(freedom: int) -> float:
    """Return the value that Student's t exceeds in either direction with probability 1 - 0.95.

    With t = sqrt(freedom) tan(angle), the density is proportional to cos(angle)^(freedom - 1).
    """
    angles = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    share = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp(COVERAGE, share / share[-1], angles)
    return float(np.sqrt(freedom) * np.tan(angle))
