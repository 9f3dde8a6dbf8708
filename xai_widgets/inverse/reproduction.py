"""A reproduction of another method by the operation-wise inverse, with the original and a class-blind baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.errors import unknown_name
from xai_widgets.inverse.inverted import UnitInverse
from xai_widgets.inverse.operation_wise import OperationWise
from xai_widgets.metrics.agreement import pearson
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.resize import resize_map


@dataclass(frozen=True, kw_only=True, repr=False)
class Reproduction(ShortRepr):
    """Reproduction of another method by the operation-wise inverse so far.

    Attributes
    ----------
    original : str
        Name of the reproduced method in ``xai_widgets.methods.METHODS``.
    inverse : OperationWise
        Inverse so far.
    maps : dict of str to Tensor, (N, h, w)
        Non-negative maps by the unit at whose output they are, or "image", each in its own resolution, the last of the
        network first. Empty until the first one is reached.
    """

    original: str
    inverse: OperationWise
    maps: dict[str, Tensor]
    _activations: dict[str, UnitInverse]
    _original_map: Callable[[str], Tensor]

    @property
    def map(self) -> Tensor:
        """Map closest to the image, (N, h, w); ValueError before the first one."""
        return self.maps[self._map_name(None)]

    def saliency(self) -> Tensor:
        """Return the map closest to the image, resized to the images, (N, H, W)."""
        return resize_map(self.map, (self.inverse.image.shape[2], self.inverse.image.shape[3]))

    def original_map(self, at: str | None = None) -> Tensor:
        """Return the absolute map of the original method, (N, h, w).

        Parameters
        ----------
        at : str, optional
            Name in ``maps`` of the map to compare with. Default: the one closest to the image.
        """
        return self._original_map(self._map_name(at)).abs()

    def correlation(
        self, original: Tensor | None = None, *, at: str | None = None, sigma: float = 0.0
    ) -> Tensor:
        """Return the Pearson correlation of a map with the original's, (N,); NaN if one of them is constant.

        Parameters
        ----------
        original : Tensor, (N, h, w), optional
            Map of the original method. Default: :meth:`original_map`. The coarser map is resized to the finer one.
        at : str, optional
            Name in ``maps``. Default: the map closest to the image.
        sigma : float, default 0.0
            Standard deviation of a Gaussian that blurs both maps first, in positions of the finer map.

        Raises
        ------
        ValueError
            Before the first map, for an unknown map, with the nearest one, another number of maps, or sigma below 0.
        """
        name = self._map_name(at)
        return _correlation(self.maps[name], self.original_map(name) if original is None else original, sigma)

    def class_blind_map(self, at: str | None = None) -> Tensor:
        """Return the sum of |x_bar - m| over the channels, (N, h, w): the activations themselves, for any class.

        Parameters
        ----------
        at : str, optional
            Name in ``maps`` of the map to compare with. Default: the one closest to the image.
        """
        unit = self._activations[self._map_name(at)]
        return (unit.x_bar if unit.empty is None else unit.x_bar - unit.empty).abs().sum(1)

    def class_blind_correlation(
        self, original: Tensor | None = None, *, at: str | None = None, sigma: float = 0.0
    ) -> Tensor:
        """Return the correlation of the class-blind map with the original's, (N,), the baseline of `correlation`.

        Parameters and errors are those of :meth:`correlation`.
        """
        name = self._map_name(at)
        other = self.original_map(name) if original is None else original
        return _correlation(self.class_blind_map(name), other, sigma)

    def _map_name(self, at: str | None) -> str:
        if not self.maps:
            raise ValueError("expected at least one map, got none; continue the run")
        if at is not None and at not in self.maps:
            raise ValueError(unknown_name("map", at, list(self.maps)))
        return list(self.maps)[-1] if at is None else at


def _correlation(own: Tensor, other: Tensor, sigma: float) -> Tensor:
    """Return the Pearson correlation of two maps, (N,), at the resolution of the finer one."""
    other = other.to(own)
    if other.ndim != 3 or len(other) != len(own):
        raise ValueError(f"expected an original of shape ({len(own)}, h, w), got {tuple(other.shape)}")
    if not sigma >= 0:
        raise ValueError(f"expected sigma of at least 0, got {sigma}")
    size = (max(own.shape[1], other.shape[1]), max(own.shape[2], other.shape[2]))
    maps = [resize_map(each, size) for each in (own, other)]
    if sigma > 0:
        maps = [gaussian_blur(each[:, None], sigma)[:, 0] for each in maps]
    return pearson(*maps)
