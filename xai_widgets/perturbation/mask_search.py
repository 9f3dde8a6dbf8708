"""The protocol of a search for extremal masks, and its helpers: areas, binary masks, the best so far.

A :class:`MaskSearch` looks for the mask of each area that is best by a :class:`MaskObjective`, for all areas and images
at once. :class:`~xai_widgets.perturbation.area_search.AreaSearch` and
:class:`~xai_widgets.perturbation.torchray_search.TorchRaySearch` are the two of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from xai_widgets.core.validation import brief, numbers
from xai_widgets.perturbation.scored_masks import BestMasks, MaskScores, SearchResult

#: Maximum number of grid cells along one side.
MOST_CELLS = 1024


#: Makes masks (N, A, ...) from the parameters (N, A, ...) of a search. With a slice of the N A masks, flattened, the
#: parameters are those of this slice only, (E, 1, ...), and so are the masks.
MakeMasks = Callable[[Tensor, slice | None], Tensor]


class MaskObjective(Protocol):
    """An objective that a search maximizes."""

    @property
    def score_range(self) -> Tensor:
        """Difference that the perturbation makes to the score of the class, (N,)."""

    def score(self, masks: Tensor) -> MaskScores:
        """Score binary masks (N, A, ...)."""

    def gradient(self, parameters: Tensor, make_masks: MakeMasks, step: int) -> Tensor:
        """Return the gradient of the values with respect to the parameters (N, A, ...) of the masks."""


class MaskSearch(Protocol):
    """A search for the best mask of each area."""

    @property
    def snapshots(self) -> int:
        """Maximum number of snapshots."""

    def run(self, objective: MaskObjective) -> Iterator[BestMasks]:
        """Yield the best masks so far, again and again; they never get worse."""


@runtime_checkable
class SearchSettings(Protocol):
    """Settings that choose a search among masks of images."""

    def image_search(
        self, areas: list[float], like: Tensor, start: SearchResult | Tensor | None = None
    ) -> MaskSearch:
        """Return a search that is ready to run.

        Parameters
        ----------
        areas : list of float
            Shares of the image, ascending.
        like : Tensor, (N, A, H, W)
            Any tensor with the shape, dtype and device of the masks.
        start : SearchResult or Tensor (h, w) or (N, h, w), optional
            An earlier result to resume from, or a mask or map to begin with.
        """


def check_areas(areas: Iterable[float], positions: int) -> list[float]:
    """Return the areas as floats; ValueError unless they ascend and masks of ``positions`` pixels can have them."""
    shares = numbers(areas, "areas", above=0, high=1, hint="shares of the image such as [0.05, 0.1, 0.2]")
    for area in shares:
        if area * positions < 0.5:
            raise ValueError(
                f"expected areas of at least {1 / positions:.2g}, one of {positions} pixels, got {area:g}"
            )
    if shares != sorted(shares):
        raise ValueError(
            f"expected ascending areas, got {brief(shares)}; sorted they are {brief(sorted(shares))}"
        )
    counts = [pixel_count(area, positions) for area in shares]
    for first, second, area in zip(counts, counts[1:], shares[1:], strict=False):
        if first == second:
            raise ValueError(
                f"expected areas at least {1 / positions:.2g} apart, got two near {area:g} that are the same {first} "
                f"of {positions} pixels"
            )
    return shares


def pixel_count(area: float, positions: int) -> int:
    """Return the number of pixels in an area, at least 1."""
    return max(1, round(area * positions))


def binarize(masks: Tensor, areas: Iterable[float]) -> Tensor:
    """Threshold masks so that each has exactly its area; of equal values the first are inside.

    Parameters
    ----------
    masks : Tensor, (N, A, ...)
        Any values; the highest are inside the mask.
    areas : iterable of float
        A shares in (0, 1].

    Returns
    -------
    Tensor, (N, A, ...)
        Ones at :func:`pixel_count` positions, zeros elsewhere.
    """
    flat = masks.flatten(2)
    binary = torch.zeros_like(flat)
    for index, area in enumerate(areas):
        values, count = flat[:, index], pixel_count(area, flat.shape[2])
        # Selecting the lowest value inside is several times faster than sorting.
        lowest = values.kthvalue(values.shape[1] - count + 1, dim=1, keepdim=True).values
        above, equal = values > lowest, values == lowest
        left = count - above.sum(1, keepdim=True)
        binary[:, index] = (above | (equal & (equal.cumsum(1) <= left))).to(binary.dtype)
    return binary.view_as(masks)


def scored(objective: MaskObjective, smooth: Tensor, parameters: Tensor, areas: list[float]) -> BestMasks:
    """Binarize and score smooth masks (N, K A, ...), K candidates of all areas, and return the best of each area.

    Parameters have the same order: those of all areas of the first candidate first. Of equal candidates the first is
    returned.
    """
    masks = binarize(smooth, areas * (smooth.shape[1] // len(areas)))
    every = BestMasks(masks, objective.score(masks), smooth, parameters)
    if masks.shape[1] == len(areas):
        return every
    chosen = every.scores.values.unflatten(1, (-1, len(areas))).argmax(1, keepdim=True)

    def pick(values: Tensor) -> Tensor:
        index = chosen.view(*chosen.shape, *[1] * (values.ndim - 2))
        candidates = values.unflatten(1, (-1, len(areas)))
        return candidates.gather(1, index.expand(-1, -1, -1, *values.shape[2:]))[:, 0]

    scores = MaskScores(*map(pick, every.scores))
    return BestMasks(pick(masks), scores, pick(smooth), pick(parameters))


def better(new: BestMasks, best: BestMasks | None) -> BestMasks:
    """Return the new masks where they score higher than the best so far, area by area."""
    if best is None:
        return new
    higher = new.scores.values > best.scores.values
    return BestMasks(
        _where(higher, new.masks, best.masks),
        MaskScores(*(_where(higher, *pair) for pair in zip(new.scores, best.scores, strict=True))),
        _where(higher, new.smooth, best.smooth),
        _where(higher, new.parameters, best.parameters),
    )


def _where(higher: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(higher.view(*higher.shape, *[1] * (new.ndim - 2)), new, old)
