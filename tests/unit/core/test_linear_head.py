"""The linear head of a network has the weights of its last layer; other heads are none."""

import pytest
import torch
from closeness import assert_close
from networks import images
from torch import nn

from xai_widgets.core.linear_head import linear_head
from xai_widgets.core.model import ImageModel


def make_model(*head):
    torch.manual_seed(0)
    return ImageModel(nn.Sequential(nn.Conv2d(3, 70, 3), nn.BatchNorm2d(70), *head), size=12)


@pytest.mark.parametrize("relu", [False, True])
def test_the_weights_are_those_of_the_linear_layer(relu):
    linear = nn.Linear(70, 5)
    between = [nn.ReLU()] if relu else []
    model = make_model(*between, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    head = linear_head(model, images(2, size=12))
    assert head.layer == model.default_layer()
    assert_close(head.weights, linear.weight, steps=64)


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(70, 5)],
        [nn.Flatten(), nn.Linear(7000, 5)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(70, 8), nn.ReLU(), nn.Linear(8, 5)],
    ],
    ids=["maximum", "all positions", "two layers"],
)
def test_other_heads_are_none(head):
    assert linear_head(make_model(*head), images(2, size=12)) is None


def test_a_network_without_positions_has_none():
    model = ImageModel(nn.Sequential(nn.Flatten(), nn.Linear(432, 5)), size=12)
    assert linear_head(model, images(2, size=12)) is None
