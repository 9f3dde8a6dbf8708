"""Methods equal those of Captum and pytorch-grad-cam on networks of timm, in double precision."""

from functools import cache

import captum.attr
import pytest
import pytorch_grad_cam
import timm
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from twins import calibrated, photographs

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS

NETWORKS = ["resnet10t", "mobilenetv4_conv_small", "convnext_atto", "repvgg_a0"]
SIZE = 64
#: Relative; all but the maps of pytorch-grad-cam is in float64, where rounding counts for nothing.
TOLERANCE = 1e-6
#: pytorch-grad-cam scales its maps, in float32.
SINGLE = 1e-4
STEPS = 4


@cache
def setting(name):
    torch.manual_seed(0)
    network = calibrated(timm.create_model(name, num_classes=20), SIZE).double()
    model = ImageModel(network, size=SIZE, mean=[0.5] * 3, std=[0.25] * 3, device="cpu")
    return model, photographs(SIZE).double(), torch.tensor([3, 7])


def distance(made, expected):
    assert made.shape == expected.shape
    assert expected.abs().max() > 0
    return ((made - expected).abs().max() / expected.abs().max()).item()


THEIRS = {
    "gradient": (captum.attr.Saliency, {"abs": False}, {}),
    "gradient_x_input": (captum.attr.InputXGradient, {}, {}),
    "integrated_gradients": (
        captum.attr.IntegratedGradients,
        {"n_steps": STEPS, "method": "riemann_right"},
        {"steps": STEPS},
    ),
}


@pytest.mark.filterwarnings("ignore:integrated gradients of")
@pytest.mark.parametrize("method", THEIRS)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_captums(name, method):
    model, x, target = setting(name)
    kind, given, options = THEIRS[method]
    expected = kind(model).attribute(x.clone(), target=target, **given).detach()
    # The function itself: a call of the method converts the pixels to single precision.
    assert distance(METHODS[method].function(model, x, target, **options), expected) < TOLERANCE


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize("name", ["resnet10t", "repvgg_a0"])
def test_guided_backprop_equals_captums_where_every_relu_is_a_module(name):
    model, x, target = setting(name)
    assert any(isinstance(part, nn.ReLU) for part in model.module.modules())
    expected = captum.attr.GuidedBackprop(model).attribute(x.clone(), target=target).detach()
    assert distance(METHODS["guided_backprop"].function(model, x, target), expected) < TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_equals_that_of_pytorch_grad_cam(name):
    model, x, target = setting(name)
    layer = model.default_layer()
    # Its own scaling and resizing are left out.
    cam = pytorch_grad_cam.GradCAM(model=model, target_layers=[model.module.get_submodule(layer)])
    cam.activations_and_grads(x.clone().requires_grad_())
    assert cam(x.clone(), targets=[ClassifierOutputTarget(int(each)) for each in target]).shape == (
        2,
        SIZE,
        SIZE,
    )
    activations, gradients = (
        kept[0].numpy()
        for kept in (cam.activations_and_grads.activations, cam.activations_and_grads.gradients)
    )
    expected = torch.as_tensor(
        cam.get_cam_image(x, cam.target_layers[0], None, activations, gradients, False)
    )
    made = METHODS["grad_cam"].function(model, x, target, layer=layer)[:, 0]
    assert distance(made.double(), expected.clamp(min=0).double()) < SINGLE
