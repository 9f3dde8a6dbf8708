"""Costs of inverted units against SciPy's solver, with the formulas of Kwon 2021 written down again.

The costs of units with a ReLU are not convex: SciPy starts at the solution and must not get lower.
"""

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import nn

from xai_widgets.inverse import SolverSettings, layer_wise

LAMBDAS = (0.0, 0.05, 0.1)
#: The cost of the solver may be above SciPy's by this share.
CLOSE = 0.01


class Three(nn.Module):
    """A convolution with its ReLU, a linear layer with its ReLU, and scores."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.hidden = nn.Linear(4 * 36, 12)
        self.scores = nn.Linear(12, 5)

    def forward(self, x):
        return self.scores(self.hidden(self.conv(x).relu().flatten(1)).relu())


@pytest.fixture(scope="module")
def inverted():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Three().eval()
    image = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    settings = SolverSettings(steps=400)
    made = layer_wise(network, image, lam=LAMBDAS, settings=settings).result(progress=False)
    return network.double(), image.double(), made


def lowest(cost, upper, starts):
    """Return the lowest cost over 0 <= x <= upper that SciPy finds."""

    def with_gradient(x):
        at = torch.from_numpy(x).view(upper.shape).requires_grad_()
        value = cost(at)
        (gradient,) = torch.autograd.grad(value, at)
        return value.item(), gradient.flatten().numpy()

    bounds = [(0, high) for high in upper.flatten().tolist()]
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-14, "gtol": 1e-9}
    return min(
        minimize(
            with_gradient,
            start.flatten().numpy(),
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
            options=options,
        ).fun
        for start in starts
    )


def starts_of(name, upper, found):
    """Return starting points: the solution to be judged, and for a convex cost others that are far from it."""
    judged = found.clamp(min=0).minimum(upper)
    return [judged, 0.1 * upper, upper] if name == "scores" else [judged]


def scaled(y, forward):
    return y * forward.norm() / y.norm()


@pytest.mark.parametrize("k", range(len(LAMBDAS)))
@pytest.mark.parametrize("name", ["scores", "hidden", "conv"])
def test_the_cost_of_a_unit_is_within_a_hundredth_of_the_best(name, k, inverted):
    network, image, made = inverted
    activation = network.conv(image).relu().detach()
    hidden = network.hidden(activation.flatten(1)).relu().detach()
    goal, weight = made.original_output[0].double(), LAMBDAS[k]
    by_input = {tuple(unit.x.shape[2:]): unit for unit in made.units if unit.kind != "reshape"}
    if name == "scores":
        unit, upper = by_input[(12,)], hidden[0]
        target = scaled(goal, goal)

        def cost(x):
            return (network.scores(x) - target).norm() + weight * x.norm()
    elif name == "hidden":
        unit, upper = by_input[(144,)], activation.flatten()
        target = scaled(by_input[(12,)].x[0, k].double(), hidden)

        def cost(x):
            return (network.hidden(x).relu() - target).norm() + weight * x.norm()
    else:
        unit, upper = by_input[(1, 6, 6)], image[0]
        target = scaled(by_input[(144,)].x[0, k].double().view(4, 6, 6), activation)
        r = target.sum(0) / target.sum(0).max()

        def cost(x):
            return (F.relu(network.conv(x[None]))[0] - target).norm() + weight * (x * (1 - r)).norm()

    found = unit.x[0, k].double()
    assert abs(cost(found).item() - unit.cost[0, k].item()) < 1e-4 * max(1.0, cost(found).item())
    best = lowest(cost, upper, starts_of(name, upper, found))
    start = cost(upper).item()
    assert unit.cost[0, k].item() <= best + CLOSE * max(abs(best), 1e-2 * (start - best))
