"""Extremal perturbations: of all smooth masks of an area, the one that the network answers to most.

Fong, Patrick and Vedaldi 2019; chapter 4 of Fong's thesis. With Phi the score of a class before softmax, m (x) x the
perturbation operator (:mod:`~xai_widgets.ops.perturb`) and a the area of a mask m:

    preserve   max_m Phi(m (x) x)                            equation 2
    delete     min_m Phi((1 - m) (x) x)
    hybrid     max_m Phi(m (x) x) - Phi((1 - m) (x) x)
    a* = min {a : Phi(m_a (x) x) >= Phi_0},   Phi_0 = tau Phi(x)                       equation 3

The search is our own (:mod:`~xai_widgets.perturbation.areas`): masks of exactly the area, from the best of a set of
discs. ``ExtremalSettings.released()`` is the published one (:mod:`~xai_widgets.perturbation.max_convolution`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, dimensions, number, tensor
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.perturb import Perturbation
from xai_widgets.perturbation.areas import AreaSettings, Found, check_areas, search
from xai_widgets.perturbation.max_convolution import ReleasedSettings, released_search
from xai_widgets.perturbation.objective import MaskedImages, Variant
from xai_widgets.perturbation.scored import ScoredMasks

#: The areas whose masks make the published saliency map.
AREAS = (0.025, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class ExtremalSettings(AreaSettings):
    """Settings of :func:`extremal`; :meth:`released` are the published ones."""

    @staticmethod
    def released() -> ReleasedSettings:
        """The figures of the authors' released implementation, and its way to search."""
        return ReleasedSettings()


@dataclass(frozen=True, kw_only=True)
class Extremal(ScoredMasks):
    """The best masks so far, (N, A, H, W), and what :class:`ScoredMasks` says of them.

    Attributes
    ----------
    areas : Tensor, (A,)
        Shares of the image, ascending. With ``layer`` the masks have its resolution.
    size : (int, int)
        H and W of the images.
    """

    areas: Tensor
    size: tuple[int, int]

    @property
    def area_errors(self) -> Tensor:
        """How far the area of each smooth mask is from a, (N, A); that of the cut ones is less than one pixel."""
        return self.smooth.mean((2, 3)) - self.areas

    @property
    def best_area(self) -> Tensor:
        """a*, (N,), the smallest area that is enough; NaN where none is (equation 3)."""
        return self._smallest(self.areas)

    def saliency(self) -> Tensor:
        """Sum of the masks over the areas, blurred by 9 % of the short side: (N, H, W) (section 4.2)."""
        summed = self.masks.sum(1)
        if tuple(summed.shape[1:]) != self.size:
            summed = F.interpolate(summed[:, None], self.size, mode="bilinear", align_corners=False)[:, 0]
        return gaussian_blur(summed, 0.09 * min(self.size))


