"""DeepFool: on linear networks its change is the distance to the nearest boundary."""

import math

import pytest
import torch
from closeness import assert_close
from networks import Functional, images, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import deep_fool, fgsm


def done(run):
    return run.result(progress=False)


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    layer = nn.Linear(48, 5)
    return layer, ImageModel(nn.Sequential(nn.Flatten(), layer), size=4)


def distances(layer, scores, order):
    """The distance to the boundary of each other class, in closed form; infinite for the class itself."""
    c = int(scores.argmax())
    lengths = (layer.weight - layer.weight[c]).norm(p=order, dim=1)
    return ((scores[c] - scores) / lengths).detach().nan_to_num(nan=math.inf), c


@pytest.mark.parametrize(("norm", "order", "dual"), [("l2", 2, 2), ("linf", math.inf, 1)])
def test_one_step_reaches_the_nearest_boundary_of_a_linear_network(linear, norm, order, dual):
    layer, model = linear
    x = 0.4 + 0.2 * torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    found = done(deep_fool(model, x, norm=norm, overshoot=0.02))
    assert found.step == 1
    assert found.reached.all()
    for n, scores in enumerate(model.scores(x)):
        distance, _ = distances(layer, scores, dual)
        assert found.new[n] == distance.argmin()
        # The change is a difference of pixels near 1/2.
        assert_close(found.norm(order)[n], 1.02 * distance.min(), scale=1.0, steps=1024)


def test_the_change_is_smaller_than_that_of_the_sign(linear):
    _, model = linear
    x = 0.4 + 0.2 * torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    near = done(deep_fool(model, x))
    for epsilon in (0.01, 0.02, 0.05, 0.1):
        signs = done(fgsm(model, x, epsilon=epsilon))
        both = signs.reached & near.reached
        assert (near.norm()[both] <= signs.norm()[both]).all()


def test_only_the_best_classes_are_compared(linear):
    _, model = linear
    x = 0.4 + 0.2 * torch.rand(3, 3, 4, 4)
    found = done(deep_fool(model, x, classes=2))
    second = model.scores(x).topk(2).indices[:, 1]
    assert torch.equal(found.new, second)


def test_pixels_stay_in_range_and_images_keep_their_class_only_if_reported():
    model, x = wrap(settle(Functional())), images(4)
    found = done(deep_fool(model, x, steps=20))
    assert 0 <= found.image.min() <= found.image.max() <= 1
    assert torch.equal(found.new, model.scores(found.image).argmax(1))


def test_a_class_that_clipping_protects_is_unreached():
    # The score of class 0 exceeds that of class 1 by more than all pixels can change.
    layer = nn.Linear(48, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.ones(48), -torch.ones(48)]))
        layer.bias.copy_(torch.tensor([1.0, 0.0]))
    model = ImageModel(nn.Sequential(nn.Flatten(), layer), size=4)
    run = deep_fool(model, torch.full((1, 3, 4, 4), 0.5), steps=3)
    found = done(run)
    assert run.done == 3
    assert not found.reached.any()
    assert_close(found.image, torch.zeros(1, 3, 4, 4), scale=1.0)


def test_a_boundary_without_a_gradient_is_never_the_nearest():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(48, 2)

        def forward(self, x):
            scores = self.layer(x.flatten(1))
            # A third score that follows the largest one at a distance.
            return torch.cat([scores, scores.amax(1, keepdim=True) - 1e-3], 1)

    model = ImageModel(Constant(), size=4)
    found = done(deep_fool(model, 0.4 + 0.2 * torch.rand(2, 3, 4, 4)))
    assert found.image.isfinite().all()
    assert (found.new != 2).all()
