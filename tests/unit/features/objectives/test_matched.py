"""Objectives that compare activations, against equations 2.11, 2.12 and 12."""

import pytest
import torch
from closeness import assert_close, near
from networks import Functional, Tokens, images, one_sentence, settle, wrap
from torch.nn import functional as F

from xai_widgets.features.objectives import DotProduct, Inversion, evaluate, masked, reference_activation


@pytest.fixture
def model():
    return wrap(settle(Functional()))


def test_the_inversion_is_the_relative_squared_distance_and_its_gradient(model):
    x0, x = images(2), images(2, seed=9).requires_grad_()
    a0 = reference_activation(model, x0, "conv2")
    made = evaluate(model, Inversion("conv2", a0).bind(model), x)
    a = model.module.conv2(F.max_pool2d(F.relu(model.module.conv1((x - model.mean) / model.std)), 2))
    expected = -((a - a0) ** 2).flatten(1).sum(1) / (a0**2).flatten(1).sum(1)
    assert_close(made.detach(), expected.detach())
    (gradient,) = torch.autograd.grad(made.sum(), x)
    (by_hand,) = torch.autograd.grad(expected.sum(), x)
    assert_close(gradient, by_hand)
    assert evaluate(model, Inversion("conv2", a0).bind(model), x0).tolist() == [0, 0]


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_the_dot_product_is_one_at_the_reference(model, power):
    x0, x = images(2), images(2, seed=9)
    a0, a = (reference_activation(model, each, "conv2").flatten(1) for each in (x0, x))
    objective = DotProduct("conv2", reference_activation(model, x0, "conv2"), power).bind(model)
    assert evaluate(model, objective, x0).tolist() == near([1, 1])
    cosine = F.cosine_similarity(a, a0).clamp(min=0.1)
    expected = (a * a0).sum(1) / (a0 * a0).sum(1) * cosine**power
    assert_close(evaluate(model, objective, x), expected, scale=1.0)


def test_a_mask_multiplies_channels_first_last_and_of_tokens(model):
    x = images(2)
    mask = torch.tensor([1.0, 0, 0.5, 0, 1, 1, 0, 0])
    for network, layer, shape in [
        (model, "conv2", (8, 1, 1)),
        (wrap(settle(Tokens())), "blocks.1", (8,)),
    ]:
        a = reference_activation(network, x, layer)
        assert_close(masked(network, layer, a, mask), a * mask.view(shape))
        kept = masked(network, layer, a, torch.stack([mask, 1 - mask]) > 0)
        assert_close(kept[1], a[1] * (mask < 1).view(shape))
    vector = reference_activation(model, x, "fc")
    assert_close(masked(model, "fc", vector, [1, 0, 0, 1]), vector * torch.tensor([1.0, 0, 0, 1]))


def test_what_cannot_be_compared_is_refused(model):
    a = reference_activation(model, images(2), "conv2")
    for make, words in [
        (lambda: Inversion("conv2", 0 * a).bind(model), "other than 0"),
        (lambda: masked(model, "conv2", a, torch.zeros(8)), "leaves nothing"),
        (lambda: masked(model, "conv2", a, torch.ones(7)), "mask"),
        (lambda: evaluate(model, Inversion("conv2", a[:, :4]).bind(model), images(2)), "shape of the output"),
    ]:
        with pytest.raises(ValueError, match=words) as error:
            make()
        assert one_sentence(error)
