import re

import pytest
import torch
from closeness import assert_close
from networks import (
    CLASSES,
    RELU_NETWORKS,
    Functional,
    Linear,
    Returning,
    SharedInPlace,
    images,
    one_sentence,
    settle,
    wrap,
)
from torch import nn
from torchvision_networks import BUILDERS

from xai_widgets.core.layers import Grid
from xai_widgets.core.model import ImageModel


@pytest.fixture
def model():
    return wrap(settle(Functional()))


# -- layers -----------------------------------------------------------------------------------------------


def test_layers_come_in_the_order_in_which_they_finish():
    layers = wrap(settle(SharedInPlace())).layers()
    assert [layer.name for layer in layers] == [
        "conv1", "relu", "pool", "block1.conv1", "block1.bn1", "relu:1", "block1.conv2", "relu:2", "block1",
        "block2.conv1", "block2.bn1", "relu:3", "block2.conv2", "relu:4", "block2", "average", "fc",
    ]  # fmt: skip
    found = {layer.name: layer for layer in layers}
    assert found["conv1"] == (
        "conv1", "Conv2d", (6, 8, 8), False, Grid("channels_first", 8, 8), True,
    )  # fmt: skip
    assert found["pool"] == ("pool", "MaxPool2d", (6, 4, 4), True, Grid("channels_first", 4, 4), True)
    assert found["relu"].shape == (6, 8, 8)
    assert found["relu:4"].shape == (6, 4, 4)
    assert found["fc"] == ("fc", "Linear", (4,), False, None, True)


def test_layers_that_never_run_or_return_no_tensor_are_not_listed():
    class Some(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle = nn.Conv2d(3, 3, 1)
            self.pair = Returning(lambda scores, x: {"scores": scores})

        def forward(self, x):
            return self.pair(x)["scores"]

    names = [layer.name for layer in wrap(Some()).layers()]
    assert "pair.body.conv1" in names
    assert not {"idle", "pair"} & set(names)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet", "layer4"),
        ("vgg11_bn", "features.27"),
        ("googlenet", "inception5b"),
        ("densenet", "features"),
    ],
)
def test_the_default_layer_is_the_last_spatial_one_before_pooling(name, layer):
    model = ImageModel(BUILDERS[name](10), size=64)
    assert model.default_layer() == layer


def test_a_network_without_positions_has_no_default_layer():
    with pytest.raises(
        ValueError, match=r"expected a network with a layer of output shape .* got Linear"
    ) as error:
        wrap(settle(Linear())).default_layer()
    one_sentence(error)


# -- activations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_activations_are_what_a_hook_sees_before_anything_changes_them(network):
    network = settle(network())
    model, x = wrap(network), images(3)
    names = [layer.name for layer in model.layers()]
    seen, handles = {}, []
    for name, module in network.named_modules():

        def see(m, i, o, name=name):
            call = sum(key == name or key.startswith(f"{name}:") for key in seen)
            seen[f"{name}:{call}" if call else name] = o.detach().clone()

        handles.append(module.register_forward_hook(see))
    scores = model.scores(x)
    for handle in handles:
        handle.remove()
    kept = model.activations(x, names)
    assert list(kept) == names
    for name in names:
        assert torch.equal(kept[name], seen[name]), name
    assert torch.equal(model.scores(x), scores)


def test_activations_of_one_layer_and_of_a_layer_that_runs_several_times():
    model, x = wrap(settle(SharedInPlace())), images()
    kept = model.activations(x, "relu:4")
    assert list(kept) == ["relu:4"]
    assert torch.equal(kept["relu:4"], model.activations(x, ["block2"])["block2"])
    assert torch.equal(model.activations(x, "relu")["relu"], model.activations(x, "conv1")["conv1"].relu())


