"""The layer-wise inverse: which activations of a unit, and at last which pixels, give the output of the next one.

Chapter 5 of the source. From the output down to the image, unit by unit, with x_bar the activation of the forward pass:

    x^_i = argmin_x |phi_i(x) - x^_(i+1)|_2 + lambda R(x),   0 <= x <= x_bar_i                 equation 5.5
    R(x) = |x (1 - r)|_2,   r = sum over channels of x^_(i+1), divided by its maximum             equation 5.6
    R(x) = |x|_2                                                          linear units, equation 5.10
    x^_i = M^+ x^_(i+1)                                                   max-pools, equation 5.9
    x^_n = argmin_x log sum_(i != c) exp(w^i - w^c)                       scores w of class c, equation 5.12

Of the forms of equation 5.12 this is the smooth one, of which the largest of w^i - w^c is an approximation. A unit with
a bias first brings its target to the length of the forward activation, |x_bar_(i+1)| (line 3 of algorithm 2, where the
indices are misprinted). Norms are plain, not squared: so the support of the inverse falls with lambda as it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, choice, number, numbers
from xai_widgets.inverse.chain import (
    EXACT,
    Chain,
    Inverted,
    UnitInverse,
    begin_at,
    beside,
    check_output,
    check_settings,
    classes_of,
    exact_inverse,
    exactly,
    kind_of,
    length,
    solve,
    solved,
)
from xai_widgets.inverse.solver import Cost, SolverSettings
from xai_widgets.inverse.units import units_after

Regularizer = Literal["activation", "l1", "l2"]

#: From no weight to where the published inverses begin to lose the class.
LAMBDAS = (0.0, 0.2, 0.4, 0.7)


@dataclass(frozen=True, kw_only=True)
class LayerWise(Inverted):
    """The inverses so far, one for each lambda, from the output down; see :class:`Inverted`.

    Attributes
    ----------
    lam : Tensor, (L,)
        lambda, ascending.
    regularizer : {"activation", "l1", "l2"}
        R of the units with places.
    """

    lam: Tensor
    regularizer: Regularizer


@without_inference_mode
def layer_wise(
    model: ImageModel | nn.Module,
    x: Any,
    target: Target = None,
    *,
    output: Tensor | None = None,
    lam: float | Sequence[float] = LAMBDAS,
    regularizer: Regularizer = "activation",
    until: str | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[LayerWise]:
    """Invert a network unit by unit, for several lambda at once.

    Parameters
    ----------
    model : ImageModel or nn.Module
        A classifier; or, as a plain module, a network that takes images in [0, 1].
    x
        Images of any kind, N of them; for a plain module as tensors.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class; a plain module has none.
    output : Tensor, (N, ...), optional
        What is inverted in place of a class. Default for a plain module: its own output.
    lam : float or sequence of float, default (0, 0.2, 0.4, 0.7)
        lambda, at least 0, ascending.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        R of the units with places; linear units have |x|_2, with "l1" |x|_1.
    until : str, optional
        End at the output of this unit. Default: at the image.
    settings : SolverSettings, optional
        When a unit is done.
    batch_size : int, default 64
        Images times lambda that are solved at once.

    Returns
    -------
    Run of LayerWise
        A snapshot for each unit, and others under way, so that it can be stopped. A warning names the units that did
        not converge.

    Raises
    ------
    TypeError
        For what is no network, or settings that are none.
    ValueError
        For a network that is no chain of units, a lambda below 0, an unknown regularizer, unit or class, with the
        nearest one, both a target and an output, or an output of another shape.
    """
    settings = check_settings(settings)
    choice(regularizer, "regularizer", get_args(Regularizer))
    if target is not None and output is not None:
        raise ValueError("a target and an output were given, wanted one of them")
    batch_size = check_batch_size(batch_size)
    weights = check_lambda(lam)
    chain = Chain.of(model, x)
    inverted = units_after(chain.units, until)
    classes = classes_of(model, chain, target) if output is None else None
    wanted = chain.output if output is None else check_output(output, chain)
    image = chain.inputs[0]
    made = LayerWise(
        lam=torch.tensor(weights, device=image.device),
        regularizer=regularizer,
        units=(),
        image=image,
        target=classes,
        original_output=chain.output,
        notes=chain.notes(),
        **kind_of(model),
    )

    def play() -> Iterator[LayerWise]:
        latest = made
        y = wanted[:, None].expand(-1, len(weights), *wanted.shape[1:])
        for index in reversed(range(len(chain.units) - inverted, len(chain.units))):
            step = _Step(chain, index, y, latest, settings, batch_size)
            for inverse in step.invert():
                if inverse is None:
                    yield latest
                else:
                    y, latest = inverse.x, replace(latest, units=(*latest.units, inverse))
            if index == 0:
                reached = chain.run(y.flatten(0, 1), batch_size).unflatten(0, y.shape[:2])
                latest = replace(latest, output=reached)
            yield latest
        latest.warn()

    searched = sum(unit.kind not in EXACT for unit in chain.units[-inverted:])
    parts = -(-len(image) * len(weights) // batch_size)
    rounds = -(-settings.steps // settings.window)
    return Run(play(), total=inverted + searched * parts * rounds, name="layer-wise inverse")


class _Step:
    """One unit, inverted for all images and lambda."""

    def __init__(
        self,
        chain: Chain,
        index: int,
        y: Tensor,
        so_far: LayerWise,
        settings: SolverSettings,
        batch_size: int,
    ) -> None:
        self.unit, self.x_bar = chain.units[index], chain.inputs[index]
        self.y_bar = chain.output if index + 1 == len(chain.units) else chain.inputs[index + 1]
        self.settings, self.batch_size, self.regularizer = settings, batch_size, so_far.regularizer
        self.lead = (len(self.x_bar), len(so_far.lam))
        self.lam = so_far.lam.repeat(self.lead[0])
        #: Of each element, its image.
        self.image = torch.arange(self.lead[0], device=y.device).repeat_interleave(self.lead[1])
        self.y = y.flatten(0, 1)
        self.target = so_far.target if self.unit.kind == "scores" else None
        self.numbers = not so_far.has_probabilities
        #: Whether the other classes are no alternatives to a class.
        self.labels = so_far.activation == "sigmoid" or self.y_bar.shape[1] == 1

    def invert(self) -> Iterator[UnitInverse | None]:
        """None under way, and the inverse at last."""
        if self.unit.kind in EXACT:
            x = exact_inverse(self.unit, self.x_bar[self.image], self.y)
            yield exactly(self.unit, x.unflatten(0, self.lead), self.x_bar)
            return
        cost = self._scores_cost(self.target) if self.target is not None else self._cost()
        start = begin_at(self.x_bar)
        for solution in solve(
            cost, start[self.image], self.x_bar[self.image], self.settings, self.batch_size
        ):
            yield None if solution is None else solved(self.unit, solution, self.x_bar)

    def _cost(self) -> Cost:
        """Equation 5.5, with the target as long as the forward activation."""
        y = self.y
        if self.unit.bias:
            y = y * beside(length(self.y_bar)[self.image] / length(y).clamp(min=1e-12), y)
        outside = self._outside(y)

        def cost(x: Tensor, index: Tensor) -> Tensor:
            off = length(self.unit.run(x) - y[index])
            if self.regularizer == "l1":
                return off + self.lam[index] * x.flatten(1).abs().sum(1)
            weighted = x if outside is None else x * outside[index]
            return off + self.lam[index] * length(weighted)

        return cost

    def _outside(self, y: Tensor) -> Tensor | None:
        """1 - r, (B, 1, h, w) in the places of the input; None where there are no places to tell apart."""
        if self.regularizer != "activation" or y.ndim < 4 or self.x_bar.ndim < 4:
            return None
        # Only the output of a network can be negative, such as a residual: what is large there counts.
        summed = y.abs().sum(1, keepdim=True)
        r = summed / summed.amax((2, 3), keepdim=True).clamp(min=1e-12)
        return 1 - F.interpolate(r, tuple(self.x_bar.shape[2:]), mode="bilinear", align_corners=False)

    def _scores_cost(self, target: Tensor) -> Cost:
        """Equation 5.12; of a label the only alternative is its absence, and a plain number is to stay as it is."""

        def cost(x: Tensor, index: Tensor) -> Tensor:
            scores, own = self.unit.run(x), target[self.image[index], None]
            score = scores.gather(1, own)[:, 0]
            if self.numbers:
                off = (score - self.y_bar[self.image[index]].gather(1, own)[:, 0]).abs()
                return off + self.lam[index] * length(x)
            if self.labels:
                return -score
            return scores.scatter(1, own, -torch.inf).logsumexp(1) - score

        return cost


def check_lambda(lam: float | Sequence[float]) -> list[float]:
    """The weights as numbers; ValueError unless they are ascending and at least 0."""
    try:
        weights = [float(lam)] if isinstance(lam, int | float) else numbers(lam, "lam")
    except TypeError:
        # A number of another library, or nothing of the kind.
        try:
            weights = [number(lam, "lam")]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"lam is {brief(lam)}, wanted finite numbers of at least 0 such as [0, 0.4]"
            ) from error
    except ValueError as error:
        raise ValueError(
            f"lam is {brief(lam)}, wanted finite numbers of at least 0 such as [0, 0.4]"
        ) from error
    if any(not (weight >= 0 and math.isfinite(weight)) for weight in weights):
        raise ValueError(f"lam is {weights}, wanted finite numbers of at least 0 such as [0, 0.4]")
    if weights != sorted(set(weights)):
        raise ValueError(f"lam is {weights}, wanted different numbers that ascend: {sorted(set(weights))}")
    return weights
