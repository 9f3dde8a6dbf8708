"""Maps of several layers, combined by the formulas of section 4.2."""

import copy
import sys

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import Functional, SharedInPlace, Smooth, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.attribution import combine, depths, grad_cam, layer_weights, linear_approximation, norm_grad

LAYERS = ["conv1", "block1", "block2"]


@pytest.fixture
def model():
    return wrap(settle(SharedInPlace()))


def enlarged(made, x):
    made = made.sum(1, keepdim=True)
    made = made / made.abs().amax((2, 3), keepdim=True)
    return F.interpolate(made, x.shape[2:], mode="bilinear", align_corners=False)


# -- the combination --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [norm_grad, grad_cam, linear_approximation])
def test_sum_and_product_by_their_formulas(method, model):
    x = images(2)
    maps = [enlarged(method(model, x, 1, layer=layer), x).nan_to_num(0) for layer in LAYERS]
    options = {"method": method, "layers": LAYERS, "weights": [1, 2, 5]}
    made = combine(model, x, 1, **options)
    assert_close(made, (maps[0] + 2 * maps[1] + 5 * maps[2]) / 8)
    positive = [each.clamp(min=0) for each in maps]
    product = positive[0] ** (1 / 8) * positive[1] ** (2 / 8) * positive[2] ** (5 / 8)
    made = combine(model, x, 1, how="product", **options)
    assert_close(made, product)


@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 10), min_size=3, max_size=3))
def test_the_product_is_at_most_the_sum_and_both_are_within_the_maps(seed, weights):
    """The geometric mean and the arithmetic one, of maps that are not negative."""
    model, x = wrap(settle(SharedInPlace(), seed)), images(2, seed)
    options = {"layers": LAYERS, "weights": weights}
    added, multiplied = (combine(model, x, 1, how=how, **options) for how in ("sum", "product"))
    assert (multiplied <= added + rounding(added)).all()
    assert (multiplied >= 0).all()
    assert (added <= 1 + rounding(1)).all()


@pytest.mark.parametrize("how", ["sum", "product"])
def test_a_layer_of_weight_0_counts_for_nothing_and_one_layer_is_its_own_map(how, model):
    x = images(2)
    one = combine(model, x, 1, layers=["block1"], how=how)
    assert_close(one, enlarged(norm_grad(model, x, 1, layer="block1"), x))
    made = combine(model, x, 1, layers=["conv1", "block1"], weights=[0.0, 3.0], how=how)
    assert_close(made, one)


def test_options_go_to_the_method_and_your_own_method_gets_the_layer(model):
    x = images(1)
    made = combine(model, x, 1, layers=["block1"], identity="3x3")
    assert_close(made, enlarged(norm_grad(model, x, 1, layer="block1", identity="3x3"), x))

    def mine(model, x, target, layer):
        return model.activations(x, layer)[layer].sum(1)

    made = combine(model, x, 1, method=mine, layers=["block1"])
    assert_close(made, enlarged(model.activations(x, "block1")["block1"], x))


def test_images_that_are_not_square_and_double_precision():
    network = settle(SharedInPlace())
    single, double = (wrap(each, size=(9, 7)) for each in (network, copy.deepcopy(network).double()))
    x = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    made = combine(single, x, 1)
    assert made.shape == (2, 1, 9, 7)
    precise = combine.function(double, x.double(), torch.tensor([1, 1]))
    assert_close(made, precise, dtype=torch.float32)


# -- the layers -------------------------------------------------------------------------------------------


