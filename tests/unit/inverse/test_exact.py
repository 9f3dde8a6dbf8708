"""Closed-form inverses: max-pools, of positive and negative maxima, and averages."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import Functional, SharedInPlace, images, settle, wrap
from torch import nn

from xai_widgets.inverse import SolverSettings, find_units, layer_wise
from xai_widgets.inverse.exact import exact_inverse


def layers(model, x, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        settings = SolverSettings(steps=10)
        return layer_wise(model, x, target, lam=(0.0, 0.4, 1.0), settings=settings).result(progress=False)


def test_a_max_pool_is_inverted_by_its_switches():
    model, x = wrap(settle(Functional())), images(2)
    made = layers(model, x, 2)
    above, pool = made.units[-3], made.units[-2]
    assert pool.kind == "pool"
    switches = F.max_pool2d(pool.x_bar, 2, return_indices=True)[1]
    for index in range(3):
        expected = F.max_unpool2d(above.x[:, index], switches, 2)
        assert_close(pool.x[:, index], expected)


def test_windows_that_share_a_maximum_give_it_their_mean():
    """The Moore-Penrose inverse of the matrix of an overlapping max-pool."""
    x_bar = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    out, switches = F.max_pool2d(x_bar, 3, stride=1, return_indices=True)
    matrix = torch.zeros(4, 16)
    matrix[torch.arange(4), switches.flatten()] = 1
    y = out * torch.rand(out.shape, generator=torch.Generator().manual_seed(2))
    expected = torch.linalg.pinv(matrix) @ y.flatten()
    unit = find_units(nn.Sequential(nn.MaxPool2d(3, stride=1), nn.Conv2d(1, 1, 2), nn.ReLU()))[0]
    assert_close(exact_inverse(unit, x_bar, y).flatten(), expected)


def test_an_average_is_inverted_in_proportion():
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = layers(model, x, 2)
    names = [unit.unit for unit in made.units]
    average = made.units[names.index("average")]
    above = made.units[names.index("average") - 1]
    assert_close(average.x.mean((3, 4)), above.x[..., 0, 0])
    share = average.x[0, 0] / average.x_bar[0].clamp(min=1e-9)
    for channel in range(6):
        there = average.x_bar[0, channel] > 1e-6
        assert share[channel][there].max() - share[channel][there].min() < 1e-4


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_a_pool_of_negative_maxima_is_undone(share):
    """An unpooling has zeros beside a negative maximum, which are larger than it."""
    unit = find_units(nn.Sequential(nn.ELU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1), nn.ELU()), images(1))[1]
    assert unit.kind == "pool"
    x_bar = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)) - 0.8
    pooled = unit.run(x_bar).detach()
    assert (pooled < 0).any()
    assert (pooled > 0).any()
    y = share * pooled
    found = exact_inverse(unit, x_bar, y)
    assert_close(unit.run(found).detach(), y)
    assert (found * x_bar >= 0).all()
    assert (found.abs() <= x_bar.abs()).all()
    # Windows with a positive maximum keep that one only, the others keep all positions.
    kept = F.avg_pool2d((found != 0).float(), 2) * 4
    if share:
        assert torch.equal(kept, torch.where(pooled > 0, 1.0, 4.0))
    else:
        assert not found.any()


def test_overlapping_windows_of_negative_maxima_stay_within_the_activation():
    unit = find_units(
        nn.Sequential(nn.ELU(), nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 2, 1), nn.ELU()), images(1)
    )[1]
    x_bar = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)) - 1.5
    y = 0.5 * unit.run(x_bar).detach()
    assert (y < 0).any()
    found = exact_inverse(unit, x_bar, y)
    assert (found * x_bar >= 0).all()
    assert (found.abs() <= x_bar.abs()).all()
    assert ((unit.run(found) < 0) == (y < 0)).all()
