"""Monotonicity of evidence: whether the score rises with the area that is shown, up to the area that is enough.

Fong, Patrick and Vedaldi 2019; chapter 4 of Fong's thesis, equation 8. With m_a the best mask of area a:

    a_1 <= a_2  =>  Phi(m_a1 (x) x) <= Phi(m_a2 (x) x)   for all a_1, a_2 up to a*
    a* = min {a : Phi(m_a (x) x) >= Phi_0}
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.validation import brief, number, tensor


@dataclass(frozen=True)
class Monotonicity:
    """Which images show evidence that only grows.

    Attributes
    ----------
    monotone : Tensor, (N,)
        Whether equation 8 holds, bool.
    best : Tensor, (N,)
        Index of a* among the areas; the number of areas where none is enough, and all of them count.
    """

    monotone: Tensor
    best: Tensor

    @property
    def share(self) -> float:
        """Share of the images for which equation 8 holds."""
        return self.monotone.float().mean().item()


def monotonicity(areas: Tensor, scores: Tensor, reference: Tensor, *, tolerance: float = 0.0) -> Monotonicity:
    """Test equation 8.

    Parameters
    ----------
    areas : Tensor, (A,)
        Rising, in (0, 1], or numbers of channels.
    scores : Tensor, (N, A)
        Phi(m_a (x) x) of each image at each area.
    reference : Tensor, (N,)
        Phi_0, in units of the scores: that of the whole image in the published figure.
    tolerance : float, default 0.0
        By how much a score may fall from any smaller area and still be taken for equal; in units of the scores.

    Returns
    -------
    Monotonicity

    Raises
    ------
    ValueError
        If shapes do not fit, areas do not rise, or a score is not finite.
    """
    areas = tensor(areas, "areas", ("A",), finite=True)
    if not (areas.diff() > 0).all():
        raise ValueError(f"expected areas that rise, got {brief(areas.tolist())}")
    scores = tensor(scores, "scores", ("N", len(areas)), finite=True)
    reference = tensor(reference, "reference", (len(scores),), finite=True).to(scores.device)
    tolerance = number(tolerance, "tolerance", low=0)
    enough = scores >= reference[:, None]
    best = torch.where(enough.any(1), enough.to(torch.uint8).argmax(1), len(areas))
    # All pairs follow from the highest score so far, at each area.
    falls = scores < scores.cummax(1).values - tolerance
    counts = torch.arange(len(areas), device=scores.device) <= best[:, None]
    return Monotonicity(~(falls & counts).any(1), best)
