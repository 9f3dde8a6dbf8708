"""Networks of torchvision with SiLU, hard-swish or GELU, gates and layer-norm: rules, or a plain refusal."""

import re
import warnings

import pytest
import torch
import torchvision
from closeness import assert_close, rounding
from networks import images, one_sentence
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from xai_widgets.attribution import deep_lift, integrated_gradients, lrp
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.methods import family

METHODS = family("attribution")

ACTIVATION = {"mobilenet_v3_small": "hardswish", "efficientnet_b0": "silu", "convnext": "layer_norm"}


@pytest.fixture(scope="module", params=ACTIVATION)
def model(request):
    """Random weights, with biases in all normalizations, and scores that depend on the image."""
    generator = torch.Generator().manual_seed(0)
    if request.param == "convnext":
        # Two short stages: its published sizes are large.
        network = ConvNeXt([CNBlockConfig(24, 48, 2), CNBlockConfig(48, None, 1)], num_classes=10)
    else:
        network = getattr(torchvision.models, request.param)(weights=None, num_classes=10)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.normal_(0, (2 / part.weight[0].numel()) ** 0.5, generator=generator)
                if part.bias is not None:
                    part.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
                part.bias.normal_(0, 0.3, generator=generator)
            if hasattr(part, "layer_scale"):
                part.layer_scale.fill_(0.3)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return ImageModel(network, size=64, mean=mean, std=std, name=request.param, device="cpu")


def without_biases(network):
    with torch.no_grad():
        for part in network.modules():
            if getattr(part, "bias", None) is not None:
                part.bias.zero_()


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_deep_lift_sums_to_the_change_of_the_score(model, rule):
    x = images(2, size=64)
    made = deep_lift(model, x, [1, 2], baseline=0.5, rule=rule)
    change = (model(x) - model(torch.full_like(x, 0.5))).detach()[[0, 1], [1, 2]]
    assert_close(made.sum((1, 2, 3)), change, scale=made.abs().sum((1, 2, 3)))
    # The change of the score is larger than rounding.
    assert change.abs().min() > rounding(made.abs().sum((1, 2, 3)))


def test_deep_lift_goes_the_way_of_integrated_gradients(model):
    x = images(1, size=64)
    made = deep_lift(model, x, 1, baseline=0.5)
    path = integrated_gradients(model, x, 1, baseline=0.5, steps=32, quadrature="midpoint")
    assert torch.corrcoef(torch.stack([made.flatten(), path.flatten()]))[0, 1] > 0.8


@pytest.mark.parametrize("composite", ["gamma", "epsilon_gamma_box"])
def test_relevance_sums_to_the_score_without_biases(model, composite):
    network = model.module
    state = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        without_biases(network)
        x = images(1, size=64)
        score = model.scores(x)[0, 1].item()
        made = lrp(model, x, 1, composite=composite)
        assert abs(made.sum().item() - score) < 0.1 * abs(score)
        assert made.abs().sum().item() < 1e4 * abs(score)
    finally:
        network.load_state_dict(state)


@pytest.mark.parametrize("method", ["excitation_backprop", "contrastive_excitation_backprop"])
def test_what_has_no_rule_is_refused(model, method):
    reference = re.escape(f"got '{ACTIVATION[model.name]}' in 'features.0.")
    with pytest.raises(ValueError, match=reference) as error:
        METHODS[method](model, images(1, size=64), 1)
    one_sentence(error)


@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop"])
def test_rules_of_relu_are_refused_where_there_is_none(model, method):
    if any(isinstance(part, nn.ReLU) for part in model.module.modules()):
        pytest.skip(f"{model.name} has a ReLU")
    with pytest.raises(ValueError, match="expected a network with ReLU") as error:
        METHODS[method](model, images(1, size=64), 1)
    one_sentence(error)


@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop", "guided_grad_cam", "feedback_layers"])
def test_rules_of_relu_warn_about_other_activations(model, method):
    if not any(isinstance(part, nn.ReLU) for part in model.module.modules()):
        pytest.skip(f"{model.name} has no ReLU")
    with pytest.warns(ExplanationWarning, match="also has hardswish: the result is in part"):
        METHODS[method](model, images(1, size=64), 1)


def test_all_others_work(model):
    """Those that need no data of their own, nor a network of one average and one layer."""
    needs = {"relu", "piecewise_linear", "global_average", "patterns", "attention"}
    for name, method in METHODS.items():
        if needs & set(method.requires):
            continue
        options = {method.cost.each: 2} if method.cost.each in method.quick else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            made = method(model, images(1, size=64), 1, **options)
        assert made.isfinite().all(), name
        assert made.abs().sum() > 0, name
