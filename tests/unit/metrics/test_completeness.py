"""Sensitivity-n and infidelity: exact for linear networks, whose maps predict every change."""

import pytest
import torch
from closeness import assert_close
from torch import nn

from xai_widgets.core.batching import CPU_IMAGES
from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import METRICS, Explanation, infidelity, sensitivity_n
from xai_widgets.metrics.completeness import _squares


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    model = ImageModel(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)).double(), size=8, mean=[0.5] * 3, std=[0.2] * 3
    )
    x = torch.rand(2, 3, 8, 8)
    weight = model.module[1].weight.view(4, 3, 8, 8)
    # The change by the replacement of a pixel by the mean of the training images.
    saliency = (weight[[1, 2]] * ((x - 0.5) / 0.2)).sum(1).float().detach()
    return model, x, saliency


def test_maps_of_linear_networks_predict_every_change(linear):
    model, x, saliency = linear
    found = sensitivity_n(model, x, saliency, [1, 2], sets=20)
    assert found.shape == (2, 7)
    assert_close(found, torch.ones(2, 7))
    assert_close(infidelity(model, x, 5 * saliency, [1, 2], squares=20), torch.zeros(2), scale=1.0)


def test_the_opposite_map_and_a_random_one(linear):
    model, x, saliency = linear
    assert_close(sensitivity_n(model, x, -saliency, [1, 2], sets=20), -torch.ones(2, 7))
    noise = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(4))
    assert sensitivity_n(model, x, noise, [1, 2], sets=50).abs().max() < 0.7
    assert (infidelity(model, x, noise, [1, 2]) > 0.3).all()
    # A map of zeros predicts no change.
    assert_close(infidelity(model, x, torch.zeros(2, 8, 8), [1, 2]), torch.ones(2))


def test_constant_maps_and_networks_have_no_correlation(linear):
    model, x, saliency = linear
    assert sensitivity_n(model, x, torch.ones(2, 8, 8), 1, sets=5).isnan().all()
    assert infidelity(model, torch.full_like(x, 0.5), saliency, 1, squares=5).isnan().all()


def test_squares_lie_within_the_image():
    squares = _squares(torch.zeros(1, 3, 20, 30), 200, 0)
    sides = squares.any(2).sum(1), squares.any(1).sum(1)
    assert torch.equal(*sides)
    assert sides[0].min() >= 1
    assert sides[0].max() == 10
    assert torch.equal(squares.flatten(1).sum(1), sides[0] ** 2)


def test_sets_follow_the_seed(linear):
    model, x, _ = linear
    noise = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1))
    first, again, other = (infidelity(model, x, noise, 1, squares=9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "option"), [("sensitivity_n", {"sets": 4}), ("infidelity", {"squares": 28})]
)
def test_maps_of_one_image_share_the_passes(linear, name, option):
    model, x, _ = linear
    passed = []
    hook = model.module[0].register_forward_pre_hook(lambda _, args: passed.append(len(args[0])))
    metric = METRICS[name].with_options(**option)
    noise = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    image = x[:1]
    metric.score_several([Explanation(model, image, n, noise[n][None]) for n in range(3)])
    hook.remove()
    # 28 changed images and the image itself, as for a single map, in batches of one size.
    assert sum(passed) == -(-29 // CPU_IMAGES) * CPU_IMAGES
