"""Every explorer and method with a network of five channels, three of which are displayed."""

import numpy as np
import pytest
import torch
from torch import nn

import xai_widgets as xw
from xai_widgets.methods import METHODS

PATIENCE = 120
#: Chosen methods, quick to compute.
CHOSEN = ["gradient", "guided_backprop"]
#: Methods of networks with attention, and those that need patterns.
OTHERS = {"attention_rollout", "gradient_x_attention", "legrad", "pattern_net", "pattern_attribution"}

EXPLORERS = {
    "attribution": lambda model, images: xw.AttributionExplorer(model, images, CHOSEN),
    "deletion": lambda model, images: xw.DeletionExplorer(model, images[0], CHOSEN, steps=8),
    "comparison": lambda model, images: xw.MaskComparison(model, images[0], CHOSEN, areas=(0.2, 0.5)),
    "extremal": lambda model, images: xw.ExtremalExplorer(model, images[0], areas=(0.2, 0.5)),
    "channel": lambda model, images: xw.ChannelExplorer(model, images[0]),
    "class": lambda model, images: xw.ClassExplorer(model, images, count=3, design=4, scored=1),
    "inverse": lambda model, images: xw.InverseExplorer(model, images[0], lam=(0.0, 0.5), methods=CHOSEN),
    "brush": lambda model, images: xw.PerturbationBrush(model, images[0], start="gradient"),
    "similarity": lambda model, images: xw.SimilarityExplorer(model, images, components=2, corpus=images),
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(5, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    return xw.ImageModel(network.eval(), size=16, display=(4, 2, 0), device="cpu")


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 5), dtype=np.uint8))


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_computes(name, model, images):
    explorer = EXPLORERS[name](model, images)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status != "error", explorer.run_bar.detail
    explorer.close()


def test_the_displayed_channels_are_those_of_the_model(model, images):
    brush = EXPLORERS["brush"](model, images)
    assert brush.wait(PATIENCE)
    assert (np.asarray(brush.brush.image) == images[0][..., [4, 2, 0]]).all()
    brush.close()


@pytest.mark.parametrize("name", sorted(METHODS.keys() - OTHERS))
def test_a_method_explains(name, model, images):
    method = METHODS[name]
    x = model.images(images[0])
    target = int(model.scores(x).argmax())
    saliency = method.saliency(model, x, target, **method.quick)
    assert saliency.shape[0] == 1
    assert saliency.isfinite().all()
