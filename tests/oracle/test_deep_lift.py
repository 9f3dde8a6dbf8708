"""DeepLIFT equals Captum's on networks of modules that are used once, as far as those have no max-pool.

Captum's max-pool does not sum to the change of the score on these networks: there the sum and the formulas are the
test.
"""

import copy
from functools import cache

import captum.attr
import pytest
import torch
from closeness import assert_close
from torch import nn
from twins import NETWORKS, model_of, pair_of, photographs, rewrapped, twin_of

from xai_widgets.attribution import deep_lift
from xai_widgets.core.model import ImageModel

#: Relative; all is computed in float64, where rounding counts for nothing.
TOLERANCE = 1e-5

pytestmark = pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")


@cache
def averaging(name):
    """One of NETWORKS in double precision, with an average-pool for each max-pool, and its twin."""
    model = model_of(name)
    network = copy.deepcopy(model.module).double()
    for part in list(network.modules()):
        for key, child in part.named_children():
            if isinstance(child, nn.MaxPool2d):
                settings = child.kernel_size, child.stride, child.padding, child.ceil_mode
                setattr(part, key, nn.AvgPool2d(*settings))
    return rewrapped(model, network), rewrapped(model, twin_of(network))


def distance(made, expected):
    return ((made - expected).abs().max() / expected.abs().max()).item()


def targets_of(model, x):
    """The predicted class of the one photograph, and another than that of the other."""
    target = model(x).argmax(1)
    target[1] = (target[1] + 1) % len(model.labels)
    return target


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("name", NETWORKS)
def test_rescale_equals_captums(name, baseline):
    model, twin = averaging(name)
    x = photographs(model.size[0]).double()
    target = targets_of(model, x)
    made = deep_lift.function(model, x, target, baseline=baseline)
    expected = captum.attr.DeepLift(twin).attribute(x, torch.full_like(x, baseline), target=target)
    assert expected.abs().max() > 0
    assert distance(made, expected) < TOLERANCE


@pytest.mark.parametrize("activation", [nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus])
def test_smooth_activations_equal_captums(activation):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), activation(), nn.Conv2d(6, 6, 3), activation(), nn.Flatten(), nn.Linear(96, 4)
    )
    model = ImageModel(network.double().eval(), size=8)
    x, baseline = torch.rand(2, 3, 8, 8).double(), torch.rand(2, 3, 8, 8).double()
    target = torch.tensor([1, 3])
    made = deep_lift.function(model, x, target, baseline=baseline)
    expected = captum.attr.DeepLift(network).attribute(x, baseline, target=target)
    assert distance(made, expected) < TOLERANCE


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel", "reveal_cancel_dense"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_sum_is_the_change_of_the_score_with_max_pools_too(name, rule):
    model, _ = pair_of(name, torch.float64)
    x = photographs(model.size[0]).double()
    target = targets_of(model, x)
    made = deep_lift.function(model, x, target, rule=rule)
    change = (model(x) - model(torch.zeros_like(x))).double().gather(1, target[:, None])[:, 0]
    scale = made.flatten(1).abs().sum(1)
    assert_close(made.flatten(1).sum(1), change.detach(), scale=scale, dtype=torch.float32)
