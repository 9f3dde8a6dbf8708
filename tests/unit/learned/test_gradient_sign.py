"""FGSM and its iteration, from their formulas and on linear networks worked out by hand."""

import math

import pytest
import torch
from closeness import assert_close
from networks import Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import fgsm, iterated_fgsm
from xai_widgets.learned.probed import score_weights

LINEAR_CLASSES = 3


def linear(bias=(0.0, 0.0, 0.0), gain=1.0):
    torch.manual_seed(0)
    layer = nn.Linear(48, LINEAR_CLASSES)
    with torch.no_grad():
        layer.weight.mul_(gain)
        layer.bias.copy_(torch.tensor(bias))
    return layer, ImageModel(nn.Sequential(nn.Flatten(), layer), size=4)


def done(run):
    return run.result(progress=False)


def cross_entropy_gradient(model, x, classes):
    """The derivative of log p_c, as torch computes it in float64."""
    x = x.clone().requires_grad_()
    logs = model(x).double().log_softmax(1).gather(1, classes[:, None])
    return torch.autograd.grad(logs.sum(), x)[0]


def test_one_step_is_the_sign_of_the_gradient():
    model, x = wrap(settle(Functional())), images(3)
    old = model.scores(x).argmax(1)
    found = done(fgsm(model, x, epsilon=0.03))
    expected = (x - 0.03 * cross_entropy_gradient(model, x, old).sign()).clamp(0, 1)
    assert_close(found.image, expected)
    assert torch.equal(found.old, old)
    assert torch.equal(found.new, model.scores(found.image).argmax(1))
    goal = (old + 1) % 4
    found = done(fgsm(model, x, toward=goal, epsilon=0.03))
    assert_close(found.image, (x + 0.03 * cross_entropy_gradient(model, x, goal).sign()).clamp(0, 1))
    assert torch.equal(found.reached, found.new == goal)


def test_a_two_class_linear_network_moves_along_its_weights():
    layer = nn.Linear(48, 2)
    model, x = ImageModel(nn.Sequential(nn.Flatten(), layer), size=4), torch.full((1, 3, 4, 4), 0.5)
    found = done(fgsm(model, x, epsilon=0.1))
    c = int(found.old)
    expected = 0.1 * (layer.weight[1 - c] - layer.weight[c]).sign()
    assert_close(found.perturbation.flatten(), expected.detach(), scale=1.0)
    # The smallest bound that reaches the other class is known: gap / |w|_1.
    scores = model.scores(x)[0]
    gap = (scores[c] - scores[1 - c]).item() / (layer.weight[1 - c] - layer.weight[c]).abs().sum().item()
    assert not done(fgsm(model, x, epsilon=0.99 * gap)).reached
    assert done(fgsm(model, x, epsilon=1.01 * gap)).reached


@pytest.mark.parametrize("gain", [1.0, 1e3])
def test_the_direction_is_known_where_probabilities_round_to_1(gain):
    layer, model = linear(gain=gain)
    x = torch.full((1, 3, 4, 4), 0.5)
    scores = model.scores(x)
    c = int(scores.argmax())
    found = done(fgsm(model, x, epsilon=0.01))
    assert (found.perturbation != 0).all()
    if gain > 1:
        assert model.probabilities(scores).max() == 1
        # The second best class is all that counts.
        second = int(scores[0].topk(2).indices[1])
        assert_close(
            found.perturbation.flatten().sign(), (layer.weight[second] - layer.weight[c]).sign().detach()
        )


def test_weights_of_scores_are_the_derivative_up_to_a_factor():
    scores = torch.randn(5, 7, dtype=torch.float64)
    classes = torch.tensor([0, 3, 6, 2, 1])
    expected = nn.functional.one_hot(classes, 7) - scores.softmax(1)
    weights = score_weights(scores, classes)
    assert_close(weights, expected / expected.abs().amax(1, keepdim=True))


def test_steps_stay_within_the_bound_and_the_range():
    model, x = wrap(settle(Functional())), images(2)
    run = iterated_fgsm(model, x, epsilon=8 / 255)
    snapshots = list(run)
    assert len(snapshots) == run.total == 10
    for snapshot in snapshots:
        assert 0 <= snapshot.image.min() <= snapshot.image.max() <= 1
    assert_close(snapshots[-1].norm(math.inf).amax(), 8 / 255, scale=1.0)
    # One step of the size of the bound is FGSM.
    assert_close(
        done(iterated_fgsm(model, x, epsilon=0.02, step=0.02, steps=1)).image,
        done(fgsm(model, x, epsilon=0.02)).image,
    )


@pytest.mark.parametrize(("levels", "steps"), [(2, 3), (8, 10), (16, 20), (32, 36)])
def test_the_number_of_steps_is_the_published_one(levels, steps):
    model, x = wrap(settle(Functional())), images(1)
    assert iterated_fgsm(model, x, epsilon=levels / 255).total == steps


def test_batches_do_not_change_the_result():
    model, x = wrap(settle(Functional())), images(3)
    whole, parts = (done(iterated_fgsm(model, x, steps=3, batch_size=size)) for size in (3, 1))
    assert_close(parts.image, whole.image, scale=1.0)


def test_an_unreached_image_is_reported():
    _, model = linear(bias=(100.0, 0.0, 0.0))
    found = done(fgsm(model, torch.rand(2, 3, 4, 4)))
    assert not found.reached.any()
    assert found.describe() == "FGSM: 0 of 2 images reached another class"


def test_norms_by_hand():
    model, x = wrap(settle(Functional())), torch.full((1, 3, 8, 8), 0.5)
    found = done(fgsm(model, x, epsilon=0.1))
    assert found.norm(0) == 64
    assert_close(found.norm(), torch.tensor([0.1 * math.sqrt(192)]))
    assert_close(found.norm(1), torch.tensor([19.2]))


def test_a_class_that_an_image_has_already_is_an_error():
    model, x = wrap(settle(Functional())), images(2)
    old = model.scores(x).argmax(1)
    with pytest.raises(ValueError, match="which has it already") as caught:
        fgsm(model, x, toward=old)
    one_sentence(caught)


def test_a_model_with_one_score_is_an_error():
    model = ImageModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 1)), size=4, activation="sigmoid")
    with pytest.raises(ValueError, match="at least two classes") as caught:
        fgsm(model, torch.rand(1, 3, 4, 4))
    one_sentence(caught)


def test_a_network_without_a_gradient_is_an_error():
    class Rounded(nn.Module):
        def forward(self, x):
            return (x.mean((2, 3)) * 100).round().detach()

    with pytest.raises(ValueError, match="no gradient") as caught:
        done(fgsm(ImageModel(Rounded(), size=4), torch.rand(1, 3, 4, 4)))
    one_sentence(caught)


def test_the_network_is_unchanged():
    network = settle(Functional())
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    done(iterated_fgsm(wrap(network), images(1), steps=2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
