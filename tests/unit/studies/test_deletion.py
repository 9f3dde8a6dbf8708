"""Deletion and insertion curves of methods, and those of a random order."""

import torch
from closeness import assert_close
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.metrics import random_order
from xai_widgets.studies.deletion import RANDOM, RANDOM_ORDERS, DeletionKey, DeletionStudy


def test_the_random_order_is_a_key_with_curves_at_the_fractions_of_the_others():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 144, 5))
    model, x = ImageModel(net, size=12), torch.rand(1, 3, 12, 12)
    study = DeletionStudy(model, x, {"gradient": METHODS["gradient"]}, curve_steps=60)
    key, other = DeletionKey(RANDOM, 1), DeletionKey("gradient", 1)
    outcomes = study.compute([key, other], progress=False)
    assert study.title(key) == "Random order"
    found, method = outcomes[key].result, outcomes[other].result
    assert len(list(study.run(key))) == study.steps(key)
    for name in ("deletion", "insertion"):
        assert torch.equal(found.curves[name].fractions, torch.linspace(0, 1, 61))
        assert found.curves[name].scores.shape == method.curves[name].scores.shape
        alone = random_order(model, x, 1, mode=name, orders=RANDOM_ORDERS).result(progress=False)
        assert_close(found.curves[name].scores, alone.resampled(60).scores)
    assert sorted(found.ranks.flatten().tolist()) == list(range(144))
