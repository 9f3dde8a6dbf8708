"""A small network and two images, for curves of changed images."""

import pytest
import torch
from torch import nn

from xai_widgets.core.model import ImageModel


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 7)
    )
    return ImageModel(net, size=12)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
