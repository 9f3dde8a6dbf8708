"""IoU per image: its distribution for a concept, and examples at its deciles (Fong and Vedaldi 2018, section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.concepts.probe_data import concept_index
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer
from xai_widgets.data.base import Concept


@dataclass(frozen=True, eq=False, repr=False)
class Deciles(ShortRepr):
    """Examples at equal steps of the distribution of the IoUs above 0 of one concept.

    Attributes
    ----------
    concept : str
        Name of the concept.
    images : Tensor, (n,)
        Indices of the images, by ascending IoU; empty if every IoU is 0.
    ious : Tensor, (n,)
        Their IoUs.
    zeros : float
        Share of the images of the concept with an IoU of 0.
    mean, std : float
        Mean and standard deviation of the IoUs above 0; NaN if there are none.
    """

    concept: str
    images: Tensor
    ious: Tensor
    zeros: float
    mean: float
    std: float


@dataclass(frozen=True, eq=False, repr=False)
class PerImage(ShortRepr):
    """IoU of the predicted mask with the label mask of each pair of an image and a concept.

        IoU(x, c; M) = |M(x) and L_c(x)| / |M(x) or L_c(x)|      (equation 3)

    Attributes
    ----------
    concepts : tuple of Concept
        The concepts.
    pairs : Tensor, (P, 2)
        Image and concept of each pair.
    ious : Tensor, (P,)
        IoU of each pair, in [0, 1]; NaN for a concept without a predictor.
    """

    concepts: tuple[Concept, ...]
    pairs: Tensor
    ious: Tensor

    def of(self, concept: int | str | Concept) -> tuple[Tensor, Tensor]:
        """Return the images that contain a concept, and their IoUs, each (n,)."""
        chosen = self.pairs[:, 1] == concept_index(self.concepts, concept)
        return self.pairs[chosen, 0], self.ious[chosen]

    def deciles(self, concept: int | str | Concept, steps: int = 10) -> Deciles:
        """Return one image at each decile of the IoUs above 0.

        Parameters
        ----------
        concept : int, str or Concept
            The concept.
        steps : int, default 10
            Number of steps; the last one is the largest IoU. With fewer IoUs above 0, an image may repeat.
        """
        steps = integer(steps, "steps", low=1)
        name = self.concepts[concept_index(self.concepts, concept)].name
        images, ious = self.of(concept)
        images, ious = images[ious.isfinite()], ious[ious.isfinite()]
        above, order = ious[ious > 0].sort()
        images = images[ious > 0][order]
        zeros = float((ious == 0).float().mean()) if len(ious) else float("nan")
        if not len(above):
            return Deciles(name, images, above, zeros, float("nan"), float("nan"))
        at = torch.tensor([-(-step * len(above) // steps) - 1 for step in range(1, steps + 1)])
        mean, std = float(above.mean()), float(above.std(correction=0))
        return Deciles(name, images[at], above[at], zeros, mean, std)