@run_method(
    title="Extremal perturbation",
    source="Fong et al. 2019",
    formula="max over smooth masks m of area a of S_c(m (x) x)",
    cost=Cost(
        1, 0, "steps of each area", 1, 1, note="and forward ones to choose a start and to score cut masks"
    ),
    guarantees="masks of exactly their area",
    limits="The search may end in a local optimum; the map sums a few areas, one mask each.",
)
@without_inference_mode
def extremal(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    areas: Sequence[float] = AREAS,
    variant: Variant = "preserve",
    perturbation: Perturbation = "blur",
    layer: str | None = None,
    settings: AreaSettings | ReleasedSettings | None = None,
    start: Extremal | Tensor | None = None,
    tau: float = 1.0,
    batch_size: int = 32,
) -> Run[Extremal]:
    """Find the mask of each area that preserves, or deletes, the score of a class best.

    Nothing in the search is random: on one device the same call gives the same masks.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, searched at once.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    areas : sequence of float, default (0.025, 0.05, 0.1, 0.2)
        Ascending shares of the image, each above 0 and at most 1, at least a pixel apart.
    variant : {"preserve", "delete", "hybrid"}, default "preserve"
        What a good mask does.
    perturbation : {"blur", "fade"}, default "blur"
        What the image becomes where it is not preserved.
    layer : str, optional
        Mask the activation of this layer, all channels alike, in place of the image. One that everything passes
        through once, by its name in ``model.layers()``.
    settings : ExtremalSettings or ReleasedSettings, optional
        Default: ``ExtremalSettings()``; ``ExtremalSettings.released()`` for the published search.
    start : Extremal or Tensor (h, w) or (N, h, w), optional
        An earlier result, to go on from, or a mask or map to begin with, higher inside; a constant one says nothing,
        and the search begins in the middle.
    tau : float, default 1.0
        Of a*: which share of the score is enough.
    batch_size : int, default 32
        Masked images per pass.

    Returns
    -------
    Run of Extremal
        Every snapshot holds the best masks so far.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel, or ``settings`` are none.
    ValueError
        For areas that no mask can have, an unknown variant, perturbation or layer, with the nearest one, or a start
        that does not fit.
    """
    settings = ExtremalSettings() if settings is None else settings
    if not isinstance(settings, AreaSettings | ReleasedSettings):
        raise TypeError(
            f"expected settings to be ExtremalSettings() or ExtremalSettings.released(), got {brief(settings)}"
        )
    batch_size, tau = check_batch_size(batch_size), number(tau, "tau")
    x, target = prepare(model, x, target)
    objective = MaskedImages(model, x, target, variant, perturbation, layer, settings, batch_size)
    height, width = objective.size
    shares = check_areas(areas, height * width)
    lead = (len(x), len(shares))
    if isinstance(settings, ReleasedSettings):
        if start is not None:
            raise ValueError(
                "a start was given with the released settings, which begin at all ones; leave it out"
            )
        found = released_search(objective, shares, settings, x.new_empty(1).expand(*lead, height, width))
        snapshots = -(-settings.steps // settings.every)
    else:
        starts = discs(objective, lead, settings.scan) if start is None else [_given(objective, lead, start)]
        found = search(objective, shares, settings, starts, _earlier(objective, shares, start))
        snapshots = -(-len(starts) // settings.scan) + -(-settings.steps // settings.every)

    def play() -> Iterator[Extremal]:
        made = Extremal(
            areas=torch.tensor(shares, device=x.device),
            masks=x.new_empty(0),
            smooth=x.new_empty(0),
            class_scores=x.new_empty(0),
            target=target,
            end_scores=objective.end_scores,
            variant=variant,
            tau=tau,
            size=(x.shape[2], x.shape[3]),
            fields=x.new_empty(0),
        )
        for best in found:
            objective.complete(best)
            yield made.found(best)

    return Run(play(), total=snapshots, name=f"extremal perturbation, {variant}")


def discs(objective: MaskedImages, lead: tuple[int, int], scan: int) -> list[Tensor]:
    """Coarse fields (N, A, h, w) whose level sets are discs around ``scan`` x ``scan`` places spread over the image."""
    down, right = (
        (torch.arange(cells, device=objective.levels.device) + 0.5) / cells for cells in objective.grid
    )
    places = [(i + 0.5) / scan for i in range(scan)]
    return [
        torch.exp(-8 * ((down[:, None] - y) ** 2 + (right - x) ** 2)).expand(*lead, -1, -1)
        for y in places
        for x in places
    ]


def _given(objective: MaskedImages, lead: tuple[int, int], start: Extremal | Tensor) -> Tensor:
    """Coarse fields (N, A, h, w) of an earlier result, or of a mask or map."""
    if isinstance(start, Extremal):
        if tuple(start.fields.shape) != (*lead, *objective.grid):
            raise ValueError(
                f"expected a start with fields of shape {(*lead, *objective.grid)}, a result for the same images, "
                f"areas, layer and grid, got {tuple(start.fields.shape)}"
            )
        return start.fields
    shape = ("h", "w") if dimensions(start, 3) == 2 else ("N", "h", "w")
    given = tensor(start, "start", shape, finite=True, like=objective.levels)
    given = given[None] if given.ndim == 2 else given
    if len(given) not in (1, lead[0]):
        raise ValueError(f"expected a start (h, w), or one for each of {lead[0]} images, got {len(given)}")
    coarse = F.adaptive_avg_pool2d(given[:, None], objective.grid).expand(*lead, -1, -1)
    low, high = coarse.amin((2, 3), keepdim=True), coarse.amax((2, 3), keepdim=True)
    return torch.where(high > low, (coarse - low) / (high - low), discs(objective, lead, 1)[0])


def _earlier(objective: MaskedImages, shares: list[float], start: Extremal | Tensor | None) -> Found | None:
    """The masks of an earlier result, judged anew, as its class or variant may have been another; None if none fit."""
    if not isinstance(start, Extremal) or start.areas.tolist() != torch.tensor(shares).tolist():
        return None
    return Found(start.masks, objective.judge(start.masks), start.smooth, start.fields)
