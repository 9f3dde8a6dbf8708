"""Monotonicity of evidence: whether the score rises with the area that is shown, up to the sufficient area.

Fong et al. 2019; chapter 4 of Fong 2020, equation 8. With m_a the best mask of area a:

    a_1 <= a_2  =>  Phi(m_a1 (x) x) <= Phi(m_a2 (x) x)   for all a_1, a_2 up to a*
    a* = min {a : Phi(m_a (x) x) >= Phi_0}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.validation import brief, number, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.deletion import FILLS, Curve, curves_of

#: Steps of the insertion curve of the registered metric: few enough that a fall between two steps is not noise.
STEPS = 20


@dataclass(frozen=True)
class Monotonicity:
    """Monotonicity of each image.

    Attributes
    ----------
    monotone : Tensor, (N,)
        Whether equation 8 holds, bool.
    best : Tensor, (N,)
        Index of a* among the areas; A if no area is sufficient, in which case all areas count.
    """

    monotone: Tensor
    best: Tensor

    @property
    def share(self) -> float:
        """Fraction of the images for which equation 8 holds."""
        return self.monotone.float().mean().item()

    @property
    def can_fail(self) -> Tensor:
        """Whether at least two areas are below a*, (N,) bool; equation 8 holds for all other images by definition."""
        return self.best >= 2

    @property
    def share_of_possible(self) -> float:
        """Fraction of the images in :attr:`can_fail` for which equation 8 holds; NaN if there are none."""
        return self.monotone[self.can_fail].float().mean().item()

    def __repr__(self) -> str:
        possible = int(self.can_fail.sum())
        return f"Monotonicity(share: {self.share:.0%}, images: {len(self.monotone)}, of which {possible} can fail)"


@checked_keywords
def monotonicity(areas: Tensor, scores: Tensor, reference: Tensor, *, tolerance: float = 0.0) -> Monotonicity:
    """Test equation 8.

    Parameters
    ----------
    areas : Tensor, (A,)
        Increasing; fractions of the pixels, or numbers of channels.
    scores : Tensor, (N, A)
        Phi(m_a (x) x) of each image at each area.
    reference : Tensor, (N,)
        Phi_0, in units of the scores; the score of the whole image in the published figure.
    tolerance : float, default 0.0
        Largest decrease from the score of any smaller area that still counts as equal, in units of the scores.

    Returns
    -------
    Monotonicity

    Raises
    ------
    ValueError
        If shapes do not match, areas do not increase, or a score is not finite.
    """
    areas = tensor(areas, "areas", ("A",), finite=True)
    if not (areas.diff() > 0).all():
        raise ValueError(f"expected increasing areas, got {brief(areas.tolist())}")
    scores = tensor(scores, "scores", ("N", len(areas)), finite=True)
    reference = tensor(reference, "reference", (len(scores),), finite=True).to(scores.device)
    tolerance = number(tolerance, "tolerance", low=0)
    enough = scores >= reference[:, None]
    best = torch.where(enough.any(1), enough.to(torch.uint8).argmax(1), len(areas))
    # Comparing with the highest score so far covers all pairs.
    falls = scores < scores.cummax(1).values - tolerance
    counts = torch.arange(len(areas), device=scores.device) <= best[:, None]
    return Monotonicity(~(falls & counts).any(1), best)


def _steps(explanation: Explanation) -> int:
    return min(STEPS, explanation.x[0, 0].numel())


def _points(explanation: Explanation) -> int:
    return 1 + _steps(explanation)


def _monotone(explanations: Sequence[Explanation]) -> list[float]:
    """Return 1 for each explanation whose insertion curve satisfies equation 8, else 0."""
    curve = curves_of(explanations, "insertion", steps=_steps(explanations[0]), fill=FILLS["insertion"])
    return curve_monotonicity(curve).monotone.float().tolist()


@metric(
    "monotonicity",
    title="Monotonicity",
    category="faithfulness",
    direction="higher",
    measures="share of the images whose probability never falls while pixels are added, in twenty steps, before it "
    "reaches that of the whole image",
    source="Fong et al. 2019",
    binary=True,
    several=_monotone,
    passes=_points,
)
def insertion_monotonicity(explanation: Explanation) -> float:
    """Return 1 if the insertion curve satisfies equation 8 with the score of the whole image, else 0."""
    return _monotone([explanation])[0]


def curve_monotonicity(curve: Curve) -> Monotonicity:
    """Test equation 8 on an insertion curve, without its first point, which shows no pixel."""
    return monotonicity(curve.fractions[1:], curve.scores[:, 1:], curve.scores[:, -1])
