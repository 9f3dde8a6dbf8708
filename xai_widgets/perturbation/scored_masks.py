"""Masks with their scores: results of extremal perturbations, and of scoring given masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr

Variant = Literal["preserve", "delete", "hybrid", "contrastive"]

#: Objectives that need the masks where they are preserved alone.
PRESERVING = ("preserve", "contrastive")

AnyResult = TypeVar("AnyResult", bound="SearchResult")


class MaskScores(NamedTuple):
    """Scores of masks (N, A, ...).

    Attributes
    ----------
    values : Tensor, (N, A)
        Value of the objective; higher is better.
    inside, outside : Tensor, (N, A, classes)
        Scores of all classes where the mask is preserved and where it is deleted; NaN if not computed.
    """

    values: Tensor
    inside: Tensor
    outside: Tensor


class BestMasks(NamedTuple):
    """The best masks that a search has found so far.

    Attributes
    ----------
    masks : Tensor, (N, A, ...)
        Binary masks.
    scores : MaskScores
        Their scores.
    smooth : Tensor, (N, A, ...)
        The masks before they were binarized.
    parameters : Tensor, (N, A, ...)
        Parameters of the smooth masks, from which the search can resume.
    """

    masks: Tensor
    scores: MaskScores
    smooth: Tensor
    parameters: Tensor


@dataclass(frozen=True, kw_only=True, repr=False)
class ScoredMasks(ShortRepr):
    """Binary masks, A for each of N images, and the scores of all classes under them, before softmax.

    Attributes
    ----------
    masks : Tensor, (N, A, ...)
        0 or 1.
    class_scores : Tensor, (N, A, 2, classes)
        Where the mask is preserved, and where it is deleted.
    end_scores : Tensor, (N, 2, classes)
        Of the fully perturbed image, and of the image itself.
    target : Tensor, (N,)
        The classes.
    """

    masks: Tensor
    class_scores: Tensor
    end_scores: Tensor
    target: Tensor

    @property
    def scores(self) -> Tensor:
        """Phi(m_a (x) x), (N, A), the score of the class where the mask is preserved."""
        return self._target_scores(self.class_scores[:, :, 0])

    @property
    def complement_scores(self) -> Tensor:
        """Phi((1 - m_a) (x) x), (N, A), the score of the class where the mask is deleted."""
        return self._target_scores(self.class_scores[:, :, 1])

    @property
    def perturbed(self) -> Tensor:
        """Scores of the class for the fully perturbed images, (N,)."""
        return self._target_scores(self.end_scores)[:, 0]

    @property
    def whole(self) -> Tensor:
        """Scores of the class for the images themselves, (N,)."""
        return self._target_scores(self.end_scores)[:, 1]

    def _target_scores(self, scores: Tensor) -> Tensor:
        """Return the scores of the class, (N, M), of scores (N, M, classes)."""
        return scores.gather(2, self.target.view(-1, 1, 1).expand(*scores.shape[:2], 1))[..., 0]


@dataclass(frozen=True, kw_only=True, repr=False)
class SearchResult(ScoredMasks):
    """The best masks of a search so far, each binarized at exactly its area.

    Attributes
    ----------
    areas : Tensor, (A,)
        Shares of the positions that the masks hold, ascending.
    smooth : Tensor, (N, A, ...)
        The masks in [0, 1] before they were binarized.
    variant : {"preserve", "delete", "hybrid", "contrastive"}
        Objective of the search.
    tau : float
        Share of the score that is sufficient, for a*.
    parameters : Tensor
        Parameters of the smooth masks, from which a search can resume.
    """

    areas: Tensor
    smooth: Tensor
    variant: Variant
    tau: float
    parameters: Tensor

    @property
    def sufficient(self) -> Tensor:
        """Whether each area is sufficient, (N, A) booleans.

        The criterion is Phi(m_a (x) x) >= tau Phi(x), equations 3 and 10. For the variant "delete", where the mask is
        the deleted part, Phi((1 - m_a) (x) x) must be at most the score of the fully perturbed image.
        """
        if self.variant == "delete":
            return self.complement_scores <= self.perturbed[:, None]
        return self.scores >= self.tau * self.whole[:, None]

    def with_best(self: AnyResult, best: BestMasks) -> AnyResult:
        """Return this result with other masks, all of whose scores are computed."""
        return replace(
            self,
            masks=best.masks,
            smooth=best.smooth.clamp(0, 1),
            class_scores=torch.stack([best.scores.inside, best.scores.outside], dim=2),
            parameters=best.parameters,
        )

    def _smallest(self, sizes: Tensor) -> Tensor:
        """Return the smallest of the sizes (A,) that is sufficient, (N,); NaN where none is."""
        first = self.sufficient.int().argmax(1)
        return torch.where(self.sufficient.any(1), sizes[first].to(self.class_scores.dtype), torch.nan)
