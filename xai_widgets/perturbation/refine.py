"""Improve a painted mask: of the masks of the same area, find the one that reduces the probability of a class most.

A mask m in [0, 1] replaces the image x by a fill b where it is 1, as a brush does: S((1 - m) x + m b). Gradient descent
from a painted mask ends in the nearest local optimum, so that discs on a grid are candidates and starts, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.cached import cached_property
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, tensor
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.area_search import AreaSearch, AreaSettings, GridUpsampling, coarse_map, discs
from xai_widgets.perturbation.mask_search import binarize, pixel_count
from xai_widgets.perturbation.objective import ScoreObjective

#: How a mask was found.
Origin = Literal["painted", "disc", "search"]

#: Discs from which the search starts, beside the painted mask.
STARTS = 2


class Effect(NamedTuple):
    """Score and probability of a class under a mask; both are the score for a network without probabilities."""

    score: float
    probability: float


@dataclass(frozen=True, repr=False)
class Refined(ShortRepr):
    """The best mask so far.

    Attributes
    ----------
    mask : Tensor, (H, W)
        1 where the image is replaced. It is the painted mask as long as no better one is found.
    origin : {"painted", "disc", "search"}
        How the mask was found.
    before, after : Effect
        Score and probability of the class under the painted mask, and under this one, which is never larger.
    """

    mask: Tensor
    origin: Origin
    before: Effect
    after: Effect


class FillObjective(ScoreObjective):
    """The negative log-probability of a class where masks (1, A, H, W) replace one image by a fill.

    Parameters
    ----------
    model : ImageModel
        The network. Without softmax and sigmoid its scores replace log-probabilities.
    x : Tensor, (1, C, H, W)
        The image.
    target : Tensor, (1,)
        The class.
    fill : callable
        Returns the fill (1, C, H, W) of a mask (H, W).
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.
    """

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        target: Tensor,
        fill: Callable[[Tensor], Tensor],
        batch_size: int | None,
    ) -> None:
        super().__init__(model, target, "delete", batch_size)
        self.fill = fill
        with outside_inference(), torch.no_grad():
            self.source = x.clone()

    @cached_property
    def end_scores(self) -> Tensor:
        """Log-probabilities (1, 2, classes) of the fill alone and of the image."""
        with outside_inference(), torch.no_grad():
            kept = torch.stack([torch.zeros_like(self.source[0, 0]), torch.ones_like(self.source[0, 0])])
            return self.masked_scores(kept, torch.zeros(2, dtype=torch.long))[None]

    def masked_scores(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Return log-probabilities (E, classes) of the image where masks (E, H, W) keep it."""
        with torch.no_grad():
            fills = torch.cat([self.fill(1 - kept) for kept in masks.detach()])
        shown = torch.lerp(fills, self.source, masks[:, None])
        scores = check_finite(self.model(shown, frozen=True, folded=True), self.model.name)
        if self.model.activation == "softmax":
            return scores.log_softmax(1)
        return torch.nn.functional.logsigmoid(scores) if self.model.activation == "sigmoid" else scores

    def effect(self, mask: Tensor) -> Effect:
        """Return score and probability of the class where a mask (H, W) replaces the image, in one plain pass."""
        self.checks.read()
        with outside_inference(), torch.no_grad():
            scores = check_finite(self.model(torch.lerp(self.source, self.fill(mask), mask)), self.model.name)
            target = int(self.target)
            return Effect(float(scores[0, target]), float(self.model.probabilities(scores)[0, target]))


