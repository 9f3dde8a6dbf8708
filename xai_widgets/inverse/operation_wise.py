"""Operation-wise inverse (Kwon 2021, chapter 4): invert each operation, linearized at its activation.

From a class score or an activation to the image, with x_bar the activations of the forward pass and phi' the
linearized operation:

    phi'(x) = d phi / dx (x_bar) (x - x_bar) + phi(x_bar)                             eq. 4.3
    phi^-1(y) = argmin_x |phi'(x) - y|_2 + l1 |x|_1 + l2 |x|_2,   0 <= x <= x_bar     eq. 4.4, 4.6 and 4.7
    R^+ y = R^T y   for a ReLU, whose matrix R has a 1 for each active neuron         eq. 4.8
    M^+ y = M^T y   for a max-pool, whose matrix M selects the maxima                 section 4.3.1

l1 = l2 = 0 for linear layers, which are usually over-determined. The starting value is y = S_c e_c, the score of the
class, or an activation. A residual block is linearized as one operation. With A = d phi / dx (x_bar) the operation
before its ReLU, the costs here are

    |A x - y|^2                                  for a linear layer
    |R (A x - s y)|^2 + l1 |x|_1 + l2 |x|^2      for a convolution or block,   s = <phi(x_bar), y> / |y|^2

The dissertation leaves these details open. Among the readings compared in docs/results/settings.md, this one reproduces
other methods well:

- A x without the constant of eq. 4.3: with biases, a zero activation would have a non-zero inverse, which would
  dominate the maps.
- R: the dissertation uses active neurons only. With inactive neurons the maps are similar, but less is left of them. A
  linear layer keeps its zeros, since it would not be over-determined without them.
- Squared norms: with plain norms and these weights little is left, and the maps are less similar.
- s scales y towards the forward activation. Without it, less is left from unit to unit, and the l1 term dominates. A
  single non-zero activation has s = 1. Chapter 5 rescales similarly (algorithm 2, line 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import number
from xai_widgets.errors import warn
from xai_widgets.inverse.chain import (
    EXACT,
    Chain,
    check_settings,
    exact_step,
    exact_unit_inverse,
    from_solution,
    probability_fields,
    solve,
    target_classes,
    weighted_fraction,
)
from xai_widgets.inverse.descent import Descent, Problem
from xai_widgets.inverse.interval import Empty, Interval, empty_color
from xai_widgets.inverse.inverted import Inverted, UnitInverse
from xai_widgets.inverse.solver import Cost, SolverSettings, broadcast_like, picked
from xai_widgets.inverse.start import Start, goal_from_start
from xai_widgets.inverse.twice import TwiceDifferentiable
from xai_widgets.inverse.unit import Unit
from xai_widgets.inverse.units import units_after
from xai_widgets.ops.resize import resize_map


@dataclass(frozen=True, kw_only=True, repr=False)
class OperationWise(Inverted):
    """Operation-wise inverses so far, one for each image (L = 1); see :class:`Inverted`.

    Attributes
    ----------
    l1, l2 : float
        Weights of the l1 and l2 terms.
    """

    l1: float
    l2: float

    def saliency(self) -> Tensor:
        """Return the sum over the channels of the latest |x^ - m|, resized to the images, (N, H, W)."""
        if self.x.ndim != 5:
            raise ValueError(
                f"expected an inverse that reached a spatial unit, got one up to {self.units[-1].unit!r}; continue the "
                "run or choose another unit for `until`"
            )
        return resize_map(self.units[-1].map[:, 0], (self.image.shape[2], self.image.shape[3]))


@without_inference_mode
def operation_wise(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    start: Start | None = None,
    l1: float = 0.1,
    l2: float = 0.9,
    until: str | None = None,
    empty: Empty = "mean",
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[OperationWise]:
    """Invert a class score or an activation, operation by operation.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        N images of any kind.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    start : (str, Tensor) or (str, int or None, (int, int) or None), optional
        Part of the output of a unit to invert in place of a class: the name of the unit, with a tensor (N, ...) between
        0 and its activation, or with a channel and a position, (row, column), where None means all.
    l1, l2 : float, defaults 0.1 and 0.9
        Weights of the l1 and l2 terms of spatial operations, at least 0.
    until : str, optional
        Name of the unit at whose output the inverse ends. Default: the image.
    empty : {"mean", "black"}, default "mean"
        The color of a pixel of which nothing is left: the mean color, which the network sees as zeros, or black.
    settings : SolverSettings, optional
        Iterations and tolerance of the solver.
    batch_size : int, default 64
        Number of images to solve at once.

    Returns
    -------
    Run of OperationWise
        Snapshots after each operation and while one is solved, so that the run can be stopped at any time. A warning
        names the operations that did not converge, or a class whose score is below 0: its inverse shows what pulls the
        score down.

    Raises
    ------
    TypeError
        If `model` is not an ImageModel, `settings` not a SolverSettings, or `start` of another form.
    ValueError
        For a network that is not a chain of units, a weight below 0, an unknown unit or class, with the nearest one,
        both a target and a start, or a start outside the activation.
    """
    settings = check_settings(settings)
    l1, l2 = number(l1, "l1", low=0), number(l2, "l2", low=0)
    if target is not None and start is not None:
        raise ValueError("expected a target or a start, got both; omit one of them")
    batch_size = check_batch_size(batch_size)
    model, target = targeted(model, target)
    chain = Chain.of(model, x)
    last = len(chain.units) - units_after(chain.units, until)
    if start is None:
        classes = target_classes(model, chain, target)
        assert classes is not None
        index = classes[:, None]
        # S_c e_c: the score of the class, and 0 for all others.
        y = torch.zeros_like(chain.output).scatter(1, index, chain.output.gather(1, index))
        first = len(chain.units) - 1
    else:
        goal = goal_from_start(start, chain)
        classes, first, y = None, goal.index, goal.value
    if first < last:
        raise ValueError(
            f"expected until before the start, got {until!r}; choose a unit between the image and the start"
        )
    initial = OperationWise(
        units=(),
        image=chain.inputs[0],
        empty=empty_color(model, chain.inputs[0], empty),
        target=classes,
        original_output=chain.output,
        l1=l1,
        l2=l2,
        notes=(*chain.notes(), *_negative(chain, classes)),
        **probability_fields(model),
    )

    tried = {"units": 0, "rounds": 0}

    def play() -> Iterator[OperationWise]:
        latest, descent = initial, Descent(chain, first, y)
        for index in reversed(range(last, first + 1)):
            problem, inverse = descent.problem(), None
            if problem is not None:
                empty = chain.empty(initial.empty, index)
                for inverse in _invert(problem, empty, l1, l2, settings, batch_size):
                    if inverse is None:
                        tried["rounds"] += 1
                        yield latest
            found = descent.step(inverse, (len(y), 1))
            latest = replace(latest, units=(*latest.units, found))
            if index == 0:
                latest = replace(latest, output=chain.run(found.x[:, 0], batch_size)[:, None])
            tried["units"], tried["rounds"] = tried["units"] + 1, 0
            yield latest
        latest.warn()

    searched = sum(unit.kind not in EXACT for unit in chain.units[last : first + 1])
    parts = -(-len(chain.inputs[0]) // batch_size)
    rounds = -(-settings.steps // settings.window)

    sizes = [chain.inputs[index].numel() for index in reversed(range(last, first + 1))]

    def fraction() -> float:
        # A unit counts by its values, however many rounds it takes: most converge long before the last one.
        return weighted_fraction(sizes, tried["units"], tried["rounds"] / (parts * rounds))

    return Run(
        play(),
        total=first + 1 - last + searched * parts * rounds,
        name="operation-wise inverse",
        fraction=fraction,
    )


def _negative(chain: Chain, classes: Tensor | None) -> tuple[str, ...]:
    """Return a note on the images whose score is below 0, and warn about them."""
    if classes is None:
        return ()
    below = (chain.output.gather(1, classes[:, None])[:, 0] < 0).nonzero()[:, 0].tolist()
    if not below:
        return ()
    which = (
        ""
        if len(classes) == 1
        else f" of image{'s' * (len(below) > 1)} {', '.join(str(n + 1) for n in below)}"
    )
    note = f"the score of the class{which} is below 0, so the operation-wise inverse shows what pulls it down"
    warn(note)
    return (note,)


def _invert(
    problem: Problem,
    empty: Tensor | None,
    l1: float,
    l2: float,
    settings: SolverSettings,
    batch_size: int,
) -> Iterator[UnitInverse | None]:
    """Yield None while in progress and finally the inverse (N, 1, ...)."""
    unit, x_bar, y = problem.unit, problem.x_bar, problem.y
    every = torch.arange(len(x_bar), device=x_bar.device)
    if unit.kind in EXACT:
        yield exact_unit_inverse(unit, exact_step(unit, x_bar, empty, every, y)[:, None], x_bar, empty)
        return
    interval = Interval(x_bar, empty)
    with torch.no_grad():
        activation = unit.run(x_bar)
    if unit.relu:
        # R^T y: inactive neurons stay inactive.
        y = y * (activation > 0)
    if unit.kind == "convolution":
        # Activations such as those of SiLU can be negative.
        on = activation != 0
        nearest = (activation * y).flatten(1).sum(1) / _squares(y).clamp(min=1e-24)
        y = y * broadcast_like(nearest, y)
        cost = _cost(unit, x_bar, interval, y, on, l1, l2)
    else:
        cost = _cost(unit, x_bar, interval, y, torch.ones_like(y, dtype=torch.bool), 0.0, 0.0)
    # The inverse of 0 is 0.
    upper = interval.upper * broadcast_like((y != 0).flatten(1).any(1), x_bar)
    # The cost is convex, so any starting point leads to the minimum; from 0, x stays 0 where A^T y is 0.
    for solution in solve(cost, torch.zeros_like(x_bar), upper, settings, batch_size):
        if solution is None:
            yield None
        else:
            yield from_solution(unit, replace(solution, x=interval.x(solution.x, every)), x_bar, empty)


def _cost(
    unit: Unit, x_bar: Tensor, interval: Interval, y: Tensor, counts: Tensor, l1: float, l2: float
) -> Cost:
    """Return the cost of eq. 4.4, over the outputs in the mask `counts`, of x - m for the empty activation m."""
    with torch.no_grad():
        nothing, first = torch.zeros_like(x_bar[:1]), torch.zeros(1, dtype=torch.long, device=x_bar.device)
        constant = unit.before_relu(interval.x(nothing, first)) if unit.affine else None

    def cost(z: Tensor, index: Tensor) -> Tensor:
        if constant is None:
            value = _derivative(unit, picked(x_bar, index), interval.direction(z, index))
        else:
            value = unit.before_relu(interval.x(z, index)) - constant
        off = (value - picked(y, index)) * picked(counts, index)
        return _squares(off) + l1 * z.flatten(1).abs().sum(1) + l2 * _squares(z)

    return cost


def _squares(x: Tensor) -> Tensor:
    """Return the squared Euclidean norm of each element of a batch, (B,)."""
    return x.flatten(1).square().sum(1)


def _derivative(unit: Unit, x_bar: Tensor, x: Tensor) -> Tensor:
    """Return A x, the Jacobian of the unit before its ReLU times x."""
    # The derivative of u -> A^T u, times x: two backward passes.
    with torch.enable_grad(), no_autocast(x.device):
        at = x_bar.clone().requires_grad_()
        with TwiceDifferentiable():
            value = unit.before_relu(at)
        u = torch.zeros_like(value).requires_grad_()
        (transposed,) = torch.autograd.grad(value, at, u, create_graph=True)
        try:
            (product,) = torch.autograd.grad(transposed, u, x, create_graph=x.requires_grad)
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented" not in str(error) and "does not require grad" not in str(error):
                raise
            raise ValueError(
                f"expected units whose gradient can be differentiated, got {unit.name!r} "
                f"({str(error).partition(chr(10))[0].rstrip('.')}); use layer_wise, which does not need it"
            ) from error
    return product
