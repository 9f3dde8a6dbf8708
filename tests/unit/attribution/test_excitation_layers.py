"""The default layers of excitation backprop and of its contrast."""

import warnings

import torchvision
from closeness import assert_close
from networks import CLASSES, images, settle, wrap
from torch import nn

from xai_widgets.attribution import contrastive_excitation_backprop, excitation_backprop
from xai_widgets.attribution.excitation import contrast_layer_of, excitation_layer
from xai_widgets.core.model import ImageModel


def test_the_contrast_of_a_deeper_network_is_later_than_its_map():
    network = torchvision.models.resnet18(weights=None, num_classes=CLASSES).eval()
    model = ImageModel(network, size=64)
    assert (excitation_layer(model), contrast_layer_of(model, "layer3")) == ("layer3", "layer4.0")
    assert contrast_layer_of(model, "layer4") == "layer4"


def test_other_names_of_modules_change_neither_layer():
    """The same network in blocks, and as one chain."""

    def layers():
        return [
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES),
        ]  # fmt: skip

    chain = settle(nn.Sequential(*layers()))
    parts = list(chain)
    blocks = nn.Sequential(nn.Sequential(*parts[:2]), nn.Sequential(*parts[2:6]), *parts[6:])
    for method in (excitation_backprop, contrastive_excitation_backprop):
        first, second = (quietly_by(method, wrap(each), images(1), 1) for each in (chain, blocks))
        assert_close(first, second)


def quietly_by(method, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method(*arguments)
