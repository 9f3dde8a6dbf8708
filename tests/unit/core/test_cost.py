"""The cost of a pass is counted, not timed, and bounds the default number of passes."""

import pytest
import torch
from networks import CLASSES, SIZE, SharedInPlace, images, settle, wrap
from torch import nn
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from xai_widgets import load
from xai_widgets.core import cost
from xai_widgets.core.cost import GRADIENT, PER_VALUE, PassCost, affordable, operations_of, pass_cost
from xai_widgets.core.hooks import record_outputs


def test_the_operations_of_a_small_network_by_hand():
    model = wrap(
        nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
    )
    outputs = 5 * SIZE * SIZE
    expected = PassCost(outputs * 27 + outputs * CLASSES, outputs + CLASSES, outputs)
    assert pass_cost(model) == expected
    assert expected.operations == expected.multiply_adds + PER_VALUE * expected.values
    assert expected.memory >= 4 * expected.values


def test_a_depthwise_convolution_counts_its_groups():
    model = wrap(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Flatten(), nn.LazyLinear(CLASSES)))
    outputs = 3 * SIZE * SIZE
    assert pass_cost(model).multiply_adds == outputs * 9 + outputs * CLASSES


def test_the_network_runs_once_and_other_sizes_are_scaled():
    network = settle(SharedInPlace())
    model, passes = wrap(network), []
    network.register_forward_hook(lambda *_: passes.append(1))
    whole = pass_cost(model)
    assert pass_cost(model, (SIZE, 2 * SIZE)).operations == 2 * whole.operations
    assert len(passes) == 1


def test_hooks_of_the_caller_do_not_see_the_pass():
    model = wrap(settle(SharedInPlace()))
    with torch.no_grad(), record_outputs(model.find_layers(["conv1"])) as outputs:
        pass_cost(model)
    assert outputs == {}
    assert _len_torch_dispatch_stack() == 0


def test_a_network_that_fails_has_a_cost():
    network = settle(SharedInPlace())
    model = wrap(network)
    network.fc = nn.Linear(1, 1)
    assert pass_cost(model).operations > 0
    assert _len_torch_dispatch_stack() == 0


def test_defaults_fit_the_budget_between_their_bounds(monkeypatch):
    model = wrap(settle(SharedInPlace()))
    one = pass_cost(model).operations
    size = (SIZE, SIZE)
    assert affordable(model, size, least=10, most=1000) == 1000
    monkeypatch.setattr(cost, "CPU_BUDGET", 90.5 * one)
    assert affordable(model, size, least=10, most=1000) == 90
    assert affordable(model, size, least=10, most=1000, gradient=True) == 90 // GRADIENT
    assert affordable(model, size, least=10, most=1000, each=4) == 22
    assert affordable(model, size, least=100, most=1000) == 100


@pytest.mark.parametrize("name", ["scenes_vgg", "scenes_resnet"])
def test_the_bundled_networks_can_afford_the_published_defaults(name):
    model = load(name, device="cpu")
    assert affordable(model, model.size, least=1, most=8000) == 8000
    assert affordable(model, model.size, least=1, most=5000, gradient=True) == 5000
    assert affordable(model, model.size, least=1, most=10**6, each=10) > 49 + 150 * 3.4


def test_the_same_on_every_call():
    first, second = (wrap(settle(SharedInPlace())) for _ in range(2))
    first.scores(images(2))
    assert pass_cost(first) == pass_cost(second)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_a_convolution_of_a_folded_pass_counts_like_any_other():
    x, weight = torch.rand(2, 4, 8, 8), torch.rand(6, 2, 3, 3)
    with torch.no_grad():
        plain = operations_of(lambda: torch.conv2d(x, weight, None, 1, 1, 1, 2))
        folded = operations_of(lambda: torch.mkldnn_convolution(x, weight, None, [1, 1], [1, 1], [1, 1], 2))
    assert plain == folded
    assert plain.multiply_adds == 2 * 6 * 64 * 2 * 9
