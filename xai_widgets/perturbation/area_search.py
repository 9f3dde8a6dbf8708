"""Masks of exactly a given area, and a gradient search among them.

The area constraint of extremal perturbations (Fong, Patrick and Vedaldi 2019, equation 2) is met by construction
instead of by the penalty of their equation 4. The mask is where a field u over the pixels is highest:

    m(u) = sigmoid((u + b) / T),   b such that mean m = a

Every step is a mask of area a, for T -> 0 a binary one, so that the optimized mask is close to the scored one. The
field is a coarse grid, upsampled to the pixels by a Gaussian, so that its level sets are smooth. A step is a line
search: the field moves along its normalized gradient by the length whose binary mask scores best. There is no weight to
choose, and nothing depends on the scale of the scores: the same settings serve every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.cached import cached_property
from xai_widgets.core.cost import GRADIENT
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.validation import check_fields, dimensions, integer, number, numbers, tensor
from xai_widgets.ops.blur import gaussian_matrix
from xai_widgets.perturbation.mask_search import MOST_CELLS, MakeMasks, MaskObjective, better, scored
from xai_widgets.perturbation.scored_masks import BestMasks, SearchResult

AnySettings = TypeVar("AnySettings", bound="AreaSettings")

#: Share of the earlier directions in a step: little, because their gradients are those of softer masks.
MOMENTUM = 0.5


@dataclass(frozen=True)
class AreaSettings:
    """Settings of :class:`AreaSearch`.

    Attributes
    ----------
    steps : int, default 30
        Gradient steps, at least 1; more make better masks. After each, the best masks so far are a snapshot.
    lengths : sequence of float, default (0.15, 0.45, 1.2)
        Lengths of a step, in standard deviations of the field. Each step tries all, by the scores of the binary masks.
    softness : (float, float), default (0.3, 0.1)
        T at the first and at the last step, in standard deviations of the field; it falls geometrically.
    grid : int, default 16
        Cells of the field along each side of the image.
    sigma : float, default 0.05
        Standard deviation of the Gaussian that upsamples the field, as a share of the side.
    scan : int, default 7
        The search starts from the best of ``scan`` x ``scan`` discs spread over the image.
    neighbor_exchange_every : int, default 10
        Steps between two exchanges, in which each area tries the fields of the next smaller and larger area.
    patience : int, default 12
        The search ends after this many steps in which no mask improved by ``tolerance``.
    tolerance : float, default 1e-3
        As a share of the difference that the perturbation makes to the score.
    """

    steps: int = 30
    lengths: tuple[float, ...] = (0.15, 0.45, 1.2)
    softness: tuple[float, float] = (0.3, 0.1)
    grid: int = 16
    sigma: float = 0.05
    scan: int = 7
    neighbor_exchange_every: int = 10
    patience: int = 12
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "neighbor_exchange_every", "patience", low=1)
        check_fields(self, integer, "grid", "scan", low=1, high=MOST_CELLS)
        check_fields(self, number, "sigma", above=0)
        check_fields(self, number, "tolerance", low=0)
        first, last = numbers(self.softness, "softness", length=2, above=0)
        if first < last:
            raise ValueError(f"expected softness as two numbers that do not rise, got {(first, last)}")
        object.__setattr__(self, "softness", (first, last))
        object.__setattr__(self, "lengths", tuple(numbers(self.lengths, "lengths", above=0)))

    def within(self: AnySettings, passes: float) -> AnySettings:
        """Return settings that take at most so many passes for each mask, but at least 12 steps from 5 x 5 discs.

        Parameters
        ----------
        passes : float
            Forward passes; one with a gradient counts as three.
        """
        each = GRADIENT + len(self.lengths)
        if self.scan**2 + each * self.steps <= passes:
            return self
        scan = min(self.scan, 5)
        steps = max(12, int((passes - scan**2) / each))
        return replace(self, scan=scan, steps=min(self.steps, steps))

    def image_search(
        self, areas: list[float], like: Tensor, start: SearchResult | Tensor | None = None
    ) -> AreaSearch:
        """Return a search over masks of images; see :class:`~xai_widgets.perturbation.mask_search.SearchSettings`."""
        count, height, width = len(like), *like.shape[2:]
        smooth = GridUpsampling((height, width), self, like)
        shape = (*like.shape[:2], *smooth.grid)
        if start is None:
            starts = [disc.expand(shape) for disc in discs(smooth.grid, self.scan, like)]
        elif isinstance(start, SearchResult):
            starts = [_resumed(start, shape)]
        else:
            starts = [coarse_map(start, count, smooth.grid, like).expand(shape)]
        return AreaSearch(areas, self, starts, smooth, start if isinstance(start, SearchResult) else None)


@dataclass(frozen=True)
class AreaSearch:
    """Gradient ascent on fields whose masks have exactly the area, for all areas and images at once.

    Attributes
    ----------
    areas : list of float
        Shares of the positions, ascending.
    settings : AreaSettings
        Steps and how they are made.
    starts : sequence of Tensor, (N, A, ...)
        Coarse fields; each area begins with the best of them.
    smooth : callable
        Makes fields (N, A, ...) over all positions from coarse ones.
    earlier : SearchResult, optional
        A result for the same images, whose masks are kept unless better ones are found. It is scored anew, so that its
        class or variant may differ, and ignored if it has other areas.
    """

    areas: list[float]
    settings: AreaSettings
    starts: Sequence[Tensor]
    smooth: Callable[[Tensor], Tensor]
    earlier: SearchResult | None = None

    @property
    def snapshots(self) -> int:
        """Maximum number of snapshots: one every ``scan`` starts, then one after each step."""
        return -(-len(self.starts) // self.settings.scan) + self.settings.steps

    def run(self, objective: MaskObjective) -> Iterator[BestMasks]:
        """Yield the best masks so far, again and again; they never get worse."""
        settings, best = self.settings, self._earlier_best(objective)
        first, last = settings.softness
        for begin in range(0, len(self.starts), settings.scan):
            starts = self.starts[begin : begin + settings.scan]
            best = better(self._scored(objective, [standardize(start) for start in starts], last), best)
            yield best
        assert best is not None
        fields, direction = best.parameters, torch.zeros_like(best.parameters)
        idle = 0
        for step in range(settings.steps):
            softness = first * (last / first) ** (step / max(1, settings.steps - 1))
            # Always as in step 0: the images that are scored are not mirrored.
            gradient = objective.gradient(fields, self._make_masks(softness), 0)
            direction = standardize(MOMENTUM * direction + (1 - MOMENTUM) * standardize(gradient))
            moved = [standardize(fields + length * direction) for length in settings.lengths]
            new = self._scored(objective, moved, softness)
            # A step goes on from the best length, also where that is worse than an earlier mask.
            before, fields, best = best.scores.values, new.parameters, better(new, best)
            if (step + 1) % settings.neighbor_exchange_every == 0:
                # Each area tries the best fields of its neighbors, and continues from the best of all.
                neighbors = [best.parameters.roll(shift, 1) for shift in (1, -1)]
                best = better(self._scored(objective, neighbors, softness), best)
                fields = best.parameters
            yield best
            gain = (best.scores.values - before) / objective.score_range[:, None].clamp(min=1e-6)
            idle = 0 if bool((gain > settings.tolerance).any()) else idle + 1
            if idle >= settings.patience:
                return

    @cached_property
    def _areas(self) -> Tensor:
        """The areas of all masks, (N, A)."""
        start = self.starts[0]
        # A tensor created in the caller's inference mode could not be part of a graph later.
        with outside_inference():
            areas = torch.tensor(self.areas, device=start.device, dtype=start.dtype)
        return areas.expand(start.shape[:2])

    def _make_masks(self, softness: float) -> MakeMasks:
        areas = self._areas

        def make(fields: Tensor, some: slice | None) -> Tensor:
            candidates = fields.shape[1] // areas.shape[1]
            own = areas.repeat(1, candidates) if some is None else areas.flatten()[some, None]
            smooth = self.smooth(fields)
            return area_constrained_mask(standardize(smooth).flatten(2), own, softness).view_as(smooth)

        return make

    def _scored(self, objective: MaskObjective, candidates: Sequence[Tensor], softness: float) -> BestMasks:
        """Return the best masks of candidate fields (N, A, ...), area by area."""
        fields = torch.cat(list(candidates), 1)
        # The binary mask is where the field is highest, so that only the best ones need a smooth mask.
        best = scored(objective, self.smooth(fields), fields, self.areas)
        return best._replace(smooth=self._make_masks(softness)(best.parameters, None))

    def _earlier_best(self, objective: MaskObjective) -> BestMasks | None:
        earlier = self.earlier
        if earlier is None or earlier.areas.tolist() != torch.tensor(self.areas).tolist():
            return None
        return BestMasks(earlier.masks, objective.score(earlier.masks), earlier.smooth, earlier.parameters)


class GridUpsampling:
    """Upsample fields on a coarse grid to the pixels by a Gaussian.

    Parameters
    ----------
    size : (int, int)
        H and W.
    settings : AreaSettings
        Grid and sigma; the grid is at most as fine as the pixels.
    like : Tensor
        Any tensor with the dtype and device of the fields.
    """

    def __init__(self, size: tuple[int, int], settings: AreaSettings, like: Tensor) -> None:
        self.grid = (min(size[0], settings.grid), min(size[1], settings.grid))
        # Tensors created in the caller's inference mode could not be part of a graph later.
        with outside_inference(), torch.no_grad():
            self.rows, self.columns = (
                gaussian_matrix(extent, cells, settings.sigma * extent, like)
                for extent, cells in zip(size, self.grid, strict=True)
            )

    def __call__(self, coarse: Tensor) -> Tensor:
        """Return fields (N, A, H, W) from coarse ones (N, A, h, w)."""
        with outside_autocast(coarse):
            return self.rows @ coarse @ self.columns.T


def area_constrained_mask(field: Tensor, areas: Tensor, softness: float) -> Tensor:
    """Return the masks sigmoid((u + b) / T) whose mean is the area.

    Parameters
    ----------
    field : Tensor, (..., positions)
        u; gradients flow to it, also through b.
    areas : Tensor, (...)
        In (0, 1].
    softness : float
        T, above 0.

    Returns
    -------
    Tensor, (..., positions)
        In [0, 1].
    """
    with torch.no_grad():
        low = -field.amax(-1) - 16 * softness
        high = -field.amin(-1) + 16 * softness
        for _ in range(16):
            middle = (low + high) / 2
            small = torch.sigmoid((field + middle[..., None]) / softness).mean(-1) < areas
            low, high = torch.where(small, middle, low), torch.where(small, high, middle)
        shift = (low + high) / 2
    rough = torch.sigmoid((field + shift[..., None]) / softness)
    slope = (rough * (1 - rough)).mean(-1).detach() / softness
    # A step of Newton makes b exact and gives it its gradient, db/du = -m (1 - m) / sum m (1 - m).
    shift = shift + (areas - rough.mean(-1)) / slope.clamp(min=1e-6)
    return torch.sigmoid((field + shift[..., None]) / softness)


def standardize(field: Tensor) -> Tensor:
    """Scale fields (N, A, ...) to mean 0 and standard deviation 1; constant ones become 0."""
    flat = field.flatten(2)
    flat = flat - flat.mean(2, keepdim=True)
    # The root of 0 has an infinite gradient, which would make all gradients NaN: clamp below the root.
    return (flat / flat.square().mean(2, keepdim=True).clamp(min=1e-12).sqrt()).view_as(field)


def discs(grid: tuple[int, int], scan: int, like: Tensor) -> list[Tensor]:
    """Return coarse fields (h, w) whose level sets are discs around ``scan`` x ``scan`` positions of the image."""
    down, right = ((torch.arange(cells, device=like.device) + 0.5) / cells for cells in grid)
    centers = [(i + 0.5) / scan for i in range(scan)]
    return [torch.exp(-8 * ((down[:, None] - y) ** 2 + (right - x) ** 2)) for y in centers for x in centers]


def _resumed(start: SearchResult, shape: tuple[int, ...]) -> Tensor:
    """Return the coarse fields of an earlier result; ValueError if they have another shape."""
    if tuple(start.parameters.shape) != shape:
        raise ValueError(
            f"expected a start with parameters of shape {shape}, a result for the same images, areas, layer and "
            f"grid, got {tuple(start.parameters.shape)}"
        )
    return start.parameters


def coarse_map(start: Tensor, count: int, grid: tuple[int, int], like: Tensor) -> Tensor:
    """Return coarse fields (N or 1, 1, h, w) in [0, 1] of a mask or map; a constant one becomes a disc."""
    shape = ("h", "w") if dimensions(start, 3) == 2 else ("N", "h", "w")
    maps = tensor(start, "start", shape, finite=True, like=like)
    maps = maps[None] if maps.ndim == 2 else maps
    if len(maps) not in (1, count):
        raise ValueError(f"expected a start (h, w), or one for each of {count} images, got {len(maps)}")
    coarse = F.adaptive_avg_pool2d(maps[:, None], grid)
    low, high = coarse.amin((2, 3), keepdim=True), coarse.amax((2, 3), keepdim=True)
    return torch.where(high > low, (coarse - low) / (high - low), discs(grid, 1, like)[0])
