"""Extremal perturbations: of all smooth masks of an area, the one with the largest effect on a class.

Fong, Patrick and Vedaldi 2019; Fong, "Understanding Convolutional Neural Networks", 2020, chapter 4. With Phi the score
of a class before softmax, m (x) x the perturbation operator (:mod:`~xai_widgets.ops.perturb`) and a the area of a mask
m:

    preserve      max_m Phi(m (x) x)                            equation 2
    delete        min_m Phi((1 - m) (x) x)
    hybrid        max_m Phi(m (x) x) - Phi((1 - m) (x) x)
    contrastive   max_m Phi(m (x) x) - max_(j != c) Phi_j(m (x) x)
    a* = min {a : Phi(m_a (x) x) >= Phi_0},   Phi_0 = tau Phi(x)                       equation 3

The contrastive objective, the margin of the class c over the best of the others j, is that of TorchRay, the authors'
implementation. The default search is our own (:mod:`~xai_widgets.perturbation.area_search`): masks of exactly the area,
starting from the best of a set of discs. ``ExtremalSettings.torchray()`` selects that of TorchRay
(:mod:`~xai_widgets.perturbation.torchray_search`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.cost import affordable
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, number
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.perturb import Perturbation
from xai_widgets.ops.resize import resize_map
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.mask_search import SearchSettings, check_areas
from xai_widgets.perturbation.objective import ImageObjective
from xai_widgets.perturbation.scored_masks import SearchResult, Variant
from xai_widgets.perturbation.torchray_search import TorchRaySettings

#: The areas whose masks make up the published saliency map.
AREAS = (0.025, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class ExtremalSettings(AreaSettings):
    """Settings of :func:`extremal` for our search; :meth:`torchray` returns those for the search of TorchRay."""

    @staticmethod
    def torchray() -> TorchRaySettings:
        """Return the settings of TorchRay, and with them its search."""
        return TorchRaySettings()


@dataclass(frozen=True, kw_only=True, repr=False)
class Extremal(SearchResult):
    """The best masks so far, (N, A, H, W), and their scores; see :class:`SearchResult` for the other attributes.

    Attributes
    ----------
    size : (int, int)
        H and W of the images; with ``layer`` the masks have the resolution of the layer.
    """

    size: tuple[int, int]

    @property
    def area_errors(self) -> Tensor:
        """Area of each smooth mask minus a, (N, A); the binary masks are exact to less than one pixel."""
        return self.smooth.mean((2, 3)) - self.areas

    @property
    def best_area(self) -> Tensor:
        """a*, (N,), the smallest sufficient area; NaN where none is (equation 3)."""
        return self._smallest(self.areas)

    def saliency(self) -> Tensor:
        """Sum of the masks over the areas, blurred by 9 % of the short side: (N, H, W) (section 4.2)."""
        return gaussian_blur(resize_map(self.masks.sum(1), self.size), 0.09 * min(self.size))


@run_method(
    title="Extremal perturbation",
    source="Fong et al. 2019",
    formula="max over smooth masks m of area a of S_c(m (x) x)",
    cost=Cost(
        1, 0, "steps of each area", 1, 1, note="and forward ones to choose a start and to score binary masks"
    ),
    guarantees="masks of exactly their area",
    limits="The search may end in a local optimum; the map sums a few areas, one mask each.",
    quick={"areas": (0.1, 0.3), "settings": ExtremalSettings(steps=4, scan=2)},
    signed=False,
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
    settings: SearchSettings | None = None,
    start: Extremal | Tensor | None = None,
    tau: float = 1.0,
    batch_size: int | None = None,
) -> Run[Extremal]:
    """Find the mask of each area that best preserves, or deletes, the score of a class, or its margin.

    The search is deterministic: on one device the same call gives the same masks.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, searched at once.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    areas : sequence of float, default (0.025, 0.05, 0.1, 0.2)
        Ascending shares of the image, each above 0 and at most 1, at least a pixel apart.
    variant : {"preserve", "delete", "hybrid", "contrastive"}, default "preserve"
        Whether the mask keeps the score high where it is preserved, low where it is deleted, both, or keeps its margin
        over the best other score.
    perturbation : {"blur", "fade"}, default "blur"
        Perturbation of the image where it is not preserved: blurred, or faded to black.
    layer : str, optional
        Mask the activation of this layer, all channels alike, instead of the image. Every path through the network
        must pass it exactly once; its name is one of ``model.layers()``.
    settings : ExtremalSettings or TorchRaySettings, optional
        Default: ``ExtremalSettings()``, with fewer steps for a network whose passes are expensive, see
        :meth:`ExtremalSettings.within` and :mod:`xai_widgets.core.cost`; ``ExtremalSettings.torchray()`` for the
        search of TorchRay.
    start : Extremal or Tensor (h, w) or (N, h, w), optional
        An earlier result to resume from, or a mask or map to begin with, higher inside; a constant one is replaced by
        a disc in the middle. Not with ``ExtremalSettings.torchray()``.
    tau : float, default 1.0
        Share of the score that is sufficient, for a*.
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.

    Returns
    -------
    Run of Extremal
        Every snapshot holds the best masks so far.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel, or ``settings`` are of another kind.
    ValueError
        For areas that no mask can have, an unknown variant, perturbation or layer, with the nearest one, a margin of a
        single score, or a start that does not fit.
    """
    if settings is not None and not isinstance(settings, SearchSettings):
        raise TypeError(
            f"expected settings to be ExtremalSettings() or ExtremalSettings.torchray(), got {brief(settings)}"
        )
    tau = number(tau, "tau")
    model, x, target = prepare(model, x, target)
    objective = ImageObjective(model, x, target, variant, perturbation, layer, batch_size)
    height, width = objective.size
    shares = check_areas(areas, height * width)
    if settings is None:
        passes = affordable(model, x.shape[2:], least=1, most=10**6, each=len(shares))
        settings = ExtremalSettings().within(passes)
    search = settings.image_search(shares, x.new_empty(1).expand(len(x), len(shares), height, width), start)

    def steps() -> Iterator[Extremal]:
        empty = x.new_empty(0)
        result = Extremal(
            areas=torch.tensor(shares, device=x.device),
            masks=empty,
            smooth=empty,
            class_scores=empty,
            target=target,
            end_scores=objective.end_scores,
            variant=variant,
            tau=tau,
            size=(x.shape[2], x.shape[3]),
            parameters=empty,
        )
        for best in search.run(objective):
            objective.complete(best)
            yield result.with_best(best)

    return Run(steps(), total=search.snapshots, name=f"extremal perturbation, {variant}")
