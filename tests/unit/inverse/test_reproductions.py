"""Reproductions of other methods: their formulas, and the originals to compare with."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, rounding
from networks import Concat, Dropping, Functional, Linear, SharedInPlace, images, one_sentence, settle, wrap
from snapshot import everything
from torch import nn

import xai_widgets as xw
from xai_widgets.attribution import excitation_backprop, grad_cam
from xai_widgets.data import scenes
from xai_widgets.inverse import (
    SolverSettings,
    find_units,
    operation_wise,
    reproduce_deconvnet,
    reproduce_excitation_backprop,
    reproduce_grad_cam,
    reproduce_integrated_gradients,
)
from xai_widgets.methods import METHODS
from xai_widgets.metrics.agreement import pearson
from xai_widgets.ops.blur import gaussian_blur

QUICK = SolverSettings(steps=4)


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **options)


def made_by(method, *arguments, **options):
    return quiet(lambda: method(*arguments, **{"settings": QUICK, **options}).result(progress=False))


def outputs(model, x):
    """The output of each unit."""
    made = {}
    for unit in find_units(model):
        x = unit.run(x).detach()
        made[unit.name] = x
    return made


def test_the_weights_of_grad_cam_are_means_of_the_inverse_of_what_is_linear():
    model, x = wrap(settle(Functional())), images(2)
    made = made_by(reproduce_grad_cam, model, x, [1, 3])
    inverse = made_by(operation_wise, model, x, [1, 3], until="relu_1").x[:, 0]
    activation = outputs(model, x)["relu_1"]
    expected = torch.zeros(2, 4, 4)
    for n in range(2):
        for k in range(8):
            expected[n] += inverse[n, k].mean() * activation[n, k]
    assert list(made.maps) == ["relu_1"]
    assert_close(made.map, expected.clamp(min=0))
    resized = F.interpolate(expected[:, None], (8, 8), mode="bilinear", align_corners=False)[:, 0]
    assert_close(made.saliency(), resized)


class Averaged(nn.Module):
    """A convolution, an average of all positions and scores that are the channels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        return self.head(self.average(self.relu(self.conv(x))).flatten(1))


def test_where_scores_are_channels_the_setting_is_grad_cam_times_a_number():
    """S_c = the mean of channel c, times 1: its inverse is that channel, and so is the map of Grad-CAM."""
    network = settle(Averaged())
    with torch.no_grad():
        network.head.weight.copy_(torch.eye(4))
        network.conv.bias.fill_(0.5)
    model, x = wrap(network), images(2)
    made = made_by(reproduce_grad_cam, model, x, [1, 3], settings=SolverSettings(steps=300, tolerance=1e-6))
    activation = outputs(model, x)["relu"]
    for n, c in enumerate([1, 3]):
        mean = activation[n, c].mean()
        torch.testing.assert_close(made.map[n], mean * activation[n, c], atol=2e-3, rtol=1e-2)
    assert_close(made.correlation(), torch.ones(2))
    assert_close(made.original_map(), grad_cam(model, x, [1, 3], layer="relu")[:, 0])


def test_excitation_has_the_sums_of_the_inverse_at_each_pool():
    model, x = wrap(settle(Functional())), images(2)
    made = made_by(reproduce_excitation_backprop, model, x, [1, 3])
    inverse = made_by(operation_wise, model, x, [1, 3], until="max_pool2d")
    assert list(made.maps) == ["max_pool2d"]
    assert_close(made.map, inverse.x[:, 0].sum(1))
    assert (made.map <= outputs(model, x)["max_pool2d"].sum(1) + rounding(made.map)).all()
    several = made_by(reproduce_excitation_backprop, model, x, [1, 3], at=["relu", "relu_1"])
    assert list(several.maps) == ["relu_1", "relu"]
    assert several.maps["relu"].shape == (2, 8, 8)
    assert several.maps["relu_1"].shape == (2, 4, 4)


