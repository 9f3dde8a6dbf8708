"""Feedback layers: gates that make the score large, then the linear approximation."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, near, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, RELU_NETWORKS, Functional, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.attribution import feedback_layers, gradient_x_input, linear_approximation

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


def without_biases(network):
    """The sum of gradient times input is then the score of the network, gated or not."""
    with torch.no_grad():
        for part in network.modules():
            if getattr(part, "bias", None) is not None:
                part.bias.zero_()
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.zero_()
    return network


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_without_iterations_it_is_the_linear_approximation(network):
    model, x = wrap(settle(network())), images(2)
    assert_close(feedback_layers(model, x, 1, iterations=0), gradient_x_input(model, x, 1))
    layer = model.default_layer()
    made = feedback_layers(model, x, 1, layer=layer, iterations=0)
    assert_close(made, linear_approximation(model, x, 1, layer=layer))


@given(st.integers(0, 10_000), st.sampled_from(sorted(RELU_NETWORKS)))
def test_the_score_never_falls_and_more_iterations_never_lower_it(seed, name):
    model = wrap(without_biases(settle(RELU_NETWORKS[name](), seed)), **PLAIN)
    x = images(2, seed)
    scores = [model.scores(x)[:, 1]] + [
        feedback_layers(model, x, 1, iterations=iterations).sum((1, 2, 3)) for iterations in range(4)
    ]
    slack = rounding(*scores)
    assert ((scores[1] - scores[0]).abs() <= slack).all()
    for earlier, later in pairwise(scores):
        assert (later >= earlier - slack).all()


class OneLayer(nn.Module):
    """One ReLU between a convolution and the scores."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.fc = nn.Linear(5 * 64, CLASSES)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1))


def test_of_one_layer_the_gates_are_open_where_the_weight_of_the_class_is_above_0():
    """The best of all gates: no other set makes the score larger."""
    network = settle(OneLayer())
    model, x = wrap(network, **PLAIN), images(2)
    weight = network.fc.weight[2].detach().clamp(min=0).view(5, 8, 8)
    with torch.no_grad():
        z = network.conv(x)
        reference = z.relu() * weight
        pixels = x * F.conv_transpose2d(weight * (z > 0), network.conv.weight, padding=1)
    assert_close(feedback_layers(model, x, 2), pixels)
    at_conv = feedback_layers(model, x, 2, layer="conv")
    assert_close(at_conv, reference)
    highest = reference.sum((1, 2, 3)) + network.fc.bias[2]
    assert (highest > model.scores(x)[:, 2]).all()


def test_gates_are_set_from_the_scores_down_and_again_with_what_they_let_through():
    """Two rounds by hand, of a network with two ReLUs and a max-pool."""
    network = without_biases(settle(Functional()))
    model, x = wrap(network, **PLAIN), images(1)
    z1, z2, score, best = torch.ones(1, 6, 8, 8), torch.ones(1, 8, 4, 4), -torch.inf, None
    for _ in range(3):
        with torch.no_grad():
            h1 = network.conv1(x)
            pooled, switches = F.max_pool2d(h1.relu() * z1, 2, return_indices=True)
            h2 = network.conv2(pooled)
            now = network.fc((h2.relu() * z2).flatten(1))[0, 3].item()
            if now > score:
                score, best = now, (z1, z2)
            back = network.fc.weight[3].view(1, 8, 4, 4)
            z2 = ((h2 > 0) & (back > 0)).float()
            back = F.max_unpool2d(F.conv_transpose2d(back * z2, network.conv2.weight, padding=1), switches, 2)
            z1 = ((h1 > 0) & (back > 0)).float()
    made = feedback_layers(model, x, 3, iterations=2)
    assert made.sum().item() == near(score)
    assert score > model.scores(x)[0, 3].item()
    with torch.no_grad():
        pooled, switches = F.max_pool2d(network.conv1(x).relu() * best[0], 2, return_indices=True)
        back = network.fc.weight[3].view(1, 8, 4, 4) * best[1] * (network.conv2(pooled) > 0)
        back = F.max_unpool2d(F.conv_transpose2d(back, network.conv2.weight, padding=1), switches, 2)
        reference = x * F.conv_transpose2d(
            back * best[0] * (network.conv1(x) > 0), network.conv1.weight, padding=1
        )
    assert_close(made, reference)


@pytest.mark.parametrize("layer", ["image", "block1"])
def test_images_that_are_not_square_and_double_precision(layer):
    network = settle(SharedInPlace())
    single, double = (wrap(each, size=(9, 7)) for each in (network, copy.deepcopy(network).double()))
    x = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    made = feedback_layers(single, x, 1, layer=layer)
    assert made.shape == (x.shape if layer == "image" else (2, 6, 5, 4))
    precise = feedback_layers.function(double, x.double(), torch.tensor([1, 1]), layer=layer)
    assert_close(made, precise, dtype=torch.float32)


def test_iterations_below_0_are_refused():
    with pytest.raises(
        ValueError, match="expected iterations to be an integer of at least 0, got -1"
    ) as error:
        feedback_layers(wrap(settle(SharedInPlace())), images(1), 1, iterations=-1)
    one_sentence(error)
