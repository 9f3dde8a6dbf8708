"""Class activation maps against torchcam: Grad-CAM, CAM, and Grad-CAM++ with its documented difference.

Score-CAM, Layer-CAM and XGrad-CAM are missing here.
"""

import pytest
import torch
from closeness import assert_close
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS

methods = pytest.importorskip("torchcam.methods", exc_type=ImportError)

SIDE, LAYER = 16, "features"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.pool(self.features(x)).flatten(1))


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    # In double precision: Grad-CAM++ divides by differences of small numbers.
    network = Net().double().eval()
    return network, torch.rand(3, 3, SIDE, SIDE, dtype=torch.float64), [0, 3, 4]


class Doubled(nn.Module):
    """The network for pixels in float32."""

    def __init__(self, network):
        super().__init__()
        self.features, self.pool, self.head = network.features, network.pool, network.head

    def forward(self, x):
        return self.head(self.pool(self.features(x.double())).flatten(1))


def maps_of(extractor, network, x, target):
    with extractor as cam:
        return cam(target, network(x), normalized=False)[0]


def ours(name, network, x, target):
    model = ImageModel(Doubled(network).eval(), size=SIDE)
    return METHODS[name](model, x.float(), target, layer=LAYER)[:, 0]


def test_grad_cam(case):
    network, x, target = case
    x = x.float().double()
    expected = maps_of(methods.GradCAM(network, LAYER), network, x, target)
    assert (expected > 0).any()
    assert_close(ours("grad_cam", network, x, target).float(), expected.float())


def test_cam_is_theirs_after_a_relu(case):
    """Theirs leaves negative values in the map unless it is asked for a ReLU."""
    network, x, target = case
    x = x.float().double()
    expected = maps_of(methods.CAM(network, LAYER, "head"), network, x, target)
    made = ours("cam", network, x, target)
    assert_close(made.relu().float(), expected.relu().float())


def test_grad_cam_plus_plus_is_theirs_with_the_division_of_the_paper(case):
    """torchcam 0.5 divides a copy of g^2, so that its weights are sum g^2 relu(g); the paper divides g^2 itself."""
    network, x, target = case
    x = x.float().double()
    cam = methods.GradCAMpp(network, LAYER)
    theirs = maps_of(cam, network, x, target)
    activation = network.features(x).detach().requires_grad_()
    scores = network.head(network.pool(activation).flatten(1)).gather(1, torch.tensor(target)[:, None])
    gradient = torch.autograd.grad(scores.sum(), activation)[0]
    square = gradient.square()
    undivided = (square * gradient.relu()).sum((2, 3), keepdim=True)
    assert_close((undivided * activation).sum(1).relu().float(), theirs.float())
    below = 2 * square + (square * gradient * activation.sum((2, 3), keepdim=True))
    alpha = torch.where(square > 0, square / below, 0)
    weights = (alpha * gradient.relu()).sum((2, 3), keepdim=True)
    expected = (weights * activation).sum(1).relu()
    assert_close(ours("grad_cam_plus_plus", network, x, target).float(), expected.float())
