"""Targets have the scores of those of pytorch-grad-cam and Captum, and lead to the same maps."""

from copy import deepcopy

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from closeness import assert_close
from pytorch_grad_cam.utils.model_targets import (
    ClassifierOutputTarget,
    FasterRCNNBoxScoreTarget,
    SemanticSegmentationTarget,
)
from torch import nn
from torchvision.models.detection import (
    FCOS,
    RetinaNet,
    ssdlite320_mobilenet_v3_large,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.segmentation import (
    deeplabv3_mobilenet_v3_large,
    lraspp_mobilenet_v3_large,
)

from xai_widgets.attribution import grad_cam, gradient, integrated_gradients
from xai_widgets.core.model import ImageModel
from xai_widgets.targets import BoxScore, ClassAreas, DetectedClasses, Pixel, Region

pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = 64
CLASSES = 5


def randomized(network):
    """Return a network whose batch norm keeps the activations of random weights in range."""
    generator = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
            part.train()
    with torch.no_grad():
        for _ in range(2):
            network.eval()
            for part in network.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.train()
            network(torch.rand(4, 3, SIZE, SIZE, generator=generator))
    return network.eval()


def pixels(n=1):
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    return randomized(lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES))


class Out(nn.Module):
    """The network as the documentation of pytorch-grad-cam wraps it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)["out"]


def test_a_region_leads_to_the_map_of_pytorch_grad_cam(segmenter):
    x = pixels()
    model = ImageModel(segmenter, size=SIZE, targets=ClassAreas())
    region = Region.predicted(
        model, x, int(model.raw_output(x)["out"].argmax(1).mode().values.mode().values[0])
    )
    given = SemanticSegmentationTarget(region.class_index, region.mask.numpy())
    with torch.no_grad():
        out = Out(segmenter)(x)
    assert_close(
        region({"out": out})[0] * region.mask.sum(),
        given(out[0]),
        scale=(out[0, region.class_index].abs() * region.mask).sum(),
    )
    layer = model.default_layer()
    wrapper = Out(segmenter)
    with pytorch_grad_cam.GradCAM(wrapper, [wrapper.network.get_submodule(layer)]) as cam:
        expected = cam(input_tensor=x.clone(), targets=[given])
    actual = grad_cam(model, x, region, layer=layer).relu()[0, 0]
    # Theirs is resized to the image and divided by its maximum.
    assert actual.max() > 0
    small = nn.functional.interpolate(torch.tensor(expected)[None], tuple(actual.shape), mode="area")[0, 0]
    correlation = torch.corrcoef(torch.stack([small.flatten(), actual.flatten()]))[0, 1]
    assert correlation > 0.9


def test_a_pixel_leads_to_the_gradients_of_captum(segmenter):
    x, network = pixels(2), deepcopy(segmenter).double()
    model = ImageModel(network, size=SIZE, targets=ClassAreas())
    target = Pixel(20, 30, 3)

    def forward(inputs):
        return network(inputs.double())["out"][:, 3, 20, 30]

    assert_close(
        gradient(model, x, target),
        captum.attr.Saliency(forward).attribute(x.clone().requires_grad_(), abs=False),
    )
    explained = integrated_gradients(model, x, target, steps=8, quadrature="gauss_legendre")
    expected = captum.attr.IntegratedGradients(forward).attribute(x, n_steps=8, method="gausslegendre")
    assert_close(explained, expected)


def test_the_target_of_a_classifier_of_pytorch_grad_cam_is_a_target_here():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16 * 16, 3))
    model = ImageModel(network, size=SIZE)
    assert torch.equal(gradient(model, pixels(2), ClassifierOutputTarget(2)), gradient(model, pixels(2), 2))


def test_a_box_has_the_score_of_pytorch_grad_cam():
    """Theirs adds the overlap of the best detection and its score, ours multiplies them."""
    torch.manual_seed(0)
    network = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES, score_thresh=0.0, detections_per_img=10
    )
    model = ImageModel(randomized_detector(network), size=320, targets=DetectedClasses(CLASSES))
    x = torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(1))
    found = model.raw_output(x)
    for target in BoxScore.detected(model, x, count=3):
        given = FasterRCNNBoxScoreTarget([target.class_index], [np.array(target.box)])
        theirs, ours = given(found[0])[0], target(found, size=(320, 320))[0]
        # The detection itself overlaps fully.
        assert_close(ours + 1, theirs)


def randomized_detector(network, amount=0.2):
    """Return a detector whose scores differ from box to box."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * amount)
    return network.eval()


def test_a_segmentation_of_torchvision_is_accepted():
    torch.manual_seed(0)
    network = randomized(
        deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    )
    model = ImageModel(network, size=SIZE, targets=ClassAreas())
    assert_close(model.scores(pixels()).sum(), 1.0)
    assert (gradient(model, pixels(), Pixel(20, 30, 3)) != 0).any()
    assert not model.default_layer().startswith("backbone")


class Backbone(nn.Module):
    out_channels = 32

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, stride=8, padding=1)

    def forward(self, x):
        return self.conv(x).relu()


@pytest.mark.parametrize("make", [FCOS, RetinaNet])
def test_detectors_of_torchvision_are_accepted(make):
    torch.manual_seed(0)
    anchors = AnchorGenerator(sizes=((16,),), aspect_ratios=((1.0,),))
    network = make(
        Backbone(), CLASSES, min_size=SIZE, max_size=SIZE, score_thresh=0.0, detections_per_img=5, topk_candidates=50,
        anchor_generator=anchors,
    )  # fmt: skip
    model = ImageModel(randomized_detector(network, 0.05), size=SIZE, targets=DetectedClasses(CLASSES))
    target = BoxScore.detected(model, pixels())[0]
    assert_close(model.with_target(target).scores(pixels())[0, 0], model.scores(pixels()).max())
    assert (gradient(model, pixels(), target) != 0).any()