@pytest.mark.parametrize("call", ["activations", "forward_from"])
def test_a_layer_that_does_not_exist_is_refused_with_the_nearest(model, call):
    def use(name):
        if call == "activations":
            return model.activations(images(), [name])
        return model.forward_from(name, images())

    with pytest.raises(ValueError, match="unknown layer 'conv_1'; did you mean 'conv1'") as error:
        use("conv_1")
    one_sentence(error)
    with pytest.raises(ValueError, match="unknown layer 'xyz'; expected one of conv1, conv2, fc") as error:
        use("xyz")
    one_sentence(error)


# -- from a layer on --------------------------------------------------------------------------------------

CUTS = {
    "functional": {"conv1", "conv2", "fc"},
    "shared_in_place": {
        "conv1", "relu", "pool", "relu:2", "block1", "relu:4", "block2", "average", "fc",
    },
    "concat": {"stem", "head"},
    "dropping": {
        "features", "features.0", "features.1", "features.2", "features.3", "features.4",
        "classifier", "classifier.0", "classifier.1", "classifier.2",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RELU_NETWORKS)
def test_from_every_layer_that_cuts_the_network_the_scores_are_the_same(name):
    model, x = wrap(settle(RELU_NETWORKS[name]())), images(3)
    for layer in model.layers():
        activation = model.activations(x, layer.name)[layer.name]
        before = activation.clone()
        if layer.name in CUTS[name]:
            scores = model.forward_from(layer.name, activation)
            assert_close(scores, model.scores(x))
            assert torch.equal(activation, before)
        else:
            with pytest.raises(
                ValueError, match="expected a layer that every path passes through once"
            ) as error:
                model.forward_from(layer.name, activation)
            near = re.search(r"try '(.*)'$", one_sentence(error)).group(1)
            assert near in CUTS[name], "what is offered has to work"


@pytest.mark.parametrize(("name", "size"), [("resnet", 64), ("vgg11_bn", 32), ("googlenet", 64)])
def test_torchvision_networks_run_from_their_default_layer(name, size):
    model = ImageModel(BUILDERS[name](10), size=size)
    x, layer = images(2, size=size), model.default_layer()
    assert_close(model.forward_from(layer, model.activations(x, layer)[layer]), model.scores(x))


@pytest.mark.parametrize(
    ("layer", "near"), [("block1.conv1", "block1"), ("block2.bn1", "block2"), ("relu:1", "relu:2")]
)
def test_layers_inside_skips_and_shared_layers_are_refused(layer, near):
    model = wrap(settle(SharedInPlace()))
    activation = model.activations(images(), layer)[layer]
    with pytest.raises(ValueError, match=f"got '{layer}', which has paths around it; try '{near}'") as error:
        model.forward_from(layer, activation)
    one_sentence(error)


def test_gradients_flow_from_the_scores_to_the_activation():
    model, x = wrap(settle(SharedInPlace())), images()
    activation = model.activations(x, "conv1")["conv1"].requires_grad_()
    (gradient,) = torch.autograd.grad(model.forward_from("conv1", activation)[:, 1].sum(), activation)
    at = gradient.abs().flatten().argmax()
    step = torch.zeros(activation.numel())
    step[at] = 1e-2
    changed = activation.detach() + step.view(activation.shape)
    with torch.no_grad():
        slope = (model.forward_from("conv1", changed) - model.forward_from("conv1", activation))[
            :, 1
        ].sum() / 1e-2
    torch.testing.assert_close(slope, gradient.flatten()[at], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 5, 8, 8), (2, 6), (6, 8, 8), (2, 6, 3, 3)])
def test_an_activation_that_does_not_fit_is_refused(model, shape):
    with pytest.raises(ValueError, match=re.escape(f"of shape (N, 6, 8, 8), got {shape}")) as error:
        model.forward_from("conv1", torch.zeros(shape))
    one_sentence(error)


def test_a_network_that_fixes_its_batch_runs_from_its_layers_too():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, CLASSES)

        def forward(self, x):
            n = x.shape[0]
            return self.fc(self.conv(x).mean((2, 3)).reshape(n, 4))

    model, x = wrap(settle(Fixed())), images(3)
    kept = model.activations(x, "conv")["conv"]
    assert_close(model.forward_from("conv", kept), model.scores(x))
