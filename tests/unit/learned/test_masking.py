"""The masking network and its objective, from their formulas."""

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import MaskingSettings
from xai_widgets.learned.masking_loss import area_value, empty_images, masking_loss, total_variation
from xai_widgets.learned.masking_network import MaskingNetwork, feature_layers, features_of


def test_masks_are_in_range_and_in_the_finest_resolution():
    torch.manual_seed(0)
    network = MaskingNetwork([4, 6, 8], classes=5, width=7)
    features = [torch.randn(3, 4, 12, 10), torch.randn(3, 6, 6, 5), torch.randn(3, 8, 3, 3)]
    masks, logits = network(features, torch.tensor([0, 4, 2]))
    assert masks.shape == (3, 12, 10)
    assert ((masks >= 0) & (masks <= 1)).all()
    # The logits are the mean agreement with the vector of the class, in any scale of the features.
    scaled = features[-1] / features[-1].square().mean((1, 2, 3), keepdim=True).sqrt()
    expected = (scaled.mean((2, 3)) * network.selector.weight[[0, 4, 2]]).sum(1)
    assert_close(logits, expected, scale=1.0)
    assert_close(network([1000 * each for each in features], torch.tensor([0, 4, 2]))[0], masks, scale=1.0)


def test_a_closed_gate_hides_the_class():
    network = MaskingNetwork([4, 8], classes=2)
    with torch.no_grad():
        network.selector.weight[0] = 50.0
        network.selector.weight[1] = -50.0
    features = [torch.ones(1, 4, 4, 4), torch.ones(1, 8, 2, 2)]
    masks = {k: network(features, torch.tensor([k]))[0] for k in (0, 1)}
    # Closed everywhere, only the finer layer is left.
    side = network.laterals[0](features[0]).relu()
    alone = network.blocks[0](torch.cat([torch.zeros(1, 32, 4, 4), side], 1)).relu()
    a, b = network.out(alone).abs().unbind(1)
    assert_close(masks[1], a / (a + b), scale=1.0)
    assert not torch.equal(masks[0], masks[1])


def test_layers_are_the_last_of_each_resolution():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip
    model = ImageModel(network, size=32)
    assert feature_layers(model) == ["4", "7"]
    x = torch.rand(2, 3, 32, 32)
    assert [tuple(each.shape) for each in features_of(model, x, ["4", "7"])] == [(2, 6, 8, 8), (2, 8, 4, 4)]


def test_a_network_without_positions_is_an_error():
    with pytest.raises(ValueError, match="spatial layer") as caught:
        feature_layers(ImageModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), size=4))
    one_sentence(caught)


def test_terms_by_hand():
    masks = torch.zeros(1, 4, 4)
    masks[0, 1, 1] = 1
    assert total_variation(masks) == 2
    assert_close(area_value(masks), torch.tensor([(15 * 0.0005**0.3 + 1.0005**0.3) / 16]))


def test_the_loss_is_its_formula():
    model, x = wrap(settle(Functional())), images(3)
    masks = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    target, present = torch.tensor([0, 1, 2]), torch.tensor([True, False, True])
    settings = MaskingSettings(smoothness=0.1, area=2.0, destroy=3.0, power=0.5)
    empty = empty_images(x, torch.Generator().manual_seed(0))
    found = masking_loss(model, x, masks, target, present, settings, empty)
    wide = F.interpolate(masks[:, None], (8, 8), mode="bilinear", align_corners=False)
    for n in range(3):
        mask = wide[n : n + 1]
        expected = 0.1 * total_variation(mask[:, 0]) + 2 * area_value(mask[:, 0])
        if present[n]:
            kept, removed = (x[n] * m + empty[n] * (1 - m) for m in (mask, 1 - mask))
            p = [model(each).softmax(1)[0, target[n]] for each in (kept, removed)]
            expected = expected - p[0].log() + 3 * p[1] ** 0.5
        assert_close(found[n : n + 1], expected.detach(), scale=10.0)


def test_empty_images_are_blurred_or_plain():
    x = (
        (torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5)
        .float()
        .expand(-1, 3, -1, -1)
    )
    empty = empty_images(x, torch.Generator().manual_seed(1))
    assert ((empty >= 0) & (empty <= 1)).all()
    gray = (empty[:, 0] - empty[:, 1]).abs().amax((1, 2)) < 1e-6
    # Blurred gray images stay gray, random colors are not.
    assert 0.35 < gray.float().mean() < 0.65
    assert torch.equal(empty, empty_images(x, torch.Generator().manual_seed(1)))