class Strided(nn.Module):
    """No max-pool: strides take places away."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 2, stride=2)
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(F.relu(self.second(F.relu(self.first(x)))).mean((2, 3)))


def test_without_max_pools_the_maps_are_where_the_resolution_falls():
    made = made_by(reproduce_excitation_backprop, wrap(settle(Strided())), images(1))
    assert {name: each.shape for name, each in made.maps.items()} == {"relu_1": (1, 4, 4)}


def test_the_original_of_excitation_is_taken_where_the_map_is():
    """At a unit that is a module it is that of the method; a functional pool has one too."""
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = made_by(reproduce_excitation_backprop, model, x, [1, 3], at=["block2", "pool"])
    assert list(made.maps) == ["block2", "pool"]
    for at in ("block2", "pool"):
        expected = quiet(excitation_backprop.saliency, model, x, [1, 3], layer=at)
        assert_close(made.original_map(at), expected)
        assert_close(made.correlation(at=at), pearson(made.maps[at], expected))
    assert_close(made.original_map(), made.original_map("pool"))
    with pytest.raises(ValueError, match="unknown map 'pol'; did you mean 'pool'") as error:
        made.correlation(at="pol")
    one_sentence(error)
    model = wrap(settle(Functional()))
    functional = made_by(reproduce_excitation_backprop, model, x, [1, 3], at=["relu_1", "max_pool2d"])
    # The ReLU passes its gradient unchanged to the convolution before it.
    at_conv2 = quiet(excitation_backprop.saliency, model, x, [1, 3], layer="conv2")
    assert_close(functional.original_map("relu_1"), at_conv2)
    at_conv1 = quiet(excitation_backprop.saliency, model, x, [1, 3], layer="conv1")
    windows = F.avg_pool2d(at_conv1, 2) * 4
    assert_close(functional.original_map(), windows)


def test_a_correlation_with_another_map_and_of_blurred_maps():
    model, x = wrap(settle(Functional())), images(2)
    made = made_by(reproduce_integrated_gradients, model, x, 1)
    assert_close(made.correlation(3 * made.map + 1), torch.ones(2))
    other = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    blurred = [gaussian_blur(each[:, None], 1.5)[:, 0] for each in (made.map, other)]
    assert_close(made.correlation(other, sigma=1.5), pearson(*blurred))
    for options, message in (
        ({"sigma": -1}, "expected sigma of at least 0, got -1"),
        ({"original": other[:1]}, "expected an original of shape .2, h, w."),
    ):
        with pytest.raises(ValueError, match=message) as error:
            made.correlation(**options)
        one_sentence(error)


def test_integrated_gradients_goes_down_to_the_image():
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = made_by(reproduce_integrated_gradients, model, x, [0, 2])
    inverse = made_by(operation_wise, model, x, [0, 2])
    assert list(made.maps) == ["image"]
    assert_close(made.map, inverse.units[-1].kept[:, 0].abs().sum(1))
    original = METHODS["integrated_gradients"].saliency(model, x, [0, 2]).abs()
    assert_close(made.original_map(), original)
    assert_close(made.correlation(), pearson(made.map, original))


def test_deconvolution_starts_from_the_largest_activation_of_a_channel():
    model, x = wrap(settle(Functional())), images(2)
    activation = outputs(model, x)["relu_1"]
    channel = activation.amax((2, 3)).amin(0).argmax().item()
    start = torch.zeros_like(activation)
    for n in range(2):
        row, column = divmod(activation[n, channel].argmax().item(), 4)
        start[n, channel, row, column] = activation[n, channel, row, column]
    assert (start.amax((1, 2, 3)) > 0).all()
    made = made_by(reproduce_deconvnet, model, x, channel)
    expected = made_by(operation_wise, model, x, start=("relu_1", start), l1=0, l2=0.9)
    assert made.inverse.l1 == 0
    assert made.inverse.l2 == 0.9
    assert_close(made.map, expected.saliency())


def test_the_original_of_deconvolution_lets_what_is_positive_pass():
    """By hand: the ReLU passes the positive part, the pool its switches, the convolutions are transposed."""
    network = settle(Functional())
    model, x = wrap(network), images(1)
    made = made_by(reproduce_deconvnet, model, x, 2)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in ([0.4, 0.45, 0.5], [0.25, 0.2, 0.3]))
    with torch.no_grad():
        first = F.relu(network.conv1((x - mean) / std))
        pooled, switches = F.max_pool2d(first, 2, return_indices=True)
        last = F.relu(network.conv2(pooled))
        back = torch.zeros_like(last)
        back[0, 2].view(-1)[last[0, 2].argmax()] = 1
        back = F.conv_transpose2d(back.relu(), network.conv2.weight, padding=1)
        back = F.max_unpool2d(back, switches, 2).relu()
        back = F.conv_transpose2d(back, network.conv1.weight, padding=1) / std
    assert_close(made.original_map(), back.abs().amax(1))
    assert_close(made.correlation(), pearson(made.map, back.abs().amax(1)))


def test_deconvolution_begins_before_the_clip_of_a_relu6():
    """The gradient of a ReLU6 is 0 where it is 6, as the largest activations of a channel are."""
    network = settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(4 * 36, 4)))
    with torch.no_grad():
        network[0].bias[2] = 100
    made = made_by(reproduce_deconvnet, wrap(network), images(1), 2)
    weight = network[0].weight[2].detach() / torch.tensor([0.25, 0.2, 0.3]).view(3, 1, 1)
    # One position of the channel is inverted.
    assert_close(made.original_map().amax(), weight.abs().amax())


def test_a_channel_that_is_0_has_a_map_of_0_and_no_correlation():
    network = settle(Functional())
    with torch.no_grad():
        network.conv2.bias[1] = -100
    made = made_by(reproduce_deconvnet, wrap(network), images(1), 1)
    assert (made.map == 0).all()
    assert math.isnan(made.correlation().item())


@pytest.mark.parametrize("network", [Functional, SharedInPlace, Concat, Dropping])
@pytest.mark.parametrize(
    "method",
    [reproduce_grad_cam, reproduce_excitation_backprop, reproduce_integrated_gradients, reproduce_deconvnet],
)
def test_every_setting_leaves_the_network_alone_and_has_a_correlation(method, network):
    model, x = wrap(settle(network())), images(2)
    # Nothing in this one reduces the resolution.
    options = {"at": ["cat"]} if method is reproduce_excitation_backprop and network is Concat else {}
    before = everything(model)
    made = made_by(method, model, x, 1, **options)
    assert made.saliency().shape == (2, 8, 8)
    assert (made.saliency() >= 0).all()
    agreed = made.correlation()
    assert agreed.shape == (2,)
    assert (agreed.nan_to_num(0).abs() <= 1 + rounding(1)).all()
    assert everything(model) == before


@pytest.mark.parametrize("name", ["scenes_vgg", "scenes_resnet"])
def test_on_a_trained_network_the_inverse_is_where_integrated_gradients_are(name):
    model = xw.load(name, device="cpu")
    x = model.images([scenes.scene(0, split="test").image])
    made = made_by(reproduce_integrated_gradients, model, x, settings=SolverSettings(steps=20))
    assert made.correlation(sigma=1).item() > 0.6


def test_a_run_can_be_stopped_before_its_first_map():
    run = reproduce_grad_cam(wrap(settle(Functional())), images(1), settings=QUICK)
    first = next(iter(run))
    assert not first.maps
    with pytest.raises(ValueError, match="expected at least one map, got none") as error:
        first.saliency()
    one_sentence(error)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model, x: reproduce_grad_cam(model, x, layer="rely_1"), "relu_1"),
        (
            lambda model, x: reproduce_grad_cam(model, x, layer="relu"),
            "behind the last convolution, got 'relu'",
        ),
        (lambda model, x: reproduce_excitation_backprop(model, x, at=["relo"]), "relu"),
        (
            lambda model, x: reproduce_excitation_backprop(model, x, at=["flatten"]),
            "with a spatial output, got",
        ),
        (lambda model, x: reproduce_excitation_backprop(model, x, at=["fc"]), "with a spatial output, got"),
        (
            lambda model, x: reproduce_deconvnet(model, x, 8),
            "expected channel to be an integer from 0 to 7, got 8",
        ),
        (
            lambda model, x: reproduce_deconvnet(model, x, -1),
            "expected channel to be an integer from 0 to 7, got -1",
        ),
        (
            lambda model, x: reproduce_deconvnet(model, x, 0, unit="flatten"),
            r"output \(C, h, w\), got 'flatten'",
        ),
        (
            lambda _model, x: reproduce_grad_cam(wrap(settle(Linear())), x),
            "expected a network with convolutions",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(ask, message):
    with pytest.raises(ValueError, match=message) as error:
        ask(wrap(settle(Functional())), images(1))
    one_sentence(error)


def test_a_map_of_another_number_of_images_is_refused():
    made = made_by(reproduce_grad_cam, wrap(settle(Functional())), images(2))
    with pytest.raises(ValueError, match=r"expected an original of shape \(2, h, w\)") as error:
        made.correlation(torch.rand(3, 8, 8))
    one_sentence(error)


@pytest.mark.parametrize(
    "method",
    [reproduce_grad_cam, reproduce_excitation_backprop, reproduce_integrated_gradients, reproduce_deconvnet],
)
def test_a_plain_module_is_refused(method):
    with pytest.raises(TypeError, match="expected an ImageModel"):
        method(settle(Functional()), images(1), 0)
