"""Minimize a cost over 0 <= x <= x_bar by an accelerated projected gradient method with a monotone cost.

Algorithm 2 of Kwon 2021 is a projected gradient method with Nesterov momentum and a step size that can diverge. Here
each element of the batch has its own step size t, found by backtracking, such that (Beck and Teboulle 2009, eq. 2.5)

    z = x + beta (x - x_before),   p = clip(z - t grad J(z), 0, x_bar)
    J(p) <= J(z) + <grad J(z), p - z> + |p - z|^2 / (2 t)

The first t spans the box of the bounds. If the inequality fails, t is set to the value for which it would hold if J
were quadratic along p - z, so adapting to the scale of the cost takes a few passes and no iterations.

If p has a higher cost than x, it is rejected and the momentum is restarted (O'Donoghue and Candes 2015), so that the
next step lowers the cost. Converged elements are removed from the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_fields, integer, number

#: Function from some elements x (E, ...) of the batch and their indices (E,) to their costs (E,).
Cost = Callable[[Tensor, Tensor], Tensor]

#: Growth of the step size if the inequality holds at the first try.
GROWTH = 1.25
#: Otherwise the step size is multiplied by a factor between these two.
SHRINKAGE = (1e-3, 0.8)
#: Share of the step size that a quadratic cost would allow.
SAFETY = 0.95
#: Maximum number of reductions of the step size in one iteration.
TRIES = 30


@dataclass(frozen=True)
class SolverSettings:
    """Settings of :func:`minimize`.

    Attributes
    ----------
    steps : int, default 100
        Maximum number of iterations.
    tolerance : float, default 1e-3
        An element has converged if its cost decreases by less than this share in ``window`` iterations.
    window : int, default 5
        Number of iterations between checks for convergence, and between snapshots.
    """

    steps: int = 100
    tolerance: float = 1e-3
    window: int = 5

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "window", low=1)
        check_fields(self, number, "tolerance", low=0)


@dataclass(frozen=True, repr=False)
class Solution(ShortRepr):
    """Best solution so far.

    Attributes
    ----------
    x : Tensor, (B, ...)
        Minimizer, within its bounds.
    cost : Tensor, (B,)
        Cost J(x); it never increases from one snapshot to the next.
    iterations : Tensor, (B,)
        Number of iterations of each element.
    change : Tensor, (B,)
        Relative decrease of the cost in the last ``window`` iterations.
    converged : Tensor, (B,)
        Whether `change` is below the tolerance.
    """

    x: Tensor
    cost: Tensor
    iterations: Tensor
    change: Tensor
    converged: Tensor


def minimize(cost: Cost, start: Tensor, upper: Tensor, settings: SolverSettings) -> Iterator[Solution]:
    """Minimize the cost of each element of a batch over 0 <= x <= upper.

    Parameters
    ----------
    cost : callable
        Differentiable cost of some elements.
    start : Tensor, (B, ...)
        Starting point; it is clipped to the bounds.
    upper : Tensor, (B, ...)
        Upper bound x_bar, at least 0.
    settings : SolverSettings
        Number of iterations and tolerance.

    Yields
    ------
    Solution
        After every ``settings.window`` iterations and at the end.
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
        # Momentum may leave the bounds, where the cost need not be defined.
        z = _clip(at + broadcast_like(beta, at) * (at - before[index]), upper[index])
        p, lower, step[index] = _descend(cost, z, upper[index], index, step[index])
        accepted = lower <= value[index]
        # Momentum has overshot if the gradient step and the movement point in opposite directions.
        overshot = ((z - p) * (p - at)).flatten(1).sum(1) > 0
        before[index] = at
        x[index] = torch.where(broadcast_like(accepted, at), p, at)
        value[index] = torch.where(accepted, lower, value[index])
        momentum[index] = torch.where(accepted & ~overshot, following, torch.ones_like(following))
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
    """Return the projected gradient steps p from z, their costs, and their step sizes."""
    # In the caller's autocast the backward pass would run in low precision.
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
            trial = _clip(z[left] - broadcast_like(t, z) * gradient[left], upper[left])
            reached = cost(trial, index[left])
            move = (trial - z[left]).flatten(1)
            squared = move.square().sum(1)
            line = at[left] + (gradient[left].flatten(1) * move).sum(1)
            # Tolerate rounding errors of single precision.
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
    """Clip x to [0, upper]."""
    return torch.minimum(x.clamp(min=0), upper)


def broadcast_like(values: Tensor, like: Tensor) -> Tensor:
    """Reshape values (B,) so that they broadcast over a tensor (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
