"""Minimize a cost over 0 <= x <= x_bar by a projected quasi-Newton method with a monotone cost.

Algorithm 2 of Kwon 2021 is a projected gradient method with Nesterov momentum and a step size that can diverge. Here
each element of the batch takes limited-memory BFGS steps in its free variables (Bertsekas 1982; Nocedal and Wright
2006, algorithm 7.4), with g the gradient of the cost J:

    free: all variables but those at 0 with g > 0, and those at x_bar with g < 0
    d = -H g in the free variables, 0 elsewhere;   H from the last moves of x and g in the free variables
    p = clip(x + t d, 0, x_bar),   J(p) <= J(x) + c <g, p - x>

The first d spans the box of the bounds. t starts at 1; if the inequality fails, t is set to the value at which a
parabola through both costs would be lowest. A step that is accepted at once takes one pass forward and one backward, as
in algorithm 2. The start is multiplied with the best of a few factors, since less than the whole activation is left.

Remaining decrease
------------------
The costs of two successive windows of iterations, J'' >= J' >= J, give an estimate: if the decrease of a window is a
share q of that of the window before, the sum of all further ones is (J' - J) q / (1 - q). For a convex cost a bound is

    J(x) - min J <= max over the box of <g, x - y> = sum of g x where g > 0, and of -g (x_bar - x) where g < 0

An element has converged if the estimate is below the tolerance and the bound below 20 times the tolerance, or the bound
alone is below the tolerance; both as shares of the cost, or of a hundredth of its decrease so far if that is larger.
Converged elements are removed from the batch, and so are elements in which no step lowers the cost in single precision.

Costs of units with a ReLU or a ReLU6 are not convex, and the bound does not hold for them. There, converged means that
the search has come to rest at a point from which no small change lowers the cost by more than the tolerance. This can
be a local minimum, and another starting point can lead to a lower one.
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

#: Factors of the starting point to try.
FACTORS = (1.0, 0.75, 0.5)
#: Number of moves that define H.
MEMORY = 4
#: Number of variables whose products are summed at once.
PART = 2**14
#: Smallest cosine between a move of x and that of the gradient; a move with less curvature is ignored.
LEAST_CURVATURE = 1e-4
#: Share of the decrease of a linear cost that a step must reach.
SUFFICIENT = 1e-4
#: If a step is rejected, t is multiplied by a factor between these two.
SHRINKAGE = (1e-3, 0.5)
#: Maximum number of reductions of t in one iteration.
TRIES = 25
#: Smallest assumed ratio between the decreases of successive windows.
LEAST_RATIO = 0.25
#: A cost below this share of its decrease so far counts as 0.
NEGLIGIBLE = 1e-2
#: Largest bound of the remaining decrease of a converged element, in tolerances.
LOOSE = 20


@dataclass(frozen=True)
class SolverSettings:
    """Settings of :func:`minimize`.

    Attributes
    ----------
    steps : int, default 100
        Maximum number of iterations.
    tolerance : float, default 2e-3
        An element has converged if the estimated remaining decrease of its cost is at most this share.
    window : int, default 5
        Number of iterations between checks for convergence, and between snapshots.
    """

    steps: int = 100
    tolerance: float = 2e-3
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
        Estimate of the remaining decrease, as a share of the cost; infinite if there is none yet.
    converged : Tensor, (B,)
        Whether `change` and the bound of the remaining decrease are small enough.
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
    search = _Search.begin(cost, start, upper)
    found = Solution(
        search.x.clone().view_as(start),
        search.value.clone(),
        torch.zeros(len(start), dtype=torch.long, device=start.device),
        torch.full_like(search.value, torch.inf),
        torch.zeros_like(search.value, dtype=torch.bool),
    )
    for iteration in range(1, settings.steps + 1):
        search.step()
        found.iterations[search.index] = iteration
        if iteration % settings.window == 0 or iteration == settings.steps:
            change, converged = search.check(settings.tolerance)
            found.x[search.index] = search.x.view(-1, *start.shape[1:])
            found.cost[search.index] = search.value
            found.change[search.index], found.converged[search.index] = change, converged
            search.keep(~(converged | search.stuck))
            yield Solution(
                *(getattr(found, name).clone() for name in ("x", "cost", "iterations", "change", "converged"))
            )
            if len(search.index) == 0:
                break


@dataclass(repr=False)
class _Search(ShortRepr):
    """The elements that have not converged, flattened to (E, n)."""

    cost: Cost
    shape: tuple[int, ...]
    index: Tensor
    x: Tensor
    upper: Tensor
    value: Tensor
    gradient: Tensor
    #: Last moves of x, those of the gradient, and the gradient, all in the free variables, (E, 2 MEMORY + 1, n).
    basis: Tensor
    #: Share of the gradient to move by in directions of unknown curvature, (E,).
    scale: Tensor
    #: Whether there are no moves yet, (E,).
    fresh: Tensor
    #: Whether no step lowers the cost, (E,).
    stuck: Tensor
    #: Costs at the start and at the checks.
    values: list[Tensor]
    iteration: int = 0

    @classmethod
    def begin(cls, cost: Cost, start: Tensor, upper: Tensor) -> _Search:
        """Return the search from the best multiple of the starting point."""
        index, shape = torch.arange(len(start), device=start.device), tuple(start.shape[1:])
        x = torch.minimum(start.clamp(min=0), upper)
        with torch.no_grad():
            costs = torch.stack([cost(factor * x, index) for factor in FACTORS])
        factors = torch.stack([x.new_full((), factor) for factor in FACTORS])
        x = broadcast_like(factors[costs.argmin(0)], x) * x
        x, upper = x.flatten(1), upper.flatten(1)
        search = cls(
            cost=cost,
            shape=shape,
            index=index,
            x=x,
            upper=upper,
            value=costs.amin(0),
            gradient=x,
            basis=x.new_zeros(len(x), 2 * MEMORY + 1, x.shape[1]),
            scale=costs[0],
            fresh=torch.ones_like(index, dtype=torch.bool),
            stuck=torch.zeros_like(index, dtype=torch.bool),
            values=[],
        )
        everything = torch.full_like(search.value, torch.inf)
        search.value, search.gradient, *_ = search._try(x, index, everything)
        search.scale = upper.norm(dim=1) / search.gradient.norm(dim=1).clamp(min=1e-12)
        search.values.append(search.value)
        return search

    def step(self) -> None:
        """Take a step in each element."""
        # In the caller's autocast the products would be in low precision.
        with no_autocast(self.x.device):
            d = self._direction()
        x, value, gradient = self.x, self.value, self.gradient
        left = torch.arange(len(x), device=x.device)
        t = torch.ones_like(value)
        for attempt in range(TRIES):
            at, before, share = (picked(each, left) for each in (self.x, self.value, t))
            p = _clip(at + share[:, None] * picked(d, left), picked(self.upper, left))
            linear = ((p - at) * picked(self.gradient, left)).sum(1)
            # Tolerate rounding errors of single precision, but no increase.
            highest = before + (SUFFICIENT * linear + 1e-6 * before.abs()).clamp(max=0)
            reached, turned, held, number = self._try(p, left, highest)
            if attempt == 0 and number == len(held):
                # The usual case, without copies.
                x, value, gradient, left = p, reached, turned, left[:0]
                break
            if attempt == 0:
                x, value, gradient = x.clone(), value.clone(), gradient.clone()
            rows, others = held.nonzero()[:, 0], (~held).nonzero()[:, 0]
            done = left[rows]
            x[done], value[done], gradient[done] = p[rows], reached[rows], turned[rows]
            lowest = -linear / (2 * (reached - before - linear).clamp(min=1e-30))
            t[left] = share * lowest.clamp(*SHRINKAGE)
            left = left[others]
            if len(left) == 0:
                break
        row = self.iteration % MEMORY
        torch.sub(x, self.x, out=self.basis[:, row])
        torch.sub(gradient, self.gradient, out=self.basis[:, MEMORY + row])
        self.x, self.value, self.gradient = x, value, gradient
        # Where nothing is lower, the next step is along the gradient; if that fails too, no step lowers the cost.
        failed = torch.zeros_like(self.stuck)
        failed[left] = True
        self.stuck |= failed & self.fresh
        self.fresh = failed
        if len(left):
            self.basis[left] = 0
        self.iteration += 1

    def _try(self, p: Tensor, left: Tensor, highest: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """Return the costs of points, their gradients where the costs are low enough, where that is, and how often."""
        # In the caller's autocast the backward pass would run in low precision.
        with outside_inference(), torch.enable_grad(), no_autocast(p.device):
            at = p.detach().clone().view(-1, *self.shape).requires_grad_()
            costs = self.cost(at, self.index[left])
            held = costs.detach() <= highest
            # A rejected point needs no gradient.
            number = int(held.sum())
            gradient = torch.autograd.grad(costs.sum(), at)[0] if number else torch.zeros_like(at)
        return costs.detach(), gradient.flatten(1), held, number

    def _free(self) -> Tensor:
        """Return which variables are not held at a bound by the gradient."""
        down, up = self.gradient > 0, self.gradient < 0
        return ~((down & (self.x <= 0)) | (up & (self.x >= self.upper)))

    @torch.no_grad()
    def _direction(self) -> Tensor:
        """Return -H g: the two-loop recursion in coefficients of the basis."""
        free = self._free()
        # A variable at a bound loses its history; if it gets free again, it starts along the gradient.
        self.basis *= free[:, None]
        self.basis[:, -1] = self.gradient * free
        # In parts that fit into a cache, which is several times as fast.
        products = torch.stack([part @ part.mT for part in self.basis.split(PART, dim=2)]).sum(0)
        each = torch.zeros_like(products[:, 0])
        each[:, -1] = 1
        rows = [(self.iteration - back) % MEMORY for back in range(1, MEMORY + 1)]
        curved: list[tuple[Tensor, Tensor]] = []
        for k in rows:
            move, turn = products[:, k, k], products[:, MEMORY + k, MEMORY + k]
            both = products[:, k, MEMORY + k]
            known = both > LEAST_CURVATURE * (move * turn).sqrt()
            inverse = torch.where(known, 1 / both.clamp(min=1e-30), 0)
            share = inverse * (products[:, k] * each).sum(1)
            each[:, MEMORY + k] -= share
            curved.append((inverse, share))
            if k == rows[0]:
                self.scale = torch.where(known, both / turn.clamp(min=1e-30), self.scale)
        each = each * self.scale[:, None]
        for k, (inverse, share) in zip(reversed(rows), reversed(curved), strict=True):
            each[:, k] += share - inverse * (products[:, MEMORY + k] * each).sum(1)
        return torch.einsum("ek,ekn->en", -each, self.basis)

    def bound(self) -> Tensor:
        """Return the bound of the remaining decrease of a convex cost, (E,)."""
        g = self.gradient
        return torch.where(g > 0, g * self.x, -g * (self.upper - self.x)).sum(1)

    def check(self, tolerance: float) -> tuple[Tensor, Tensor]:
        """Return the estimate of the remaining decrease as a share of the cost, and which elements have converged."""
        self.values.append(self.value)
        first, *_ = self.values
        whole = torch.maximum(self.value.abs(), NEGLIGIBLE * (first - self.value)).clamp(min=1e-12)
        estimate = torch.full_like(self.value, torch.inf)
        if len(self.values) > 3:
            before, middle, last = self.values[-3:]
            earlier, latest = before - middle, middle - last
            ratio = (latest / earlier.clamp(min=1e-30)).clamp(min=LEAST_RATIO)
            estimate = torch.where(ratio < 1, latest * ratio / (1 - ratio), torch.inf) / whole
        bound = self.bound() / whole
        estimate = torch.minimum(estimate, bound)
        return estimate, (estimate <= tolerance) & (bound <= LOOSE * tolerance) | (bound <= tolerance)

    def keep(self, kept: Tensor) -> None:
        """Drop all other elements."""
        rows = kept.nonzero()[:, 0]
        if len(rows) == len(kept):
            return
        for name in ("index", "x", "upper", "value", "gradient", "basis", "scale", "fresh", "stuck"):
            setattr(self, name, getattr(self, name)[rows])
        self.values = [values[rows] for values in self.values]


def _clip(x: Tensor, upper: Tensor) -> Tensor:
    """Clip x to [0, upper]."""
    return torch.minimum(x.clamp(min=0), upper)


def picked(values: Tensor, index: Tensor) -> Tensor:
    """Return the elements of a batch with an ascending index, without a copy if that is all of them."""
    return values if len(index) == len(values) else values[index]


def broadcast_like(values: Tensor, like: Tensor) -> Tensor:
    """Reshape values (B,) so that they broadcast over a tensor (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
