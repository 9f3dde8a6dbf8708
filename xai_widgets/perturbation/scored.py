"""What the results of extremal perturbations share: masks of given areas, and what the network says of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from xai_widgets.perturbation.areas import Found
from xai_widgets.perturbation.objective import Variant

AnyMasks = TypeVar("AnyMasks", bound="ScoredMasks")


@dataclass(frozen=True, kw_only=True)
class ScoredMasks:
    """The best masks so far, one per image and area, and the scores of every class under them.

    Attributes
    ----------
    masks : Tensor, (N, A, ...)
        0 or 1, each cut at exactly its area: what is preserved, or deleted.
    smooth : Tensor, (N, A, ...)
        The masks in [0, 1] before the cut.
    class_scores : Tensor, (N, A, 2, classes)
        Of every class, before softmax: where the mask is preserved, and where it is deleted.
    end_scores : Tensor, (N, 2, classes)
        Of every class, before softmax: of what is wholly perturbed, and of what is not at all.
    target : Tensor, (N,)
        The classes.
    variant : {"preserve", "delete", "hybrid"}
        What was searched.
    tau : float
        Of a*.
    fields : Tensor
        What the search goes on from.
    """

    masks: Tensor
    smooth: Tensor
    class_scores: Tensor
    end_scores: Tensor
    target: Tensor
    variant: Variant
    tau: float
    fields: Tensor

    @property
    def scores(self) -> Tensor:
        """Phi(m_a (x) x), (N, A), before softmax."""
        return self._of_target(self.class_scores[:, :, 0])

    @property
    def complement_scores(self) -> Tensor:
        """Phi((1 - m_a) (x) x), (N, A), before softmax."""
        return self._of_target(self.class_scores[:, :, 1])

    @property
    def perturbed(self) -> Tensor:
        """Scores of what is wholly perturbed, (N,)."""
        return self._of_target(self.end_scores)[:, 0]

    @property
    def whole(self) -> Tensor:
        """Scores of the images themselves, (N,)."""
        return self._of_target(self.end_scores)[:, 1]

    @property
    def enough(self) -> Tensor:
        """Which areas are enough, (N, A) of booleans.

        Enough is Phi(m_a (x) x) >= tau Phi(x), equations 3 and 10. For the variant "delete", where the mask shows
        what is taken away, it is Phi((1 - m_a) (x) x) at or below the score of what is wholly perturbed.
        """
        if self.variant == "delete":
            return self.complement_scores <= self.perturbed[:, None]
        return self.scores >= self.tau * self.whole[:, None]

    def found(self: AnyMasks, best: Found) -> AnyMasks:
        """The result with other masks, the best so far, of which all scores are there."""
        return replace(
            self,
            masks=best.masks,
            smooth=best.smooth.clamp(0, 1),
            class_scores=torch.stack([best.verdict.inside, best.verdict.outside], dim=2),
            fields=best.fields,
        )

    def _of_target(self, scores: Tensor) -> Tensor:
        """The score of the class, (N, M), of scores (N, M, classes)."""
        return scores.gather(2, self.target.view(-1, 1, 1).expand(*scores.shape[:2], 1))[..., 0]

    def _smallest(self, areas: Tensor) -> Tensor:
        """The smallest of the areas (A,) that is enough, (N,); NaN where none is."""
        first = self.enough.int().argmax(1)
        return torch.where(self.enough.any(1), areas[first].to(self.class_scores.dtype), torch.nan)