class Deep(nn.Module):
    """Three resolutions, one of them only inside of two branches."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.down, self.up = nn.Conv2d(4, 4, 2, 2), nn.Upsample(scale_factor=2)
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = x + self.up(self.down(x))
        x = self.last(self.pool(x))
        return self.fc(x.mean((2, 3)))


def test_default_layers_are_the_last_of_each_resolution_that_everything_passes_through():
    assert depths(wrap(settle(SharedInPlace()))) == ["relu", "block2"]
    assert depths(wrap(settle(Functional()))) == ["conv1", "conv2"]
    # 4 x 4 is in the branch first, and then in the pool.
    assert depths(wrap(settle(Deep()))) == ["relu", "pool", "last"]


def test_the_default_is_all_depths_alike(model):
    x = images(2)
    assert_close(combine(model, x, 1), combine(model, x, 1, layers=depths(model), weights=[1, 1]))


# -- the weights ------------------------------------------------------------------------------------------


def test_weights_by_depth_and_uniform_ones(model):
    assert_close(layer_weights(model, LAYERS, "depth"), torch.tensor([1.0, 2, 3]) / 6)
    # By the order in the network, not in the list.
    assert_close(layer_weights(model, LAYERS[::-1], "depth"), torch.tensor([3.0, 2, 1]) / 6)
    assert_close(layer_weights(model, LAYERS, "uniform"), torch.full((3,), 1 / 3))
    x = images(1)
    assert_close(
        combine(model, x, 1, layers=LAYERS, weights="depth"),
        combine(model, x, 1, layers=LAYERS, weights=layer_weights(model, LAYERS, "depth")),
    )


def test_weights_by_the_spread_of_features(model):
    x = images(7)
    spreads = []
    for activation in model.activations(x, LAYERS).values():
        means = activation.mean((2, 3)).tolist()
        middle = [sum(column) / 7 for column in zip(*means, strict=True)]
        far = [sum((a - b) ** 2 for a, b in zip(row, middle, strict=True)) ** 0.5 for row in means]
        spreads.append(sum(far) / 7)
    reference = torch.tensor(spreads) / sum(spreads)
    made = layer_weights(model, LAYERS, "feature_spread", images=x, batch_size=3)
    assert_close(made, reference)


class Telling(nn.Module):
    """The first layer separates the labels, bright and dark; the second one is constant."""

    def __init__(self):
        super().__init__()
        self.telling, self.silent = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)
        self.fc = nn.Linear(2, 4)

    def forward(self, x):
        x = self.telling(x)
        return self.fc((self.silent(x * 0) + x * 1e-9).mean((2, 3)))


def test_weights_by_the_share_of_labels_that_a_linear_layer_finds():
    network = settle(Telling())
    with torch.no_grad():
        network.telling.weight.copy_(torch.tensor([[1.0, 1, 1], [-1, 0, 1]]).view(2, 3, 1, 1))
    bright = torch.rand(40, generator=torch.Generator().manual_seed(0)) > 0.5
    x = images(40) * 0.5 + 0.5 * bright.view(-1, 1, 1, 1)
    labels = ["bright" if each else "dark" for each in bright]
    options = {"images": x, "labels": labels}
    model, layers = wrap(network), ["telling", "silent"]
    made = layer_weights(model, layers, "linear_probe", **options)
    # All of the labels, against the share of the more frequent one among those that were held out.
    share = max(labels.count("bright"), labels.count("dark")) / 40
    assert (made[1] / made[0]).item() == pytest.approx(share, abs=0.03)
    assert torch.equal(made, layer_weights(model, layers, "linear_probe", **options))


def test_the_global_random_numbers_are_left_alone(model):
    import numpy as np

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    layer_weights(model, LAYERS, "linear_probe", images=images(8), labels=[0, 1] * 4)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_without_scikit_learn_the_error_names_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match=r"pip install 'xai-widgets\[components\]'"):
        layer_weights(model, LAYERS, "linear_probe", images=images(8), labels=[0, 1] * 4)


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "produkt"}, "unknown way to combine 'produkt'; did you mean 'product'"),
        ({"method": "deconvnet"}, "with a layer option, such as 'norm_grad', got 'deconvnet'"),
        ({"layer": "conv1"}, "expected layers=, a list of names, got layer='conv1'"),
        ({"layers": ["blok1"]}, "unknown layer 'blok1'; did you mean 'block1'"),
        ({"layers": ["blok1"], "weights": [1.0]}, "unknown layer 'blok1'; did you mean 'block1'"),
        ({"layers": ["fc"]}, r"with spatial positions, .* of shape \(4,\)"),
        ({"weights": "dept"}, "unknown kind of weights 'dept'; did you mean 'depth'"),
        ({"weights": "linear_probe"}, "got 'linear_probe'; pass weights=layer_weights"),
        ({"weights": [1.0]}, r"expected weights to be 2 numbers, got \[1.0\]"),
        ({"weights": [1.0, -1.0]}, "expected each of weights to be a number of at least 0"),
        ({"weights": [0.0, 0.0]}, "expected a weight above 0"),
    ],
)
def test_what_does_not_combine(options, message, model):
    with pytest.raises(ValueError, match=message) as error:
        combine(model, images(1), 1, **options)
    one_sentence(error)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("spread", {}, "unknown kind of weights 'spread'; did you mean 'feature_spread'"),
        ("feature_spread", {}, "expected images of all classes"),
        ("linear_probe", {"images": images(4)}, "expected images and their labels of all classes"),
        ("feature_spread", {"images": images(1)}, "expected several images of all classes, got 1"),
        ("feature_spread", {"images": images(4), "batch_size": 0}, "batch_size.*got 0"),
        ("linear_probe", {"images": images(4), "labels": [0, 0, 1]}, "got 3 labels .* for 4 images"),
        ("linear_probe", {"images": images(4), "labels": [0, 0, 0, 1]}, "each at least twice"),
        ("linear_probe", {"images": images(4), "labels": [0] * 4}, "at least two different ones"),
    ],
)
def test_what_weights_are_not_found_from(kind, options, message, model):
    with pytest.raises(ValueError, match=message) as error:
        layer_weights(model, LAYERS, kind, **options)
    one_sentence(error)


def test_layers_of_a_network_without_relu_are_combined_too():
    assert combine(wrap(settle(Smooth())), images(1), 1).abs().sum() > 0
