"""`Unit.bias`: the output of a unit without a bias is proportional to its input, that of any other unit is not."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import Block, Concat, Functional, SharedInPlace, images, settle, wrap
from torch import nn

from xai_widgets.inverse import SolverSettings, layer_wise
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.units import find_units


class Plain(nn.Module):
    """A unit between two ReLUs, and scores."""

    def __init__(self, unit, bias=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.unit = unit
        self.fc = nn.Linear(6, 4, bias=bias)

    def forward(self, x):
        return self.fc(self.unit(self.stem(x).relu()).relu().mean((2, 3)))


class Written(nn.Module):
    """A function as a module, with parameters that it may use."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(6, 6, 3, padding=1, bias=False)

    def forward(self, x):
        return self.function(self, x)


def block(shift):
    made = settle(Block(6, nn.ReLU()))
    made.conv2.bias = None
    with torch.no_grad():
        if not shift:
            made.bn1.bias.zero_()
            made.bn1.running_mean.zero_()
    return made


def batch_norm(shift):
    made = settle(nn.BatchNorm2d(6))
    with torch.no_grad():
        made.weight.uniform_(0.5, 2)
        if not shift:
            # The shift of the running mean is undone by the bias.
            made.bias.copy_(made.running_mean * made.weight / (made.running_var + made.eps).sqrt())
            made.running_mean.zero_()
            made.bias.zero_()
    return made


#: Units, and whether they have a bias.
UNITS = {
    "convolution": (lambda: nn.Conv2d(6, 6, 3, bias=False), False),
    "convolution with bias": (lambda: nn.Conv2d(6, 6, 3), True),
    "convolution, batch norm": (
        lambda: nn.Sequential(nn.Conv2d(6, 6, 3, bias=False), batch_norm(True)),
        True,
    ),
    "batch norm without shift": (
        lambda: nn.Sequential(nn.Conv2d(6, 6, 3, bias=False), batch_norm(False)),
        False,
    ),
    "block": (lambda: block(False), False),
    "block with shift": (lambda: block(True), True),
    "pool, padded": (lambda: nn.Sequential(nn.Conv2d(6, 6, 3, bias=False), nn.MaxPool2d(3, 2, 1)), False),
    "padded by ones": (lambda: Written(lambda self, x: self.conv(F.pad(x, (1, 1, 1, 1), value=1.0))), True),
    "padded by zeros": (lambda: Written(lambda self, x: self.conv(F.pad(x, (1, 1, 1, 1)))), False),
    "plus a number": (lambda: Written(lambda self, x: self.conv(x) + 0.5), True),
    "plus zeros": (lambda: Written(lambda self, x: self.conv(x) + torch.zeros(1)), False),
    "times a number": (lambda: Written(lambda self, x: 2 * self.conv(x) / 3), False),
    "times a gate": (lambda: Written(lambda self, x: self.conv(x) * self.conv(x).sigmoid()), True),
    "squared": (lambda: Written(lambda self, x: self.conv(x) * self.conv(x)), True),
    "concatenated": (lambda: Written(lambda self, x: torch.cat([self.conv(x)[:, :3], x[:, 3:]], 1)), False),
    "maximum": (lambda: Written(lambda self, x: torch.maximum(self.conv(x), x)), False),
    "at least a number": (lambda: Written(lambda self, x: self.conv(x).clamp(min=0.3)), True),
    "clipped": (lambda: Written(lambda self, x: F.relu6(8 * self.conv(x)) - 1), True),
    "leaky": (lambda: Written(lambda self, x: F.leaky_relu(self.conv(x), 0.2)), False),
}
SCALES = (0.25, 3.0)


def scaled_run(unit, x, t, zero=0.0):
    return unit.run(zero + t * (x - zero))


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_a_bias_if_its_output_is_not_proportional_to_its_input(name):
    build, bias = UNITS[name]
    network = Plain(settle(build())) if "batch norm" not in name and "block" not in name else Plain(build())
    with torch.no_grad():
        network.stem.weight.normal_(generator=torch.Generator().manual_seed(1))
    units = find_units(network.eval(), images(1))
    # An activation function at the end of the unit can be a unit of its own.
    assert [unit.bias for unit in (units[0], *units[-2:])] == [False] * 3
    assert any(unit.bias for unit in units[1:-2]) == bias


@pytest.mark.parametrize("network", [Functional, SharedInPlace, Concat, lambda: Plain(nn.Conv2d(6, 6, 3))])
@pytest.mark.parametrize("mean", [[0.0] * 3, [0.4, 0.45, 0.5]])
def test_units_with_and_without_bias_scale_differently(network, mean):
    network = settle(network())
    model, x = wrap(network, mean=mean), images(2)
    zero = model.mean
    seen = set()
    for unit in find_units(model):
        value = unit.run(x).detach()
        scale = value.abs().max()
        offs = [(scaled_run(unit, x, t, zero) - t * value).abs().max() / scale for t in SCALES]
        assert unit.bias == (max(offs) > 1e-3), unit.name
        if not unit.bias:
            for t in SCALES:
                assert_close(scaled_run(unit, x, t, zero).detach(), t * value)
        seen.add(unit.bias)
        x, zero = value, 0.0
    assert seen == {True, False}


def without_bias():
    """A network of convolutions and linear layers without a bias."""
    return settle(Plain(nn.Conv2d(6, 6, 3, padding=1, bias=False)))


@pytest.mark.parametrize("bias", [False, True])
def test_only_the_target_of_a_unit_with_bias_is_rescaled(bias):
    """Algorithm 2, lines 2 and 3: the cost is that of the inverse of the next unit, in the norm of its activation."""
    network = settle(Plain(nn.Conv2d(6, 6, 3, padding=1, bias=bias), bias=bias))
    model, x, lam = wrap(network), images(1), 0.4
    units = {unit.name: unit for unit in find_units(model)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = layer_wise(model, x, 1, lam=lam, regularizer="l2", settings=SolverSettings(steps=20))
        made = made.result(progress=False)
    searched = [
        (after, before) for after, before in itertools.pairwise(made.units) if before.kind == "convolution"
    ]
    assert len(searched) == 2
    for after, before in searched:
        y, unit = after.x[:, 0], units[before.unit]
        assert unit.bias == bias
        if bias:
            y = y * after.x_bar.norm() / y.norm()
        cost = (unit.run(before.x[:, 0]) - y).norm() + lam * before.kept.norm()
        assert_close(before.cost[0, 0], cost.detach())


@pytest.mark.parametrize(("empty", "biased"), [("mean", False), ("black", True)])
def test_black_is_a_bias_for_a_network_that_sees_the_mean_color_as_zeros(empty, biased):
    model, x = wrap(without_bias()), images(1)
    chain = Chain.of(model, x)
    color = {"mean": model.mean.flatten(), "black": torch.zeros(3)}[empty]
    assert [chain.biased(color, index) for index in range(len(chain.units))] == [biased, *[False] * 3]
    # The first unit is proportional to the difference from the color it calls empty, or it is not.
    unit, zero = chain.units[0], color[:, None, None]
    off = [(scaled_run(unit, x, t, zero) - t * unit.run(x)).abs().max() > 1e-3 for t in SCALES]
    assert all(off) == any(off) == biased
