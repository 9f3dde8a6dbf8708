"""Minimize a cost over 0 <= x <= x_bar: an accelerated projected gradient that never lets the cost rise.

Algorithm 2 of the source is the projected gradient with Nesterov's momentum and a step that can diverge. Here each
element of the batch has a step t of its own, found by backtracking, so that the bound of Beck and Teboulle 2009 holds:

    z = x + beta (x - x_before),   p = clip(z - t grad J(z), 0, x_bar)
    J(p) <= J(z) + <grad J(z), p - z> + |p - z|^2 / (2 t)                       (their equation 2.5)

The first t leads as far as the bounds are wide. One for which the bound is broken becomes the one for which it would
hold if J were quadratic along p - z: so the scale of the cost takes a few passes, and no iterations.

A p with a higher cost than x is not taken, and the momentum starts anew (O'Donoghue and Candes 2015), from where the
next step must lower the cost. What has converged leaves the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.validation import check_fields, integer, number

#: J of some elements of the batch: x (E, ...) and their index (E,), to (E,).
Cost = Callable[[Tensor, Tensor], Tensor]

#: A step grows by this factor where the bound held at once.
GROWTH = 1.25
#: Where it did not, the step shrinks at most by the first factor and at least by the second one.
SHRINKAGE = (1e-3, 0.8)
#: Of the step that would do if the cost were quadratic.
SAFETY = 0.95
#: How often a step may shrink in one iteration; after that nothing near x is better.
TRIES = 30


@dataclass(frozen=True)
class SolverSettings:
    """Settings of :func:`minimize`.

    Attributes
    ----------
    steps : int, default 100
        Iterations at most.
    tolerance : float, default 1e-3
        An element has converged when in ``window`` iterations its cost fell by less than this share of it.
    window : int, default 5
        Iterations.
    """

    steps: int = 100
    tolerance: float = 1e-3
    window: int = 5

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "window", low=1)
        check_fields(self, number, "tolerance", low=0)


@dataclass(frozen=True)
class Solution:
    """The best so far.

    Attributes
    ----------
    x : Tensor, (B, ...)
        Within its bounds.
    cost : Tensor, (B,)
        J(x); it never rises from one snapshot to the next.
    iterations : Tensor, (B,)
        How many each element took.
    change : Tensor, (B,)
        By which share of it the cost fell in the last ``window`` iterations.
    converged : Tensor, (B,)
        Whether that is below the tolerance.
    """

    x: Tensor
    cost: Tensor
    iterations: Tensor
    change: Tensor
    converged: Tensor


def minimize(cost: Cost, start: Tensor, upper: Tensor, settings: SolverSettings) -> Iterator[Solution]:
    """Minimize a cost of each element of a batch over 0 <= x <= upper.

    Parameters
    ----------
    cost : callable
        Differentiable.
    start : Tensor, (B, ...)
        Where to begin; it is clipped to the bounds.
    upper : Tensor, (B, ...)
        x_bar, at least 0.
    settings : SolverSettings
        When to end.

    Yields
    ------
    Solution
        After every ``settings.window`` iterations, and at the end.
    """
    count, device = len(start), start.device
    x = torch.minimum(start.clamp(min=0), upper)
    everything = torch.arange(count, device=device)
    with torch.no_grad():
        value = cost(x, everything).clone()
    before, momentum = x.clone(), torch.ones(count, device=device)
    step = torch.full((count,), torch.inf, device=device)
    marked = value.clone()
    change = torch.full_like(value, torch.inf)
    iterations = torch.zeros(count, dtype=torch.long, device=device)
    active = torch.ones(count, dtype=torch.bool, device=device)

    def solution() -> Solution:
        return Solution(x.clone(), value.clone(), iterations.clone(), change.clone(), ~active)

    for iteration in range(1, settings.steps + 1):
        index = everything[active]
        following = (1 + (1 + 4 * momentum[index] ** 2).sqrt()) / 2
        beta = (momentum[index] - 1) / following
        at = x[index]
        # The momentum may lead out of the bounds, where nothing is known of the cost.
        z = _clip(at + _wide(beta, at) * (at - before[index]), upper[index])
        p, lower, step[index] = _descend(cost, z, upper[index], index, step[index])
        taken = lower <= value[index]
        # Where the gradient and the way gone point against each other the momentum has overshot.
        overshot = ((z - p) * (p - at)).flatten(1).sum(1) > 0
        before[index] = at
        x[index] = torch.where(_wide(taken, at), p, at)
        value[index] = torch.where(taken, lower, value[index])
        momentum[index] = torch.where(taken & ~overshot, following, torch.ones_like(following))
        iterations[index] = iteration
        if iteration % settings.window == 0:
            change[index] = (marked[index] - value[index]) / marked[index].abs().clamp(min=1e-12)
            marked[index] = value[index]
            active[index] = change[index] > settings.tolerance
            if iteration == settings.steps or not bool(active.any()):
                break
            yield solution()
    yield solution()


def _descend(
    cost: Cost, z: Tensor, upper: Tensor, index: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The projected gradient steps p from z, their costs, and the steps that held."""
    # A backward pass in the caller's autocast would multiply in its precision.
    with outside_inference(), torch.enable_grad(), no_autocast(z.device):
        moved = z.detach().clone().requires_grad_()
        costs = cost(moved, index)
        gradient = torch.autograd.grad(costs.sum(), moved)[0]
    at = costs.detach()
    wide = upper.flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
    p, lower, step = z.clone(), at.clone(), torch.where(step.isinf(), wide.clamp(1e-12, 1e6), step)
    left = torch.arange(len(z), device=z.device)
    with torch.no_grad():
        for attempt in range(TRIES):
            t = step[left]
            trial = _clip(z[left] - _wide(t, z) * gradient[left], upper[left])
            reached = cost(trial, index[left])
            way = (trial - z[left]).flatten(1)
            squared = way.square().sum(1)
            line = at[left] + (gradient[left].flatten(1) * way).sum(1)
            # Rounding of single precision must not look like a broken bound.
            held = reached <= line + squared / (2 * t) + 1e-6 * at[left].abs()
            done = left[held]
            p[done], lower[done] = trial[held], reached[held]
            if attempt == 0:
                step[done] *= GROWTH
            fitting = SAFETY * squared / (2 * (reached - line).clamp(min=1e-30))
            step[left] = torch.where(held, step[left], t * (fitting / t).clamp(*SHRINKAGE))
            left = left[~held]
            if len(left) == 0:
                break
    return p, lower, step


def _clip(x: Tensor, upper: Tensor) -> Tensor:
    return torch.minimum(x.clamp(min=0), upper)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) beside a tensor (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
