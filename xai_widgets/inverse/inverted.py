"""The results of both inverses: inverted units, and how much of an image is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.errors import warn
from xai_widgets.inverse.ranking import among_the_best


@dataclass(frozen=True, repr=False)
class UnitInverse(ShortRepr):
    """The inverse at the input of one unit.

    Attributes
    ----------
    unit : str
        Name of the unit.
    kind : {"convolution", "linear", "pool", "reshape", "average", "scores"}
        Kind of the unit.
    x : Tensor, (N, L, ...)
        Inverse x^ for each image and each of L weights, between 0 and x_bar.
    x_bar : Tensor, (N, ...)
        Activation of the forward pass.
    cost : Tensor, (N, L)
        Value of the minimized cost; 0 for units that are inverted exactly.
    iterations : Tensor, (N, L)
        Number of iterations.
    change : Tensor, (N, L)
        Estimated remaining decrease of the cost, as a share of it; infinite if there is no estimate.
    converged : Tensor, (N, L)
        Whether the remaining decrease is within the tolerance; see :mod:`xai_widgets.inverse.solver`.
    empty : Tensor, (1, ...), or None
        Values of the input of which nothing is left, such as a mean color; 0 for None.
    """

    unit: str
    kind: str
    x: Tensor
    x_bar: Tensor
    cost: Tensor
    iterations: Tensor
    change: Tensor
    converged: Tensor
    empty: Tensor | None = None

    @property
    def kept(self) -> Tensor:
        """Difference between x^ and the empty values, (N, L, ...)."""
        return self.x if self.empty is None else self.x - self.empty

    @property
    def map(self) -> Tensor:
        """Sum of |x^ - empty| over the channels, (N, L, h, w); ValueError if the input of the unit is not spatial."""
        if self.x.ndim != 5:
            raise ValueError(
                f"expected a unit with a spatial input (C, h, w), got {self.unit!r} with input "
                f"{tuple(self.x_bar.shape[1:])}; a map needs positions"
            )
        return self.kept.abs().sum(2)


@dataclass(frozen=True, kw_only=True, repr=False)
class Inverted(ShortRepr):
    """Inverses of the units so far, from the output towards the image; L of them for each image.

    With m the color of `empty`, alpha = (x^ - m) / (x - m) in [0, 1] is the share of a pixel that is left, the mean
    over the channels in which it differs from m; 0 where it does not.

    Attributes
    ----------
    units : tuple of UnitInverse
        Inverted units, the last of the network first.
    image : Tensor, (N, C, H, W)
        The images x.
    empty : Tensor, (C,)
        The color m of a pixel of which nothing is left.
    target : Tensor, (N,), or None
        The classes, if classes were inverted.
    original_output : Tensor, (N, ...)
        Output Phi(x) of the network; for a classifier the scores before softmax.
    output : Tensor, (N, L, ...), or None
        Output Phi(x^) for the inverse; None until the image is reached.
    activation : {"softmax", "sigmoid"} or None
        Function from scores to probabilities; None if the outputs are used unchanged.
    has_probabilities : bool
        False if the outputs are plain numbers, such as those of a regression.
    notes : tuple of str
        Limits of the inverse, such as a unit that spans most of the network.
    """

    units: tuple[UnitInverse, ...]
    image: Tensor
    empty: Tensor
    target: Tensor | None
    original_output: Tensor
    output: Tensor | None = None
    activation: Literal["softmax", "sigmoid"] | None = "softmax"
    has_probabilities: bool = True
    notes: tuple[str, ...] = ()

    @property
    def x(self) -> Tensor:
        """Latest inverse x^, (N, L, ...), at the input of the last inverted unit; finally (N, L, C, H, W)."""
        if not self.units:
            raise ValueError("expected at least one inverted unit, got none; continue the run")
        return self.units[-1].x

    @property
    def alpha(self) -> Tensor:
        """Share of each pixel that is left, (N, L, H, W) in [0, 1]; ValueError until the image is reached."""
        self._final_output()
        color = self.empty[:, None, None]
        whole = (self.image - color)[:, None]
        differs = whole != 0
        share = torch.where(differs, (self.x - color) / torch.where(differs, whole, 1), 0).clamp(0, 1)
        return share.sum(2) / differs.sum(2).clamp(min=1)

    @property
    def mean_alpha(self) -> Tensor:
        """Mean of alpha, (N, L) in [0, 1]; ValueError until the image is reached."""
        return self.alpha.mean((2, 3))

    @property
    def probability(self) -> Tensor:
        """Probability of the class for x^, (N, L); its score if the outputs are plain numbers.

        ValueError without a class, or until the image is reached.
        """
        index = self._classes().view(-1, 1, 1).expand(-1, self.x.shape[1], 1)
        scores = self._final_output()
        if self.activation is not None:
            scores = scores.softmax(2) if self.activation == "softmax" else scores.sigmoid()
        return scores.gather(2, index)[..., 0]

    @property
    def reidentified(self) -> Tensor:
        """Whether the network assigns x^ to the class, (N, L).

        The class has the highest score, or for independent labels a probability above 0.5. ValueError without a class
        or probabilities, or until the image is reached.
        """
        return self._among_the_best(1)

    @property
    def reidentified_top5(self) -> Tensor:
        """Whether the class is among the five best for x^, (N, L); for independent labels as `reidentified`."""
        return self._among_the_best(5)

    def _among_the_best(self, count: int) -> Tensor:
        output, classes = self._final_output(), self._classes()
        if not self.has_probabilities:
            raise ValueError("expected a network with probabilities, got one whose outputs are plain numbers")
        each = classes[:, None].expand(output.shape[:2])
        return among_the_best(output, each, self.probability, count, labels=self.activation == "sigmoid")

    @property
    def unconverged(self) -> list[str]:
        """Descriptions of the units that did not converge, with the estimated remaining decrease of their cost."""
        if not self.units:
            return []
        # Minus infinity where all have converged.
        left = [torch.where(unit.converged, -torch.inf, unit.change).max() for unit in self.units]
        return [
            f"{unit.unit} ({_remaining(change)})"
            for unit, change in zip(self.units, torch.stack(left).tolist(), strict=True)
            if change > -math.inf
        ]

    def saliency(self) -> Tensor:
        """Return the mean of alpha over all L inverses, (N, H, W); ValueError until the image is reached."""
        return self.alpha.mean(1)

    def _final_output(self) -> Tensor:
        if self.output is None:
            raise ValueError(
                "expected an inverse that reached the image, got a partial one; continue the run"
            )
        return self.output

    def _classes(self) -> Tensor:
        if self.target is None:
            raise ValueError("expected the inverse of a class, got one without a class; pass a target")
        return self.target

    def warn(self) -> None:
        """Warn about units that did not converge, and about images for which the inverse is 0."""
        any_left = [unit.kept.flatten(1).any(1) for unit in self.units]
        for unit, left in zip(self.units, torch.stack(any_left).tolist() if any_left else [], strict=True):
            if not all(left):
                which = f", for image {left.index(False) + 1} of {len(left)}" if any(left) else ""
                warn(
                    f"the inverse is 0 everywhere from the input of {unit.unit!r} on{which}, so nothing of the "
                    "image is left to show"
                )
                break
        unconverged = self.unconverged
        if unconverged:
            warn(
                f"{len(unconverged)} of {len(self.units)} units did not converge: {', '.join(unconverged)}; "
                "increase `steps` in SolverSettings"
            )


def _remaining(share: float) -> str:
    """Return a description of the estimated remaining decrease of a cost."""
    return f"cost may still fall by {share:.2g} of itself" if share < 1 else "cost has not settled"