@without_inference_mode
def refine(
    model: ImageModel,
    x: Any,
    mask: Tensor,
    target: Target = None,
    *,
    fill: Fill | Callable[[Tensor], Tensor] = "blur",
    settings: AreaSettings | None = None,
    batch_size: int | None = None,
) -> Run[Refined]:
    """Find a mask of the same area that reduces the probability of a class more than a painted one.

    The candidates are the painted mask, discs on a grid, and the masks that gradient descent finds from the painted
    mask and from the best discs. The best of them is returned, so that the result is never worse than the painted mask
    nor than any of the discs.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        One image of any kind.
    mask : Tensor, (H, W)
        The painted mask in [0, 1], 1 where the image is replaced.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    fill : see :func:`~xai_widgets.ops.fill.fill_image`, or callable, default "blur"
        Replaces the image where the mask is 1; a function of the mask (H, W) returns an image (1, C, H, W).
    settings : AreaSettings, optional
        Settings of the search; ``scan`` is the number of discs along each side. Default: ``AreaSettings(scan=9)``.
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.

    Returns
    -------
    Run of Refined
        Every snapshot holds the best mask so far.

    Raises
    ------
    ValueError
        For several images, or a mask of another size or with values outside [0, 1].
    """
    model, x, target = prepare(model, x, target)
    if len(x) != 1:
        raise ValueError(f"expected one image, got {len(x)}; refine the mask of each")
    painted = tensor(mask, "mask", tuple(x.shape[2:]), finite=True, like=x)
    if not bool(((painted >= 0) & (painted <= 1)).all()):
        raise ValueError(
            "expected a mask with values in [0, 1], got others; scale it, such as mask / mask.max()"
        )
    settings = AreaSettings(scan=9) if settings is None else settings
    objective = FillObjective(model, x, target, _as_function(fill, x), batch_size)
    search = _Refinement(objective, painted, settings)
    return Run(search.steps(), total=search.snapshots, name="refine the mask")


def _as_function(fill: Fill | Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function of the mask (H, W) that returns the fill (1, C, H, W)."""
    if callable(fill):
        return fill
    image = fill_image(fill, x)
    return lambda _mask: image


class _Refinement:
    """The candidates for one painted mask, in the order in which they are tried."""

    def __init__(self, objective: FillObjective, painted: Tensor, settings: AreaSettings) -> None:
        self.objective, self.painted = objective, painted
        # Each start is searched apart: an exchange between them would leave only one.
        self.settings = replace(settings, neighbor_exchange_every=settings.steps + 1)
        self.area = max(float(painted.mean()), 1 / painted.numel())
        like = painted.new_empty(1).expand(1, 1, *painted.shape)
        self.smooth = GridUpsampling((painted.shape[0], painted.shape[1]), settings, like)

    @property
    def snapshots(self) -> int:
        """Maximum number of snapshots: of the painted mask, of the rows of discs, and of the search."""
        return 2 + self.settings.scan + self.settings.steps

    def steps(self) -> Iterator[Refined]:
        """Yield the best mask so far, again and again; it never gets worse."""
        before = self.objective.effect(self.painted)
        best = Refined(self.painted, "painted", before, before)
        yield best
        if pixel_count(self.area, self.painted.numel()) == self.painted.numel():
            # All masks of this area are the same.
            return
        values: list[Tensor] = []
        for masks in self._rows():
            values.append(self.objective.score(masks).values[0])
            best = self._better(best, masks[0, int(values[-1].argmax())], "disc")
            yield best
        scan = self.settings.scan
        grid = discs(self.smooth.grid, scan, self.painted)
        order = torch.cat(values).argsort(descending=True, stable=True)[:STARTS].tolist()
        drawn = coarse_map(self.painted, 1, self.smooth.grid, self.painted)[0, 0]
        starts = torch.stack([drawn, *(grid[index] for index in order)])[None]
        areas = [self.area] * starts.shape[1]
        for found in AreaSearch(areas, self.settings, [starts], self.smooth).run(self.objective):
            best = self._better(best, found.masks[0, int(found.scores.values[0].argmax())], "search")
            yield best

    def _rows(self) -> Iterator[Tensor]:
        """Yield the masks (1, scan, H, W) of each row of discs."""
        scan = self.settings.scan
        fields = discs((self.painted.shape[0], self.painted.shape[1]), scan, self.painted)
        for row in range(scan):
            some = torch.stack(fields[row * scan : (row + 1) * scan])[None]
            yield binarize(some, [self.area] * scan)

    def _better(self, best: Refined, mask: Tensor, origin: Origin) -> Refined:
        """Return the mask with its effect if it is better than the best so far, by the number that is shown."""
        after = self.objective.effect(mask)
        # A tie of probabilities, such as two that round to 1, is decided by the score.
        if (after.probability, after.score) < (best.after.probability, best.after.score):
            return Refined(mask, origin, best.before, after)
        return best
