"""Activations that can be negative: searched between 0 and their value, with the sign kept."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, rounding
from networks import images, settle, wrap
from torch import nn

from xai_widgets.errors import ExplanationWarning
from xai_widgets.inverse import SolverSettings, find_units, layer_wise, operation_wise
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.interval import Interval

QUICK = SolverSettings(steps=20)
METHODS = [layer_wise, operation_wise]


class Activated(nn.Module):
    """Two convolutions with an activation function, an average, and scores."""

    def __init__(self, activation, pool=lambda x: x, bias=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.fc = nn.Linear(6, 4, bias=bias)
        self.activation, self.pool = activation, pool

    def forward(self, x):
        x = self.pool(self.activation(self.conv1(x)))
        return self.fc(self.activation(self.conv2(x)).mean((2, 3)))


def inverse_of(method, model, x, target=1, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return method(model, x, target, **{"settings": QUICK, **options}).result(progress=False)


#: Activation functions by the name that a note gives them, as modules and as formulas.
SIGNED = {
    "SiLU": (F.silu, lambda x: x * x.sigmoid(), lambda x: x.sigmoid() * x),
    "Hardswish": (F.hardswish, lambda x: x * F.relu6(x + 3) / 6, lambda x: x * ((x + 3).clamp(0, 6) / 6)),
    "GELU": (F.gelu, lambda x: x * 0.5 * (1.0 + torch.erf(x / 2**0.5))),
    "Mish": (F.mish, lambda x: x * F.softplus(x).tanh()),
    "LeakyReLU": (nn.LeakyReLU(0.1),),
    "PReLU": (nn.PReLU(),),
    "ELU": (F.elu,),
    "SELU": (F.selu,),
    "CELU": (F.celu,),
    "Tanh": (torch.tanh, nn.Tanh()),
    "Hardtanh": (nn.Hardtanh(),),
    "Softsign": (F.softsign,),
    "Softshrink": (F.softshrink,),
}
WRITTEN = [(name, number) for name, ways in SIGNED.items() for number in range(len(ways))]


@pytest.mark.parametrize(("name", "number"), WRITTEN)
def test_a_unit_ends_at_an_activation_that_can_be_negative(name, number):
    model, x = wrap(settle(Activated(SIGNED[name][number]))), images(2)
    chain = Chain.of(model, x)
    assert [unit.kind for unit in chain.units] == ["convolution", "convolution", "average", "scores"]
    assert chain.signed == (name,)
    assert not any(unit.relu for unit in chain.units)
    assert_close(chain.output, model(x).detach())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["SiLU", "Hardswish", "GELU", "LeakyReLU", "Tanh", "ELU"])
def test_inverses_lie_between_0_and_the_activation_with_its_sign(method, name):
    model, x = wrap(settle(Activated(SIGNED[name][0]))), images(2)
    with pytest.warns(ExplanationWarning, match=f"activations of {name} can be negative"):
        run = method(model, x, 1, settings=QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = run.result(progress=False)
    assert any(f"activations of {name} can be negative" in note for note in made.notes)
    negative = False
    for unit in made.units[:-1]:
        x_bar = unit.x_bar[:, None]
        assert (unit.x * x_bar >= 0).all()
        assert (unit.x.abs() <= x_bar.abs() + rounding(x_bar)).all()
        negative |= bool((unit.x_bar < 0).any())
    assert negative


def test_the_sign_of_an_activation_is_a_convention():
    """Tanh is odd: with the signs of its neurons exchanged, a network and its inverse stay as they are."""
    plain = settle(Activated(torch.tanh))
    other = settle(Activated(torch.tanh))
    with torch.no_grad():
        signs = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0, 1.0])
        other.conv1.weight.mul_(signs[:, None, None, None])
        other.conv1.bias.mul_(signs)
        other.conv2.weight.mul_(signs[None, :, None, None])
    x = images(2)
    assert_close(other(x).detach(), plain(x).detach())
    for method in METHODS:
        one, two = (
            inverse_of(method, wrap(each), x, settings=SolverSettings(steps=2)) for each in (plain, other)
        )
        assert (one.units[-2].x != 0).any()
        for a, b in zip(one.units, two.units, strict=True):
            factor = signs[None, None, :, None, None] if a is one.units[-2] else 1.0
            # Each step of the solver amplifies the rounding of the one before.
            assert_close(a.x * factor, b.x, steps=4096)


def test_a_leaky_relu_without_a_leak_has_the_inverse_of_a_relu():
    x = images(2)
    for method in METHODS:
        one, two = (
            inverse_of(method, wrap(settle(Activated(each))), x, settings=SolverSettings(steps=1))
            for each in (F.relu, lambda x: F.leaky_relu(x, 0.0))
        )
        assert_close(one.x, two.x)


def test_the_cost_of_a_signed_unit_is_that_of_the_document():
    """Eq. 5.5 with the targets of algorithm 2, for the regularizer l2."""
    model, x, lam = wrap(settle(Activated(F.silu))), images(1), 0.3
    units = {unit.name: unit for unit in find_units(model)}
    made = inverse_of(layer_wise, model, x, lam=lam, regularizer="l2")
    after, before = made.units[-2:]
    y = after.x[:, 0] * after.x_bar.norm() / after.x.norm()
    cost = (units[before.unit].run(before.x[:, 0]) - y).norm() + lam * before.kept.norm()
    assert_close(before.cost[0, 0], cost.detach())


def test_a_small_leak_changes_little():
    """The inverse of a network with pools is continuous in the leak of its ReLUs."""
    x = images(2)
    for method in METHODS:
        one, two = (
            inverse_of(method, wrap(settle(Activated(each, lambda x: F.max_pool2d(x, 2)))), x)
            for each in (F.relu, lambda x: F.leaky_relu(x, 1e-4))
        )
        assert [unit.kind for unit in one.units] == [unit.kind for unit in two.units]
        assert (one.x - two.x).abs().mean() < 0.01


#: Values that are not activations: 0 does not mean that a neuron is inactive.
OTHERS = {
    "shifted": lambda x: F.silu(x) + 1.0,
    "normalized": lambda x: F.layer_norm(F.silu(x), x.shape[1:]),
    "a gate of another value": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "logsigmoid": F.logsigmoid,
    "linear": lambda x: x,
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_unit_ends_at_other_values(name):
    class Stretch(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            x = OTHERS[name](self.conv1(x))
            return self.fc(self.conv2(x).relu().mean((2, 3)))

    units = find_units(wrap(settle(Stretch())))
    behind = {"shifted": 3, "normalized": 3}.get(name, 2)
    # The activation before the shift or the normalization is an end, the value behind it is not.
    assert [unit.kind for unit in units].count("convolution") == behind - 1
    assert units[behind - 2].depth == (1 if behind == 3 else 2)


#: Calls that keep 0 as the value of an inactive neuron.
KEPT = {
    "scaled": lambda x: 2 * F.silu(x),
    "gated": lambda x: F.silu(x) * F.silu(x).mean((2, 3), keepdim=True).sigmoid(),
    "averaged": lambda x: F.avg_pool2d(F.silu(x), 2),
    "added": lambda x: F.silu(x) + F.gelu(-x),
    "concatenated": lambda x: torch.cat([F.silu(x[:, :3]), x[:, 3:].relu()], 1),
    "resized": lambda x: F.interpolate(F.silu(x), scale_factor=2),
    "padded": lambda x: F.pad(F.silu(x), (1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", KEPT)
def test_activations_stay_activations(name):
    x = images(1)
    chain = Chain.of(wrap(settle(Activated(lambda x: x, KEPT[name]))), x)
    signed = ("SiLU", "GELU") if name == "added" else ("SiLU",)
    assert chain.signed == signed
    assert chain.units[-1].depth == 2  # The second convolution has no activation here.
    if name in ("added", "concatenated", "resized"):
        assert chain.inputs[-1].shape[2:] == KEPT[name](torch.rand(1, 6, 8, 8)).shape[2:]


def test_the_interval_keeps_signs():
    x_bar = torch.tensor([[-0.2, 0.0, 3.0], [1.0, -2.0, -0.0]])
    interval = Interval(x_bar, None)
    every = torch.arange(2)
    assert torch.equal(interval.upper, x_bar.abs())
    assert torch.equal(interval.x(interval.upper, every), x_bar)
    assert torch.equal(interval.x(interval.upper[1:] / 2, every[1:]), x_bar[1:] / 2)
    # The nearest value of a number with another sign is 0, that of a larger one the activation.
    nearest = interval.x(interval.z(torch.tensor([[0.1, 1.0, 4.0], [-1.0, -1.0, 2.0]])), every)
    assert torch.equal(nearest, torch.tensor([[0.0, 0.0, 3.0], [0.0, -1.0, 0.0]]))
