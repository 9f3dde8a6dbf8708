"""The solver on problems with known answers, and invariants for every problem."""

import pytest
import torch
from closeness import assert_close, rounding
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.inverse.solver import SolverSettings, minimize

LONG = SolverSettings(steps=2000, tolerance=1e-7)


def solved(cost, start, upper, settings=LONG):
    *_, last = minimize(cost, start, upper, settings)
    return last


@given(st.integers(0, 200))
def test_where_the_variables_do_not_mix_the_answer_is_clipped(seed):
    generator = torch.Generator().manual_seed(seed)
    expected = torch.randn(3, 6, generator=generator) * 2
    upper = torch.rand(3, 6, generator=generator) + 0.1
    weights = torch.rand(3, 6, generator=generator) * 5 + 0.1

    def cost(x, index):
        return (weights[index] * (x - expected[index]) ** 2).sum(1)

    made = solved(cost, torch.zeros(3, 6), upper)
    torch.testing.assert_close(made.x, torch.minimum(expected.clamp(min=0), upper), atol=5e-3, rtol=5e-3)
    assert made.converged.all()


def matrices(seed, rows=8, columns=6):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(4, rows, columns, generator=generator)
    target = torch.randn(4, rows, generator=generator)
    upper = torch.rand(4, columns, generator=generator) * 2
    return matrix, target, upper


def distance(matrix, target, weight):
    def cost(x, index):
        off = (matrix[index] @ x[..., None])[..., 0] - target[index]
        return off.norm(dim=1) + weight * x.norm(dim=1)

    return cost


@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(2))
def test_norms_are_minimized_as_well_as_by_very_small_steps(weight, seed):
    matrix, target, upper = matrices(seed)
    cost = distance(matrix, target, weight)
    made = solved(cost, upper / 2, upper)
    x = (upper / 2).requires_grad_()
    index = torch.arange(4)
    best = torch.full((4,), torch.inf)
    for step in range(4000):
        value = cost(x, index)
        best = torch.minimum(best, value.detach())
        (gradient,) = torch.autograd.grad(value.sum(), x)
        x = (
            torch.minimum((x - 0.05 / (1 + 0.01 * step) * gradient).clamp(min=0), upper)
            .detach()
            .requires_grad_()
        )
    assert (made.cost <= best + 1e-3).all()


@given(st.integers(0, 200), st.floats(0, 2))
def test_the_cost_never_rises_the_bounds_hold_and_the_cost_is_that_of_x(seed, weight):
    matrix, target, upper = matrices(seed)
    upper[:, 0] = 0
    cost, start = distance(matrix, target, weight), 3 * torch.ones(4, 6)
    index = torch.arange(4)
    before = cost(torch.minimum(start, upper), index)
    for shot in minimize(cost, start, upper, SolverSettings(steps=40, window=3, tolerance=1e-4)):
        assert (shot.x >= 0).all()
        assert (shot.x <= upper).all()
        assert (shot.cost <= before + rounding(before)).all()
        assert_close(shot.cost, cost(shot.x, index))
        before = shot.cost


def test_an_element_is_solved_alike_alone_and_with_others():
    matrix, target, upper = matrices(3)
    together = solved(distance(matrix, target, 0.1), upper / 2, upper, SolverSettings(steps=60))
    for k in range(4):
        one = slice(k, k + 1)
        alone = solved(
            distance(matrix[one], target[one], 0.1), upper[one] / 2, upper[one], SolverSettings(steps=60)
        )
        assert_close(alone.x[0], together.x[k])
        assert alone.iterations[0] == together.iterations[k]


def test_elements_that_did_not_converge_are_marked():
    matrix, target, upper = matrices(1)
    made = solved(distance(matrix, target, 0.0), torch.zeros(4, 6), upper, SolverSettings(steps=2, window=2))
    assert not made.converged.any()
    assert (made.change > 1e-3).all()
    assert (made.iterations == 2).all()


def test_what_is_at_its_best_ends_at_once_and_zero_bounds_are_no_trouble():
    def cost(x, _index):
        return x.norm(dim=1)

    made = solved(cost, torch.zeros(2, 3), torch.zeros(2, 3), SolverSettings(steps=50, window=5))
    assert torch.equal(made.x, torch.zeros(2, 3))
    assert made.converged.all()
    assert (made.iterations == 5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "expected steps to be an integer of at least 1, got 0"),
        ({"window": 0}, "expected window to be an integer of at least 1, got 0"),
        ({"tolerance": -1}, "expected tolerance to be a number of at least 0, got -1"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SolverSettings(**options)
