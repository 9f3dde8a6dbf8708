"""Layer-wise inverse (Kwon 2021, chapter 5): the activations of each unit that produce the inverse of the next one.

From the output to the image, unit by unit, with x_bar the activations of the forward pass:

    x^_i = argmin_x |phi_i(x) - x^_(i+1)|_2 + lambda R(x),   0 <= x <= x_bar_i     eq. 5.5
    x^_i = s z,   0 <= z <= |x_bar_i|, with the signs s of x_bar_i, where activations such as those of SiLU are negative
    x^_1 = m + a (x_bar_1 - m),   0 <= a <= 1, for the image, with R(|x^_1 - m|)
    R(x) = |x (1 - r)|_2,   r = sum over channels of x^_(i+1), divided by its maximum     eq. 5.6
    R(x) = |x|_2                                         for linear units, eq. 5.10
    x^_i = M^+ x^_(i+1)                                  for max-pools, eq. 5.9
    x^_n = argmin_x log sum_(i != c) exp(w^i - w^c)      for the scores w of class c, eq. 5.12

This is the smooth form of eq. 5.12; the dissertation also approximates it by the largest w^i - w^c. A unit with a bias
first scales its target to the norm of the forward activation, |x_bar_(i+1)| (algorithm 2, line 3, where the indices are
misprinted). The networks of the dissertation see normalized images, in which the mean color m is 0. Black is a strong
input of theirs, so that pixels would not fade to it. Norms are not squared, so that the support of the inverse shrinks
with lambda as in the dissertation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, choice, number, numbers
from xai_widgets.inverse.chain import (
    EXACT,
    Chain,
    check_output,
    check_settings,
    exact_step,
    exact_unit_inverse,
    from_solution,
    norms,
    probability_fields,
    resolved,
    solve,
    starting_point,
    target_classes,
    weighted_fraction,
)
from xai_widgets.inverse.descent import Descent, Problem
from xai_widgets.inverse.interval import Empty, Interval, empty_color
from xai_widgets.inverse.inverted import Inverted, UnitInverse
from xai_widgets.inverse.solver import Cost, SolverSettings, broadcast_like, picked
from xai_widgets.inverse.start import Box, Goal, Start, goal_from_box, goal_from_start
from xai_widgets.inverse.units import units_after
from xai_widgets.ops.resize import resize_map

Regularizer = Literal["activation", "l1", "l2"]

#: From no regularization to the point where the published inverses begin to lose the class.
LAMBDAS = (0.0, 0.2, 0.4, 0.7)


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerWise(Inverted):
    """Layer-wise inverses so far, one for each lambda; see :class:`Inverted`.

    Attributes
    ----------
    lam : Tensor, (L,)
        Values of lambda, ascending.
    regularizer : {"activation", "l1", "l2"}
        Regularizer R of the spatial units.
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
    start: Start | None = None,
    box: Box | None = None,
    lam: float | Sequence[float] = LAMBDAS,
    regularizer: Regularizer = "activation",
    until: str | None = None,
    empty: Empty | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[LayerWise]:
    """Invert a network unit by unit, for several values of lambda at once.

    Parameters
    ----------
    model : ImageModel or nn.Module
        A classifier, or a plain module that takes images in [0, 1].
    x
        N images of any kind; for a plain module as tensors.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class. Not available for a plain module.
    output : Tensor, (N, ...), optional
        Output to invert in place of a class. Default for a plain module: its own output.
    start : (str, Tensor) or (str, int or None, (int, int) or None), optional
        Part of the output of a unit to invert in place of a class: the name of the unit, with a tensor (N, ...) between
        0 and its activation, or with a channel and a position, (row, column), where None means all.
    box : (int, int, int, int), optional
        Part of the output of a network to images to invert: top, left, height and width in pixels. The output is to be
        0 outside of it.
    lam : float or sequence of float, default (0, 0.2, 0.4, 0.7)
        Values of lambda, at least 0, ascending.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        Regularizer R of the spatial units. Linear units use |x|_2, or |x|_1 with "l1".
    until : str, optional
        Name of the unit at whose output the inverse ends. Default: the image.
    empty : {"mean", "black"}, optional
        The color of a pixel of which nothing is left. Default: the mean color of an ImageModel, which its network sees
        as zeros; black for a plain module.
    settings : SolverSettings, optional
        Iterations and tolerance of the solver.
    batch_size : int, default 64
        Number of inverses, images times lambdas, to solve at once.

    Returns
    -------
    Run of LayerWise
        Snapshots after each unit and while one is solved, so that the run can be stopped at any time. A warning names
        the units that did not converge.

    Raises
    ------
    TypeError
        If `model` is not a module, or `settings` not a SolverSettings.
    ValueError
        For a network that is not a chain of units, a lambda below 0, an unknown regularizer, unit or class, with the
        nearest one, several of target, output, start and box, an output of another shape, or a start or a box
        outside the activation.

    Notes
    -----
    An output, a start or a box that is a part of the activation is inverted as it is given: no target is scaled to the
    norm of the forward activation, as those of a class or of the whole output are (algorithm 2, line 3).
    """
    settings = check_settings(settings)
    choice(regularizer, "regularizer", get_args(Regularizer))
    _check_one(target=target, output=output, start=start, box=box)
    batch_size = check_batch_size(batch_size)
    weights = check_lambda(lam)
    model, target = resolved(model, target)
    chain = Chain.of(model, x)
    inverted = units_after(chain.units, until)
    last, image = len(chain.units) - inverted, chain.inputs[0]
    classes = (
        target_classes(model, chain, target) if output is None and start is None and box is None else None
    )
    goal = _goal(chain, output, start, box)
    if goal.index < last:
        raise ValueError(
            f"expected until before the start, got {until!r}; choose a unit between the image and the start"
        )
    initial = LayerWise(
        lam=torch.tensor(weights, device=image.device),
        regularizer=regularizer,
        units=(),
        image=image,
        empty=empty_color(model, image, empty),
        target=classes,
        original_output=chain.output,
        notes=chain.notes(),
        **probability_fields(model),
    )

    tried = {"units": 0, "rounds": 0}

    def play() -> Iterator[LayerWise]:
        latest, lead = initial, (len(image), len(weights))
        y = goal.value[:, None].expand(-1, len(weights), *goal.value.shape[1:])
        descent = Descent(chain, goal.index, y.flatten(0, 1))
        for index in reversed(range(last, goal.index + 1)):
            problem, inverse = descent.problem(), None
            if problem is not None:
                step = _UnitStep(chain, index, problem, goal, latest, settings, batch_size)
                for inverse in step.invert():
                    if inverse is None:
                        tried["rounds"] += 1
                        yield latest
            found = descent.step(inverse, lead)
            latest = replace(latest, units=(*latest.units, found))
            if index == 0:
                reached = chain.run(found.x.flatten(0, 1), batch_size).unflatten(0, lead)
                latest = replace(latest, output=reached)
            tried["units"], tried["rounds"] = tried["units"] + 1, 0
            yield latest
        latest.warn()

    searched = sum(unit.kind not in EXACT for unit in chain.units[last : goal.index + 1])
    parts = -(-len(image) * len(weights) // batch_size)
    rounds = -(-settings.steps // settings.window)

    sizes = [chain.inputs[index].numel() for index in reversed(range(last, goal.index + 1))]

    def fraction() -> float:
        # A unit counts by its values, however many rounds it takes: most converge long before the last one.
        share = (tried["rounds"] + run.within_step) / (parts * rounds)
        return weighted_fraction(sizes, tried["units"], share)

    run = Run(
        play(), total=len(sizes) + searched * parts * rounds, name="layer-wise inverse", fraction=fraction
    )
    return run


def _check_one(**given: Any) -> None:
    """Raise ValueError unless at most one of these is given."""
    several = [name for name, value in given.items() if value is not None]
    if len(several) > 1:
        raise ValueError(f"expected one of {', '.join(given)}, got {' and '.join(several)}; omit the others")


def _goal(chain: Chain, output: Tensor | None, start: Start | None, box: Box | None) -> Goal:
    """Return the value to invert, the whole output by default."""
    if start is not None:
        return goal_from_start(start, chain)
    if box is not None:
        return goal_from_box(box, chain)
    if output is not None:
        return Goal(len(chain.units) - 1, check_output(output, chain), chain.output)
    return Goal(len(chain.units) - 1, chain.output)


class _UnitStep:
    """Inverse of one unit for all images and lambdas."""

    def __init__(
        self,
        chain: Chain,
        index: int,
        problem: Problem,
        goal: Goal,
        so_far: LayerWise,
        settings: SolverSettings,
        batch_size: int,
    ) -> None:
        self.unit, self.x_bar, self.y_bar = problem.unit, problem.x_bar, problem.y_bar
        self.empty = chain.empty(so_far.empty, index)
        self.biased = self.unit.bias or chain.biased(so_far.empty, index)
        self.settings, self.batch_size, self.regularizer = settings, batch_size, so_far.regularizer
        self.lead = (len(self.x_bar), len(so_far.lam))
        self.lam = so_far.lam.repeat(self.lead[0])
        #: Index of the image of each element.
        self.image = torch.arange(self.lead[0], device=self.x_bar.device).repeat_interleave(self.lead[1])
        self.y, self.goal = problem.y, goal
        #: The variable of the solver: the activation, or how far a pixel is from the empty color.
        self.interval = Interval(self.x_bar, self.empty)
        self.target = so_far.target if self.unit.kind == "scores" else None
        self.numbers = not so_far.has_probabilities
        #: Whether the classes are independent labels, so that the others are not alternatives.
        self.labels = so_far.activation == "sigmoid" or self.y_bar.shape[1] == 1

    def invert(self) -> Iterator[UnitInverse | None]:
        """Yield None while in progress and finally the inverse."""
        if self.unit.kind in EXACT:
            x = exact_step(self.unit, self.x_bar, self.empty, self.image, self.y)
            yield exact_unit_inverse(self.unit, x.unflatten(0, self.lead), self.x_bar, self.empty)
            return
        cost = self._scores_cost(self.target) if self.target is not None else self._cost()
        start, upper = self.interval.z(starting_point(self.unit, self.x_bar)), self.interval.upper
        for solution in solve(cost, start[self.image], upper[self.image], self.settings, self.batch_size):
            if solution is None:
                yield None
            else:
                found = replace(solution, x=self.interval.x(solution.x, self.image))
                yield from_solution(self.unit, found, self.x_bar, self.empty)

    def _run(self, z: Tensor, index: Tensor) -> Tensor:
        """Return the output of the unit for the variable of the solver, of the elements with an index."""
        return self.unit.run(self.interval.x(z, self.image[index]))

    def _cost(self) -> Cost:
        """Return the cost of eq. 5.5, with the target scaled to the norm of the forward activation."""
        y = self.y
        if self.biased:
            norm = self.goal.norms(self.y_bar, y, self.image)
            y = y * broadcast_like(norm / norms(y).clamp(min=1e-12), y)
        outside = self._outside(y)

        def cost(z: Tensor, index: Tensor) -> Tensor:
            off = norms(self._run(z, index) - picked(y, index))
            if self.regularizer == "l1":
                return off + self.lam[index] * z.flatten(1).abs().sum(1)
            weighted = z if outside is None else z * picked(outside, index)
            return off + self.lam[index] * norms(weighted)

        return cost

    def _outside(self, y: Tensor) -> Tensor | None:
        """Return 1 - r in the resolution of the input, (B, 1, h, w); None if the unit is not spatial.

        Of several outputs, r is the largest. It is (B, n) for several inputs, and 0 for those without positions.
        """
        outputs = [each for each in self.unit.outputs.split(y) if each.ndim == 4]
        inputs = self.unit.inputs.split(self.x_bar)
        if self.regularizer != "activation" or not outputs or all(x.ndim < 4 for x in inputs):
            return None
        # Only the output of a network, such as a residual, can be negative; large magnitudes count.
        summed = [each.abs().sum(1) for each in outputs]
        relative = [each / each.amax((1, 2), keepdim=True).clamp(min=1e-12) for each in summed]
        outside = []
        for x in inputs:
            if x.ndim < 4:
                outside.append(x.new_ones(len(y), *x.shape[1:]))
                continue
            resized = [resize_map(r, (x.shape[2], x.shape[3])) for r in relative]
            outside.append(1 - torch.stack(resized).amax(0)[:, None])
        if len(outside) > 1:
            shapes = self.unit.inputs.shapes
            outside = [each.expand(-1, *shape) for each, shape in zip(outside, shapes, strict=True)]
        return self.unit.inputs.join(outside)

    def _scores_cost(self, target: Tensor) -> Cost:
        """Return the cost of eq. 5.12; for independent labels the negative score, for plain numbers the deviation."""

        def cost(z: Tensor, index: Tensor) -> Tensor:
            scores, own = self._run(z, index), target[self.image[index], None]
            score = scores.gather(1, own)[:, 0]
            if self.numbers:
                off = (score - self.y_bar[self.image[index]].gather(1, own)[:, 0]).abs()
                return off + self.lam[index] * norms(z)
            if self.labels:
                return -score
            return scores.scatter(1, own, -torch.inf).logsumexp(1) - score

        return cost


def check_lambda(lam: float | Sequence[float]) -> list[float]:
    """Return the values of lambda as floats; ValueError unless they are ascending and at least 0."""
    refusal = f"expected lam as finite numbers of at least 0, got {brief(lam)}; use for example [0, 0.4]"
    try:
        weights = [float(lam)] if isinstance(lam, int | float) else numbers(lam, "lam")
    except TypeError:
        # A number of another library, or not a number.
        try:
            weights = [number(lam, "lam")]
        except (TypeError, ValueError) as error:
            raise ValueError(refusal) from error
    except ValueError as error:
        raise ValueError(refusal) from error
    if any(not (weight >= 0 and math.isfinite(weight)) for weight in weights):
        raise ValueError(refusal)
    if weights != sorted(set(weights)):
        raise ValueError(f"expected lam as ascending numbers, got {weights}; use {sorted(set(weights))}")
    return weights
