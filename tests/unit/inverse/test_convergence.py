"""Elements that the solver reports as converged are at their minimum, against SciPy, from bad starting points too."""

from functools import cache, cached_property

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from xai_widgets.inverse.solver import LOOSE, SolverSettings, minimize

STEPS = SolverSettings(steps=300)
#: A cost that is higher than the minimum by less than this share is not visibly above it.
VISIBLE = 0.01


class Distances:
    """|A x - y|_2 + lambda |x|_2, or its terms squared, with A of a given condition; double precision in NumPy."""

    def __init__(self, seed, condition, weight, squared, elements=4, rows=30, columns=24):
        draw = np.random.default_rng(seed)
        left = np.linalg.qr(draw.normal(size=(elements, rows, columns)))[0]
        right = np.linalg.qr(draw.normal(size=(elements, columns, columns)))[0]
        self.matrix = (left * condition ** -np.linspace(0, 1, columns)) @ right
        self.upper = 2 * draw.uniform(size=(elements, columns))
        inner = draw.uniform(size=self.upper.shape) * self.upper
        self.y = (self.matrix @ inner[..., None])[..., 0] + 0.05 * draw.normal(size=(elements, rows))
        self.weight, self.squared = weight, squared

    def __call__(self, x, index):
        off = torch.from_numpy(self.matrix).to(x)[index] @ x[..., None]
        off = (off[..., 0] - torch.from_numpy(self.y).to(x)[index]).norm(dim=1)
        kept = x.norm(dim=1)
        return off**2 + self.weight * kept**2 if self.squared else off + self.weight * kept

    @cached_property
    def minima(self):
        """Minimum of each element by SciPy."""

        def cost(x, k):
            at = torch.from_numpy(x)[None].requires_grad_()
            value = self(at, torch.tensor([k]))
            (gradient,) = torch.autograd.grad(value.sum(), at)
            return value.item(), gradient[0].numpy()

        return torch.tensor([best(cost, k, self.upper[k]) for k in range(len(self.upper))])


def best(cost, k, upper):
    """Return the lowest of the minima that SciPy finds from three starting points."""
    options = {"maxiter": 20000, "maxfun": 100000, "ftol": 1e-15, "gtol": 1e-11, "maxcor": 20}
    bounds = [(0, high) for high in upper]
    return min(
        scipy_minimize(
            cost, share * upper, (k,), jac=True, bounds=bounds, method="L-BFGS-B", options=options
        ).fun
        for share in (0.5, 1.0)
    )


problem = cache(Distances)


@pytest.mark.parametrize("start", [0.0, 1e-4, 0.5, 1.0])
@pytest.mark.parametrize("weight", [0.0, 0.1])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("condition", [3.0, 100.0, 3000.0])
def test_a_converged_element_is_at_its_minimum(condition, squared, weight, start):
    cost = problem(round(condition), condition, weight, squared)
    upper = torch.from_numpy(cost.upper).float()
    *_, made = minimize(cost, start * upper, upper, STEPS)
    lowest = cost.minima.float()
    above = (made.cost - lowest) / lowest
    assert (above[made.converged] < VISIBLE).all()
    # Most problems of inverses have such a condition, and end.
    assert made.converged.float().mean() > 0.8 or condition > 1000
    assert (above > -1e-4).all()


class Plateau:
    """An elongated valley: after a fast first decrease, the cost falls slowly for long and far."""

    curvature = torch.tensor([1.0, 2e-5])
    lowest = 0.2

    def __call__(self, x, _index):
        return self.lowest + (x**2 * self.curvature.to(x)).sum(1)


def test_slow_progress_is_not_taken_for_convergence():
    cost, upper = Plateau(), torch.tensor([[1.0, 300.0]])
    start = upper.clone()
    for shot in minimize(cost, start, upper, SolverSettings(steps=60, window=1)):
        if bool(shot.converged):
            assert shot.cost.item() < cost.lowest * (1 + VISIBLE)
    assert shot.converged.all()


def test_a_convex_cost_that_has_converged_is_within_the_bound():
    for seed in range(4):
        cost = Distances(seed, 300.0, 0.05, False)
        upper, lowest = torch.from_numpy(cost.upper).float(), cost.minima.float()
        for tolerance in (1e-1, 1e-2):
            settings = SolverSettings(steps=300, tolerance=tolerance, window=2)
            for shot in minimize(cost, upper, upper, settings):
                over = (shot.cost - lowest) / lowest.clamp(min=1e-6)
                assert (over[shot.converged] <= LOOSE * tolerance).all()
            assert shot.converged.any()


def test_a_kink_is_a_minimum():
    def kinked(x, _index):
        return 1 + torch.where(x > 0, 3 * x, -x).sum(1)

    *_, made = minimize(kinked, torch.zeros(2, 3), torch.ones(2, 3), SolverSettings(steps=50))
    assert (made.cost == 1).all()
    assert (made.iterations < 50).all()
    assert made.converged.all()
