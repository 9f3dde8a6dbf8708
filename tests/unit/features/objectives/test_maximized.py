"""Objectives of activation maximization, against their formulas and gradients by hand."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, Tokens, images, one_sentence, settle, wrap
from torch import nn
from torch.nn import functional as F

from xai_widgets.core.model import ImageModel
from xai_widgets.features.objectives import (
    Channel,
    ClassScore,
    Concept,
    Direction,
    Neuron,
    Objective,
    Seen,
    Unit,
    evaluate,
)


@pytest.fixture
def model():
    return wrap(settle(Functional()))


@pytest.fixture
def tokens():
    return wrap(settle(Tokens()))


def value(model, objective, x):
    return evaluate(model, objective.bind(model), x)


def test_a_class_score_is_that_of_the_network_and_its_gradient(model):
    x = images(3).requires_grad_()
    (made,) = torch.autograd.grad(value(model, ClassScore("goldfish"), x).sum(), x)
    (expected,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    assert_close(made, expected)
    several = value(model, ClassScore([2, "tench", 3]), x)
    assert_close(several.detach(), model(x).detach()[torch.arange(3), [2, 0, 3]])


def test_the_gradient_of_the_mean_of_a_channel_of_a_convolution_by_hand():
    conv = nn.Conv2d(3, 2, 1)
    model = ImageModel(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=4)
    x = images(1, size=4).requires_grad_()
    (gradient,) = torch.autograd.grad(value(model, Channel("0", 1), x).sum(), x)
    assert_close(gradient, (conv.weight[1] / 16).expand(3, 4, 4)[None].detach())
    (gradient,) = torch.autograd.grad(value(model, Unit("0", 1, (0, 3)), x).sum(), x)
    expected = torch.zeros(1, 3, 4, 4)
    expected[0, :, 0, 3] = conv.weight[1, :, 0, 0].detach()
    assert_close(gradient, expected)


def test_channel_unit_and_neuron_are_parts_of_the_output(model):
    x = images(2)
    a = model.activations(x, "conv2")["conv2"]
    assert_close(value(model, Channel("conv2", 5), x), a[:, 5].mean((1, 2)))
    assert_close(value(model, Channel("conv2", [5, 0]), x), a[[0, 1], [5, 0]].mean((1, 2)))
    assert_close(value(model, Unit("conv2", 5), x), a[:, 5, 2, 2])
    assert_close(value(model, Unit("conv2", [5, 0], (3, 1)), x), a[[0, 1], [5, 0], 3, 1])
    assert_close(value(model, Neuron("conv2", (5, 3, 1)), x), a[:, 5, 3, 1])
    assert_close(value(model, Channel("fc", 2), x), model.scores(x)[:, 2])
    assert_close(value(model, Neuron("fc", 2), x), model.scores(x)[:, 2])


def test_tokens_have_positions_and_a_class_token(tokens):
    x = images(2)
    a = tokens.activations(x, "blocks.1")["blocks.1"]
    assert_close(value(tokens, Channel("blocks.1", 3), x), a[:, 2:, 3].mean(1))
    assert_close(value(tokens, Unit("blocks.1", 3, (1, 2)), x), a[:, 2 + 4 + 2, 3])
    assert_close(value(tokens, Neuron("blocks.1", (0, 3)), x), a[:, 0, 3])


def test_channels_may_come_last():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 5, 2, 2), nn.LayerNorm(5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.norm(self.conv(x).movedim(1, -1)).mean((1, 2)))

    model, x = ImageModel(Last(), size=8), images(2)
    a = model.activations(x, "norm")["norm"]
    assert_close(value(model, Channel("norm", 4), x), a[..., 4].mean((1, 2)))
    assert_close(value(model, Direction("norm", torch.eye(5)[4], position=(1, 3)), x), a[:, 1, 3, 4])


@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_a_direction_is_the_mean_dot_product_weighted_by_the_cosine(model, power):
    x, v = images(2), torch.randn(8, generator=torch.Generator().manual_seed(2))
    a = model.activations(x, "conv2")["conv2"].movedim(1, -1)
    cosine = F.cosine_similarity(a, v, dim=-1).clamp(min=0.1)
    expected = ((a @ v) * cosine**power).mean((1, 2))
    assert_close(value(model, Direction("conv2", v, power), x), expected, scale=a.abs().max() * v.norm())
    both = torch.stack([v, 2 * v])
    assert_close(
        value(model, Direction("conv2", both, power), x)[1], 2 * expected[1], scale=expected.abs().max()
    )


def test_a_one_hot_direction_is_a_channel_and_a_concept_has_length_one(model):
    x, v = images(2), torch.randn(8)
    assert_close(value(model, Direction("conv2", torch.eye(8)[5]), x), value(model, Channel("conv2", 5), x))
    unit = value(model, Direction("conv2", v / v.norm()), x)
    assert_close(value(model, Concept("conv2", 7 * v), x), unit, scale=unit.abs().max() + 1)


def test_objectives_add_and_scale(model):
    x = images(2)
    first, second = Channel("conv1", 0), ClassScore(1)
    a, b = value(model, first, x), value(model, second, x)
    for joined, expected in [
        (first + second, a + b),
        (first - second, a - b),
        (2 * first + second * 0.5, 2 * a + b / 2),
        (-(first + second), -a - b),
    ]:
        assert_close(value(model, joined, x), expected, scale=a.abs().max() + b.abs().max())
    joined = first + second - Channel("conv2", 1)
    assert joined.layers == ("conv1", "conv2")
    assert joined.needs_scores
    with pytest.raises(TypeError):
        first + 1
    with pytest.raises(TypeError):
        first * second


def test_an_objective_of_ones_own(model):
    class Largest(Objective):
        @property
        def layers(self):
            return ("conv2",)

        def values(self, seen: Seen):
            return seen.channels("conv2").amax((1, 2, 3))

    x = images(2)
    assert_close(value(model, Largest() * 2, x), 2 * model.activations(x, "conv2")["conv2"].amax((1, 2, 3)))


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Channel("conv2", 8), "conv2' has 8 channels"),
        (Channel("conv2", [0, 8]), "conv2' has 8 channels"),
        (Unit("conv2", 0, (4, 0)), "expected a position of 'conv2', 4 x 4"),
        (Neuron("conv2", (1, 2)), "expected an index into the output of 'conv2'"),
        (Neuron("conv2", (1, 2, 4)), "expected an index into the output of 'conv2'"),
        (Direction("conv2", torch.ones(3)), "vector"),
        (Direction("conv2", torch.zeros(8)), "other than 0"),
        (Direction("conv2", torch.ones(8), -1), "cosine_power"),
        (ClassScore(4), "expected a class from 0 to 3"),
        (Channel("con2", 0), "did you mean"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(model, objective, words):
    with pytest.raises(ValueError, match=words) as error:
        objective.bind(model)
    assert one_sentence(error)
