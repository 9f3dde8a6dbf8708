"""Methods that a network does not support."""

import torch
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.methods.support import unsupported


def classifier(activation):
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 4, 3, padding=1), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return ImageModel(nn.Sequential(*parts).eval(), size=12)


def test_the_reasons_are_those_of_the_methods():
    for activation in (nn.ReLU(), nn.GELU()):
        model = classifier(activation)
        found = unsupported(model).result(progress=False)
        x = torch.rand(1, 3, 12, 12)
        for name, method in METHODS.items():
            if not method.requires or "predicted_class" in method.requires:
                continue
            try:
                method(model, x, 0, **method.quick)
                refused = False
            except ValueError:
                refused = True
            assert refused == (name in found), name


def test_a_network_is_tried_once(monkeypatch):
    model = classifier(nn.ReLU())
    first = unsupported(model).result(progress=False)
    monkeypatch.setattr("xai_widgets.methods.support._error", lambda *_: 1 / 0)
    assert unsupported(model).result(progress=False) == first
